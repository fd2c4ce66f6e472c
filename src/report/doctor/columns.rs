//! What TensorBoard's HParams page leaves out: columns, and rows without results.
//!
//! The page takes its columns from one experiment summary of the logdir, whichever it meets first,
//! or finds them itself where there is none. Source: `backend_context.py` in
//! <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/plugins/hparams>.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::report::doctor::finding::{Cause, Finding};
use crate::tb::proto::Experiment;

/// What one directory has to do with the page.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// The directory relative to the logdir.
    pub run: String,
    pub path: PathBuf,
    /// The names of the settings, where the directory is a session.
    pub session: Option<BTreeSet<String>>,
    /// The columns that its experiment summary names.
    pub columns: Option<Columns>,
    /// The tags of its scalars.
    pub scalars: BTreeSet<String>,
}

/// The columns of an experiment summary.
#[derive(Debug)]
pub(super) struct Columns {
    hparams: BTreeSet<String>,
    /// Group, which is a directory below the session's, and tag.
    metrics: BTreeSet<(String, String)>,
}

impl From<Experiment> for Columns {
    fn from(experiment: Experiment) -> Self {
        let names = experiment
            .metric_infos
            .into_iter()
            .filter_map(|info| info.name);
        Self {
            hparams: experiment
                .hparam_infos
                .into_iter()
                .map(|info| info.name)
                .collect(),
            metrics: names.map(|name| (name.group, name.tag)).collect(),
        }
    }
}

/// What is hidden in the logdir of these trials.
pub(super) fn findings(logdir: &Path, trials: &[Trial]) -> Vec<Finding> {
    let mut findings = Vec::from_iter(hidden_columns(trials).map(|cause| Finding {
        run: ".".to_owned(),
        path: logdir.to_owned(),
        cause,
    }));
    for trial in trials.iter().filter(|trial| trial.session.is_some()) {
        if !has_metric(trial, trials) {
            findings.push(Finding {
                run: trial.run.clone(),
                path: trial.path.clone(),
                cause: Cause::NoMetrics,
            });
        }
    }
    findings
}

/// The names that some session or experiment summary has and another experiment summary has not.
fn hidden_columns(trials: &[Trial]) -> Option<Cause> {
    let all: Vec<&Columns> = trials
        .iter()
        .filter_map(|trial| trial.columns.as_ref())
        .collect();
    if all.is_empty() {
        return None;
    }
    let sessions = trials.iter().filter_map(|trial| trial.session.as_ref());
    let named = all.iter().map(|columns| &columns.hparams);
    let hparams: BTreeSet<&String> = sessions.chain(named).flatten().collect();
    let metrics: BTreeSet<_> = all.iter().flat_map(|columns| &columns.metrics).collect();
    let hparams = hparams.into_iter().filter(|name| {
        let listed = |columns: &&Columns| columns.hparams.contains(name.as_str());
        !all.iter().all(listed)
    });
    let metrics = metrics
        .into_iter()
        .filter(|metric| !all.iter().all(|columns| columns.metrics.contains(*metric)));
    let hparams: Vec<String> = hparams.cloned().collect();
    let metrics: Vec<String> = metrics.map(|(group, tag)| series(group, tag)).collect();
    let is_all_shown = hparams.is_empty() && metrics.is_empty();
    (!is_all_shown).then_some(Cause::HiddenColumns {
        hparams,
        metrics,
        experiments: all.len() as u64,
    })
}

fn series(group: &str, tag: &str) -> String {
    match group {
        "" => tag.to_owned(),
        _ => format!("{group}/{tag}"),
    }
}

/// Whether a session has one of the metrics that are named anywhere or, where none are, a scalar in
/// its directory or below it.
fn has_metric(session: &Trial, trials: &[Trial]) -> bool {
    let mut named = trials
        .iter()
        .filter_map(|trial| trial.columns.as_ref())
        .flat_map(|columns| &columns.metrics)
        .peekable();
    if named.peek().is_none() {
        let mut below = trials
            .iter()
            .filter(|trial| is_below(&trial.run, &session.run));
        return below.any(|trial| !trial.scalars.is_empty());
    }
    let has = |run: &str, tag: &String| {
        // They are in the order of their names.
        let at = trials.binary_search_by(|trial| trial.run.as_str().cmp(run));
        at.is_ok_and(|at| trials[at].scalars.contains(tag))
    };
    let mut found = named.map(
        |(group, tag)| match (group.as_str(), session.run.as_str()) {
            ("", run) => has(run, tag),
            (group, ".") => has(group, tag),
            (group, run) => has(&format!("{run}/{group}"), tag),
        },
    );
    found.any(|found| found)
}

fn is_below(run: &str, ancestor: &str) -> bool {
    let rest = run.strip_prefix(ancestor);
    ancestor == "." || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
