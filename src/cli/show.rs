//! `cnn-tb show`: one run at a glance.

use std::time::{SystemTime, UNIX_EPOCH};

use cnn_tb::report::list::Status;
use cnn_tb::report::metric::Direction;
use cnn_tb::report::show::{self, Scalar, Series};
use cnn_tb::tb::{Point, Run};
use console::truncate_str;
use serde_json::{Value, json};

use crate::cli::Outcome;
use crate::cli::output::{self, escape};
use crate::cli::screen;
use crate::cli::selection::{Selection, Tags};
use crate::cli::table::Column;
use crate::cli::units::{ago, thousands};
use crate::cli::values::{amount, arrow, json_lines, json_setting, setting, short, size, step};

/// Show what a run holds: its series with their curves, hyper-parameters and texts.
///
/// Of each scalar: how many points, the first, the last and the best value, and a small curve. The
/// best is the lowest for what is named a loss, an error or one of their kin, or a time. Of other
/// kinds, as images and histograms: how many points.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    tags: Tags,

    /// Print a JSON array with an object for each run instead
    ///
    /// Its keys: "run", "path", "status", "bytes", "last_event" (seconds since 1970), "hparams",
    /// "series" (each with "name", "kind", "points", "last_step" and, of scalars, "first", "last",
    /// "best"), "dropped" (points, by restarts), "texts" (each with "name", "step", "text": the
    /// last), "problems".
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  cnn-tb show runs/exp1
  cnn-tb show runs/exp1 --tag 'validation/*'";

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let selected = args.selection.read()?;
    let named = || selected.runs.iter().zip(&selected.names);
    if args.json {
        let objects = named().map(|(run, name)| json(run, name, &args.tags));
        output::print(&json_lines(objects))?;
    } else {
        for (place, (run, name)) in named().enumerate() {
            if place > 0 {
                output::print("\n")?;
            }
            print(run, name, &args.tags)?;
        }
    }
    let found = selected.runs.iter().any(|run| holds(run, &args.tags));
    if !found && !selected.runs.is_empty() {
        output::warn("none of the runs has a series that fits --tag, or any at all");
    }
    Ok(if found { Outcome::Done } else { Outcome::No })
}

fn holds(run: &Run, tags: &Tags) -> bool {
    !show::series(run, |name| tags.matches(name)).is_empty()
}

fn print(run: &Run, name: &str, tags: &Tags) -> std::io::Result<()> {
    let series = show::series(run, |name| tags.matches(name));
    output::print(&head(run, name, &series))?;
    if !series.is_empty() {
        output::print("\n")?;
        screen::print_table(&columns(run, &series), 2)?;
    }
    output::print(&hparams(run))?;
    output::print(&text_lines(&texts(run, tags)))
}

/// The name, and in a second line how much there is.
fn head(run: &Run, name: &str, series: &[Series]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let age = |(_, last)| {
        let now_secs = now.as_ref().map_or(0.0, |time| time.as_secs_f64());
        format!("last event {}", ago(now_secs - last))
    };
    let points: usize = series.iter().map(|series| series.points).sum();
    let dropped = usize::try_from(run.dropped()).unwrap_or(usize::MAX);
    let parts = [
        Status::of(run).map(|status| status.name().to_owned()),
        Some(format!("{} series", thousands(series.len()))),
        Some(format!("{} points", thousands(points))),
        (run.dropped() > 0).then(|| format!("{} more dropped by restarts", thousands(dropped))),
        Some(size(run.bytes())),
        run.wall_times().map(age),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let name = truncate_str(&escape(name), 200, "…").into_owned();
    format!("{}\n{}\n", output::bold(&name), parts.join(", "))
}

fn columns(run: &Run, series: &[Series]) -> Vec<Column> {
    let column = |title: &str, gap, flush_right, cell: &dyn Fn(&Series) -> String| Column {
        title: title.to_owned(),
        cells: series.iter().map(cell).collect(),
        gap,
        flush_right,
    };
    let value = |point: &Point| amount(point.value.into(), false);
    let scalar = |series: &Series, cell: &dyn Fn(&Scalar) -> String| {
        series.scalar.as_ref().map(cell).unwrap_or_default()
    };
    let best = |series: &Series| {
        let arrow = arrow(Direction::of(&series.name));
        scalar(series, &|scalar| format!("{} {arrow}", value(&scalar.best)))
    };
    let mut columns = vec![
        column("series", 0, false, &|series| escape(&series.name)),
        column("last", 3, true, &|series| {
            scalar(series, &|scalar| value(&scalar.last))
        }),
        column("best", 3, true, &best),
        column("at step", 3, true, &|series| {
            scalar(series, &|scalar| step(scalar.best.step))
        }),
        column("first", 3, true, &|series| {
            scalar(series, &|scalar| value(&scalar.first))
        }),
        column("points", 3, true, &|series| thousands(series.points)),
        column("kind", 3, false, &|series| series.kind.name().to_owned()),
    ];
    let width = curve_width(&columns);
    let curve = |series: &Series| {
        let points = run.scalars(&series.name).unwrap_or_default();
        show::sparkline(points.iter().map(|point| point.value), width)
    };
    columns.insert(1, column("curve", 3, false, &curve));
    // Without a scalar there is nothing to say in most of them.
    columns.retain(|column| column.cells.iter().any(|cell| !cell.is_empty()));
    columns
}

/// What the other columns leave, within bounds.
fn curve_width(columns: &[Column]) -> usize {
    const USUAL: usize = 24;
    const GAP: usize = 3;
    let used: usize = columns
        .iter()
        .map(|column| column.gap + column.width())
        .sum();
    let left = |width: usize| width.saturating_sub(used + GAP).clamp(8, 40);
    screen::width().map_or(USUAL, left)
}

fn hparams(run: &Run) -> String {
    let pairs = run.hparams().iter();
    let lines: String = pairs
        .map(|(name, value)| format!("  {} {}\n", short(name), setting(value)))
        .collect();
    match lines.is_empty() {
        true => lines,
        false => format!("\n{}\n{lines}", output::bold("hparams")),
    }
}

/// The last text of each tag, with its tag.
fn texts<'a>(run: &'a Run, tags: &Tags) -> Vec<(String, &'a Point<String>)> {
    let own = run.text_tags().map(String::from);
    let below = run.children().iter().flat_map(|child| {
        child
            .text_tags()
            .map(|tag| format!("{}/{tag}", child.name()))
    });
    own.chain(below)
        .filter(|name| tags.matches(name))
        .filter_map(|name| {
            let last = run.texts(&name).ok()?.last()?;
            Some((name, last))
        })
        .collect()
}

/// The first lines of each text, as they were written, Markdown included.
fn text_lines(texts: &[(String, &Point<String>)]) -> String {
    const LINES: usize = 6;
    let mut shown = String::new();
    for (name, point) in texts {
        let title = format!("{}, step {}", short(name), step(point.step));
        shown += &format!("\n{}\n", output::bold(&title));
        for line in point.value.lines().take(LINES) {
            shown += &format!("  {}\n", truncate_str(&escape(line), 76, "…"));
        }
        let more = point.value.lines().count().saturating_sub(LINES);
        if more > 0 {
            shown += &format!("  … {} more lines\n", thousands(more));
        }
    }
    shown
}

fn json(run: &Run, name: &str, tags: &Tags) -> Value {
    let point = |point: &Point| json!({"step": point.step, "value": point.value});
    let series = show::series(run, |name| tags.matches(name));
    let series = series.iter().map(|series| {
        let scalar = series.scalar.as_ref();
        json!({
            "name": series.name,
            "kind": series.kind.name(),
            "points": series.points,
            "last_step": series.last_step,
            "first": scalar.map(|scalar| point(&scalar.first)),
            "last": scalar.map(|scalar| point(&scalar.last)),
            "best": scalar.map(|scalar| point(&scalar.best)),
        })
    });
    let texts = texts(run, tags);
    let texts = texts
        .iter()
        .map(|(name, text)| json!({"name": name, "step": text.step, "text": text.value}));
    let settings = run.hparams().iter();
    let settings = settings.map(|(name, value)| (name.clone(), json_setting(value)));
    json!({
        "run": name,
        "path": run.path().display().to_string(),
        "status": Status::of(run).map(Status::name),
        "bytes": run.bytes(),
        "last_event": run.wall_times().map(|(_, last)| last),
        "hparams": settings.collect::<serde_json::Map<String, Value>>(),
        "dropped": run.dropped(),
        "series": series.collect::<Vec<Value>>(),
        "texts": texts.collect::<Vec<Value>>(),
        "problems": run.problems().map(ToString::to_string).collect::<Vec<String>>(),
    })
}
