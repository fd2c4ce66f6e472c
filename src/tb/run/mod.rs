//! A run that is read: its series, its session, and what was wrong with its files.

mod hparams_yaml;
mod loader;
mod stored;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::tb::proto::TensorProto;
use crate::tb::proto::summary::{Value, value};
use crate::tb::reader::ReadError;
use crate::tb::summary::histogram::Histogram;
use crate::tb::summary::image::Images;
use crate::tb::summary::{Kind, audio};

pub(crate) use loader::read_directory;
use stored::{Location, Stored, StoredReader};

pub use stored::{SeriesError, StoredImage};

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

/// What a run holds under one name, without its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// As [`Run::scalars`] and the like take it.
    pub name: String,
    /// What its values are.
    pub kind: Kind,
    /// How many there are; one or more.
    pub points: usize,
    /// The least step.
    pub first_step: i64,
    /// The largest step.
    pub last_step: i64,
}

impl Series {
    /// `None` without points, as a restart may leave a series.
    fn of<T>(name: String, kind: Kind, points: &[Point<T>]) -> Option<Self> {
        Some(Self {
            name,
            kind,
            points: points.len(),
            first_step: points.first()?.step,
            last_step: points.last()?.step,
        })
    }
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
    stored: BTreeMap<String, Stored>,
    /// Scalars that a restart or a step that went back dropped, in the order in which it did.
    dropped_scalars: BTreeMap<String, Vec<Point>>,
    /// Count of all points that were dropped, scalars and others.
    dropped: u64,
    /// The event files that `stored` points into.
    files: Vec<PathBuf>,
    bytes: u64,
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
            stored: BTreeMap::new(),
            dropped_scalars: BTreeMap::new(),
            dropped: 0,
            files: Vec::new(),
            bytes: 0,
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

    /// All series of the run and its children that hold a point, of every kind, with the name that
    /// [`scalars`](Self::scalars) and its like take; the run's own first, scalars, texts and others
    /// apart.
    ///
    /// ```
    /// use cnn_tb::tb::{Kind, Logdir, SummaryWriter};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path();
    /// let writer = SummaryWriter::create(path)?;
    /// writer.add_scalar("loss", 0.5, 7)?;
    /// writer.add_histogram("weights", &[0.1, 0.2], 7)?;
    /// writer.finish()?;
    /// for run in Logdir::open(path)?.runs()? {
    ///     let series: Vec<_> = run.series().collect();
    ///     assert_eq!((series[0].name.as_str(), series[0].kind), ("loss", Kind::Scalar));
    ///     assert_eq!((series[1].name.as_str(), series[1].kind), ("weights", Kind::Histogram));
    ///     assert_eq!((series[1].points, series[1].last_step), (1, 7));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn series(&self) -> impl Iterator<Item = Series> {
        let children = self.children.iter().flat_map(|child| {
            child.own_series().map(|series| Series {
                name: format!("{}/{}", child.name, series.name),
                ..series
            })
        });
        self.own_series().chain(children)
    }

    fn own_series(&self) -> impl Iterator<Item = Series> {
        let scalars = self.scalars.iter();
        let texts = self.texts.iter();
        let stored = self.stored.iter();
        scalars
            .filter_map(|(tag, points)| Series::of(tag.clone(), Kind::Scalar, points))
            .chain(texts.filter_map(|(tag, points)| Series::of(tag.clone(), Kind::Text, points)))
            .chain(
                stored.filter_map(|(tag, stored)| {
                    Series::of(tag.clone(), stored.kind, &stored.points)
                }),
            )
    }

    /// The images of a tag, by step, addressed as [`scalars`](Self::scalars) are. They are read from
    /// the event files at each call; a point whose value holds no image is left out.
    ///
    /// ```
    /// use cnn_tb::tb::{Logdir, SummaryWriter, image::Image};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path();
    /// let writer = SummaryWriter::create(path)?;
    /// let digit = Image::from_f32_hw(&[0.5; 28 * 20], [28, 20])?;
    /// writer.add_image("digit", &digit, 3)?;
    /// writer.finish()?;
    /// for run in Logdir::open(path)?.runs()? {
    ///     for point in run.images("digit")? {
    ///         for (index, image) in point.value.iter().enumerate() {
    ///             assert_eq!((image.width, image.height), (20, 28));
    ///             std::fs::write(path.join(format!("{}_{index}.png", point.step)), &image.bytes)?;
    ///         }
    ///     }
    /// }
    /// assert!(std::fs::read(path.join("3_0.png"))?.starts_with(b"\x89PNG"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`SeriesError`]: there is no such series, or its files have changed or cannot be read.
    pub fn images(&self, tag: &str) -> Result<Vec<Point<Vec<StoredImage>>>, SeriesError> {
        self.read_stored(Kind::Image, tag, |value| {
            let images = Images::from_value(value)?;
            let (width, height) = (
                images.width.try_into().ok()?,
                images.height.try_into().ok()?,
            );
            let files = images.files.into_iter();
            Some(
                files
                    .map(|bytes| StoredImage {
                        width,
                        height,
                        bytes,
                    })
                    .collect(),
            )
        })
    }

    /// The clips of a tag, by step, each an encoded file as it was logged; otherwise as
    /// [`images`](Self::images).
    ///
    /// # Errors
    /// As [`images`](Self::images).
    pub fn audio(&self, tag: &str) -> Result<Vec<Point<Vec<Vec<u8>>>>, SeriesError> {
        self.read_stored(Kind::Audio, tag, audio::from_value)
    }

    /// The histograms of a tag, by step, in both forms; otherwise as [`images`](Self::images).
    ///
    /// ```
    /// use cnn_tb::tb::{Logdir, SummaryWriter};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path();
    /// let writer = SummaryWriter::create(path)?;
    /// writer.add_histogram("weights", &[-1.0, 0.25, 0.5, 2.0], 7)?;
    /// writer.finish()?;
    /// for run in Logdir::open(path)?.runs()? {
    ///     for point in run.histograms("weights")? {
    ///         let buckets = &point.value.buckets;
    ///         let (first, last) = (buckets[0], buckets[buckets.len() - 1]);
    ///         assert_eq!((point.step, first.left, last.right), (7, -1.0, 2.0));
    ///         assert_eq!(buckets.iter().map(|bucket| bucket.count).sum::<f64>(), 4.0);
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`images`](Self::images).
    pub fn histograms(&self, tag: &str) -> Result<Vec<Point<Histogram>>, SeriesError> {
        self.read_stored(Kind::Histogram, tag, Histogram::from_value)
    }

    /// The tensors of a series of the given kind, such as [`Kind::PrCurve`] or [`Kind::Mesh`], as
    /// they lie in the event files; otherwise as [`images`](Self::images). Graphs and what one step
    /// of them cost are tensors of one byte string.
    ///
    /// # Errors
    /// As [`images`](Self::images).
    pub fn tensors(&self, kind: Kind, tag: &str) -> Result<Vec<Point<TensorProto>>, SeriesError> {
        self.read_stored(kind, tag, |value| match value.value? {
            value::Value::Tensor(tensor) => Some(tensor),
            _ => None,
        })
    }

    fn read_stored<T>(
        &self,
        kind: Kind,
        tag: &str,
        decode: impl Fn(Value) -> Option<T>,
    ) -> Result<Vec<Point<T>>, SeriesError> {
        let (run, tag, points) = self.find_stored(kind, tag)?;
        let mut reader = StoredReader::new(&run.files);
        let mut decoded = Vec::new();
        for point in points {
            if let Some(value) = decode(reader.read(tag, point)?) {
                decoded.push(Point {
                    step: point.step,
                    wall_time: point.wall_time,
                    value,
                });
            }
        }
        Ok(decoded)
    }

    /// Where the values of a series lie: the run that has it, and its tag there.
    fn find_stored<'a>(
        &'a self,
        kind: Kind,
        name: &'a str,
    ) -> Result<(&'a Run, &'a str, &'a [Point<Location>]), NoSeries> {
        let of = |run: &'a Run, tag: &'a str| {
            let stored = run.stored.get(tag).filter(|stored| stored.kind == kind)?;
            Some((run, tag, &stored.points[..]))
        };
        let in_child = |child: &'a Run| {
            of(
                child,
                name.strip_prefix(child.name.as_str())?.strip_prefix('/')?,
            )
        };
        let known = || self.series().filter(|series| series.kind == kind);
        of(self, name)
            .or_else(|| self.children.iter().find_map(in_child))
            .ok_or_else(|| NoSeries {
                run: self.name.clone(),
                kind: kind.name(),
                tag: name.to_owned(),
                known: known().map(|series| series.name).collect(),
            })
    }

    /// The size of the event files of the run and its children, in bytes.
    pub fn bytes(&self) -> u64 {
        self.children
            .iter()
            .fold(self.bytes, |all, child| all + child.bytes)
    }

    /// How many points of the run and its children a restart or a step that went back dropped.
    pub fn dropped(&self) -> u64 {
        self.children
            .iter()
            .fold(self.dropped, |all, child| all + child.dropped)
    }

    /// The points of a scalar that a restart or a step that went back dropped, in the order in which
    /// they were dropped, addressed as [`scalars`](Self::scalars) are; empty where none were.
    ///
    /// ```
    /// use cnn_tb::tb::{Logdir, SummaryWriter};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path();
    /// let writer = SummaryWriter::create(path)?;
    /// for (step, loss) in [(1, 0.75), (2, 0.5), (3, 4.0)] {
    ///     writer.add_scalar("loss", loss, step)?;
    /// }
    /// writer.finish()?;
    /// // The third step went wrong, and is done again.
    /// let writer = SummaryWriter::append(path, 3)?;
    /// writer.add_scalar("loss", 0.25, 3)?;
    /// writer.finish()?;
    /// for run in Logdir::open(path)?.runs()? {
    ///     let losses: Vec<_> = run.scalars("loss")?.iter().map(|point| point.value).collect();
    ///     assert_eq!(losses, [0.75, 0.5, 0.25]);
    ///     let dropped = run.dropped_points("loss");
    ///     assert_eq!((dropped[0].step, dropped[0].value), (3, 4.0));
    ///     assert_eq!(run.dropped(), 1);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dropped_points(&self, tag: &str) -> &[Point] {
        let found = self.find("scalar", tag, |run| &run.dropped_scalars);
        found.unwrap_or_default()
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
        let first = self.files.len() as u32;
        for (tag, mut stored) in child.stored {
            for point in &mut stored.points {
                point.value.file += first;
            }
            self.stored.entry(tag).or_insert(stored);
        }
        for (tag, points) in child.dropped_scalars {
            self.dropped_scalars.entry(tag).or_default().extend(points);
        }
        self.dropped += child.dropped;
        self.files.extend(child.files);
        self.bytes += child.bytes;
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
