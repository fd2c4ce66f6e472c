//! One writer per directory: a lock that the system frees however the process ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The file in a run directory that its writer holds locked, and removes at the end where the
/// system lets it; what a killed writer leaves behind harms nobody. Its name lacks what makes an
/// event file.
pub const LOCK_NAME: &str = ".cnn-tb.lock";

/// Whether a writer of this library is at `directory`: whether its lock is held. Nothing is made
/// there, and what cannot be asked is answered with no.
///
/// The asking itself holds the lock shared for a moment, where a killed writer left its file behind.
pub fn is_being_written(directory: &Path) -> bool {
    let file = File::open(directory.join(LOCK_NAME));
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Holds a directory's lock for as long as it lives.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    /// Open for as long as the lock is held.
    #[cfg_attr(not(unix), expect(dead_code))]
    file: File,
    path: PathBuf,
}

impl DirectoryLock {
    /// Takes the lock of `directory`; `None` where another writer holds it.
    ///
    /// On a file system without locks nothing keeps a second writer out.
    pub(super) fn take(directory: &Path) -> io::Result<Option<Self>> {
        let path = directory.join(LOCK_NAME);
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => {
                    return Err(error);
                }
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
            let lock = Self {
                file,
                path: path.clone(),
            };
            if lock.is_in_place()? {
                return Ok(Some(lock));
            }
            // Whoever held it removed the file between our opening and our locking it: nobody else
            // will look at what we have locked, so that is no lock. Again, with a new file.
        }
    }

    /// Whether the path still leads to the file that is locked.
    #[cfg(unix)]
    pub(super) fn is_in_place(&self) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt as _;
        let ours = self.file.metadata()?;
        match fs::metadata(&self.path) {
            Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Elsewhere the file is never removed, so the path always leads to it.
    #[cfg(not(unix))]
    pub(super) fn is_in_place(&self) -> io::Result<bool> {
        Ok(true)
    }
}

impl Drop for DirectoryLock {
    /// Removes the file while it is still locked. The lock ends when the file is closed, right
    /// after.
    fn drop(&mut self) {
        if cfg!(unix) && self.is_in_place().is_ok_and(|in_place| in_place) {
            // A file that stays behind does no harm: the next writer locks it again.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Lock files that a writer leaves in a directory.
#[cfg(test)]
pub(super) const FILES_LEFT: usize = if cfg!(unix) { 0 } else { 1 };

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    #[test]
    fn one_holder_at_a_time_and_nothing_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        let first = DirectoryLock::take(directory.path()).unwrap().unwrap();
        assert!(DirectoryLock::take(directory.path()).unwrap().is_none());
        assert!(is_being_written(directory.path()));
        drop(first);
        assert!(!is_being_written(directory.path()));
        let second = DirectoryLock::take(directory.path()).unwrap().unwrap();
        drop(second);
        let files = fs::read_dir(directory.path()).unwrap();
        assert_eq!(files.count(), FILES_LEFT);
    }

    /// Removing the file must never let two in.
    #[test]
    fn threads_that_take_turns_never_meet() {
        let directory = tempfile::tempdir().unwrap();
        let (inside, turns) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while turns.load(Ordering::SeqCst) < 2000 {
                        if let Some(lock) = DirectoryLock::take(directory.path()).unwrap() {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            turns.fetch_add(1, Ordering::SeqCst);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(lock);
                        }
                    }
                });
            }
        });
    }
}
