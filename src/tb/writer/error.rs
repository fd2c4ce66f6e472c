//! Why something could not be written.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::tb::summary::Misfit;

/// Why a run directory could not be opened for writing, or something could not be logged.
#[derive(Clone, thiserror::Error)]
pub enum WriteError {
    /// A new run was asked for where one is already.
    #[error(
        "{} already holds event files: give another directory (Logdir::next finds a free name), \
         or continue this run with SummaryWriter::append",
        path.display()
    )]
    HoldsEvents {
        /// The directory.
        path: PathBuf,
    },
    /// Another writer, of this process or another, has the directory open. It can be tried again
    /// once that one has finished.
    #[error(
        "another writer has {} open, and a directory takes one at a time: share that writer, \
         or write to a child directory",
        path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The directory has a name that TensorBoard would take for an event file, or the name of a
    /// child does not lie below its parent.
    #[error("{name:?} cannot name a run directory; expected {expected}")]
    DirectoryName {
        /// The name.
        name: String,
        /// What a name has to be.
        expected: &'static str,
    },
    /// No name of a new event file sorts after this one, so the new points would be read first.
    #[error(
        "no new event file can sort after {}, and files are read in the order of their names: \
         rename it to events.out.tfevents.<seconds>.<host>",
        path.display()
    )]
    NoLaterName {
        /// The file that sorts last.
        path: PathBuf,
    },
    /// A purge step below 1: it would also drop what is logged once, at step 0.
    #[error("the purge step is {found}; it must be 1 or more")]
    PurgeStep {
        /// The step.
        found: i64,
    },
    /// A step beyond 64 bits.
    #[error("the step is {found}; it must fit in a signed 64-bit integer")]
    Step {
        /// The step.
        found: String,
    },
    /// A wall time that is not a number of seconds; with it, TensorBoard would lose the file.
    #[error("the wall time is {found}; it must be finite")]
    WallTime {
        /// The wall time, in seconds.
        found: f64,
    },
    /// Something that TensorBoard could not show: a shape, a length or a range that does not fit.
    /// Nothing was written, and the writer goes on.
    #[error("{tag}: {found}; expected {expected}")]
    Value {
        /// The tag.
        tag: String,
        /// What was given.
        found: String,
        /// What fits.
        expected: String,
    },
    /// Other hyper-parameters than before; TensorBoard keeps the first ones.
    #[error(
        "{} has other hyper-parameters already: a run takes one set; log another in a run of its own",
        path.display()
    )]
    OtherHParams {
        /// The run directory.
        path: PathBuf,
    },
    /// The writer was finished or closed before.
    #[error("{} is finished; continue it with SummaryWriter::append", path.display())]
    Finished {
        /// The run directory.
        path: PathBuf,
    },
    /// The file system does not take what was logged; the writer was told to keep it
    /// ([`WriterOptions::keep_unwritten`](crate::tb::WriterOptions::keep_unwritten)) and goes on.
    #[error("{cause}{}", unwritten(*.kept, *.lost))]
    Unwritten {
        /// Why it failed the last time.
        cause: Box<WriteError>,
        /// Records that are kept and will be written when that can be done.
        kept: u64,
        /// Records that are lost: there were too many to keep, their file was removed, or the disk
        /// lost what it had taken.
        lost: u64,
    },
    /// The file system said no. A writer to which this happens writes nothing more, and every
    /// later call gives this error again.
    #[error("cannot write {}: {cause}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        cause: Arc<io::Error>,
    },
}

fn unwritten(kept: u64, lost: u64) -> String {
    let records = |count, what| match count {
        0 => String::new(),
        1 => format!("; 1 record {what}"),
        count => format!("; {count} records {what}"),
    };
    records(kept, "not written") + &records(lost, "lost")
}

/// The text too: it is what a `main` prints that returns the error, and it says what to do.
impl fmt::Debug for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl WriteError {
    /// Makes a [`WriteError::Value`] for `tag`.
    pub(crate) fn value<M: Into<Misfit>>(tag: &str) -> impl FnOnce(M) -> Self {
        let tag = tag.to_owned();
        move |misfit| {
            let Misfit { found, expected } = misfit.into();
            Self::Value {
                tag,
                found,
                expected,
            }
        }
    }

    /// Makes an [`WriteError::Io`] for `path`.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Io {
            path,
            cause: Arc::new(cause),
        }
    }
}
