//! A run that is read: its series, its session, and what was wrong with its files.

mod loader;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::tb::reader::ReadError;

pub(crate) use loader::read_directory;

pub use crate::tb::summary::hparams::{HParam, SessionStatus};

/// One point of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Point<T = f32> {
    /// The step.
    pub step: i64,
    /// Seconds since the Unix epoch; finite.
    pub wall_time: f64,
    /// What was logged.
    pub value: T,
}

/// One trial, as TensorBoard's HParams page shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Session {
    /// The hyper-parameters by name.
    pub hparams: BTreeMap<String, HParam>,
    /// When it started, in seconds since the Unix epoch, where that is known.
    pub start_time_secs: Option<f64>,
    /// How it ended, if it did and that is known.
    pub status: Option<SessionStatus>,
    /// When it ended, in seconds since the Unix epoch, if it did and that is known.
    pub end_time_secs: Option<f64>,
}

/// What was wrong with one event file, or with a directory that could not be listed. What could be
/// read was read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}{}", path.display(), and_more(*more))]
pub struct Problem {
    /// The file or directory.
    pub path: PathBuf,
    /// The first thing that was wrong.
    pub error: ReadError,
    /// How many other things were.
    pub more: u64,
}

fn and_more(more: u64) -> String {
    match more {
        0 => String::new(),
        _ => format!(" (and {more} more)"),
    }
}

/// A series was asked for that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("run {run} has no {kind} {tag:?}; it has {}", listing(known))]
pub struct NoSeries {
    /// The run's name.
    pub run: String,
    /// The kind of series, `scalar` or `text`.
    pub kind: &'static str,
    /// What was asked for.
    pub tag: String,
    /// The series of that kind that are there.
    pub known: Vec<String>,
}

/// The first few names, so that the message stays readable.
fn listing(known: &[String]) -> String {
    const SHOWN: usize = 12;
    match known.len() {
        0 => "none".to_owned(),
        1..=SHOWN => known.join(", "),
        count => format!("{} and {} more", known[..SHOWN].join(", "), count - SHOWN),
    }
}

/// A run, wholly read.
///
/// Its series are those of its own directory; the directories below it that belong to it are its
/// [`children`](Self::children).
#[derive(Debug)]
pub struct Run {
    pub(crate) name: String,
    path: PathBuf,
    scalars: BTreeMap<String, Vec<Point>>,
    texts: BTreeMap<String, Vec<Point<String>>>,
    session: Option<Session>,
    /// Whether its session says what to compare, as each of PyTorch's `add_hparams` does.
    pub(crate) has_experiment: bool,
    wall_times: Option<(f64, f64)>,
    problems: Vec<Problem>,
    pub(crate) children: Vec<Run>,
}

impl Run {
    /// A run without anything in it.
    pub(crate) fn new(name: &str, path: &Path) -> Self {
        Self {
            name: name.to_owned(),
            path: path.to_owned(),
            scalars: BTreeMap::new(),
            texts: BTreeMap::new(),
            session: None,
            has_experiment: false,
            wall_times: None,
            problems: Vec::new(),
            children: Vec::new(),
        }
    }

    /// A run of which nothing can be read, since its directory cannot be listed.
    pub(crate) fn unreadable(name: &str, path: &Path, cause: io::Error) -> Self {
        let mut run = Self::new(name, path);
        run.problems.push(Problem {
            path: path.to_owned(),
            error: ReadError::Open { cause },
            more: 0,
        });
        run
    }

    /// The path relative to the logdir, with `/` between its parts, `.` for the logdir itself; of a
    /// child, relative to its run.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directories below this one that belong to it, as `train` and `validation`, by name. They
    /// have no children of their own: one further down is called `fold1/train`.
    pub fn children(&self) -> &[Run] {
        &self.children
    }

    /// The tags of the scalars in the run's own directory, in order.
    pub fn scalar_tags(&self) -> impl Iterator<Item = &str> {
        self.scalars.keys().map(String::as_str)
    }

    /// The tags of the texts in the run's own directory, in order.
    pub fn text_tags(&self) -> impl Iterator<Item = &str> {
        self.texts.keys().map(String::as_str)
    }

    /// All scalars of the run and its children, each with the name that [`scalars`](Self::scalars)
    /// takes.
    pub fn scalar_series(&self) -> impl Iterator<Item = (String, &[Point])> {
        addressed(self, |run| &run.scalars)
    }

    /// The points of a scalar, by step. `tag` is a tag of the run's own directory or, where that
    /// has none of this name, `child/tag`, as `validation/accuracy`.
    ///
    /// Each step occurs once. Where a training was restarted, what was logged last holds: a point
    /// drops those of its tag at or after its step, and the start of a later session drops those of
    /// all tags at or after its step, as in TensorBoard's loaders.
    ///
    /// # Errors
    /// [`NoSeries`], which names those that are there.
    pub fn scalars(&self, tag: &str) -> Result<&[Point], NoSeries> {
        self.find("scalar", tag, |run| &run.scalars)
    }

    /// The texts of a tag, by step, addressed as [`scalars`](Self::scalars) are. The elements of a
    /// list or table come one a line.
    ///
    /// # Errors
    /// [`NoSeries`], which names those that are there.
    pub fn texts(&self, tag: &str) -> Result<&[Point<String>], NoSeries> {
        self.find("text", tag, |run| &run.texts)
    }

    /// The run's session, where something was logged about it.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// The run's hyper-parameters by name; empty where it has no session.
    pub fn hparams(&self) -> &BTreeMap<String, HParam> {
        static NONE: BTreeMap<String, HParam> = BTreeMap::new();
        self.session
            .as_ref()
            .map_or(&NONE, |session| &session.hparams)
    }

    /// The earliest and the latest wall time in the run and its children, in seconds since the
    /// Unix epoch; `None` where nothing could be read.
    pub fn wall_times(&self) -> Option<(f64, f64)> {
        self.children
            .iter()
            .fold(self.wall_times, |all, child| span(all, child.wall_times))
    }

    /// What was wrong with the event files and directories of the run and its children.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        let children = self.children.iter().flat_map(|child| &child.problems);
        self.problems.iter().chain(children)
    }

    /// Takes over what `child` has and this run has not.
    pub(crate) fn merge(&mut self, child: Run) {
        for (tag, points) in child.scalars {
            self.scalars.entry(tag).or_insert(points);
        }
        for (tag, points) in child.texts {
            self.texts.entry(tag).or_insert(points);
        }
        self.session = self.session.take().or(child.session);
        self.wall_times = span(self.wall_times, child.wall_times);
        self.problems.extend(child.problems);
        self.children.extend(child.children);
    }

    fn find<'a, T>(
        &'a self,
        kind: &'static str,
        tag: &str,
        of: impl Fn(&'a Run) -> &'a BTreeMap<String, Vec<T>>,
    ) -> Result<&'a [T], NoSeries> {
        let in_child = |child: &'a Run| {
            let tag = tag.strip_prefix(child.name.as_str())?.strip_prefix('/')?;
            of(child).get(tag)
        };
        of(self)
            .get(tag)
            .or_else(|| self.children.iter().find_map(in_child))
            .map(Vec::as_slice)
            .ok_or_else(|| NoSeries {
                run: self.name.clone(),
                kind,
                tag: tag.to_owned(),
                known: addressed(self, of).map(|(name, _)| name).collect(),
            })
    }
}

/// All series of one kind in a run and its children, with their addresses.
fn addressed<'a, T: 'a>(
    run: &'a Run,
    of: impl Fn(&'a Run) -> &'a BTreeMap<String, Vec<T>>,
) -> impl Iterator<Item = (String, &'a [T])> {
    let own = of(run)
        .iter()
        .map(|(tag, points)| (tag.clone(), &points[..]));
    let children = run.children.iter().flat_map(move |child| {
        let address = move |tag| format!("{}/{tag}", child.name);
        of(child)
            .iter()
            .map(move |(tag, points)| (address(tag), &points[..]))
    });
    own.chain(children)
}

fn span(one: Option<(f64, f64)>, other: Option<(f64, f64)>) -> Option<(f64, f64)> {
    match (one, other) {
        (Some((first, last)), Some((other_first, other_last))) => {
            Some((first.min(other_first), last.max(other_last)))
        }
        _ => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_that_is_missing_is_answered_with_those_that_are_there() {
        let mut run = Run::new("exp1", Path::new("runs/exp1"));
        let mut child = Run::new("validation", Path::new("runs/exp1/validation"));
        let points = vec![Point {
            step: 1,
            wall_time: 1e9,
            value: 0.5,
        }];
        run.scalars.insert("loss".to_owned(), points.clone());
        child.scalars.insert("accuracy".to_owned(), points.clone());
        child.scalars.insert("top/5".to_owned(), points);
        run.children.push(child);
        assert_eq!(run.scalars("validation/accuracy").unwrap()[0].value, 0.5);
        assert_eq!(run.scalars("validation/top/5").unwrap()[0].value, 0.5);
        let error = run.scalars("accuracy").unwrap_err();
        assert_eq!(
            error.to_string(),
            "run exp1 has no scalar \"accuracy\"; it has loss, validation/accuracy, validation/top/5"
        );
        let error = run.texts("note").unwrap_err();
        assert_eq!(
            error.to_string(),
            "run exp1 has no text \"note\"; it has none"
        );
        let known: Vec<_> = (1..=20).map(|number| number.to_string()).collect();
        assert_eq!(
            listing(&known),
            "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 8 more"
        );
    }
}
