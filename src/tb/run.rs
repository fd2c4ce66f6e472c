//! A run that is read: its series, its session, and what was wrong with its files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::mem;
use std::path::{Path, PathBuf};

use prost::Message as _;

use crate::tb::event_file::event_file_names;
use crate::tb::outline::{EventOutline, ValueOutline};
use crate::tb::proto::session_log::SessionStatus as LogStatus;
use crate::tb::proto::summary::value;
use crate::tb::proto::{Event, event};
use crate::tb::reader::{EventReader, ReadError};
use crate::tb::record::RecordError;
use crate::tb::scalar_event::ScalarEvent;
use crate::tb::summary::{Kind, hparams, scalar, text};

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

/// What was wrong with one event file. What could be read of it was read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}{}", path.display(), and_more(*more))]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// The first thing that was wrong.
    #[source]
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
    pub(super) name: String,
    path: PathBuf,
    scalars: BTreeMap<String, Vec<Point>>,
    texts: BTreeMap<String, Vec<Point<String>>>,
    session: Option<Session>,
    /// Whether its session says what to compare, as each of PyTorch's `add_hparams` does.
    pub(super) has_experiment: bool,
    wall_times: Option<(f64, f64)>,
    problems: Vec<Problem>,
    pub(super) children: Vec<Run>,
}

impl Run {
    /// A run without anything in it.
    pub(super) fn new(name: &str, path: &Path) -> Self {
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

    /// What was wrong with the event files of the run and its children.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        let children = self.children.iter().flat_map(|child| &child.problems);
        self.problems.iter().chain(children)
    }

    /// Takes over what `child` has and this run has not.
    pub(super) fn merge(&mut self, child: Run) {
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

/// Reads the event files directly in `path` as one run.
///
/// # Errors
/// The directory cannot be listed. A file that cannot be read is a [`Problem`] of the run.
pub(super) fn read_directory(name: &str, path: &Path) -> io::Result<Run> {
    let mut loader = Loader {
        run: Run::new(name, path),
        tags: BTreeMap::new(),
        series: Vec::new(),
        starts_purge: false,
        is_armed: false,
    };
    for file_name in event_file_names(path)? {
        loader.read_file(&path.join(file_name));
    }
    Ok(loader.finish())
}

/// One run while its files are read, in the order of their names.
struct Loader {
    run: Run,
    /// Where in `series` each tag's points are.
    tags: BTreeMap<String, usize>,
    series: Vec<Series>,
    /// Whether the last file version was one in which starts of sessions purge.
    starts_purge: bool,
    /// Whether a start was seen: in TensorBoard's Python loader the first one of a run only arms.
    is_armed: bool,
}

/// The points of one tag. The first value of a tag decides what the tag is.
enum Series {
    Scalars(Vec<Point>),
    Texts(Vec<Point<String>>),
    /// Something that nobody asks this reader for.
    Other,
}

impl Loader {
    fn finish(mut self) -> Run {
        for (tag, index) in self.tags {
            match mem::replace(&mut self.series[index], Series::Other) {
                Series::Scalars(points) => drop(self.run.scalars.insert(tag, points)),
                Series::Texts(points) => drop(self.run.texts.insert(tag, points)),
                Series::Other => {}
            }
        }
        self.run
    }

    fn read_file(&mut self, path: &Path) {
        let file = match open_regular(path) {
            Ok(Some(file)) => file,
            Ok(None) => return,
            Err(source) => {
                let error = RecordError::Io { offset: 0, source };
                return self.add_problem(path, error.into());
            }
        };
        let mut events = EventReader::new(file);
        let mut has_problem = false;
        while let Some(result) = events.next_with(|offset, payload| self.add(offset, payload)) {
            let Err(error) = result else { continue };
            let is_io = matches!(error, ReadError::Record(RecordError::Io { .. }));
            match self.run.problems.last_mut() {
                Some(problem) if has_problem => problem.more += 1,
                _ => self.add_problem(path, error),
            }
            has_problem = true;
            if is_io {
                return;
            }
        }
    }

    fn add_problem(&mut self, path: &Path, error: ReadError) {
        let path = path.to_owned();
        self.run.problems.push(Problem {
            path,
            error,
            more: 0,
        });
    }

    fn add(&mut self, offset: u64, payload: &[u8]) -> Result<(), ReadError> {
        if let Some(event) = ScalarEvent::decode(payload) {
            self.add_time(offset, event.wall_time)?;
            let kind = || Kind::Scalar;
            if let Series::Scalars(points) = self.series_of(event.tag, kind) {
                push(points, event.step, event.wall_time, event.value);
            }
            return Ok(());
        }
        let to_error = |source| ReadError::Event { offset, source };
        let event = EventOutline::decode(payload).map_err(to_error)?;
        self.add_time(offset, event.wall_time)?;
        if !event.file_version.is_empty() {
            self.starts_purge = has_purging_starts(&event.file_version);
        }
        if event
            .session_log
            .is_some_and(|log| log.status() == LogStatus::Start)
        {
            self.add_start(event.step);
        }
        let values = event
            .summary
            .map(|summary| summary.value)
            .unwrap_or_default();
        let mut needs_tensors = false;
        for value in values {
            needs_tensors |= self.add_outline(event.step, event.wall_time, value);
        }
        if needs_tensors {
            self.add_tensors(Event::decode(payload).map_err(to_error)?);
        }
        Ok(())
    }

    fn add_time(&mut self, offset: u64, wall_time: f64) -> Result<(), ReadError> {
        if !wall_time.is_finite() {
            let found = wall_time;
            return Err(ReadError::WallTime { offset, found });
        }
        self.run.wall_times = span(self.run.wall_times, Some((wall_time, wall_time)));
        Ok(())
    }

    /// The start of a session at `step`. Source: `plugin_event_accumulator.py` in
    /// <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/backend/event_processing>.
    fn add_start(&mut self, step: i64) {
        if !self.starts_purge {
            return;
        }
        if self.is_armed {
            for series in &mut self.series {
                match series {
                    Series::Scalars(points) => drop_from(points, step),
                    Series::Texts(points) => drop_from(points, step),
                    Series::Other => {}
                }
            }
        }
        self.is_armed = true;
    }

    /// Adds what the outline tells; whether the value's tensor is needed too.
    fn add_outline(&mut self, step: i64, wall_time: f64, value: ValueOutline) -> bool {
        let metadata = value.metadata.as_ref();
        if let Some(info) = hparams::from_metadata(&value.tag, metadata) {
            self.add_session_info(info);
            return false;
        }
        let kind = || match value.simple_value {
            Some(_) => Kind::Scalar,
            None => Kind::of(metadata),
        };
        match (self.series_of(&value.tag, kind), value.simple_value) {
            (Series::Scalars(points), Some(number)) => {
                push(points, step, wall_time, number);
                false
            }
            (Series::Scalars(_) | Series::Texts(_), None) => true,
            (Series::Texts(_), Some(_)) | (Series::Other, _) => false,
        }
    }

    fn add_tensors(&mut self, event: Event) {
        let Some(event::What::Summary(summary)) = event.what else {
            return;
        };
        for value in summary.value {
            let Some(value::Value::Tensor(tensor)) = value.value else {
                continue;
            };
            match self.series_of(&value.tag, || Kind::Other) {
                Series::Scalars(points) => {
                    if let Some(number) = scalar::from_tensor(&tensor) {
                        push(points, event.step, event.wall_time, number);
                    }
                }
                Series::Texts(points) => {
                    if let Some(text) = text::from_tensor(&tensor) {
                        push(points, event.step, event.wall_time, text);
                    }
                }
                Series::Other => {}
            }
        }
    }

    /// The first start and the first end hold for ever, as in TensorBoard.
    fn add_session_info(&mut self, info: hparams::SessionInfo) {
        let known = |secs: f64| (secs > 0.0).then_some(secs);
        let session = &mut self.run.session;
        match info {
            hparams::SessionInfo::Experiment => self.run.has_experiment = true,
            hparams::SessionInfo::Start {
                hparams,
                start_time_secs,
            } => {
                let session = session.get_or_insert_default();
                if session.start_time_secs.is_none() && session.hparams.is_empty() {
                    session.hparams = hparams;
                    session.start_time_secs = known(start_time_secs);
                }
            }
            hparams::SessionInfo::End {
                status,
                end_time_secs,
            } => {
                let session = session.get_or_insert_default();
                if session.end_time_secs.is_none() && session.status.is_none() {
                    session.status = status;
                    session.end_time_secs = known(end_time_secs);
                }
            }
        }
    }

    /// The series of a tag; `kind` says what a new one is.
    fn series_of(&mut self, tag: &str, kind: impl FnOnce() -> Kind) -> &mut Series {
        let index = match self.tags.get(tag) {
            Some(&index) => index,
            None => {
                self.tags.insert(tag.to_owned(), self.series.len());
                self.series.push(match kind() {
                    Kind::Scalar => Series::Scalars(Vec::new()),
                    Kind::Text => Series::Texts(Vec::new()),
                    Kind::Other => Series::Other,
                });
                self.series.len() - 1
            }
        };
        &mut self.series[index]
    }
}

/// Adds a point behind those of smaller steps; all others are dropped. Source: `reservoir.rs` in
/// <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/data/server>.
fn push<T>(points: &mut Vec<Point<T>>, step: i64, wall_time: f64, value: T) {
    if points.last().is_some_and(|last| last.step >= step) {
        drop_from(points, step);
    }
    points.push(Point {
        step,
        wall_time,
        value,
    });
}

/// Drops the points at or after `step`.
fn drop_from<T>(points: &mut Vec<Point<T>>, step: i64) {
    points.truncate(points.partition_point(|point| point.step < step));
}

fn has_purging_starts(file_version: &str) -> bool {
    let version = file_version.strip_prefix("brain.Event:");
    version.is_some_and(|version| version.parse().is_ok_and(|version: f64| version >= 2.0))
}

/// Opens a file; `None` where it has gone or is no file, as a pipe, which might never end.
fn open_regular(path: &Path) -> io::Result<Option<File>> {
    let open = || match fs::metadata(path)?.is_file() {
        true => File::open(path).map(Some),
        false => Ok(None),
    };
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result,
    }
}
