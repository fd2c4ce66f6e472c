//! What runs are ranked by: one series, and which of its values counts.

use std::collections::BTreeSet;

use crate::report::metric::{Best, Direction, Role, names_accuracy};
use crate::tb::{HParam, Point, Run};

/// A series that runs are ranked by.
///
/// ```
/// use cnn_tb::report::measure::Measure;
/// use cnn_tb::report::metric::{Best, Direction};
/// let measure = Measure::of("Loss/val", None);
/// assert_eq!((measure.best, measure.direction()), (Best::Min, Direction::Lower));
/// assert_eq!(Measure::of("Loss/val", Some(Best::Max)).direction(), Direction::Higher);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// As [`Run::scalars`] takes it.
    pub series: String,
    /// Which of its values counts.
    pub best: Best,
    /// Whether `best` follows from the name, rather than having been asked for.
    pub is_by_name: bool,
}

impl Measure {
    /// The measure of `series`; without `best`, what its name tells ([`Direction::of`]).
    pub fn of(series: &str, best: Option<Best>) -> Self {
        let by_name = match Direction::of(series) {
            Direction::Higher => Best::Max,
            Direction::Lower => Best::Min,
        };
        Self {
            series: series.to_owned(),
            best: best.unwrap_or(by_name),
            is_by_name: best.is_none(),
        }
    }

    /// The measure that nobody has to ask for: `validation/accuracy`, else the series of `runs`
    /// that fits a validation accuracy best, else one that fits a validation loss ([`Role::find`]).
    pub fn usual(runs: &[Run], best: Option<Best>) -> Option<Self> {
        const OURS: &str = "validation/accuracy";
        let names: BTreeSet<String> = scalar_names(runs);
        let find = |role: Role| role.find(names.iter().map(String::as_str));
        let series = names
            .get(OURS)
            .map(String::as_str)
            .or_else(|| find(Role::ValidationAccuracy))
            .or_else(|| find(Role::ValidationLoss))?;
        Some(Self::of(series, best))
    }

    /// Which values come first in an order of runs; that of the name where the last value counts.
    pub fn direction(&self) -> Direction {
        match self.best {
            Best::Min => Direction::Lower,
            Best::Max => Direction::Higher,
            Best::Last => Direction::of(&self.series),
        }
    }

    /// The point of `run` that counts: of equal ones the earliest, a NaN where there is nothing
    /// else. `None` where the run has no such series.
    pub fn point<'a>(&self, run: &'a Run) -> Option<&'a Point> {
        let points = run.scalars(&self.series).ok()?;
        if self.best == Best::Last {
            return points.last();
        }
        let direction = self.direction();
        points
            .iter()
            .min_by(|one, other| direction.best_first(f64::from(one.value), f64::from(other.value)))
    }
}

/// Whether the points of `series` are shares of 1: it is named an accuracy and stays within 0 and 1.
pub fn is_fraction(series: &str, points: &[Point]) -> bool {
    let is_share = |point: &Point| point.value.is_nan() || (0.0..=1.0).contains(&point.value);
    names_accuracy(series) && points.iter().all(is_share)
}

/// Whether the steps of `series` count epochs. `cnn-tb train` logs by epochs completed in the children
/// `train` and `validation`, and says in its settings how many there are to be.
pub fn counts_epochs(run: &Run, series: &str, points: &[Point]) -> bool {
    let Some(HParam::Number(epochs)) = run.hparams().get("epochs") else {
        return false;
    };
    let is_child = ["train/", "validation/"]
        .iter()
        .any(|child| series.starts_with(child));
    let last = points.last();
    is_child && last.is_some_and(|last| last.step as f64 <= *epochs)
}

/// The names of all scalars of `runs`.
pub fn scalar_names(runs: &[Run]) -> BTreeSet<String> {
    let series = runs.iter().flat_map(Run::scalar_series);
    series.map(|(name, _)| name).collect()
}
