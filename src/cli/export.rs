//! `cnn-tb export`: every point of many runs in one file, every image in a file of its own.

mod images;
mod table;
mod target;

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ValueEnum;
use cnn_tb::report::export::{self, Layout, Series};
use console::truncate_str;

use crate::cli::Outcome;
use crate::cli::output::{Advised, escape};
use crate::cli::selection::{Selection, Tags};
use crate::cli::units::thousands;

/// Write all points of all runs into one file, for pandas, R or a spreadsheet.
///
/// Every point that the event files hold is written, none sampled. A row is a point: run, tag,
/// step, wall_time (seconds since 1970), value. Values have as many digits as it takes to read the
/// same 32-bit number again. Names are kept as they are, quoted where they must be.
///
/// A file that is there already is replaced when all is written, and not before.
///
/// Images become files of their own (--format png -o DIR), as they were logged, at
/// DIR/run/tag/step.png; what no file system takes of a name becomes "_".
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    tags: Tags,

    /// What to export [default: image with --format png, else scalar]
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,

    /// How to write it [default: png for images, else by the extension of the file, else csv]
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

    /// Write to this file instead of standard output; images into this directory
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,

    /// Replace images that are there already
    #[arg(long)]
    overwrite: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Numbers over steps
    Scalar,
    /// Texts
    Text,
    /// Images, each a file of its own
    Image,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Comma-separated values, the names of the columns in the first line
    Csv,
    /// A JSON object a line; what is no number is null
    Jsonl,
    /// Images as they were logged, mostly as PNG
    Png,
}

const EXAMPLES: &str = "\
Examples:
  cnn-tb export runs --tag '*loss*' -o losses.csv
  cnn-tb export runs/exp1 --wide | head";

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let what = args.what()?;
    let selected = args.selection.read()?;
    if selected.runs.is_empty() {
        return Ok(Outcome::No);
    }
    match what {
        What::Scalars(format) => {
            table::export(args, "scalar", format, started, &selected, Series::scalars)
        }
        What::Texts(format) => {
            table::export(args, "text", format, started, &selected, Series::texts)
        }
        What::Images(directory) => images::export(args, directory, started, &selected),
    }
}

/// What is asked for.
#[derive(Clone, Copy)]
enum What<'a> {
    Scalars(export::Format),
    Texts(export::Format),
    /// Into this directory.
    Images(&'a Path),
}

impl Args {
    fn what(&self) -> anyhow::Result<What<'_>> {
        let format = match self.format()? {
            Format::Csv => export::Format::Csv,
            Format::Jsonl => export::Format::JsonLines,
            Format::Png => return self.images(),
        };
        match self.kind {
            None | Some(Kind::Scalar) => Ok(What::Scalars(format)),
            Some(Kind::Text) => Ok(What::Texts(format)),
            Some(Kind::Image) => Err(images_advice()),
        }
    }

    fn images(&self) -> anyhow::Result<What<'_>> {
        match (self.kind, &self.output) {
            (None | Some(Kind::Image), Some(directory)) if !self.wide && !self.hparams => {
                Ok(What::Images(directory))
            }
            _ => Err(images_advice()),
        }
    }

    fn format(&self) -> anyhow::Result<Format> {
        match (self.format, &self.output) {
            (Some(format), _) => Ok(format),
            (None, _) if self.json => Ok(Format::Jsonl),
            (None, _) if self.kind == Some(Kind::Image) => Ok(Format::Png),
            (None, Some(path)) => format_of(path),
            (None, None) => Ok(Format::Csv),
        }
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

fn images_advice() -> anyhow::Error {
    Advised::new(
        "images become files in a directory, and nothing else does",
        "export them by --format png -o DIR, without --wide and --hparams",
    )
    .into()
}

/// The format that the file's extension names.
fn format_of(path: &Path) -> anyhow::Result<Format> {
    let extension = path.extension().unwrap_or_default();
    match extension.to_ascii_lowercase().to_str() {
        Some("csv") => Ok(Format::Csv),
        Some("jsonl") => Ok(Format::Jsonl),
        _ => Err(Advised::new(
            format!("{} says no format by its extension", path.display()),
            "there are .csv and .jsonl; or say it: --format csv, jsonl or, for images, png",
        )
        .into()),
    }
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

/// `1 run`, `1,000 runs`
fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(number))
}

/// Writes a line to standard error.
fn say(message: &str) {
    // Where standard error is closed there is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "{}", escape(message));
}
