//! What runs are ranked by: one series, and which of its values counts.

use std::collections::BTreeSet;

use crate::report::metric::{Best, Direction, Role};
use crate::tb::{Point, Run};

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

/// The names of all scalars of `runs`.
pub fn scalar_names(runs: &[Run]) -> BTreeSet<String> {
    let series = runs.iter().flat_map(Run::scalar_series);
    series.map(|(name, _)| name).collect()
}
