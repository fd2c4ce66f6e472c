//! Runs that differ only by chance, as one line with what lies around it.

use std::collections::BTreeMap;

use crate::tb::Run;

/// What a band around a mean spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// From the least to the greatest value.
    MinMax,
    /// One standard deviation of the sample (n − 1) to each side.
    Deviation,
}

/// Mean and band over several curves.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub mean: Vec<[f64; 2]>,
    /// x, the lower and the upper edge.
    pub band: Vec<[f64; 3]>,
}

impl Spread {
    /// At every x that one of `curves` has and all of them reach; between its points a curve is
    /// straight. The mean over fewer curves would jump where one ends. Where one is not finite, the
    /// mean is not.
    pub(super) fn summary(self, curves: &[Vec<[f64; 2]>]) -> Summary {
        let mut places: Vec<f64> = curves.iter().flatten().map(|point| point[0]).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let mut summary = Summary::default();
        for x in places {
            let values: Option<Vec<f64>> = curves.iter().map(|curve| value_at(curve, x)).collect();
            let Some(values) = values.filter(|values| !values.is_empty()) else {
                continue;
            };
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let [low, high] = self.edges(&values, mean);
            summary.mean.push([x, mean]);
            summary.band.push([x, low, high]);
        }
        summary
    }

    fn edges(self, values: &[f64], mean: f64) -> [f64; 2] {
        match self {
            Self::MinMax => [
                values.iter().copied().fold(f64::INFINITY, f64::min),
                values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ],
            Self::Deviation if values.len() < 2 => [mean, mean],
            Self::Deviation => {
                let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
                let deviation = (squares / (values.len() - 1) as f64).sqrt();
                [mean - deviation, mean + deviation]
            }
        }
    }
}

fn value_at(curve: &[[f64; 2]], x: f64) -> Option<f64> {
    let after = curve.partition_point(|point| point[0] < x);
    let [right, high] = *curve.get(after)?;
    if right == x {
        return Some(high);
    }
    let [left, low] = *curve.get(after.checked_sub(1)?)?;
    Some(low + (high - low) * (x - left) / (right - left))
}

/// Which runs belong together: those with equal settings but for what is named a seed, and of runs
/// without settings those whose names differ only in a number at the end. Each group with its name,
/// which is what its runs' names begin with, and how many it has; the indices of its runs.
pub(super) fn groups(runs: &[(&str, &Run)]) -> Vec<(String, Vec<usize>)> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, (name, run)) in runs.iter().enumerate() {
        let settings = run.hparams().iter();
        let settings = settings.filter(|(name, _)| !name.to_lowercase().contains("seed"));
        let key: Vec<String> = settings
            .map(|(name, value)| format!("{name:?}={value:?}"))
            .collect();
        let key = match run.hparams().is_empty() {
            true => stem(name).to_owned(),
            false => format!("\0{}", key.join(",")),
        };
        groups.entry(key).or_default().push(index);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    groups.sort();
    let named = groups.into_iter().map(|members| {
        let names: Vec<&str> = members.iter().map(|&index| runs[index].0).collect();
        (group_name(&names), members)
    });
    named.collect()
}

fn stem(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit())
        .trim_end_matches(['-', '_', '.', '/', ' '])
}

fn group_name(names: &[&str]) -> String {
    let [first, others @ ..] = names else {
        return String::new();
    };
    if others.is_empty() {
        return (*first).to_owned();
    }
    let shared = |name: &&str| {
        first
            .chars()
            .zip(name.chars())
            .take_while(|(a, b)| a == b)
            .count()
    };
    let length = others.iter().map(shared).min().unwrap_or(0);
    let prefix: String = first.chars().take(length).collect();
    match stem(&prefix) {
        "" => format!("{first} + {}", others.len()),
        stem => format!("{stem} ({} runs)", names.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_ends_with_the_first_run_and_runs_between_points() {
        let curves = [
            vec![[1.0, 1.0], [2.0, 3.0], [3.0, 5.0]],
            vec![[1.0, 3.0], [2.0, 5.0]],
            vec![[1.0, 5.0], [3.0, 9.0]],
        ];
        let summary = Spread::MinMax.summary(&curves);
        assert_eq!(summary.mean, [[1.0, 3.0], [2.0, 5.0]]);
        assert_eq!(summary.band, [[1.0, 1.0, 5.0], [2.0, 3.0, 7.0]]);
        let deviation = Spread::Deviation.summary(&curves);
        assert_eq!(deviation.band, [[1.0, 1.0, 5.0], [2.0, 3.0, 7.0]]);
        assert_eq!(
            Spread::Deviation.summary(&curves[..1]).band[0],
            [1.0, 1.0, 1.0]
        );
        assert!(Spread::MinMax.summary(&[]).mean.is_empty());
    }

    #[test]
    fn groups_are_named_by_what_their_runs_share() {
        assert_eq!(group_name(&["default-1", "default-2"]), "default (2 runs)");
        assert_eq!(group_name(&["a", "b", "c"]), "a + 2");
        assert_eq!(group_name(&["a1"]), "a1");
    }
}
