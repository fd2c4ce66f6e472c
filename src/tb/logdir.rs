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
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{self, AtomicUsize};
use std::thread;

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
    #[error("cannot read {}: {cause}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

impl LogdirError {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Io { path, cause }
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
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(LogdirError::Io { path, cause })
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
    /// [`LogdirError::Io`] where the logdir itself cannot be listed. What is wrong with an event file
    /// or a directory below is found in [`Run::problems`].
    pub fn runs(&self) -> Result<Vec<Run>, LogdirError> {
        let found = self.walk()?;
        let mut runs = read(&found);
        merge_pytorch_sessions(&mut runs);
        Ok(group(runs, &found))
    }

    /// The runs as TensorBoard sees them: every directory with event files is one.
    ///
    /// # Errors
    /// As [`runs`](Self::runs).
    pub fn flat_runs(&self) -> Result<Vec<Run>, LogdirError> {
        Ok(read(&self.walk()?))
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
                // It may hold events: the run made of it says what is wrong.
                Err(_) if name != "." => {
                    found.push(Found {
                        name,
                        path,
                        has_events: true,
                        has_config: false,
                    });
                    continue;
                }
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

/// Every directory with event files as a run of its own, in the order given. As many threads as
/// there are cores take the directories in turn.
fn read(found: &[Found]) -> Vec<Run> {
    let directories: Vec<_> = found
        .iter()
        .filter(|directory| directory.has_events)
        .collect();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let take = || {
        let indices = iter::repeat_with(|| next.fetch_add(1, atomic::Ordering::Relaxed));
        let runs = indices.map_while(|index| Some((index, read_one(directories.get(index)?))));
        runs.collect::<Vec<_>>()
    };
    let mut runs = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(directories.len()))
            .map(|_| scope.spawn(take))
            .collect();
        let mut runs = take();
        for other in others {
            runs.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        runs
    });
    runs.sort_by_key(|&(index, _)| index);
    runs.into_iter().filter_map(|(_, run)| run).collect()
}

/// `None` where the directory was removed while we looked.
fn read_one(Found { name, path, .. }: &Found) -> Option<Run> {
    match run::read_directory(name, path) {
        Ok(run) => Some(run),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
        Err(cause) => Some(Run::unreadable(name, path, cause)),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tb::writer::{HParam, WriterOptions};

    /// A directory with one point of `loss`, and with a session where there is a seed.
    fn write(path: &Path, seed: Option<f64>) {
        let writer = WriterOptions::new().clock(|| 1e9).create(path).unwrap();
        writer.add_scalar("loss", 0.5, 1).unwrap();
        if let Some(seed) = seed {
            writer.add_hparams([("seed", seed.into())]).unwrap();
        }
        writer.finish().unwrap();
    }

    /// Each run's name with those of its children.
    fn names(runs: &[Run]) -> Vec<String> {
        let children = |run: &Run| {
            run.children()
                .iter()
                .map(|child| format!(" {}", child.name()))
                .collect::<String>()
        };
        runs.iter()
            .map(|run| format!("{}{}", run.name(), children(run)))
            .collect()
    }

    #[test]
    fn a_run_is_a_session_or_a_configuration_with_all_below_it() {
        let directory = tempfile::tempdir().unwrap();
        let runs = directory.path();
        write(&runs.join("exp10"), Some(1.0));
        write(&runs.join("exp10/validation"), None);
        write(&runs.join("exp10/fold1/train"), None);
        write(&runs.join("exp10/nested"), Some(2.0));
        write(&runs.join("exp10/nested/train"), None);
        write(&runs.join("exp2/train"), None);
        fs::write(runs.join("exp2/config.toml"), "").unwrap();
        write(&runs.join("exp20"), None);
        write(&runs.join("plain"), None);
        write(&runs.join("plain/train"), None);
        fs::create_dir(runs.join("no-events")).unwrap();
        fs::write(runs.join("no-events/config.toml"), "").unwrap();
        let logdir = Logdir::open(runs).unwrap();
        let expected = [
            "exp2 train",
            "exp10 fold1/train validation",
            "exp10/nested train",
            "exp20",
            "plain",
            "plain/train",
        ];
        let found = logdir.runs().unwrap();
        assert_eq!(names(&found), expected);
        assert_eq!(found[0].path(), runs.join("exp2"));
        assert_eq!(found[1].scalars("fold1/train/loss").unwrap()[0].value, 0.5);
        assert_eq!(found[1].hparams()["seed"], HParam::Number(1.0));
        let flat = logdir.flat_runs().unwrap();
        assert_eq!(flat.len(), 9);
        assert!(flat.iter().all(|run| run.children().is_empty()));
        // A run directory is a logdir too, and so is one of its children.
        let run = Logdir::open(runs.join("exp10")).unwrap().runs().unwrap();
        assert_eq!(names(&run), [". fold1/train validation", "nested train"]);
        let child = Logdir::open(runs.join("plain/train"))
            .unwrap()
            .runs()
            .unwrap();
        assert_eq!(names(&child), ["."]);
    }

    /// Runs that PyTorch wrote: see `tests/golden/pytorch.py`.
    #[test]
    fn a_session_of_pytorch_is_merged_into_the_run_above() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pytorch");
        let runs = Logdir::open(golden).unwrap().runs().unwrap();
        assert!(runs.iter().any(|run| !run.hparams().is_empty()));
        for run in runs {
            assert!(!run.name().contains('/'), "{}", run.name());
            assert_eq!(run.problems().count(), 0);
        }
    }

    #[test]
    fn two_sessions_of_pytorch_are_runs_of_their_own() {
        let run = |name: &str, session: bool| {
            let directory = tempfile::tempdir().unwrap();
            write(&directory.path().join("run"), session.then_some(1.0));
            let mut run = run::read_directory(name, &directory.path().join("run")).unwrap();
            run.has_experiment = session;
            run
        };
        let cases = [
            (vec![run("a", false), run("a/1", true)], vec!["a"]),
            (
                vec![run("a", false), run("a/1", true), run("a/2", true)],
                vec!["a", "a/1", "a/2"],
            ),
            (vec![run("a/1", true)], vec!["a/1"]),
            (vec![run("a", true), run("a/1", true)], vec!["a", "a/1"]),
            (
                vec![run(".", false), run("1", true), run("1/deeper", false)],
                vec![". 1/deeper"],
            ),
        ];
        for (mut runs, expected) in cases {
            merge_pytorch_sessions(&mut runs);
            assert_eq!(names(&group(runs, &[])), expected);
        }
    }

    #[test]
    #[cfg(unix)]
    fn links_are_followed_and_loops_end() {
        use std::os::unix::fs::symlink;
        let directory = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let runs = directory.path();
        write(&runs.join("exp1/train"), None);
        write(&elsewhere.path().join("far"), None);
        symlink("exp1", runs.join("best")).unwrap();
        symlink("..", runs.join("exp1/up")).unwrap();
        symlink(runs, runs.join("self")).unwrap();
        symlink(elsewhere.path(), runs.join("other")).unwrap();
        symlink("gone", runs.join("dangling")).unwrap();
        symlink("looped", runs.join("looped")).unwrap();
        let logdir = Logdir::open(runs).unwrap();
        assert_eq!(names(&logdir.runs().unwrap()), ["exp1/train", "other/far"]);
    }

    /// A path beyond the system's limit is one that even the superuser cannot list.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_directory_that_cannot_be_listed_is_a_problem_of_its_run() {
        let directory = tempfile::tempdir().unwrap();
        let runs = directory.path();
        write(&runs.join("exp1"), Some(1.0));
        write(&runs.join("exp2"), None);
        let long: PathBuf = iter::repeat_n("x".repeat(200), 19).collect();
        for parent in ["exp1", "apart"] {
            // Too long only once it lies where it belongs.
            let outside = directory.path().join("outside");
            fs::create_dir_all(outside.join(&long)).unwrap();
            let inside = runs
                .join(parent)
                .join("y".repeat(200))
                .join("z".repeat(200));
            fs::create_dir_all(inside.parent().unwrap()).unwrap();
            fs::rename(outside, inside).unwrap();
        }
        let found = Logdir::open(runs).unwrap().runs().unwrap();
        let [apart, exp1, exp2] = &found[..] else {
            panic!("{:?}", names(&found));
        };
        assert!(apart.name().starts_with("apart/"));
        assert_eq!((exp1.name(), exp2.name()), ("exp1", "exp2"));
        assert_eq!(exp1.scalars("loss").unwrap().len(), 1);
        for (run, problems) in [(apart, 1), (exp1, 1), (exp2, 0)] {
            let texts: Vec<_> = run.problems().map(ToString::to_string).collect();
            assert_eq!(texts.len(), problems, "{texts:?}");
            for text in texts {
                assert!(text.contains("xxx: cannot be opened: "), "{text}");
            }
        }
    }

    #[test]
    fn the_next_name_is_one_more_than_the_largest() {
        let directory = tempfile::tempdir().unwrap();
        let runs = directory.path().join("runs");
        assert_eq!(Logdir::next_name(&runs, "exp").unwrap(), runs.join("exp1"));
        assert!(!runs.exists());
        for name in ["exp1", "exp9", "exp10", "expert", "exp", "run99"] {
            fs::create_dir_all(runs.join(name)).unwrap();
        }
        assert_eq!(Logdir::next(&runs, "exp").unwrap(), runs.join("exp11"));
        assert_eq!(Logdir::next(&runs, "exp").unwrap(), runs.join("exp12"));
        let mut paths: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| Logdir::next(&runs, "x")))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap().unwrap())
                .collect()
        });
        paths.sort();
        assert!(
            paths
                .into_iter()
                .eq((1..=8).map(|number| runs.join(format!("x{number}"))))
        );
    }

    #[test]
    fn a_missing_directory_is_named() {
        for path in ["/nowhere/runs", "Cargo.toml"] {
            let error = Logdir::open(path).unwrap_err();
            assert_eq!(error.to_string(), format!("there is no directory {path}"));
        }
        let directory = tempfile::tempdir().unwrap();
        assert!(
            Logdir::open(directory.path())
                .unwrap()
                .runs()
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn names_are_sorted_as_people_count() {
        let sorted = [
            ".", "a", "a2", "a2/b", "a02", "a10", "a10b", "b", "lr0.1", "lr0.01x", "ü1", "ü2",
        ];
        let mut names = sorted.to_vec();
        names.reverse();
        names.sort_by(|one, other| natural_order(one, other));
        assert_eq!(names, sorted);
    }
}
