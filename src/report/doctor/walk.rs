//! The directories of a logdir and the files in them.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::tb::LogdirError;
use crate::tb::event_file::MARK;

/// A directory that was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The directory relative to the logdir, with `/` between its parts; `.` for the logdir itself.
    pub run: String,
    pub path: PathBuf,
    /// Its event files, in the order in which TensorBoard reads them.
    pub event_files: Vec<PathBuf>,
    /// Its other files.
    pub others: Vec<PathBuf>,
    /// Why it could not be listed.
    pub error: Option<io::Error>,
}

/// The directories in `logdir`, by name, `logdir` itself included; a file stands for a directory
/// with nothing else in it. Links are followed last, and no directory is visited twice.
///
/// # Errors
/// Only where `logdir` itself cannot be read.
pub(super) fn directories(logdir: &Path) -> Result<Vec<Found>, LogdirError> {
    let is_directory = fs::metadata(logdir).map(|metadata| metadata.is_dir());
    match is_directory {
        Ok(true) => {}
        Ok(false) => return Ok(vec![file_alone(logdir)]),
        Err(cause) => return Err(error(logdir, cause)),
    }
    let mut found = Vec::new();
    let mut visited = HashSet::new();
    let mut pending = VecDeque::from([(".".to_owned(), logdir.to_owned())]);
    let mut links = VecDeque::new();
    while let Some((run, path)) = pending.pop_front().or_else(|| links.pop_front()) {
        match fs::canonicalize(&path) {
            Ok(real_path) => {
                if !visited.insert(real_path) {
                    continue;
                }
            }
            // It was removed while we looked.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // Listing it says why.
            Err(_) => {}
        }
        let mut directory = Found {
            run,
            path,
            ..Found::empty()
        };
        let listed = directory.list(&mut pending, &mut links);
        match listed {
            Err(cause) if directory.path == logdir => return Err(error(logdir, cause)),
            listed => directory.error = listed.err(),
        }
        found.push(directory);
    }
    found.sort_by(|one, other| one.run.cmp(&other.run));
    Ok(found)
}

fn file_alone(path: &Path) -> Found {
    let mut found = Found {
        run: ".".to_owned(),
        path: path.parent().unwrap_or(path).to_owned(),
        ..Found::empty()
    };
    found.add_file(path.to_owned());
    found
}

fn error(path: &Path, cause: io::Error) -> LogdirError {
    let path = path.to_owned();
    match cause.kind() {
        io::ErrorKind::NotFound => LogdirError::Missing { path },
        _ => LogdirError::Io { path, cause },
    }
}

impl Found {
    fn empty() -> Self {
        Self {
            run: String::new(),
            path: PathBuf::new(),
            event_files: Vec::new(),
            others: Vec::new(),
            error: None,
        }
    }

    /// Adds the files of the directory, and what lies below it to one of the queues.
    fn list(
        &mut self,
        pending: &mut VecDeque<(String, PathBuf)>,
        links: &mut VecDeque<(String, PathBuf)>,
    ) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let path = entry.path();
            let kind = entry.file_type()?;
            let below = || {
                let name = entry.file_name().to_string_lossy().into_owned();
                match self.run.as_str() {
                    "." => name,
                    run => format!("{run}/{name}"),
                }
            };
            if kind.is_dir() {
                pending.push_back((below(), path));
            } else if kind.is_symlink() && path.is_dir() {
                links.push_back((below(), path));
            } else {
                self.add_file(path);
            }
        }
        self.event_files.sort();
        self.others.sort();
        Ok(())
    }

    fn add_file(&mut self, path: PathBuf) {
        let name = path.file_name().unwrap_or_default();
        match name.to_string_lossy().contains(MARK) {
            true => self.event_files.push(path),
            false => self.others.push(path),
        }
    }
}
