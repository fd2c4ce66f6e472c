//! From runs to charts of curves.

use std::collections::BTreeMap;

use crate::report::measure::{counts_epochs, is_fraction};
use crate::report::metric::Role;
use crate::report::plot::band::{self, Spread};
use crate::report::plot::label::label;
use crate::report::plot::layout::{self, Size};
use crate::report::plot::raster::{self, PictureError};
use crate::report::plot::scale::is_usable;
use crate::report::plot::smoothing::smoothed;
use crate::report::plot::{svg, terminal};
use crate::tb::{Point, Run};

/// What stands along the horizontal axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Horizontal {
    /// Steps as they were logged; called epochs where a run says that it counts these.
    #[default]
    Step,
    /// The time since the run's first event.
    Relative,
}

/// How curves are drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// What stands along the horizontal axis.
    pub x: Horizontal,
    /// Whether it is logarithmic.
    pub log_x: bool,
    /// Whether the vertical axis is logarithmic.
    pub log_y: bool,
    /// As TensorBoard's: 0 for none, to 1.
    pub smoothing: f64,
    /// Draw runs that differ only in their seed as one line with such a band.
    pub band: Option<Spread>,
}

/// Charts of the same runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// One for each name that series have without their `train` or `validation`.
    pub charts: Vec<Chart>,
}

/// Curves over the same axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// What is measured, which stands beside the vertical axis.
    pub title: String,
    /// What stands below the horizontal axis.
    pub x_title: String,
    /// Whether the horizontal axis is logarithmic.
    pub log_x: bool,
    /// Whether the vertical axis is.
    pub log_y: bool,
    /// By run, and for each run its validation first.
    pub curves: Vec<Curve>,
}

/// A line in a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// The run's name, or the group's.
    pub run: String,
    /// The series, as [`Run::scalars`] takes it.
    pub series: String,
    /// Of how many runs this is the mean.
    pub runs: usize,
    /// Whether it was measured on what was trained on, and is drawn in dashes.
    pub is_training: bool,
    /// x and y as they are drawn, smoothed or averaged; not finite where there is a gap.
    pub points: Vec<[f64; 2]>,
    /// The points before smoothing; empty without it.
    pub raw: Vec<[f64; 2]>,
    /// x, lower and upper edge of the band; empty without one.
    pub band: Vec<[f64; 3]>,
    /// How many points have no place on the axes: not finite or, on a logarithmic axis, not
    /// positive.
    pub left_out: usize,
    /// What y was multiplied by: 100 for an accuracy that is shown in per cent.
    pub factor: f64,
    /// Whether x counts epochs.
    counts_epochs: bool,
}

/// A series and the chart that it belongs to.
struct Source<'a> {
    chart: String,
    series: String,
    is_training: bool,
    points: &'a [Point],
}

impl Figure {
    /// The article's two figures: validation accuracy and validation loss of each run, under
    /// whatever name [`Role::find`] finds them.
    pub fn of_validation(runs: &[(&str, &Run)], options: &Options) -> Self {
        let roles = [
            ("validation accuracy", Role::ValidationAccuracy),
            ("validation loss", Role::ValidationLoss),
        ];
        let find = |run: &'_ Run| -> Vec<(String, String)> {
            let names: Vec<String> = run.scalar_series().map(|(name, _)| name).collect();
            let find = |(title, role): (&str, Role)| {
                let name = role.find(names.iter().map(String::as_str))?;
                Some((title.to_owned(), name.to_owned()))
            };
            roles.into_iter().filter_map(find).collect()
        };
        let found = runs.iter().map(|(_, run)| {
            let found = find(run).into_iter().filter_map(|(chart, series)| {
                let points = run.scalars(&series).ok()?;
                Some(Source {
                    chart,
                    series,
                    is_training: false,
                    points,
                })
            });
            found.collect()
        });
        Self::of_sources(runs, found.collect(), options)
    }

    /// The series for which `fits` says yes to its name, to its tag without the directory below the
    /// run's that it is in, or to the name of its chart. Training and validation share a chart:
    /// directories below the run's of these names, and tags that differ only in such a word, as
    /// `Loss/train` and `Loss/val`.
    pub fn of_series(
        runs: &[(&str, &Run)],
        fits: impl Fn(&str) -> bool,
        options: &Options,
    ) -> Self {
        let found = runs.iter().map(|(_, run)| {
            let mut sources: Vec<Source> = Vec::new();
            for (child, run) in [("", *run)]
                .into_iter()
                .chain(run.children().iter().map(|child| (child.name(), child)))
            {
                for tag in run.scalar_tags() {
                    let (chart, is_training) = chart_of(child, tag);
                    let series = if child.is_empty() {
                        tag.to_owned()
                    } else {
                        format!("{child}/{tag}")
                    };
                    if let Ok(points) = run.scalars(tag)
                        && (fits(&series) || fits(tag) || fits(&chart))
                    {
                        sources.push(Source {
                            chart,
                            series,
                            is_training,
                            points,
                        });
                    }
                }
            }
            sources.sort_by(|a, b| (a.is_training, &a.series).cmp(&(b.is_training, &b.series)));
            sources
        });
        Self::of_sources(runs, found.collect(), options)
    }

    fn of_sources(runs: &[(&str, &Run)], sources: Vec<Vec<Source>>, options: &Options) -> Self {
        let mut charts: BTreeMap<&str, Vec<Curve>> = BTreeMap::new();
        for ((name, run), sources) in runs.iter().zip(&sources) {
            for source in sources {
                let curve = curve(name, run, source, options);
                charts.entry(&source.chart).or_default().push(curve);
            }
        }
        let groups = options.band.map(|spread| (spread, band::groups(runs)));
        let charts = charts.into_iter().map(|(key, mut curves)| {
            if let Some((spread, groups)) = &groups {
                curves = banded(*spread, groups, runs, &curves, options);
            }
            chart(key, curves, options)
        });
        Self {
            charts: charts.collect(),
        }
    }

    /// As SVG, with text as text; the same figure always gives the same bytes.
    pub fn to_svg(&self, size: Size) -> String {
        let titles: Vec<String> = self
            .charts
            .iter()
            .map(|chart| label(&chart.title, 80))
            .collect();
        svg::svg(&layout::scene(self, size), &titles.join(", "))
    }

    /// As PNG, of so many dots per inch.
    ///
    /// # Errors
    /// [`PictureError::Size`] for a picture that is too large.
    pub fn to_png(&self, size: Size, dpi: f64) -> Result<Vec<u8>, PictureError> {
        raster::png(&layout::scene(self, size), dpi)
    }

    /// As lines of at most `columns` characters for a terminal, each chart `rows` high between its
    /// axes, in colours where `colour`.
    pub fn to_text(&self, columns: usize, rows: usize, colour: bool) -> String {
        terminal::text(self, columns, rows, colour)
    }

    /// The names of all runs and groups that are drawn, each once.
    pub fn run_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for curve in self.charts.iter().flat_map(|chart| &chart.curves) {
            if !names.contains(&curve.run.as_str()) {
                names.push(&curve.run);
            }
        }
        names
    }

    /// Whether there is training beside something else, which the legend must explain.
    pub(super) fn has_both_splits(&self) -> bool {
        self.has_split(true) && self.has_split(false)
    }

    fn has_split(&self, training: bool) -> bool {
        self.charts
            .iter()
            .flat_map(|chart| &chart.curves)
            .any(|curve| curve.is_training == training)
    }
}

impl Chart {
    /// Whether x takes whole numbers alone.
    pub(super) fn has_whole_x(&self) -> bool {
        !self.x_title.starts_with("time")
    }
}

fn curve(name: &str, run: &Run, source: &Source, options: &Options) -> Curve {
    let factor = if is_fraction(&source.series, source.points) {
        100.0
    } else {
        1.0
    };
    let start = run.wall_times().map_or(0.0, |(first, _)| first);
    let x = |point: &Point| match options.x {
        Horizontal::Step => point.step as f64,
        Horizontal::Relative => point.wall_time - start,
    };
    let values: Vec<f64> = source
        .points
        .iter()
        .map(|p| f64::from(p.value) * factor)
        .collect();
    let with_x = |values: &[f64]| -> Vec<[f64; 2]> {
        source
            .points
            .iter()
            .zip(values)
            .map(|(point, y)| [x(point), *y])
            .collect()
    };
    let raw = with_x(&values);
    let is_drawn = |p: &&[f64; 2]| is_usable(p[0], options.log_x) && is_usable(p[1], options.log_y);
    let left_out = raw.len() - raw.iter().filter(is_drawn).count();
    let (points, raw) = match options.smoothing > 0.0 {
        true => (with_x(&smoothed(&values, options.smoothing)), raw),
        false => (raw, Vec::new()),
    };
    Curve {
        run: name.to_owned(),
        series: source.series.clone(),
        runs: 1,
        is_training: source.is_training,
        points,
        raw,
        band: Vec::new(),
        left_out,
        factor,
        counts_epochs: counts_epochs(run, &source.series, source.points),
    }
}

/// One curve for each group and split.
fn banded(
    spread: Spread,
    groups: &[(String, Vec<usize>)],
    runs: &[(&str, &Run)],
    curves: &[Curve],
    options: &Options,
) -> Vec<Curve> {
    let mut banded = Vec::new();
    for (name, members) in groups {
        let names: Vec<&str> = members.iter().map(|&index| runs[index].0).collect();
        for is_training in [false, true] {
            let own = curves
                .iter()
                .filter(|curve| curve.is_training == is_training);
            let own: Vec<&Curve> = own
                .filter(|curve| names.contains(&curve.run.as_str()))
                .collect();
            let Some(first) = own.first() else { continue };
            let lines: Vec<Vec<[f64; 2]>> = own.iter().map(|curve| curve.points.clone()).collect();
            let summary = spread.summary(&lines);
            let is_band = |edges: &[f64; 3]| {
                edges[1..].iter().all(|y| is_usable(*y, options.log_y))
                    && is_usable(edges[0], options.log_x)
            };
            banded.push(Curve {
                run: name.clone(),
                runs: own.len(),
                points: summary.mean,
                raw: Vec::new(),
                band: match own.len() {
                    1 => Vec::new(),
                    _ => summary.band.into_iter().filter(is_band).collect(),
                },
                left_out: own.iter().map(|curve| curve.left_out).sum(),
                ..(*first).clone()
            });
        }
    }
    banded
}

fn chart(key: &str, mut curves: Vec<Curve>, options: &Options) -> Chart {
    let counts_epochs = curves.iter().all(|curve| curve.counts_epochs);
    let x_title = match options.x {
        Horizontal::Step if counts_epochs => "epoch".to_owned(),
        Horizontal::Step => "step".to_owned(),
        Horizontal::Relative => in_a_unit_of_time(&mut curves),
    };
    let first = curves.first().map_or("", |curve| curve.series.as_str());
    let agreed = curves.iter().all(|curve| curve.series == first);
    let title = match first.split_once('/') {
        Some((child @ ("train" | "validation"), tag)) if agreed => format!("{child} {tag}"),
        _ if agreed => first.to_owned(),
        _ => key.to_owned(),
    };
    let in_per_cent = curves.iter().any(|curve| curve.factor != 1.0);
    Chart {
        title: if in_per_cent {
            format!("{title} (%)")
        } else {
            title
        },
        x_title,
        log_x: options.log_x,
        log_y: options.log_y,
        curves,
    }
}

/// Divides x by the unit that suits the longest time, and names the axis.
fn in_a_unit_of_time(curves: &mut [Curve]) -> String {
    let last = curves
        .iter()
        .filter_map(|curve| curve.points.last())
        .map(|point| point[0]);
    let longest = last.fold(0.0, f64::max);
    let (unit, name) = match longest {
        secs if secs < 180.0 => (1.0, "s"),
        secs if secs < 10_800.0 => (60.0, "min"),
        secs if secs < 259_200.0 => (3600.0, "h"),
        _ => (86_400.0, "days"),
    };
    for curve in curves {
        for point in curve.points.iter_mut().chain(&mut curve.raw) {
            point[0] /= unit;
        }
        for edges in &mut curve.band {
            edges[0] /= unit;
        }
    }
    format!("time ({name})")
}

/// The chart that a series belongs to, and whether it is the training's.
fn chart_of(child: &str, tag: &str) -> (String, bool) {
    let (folder, split) = child.rsplit_once('/').unwrap_or(("", child));
    if let Some(is_training) = is_training_word(split) {
        let chart = if folder.is_empty() {
            tag.to_owned()
        } else {
            format!("{folder}/{tag}")
        };
        return (chart, is_training);
    }
    let name = if child.is_empty() {
        tag.to_owned()
    } else {
        format!("{child}/{tag}")
    };
    for separator in ['/', '_', '.', '-'] {
        let words: Vec<&str> = name.split(separator).collect();
        let place = words
            .iter()
            .position(|word| is_training_word(word).is_some());
        if let Some(place) = place.filter(|_| words.len() > 1) {
            let split = is_training_word(words[place]) == Some(true);
            let mut rest = words;
            rest.remove(place);
            return (rest.join(&separator.to_string()), split);
        }
    }
    (name, false)
}

fn is_training_word(word: &str) -> Option<bool> {
    match word.to_lowercase().as_str() {
        "train" | "training" => Some(true),
        "validation" | "valid" | "val" | "eval" | "evaluation" | "dev" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_and_validation_share_a_chart() {
        let cases = [
            ("train", "accuracy", ("accuracy", true)),
            ("validation", "accuracy", ("accuracy", false)),
            ("fold1/train", "loss", ("fold1/loss", true)),
            (
                "batches",
                "train_batch/loss",
                ("batches/train_batch/loss", false),
            ),
            ("", "Loss/train", ("Loss", true)),
            ("", "Loss/val", ("Loss", false)),
            ("", "val_loss", ("loss", false)),
            ("", "train", ("train", false)),
            ("", "test/accuracy", ("test/accuracy", false)),
        ];
        for (child, tag, (chart, is_training)) in cases {
            assert_eq!(
                chart_of(child, tag),
                (chart.to_owned(), is_training),
                "{child} {tag}"
            );
        }
    }
}
