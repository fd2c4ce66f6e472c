//! The run that others are held against, and whether they beat it.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use cnn_tb::report::compare::{Comparison, Metric, Reading};
use cnn_tb::report::groups::Group;
use cnn_tb::report::metric::Best;
use cnn_tb::report::nearest::nearest;

use crate::cli::Outcome;
use crate::cli::compare::runs::title;
use crate::cli::output::{Advised, escape};
use crate::cli::values;

/// The row of the run that is called `wanted`, by its name in the table or by its directory.
///
/// # Errors
/// No selected run is called so; the nearest names are given.
pub fn find(wanted: &str, comparison: &Comparison, names: &[String]) -> anyhow::Result<usize> {
    let real = |path: &Path| fs::canonicalize(path).ok();
    let directory = real(Path::new(wanted));
    let is_there = |path: &Path| directory.is_some() && real(path) == directory;
    let by_name = || names.iter().position(|name| name == wanted);
    let by_path = || comparison.rows.iter().position(|row| is_there(&row.path));
    by_name().or_else(by_path).ok_or_else(|| {
        let near = nearest(wanted, names.iter().map(String::as_str)).join(", ");
        Advised::new(
            format!("the baseline {wanted:?} is not among the runs that are compared"),
            format!("the nearest are {near}"),
        )
        .into()
    })
}

/// Somebody with a value of the metric: a run, or a group with its mean.
pub struct Entry {
    /// What people are shown.
    pub name: String,
    /// The value; `None` where there is none.
    pub value: Option<f64>,
    /// Whether it is a share of 1.
    pub is_share: bool,
}

/// The runs, best first.
pub fn runs(comparison: &Comparison, names: &[String]) -> Vec<Entry> {
    let readings = comparison.deciding_readings().into_iter();
    let entry = |(name, reading): (&String, Option<&Reading>)| Entry {
        name: name.clone(),
        value: reading.map(Reading::comparable),
        is_share: reading.is_some_and(|reading| reading.share().is_some()),
    };
    names.iter().zip(readings).map(entry).collect()
}

/// The groups, best first, called by their settings.
pub fn groups(settings: &[String], groups: &[Group]) -> Vec<Entry> {
    let name = |group: &Group| {
        let value = |setting: &Option<_>| setting.as_ref().map_or("–".to_owned(), values::setting);
        let pairs = settings.iter().zip(&group.settings);
        let pairs: Vec<String> = pairs
            .map(|(name, setting)| format!("{name} {}", value(setting)))
            .collect();
        let count = group.spread.map_or(0, |spread| spread.count);
        let runs = if count == 1 { "run" } else { "runs" };
        format!("{} (mean of {count} {runs})", pairs.join(", "))
    };
    let entry = |group: &Group| Entry {
        name: name(group),
        value: group.spread.map(|spread| spread.mean),
        is_share: group.is_share,
    };
    groups.iter().map(entry).collect()
}

/// Says on standard error whether the best of the other entries beats the one at `baseline` by `by`.
///
/// # Errors
/// The baseline has no value.
pub fn require(
    by: f64,
    metric: &Metric,
    best: Option<Best>,
    entries: &[Entry],
    baseline: usize,
) -> anyhow::Result<Outcome> {
    let title = title(metric, best);
    let base = &entries[baseline];
    let Some(base_value) = base.value else {
        anyhow::bail!("the baseline {} has no {title}", base.name);
    };
    let mut others = entries
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != baseline);
    let known = others.find_map(|(_, entry)| Some((entry, entry.value?)));
    let Some((other, value)) = known else {
        say(&format!(
            "failed: nothing else has {title} to hold against the baseline {}",
            base.name
        ));
        return Ok(Outcome::No);
    };
    let is_beaten = metric.direction.beats(value, base_value, by);
    let (word, verb) = match is_beaten {
        true => ("passed", "beats"),
        false => ("failed", "does not beat"),
    };
    say(&format!(
        "{word}: {} {verb} the baseline {} by at least {by}: {title} {} against {} ({})",
        other.name,
        base.name,
        values::amount(value, other.is_share),
        values::amount(base_value, base.is_share),
        values::delta(value - base_value, other.is_share && base.is_share),
    ));
    Ok(if is_beaten {
        Outcome::Done
    } else {
        Outcome::No
    })
}

fn say(text: &str) {
    // Where standard error is closed the exit code still tells.
    let _ = io::stderr()
        .lock()
        .write_all((escape(text) + "\n").as_bytes());
}
