//! One run at a glance: its series, each with a small drawing.

use crate::report::measure::Measure;
use crate::tb::{Kind, Point, Run};

/// A series of a run in a few numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// As [`Run::scalars`] and the like take it.
    pub name: String,
    /// What its values are.
    pub kind: Kind,
    /// How many points it has.
    pub points: usize,
    /// The largest step.
    pub last_step: i64,
    /// What a scalar came to; `None` for other kinds.
    pub scalar: Option<Scalar>,
}

/// The points of a scalar that people ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// The first point.
    pub first: Point,
    /// The last point.
    pub last: Point,
    /// The best point, as the series' name tells ([`Measure::of`]).
    pub best: Point,
}

/// The series of `run`, of every kind, whose names `is_meant`; those without points are left out.
///
/// ```
/// use cnn_tb::report::show;
/// use cnn_tb::tb::{Logdir, SummaryWriter};
/// # let directory = tempfile::tempdir()?;
/// # let runs = directory.path();
/// let writer = SummaryWriter::create(runs.join("exp1"))?;
/// for (step, loss) in [0.5, 0.25, 0.75].into_iter().enumerate() {
///     writer.add_scalar("loss", loss, step)?;
/// }
/// writer.finish()?;
/// let series = show::series(&Logdir::open(runs)?.runs()?[0], |_| true);
/// let best = series[0].scalar.as_ref().map(|scalar| scalar.best.value);
/// assert_eq!((series[0].name.as_str(), best), ("loss", Some(0.25)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn series(run: &Run, is_meant: impl Fn(&str) -> bool) -> Vec<Series> {
    let meant = run.series().filter(|series| is_meant(&series.name));
    let series = meant.map(|series| Series {
        scalar: (series.kind == Kind::Scalar)
            .then(|| scalar(run, &series.name))
            .flatten(),
        name: series.name,
        kind: series.kind,
        points: series.points,
        last_step: series.last_step,
    });
    series.collect()
}

fn scalar(run: &Run, name: &str) -> Option<Scalar> {
    let points = run.scalars(name).ok()?;
    Some(Scalar {
        first: points.first()?.clone(),
        last: points.last()?.clone(),
        best: Measure::of(name, None).point(run)?.clone(),
    })
}

/// A curve of `width` characters at most, of eight heights from the least value to the largest.
///
/// Where there are more points than characters, each stands for the mean of an equal share of them.
/// What is no finite number is a blank; a curve that does not change lies at half height.
///
/// ```
/// use cnn_tb::report::show::sparkline;
/// assert_eq!(sparkline([0.0, 1.0, 2.0, f32::NAN, 7.0], 8), "▁▂▃ █");
/// assert_eq!(sparkline((0..80).map(|step| step as f32), 4), "▁▃▆█");
/// ```
pub fn sparkline(values: impl IntoIterator<Item = f32>, width: usize) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values: Vec<f32> = values.into_iter().collect();
    let means = means(&values, width);
    let finite = || means.iter().copied().filter(|mean| mean.is_finite());
    let least = finite().fold(f64::INFINITY, f64::min);
    let largest = finite().fold(f64::NEG_INFINITY, f64::max);
    let block = |mean: f64| {
        let height = match largest > least {
            true => (mean - least) / (largest - least) * (BLOCKS.len() - 1) as f64,
            false => 3.0,
        };
        BLOCKS.get(height.round() as usize).copied()
    };
    let character = |&mean: &f64| match mean.is_finite() {
        true => block(mean).unwrap_or(' '),
        false => ' ',
    };
    means.iter().map(character).collect()
}

/// At most `count` means of equal shares, of the finite values in each; NaN where there are none.
fn means(values: &[f32], count: usize) -> Vec<f64> {
    let count = count.min(values.len());
    let share = |index: usize| {
        let bound = |index: usize| index * values.len() / count;
        let share = &values[bound(index)..bound(index + 1)];
        let finite = || share.iter().filter(|value| value.is_finite());
        finite().map(|&value| f64::from(value)).sum::<f64>() / finite().count() as f64
    };
    (0..count).map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparklines_hold_whatever_the_values_are() {
        let cases: [(&[f32], usize, &str); 8] = [
            (&[], 8, ""),
            (&[1.0, 2.0], 0, ""),
            (&[5.0], 8, "▄"),
            (&[5.0, 5.0], 8, "▄▄"),
            (&[f32::NAN, f32::INFINITY], 8, "  "),
            (&[f32::MIN, f32::MAX], 8, "▁█"),
            (&[1.0, 0.0], 8, "█▁"),
            (&[0.0, f32::NAN, 7.0, 7.0], 2, "▁█"),
        ];
        for (values, width, expected) in cases {
            assert_eq!(sparkline(values.iter().copied(), width), expected);
        }
    }
}
