//! Which run was best, and what differed between them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::report::measure::{counts_epochs, is_fraction};
use crate::report::metric::{self, Best, Direction, Role};
use crate::tb::{HParam, Point, Run};

/// Runs side by side: one row each, the best first.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What the runs are compared by; the first decides their order.
    pub metrics: Vec<Metric>,
    /// The names of the settings that differ, in order. A run without any setting is not asked; a
    /// setting that only some of the others have differs.
    pub differing: Vec<String>,
    /// The runs.
    pub rows: Vec<Row>,
}

/// One measure, under whatever name each run has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// `validation_accuracy`, `validation_loss` or, where series were asked for, the series.
    pub key: String,
    /// The name of the series, where all runs that have it agree.
    pub series: Option<String>,
    /// Which values are the better ones.
    pub direction: Direction,
}

/// What is known of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// [`Run::name`].
    pub name: String,
    /// [`Run::path`].
    pub path: PathBuf,
    /// The value of each metric that [`Best`] chose; of equal ones the earliest.
    pub best: Vec<Option<Reading>>,
    /// The last value of the test accuracy.
    pub test_accuracy: Option<Reading>,
    /// How long the run took: what it says itself (`performance/elapsed_secs`), else the time from
    /// its first event to its last.
    pub elapsed_secs: Option<f64>,
    /// All settings by name.
    pub settings: BTreeMap<String, HParam>,
}

/// One point of a series, with what its numbers mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The series it was read from, as [`Run::scalars`] takes it.
    pub series: String,
    /// Where in the training.
    pub step: i64,
    /// Whether steps count epochs, which is known of runs laid out as `cnn-tb train` does it.
    pub counts_epochs: bool,
    /// What was logged.
    pub value: f32,
    /// Whether this is a share of 1: its series is named an accuracy and stays within 0 and 1.
    pub is_fraction: bool,
}

impl Reading {
    /// What runs are compared by: the value; of an accuracy that is logged in per cent, as a share.
    ///
    /// An accuracy that leaves 0 to 1 but stays below 100 is taken for per cent, so that runs of both
    /// habits stand in one order.
    pub fn comparable(&self) -> f64 {
        self.share().unwrap_or_else(|| self.value.into())
    }

    /// An accuracy as a share of 1, whether it was logged so or in per cent.
    pub fn share(&self) -> Option<f64> {
        let value = f64::from(self.value);
        if self.is_fraction {
            return Some(value);
        }
        let is_per_cent = metric::names_accuracy(&self.series) && (0.0..=100.0).contains(&value);
        is_per_cent.then_some(value / 100.0)
    }
}

impl Comparison {
    /// The metric that decides, with its place in [`metrics`](Self::metrics): the first that any of
    /// the runs has.
    pub fn deciding(&self) -> Option<(usize, &Metric)> {
        let is_known = |index: usize| self.rows.iter().any(|row| row.best[index].is_some());
        let mut metrics = self.metrics.iter().enumerate();
        metrics.find(|(index, _)| is_known(*index))
    }

    /// What each row has of the metric that decides.
    pub fn deciding_readings(&self) -> Vec<Option<&Reading>> {
        let index = self.deciding().map_or(0, |(index, _)| index);
        self.rows
            .iter()
            .map(|row| row.best.get(index).and_then(Option::as_ref))
            .collect()
    }
}

/// Compares `runs` by their best validation accuracy and loss, which [`Role::find`] looks for, or
/// by the series in `asked`, where there are any. Runs without the first metric come last.
///
/// `best` says which value of the metric that decides stands for a run; of the other metrics, and
/// without it, their names do. [`Best::Last`] holds for all of them.
///
/// ```
/// use cnn_tb::report::compare::compare;
/// use cnn_tb::tb::{Logdir, SummaryWriter};
/// # let directory = tempfile::tempdir()?;
/// # let runs = directory.path();
/// for (name, accuracies) in [("exp1", [0.5, 0.75]), ("exp2", [1.0, 0.25])] {
///     let writer = SummaryWriter::create(runs.join(name))?;
///     for (step, accuracy) in accuracies.into_iter().enumerate() {
///         writer.add_scalar("Accuracy/val", accuracy, step)?;
///     }
///     writer.finish()?;
/// }
/// let comparison = compare(&Logdir::open(runs)?.runs()?, &[], None);
/// assert_eq!(comparison.rows[0].name, "exp2");
/// assert_eq!(comparison.rows[0].best[0].as_ref().map(|best| best.step), Some(0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn compare(runs: &[Run], asked: &[String], best: Option<Best>) -> Comparison {
    let questions = Question::list(asked, runs, best);
    let mut rows: Vec<Row> = runs
        .iter()
        .map(|run| row(run, &questions, best == Some(Best::Last)))
        .collect();
    sort_best_first(&mut rows, &questions);
    let metrics = questions
        .iter()
        .enumerate()
        .map(|(index, question)| Metric {
            key: question.key.to_owned(),
            series: agreed_series(rows.iter().filter_map(|row| row.best[index].as_ref())),
            direction: question.direction,
        });
    Comparison {
        metrics: metrics.collect(),
        differing: differing(&rows),
        rows,
    }
}

/// What a metric asks of each run: a series by its name, or the one that fits a role.
struct Question<'a> {
    key: &'a str,
    role: Option<Role>,
    direction: Direction,
}

impl<'a> Question<'a> {
    fn list(asked: &'a [String], runs: &[Run], best: Option<Best>) -> Vec<Self> {
        let question = |key: &'a str, role| Self {
            key,
            role,
            direction: Direction::of(key),
        };
        let mut questions: Vec<Self> = match asked {
            [] => vec![
                question("validation_accuracy", Some(Role::ValidationAccuracy)),
                question("validation_loss", Some(Role::ValidationLoss)),
            ],
            asked => asked.iter().map(|key| question(key, None)).collect(),
        };
        let is_answered = |question: &&mut Self| runs.iter().any(|run| question.is_answered(run));
        if let Some(deciding) = questions.iter_mut().find(is_answered) {
            deciding.direction = match best {
                None | Some(Best::Last) => deciding.direction,
                Some(Best::Min) => Direction::Lower,
                Some(Best::Max) => Direction::Higher,
            };
        }
        questions
    }

    fn is_answered(&self, run: &Run) -> bool {
        let names: Vec<String> = run.scalar_series().map(|(name, _)| name).collect();
        self.series(names.iter().map(String::as_str)).is_some()
    }

    fn series<'b>(&self, mut names: impl Iterator<Item = &'b str>) -> Option<&'b str> {
        match self.role {
            Some(role) => role.find(names),
            None => names.find(|&name| name == self.key),
        }
    }
}

fn row(run: &Run, questions: &[Question], takes_last: bool) -> Row {
    let series: BTreeMap<String, &[Point]> = run.scalar_series().collect();
    let names = || series.keys().map(String::as_str);
    let best = |question: &Question| {
        let name = question.series(names())?;
        reading(run, name, |points| match takes_last {
            true => points.last(),
            false => best_point(points, question.direction),
        })
    };
    let best: Vec<Option<Reading>> = questions.iter().map(best).collect();
    // A run whose only held-out data are called test has them in the first column already.
    let is_new = |name: &&str| best.iter().flatten().all(|best| best.series != *name);
    let test_series = Role::TestAccuracy.find(names()).filter(is_new);
    Row {
        name: run.name().to_owned(),
        path: run.path().to_owned(),
        test_accuracy: test_series.and_then(|name| reading(run, name, <[Point]>::last)),
        best,
        elapsed_secs: elapsed_secs(run),
        settings: run.hparams().clone(),
    }
}

/// The point of a series that `choose` takes.
fn reading(
    run: &Run,
    series: &str,
    choose: impl FnOnce(&[Point]) -> Option<&Point>,
) -> Option<Reading> {
    let points = run.scalars(series).ok()?;
    let point = choose(points)?;
    Some(Reading {
        series: series.to_owned(),
        step: point.step,
        counts_epochs: counts_epochs(run, series, points),
        value: point.value,
        is_fraction: is_fraction(series, points),
    })
}

/// The first among the best.
fn best_point(points: &[Point], direction: Direction) -> Option<&Point> {
    let order =
        |one: &&Point, other: &&Point| direction.best_first(one.value.into(), other.value.into());
    points.iter().min_by(order)
}

fn elapsed_secs(run: &Run) -> Option<f64> {
    let said = run.scalars("performance/elapsed_secs").ok();
    match said.and_then(<[Point]>::last) {
        Some(point) => Some(point.value.into()),
        None => run.wall_times().map(|(first, last)| last - first),
    }
}

/// Orders by the first metric, then by the next ones; what is equal stays as it was, by name.
fn sort_best_first(rows: &mut [Row], questions: &[Question]) {
    let value = |row: &Row, index: usize| row.best[index].as_ref().map(Reading::comparable);
    rows.sort_by(|one, other| {
        let orders = questions.iter().enumerate().map(|(index, question)| {
            match (value(one, index), value(other, index)) {
                (Some(one), Some(other)) => question.direction.best_first(one, other),
                (one, other) => one.is_none().cmp(&other.is_none()),
            }
        });
        orders.fold(Ordering::Equal, Ordering::then)
    });
}

fn agreed_series<'a>(readings: impl Iterator<Item = &'a Reading>) -> Option<String> {
    let names: BTreeSet<&str> = readings.map(|best| best.series.as_str()).collect();
    let mut names = names.into_iter();
    let first = names.next()?;
    names.next().is_none().then(|| first.to_owned())
}

fn differing(rows: &[Row]) -> Vec<String> {
    let rows: Vec<&Row> = rows.iter().filter(|row| !row.settings.is_empty()).collect();
    let names: BTreeSet<&String> = rows.iter().flat_map(|row| row.settings.keys()).collect();
    let differs = |name: &&String| {
        let mut values = rows.iter().map(|row| row.settings.get(*name));
        let first = values.next();
        values.any(|value| Some(value) != first)
    };
    names.into_iter().filter(differs).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tb::{Logdir, SummaryWriter};

    /// Series by name, each with its values from step 1 on.
    type Scalars<'a> = &'a [(&'a str, &'a [f64])];
    type Settings<'a> = &'a [(&'a str, HParam)];

    fn compare_written(runs: &[(&str, Scalars, Settings)], asked: &[&str]) -> Comparison {
        compare_best(runs, asked, None)
    }

    fn compare_best(
        runs: &[(&str, Scalars, Settings)],
        asked: &[&str],
        best: Option<Best>,
    ) -> Comparison {
        let logdir = tempfile::tempdir().unwrap();
        for (name, scalars, settings) in runs {
            let writer = SummaryWriter::create(logdir.path().join(name)).unwrap();
            if !settings.is_empty() {
                writer.add_hparams(settings.iter().cloned()).unwrap();
            }
            for (series, values) in *scalars {
                for (step, value) in (1..).zip(values.iter().copied()) {
                    writer.add_scalar(series, value, step).unwrap();
                }
            }
            writer.finish().unwrap();
        }
        let asked: Vec<String> = asked.iter().map(|&series| series.to_owned()).collect();
        compare(
            &Logdir::open(logdir.path()).unwrap().runs().unwrap(),
            &asked,
            best,
        )
    }

    fn names(comparison: &Comparison) -> Vec<&str> {
        let names = comparison.rows.iter().map(|row| row.name.as_str());
        names.collect()
    }

    fn best(row: &Row, index: usize) -> Option<(&str, i64, f32, bool)> {
        let best = row.best[index].as_ref()?;
        Some((&best.series, best.step, best.value, best.is_fraction))
    }

    #[test]
    fn rows_hold_the_best_points_and_stand_best_first() {
        let comparison = compare_written(
            &[
                (
                    "a",
                    &[
                        ("val/acc", &[0.5, 0.75, 0.75]),
                        ("val/loss", &[2.0, 1.0, 3.0]),
                    ],
                    &[],
                ),
                ("b", &[("val/loss", &[0.5])], &[]),
                (
                    "c",
                    &[("val_accuracy", &[50.0, 87.5]), ("test_acc", &[80.0, 81.0])],
                    &[],
                ),
                ("d", &[("val/acc", &[0.75]), ("val/loss", &[0.25])], &[]),
                ("e", &[("val/acc", &[f64::NAN]), ("train/acc", &[1.0])], &[]),
            ],
            &[],
        );
        assert_eq!(names(&comparison), ["c", "d", "a", "e", "b"]);
        let [c, d, a, e, b] = &comparison.rows[..] else {
            panic!("{comparison:?}")
        };
        assert_eq!(best(a, 0), Some(("val/acc", 2, 0.75, true)));
        assert_eq!(best(a, 1), Some(("val/loss", 2, 1.0, false)));
        assert_eq!(best(b, 0), None);
        assert_eq!(best(c, 0), Some(("val_accuracy", 2, 87.5, false)));
        assert_eq!(c.test_accuracy.as_ref().map(|test| test.value), Some(81.0));
        assert_eq!(best(d, 1), Some(("val/loss", 1, 0.25, false)));
        assert!(best(e, 0).is_some_and(|(.., value, is_fraction)| value.is_nan() && is_fraction));

        let metric = |key: &str, series: Option<&str>, direction| Metric {
            key: key.to_owned(),
            series: series.map(String::from),
            direction,
        };
        assert_eq!(
            comparison.metrics,
            [
                metric("validation_accuracy", None, Direction::Higher),
                metric("validation_loss", Some("val/loss"), Direction::Lower),
            ]
        );
    }

    #[test]
    fn series_that_were_asked_for_replace_those_found() {
        let runs: &[(&str, Scalars, Settings)] = &[
            ("a", &[("bleu", &[20.0, 30.0]), ("val/wer", &[0.5])], &[]),
            ("b", &[("bleu", &[25.0]), ("val/wer", &[0.25])], &[]),
        ];
        let by_bleu = compare_written(runs, &["bleu", "nothing"]);
        assert_eq!(names(&by_bleu), ["a", "b"]);
        assert_eq!(best(&by_bleu.rows[0], 0), Some(("bleu", 2, 30.0, false)));
        assert_eq!(best(&by_bleu.rows[0], 1), None);
        assert_eq!(names(&compare_written(runs, &["val/wer"])), ["b", "a"]);
    }

    #[test]
    fn another_point_stands_for_the_run_where_it_is_asked_for() {
        let runs: &[(&str, Scalars, Settings)] = &[
            ("a", &[("val/loss", &[0.5, 2.0, 1.0])], &[]),
            ("b", &[("val/loss", &[0.25, 1.0, 3.0])], &[]),
            ("c", &[("val/loss", &[0.75, 0.5, f64::NAN])], &[]),
        ];
        let cases = [
            (None, ["b", "a", "c"], (1, 0.25)),
            (Some(Best::Min), ["b", "a", "c"], (1, 0.25)),
            (Some(Best::Max), ["b", "a", "c"], (3, 3.0)),
            (Some(Best::Last), ["a", "b", "c"], (3, 1.0)),
        ];
        for (chosen, order, (step, value)) in cases {
            let comparison = compare_best(runs, &[], chosen);
            assert_eq!(names(&comparison), order, "{chosen:?}");
            // No run has an accuracy, so the loss decides.
            assert_eq!(comparison.deciding().map(|(index, _)| index), Some(1));
            let first = comparison.deciding_readings()[0];
            assert_eq!(
                first.map(|first| (first.step, first.value)),
                Some((step, value))
            );
        }
    }

    #[test]
    fn settings_differ_among_runs_that_have_any() {
        let scalars: Scalars = &[("loss", &[1.0])];
        let comparison = compare_written(
            &[
                ("a", scalars, &[("lr", 0.1.into()), ("seed", 1.into())]),
                ("b", scalars, &[("lr", 0.1.into()), ("seed", 2.into())]),
                (
                    "c",
                    scalars,
                    &[
                        ("lr", 0.1.into()),
                        ("seed", 1.into()),
                        ("flip", true.into()),
                    ],
                ),
                ("d", scalars, &[]),
            ],
            &[],
        );
        assert_eq!(comparison.differing, ["flip", "seed"]);
        assert_eq!(
            compare_written(&[("a", scalars, &[("lr", 1.into())])], &[]).differing,
            [""; 0]
        );
        assert_eq!(compare_written(&[], &[]).rows, []);
    }

    #[test]
    fn a_test_series_that_stands_in_for_validation_is_not_shown_twice() {
        let comparison = compare_written(&[("a", &[("test/acc", &[0.5, 0.25])], &[])], &[]);
        assert_eq!(
            best(&comparison.rows[0], 0),
            Some(("test/acc", 1, 0.5, true))
        );
        assert_eq!(comparison.rows[0].test_accuracy, None);
    }

    #[test]
    fn steps_count_epochs_where_the_run_says_so() {
        let cases: [(&str, Settings, bool); 4] = [
            ("validation/accuracy", &[("epochs", 2.into())], true),
            ("validation/accuracy", &[("epochs", 1.into())], false),
            ("validation/accuracy", &[("seed", 1.into())], false),
            ("accuracy/val", &[("epochs", 2.into())], false),
        ];
        for (series, settings, expected) in cases {
            let runs: &[(&str, Scalars, Settings)] = &[("a", &[(series, &[0.5, 0.75])], settings)];
            let comparison = compare_written(runs, &[]);
            let best = comparison.rows[0].best[0].as_ref();
            assert_eq!(
                best.map(|best| best.counts_epochs),
                Some(expected),
                "{series}"
            );
        }
    }

    #[test]
    fn time_is_what_the_run_says_else_what_its_events_span() {
        let logdir = tempfile::tempdir().unwrap();
        let writer = SummaryWriter::create(logdir.path().join("a")).unwrap();
        writer.at(1e9).add_scalar("loss", 1.0, 1).unwrap();
        writer.at(5e9).add_scalar("loss", 1.0, 2).unwrap();
        let elapsed_secs = || {
            let runs = Logdir::open(logdir.path()).unwrap().runs().unwrap();
            compare(&runs, &[], None).rows[0].elapsed_secs
        };
        assert_eq!(elapsed_secs(), Some(4e9));
        writer
            .add_scalar("performance/elapsed_secs", 2.5, 2)
            .unwrap();
        assert_eq!(elapsed_secs(), Some(2.5));
    }
}
