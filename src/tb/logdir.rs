//! A directory of runs.
//!
//! To TensorBoard every directory with event files is a run. Here a run is what was trained at
//! once: a directory with a session (`_hparams_`) or a configuration (`config.toml`), together with
//! the directories below it. Any other directory with event files is a run of its own.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs;
use std::io;
use std::iter;
use std::path::{Path, PathBuf};

use crate::tb::event_file;
use crate::tb::run::{self, Run};

/// What makes a directory a run besides a session.
const CONFIG_NAME: &str = "config.toml";

/// Why runs could not be found.
#[derive(Debug, thiserror::Error)]
pub enum LogdirError {
    /// There is no such directory.
    #[error("there is no directory {}", path.display())]
    Missing {
        /// What was asked for.
        path: PathBuf,
    },
    /// The file system said no.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl LogdirError {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// A directory that is searched for runs.
///
/// ```
/// use cnn_tb::tb::{logdir::Logdir, writer::SummaryWriter};
/// # let directory = tempfile::tempdir()?;
/// # let runs = directory.path();
/// let exp1 = Logdir::next(runs, "exp")?;
/// let writer = SummaryWriter::create(&exp1)?;
/// writer.add_hparams([("seed", 1.into())])?;
/// writer.child("validation")?.add_scalar("loss", 0.5, 1)?;
/// writer.finish()?;
///
/// for run in Logdir::open(runs)?.runs()? {
///     assert_eq!(run.name(), "exp1");
///     assert_eq!(run.scalars("validation/loss")?[0].value, 0.5);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Logdir {
    path: PathBuf,
}

impl Logdir {
    /// The logdir at `path`; a run directory is one too, of which the run is called `.`.
    ///
    /// # Errors
    /// [`LogdirError::Missing`] where there is no directory.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, LogdirError> {
        let path = path.into();
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => Ok(Self { path }),
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(LogdirError::Io { path, source })
            }
            _ => Err(LogdirError::Missing { path }),
        }
    }

    /// Makes the directory `prefixN` in `logdir` and gives its path, where N is one more than the
    /// largest that is there: `exp1`, `exp2`, … Two programs that ask at once get two directories.
    ///
    /// # Errors
    /// [`LogdirError::Io`] where the directory cannot be made.
    pub fn next(logdir: impl AsRef<Path>, prefix: &str) -> Result<PathBuf, LogdirError> {
        let logdir = logdir.as_ref();
        fs::create_dir_all(logdir).map_err(LogdirError::io(logdir))?;
        loop {
            let path = Self::next_name(logdir, prefix)?;
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result.map(|()| path.clone()).map_err(LogdirError::io(path)),
            }
        }
    }

    /// The path that [`next`](Self::next) would make, without making it.
    ///
    /// # Errors
    /// [`LogdirError::Io`] where the directory cannot be listed; a missing one holds nothing.
    pub fn next_name(logdir: impl AsRef<Path>, prefix: &str) -> Result<PathBuf, LogdirError> {
        let logdir = logdir.as_ref();
        let mut largest = 0_u64;
        let entries = match fs::read_dir(logdir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            result => Some(result.map_err(LogdirError::io(logdir))?),
        };
        for entry in entries.into_iter().flatten() {
            let name = entry.map_err(LogdirError::io(logdir))?.file_name();
            let name = name.to_string_lossy();
            let number = name
                .strip_prefix(prefix)
                .and_then(|number| number.parse().ok());
            largest = largest.max(number.unwrap_or(0));
        }
        Ok(logdir.join(format!("{prefix}{}", largest.saturating_add(1))))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The runs, wholly read, by name; numbers in names count as numbers.
    ///
    /// PyTorch's `add_hparams` writes a session into a sub-directory of its own, which is merged
    /// into the directory above where it is the only one: what both have is taken from above.
    ///
    /// # Errors
    /// [`LogdirError::Io`] where a directory cannot be listed. What is wrong with an event file is
    /// found in [`Run::problems`].
    pub fn runs(&self) -> Result<Vec<Run>, LogdirError> {
        let found = self.walk()?;
        let mut runs = read(&found)?;
        merge_pytorch_sessions(&mut runs);
        Ok(group(runs, &found))
    }

    /// The runs as TensorBoard sees them: every directory with event files is one.
    ///
    /// # Errors
    /// As [`runs`](Self::runs).
    pub fn flat_runs(&self) -> Result<Vec<Run>, LogdirError> {
        read(&self.walk()?)
    }

    /// The directories with event files or a configuration, by name. Links are followed last, and
    /// no directory is visited twice, so that loops end and a directory keeps its own name.
    fn walk(&self) -> Result<Vec<Found>, LogdirError> {
        let mut found = Vec::new();
        let mut visited = HashSet::new();
        let mut pending = VecDeque::from([(".".to_owned(), self.path.clone())]);
        let mut links = VecDeque::new();
        while let Some((name, path)) = pending.pop_front().or_else(|| links.pop_front()) {
            let listing = match list(&path) {
                // It was removed while we looked.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                result => result.map_err(LogdirError::io(&path))?,
            };
            if !visited.insert(listing.real_path) {
                continue;
            }
            for (to, names) in [
                (&mut pending, listing.directories),
                (&mut links, listing.links),
            ] {
                to.extend(
                    names
                        .into_iter()
                        .map(|(below, path)| (join(&name, &below), path)),
                );
            }
            if listing.has_events || listing.has_config {
                found.push(Found {
                    name,
                    path,
                    has_events: listing.has_events,
                    has_config: listing.has_config,
                });
            }
        }
        found.sort_by(|one, other| natural_order(&one.name, &other.name));
        Ok(found)
    }
}

/// A directory that may be a run or part of one.
struct Found {
    /// Relative to the logdir, with `/` between its parts; `.` for the logdir itself.
    name: String,
    path: PathBuf,
    has_events: bool,
    has_config: bool,
}

/// What lies directly in a directory.
struct Listing {
    /// The path without links.
    real_path: PathBuf,
    directories: Vec<(String, PathBuf)>,
    /// Links to directories.
    links: Vec<(String, PathBuf)>,
    has_events: bool,
    has_config: bool,
}

fn list(path: &Path) -> io::Result<Listing> {
    let mut listing = Listing {
        real_path: fs::canonicalize(path)?,
        directories: Vec::new(),
        links: Vec::new(),
        has_events: false,
        has_config: false,
    };
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            listing.directories.push((name, entry.path()));
        } else if kind.is_symlink() && entry.path().is_dir() {
            listing.links.push((name, entry.path()));
        } else {
            listing.has_events |= name.contains(event_file::MARK);
            listing.has_config |= name == CONFIG_NAME;
        }
    }
    listing.directories.sort();
    listing.links.sort();
    Ok(listing)
}

/// Every directory with event files as a run of its own, in the order given.
fn read(found: &[Found]) -> Result<Vec<Run>, LogdirError> {
    let mut runs = Vec::new();
    for directory in found.iter().filter(|directory| directory.has_events) {
        match run::read_directory(&directory.name, &directory.path) {
            // It was removed while we looked.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => runs.push(result.map_err(LogdirError::io(&directory.path))?),
        }
    }
    Ok(runs)
}

/// Merges each session of PyTorch's `add_hparams` that is alone below a run without a session into
/// that run. Such a session is known by the experiment that it holds too. Several below one run are
/// trials of their own.
fn merge_pytorch_sessions(runs: &mut Vec<Run>) {
    let mut sessions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for run in runs
        .iter()
        .filter(|run| run.session().is_some() && run.has_experiment)
    {
        if let Some(parent) = parent_of(&run.name) {
            let names = sessions.entry(parent.to_owned()).or_default();
            names.push(run.name.clone());
        }
    }
    for (parent, names) in sessions {
        let has_no_session = |run: &Run| run.name == parent && run.session().is_none();
        let [session] = &names[..] else { continue };
        if !runs.iter().any(has_no_session) {
            continue;
        }
        if let Some(index) = runs.iter().position(|run| run.name == *session) {
            let session = runs.remove(index);
            if let Some(run) = runs.iter_mut().find(|run| run.name == parent) {
                run.merge(session);
            }
        }
    }
}

/// Makes the runs below a session or a configuration its children.
fn group(runs: Vec<Run>, found: &[Found]) -> Vec<Run> {
    let with_session = runs.iter().filter(|run| run.session().is_some());
    let mut roots: HashSet<String> = with_session.map(|run| run.name.clone()).collect();
    let configured = found.iter().filter(|directory| directory.has_config);
    roots.extend(configured.map(|directory| directory.name.clone()));

    let mut grouped: BTreeMap<String, Run> = BTreeMap::new();
    let mut children = Vec::new();
    for run in runs {
        let mut ancestors = iter::successors(Some(run.name.as_str()), |name| parent_of(name));
        match ancestors.find(|&name| roots.contains(name)) {
            Some(root) if root != run.name => children.push((root.to_owned(), run)),
            _ => drop(grouped.insert(run.name.clone(), run)),
        }
    }
    for (root, mut child) in children {
        child.name = below(&child.name, &root).to_owned();
        let path = |directory: &&Found| directory.name == root;
        // A directory with a configuration need not hold events itself.
        let path = found
            .iter()
            .find(path)
            .map_or(Path::new(&root), |found| &found.path);
        let run = grouped
            .entry(root.clone())
            .or_insert_with(|| Run::new(&root, path));
        run.children.push(child);
    }
    let mut runs: Vec<Run> = grouped.into_values().collect();
    runs.sort_by(|one, other| natural_order(&one.name, &other.name));
    runs
}

fn join(parent: &str, name: &str) -> String {
    match parent {
        "." => name.to_owned(),
        _ => format!("{parent}/{name}"),
    }
}

fn parent_of(name: &str) -> Option<&str> {
    match name.rsplit_once('/') {
        Some((parent, _)) => Some(parent),
        None => (name != ".").then_some("."),
    }
}

/// `name` relative to its ancestor `root`.
fn below<'a>(name: &'a str, root: &str) -> &'a str {
    let rest = name
        .strip_prefix(root)
        .and_then(|rest| rest.strip_prefix('/'));
    rest.unwrap_or(name)
}

/// Compares names part by part, runs of digits by their value: `exp2` before `exp10`.
fn natural_order(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one, other);
    loop {
        let (part, other_part) = (first_part(one), first_part(other));
        let digits = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
        let order = if digits(part) && digits(other_part) {
            let value = |part: &str| part.trim_start_matches('0').len();
            let by_value = part
                .trim_start_matches('0')
                .cmp(other_part.trim_start_matches('0'));
            value(part)
                .cmp(&value(other_part))
                .then(by_value)
                .then(part.len().cmp(&other_part.len()))
        } else {
            part.cmp(other_part)
        };
        if order.is_ne() || part.is_empty() {
            return order;
        }
        one = &one[part.len()..];
        other = &other[other_part.len()..];
    }
}

/// The longest beginning of `name` that is all digits or has none.
fn first_part(name: &str) -> &str {
    let is_digit = |c: char| c.is_ascii_digit();
    let starts_with_digit = name.starts_with(is_digit);
    let end = name.find(|c: char| is_digit(c) != starts_with_digit);
    &name[..end.unwrap_or(name.len())]
}
