//! `cnn-tb compare`: which run was best, and what differed.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};

use cnn_tb::report::compare::{self, Comparison, Metric, Reading, Row};
use cnn_tb::report::metric::Direction;
use cnn_tb::tb::{HParam, Run};
use console::{Term, truncate_str};
use serde::Serialize;
use serde_json::Value;

use crate::cli::Outcome;
use crate::cli::output::{self, escape, escape_json};
use crate::cli::selection::Selection;
use crate::cli::table::{self, Column};
use crate::cli::units::{duration, percent};

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

    /// Print a JSON array with an object for each run instead, the best first
    ///
    /// Its keys: "run", "path", "metrics", "test_accuracy", "elapsed_secs", "settings" (all of
    /// them, by name). "metrics" has "validation_accuracy" and "validation_loss", or the series
    /// given by --metric, each with "series", "best" and "step". Numbers are as they were logged,
    /// accuracies of most programs as fractions; what is missing or no number is null.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  cnn-tb compare runs
  cnn-tb compare runs/exp1 runs/exp2 --metric validation/loss";

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let selected = args.selection.read()?;
    let comparison = compare::compare(&selected.runs, &args.metric);
    let outcome = outcome(args, &selected.runs, &comparison);
    let name = |row: &Row| selected.name_of(&row.path).to_owned();
    let names: Vec<String> = comparison.rows.iter().map(name).collect();
    if args.json {
        output::print(&json(&comparison, &names)?)?;
    } else if outcome == Outcome::Done {
        print_table(&columns(&comparison, &names))?;
    }
    Ok(outcome)
}

/// Whether there is something to show; says so if there is less than was asked for.
fn outcome(args: &Args, runs: &[Run], comparison: &Comparison) -> Outcome {
    if runs.is_empty() {
        return Outcome::No;
    }
    let is_found = |index: usize| comparison.rows.iter().any(|row| row.best[index].is_some());
    let found = (0..comparison.metrics.len())
        .filter(|&index| is_found(index))
        .count();
    for (index, series) in args.metric.iter().enumerate() {
        // The error lists what there is instead.
        let error = runs.iter().find_map(|run| run.scalars(series).err());
        if let Some(error) = error.filter(|_| !is_found(index)) {
            output::warn(&error.to_string());
        }
    }
    if found == 0 && !args.metric.is_empty() {
        return Outcome::No;
    }
    if found == 0
        && let Some((series, _)) = runs.iter().flat_map(Run::scalar_series).next()
    {
        output::warn(&format!(
            "no series is named a validation accuracy or loss; choose others: --metric {series}"
        ));
    }
    Outcome::Done
}

/// Every column that has something to say, the run's name first.
fn columns(comparison: &Comparison, names: &[String]) -> Vec<Column> {
    let rows = &comparison.rows;
    let mut columns = vec![Column {
        title: "run".to_owned(),
        cells: names.iter().map(|name| escape(name)).collect(),
        gap: 0,
        flush_right: false,
    }];
    let mut push = |title: &str, gap: usize, cells: Vec<Option<String>>| {
        if cells.iter().any(Option::is_some) {
            let cell = |cell: Option<String>| cell.unwrap_or_else(|| "–".to_owned());
            columns.push(Column {
                title: escape(title),
                cells: cells.into_iter().map(cell).collect(),
                gap,
                flush_right: true,
            });
        }
    };
    for (index, metric) in comparison.metrics.iter().enumerate() {
        let best = || rows.iter().map(|row| row.best[index].as_ref());
        push(
            &title(metric),
            3,
            best().map(|best| best.map(value)).collect(),
        );
        if index == 0 {
            let counts_epochs = best().flatten().all(|best| best.counts_epochs);
            let title = if counts_epochs { "at epoch" } else { "at step" };
            let step = |best: &Reading| best.step.to_string();
            push(title, 2, best().map(|best| best.map(step)).collect());
        }
    }
    let test = |row: &Row| row.test_accuracy.as_ref().map(value);
    push("test", 3, rows.iter().map(test).collect());
    push(
        "time",
        3,
        rows.iter()
            .map(|row| row.elapsed_secs.map(duration))
            .collect(),
    );
    for name in &comparison.differing {
        push(
            name,
            3,
            rows.iter()
                .map(|row| row.settings.get(name).map(setting))
                .collect(),
        );
    }
    columns
}

fn title(metric: &Metric) -> String {
    let arrow = match metric.direction {
        Direction::Higher => '↑',
        Direction::Lower => '↓',
    };
    match &metric.series {
        Some(series) => format!("{series} {arrow}"),
        None => format!("{} {arrow}", metric.key.replace('_', " ")),
    }
}

fn value(reading: &Reading) -> String {
    let value = f64::from(reading.value);
    let size = value.abs();
    if reading.is_fraction && value.is_finite() {
        percent(value)
    } else if value == 0.0 || (0.001..1000.0).contains(&size) {
        format!("{value:.4}")
    } else if (1000.0..1e6).contains(&size) {
        format!("{value:.1}")
    } else {
        format!("{value:.3e}")
    }
}

fn setting(value: &HParam) -> String {
    const WIDTH: usize = 32;
    let text = match value {
        HParam::Number(number) => number_text(*number),
        other => escape(&other.to_string()),
    };
    truncate_str(&text, WIDTH, "…").into_owned()
}

/// The shortest text that names the number. A 32-bit number that was stored with 64 bits is shown
/// with the digits that it had: `0.003`, not `0.003000000026077032`.
fn number_text(number: f64) -> String {
    let narrow = number as f32;
    let text = if number.fract() != 0.0 && f64::from(narrow) == number {
        format!("{narrow:?}")
    } else {
        format!("{number:?}")
    };
    text.strip_suffix(".0").map(String::from).unwrap_or(text)
}

/// Prints the table, on a terminal no wider than that.
fn print_table(columns: &[Column]) -> io::Result<()> {
    let terminal = io::stdout()
        .is_terminal()
        .then(|| Term::stdout().size_checked());
    let width = terminal.flatten().map(|(_, width)| usize::from(width));
    let (columns, omitted) = fit(columns, width);
    let mut lines = table::lines(&columns);
    if let Some(titles) = lines.first_mut() {
        *titles = output::bold(titles);
    }
    output::print(&(lines.join("\n") + "\n"))?;
    if !omitted.is_empty() {
        let omitted = omitted.join(", ");
        output::warn(&format!(
            "left out for want of width, --json has them: {omitted}"
        ));
    }
    Ok(())
}

/// The columns that fit and the titles of those that do not. The name and the first metric always
/// stay; the name is cut short where even these are too wide.
fn fit(columns: &[Column], width: Option<usize>) -> (Vec<Column>, Vec<String>) {
    const LEAST: usize = 2;
    const LEAST_NAME: usize = 8;
    let Some(width) = width else {
        return (columns.to_vec(), Vec::new());
    };
    let count = table::fitting(columns, width).max(LEAST).min(columns.len());
    let (kept, omitted) = columns.split_at(count);
    let mut kept = kept.to_vec();
    if let [name, others @ ..] = &mut kept[..] {
        let used: usize = others
            .iter()
            .map(|column| column.gap + column.width())
            .sum();
        let left = width.saturating_sub(used).max(LEAST_NAME);
        for cell in &mut name.cells {
            *cell = truncate_str(cell, left, "…").into_owned();
        }
    }
    (
        kept,
        omitted.iter().map(|column| column.title.clone()).collect(),
    )
}

/// A run as `--json` gives it; [`Args::json`] describes it.
#[derive(Serialize)]
struct JsonRun<'a> {
    run: &'a str,
    path: String,
    metrics: BTreeMap<&'a str, Option<JsonReading<'a>>>,
    test_accuracy: Option<f32>,
    elapsed_secs: Option<f64>,
    settings: BTreeMap<&'a str, Value>,
}

#[derive(Serialize)]
struct JsonReading<'a> {
    series: &'a str,
    best: f32,
    step: i64,
}

fn json(comparison: &Comparison, names: &[String]) -> serde_json::Result<String> {
    let mut objects = Vec::new();
    for (name, row) in names.iter().zip(&comparison.rows) {
        let object = serde_json::to_string(&json_run(&comparison.metrics, name, row))?;
        objects.push(escape_json(&object));
    }
    Ok(match objects.is_empty() {
        true => "[]\n".to_owned(),
        false => format!("[\n{}\n]\n", objects.join(",\n")),
    })
}

fn json_run<'a>(metrics: &'a [Metric], name: &'a str, row: &'a Row) -> JsonRun<'a> {
    let reading = |reading: &'a Reading| JsonReading {
        series: &reading.series,
        best: reading.value,
        step: reading.step,
    };
    let best = row.best.iter().map(|best| best.as_ref().map(reading));
    let settings = row.settings.iter();
    JsonRun {
        run: name,
        path: row.path.display().to_string(),
        metrics: metrics
            .iter()
            .map(|metric| metric.key.as_str())
            .zip(best)
            .collect(),
        test_accuracy: row.test_accuracy.as_ref().map(|test| test.value),
        elapsed_secs: row
            .elapsed_secs
            .map(|secs| (secs * 1000.0).round() / 1000.0),
        settings: settings
            .map(|(name, value)| (name.as_str(), json_setting(value)))
            .collect(),
    }
}

fn json_setting(value: &HParam) -> Value {
    match value {
        // A whole number without a point; up to here `f64` has them all.
        HParam::Number(number) if number.fract() == 0.0 && number.abs() < 2_f64.powi(53) => {
            Value::from(*number as i64)
        }
        HParam::Number(number) => Value::from(*number),
        HParam::Text(text) => Value::from(text.as_str()),
        HParam::Bool(flag) => Value::from(*flag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_with_what_can_be_read() {
        let cases = [
            (0.9904, true, "99.04 %"),
            (1.0, true, "100.00 %"),
            (f32::NAN, true, "NaN"),
            (0.0371, false, "0.0371"),
            (0.0, false, "0.0000"),
            (-2.5, false, "-2.5000"),
            (87.5, false, "87.5000"),
            (12345.678, false, "12345.7"),
            (3.14e-7, false, "3.140e-7"),
            (2e9, false, "2.000e9"),
            (f32::INFINITY, false, "inf"),
        ];
        for (number, is_fraction, expected) in cases {
            let reading = Reading {
                series: "accuracy".to_owned(),
                step: 1,
                counts_epochs: false,
                value: number,
                is_fraction,
            };
            assert_eq!(value(&reading), expected);
        }
    }

    #[test]
    fn settings_are_shown_and_given_in_their_shortest_form() {
        let cases: [(HParam, &str, &str); 9] = [
            (0.003.into(), "0.003", "0.003"),
            (0.003_f32.into(), "0.003", "0.003000000026077032"),
            (1e-7.into(), "1e-7", "1e-7"),
            (100.into(), "100", "100"),
            (HParam::Number(1e300), "1e300", "1e+300"),
            (HParam::Number(f64::NAN), "NaN", "null"),
            (true.into(), "true", "true"),
            ("adam\x1b".into(), r"adam\u{1b}", r#""adam\u001b""#),
            (
                "0123456789".repeat(4).into(),
                "0123456789012345678901234567890…",
                r#""0123456789012345678901234567890123456789""#,
            ),
        ];
        for (value, shown, given) in cases {
            assert_eq!(setting(&value), shown);
            assert_eq!(json_setting(&value).to_string(), given);
        }
    }

    #[test]
    fn a_narrow_terminal_gets_fewer_columns() {
        let column = |title: &str, cell: &str, gap| Column {
            title: title.to_owned(),
            cells: vec![cell.to_owned()],
            gap,
            flush_right: gap > 0,
        };
        let columns = [
            column("run", "a-rather-long-name", 0),
            column("accuracy ↑", "99.04 %", 3),
            column("time", "4.9 s", 3),
            column("seed", "1", 3),
        ];
        let shown = |width| {
            let (columns, omitted) = fit(&columns, width);
            (table::lines(&columns)[1].clone(), omitted.join(" "))
        };
        let cases = [
            (None, "a-rather-long-name      99.04 %   4.9 s      1", ""),
            (
                Some(46),
                "a-rather-long-name      99.04 %   4.9 s      1",
                "",
            ),
            (Some(45), "a-rather-long-name      99.04 %   4.9 s", "seed"),
            (Some(31), "a-rather-long-name      99.04 %", "time seed"),
            (Some(24), "a-rather-l…      99.04 %", "time seed"),
            (Some(1), "a-rathe…      99.04 %", "time seed"),
        ];
        for (width, line, omitted) in cases {
            assert_eq!(
                shown(width),
                (line.to_owned(), omitted.to_owned()),
                "{width:?}"
            );
        }
    }
}
