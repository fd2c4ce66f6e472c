//! What a listing of runs is made of.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::report::measure::{Measure, is_fraction};
use crate::report::metric::Direction;
use crate::tb::writer::is_being_written;
use crate::tb::{HParam, Point, Run, SessionStatus};

/// One run of a listing.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What to call it.
    pub name: String,
    /// [`Run::path`].
    pub path: PathBuf,
    /// The point of the measure that counts, where the run has one.
    pub best: Option<Point>,
    /// Whether that value is a share of 1: an accuracy whose series stays within 0 and 1.
    pub is_fraction: bool,
    /// How many points its scalars have.
    pub points: usize,
    /// The size of its event files in bytes.
    pub bytes: u64,
    /// The largest step of its scalars.
    pub last_step: Option<i64>,
    /// When its last event was logged, in seconds since the Unix epoch.
    pub last_event_secs: Option<f64>,
    /// How it stands, where the run says so.
    pub status: Option<Status>,
    /// Its hyper-parameters.
    pub hparams: BTreeMap<String, HParam>,
}

/// How a run stands, by what it says itself: by the end of its session and, where it has none, by
/// the lock that our writer holds. What is not said is not guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A writer of ours is at it.
    Running,
    /// Its session ended well.
    Finished,
    /// Its session ended with a failure.
    Failed,
    /// Its session has no end, and no writer of ours is at it: it was interrupted or killed, or
    /// another program still writes it.
    Unfinished,
}

impl Status {
    /// How `run` stands; `None` where it has no session or one that does not say.
    pub fn of(run: &Run) -> Option<Self> {
        let session = run.session()?;
        match session.status {
            Some(SessionStatus::Success) => Some(Self::Finished),
            Some(SessionStatus::Failure) => Some(Self::Failed),
            Some(SessionStatus::Running) => None,
            None if session.end_time_secs.is_some() => None,
            None if is_being_written(run.path()) => Some(Self::Running),
            None => Some(Self::Unfinished),
        }
    }

    /// `running`, `finished`, `failed` or `unfinished`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Unfinished => "unfinished",
        }
    }
}

/// What a listing is ordered by. Runs that lack it come last; equal ones stay as they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// The measure, the best first.
    Measure,
    /// As the runs are given: by name.
    Name,
    /// The most points first.
    Points,
    /// The largest first.
    Size,
    /// The furthest first.
    LastStep,
    /// The latest first.
    LastEvent,
    /// A hyper-parameter, the least first; texts after numbers.
    HParam(String),
}

/// The row of `run`, which people know as `name`.
///
/// ```
/// use cnn_tb::report::{list, measure::Measure};
/// use cnn_tb::tb::{Logdir, SummaryWriter};
/// # let directory = tempfile::tempdir()?;
/// # let runs = directory.path();
/// let writer = SummaryWriter::create(runs.join("exp1"))?;
/// writer.add_hparams([("lr", 0.1.into())])?;
/// for (step, loss) in [0.5, 0.25, 0.75].into_iter().enumerate() {
///     writer.add_scalar("loss", loss, step)?;
/// }
/// let run = &Logdir::open(runs)?.runs()?[0];
/// let row = list::row(run, run.name(), Some(&Measure::of("loss", None)));
/// assert_eq!(row.best.map(|point| (point.step, point.value)), Some((1, 0.25)));
/// assert_eq!((row.points, row.last_step), (3, Some(2)));
/// assert_eq!(row.status, Some(list::Status::Running)); // Until `writer` is finished.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn row(run: &Run, name: &str, measure: Option<&Measure>) -> Row {
    let last = run.scalar_series().filter_map(|(_, points)| points.last());
    Row {
        name: name.to_owned(),
        path: run.path().to_owned(),
        best: measure.and_then(|measure| measure.point(run)).cloned(),
        is_fraction: measure.is_some_and(|measure| {
            let points = run.scalars(&measure.series).unwrap_or_default();
            is_fraction(&measure.series, points)
        }),
        points: run.scalar_series().map(|(_, points)| points.len()).sum(),
        bytes: run.bytes(),
        last_step: last.map(|point| point.step).max(),
        last_event_secs: run.wall_times().map(|(_, last)| last),
        status: Status::of(run),
        hparams: run.hparams().clone(),
    }
}

/// Puts rows in order; `direction` says which values of the measure are the better ones.
pub fn sort(rows: &mut [Row], order: &Order, direction: Direction) {
    match order {
        Order::Name => {}
        Order::Measure => rows.sort_by(|one, other| {
            let value = |row: &Row| row.best.as_ref().map_or(f64::NAN, |best| best.value.into());
            let has_none = |row: &Row| row.best.is_none();
            let by_value = direction.best_first(value(one), value(other));
            has_none(one).cmp(&has_none(other)).then(by_value)
        }),
        Order::Points => rows.sort_by_key(|row| std::cmp::Reverse(row.points)),
        Order::Size => rows.sort_by_key(|row| std::cmp::Reverse(row.bytes)),
        Order::LastStep => rows.sort_by_key(|row| std::cmp::Reverse(row.last_step)),
        Order::LastEvent => rows.sort_by(|one, other| {
            let time = |row: &Row| row.last_event_secs.unwrap_or(f64::NEG_INFINITY);
            time(other).total_cmp(&time(one))
        }),
        Order::HParam(name) => rows.sort_by(|one, other| {
            let key = |row: &Row| match row.hparams.get(name) {
                Some(HParam::Number(number)) => (0, *number, String::new()),
                Some(other) => (1, 0.0, other.to_string()),
                None => (2, 0.0, String::new()),
            };
            let (one, other) = (key(one), key(other));
            let by_number = one.0.cmp(&other.0).then(one.1.total_cmp(&other.1));
            by_number.then_with(|| one.2.cmp(&other.2))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, best: Option<f32>, lr: Option<HParam>) -> Row {
        Row {
            name: name.to_owned(),
            path: PathBuf::new(),
            best: best.map(|value| Point {
                step: 1,
                wall_time: 1e9,
                value,
            }),
            is_fraction: false,
            points: name.len(),
            bytes: 0,
            last_step: best.map(|value| value as i64),
            last_event_secs: best.map(f64::from),
            status: None,
            hparams: lr.map(|lr| ("lr".to_owned(), lr)).into_iter().collect(),
        }
    }

    #[test]
    fn rows_come_in_the_order_that_is_asked_for_and_those_that_lack_it_last() {
        let rows = [
            row("none", None, None),
            row("a", Some(2.0), Some("adaptive".into())),
            row("bb", Some(f32::NAN), Some(0.1.into())),
            row("ccc", Some(1.0), Some(0.01.into())),
        ];
        let cases = [
            (Order::Name, "none a bb ccc"),
            (Order::Measure, "ccc a bb none"),
            (Order::Points, "none ccc bb a"),
            (Order::LastStep, "a ccc bb none"),
            (Order::HParam("lr".to_owned()), "ccc bb a none"),
            (Order::HParam("seed".to_owned()), "none a bb ccc"),
        ];
        for (order, expected) in cases {
            let mut rows = rows.to_vec();
            sort(&mut rows, &order, Direction::Lower);
            let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
            assert_eq!(names.join(" "), expected, "{order:?}");
        }
    }
}
