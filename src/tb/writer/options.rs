//! What a writer may be told beyond its directory.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::tb::writer::{Step, SummaryWriter, Warning, WriteError};

/// Who is told of warnings.
pub(super) type OnWarning = Arc<dyn Fn(&Path, &Warning) + Send + Sync>;

/// What is safe, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Each record is handed to the system when it is logged: whatever ends the process, all that
    /// was logged is in the file. Power failing may still lose the last seconds.
    #[default]
    EachRecord,
    /// Records are collected until they exceed `bytes` or until one comes `interval` after the
    /// last time. A process that is killed loses what was collected since.
    Buffered {
        /// The most that is collected, in bytes.
        bytes: usize,
        /// The longest time between two writes while something is logged.
        interval: Duration,
    },
    /// As [`EachRecord`](Self::EachRecord); `flush` and `finish` also wait until the disk has it
    /// all, so that it outlasts a power failure.
    Synced,
}

/// Options for a [`SummaryWriter`], as [`std::fs::OpenOptions`] are for a file.
///
/// ```
/// use cnn_tb::tb::writer::{Durability, WriterOptions};
/// # let logdir = tempfile::tempdir()?;
/// let writer = WriterOptions::new()
///     .durability(Durability::Synced)
///     .clock(|| 1e9)
///     .create(logdir.path().join("exp1"))?;
/// writer.add_scalar("loss", 0.5, 1)?;
/// writer.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct WriterOptions {
    pub(super) durability: Durability,
    pub(super) clock: Arc<dyn Fn() -> f64 + Send + Sync>,
    pub(super) host: String,
    pub(super) on_warning: Option<OnWarning>,
    /// Nothing is kept where absent.
    pub(super) max_unwritten_bytes: Option<usize>,
    pub(super) max_file_bytes: u64,
}

impl WriterOptions {
    /// Each record at once, the system's clock, the machine's name.
    pub fn new() -> Self {
        Self {
            durability: Durability::default(),
            clock: Arc::new(system_clock),
            host: host_name(),
            on_warning: None,
            max_unwritten_bytes: None,
            max_file_bytes: u64::MAX,
        }
    }

    /// What is safe, and when; [`Durability::EachRecord`] unless set.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Keeps what the file system would not take (a full disk, a directory that vanished) in memory,
    /// up to so many bytes a run directory, and writes it into a new event file when that can be had:
    /// tried at most once a second as something is logged, and at `flush` and `finish`.
    ///
    /// No method fails then for that reason but [`SummaryWriter::flush`] and
    /// [`SummaryWriter::finish`], with [`WriteError::Unwritten`], which counts what is kept and what
    /// was lost since there was no room for it. What [`SummaryWriter::add_embedding`] puts into files
    /// of its own is not kept: that fails, and the writer goes on.
    ///
    /// ```
    /// use cnn_tb::tb::WriterOptions;
    /// # let logdir = tempfile::tempdir()?;
    /// let writer = WriterOptions::new()
    ///     .keep_unwritten(16 << 20)
    ///     .create(logdir.path().join("exp1"))?;
    /// for epoch in 1..=3 {
    ///     writer.add_scalar("loss", 0.5, epoch)?;
    ///     if let Err(error) = writer.flush() {
    ///         eprintln!("{error}");
    ///     }
    /// }
    /// writer.finish()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keep_unwritten(mut self, bytes: usize) -> Self {
        self.max_unwritten_bytes = Some(bytes);
        self
    }

    /// Begins a new event file when the one that is written holds more than so many bytes; without a
    /// limit unless set. To TensorBoard all files of a run directory are one.
    ///
    /// ```
    /// use cnn_tb::tb::WriterOptions;
    /// # let logdir = tempfile::tempdir()?;
    /// let writer = WriterOptions::new()
    ///     .max_file_bytes(1 << 30)
    ///     .create(logdir.path().join("exp1"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_file_bytes(mut self, bytes: u64) -> Self {
        self.max_file_bytes = bytes;
        self
    }

    /// Where wall times come from: seconds since the Unix epoch; the system's clock unless set.
    pub fn clock(mut self, clock: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The host in the names of event files; the machine's unless set. Characters that do not
    /// belong in a host's name are replaced by `-`.
    pub fn host(mut self, host: &str) -> Self {
        self.host = plain_host(host);
        self
    }

    /// Who is told of what may be a mistake: a run directory, this run's or a child's, and the
    /// [`Warning`]. Called once for each tag and cause, by the thread that logs;
    /// [`SummaryWriter::warnings`] lists them too.
    ///
    /// ```
    /// use cnn_tb::tb::WriterOptions;
    /// # let logdir = tempfile::tempdir()?;
    /// let writer = WriterOptions::new()
    ///     .on_warning(|run, warning| eprintln!("{}: {warning}", run.display()))
    ///     .create(logdir.path().join("exp1"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_warning(mut self, tell: impl Fn(&Path, &Warning) + Send + Sync + 'static) -> Self {
        self.on_warning = Some(Arc::new(tell));
        self
    }

    /// As [`SummaryWriter::create`].
    ///
    /// # Errors
    /// As [`SummaryWriter::create`].
    pub fn create(&self, directory: impl AsRef<Path>) -> Result<SummaryWriter, WriteError> {
        SummaryWriter::open(directory.as_ref(), self.clone(), None)
    }

    /// As [`SummaryWriter::append`].
    ///
    /// # Errors
    /// As [`SummaryWriter::append`].
    pub fn append(
        &self,
        directory: impl AsRef<Path>,
        purge_step: impl Step,
    ) -> Result<SummaryWriter, WriteError> {
        let purge_step = purge_step.to_i64()?;
        SummaryWriter::open(directory.as_ref(), self.clone(), Some(purge_step))
    }
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WriterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriterOptions")
            .field("durability", &self.durability)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

fn system_clock() -> f64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

/// The machine's name as the kernel or, elsewhere, the environment has it.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::env::var("HOSTNAME"))
        .or_else(|_| std::env::var("COMPUTERNAME"))
        .unwrap_or_default();
    plain_host(name.trim())
}

fn plain_host(name: &str) -> String {
    if name.is_empty() {
        return "localhost".to_owned();
    }
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-._".contains(c) {
            c
        } else {
            '-'
        }
    };
    name.chars().take(64).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_fit_in_file_names() {
        for (name, plain) in [
            ("", "localhost"),
            ("a/b:ü c", "a-b---c"),
            ("my-host.example", "my-host.example"),
        ] {
            assert_eq!(plain_host(name), plain);
        }
        assert_eq!(plain_host(&"x".repeat(1000)).len(), 64);
        assert!(!host_name().is_empty());
        assert!(system_clock() > 1.7e9);
    }
}
