//! `cnn-tb ls`: which runs there are, and how they stand.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use cnn_tb::report::list::{self, Order, Row};
use cnn_tb::report::measure::{self, Measure};
use cnn_tb::report::metric::{Best, Direction};
use cnn_tb::tb::Run;
use console::truncate_str;
use serde_json::{Value, json};

use crate::cli::Outcome;
use crate::cli::output::{self, escape};
use crate::cli::ranking::Ranking;
use crate::cli::screen;
use crate::cli::selection::{Selected, Selection, unknown};
use crate::cli::table::Column;
use crate::cli::units::{ago, thousands};
use crate::cli::values::{amount, arrow, json_lines, json_setting, setting, short, size, step};

/// List runs: their best metric, how far they are, and how they ended.
///
/// The metric is `validation/accuracy` or else the series whose name looks most like a validation
/// accuracy, or a validation loss. Lower is better for what is named a loss, an error or one of
/// their kin, or a time.
///
/// The status is what a run says itself. A run of another program that says nothing has none; the
/// age of its last event is there for that.
///
/// The columns are run, metric, step, points, last-step, size, last-event, status and hparams; each
/// hyper-parameter can be one by its name. Sorted by hyper-parameters or names rows ascend, by
/// anything else they descend.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    /// Rank the runs by this scalar instead
    ///
    /// A series of a directory below the run's has that directory's name in front, as
    /// `validation/loss`.
    #[arg(long, value_name = "[CHILD/]TAG")]
    metric: Option<String>,

    #[command(flatten)]
    ranking: Ranking,

    /// Print a JSON array with an object for each run instead
    ///
    /// Its keys: "run", "path", "metric" (with "series", "value", "step", or null), "points" (of
    /// scalars), "bytes", "last_step", "last_event" (seconds since 1970), "status", "hparams".
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  cnn-tb ls
  cnn-tb ls runs --metric Loss/val --where 'lr<1e-2' --top 3";

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let selected = args.selection.read_without_problems()?;
    if selected.runs.is_empty() {
        if args.json {
            output::print("[]\n")?;
        }
        return Ok(Outcome::No);
    }
    let measure = measure(args, &selected.runs)?;
    let hparams = differing(&selected.runs);
    check_columns(args, &selected.runs)?;
    let mut rows = rows(&selected, measure.as_ref());
    let direction = measure
        .as_ref()
        .map_or(Direction::Higher, Measure::direction);
    list::sort(&mut rows, &order(args.ranking.sort.as_deref()), direction);
    let shown = &rows[..args.ranking.top.unwrap_or(usize::MAX).min(rows.len())];
    if args.json {
        output::print(&json(shown, measure.as_ref()))?;
    } else {
        output::print(&head(&rows, measure.as_ref()))?;
        screen::print_table(&columns(args, shown, measure.as_ref(), &hparams), 2)?;
        output::print(&foot(&rows, shown.len(), measure.as_ref()))?;
    }
    warn_of_problems(&selected.runs, &args.selection);
    Ok(Outcome::Done)
}

/// What the runs are ranked by, where they have such a thing.
fn measure(args: &Args, runs: &[Run]) -> anyhow::Result<Option<Measure>> {
    let best = args.ranking.best();
    let Some(series) = &args.metric else {
        return Ok(Measure::usual(runs, best));
    };
    if runs.iter().all(|run| run.scalars(series).is_err()) {
        let known = measure::scalar_names(runs);
        let what = format!("none of the runs has a scalar {series:?}");
        return Err(unknown(what, series, known.iter().map(String::as_str)));
    }
    Ok(Some(Measure::of(series, best)))
}

const COLUMNS: [&str; 9] = [
    "run",
    "metric",
    "step",
    "points",
    "last-step",
    "size",
    "last-event",
    "status",
    "hparams",
];

/// Whether the columns that are asked for are there.
fn check_columns(args: &Args, runs: &[Run]) -> anyhow::Result<()> {
    let hparams = runs.iter().flat_map(|run| run.hparams().keys());
    let known: BTreeSet<&str> = hparams.map(String::as_str).chain(COLUMNS).collect();
    for name in args.ranking.columns.iter().chain(&args.ranking.sort) {
        if !known.contains(name.as_str()) {
            let what = format!("there is no column {name:?}");
            return Err(unknown(what, name, known));
        }
    }
    Ok(())
}

fn order(column: Option<&str>) -> Order {
    match column {
        None | Some("metric" | "step") => Order::Measure,
        Some("run" | "status" | "hparams") => Order::Name,
        Some("points") => Order::Points,
        Some("size") => Order::Size,
        Some("last-step") => Order::LastStep,
        Some("last-event") => Order::LastEvent,
        Some(hparam) => Order::HParam(hparam.to_owned()),
    }
}

fn rows(selected: &Selected, measure: Option<&Measure>) -> Vec<Row> {
    let named = selected.runs.iter().zip(&selected.names);
    named
        .map(|(run, name)| list::row(run, name, measure))
        .collect()
}

/// The names of the hyper-parameters that tell the runs apart; of a single run, all.
fn differing(runs: &[Run]) -> Vec<String> {
    let names: BTreeSet<&String> = runs.iter().flat_map(|run| run.hparams().keys()).collect();
    let differs = |name: &&String| {
        let mut values = runs.iter().map(|run| run.hparams().get(name.as_str()));
        let first = values.next();
        runs.len() == 1 || values.any(|value| Some(value) != first)
    };
    names.into_iter().filter(differs).cloned().collect()
}

/// `500 runs, 1.3 GB; best Loss/val (lower is better, from its name; --best max to change)`
fn head(rows: &[Row], measure: Option<&Measure>) -> String {
    let runs = counted(rows.len());
    let bytes = size(rows.iter().map(|row| row.bytes).sum());
    let Some(measure) = measure else {
        return format!(
            "{runs}, {bytes}; no validation accuracy or loss by name; --metric names one\n"
        );
    };
    let which = match measure.best {
        Best::Last => "last",
        _ => "best",
    };
    let (better, other) = match measure.direction() {
        Direction::Lower => ("lower", "max"),
        Direction::Higher => ("higher", "min"),
    };
    let why = match measure.is_by_name {
        true => format!("from its name; --best {other} to change"),
        false if which == "last" => "from its name".to_owned(),
        false => "as asked for".to_owned(),
    };
    let series = short(&measure.series);
    format!("{runs}, {bytes}; {which} {series} ({better} is better, {why})\n")
}

/// `… 497 more; 12 runs have no Loss/val`
fn foot(rows: &[Row], shown: usize, measure: Option<&Measure>) -> String {
    let more = rows.len() - shown;
    let more = (more > 0).then(|| format!("… {} more", thousands(more)));
    let without = rows.iter().filter(|row| row.best.is_none()).count();
    let without = measure.filter(|_| without > 0).map(|measure| {
        let verb = if without == 1 { "has" } else { "have" };
        format!("{} {verb} no {}", counted(without), short(&measure.series))
    });
    let parts: Vec<String> = more.into_iter().chain(without).collect();
    match parts.is_empty() {
        true => String::new(),
        false => parts.join("; ") + "\n",
    }
}

fn counted(runs: usize) -> String {
    let plural = if runs == 1 { "" } else { "s" };
    format!("{} run{plural}", thousands(runs))
}

/// One line for all that was wrong with files.
fn warn_of_problems(runs: &[Run], selection: &Selection) {
    let torn: Vec<&Run> = runs
        .iter()
        .filter(|run| run.problems().next().is_some())
        .collect();
    if let Some(first) = torn.first().and_then(|run| run.problems().next()) {
        output::warn(&format!(
            "{} read in part, the first: {first}; more: cnn-tb doctor {}",
            counted(torn.len()),
            selection.paths()
        ));
    }
}

fn columns(
    args: &Args,
    rows: &[Row],
    measure: Option<&Measure>,
    hparams: &[String],
) -> Vec<Column> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_secs = now.map_or(0.0, |time| time.as_secs_f64());
    let is_asked = !args.ranking.columns.is_empty();
    let usual = COLUMNS.map(String::from);
    let chosen = if is_asked {
        &args.ranking.columns[..]
    } else {
        &usual
    };
    let mut columns = vec![column("run", 0, false, rows, |row| Some(escape(&row.name)))];
    for name in chosen.iter().filter(|name| *name != "run") {
        let flush_right = !matches!(name.as_str(), "status" | "hparams");
        let cell = |row: &Row| cell(name, row, now_secs, hparams);
        if is_asked || rows.iter().any(|row| cell(row).is_some()) {
            columns.push(column(&title(name, measure), 3, flush_right, rows, cell));
        }
    }
    columns
}

fn column(
    title: &str,
    gap: usize,
    flush_right: bool,
    rows: &[Row],
    cell: impl Fn(&Row) -> Option<String>,
) -> Column {
    let cell = |row| cell(row).unwrap_or_else(|| "–".to_owned());
    Column {
        title: title.to_owned(),
        cells: rows.iter().map(cell).collect(),
        gap,
        flush_right,
    }
}

fn title(name: &str, measure: Option<&Measure>) -> String {
    match (name, measure) {
        ("metric", Some(measure)) => {
            format!("{} {}", short(&measure.series), arrow(measure.direction()))
        }
        ("step", _) => "at step".to_owned(),
        ("last-step", _) => "last step".to_owned(),
        ("last-event", _) => "last event".to_owned(),
        _ => short(name),
    }
}

fn cell(column: &str, row: &Row, now_secs: f64, hparams: &[String]) -> Option<String> {
    let best = row.best.as_ref();
    match column {
        "metric" => best.map(|best| amount(best.value.into(), row.is_fraction)),
        "step" => best.map(|best| step(best.step)),
        "points" => Some(thousands(row.points)),
        "last-step" => row.last_step.map(step),
        "size" => Some(size(row.bytes)),
        "last-event" => row.last_event_secs.map(|secs| ago(now_secs - secs)),
        "status" => row.status.map(|status| status.name().to_owned()),
        "hparams" => {
            let pair = |name: &String| {
                let value = row.hparams.get(name)?;
                Some(format!("{} {}", short(name), setting(value)))
            };
            let pairs: Vec<String> = hparams.iter().filter_map(pair).collect();
            (!pairs.is_empty()).then(|| truncate_str(&pairs.join(", "), 60, "…").into_owned())
        }
        hparam => row.hparams.get(hparam).map(setting),
    }
}

fn json(rows: &[Row], measure: Option<&Measure>) -> String {
    let metric = |row: &Row| {
        let (measure, best) = (measure?, row.best.as_ref()?);
        Some(json!({"series": measure.series, "value": best.value, "step": best.step}))
    };
    let settings = |row: &Row| -> serde_json::Map<String, Value> {
        let settings = row.hparams.iter();
        settings
            .map(|(name, value)| (name.clone(), json_setting(value)))
            .collect()
    };
    json_lines(rows.iter().map(|row| {
        json!({
            "run": row.name,
            "path": row.path.display().to_string(),
            "metric": metric(row),
            "points": row.points,
            "bytes": row.bytes,
            "last_step": row.last_step,
            "last_event": row.last_event_secs,
            "status": row.status.map(list::Status::name),
            "hparams": settings(row),
        })
    }))
}
