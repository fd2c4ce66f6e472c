//! One event file, from its first record to its end.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::report::doctor::directory::Directory;
use crate::report::doctor::finding::Cause;
use crate::tb::proto::event::What;
use crate::tb::reader::{EventReader, ReadError};
use crate::tb::record::RecordError;
use crate::tb::writer::LOCK_NAME;

/// A file that was changed less than this long ago may have a writer: PyTorch's and TensorFlow's
/// write every two minutes.
const LIVE_SECS: f64 = 600.0;
/// How much of a file is read to see whether it holds events.
const PROBE_BYTES: u64 = 4096;

/// Reads the file at `path` into its directory's state.
pub(super) fn examine(path: &Path, directory: &mut Directory) {
    directory.begin_file(path);
    let (file, length) = match open_regular(path) {
        Ok(Some(opened)) => opened,
        Ok(None) => return,
        Err(error) => {
            let cause = error.to_string();
            return directory.report(path, Cause::Unreadable { cause });
        }
    };
    if length == 0 {
        return directory.report(path, Cause::EmptyFile);
    }
    let mut events = EventReader::new(file);
    while let Some(result) = events.next_with(|offset, payload| directory.add(offset, payload)) {
        let Err(error) = result else { continue };
        let is_io = matches!(error, ReadError::Record(RecordError::Io { .. }));
        let cause = cause(path, length, directory.now_secs, error);
        directory.report(path, cause);
        if is_io {
            return;
        }
    }
}

/// What an error of the reader means.
fn cause(path: &Path, length: u64, now_secs: f64, error: ReadError) -> Cause {
    let zeros = |offset| {
        Some(Cause::ZeroTail {
            offset,
            zeros: zeros_from(path, offset)?,
        })
    };
    match error {
        ReadError::Event { offset, .. } => Cause::NotAnEvent { offset, more: 0 },
        ReadError::TooLarge { offset, found, .. } => Cause::TooLarge {
            offset,
            found,
            more: 0,
        },
        ReadError::WallTime { offset, found } => Cause::NonFiniteTime {
            offset,
            found,
            more: 0,
        },
        ReadError::Record(RecordError::PayloadChecksum { offset, .. }) => {
            Cause::DamagedPayload { offset, more: 0 }
        }
        ReadError::Record(RecordError::LengthChecksum { offset, .. }) => {
            let unread = length.saturating_sub(offset);
            zeros(offset).unwrap_or(Cause::DamagedLength { offset, unread })
        }
        ReadError::Record(RecordError::TooLong { offset, found, .. }) => {
            Cause::TooLong { offset, found }
        }
        ReadError::Record(RecordError::Truncated {
            offset,
            found,
            expected,
        }) => {
            let torn = match is_live(path, now_secs) {
                true => Cause::GrowingTail {
                    offset,
                    found,
                    expected,
                },
                false => Cause::TornTail {
                    offset,
                    found,
                    expected,
                },
            };
            zeros(offset).unwrap_or(torn)
        }
        ReadError::Open { cause } | ReadError::Record(RecordError::Io { cause, .. }) => {
            Cause::Unreadable {
                cause: cause.to_string(),
            }
        }
    }
}

/// How many bytes there are from `offset` on, if all are zeros.
fn zeros_from(path: &Path, offset: u64) -> Option<u64> {
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::Start(offset)).ok()?;
    let (mut zeros, mut chunk) = (0, vec![0; 64 * 1024]);
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Some(zeros),
            Ok(count) if chunk[..count].iter().all(|&byte| byte == 0) => zeros += count as u64,
            Ok(_) => return None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// Whether somebody may be writing the file: it changed a short while ago, or the directory has a
/// writer of ours.
fn is_live(path: &Path, now_secs: f64) -> bool {
    let changed = fs::metadata(path).and_then(|metadata| metadata.modified());
    let age_secs = changed.ok().map(|changed| {
        let since = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
        now_secs - since.as_secs_f64()
    });
    // Shared, so that whoever else looks at this moment does not take us for a writer.
    let lock = File::open(path.with_file_name(LOCK_NAME));
    let is_locked =
        lock.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)));
    is_locked || age_secs.is_some_and(|age| age.abs() < LIVE_SECS)
}

/// Whether a file that is not named like one is an event file.
pub(super) fn holds_events(path: &Path) -> bool {
    let Ok(Some((file, _))) = open_regular(path) else {
        return false;
    };
    let first = EventReader::new(file.take(PROBE_BYTES)).next();
    matches!(first, Some(Ok(event)) if matches!(&event.what, Some(What::FileVersion(_))))
}

/// Opens a file, and says how long it is; `None` where it has gone or is no file, as a pipe, which
/// might never end.
fn open_regular(path: &Path) -> io::Result<Option<(File, u64)>> {
    let open = || {
        let metadata = fs::metadata(path)?;
        match metadata.is_file() {
            true => File::open(path).map(|file| Some((file, metadata.len()))),
            false => Ok(None),
        }
    };
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result,
    }
}
