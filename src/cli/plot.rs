//! `cnn-tb plot`: line charts, to files for a paper or in the terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use cnn_tb::report::plot::{Curve, Figure, Horizontal, Options, Size, Spread};
use cnn_tb::tb::Run;
use console::Term;
use serde_json::{Value, json};

use crate::cli::Outcome;
use crate::cli::output::{self, Advised, escape_json};
use crate::cli::selection::{Selection, Tags};

/// Draw line charts of runs, to an SVG or PNG file or in the terminal.
///
/// Without --tag there are two: validation accuracy and validation loss, found by the words in their
/// names as `cnn-tb compare` does. There is one chart for each name; training (in dashes) and
/// validation share one. A run's colour and marker follow from its name. Accuracies that stay within
/// 0 and 1 are shown in per cent. What is not finite leaves a gap, and is said.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    tags: Tags,

    /// Write a picture to this file, `.svg` or `.png`, instead of to the terminal
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Smooth curves as TensorBoard does, by a weight from 0 to 1
    #[arg(long, value_name = "WEIGHT", default_value_t = 0.0, value_parser = weight)]
    smoothing: f64,

    /// What stands along the horizontal axis
    #[arg(long, value_enum, default_value_t = X::Step)]
    x: X,

    /// Make the horizontal axis logarithmic
    #[arg(long)]
    log_x: bool,

    /// Make the vertical axis logarithmic
    #[arg(long)]
    log_y: bool,

    /// Draw runs that differ only in their seed as their mean with a band around it
    ///
    /// Runs without settings belong together where only a number at the end of their names differs.
    #[arg(long, value_enum)]
    band: Option<Band>,

    /// How wide each chart is, in mm or cm
    #[arg(long, value_name = "LENGTH", default_value = "80mm", value_parser = length)]
    width: f64,

    /// How high each chart is, in mm or cm
    #[arg(long, value_name = "LENGTH", default_value = "50mm", value_parser = length)]
    height: f64,

    /// How many charts of a picture stand side by side
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    columns: u16,

    /// Dots per inch of a PNG file
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u16).range(36..=2400))]
    dpi: u16,

    /// Print as a JSON array what is drawn, instead of the terminal's charts
    ///
    /// An object for each chart: "title", "x", "curves", each with "run", "runs", "series", "points",
    /// "left_out" and "last": "x" and "value", smoothed or averaged as it is drawn.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  cnn-tb plot runs -o figures.svg
  cnn-tb plot runs --tag 'Loss*' --smoothing 0.6 --log-y";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum X {
    /// Steps, or epochs where a run says that it counts these
    Step,
    /// Time since the run's first event
    Relative,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Band {
    /// From the least to the greatest value
    Minmax,
    /// One standard deviation to each side
    Deviation,
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let format = args.output.as_deref().map(format_of).transpose()?;
    let selected = args.selection.read()?;
    if selected.runs.is_empty() {
        return Ok(Outcome::No);
    }
    let names = selected.names.iter().map(String::as_str);
    let runs: Vec<(&str, &Run)> = names.zip(&selected.runs).collect();
    let figure = match args.tags.is_empty() {
        true => Figure::of_validation(&runs, &args.options()),
        false => Figure::of_series(&runs, |series| args.tags.matches(series), &args.options()),
    };
    warn_of_gaps(&figure);
    if figure.charts.is_empty() {
        warn_of_nothing(args, &selected.runs);
    }
    if let (Some(format), Some(path)) = (format, &args.output)
        && !figure.charts.is_empty()
    {
        let picture = format.encode(&figure, args)?;
        output::replace_file(path, |file| Ok(file.write_all(&picture)?))?;
    }
    if args.json {
        output::print(&json(&figure)?)?;
    } else if args.output.is_none() {
        print_charts(&figure)?;
    }
    Ok(if figure.charts.is_empty() {
        Outcome::No
    } else {
        Outcome::Done
    })
}

impl Args {
    fn options(&self) -> Options {
        Options {
            x: match self.x {
                X::Step => Horizontal::Step,
                X::Relative => Horizontal::Relative,
            },
            log_x: self.log_x,
            log_y: self.log_y,
            smoothing: self.smoothing,
            band: self.band.map(|band| match band {
                Band::Minmax => Spread::MinMax,
                Band::Deviation => Spread::Deviation,
            }),
        }
    }
}

#[derive(Clone, Copy)]
enum Format {
    Svg,
    Png,
}

fn format_of(path: &Path) -> anyhow::Result<Format> {
    let extension = path
        .extension()
        .map(|extension| extension.to_ascii_lowercase());
    match extension.as_ref().and_then(|extension| extension.to_str()) {
        Some("svg") => Ok(Format::Svg),
        Some("png") => Ok(Format::Png),
        _ => Err(Advised::new(
            format!("cannot tell a picture's format from {}", path.display()),
            "end the file's name in .svg or .png",
        )
        .into()),
    }
}

impl Format {
    fn encode(self, figure: &Figure, args: &Args) -> anyhow::Result<Vec<u8>> {
        let size = Size {
            width_mm: args.width,
            height_mm: args.height,
            columns: args.columns.into(),
        };
        Ok(match self {
            Self::Svg => figure.to_svg(size).into_bytes(),
            Self::Png => figure.to_png(size, args.dpi.into())?,
        })
    }
}

fn warn_of_gaps(figure: &Figure) {
    for chart in &figure.charts {
        for Curve {
            run,
            series,
            left_out,
            ..
        } in &chart.curves
        {
            if *left_out > 0 {
                let are = if *left_out == 1 {
                    "point is"
                } else {
                    "points are"
                };
                let why = if chart.log_x || chart.log_y {
                    "not finite, or not positive on a logarithmic axis"
                } else {
                    "not finite"
                };
                output::warn(&format!(
                    "{run}, {series}: {left_out} {are} {why}, and left out"
                ));
            }
        }
    }
}

fn warn_of_nothing(args: &Args, runs: &[Run]) {
    let known = runs.iter().flat_map(Run::scalar_series).next();
    let said = match (known, args.tags.is_empty()) {
        (None, _) => "there are no scalars to draw".to_owned(),
        (Some((series, _)), true) => {
            format!(
                "no series is named a validation accuracy or loss; choose others: --tag '{series}'"
            )
        }
        (Some((series, _)), false) => format!("no series fits --tag; there is {series}"),
    };
    output::warn(&said);
}

/// Prints the charts, on a terminal so high that two of them fit.
fn print_charts(figure: &Figure) -> io::Result<()> {
    const PIPE: (usize, usize) = (80, 12);
    let terminal = io::stdout()
        .is_terminal()
        .then(|| Term::stdout().size_checked());
    let (columns, rows) = terminal.flatten().map_or(PIPE, |(lines, columns)| {
        let share = usize::from(lines).saturating_sub(3) / figure.charts.len().clamp(1, 2);
        (columns.into(), share.saturating_sub(3).clamp(5, 20))
    });
    output::print(&figure.to_text(columns, rows, output::stdout_takes_colour()))
}

fn json(figure: &Figure) -> serde_json::Result<String> {
    let curve = |curve: &Curve| {
        let last = curve.points.iter().rev().find(|point| point[1].is_finite());
        json!({
            "run": curve.run,
            "runs": curve.runs,
            "series": curve.series,
            "points": curve.points.len(),
            "left_out": curve.left_out,
            "last": last.map(|[x, y]| json!({ "x": x, "value": y / curve.factor })),
        })
    };
    let charts = figure.charts.iter().map(|chart| {
        let curves: Vec<Value> = chart.curves.iter().map(curve).collect();
        json!({ "title": chart.title, "x": chart.x_title, "curves": curves })
    });
    let text = serde_json::to_string_pretty(&charts.collect::<Vec<_>>())?;
    let lines: Vec<String> = text.lines().map(escape_json).collect();
    Ok(lines.join("\n") + "\n")
}

fn weight(text: &str) -> Result<f64, String> {
    let weight = text
        .parse()
        .ok()
        .filter(|weight| (0.0..=1.0).contains(weight));
    weight.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

/// In millimetres.
fn length(text: &str) -> Result<f64, String> {
    let (number, unit) = match (text.strip_suffix("mm"), text.strip_suffix("cm")) {
        (Some(number), _) => (number, 1.0),
        (_, Some(number)) => (number, 10.0),
        _ => (text, f64::NAN),
    };
    let length = number
        .trim()
        .parse::<f64>()
        .ok()
        .map(|number| number * unit);
    let length = length.filter(|length| (20.0..=1000.0).contains(length));
    length.ok_or_else(|| "expected 20mm to 1000mm, or 2cm to 100cm".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_a_unit() {
        assert_eq!(length("80mm"), Ok(80.0));
        assert_eq!(length("8.5 cm"), Ok(85.0));
        for text in ["80", "1mm", "NaNmm", "-3cm", "mm", "infmm"] {
            assert!(length(text).is_err(), "{text}");
        }
    }
}
