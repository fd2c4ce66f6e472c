//! `cnn-tb export`: every point of many runs in one file.

mod target;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ValueEnum;
use cnn_tb::report::export::{self, Cell, Layout, Series, Written};
use cnn_tb::tb::Run;
use console::truncate_str;

use crate::cli::Outcome;
use crate::cli::output::{self, Advised, escape};
use crate::cli::selection::{Selected, Selection, Tags};
use crate::cli::units::{duration, thousands};

/// Write all points of all runs into one file, for pandas, R or a spreadsheet.
///
/// Every point that the event files hold is written, none sampled. A row is a point: run, tag,
/// step, wall_time (seconds since 1970), value. Values have as many digits as it takes to read the
/// same 32-bit number again. Names are kept as they are, quoted where they must be.
///
/// A file that is there already is replaced when all is written, and not before.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    tags: Tags,

    /// What to export
    #[arg(long, value_name = "KIND", default_value = "scalar")]
    kind: Kind,

    /// How to write it [default: by the extension of the file, else csv]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// The same as --format jsonl
    #[arg(long, conflicts_with = "format")]
    json: bool,

    /// Write a row for each step and a column for each series, called run/tag; without wall times
    #[arg(long)]
    wide: bool,

    /// Add a column for each hyper-parameter
    #[arg(long, conflicts_with = "wide")]
    hparams: bool,

    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Numbers over steps
    Scalar,
    /// Texts
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Comma-separated values, the names of the columns in the first line
    Csv,
    /// A JSON object a line; what is no number is null
    Jsonl,
}

const EXAMPLES: &str = "\
Examples:
  cnn-tb export runs --tag '*loss*' -o losses.csv
  cnn-tb export runs/exp1 --wide | head";

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let format = args.format()?;
    let selected = args.selection.read()?;
    if selected.runs.is_empty() {
        return Ok(Outcome::No);
    }
    match args.kind {
        Kind::Scalar => table(args, format, started, &selected, Series::scalars),
        Kind::Text => table(args, format, started, &selected, Series::texts),
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Text => "text",
        }
    }
}

impl Args {
    fn format(&self) -> anyhow::Result<export::Format> {
        let format = match (self.format, &self.output) {
            (Some(format), _) => format,
            (None, _) if self.json => Format::Jsonl,
            (None, Some(path)) => format_of(path)?,
            (None, None) => Format::Csv,
        };
        Ok(match format {
            Format::Csv => export::Format::Csv,
            Format::Jsonl => export::Format::JsonLines,
        })
    }

    fn layout(&self) -> Layout {
        match self.wide {
            true => Layout::Wide,
            false => Layout::Long {
                hparams: self.hparams,
            },
        }
    }
}

/// The format that the file's extension names.
fn format_of(path: &Path) -> anyhow::Result<Format> {
    let extension = path.extension().unwrap_or_default();
    match extension.to_ascii_lowercase().to_str() {
        Some("csv") => Ok(Format::Csv),
        Some("jsonl") => Ok(Format::Jsonl),
        _ => Err(Advised::new(
            format!("{} says no format by its extension", path.display()),
            "there are .csv and .jsonl; or say it: --format csv, --format jsonl",
        )
        .into()),
    }
}

/// Writes the series that `series_of` finds in each run.
fn table<'a, T: Cell + 'a>(
    args: &Args,
    format: export::Format,
    started: Instant,
    selected: &'a Selected,
    series_of: impl Fn(&'a Run, &str) -> Vec<Series<'a, T>>,
) -> anyhow::Result<Outcome> {
    let named = selected.runs.iter().zip(&selected.names);
    let (series, others): (Vec<_>, Vec<_>) = named
        .flat_map(|(run, name)| series_of(run, name))
        .partition(|series| args.tags.matches(&series.tag));
    let (kind, runs) = (args.kind.name(), selected.runs.len());
    if series.is_empty() {
        let known = others.iter().map(|series| series.tag.as_str()).collect();
        output::warn(&why_nothing(kind, runs, &known));
        return Ok(Outcome::No);
    }
    let write = |out: &mut dyn Write| export::write(&series, args.layout(), format, out);
    let written = match &args.output {
        None => target::to_stdout(write)?,
        Some(path) => match target::to_file(path, write)? {
            Some(written) => {
                say(&summary(args, &written, path, started));
                written
            }
            None => return Ok(Outcome::Interrupted),
        },
    };
    if written.runs < runs {
        let (lacking, of) = (runs - written.runs, count(runs, "run"));
        let fitting = if others.is_empty() { "" } else { " that fits" };
        output::warn(&format!(
            "{} of {of} had no {kind}{fitting}",
            thousands(lacking)
        ));
    }
    Ok(Outcome::Done)
}

/// What is said where no series is chosen.
fn why_nothing(kind: &str, runs: usize, known: &BTreeSet<&str>) -> String {
    const SHOWN: usize = 8;
    const LONGEST: usize = 40;
    let runs = count(runs, "run");
    if known.is_empty() {
        return format!("there is no {kind} in {runs}");
    }
    let shown = known.iter().take(SHOWN);
    let shown: Vec<_> = shown.map(|name| truncate_str(name, LONGEST, "…")).collect();
    let more = match known.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let shown = shown.join(", ");
    format!("no {kind} in {runs} fits --tag; there are {shown}{more}")
}

/// `500 runs, 2 tags, 1,910,000 points, none sampled → all.csv (104 MB, …) in 1.1 s`
fn summary(args: &Args, written: &Written, path: &Path, started: Instant) -> String {
    let series = written.columns.len() - 1;
    let columns = match args.layout() {
        Layout::Wide => format!("step and {}", count(series, "column")),
        Layout::Long { hparams: false } => written.columns.join(","),
        Layout::Long { hparams: true } => {
            let (all, hparams) = written.columns.split_at(Layout::LONG_COLUMNS.len());
            format!(
                "{} and {}",
                all.join(","),
                count(hparams.len(), "hyper-parameter")
            )
        }
    };
    format!(
        "{}, {}, {}, none sampled → {} ({}, {columns}) in {}",
        count(written.runs, "run"),
        count(written.tags, "tag"),
        count(written.points, "point"),
        path.display(),
        size(written.bytes),
        duration(started.elapsed().as_secs_f64()),
    )
}

/// `1 run`, `1,000 runs`
fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(number))
}

/// `104 MB`
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Writes a line to standard error.
fn say(message: &str) {
    // Where standard error is closed there is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "{}", escape(message));
}
