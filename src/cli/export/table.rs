//! Series as one text file.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use cnn_tb::report::export::{self, Cell, Format, Layout, Series, Written};
use cnn_tb::tb::Run;

use super::{Args, count, say, target, why_nothing};
use crate::cli::Outcome;
use crate::cli::output;
use crate::cli::selection::Selected;
use crate::cli::units::{duration, thousands};
use crate::cli::values::size;

/// Writes the series that `series_of` finds in each run.
pub fn export<'a, T: Cell + 'a>(
    args: &Args,
    kind: &str,
    format: Format,
    started: Instant,
    selected: &'a Selected,
    series_of: impl Fn(&'a Run, &str) -> Vec<Series<'a, T>>,
) -> anyhow::Result<Outcome> {
    let named = selected.runs.iter().zip(&selected.names);
    let (series, others): (Vec<_>, Vec<_>) = named
        .flat_map(|(run, name)| series_of(run, name))
        .partition(|series| args.tags.matches(&series.tag));
    let runs = selected.runs.len();
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
