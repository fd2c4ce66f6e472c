//! `cnn-tb compare`: which run was best, and what differed.

mod baseline;
mod format;
mod groups;
mod listing;
mod runs;

use cnn_tb::report::compare::{self, Comparison, Metric, Row};
use cnn_tb::report::groups::group;
use cnn_tb::tb::Run;

use crate::cli::Outcome;
use crate::cli::output;
use crate::cli::ranking::Ranking;
use crate::cli::selection::{Selection, unknown};

use format::Format;
use listing::Listing;

/// Show runs side by side, the best first, with the settings that differ.
///
/// Everything is read from the event files, whoever wrote them. Each run shows its best validation
/// accuracy and where it was reached, its best validation loss, the last test accuracy, the time it
/// took and the settings in which the runs differ.
///
/// Series are found by the words in their names. An accuracy has "accuracy" or "acc"; a loss has
/// "loss", else a word like "error", "mse" or "perplexity". Validation series have "validation",
/// "valid" or "val", else "eval", "evaluation" or "dev", else "test", else none of these; those
/// with "train" or "training" are never taken. Among equals the shortest name wins. An accuracy
/// that stays within 0 and 1 is shown in per cent.
///
/// The metric that decides is the first that any run has. A difference, Δ, is the run's value less
/// the baseline's, of accuracies in points of per cent (pp).
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    /// Compare by this series instead; may be repeated, the first decides the order
    ///
    /// A series of a directory below the run's has that directory's name in front, as
    /// `validation/loss`. Lower is better where the name has a word for a loss or a time.
    #[arg(long, value_name = "[CHILD/]TAG")]
    metric: Vec<String>,

    /// Take the runs together that have the same values of these settings
    ///
    /// Each group shows the mean of its runs and their sample standard deviation, which a single run
    /// has not, the lowest and the highest, and the difference to the best group, or to that of the
    /// baseline. Runs without the metric are not counted: "4 of 5". A NaN makes the mean NaN.
    #[arg(long, value_name = "SETTING,…", value_delimiter = ',')]
    group_by: Vec<String>,

    /// Show the difference to this run, which is one of those compared
    ///
    /// It is named as in the table, or by its directory.
    #[arg(long, value_name = "RUN")]
    baseline: Option<String>,

    /// Exit with 1 unless the best of the other runs, or groups, beats the baseline by this much
    ///
    /// In the unit of the metric; of an accuracy as a share of 1, however it was logged: 0.005 is
    /// half a point of per cent. Where lower is better it must be lower by this much. With a negative
    /// number it may be worse by that much. What was compared is said on standard error.
    #[arg(
        long,
        value_name = "DELTA",
        requires = "baseline",
        allow_negative_numbers = true,
        value_parser = finite
    )]
    require: Option<f64>,

    #[command(flatten)]
    ranking: Ranking,

    /// Write the rows in this way
    ///
    /// CSV has the numbers of a run with all digits as they were logged, those of groups with
    /// accuracies as shares of 1, and an apostrophe before a text that a spreadsheet would take for
    /// a formula.
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Print a JSON array with an object for each run instead, the best first
    ///
    /// Its keys: "run", "path", "metrics", "test_accuracy", "elapsed_secs", "settings" (all of
    /// them, by name). "metrics" has "validation_accuracy" and "validation_loss", or the series
    /// given by --metric, each with "series", "best" and "step". Numbers are as they were logged,
    /// accuracies of most programs as fractions; what is missing or no number is null. With
    /// --baseline there is "delta". The keys of a group: "settings", "runs" (their names), "metric",
    /// "counted", "mean", "deviation", "min", "max", "delta".
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  cnn-tb compare runs --metric validation/loss --group-by learning_rate
  cnn-tb compare runs/exp1 runs/exp2 --baseline exp1 --require 0.001";

fn finite(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match number.is_finite() {
        true => Ok(number),
        false => Err("not a finite number".to_owned()),
    }
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let selected = args.selection.read()?;
    if selected.runs.is_empty() {
        if args.json {
            output::print("[]\n")?;
        }
        return Ok(Outcome::No);
    }
    check_names(args, &selected.runs)?;
    let comparison = compare::compare(&selected.runs, &args.metric, args.ranking.best());
    let name = |row: &Row| selected.name_of(&row.path).to_owned();
    let names: Vec<String> = comparison.rows.iter().map(name).collect();
    let deciding = comparison.deciding().map(|(_, metric)| metric);
    let Some(metric) = deciding else {
        return without_metric(args, &selected.runs, &comparison, &names);
    };
    let baseline = args.baseline.as_deref();
    let baseline = baseline.map(|wanted| baseline::find(wanted, &comparison, &names));
    let (listing, entries, base) = rows(args, &comparison, &names, metric, baseline.transpose()?)?;
    print(args, listing)?;
    match (args.require, base) {
        (Some(by), Some(base)) => {
            baseline::require(by, metric, args.ranking.best(), &entries, base)
        }
        _ => Ok(Outcome::Done),
    }
}

/// The rows, of runs or of groups, what is required of them, and which of them is the baseline's.
fn rows(
    args: &Args,
    comparison: &Comparison,
    names: &[String],
    metric: &Metric,
    baseline: Option<usize>,
) -> anyhow::Result<(Listing, Vec<baseline::Entry>, Option<usize>)> {
    let best = args.ranking.best();
    if args.group_by.is_empty() {
        let listing = runs::listing(comparison, names, best, baseline)?;
        return Ok((listing, baseline::runs(comparison, names), baseline));
    }
    let groups = group(comparison, &args.group_by);
    let of_baseline = |baseline| {
        groups
            .iter()
            .position(|group| group.rows.contains(&baseline))
    };
    let base = baseline.and_then(of_baseline);
    let chosen = (best, base.unwrap_or(0));
    let listing = groups::listing(comparison, names, metric, &args.group_by, &groups, chosen);
    Ok((listing, baseline::groups(&args.group_by, &groups), base))
}

/// Prints what the arguments leave of `listing`.
fn print(args: &Args, mut listing: Listing) -> anyhow::Result<()> {
    listing.rank(&args.ranking)?;
    match args.json {
        true => output::print(&format::json(&listing))?,
        false => format::print(&listing, args.format)?,
    }
    Ok(())
}

/// Whether all series and settings that the arguments name are those of some run.
fn check_names(args: &Args, runs: &[Run]) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.group_by.is_empty() || args.metric.len() < 2,
        "--group-by compares by one --metric, not by {}",
        args.metric.len()
    );
    for series in &args.metric {
        if runs.iter().all(|run| run.scalars(series).is_err()) {
            let known: Vec<String> = runs
                .iter()
                .flat_map(Run::scalar_series)
                .map(|(name, _)| name)
                .collect();
            let what = format!("none of the runs has a scalar {series:?}");
            return Err(unknown(what, series, known.iter().map(String::as_str)));
        }
    }
    for name in &args.group_by {
        if runs.iter().all(|run| !run.hparams().contains_key(name)) {
            let known = runs.iter().flat_map(|run| run.hparams().keys());
            let what = format!("none of the runs has a setting {name:?}");
            return Err(unknown(what, name, known.map(String::as_str)));
        }
    }
    Ok(())
}

/// Shows runs in which no metric was found by its name, and says how to name one.
fn without_metric(
    args: &Args,
    runs: &[Run],
    comparison: &Comparison,
    names: &[String],
) -> anyhow::Result<Outcome> {
    let mut series = runs.iter().flat_map(Run::scalar_series);
    let series = series.next().map(|(series, _)| series);
    let advice = series.map(|series| {
        format!(
            "no series is named a validation accuracy or loss; choose others: --metric {series}"
        )
    });
    if args.baseline.is_some() || !args.group_by.is_empty() {
        let advice = advice.unwrap_or_else(|| "none of the runs has a scalar".to_owned());
        anyhow::bail!(advice);
    }
    if let Some(advice) = advice {
        output::warn(&advice);
    }
    print(
        args,
        runs::listing(comparison, names, args.ranking.best(), None)?,
    )?;
    Ok(Outcome::Done)
}
