//! `cnn-tb doctor`: what TensorBoard will not show, why, and what to do.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use cnn_tb::report::doctor::{self, Finding, Repaired, Severity};
use cnn_tb::tb::LogdirError;
use serde::Serialize;

use crate::cli::Outcome;
use crate::cli::output::{self, Advised, bold, escape, escape_json};
use crate::cli::units::thousands;

/// How many runs are shown of each finding.
const SHOWN_RUNS: usize = 5;
/// Explanations are broken into lines of this width.
const WIDTH: usize = 98;

/// Say what TensorBoard will not show, why, and what to do.
///
/// Reads all event files in a logdir, whoever wrote them, and holds them against the rules of both
/// of TensorBoard's loaders: the data server, which is the default, and the Python loader
/// (`--load_fast=false`). A problem is something that is lost or not shown; a hint is something that
/// is shown, though perhaps not as it was meant.
///
/// The exit code is 1 where there is a problem, 0 where there are hints alone or nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The directory that TensorBoard is given, or a single event file
    #[arg(default_value = "runs")]
    logdir: PathBuf,

    /// Copy the good records of FILE to OUT, a new file, and say what was left out
    ///
    /// The name of OUT must contain `tfevents`, else TensorBoard passes it over. FILE stays as it
    /// is: move it away, else TensorBoard reads both.
    #[arg(long, num_args = 2, value_names = ["OUT", "FILE"], conflicts_with = "logdir")]
    repair: Option<Vec<PathBuf>>,

    /// Print a JSON array with an object for each finding instead, or of --repair one object
    ///
    /// Its keys: "finding" (its name, as "damaged_payload"), "severity" ("problem" or "hint"),
    /// "run", "path", "offset", "tag" and "step" (null where they do not apply), "found", "effect"
    /// and "repair". Of --repair: "kept" records and "dropped", a list of "offset", "bytes", "why".
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  cnn-tb doctor runs
  cnn-tb doctor --repair repaired.tfevents runs/exp1/events.out.tfevents.1700000000.host.1.0";

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    if let Some([to, from]) = args.repair.as_deref() {
        return repair(args, from, to);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let findings = doctor::examine(&args.logdir, now.as_secs_f64());
    let findings = findings.map_err(|error| match error {
        LogdirError::Missing { path } => anyhow::Error::new(Advised::new(
            format!("there is no directory or file {}", path.display()),
            "name the directory that TensorBoard is given: cnn-tb doctor runs",
        )),
        error => error.into(),
    })?;
    output::print(&match args.json {
        true => json(&findings)?,
        false => text(&args.logdir, &findings),
    })?;
    let is_problem = |finding: &Finding| finding.cause.severity() == Severity::Problem;
    Ok(match findings.iter().any(is_problem) {
        true => Outcome::No,
        false => Outcome::Done,
    })
}

/// The findings, problems first, those with the same name together.
fn text(logdir: &Path, findings: &[Finding]) -> String {
    if findings.is_empty() {
        let logdir = escape(&logdir.display().to_string());
        return format!("nothing found: TensorBoard shows all of {logdir}\n");
    }
    let mut groups: Vec<Vec<&Finding>> = Vec::new();
    for finding in findings {
        let same = |group: &&mut Vec<&Finding>| group[0].cause.name() == finding.cause.name();
        match groups.iter_mut().find(same) {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    groups.sort_by_key(|group| group[0].cause.severity());
    let groups: Vec<String> = groups
        .iter()
        .map(|group| group_text(logdir, group))
        .collect();
    format!("{}\n{}\n", groups.join("\n"), summary(findings))
}

/// One kind of finding: its name, where it was met, and once what it means.
fn group_text(logdir: &Path, group: &[&Finding]) -> String {
    let cause = &group[0].cause;
    let severity = severity(cause.severity());
    let title = format!("{severity}: {}", cause.name().replace('_', " "));
    let runs = by_run(group);
    let count = match (group.len(), runs.len()) {
        (1, _) => String::new(),
        (all, 1) => format!(", {} times in 1 run", thousands(all)),
        (all, runs) => format!(", {} times in {} runs", thousands(all), thousands(runs)),
    };
    let mut text = format!("{}{count}\n", bold(&title));
    for of_run in runs.iter().take(SHOWN_RUNS) {
        let path = of_run[0]
            .path
            .strip_prefix(logdir)
            .unwrap_or(&of_run[0].path);
        let place = match path.as_os_str().is_empty() {
            true => logdir.display(),
            false => path.display(),
        };
        let more = match of_run.len() - 1 {
            0 => String::new(),
            more => format!(" (and {} more in this run)", thousands(more)),
        };
        let line = escape(&format!("{place}: {}", of_run[0].cause));
        text += &format!("  {}{more}\n", cut(&line));
    }
    if runs.len() > SHOWN_RUNS {
        let more = thousands(runs.len() - SHOWN_RUNS);
        text += &format!("  … and {more} more runs; --json lists them all\n");
    }
    text + &paragraph("  ", cause.effect()) + &paragraph("  → ", cause.repair())
}

/// The findings of each run, in order.
fn by_run<'a>(group: &[&'a Finding]) -> Vec<Vec<&'a Finding>> {
    let mut runs: Vec<Vec<&Finding>> = Vec::new();
    for finding in group {
        // Those of one run come one after the other.
        match runs.last_mut().filter(|run| run[0].run == finding.run) {
            Some(run) => run.push(finding),
            None => runs.push(vec![finding]),
        }
    }
    runs
}

/// A line that holds a name of thousands of characters, made readable.
fn cut(line: &str) -> String {
    const MOST: usize = 400;
    console::truncate_str(line, MOST, "…").into_owned()
}

/// `text` in lines of at most [`WIDTH`] columns, `indent` before the first and blanks before the
/// others.
fn paragraph(indent: &str, text: &str) -> String {
    let blanks = " ".repeat(indent.chars().count());
    let (mut lines, mut line) = (String::new(), indent.to_owned());
    let mut is_empty = true;
    for word in text.split_whitespace() {
        let length = line.chars().count() + word.chars().count();
        if !is_empty && length >= WIDTH {
            lines += &line;
            lines.push('\n');
            line.clone_from(&blanks);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    lines + &line + "\n"
}

fn summary(findings: &[Finding]) -> String {
    let count = |wanted: Severity| {
        let of_severity = |finding: &&Finding| finding.cause.severity() == wanted;
        let count = findings.iter().filter(of_severity).count();
        let plural = if count == 1 { "" } else { "s" };
        format!("{} {}{plural}", thousands(count), severity(wanted))
    };
    format!("{}, {}", count(Severity::Problem), count(Severity::Hint))
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Problem => "problem",
        Severity::Hint => "hint",
    }
}

/// A finding as `--json` gives it; [`Args::json`] describes it.
#[derive(Serialize)]
struct JsonFinding<'a> {
    finding: &'static str,
    severity: &'static str,
    run: &'a str,
    path: String,
    offset: Option<u64>,
    tag: Option<&'a str>,
    step: Option<i64>,
    found: String,
    effect: &'static str,
    repair: &'static str,
}

fn json(findings: &[Finding]) -> serde_json::Result<String> {
    let mut objects = Vec::new();
    for Finding { run, path, cause } in findings {
        let object = serde_json::to_string(&JsonFinding {
            finding: cause.name(),
            severity: severity(cause.severity()),
            run,
            path: path.display().to_string(),
            offset: cause.offset(),
            tag: cause.tag(),
            step: cause.step(),
            found: cause.to_string(),
            effect: cause.effect(),
            repair: cause.repair(),
        })?;
        objects.push(escape_json(&object));
    }
    Ok(match objects.is_empty() {
        true => "[]\n".to_owned(),
        false => format!("[\n{}\n]\n", objects.join(",\n")),
    })
}

/// `--repair`.
fn repair(args: &Args, from: &Path, to: &Path) -> anyhow::Result<Outcome> {
    let repaired = doctor::repair(from, to)?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    if !name.contains("tfevents") {
        let to = to.display();
        output::warn(&format!(
            "TensorBoard reads no file whose name lacks \"tfevents\": rename {to}"
        ));
    } else if to.parent() == from.parent() {
        let from = from.display();
        output::warn(&format!(
            "TensorBoard reads all event files of a directory: move {from} to another one"
        ));
    }
    output::print(&match args.json {
        true => repaired_json(&repaired),
        false => repaired_text(to, &repaired),
    })?;
    Ok(Outcome::Done)
}

fn repaired_text(to: &Path, repaired: &Repaired) -> String {
    let kept = thousands(repaired.kept as usize);
    let mut text = format!(
        "{kept} records copied to {}\n",
        escape(&to.display().to_string())
    );
    for dropped in &repaired.dropped {
        let offset = thousands(dropped.offset as usize);
        let bytes = thousands(dropped.bytes as usize);
        text += &format!(
            "left out: {bytes} bytes at byte {offset}, {}\n",
            dropped.why
        );
    }
    text
}

fn repaired_json(repaired: &Repaired) -> String {
    let dropped = repaired.dropped.iter().map(|dropped| {
        serde_json::json!({"offset": dropped.offset, "bytes": dropped.bytes, "why": dropped.why})
    });
    let dropped: Vec<_> = dropped.collect();
    format!(
        "{}\n",
        serde_json::json!({"kept": repaired.kept, "dropped": dropped})
    )
}
