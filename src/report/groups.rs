//! Runs that differ by chance alone, as by their seed, taken together.

use std::collections::BTreeMap;

use crate::report::compare::{Comparison, Reading};
use crate::tb::HParam;

/// The runs that have the same value of each of some settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The value of each setting, in the order in which they were asked for; `None` where the runs
    /// do not have it.
    pub settings: Vec<Option<HParam>>,
    /// The places of its runs in [`Comparison::rows`], those without the metric too.
    pub rows: Vec<usize>,
    /// What its runs have of the metric that decides; `None` where none of them has it.
    pub spread: Option<Spread>,
    /// Whether all of these values are shares of 1 ([`Reading::share`]).
    pub is_share: bool,
}

/// How some values lie around their mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// How many values there are.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// The sample standard deviation, which divides by `count` − 1; one value has none.
    pub deviation: Option<f64>,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
}

impl Spread {
    /// Of at least one value. A NaN among them makes all numbers NaN, so that a diverged run is not
    /// lost in a mean.
    ///
    /// ```
    /// use cnn_tb::report::groups::Spread;
    /// let spread = Spread::of(&[1.0, 2.0, 6.0]).ok_or("no values")?;
    /// assert_eq!((spread.mean, spread.deviation), (3.0, Some(7.0_f64.sqrt())));
    /// assert_eq!(Spread::of(&[]), None);
    /// # Ok::<(), &str>(())
    /// ```
    pub fn of(values: &[f64]) -> Option<Self> {
        let first = *values.first()?;
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let fold = |choose: fn(f64, f64) -> f64| {
            let propagate = |one: f64, other: f64| match one.is_nan() || other.is_nan() {
                true => f64::NAN,
                false => choose(one, other),
            };
            values.iter().copied().fold(first, propagate)
        };
        Some(Self {
            count,
            mean,
            deviation: (count > 1).then(|| (squares / (count - 1) as f64).sqrt()),
            min: fold(f64::min),
            max: fold(f64::max),
        })
    }
}

/// Puts the runs into groups by the values of `settings`, by the metric that decides
/// ([`Comparison::deciding`]): the group of the best mean first, one whose mean is NaN after all
/// numbers, those without the metric last. What is equal stands in the order of its settings.
///
/// A 32-bit number that was stored with 64 bits is equal to the 64-bit number of its digits: one
/// program's 0.1 is another's.
///
/// ```
/// use cnn_tb::report::compare::compare;
/// use cnn_tb::report::groups::group;
/// use cnn_tb::tb::{Logdir, SummaryWriter};
/// # let directory = tempfile::tempdir()?;
/// # let runs = directory.path();
/// for (name, lr, loss) in [("a", 0.1, 0.5), ("b", 0.1, 0.75), ("c", 0.2, 0.25)] {
///     let writer = SummaryWriter::create(runs.join(name))?;
///     writer.add_hparams([("lr", lr.into())])?;
///     writer.add_scalar("Loss/val", loss, 1)?;
///     writer.finish()?;
/// }
/// let comparison = compare(&Logdir::open(runs)?.runs()?, &[], None);
/// let groups = group(&comparison, &["lr".to_owned()]);
/// assert_eq!(groups[0].settings, [Some(0.2.into())]);
/// assert_eq!(groups[1].spread.map(|spread| spread.mean), Some(0.625));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn group(comparison: &Comparison, settings: &[String]) -> Vec<Group> {
    let mut members: BTreeMap<Vec<Key>, Vec<usize>> = BTreeMap::new();
    for (index, row) in comparison.rows.iter().enumerate() {
        let key = |name| Key::of(row.settings.get(name));
        let key = settings.iter().map(key).collect();
        members.entry(key).or_default().push(index);
    }
    let readings = comparison.deciding_readings();
    let mut groups: Vec<Group> = members
        .into_iter()
        .map(|(key, rows)| {
            let known: Vec<&Reading> = rows.iter().filter_map(|&row| readings[row]).collect();
            let values: Vec<f64> = known.iter().map(|reading| reading.comparable()).collect();
            Group {
                settings: key.into_iter().map(Key::setting).collect(),
                spread: Spread::of(&values),
                is_share: known.iter().all(|reading| reading.share().is_some()),
                rows,
            }
        })
        .collect();
    if let Some((_, metric)) = comparison.deciding() {
        let mean = |group: &Group| group.spread.map(|spread| spread.mean);
        groups.sort_by(|one, other| match (mean(one), mean(other)) {
            (Some(one), Some(other)) => metric.direction.best_first(one, other),
            (one, other) => one.is_none().cmp(&other.is_none()),
        });
    }
    groups
}

/// The value of a setting, in an order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Bool(bool),
    /// The bits of a number, as an integer in the order of the numbers; NaN is the highest.
    Number(i64),
    Text(String),
    Missing,
}

impl Key {
    fn of(setting: Option<&HParam>) -> Self {
        match setting {
            Some(HParam::Bool(flag)) => Self::Bool(*flag),
            Some(HParam::Number(number)) => Self::Number(ordered(widened(*number))),
            Some(HParam::Text(text)) => Self::Text(text.clone()),
            None => Self::Missing,
        }
    }

    fn setting(self) -> Option<HParam> {
        match self {
            Self::Bool(flag) => Some(HParam::Bool(flag)),
            Self::Number(bits) => Some(HParam::Number(f64::from_bits(ordered_bits(bits) as u64))),
            Self::Text(text) => Some(HParam::Text(text)),
            Self::Missing => None,
        }
    }
}

/// A 32-bit number by its shortest decimal digits; any other as it is, with one NaN and one zero.
fn widened(number: f64) -> f64 {
    if number.is_nan() {
        return f64::NAN.abs();
    }
    let narrow = number as f32;
    let digits = || format!("{narrow:?}").parse().unwrap_or(number);
    match f64::from(narrow) == number {
        true => digits() + 0.0,
        false => number,
    }
}

/// As [`f64::total_cmp`] orders: the other bits of a negative number are turned round.
fn ordered(number: f64) -> i64 {
    ordered_bits(number.to_bits() as i64)
}

/// Its own inverse.
fn ordered_bits(bits: i64) -> i64 {
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::report::compare::{Metric, Row};
    use crate::report::metric::Direction;

    /// From Python 3.11:
    ///
    /// ```text
    /// from statistics import mean, stdev
    /// for v in ([.2011, .2043, .2070], [.5, .5], [1e9+1, 1e9+2, 1e9+4], [-1., 1., 3., 9.]):
    ///     print(mean(v), stdev(v))
    /// ```
    #[test]
    fn means_and_deviations_are_those_of_python() {
        let cases: [(&[f64], f64, f64); 4] = [
            (
                &[0.2011, 0.2043, 0.2070],
                0.20413333333333333,
                0.00295352896267047,
            ),
            (&[0.5, 0.5], 0.5, 0.0),
            (
                &[1e9 + 1.0, 1e9 + 2.0, 1e9 + 4.0],
                1000000002.3333334,
                1.5275252316519468,
            ),
            (&[-1.0, 1.0, 3.0, 9.0], 3.0, 4.320493798938574),
        ];
        for (values, mean, deviation) in cases {
            let spread = Spread::of(values).unwrap();
            let close = |one: f64, other: f64| (one - other).abs() <= 1e-14 * other.abs();
            assert!(close(spread.mean, mean), "{spread:?}");
            assert!(close(spread.deviation.unwrap(), deviation), "{spread:?}");
            assert_eq!(spread.min, values[0]);
            assert_eq!(spread.max, values[values.len() - 1]);
            assert_eq!(spread.count, values.len());
        }
    }

    #[test]
    fn one_value_has_no_deviation_and_a_nan_is_not_lost() {
        let one = Spread::of(&[0.5]).unwrap();
        assert_eq!((one.mean, one.deviation), (0.5, None));
        for values in [
            [f64::NAN, 1.0, 2.0],
            [1.0, f64::NAN, 2.0],
            [1.0, 2.0, f64::NAN],
        ] {
            let spread = Spread::of(&values).unwrap();
            let numbers = [spread.mean, spread.min, spread.max];
            assert!(numbers.iter().all(|number| number.is_nan()), "{spread:?}");
            assert!(spread.deviation.is_some_and(f64::is_nan));
        }
    }

    /// The settings of a run, and its loss.
    type Loss<'a> = (&'a [(&'a str, HParam)], Option<f32>);

    fn comparison(rows: &[Loss]) -> Comparison {
        let rows = rows.iter().map(|(settings, loss)| Row {
            name: String::new(),
            path: PathBuf::new(),
            best: vec![loss.map(|value| Reading {
                series: "loss".to_owned(),
                step: 1,
                counts_epochs: false,
                value,
                is_fraction: false,
            })],
            test_accuracy: None,
            elapsed_secs: None,
            settings: settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        });
        Comparison {
            metrics: vec![Metric {
                key: "loss".to_owned(),
                series: None,
                direction: Direction::Lower,
            }],
            differing: Vec::new(),
            rows: rows.collect(),
        }
    }

    fn members(comparison: &Comparison, settings: &[&str]) -> Vec<Vec<usize>> {
        let settings: Vec<String> = settings.iter().map(|&name| name.to_owned()).collect();
        let groups = group(comparison, &settings);
        groups.into_iter().map(|group| group.rows).collect()
    }

    #[test]
    fn groups_stand_best_mean_first_and_nan_and_nothing_last() {
        let comparison = comparison(&[
            (&[("lr", 3.into())], Some(0.25)),
            (&[("lr", 1.into())], Some(0.5)),
            (&[("lr", 2.into())], Some(f32::NAN)),
            (&[("lr", 2.into())], Some(0.0)),
            (&[("lr", 3.into())], None),
            (&[("lr", 1.into())], Some(1.0)),
            (&[("lr", 4.into())], None),
            (&[], Some(0.5)),
        ]);
        assert_eq!(
            members(&comparison, &["lr"]),
            [vec![0, 4], vec![7], vec![1, 5], vec![2, 3], vec![6]]
        );
        let groups = group(&comparison, &["lr".to_owned()]);
        assert_eq!(groups[0].spread.map(|spread| spread.count), Some(1));
        assert_eq!(groups[1].settings, [None]);
        assert_eq!(groups[4].spread, None);
        // By nothing, or by what no run has, all are one group.
        assert_eq!(members(&comparison, &[]).len(), 1);
        assert_eq!(members(&comparison, &["nothing"]).len(), 1);
    }

    #[test]
    fn equal_settings_are_equal_whoever_wrote_them() {
        let numbers = [
            0.1,
            f64::from(0.1_f32),
            0.0,
            -0.0,
            f64::NAN,
            -f64::NAN,
            1e300,
        ];
        let settings: Vec<[(&str, HParam); 1]> = numbers
            .iter()
            .map(|&number| [("lr", HParam::Number(number))])
            .collect();
        let mut rows: Vec<Loss> = settings
            .iter()
            .map(|settings| (&settings[..], Some(1.0)))
            .collect();
        let others = [
            [("lr", HParam::from("0.1"))],
            [("lr", HParam::from(true))],
            [("lr", HParam::from(-5))],
        ];
        rows.extend(others.iter().map(|settings| (&settings[..], Some(1.0))));
        assert_eq!(
            members(&comparison(&rows), &["lr"]),
            [
                vec![8],
                vec![9],
                vec![2, 3],
                vec![0, 1],
                vec![6],
                vec![4, 5],
                vec![7]
            ]
        );
        let group = &group(&comparison(&rows), &["lr".to_owned()])[3];
        assert_eq!(group.settings, [Some(0.1.into())]);
    }
}
