//! Which runs a subcommand is about: the arguments that all run tools share.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use cnn_tb::report::condition::Condition;
use cnn_tb::report::nearest::nearest;
use cnn_tb::tb::{Logdir, LogdirError, Run};
use glob::Pattern;
use regex::Regex;

use crate::cli::output::{self, Advised, escape};
use crate::cli::progress;

/// The runs that are named on the command line.
#[derive(Debug, clap::Args)]
pub struct Selection {
    /// Directories of runs, or logdirs, of which all runs are taken
    #[arg(value_name = "RUN", default_value = "runs")]
    paths: Vec<PathBuf>,

    /// Take only the runs in whose name this regular expression is found
    #[arg(long = "runs", value_name = "REGEX")]
    name: Option<Regex>,

    /// Take only the runs whose hyper-parameters fulfil this; may be repeated, then all must hold
    ///
    /// As 'lr<1e-2', 'bs>=64', 'optimizer=adam' or 'optimizer!=sgd', in quotes for the shell's sake.
    /// A run without the hyper-parameter is not taken.
    #[arg(long = "where", value_name = "COND")]
    conditions: Vec<Condition>,

    /// Take every directory with event files for a run, as TensorBoard does
    ///
    /// Otherwise a directory with settings is a run together with the directories below it.
    #[arg(long)]
    flat: bool,
}

/// The series that are named on the command line.
#[derive(Debug, clap::Args)]
pub struct Tags {
    /// Take only the series whose name fits this pattern; may be repeated
    ///
    /// `*` stands for any text, `?` for any character, `[ab]` for one of several. A series of a
    /// directory below the run's has that directory's name in front, as `validation/loss`.
    #[arg(long = "tag", value_name = "GLOB")]
    patterns: Vec<Pattern>,
}

impl Tags {
    /// Whether there are no patterns.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a series is meant: one of the patterns fits its name, or there are none.
    pub fn matches(&self, series: &str) -> bool {
        self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches(series))
    }
}

/// Runs that were read, each with the name that people are shown.
#[derive(Debug)]
pub struct Selected {
    /// The runs, in the order of the command line and then by name.
    pub runs: Vec<Run>,
    /// What to call each of them: its name in its logdir, or its path where that is not clear.
    pub names: Vec<String>,
}

impl Selection {
    /// Reads the runs in all of the paths, each once, and warns of what was wrong with their files
    /// and of an empty selection.
    ///
    /// # Errors
    /// A path that is no directory, or that cannot be listed; a hyper-parameter that no run has.
    pub fn read(&self) -> anyhow::Result<Selected> {
        let selected = self.read_without_problems()?;
        for problem in selected.runs.iter().flat_map(Run::problems) {
            output::warn(&problem.to_string());
        }
        Ok(selected)
    }

    /// As [`read`](Self::read), but what was wrong with the files is left to the caller to say.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_without_problems(&self) -> anyhow::Result<Selected> {
        let message = format!("reading {}", escape(&self.paths()));
        let runs = progress::watched(message, || read_runs(&self.paths, self.flat))?;
        let names = names(&runs);
        self.check_conditions(&runs)?;
        let is_named = |name: &str| self.name.as_ref().is_none_or(|regex| regex.is_match(name));
        let fits = |run: &Run| self.conditions.iter().all(|one| one.holds(run.hparams()));
        let found = runs.len();
        let (runs, names): (Vec<Run>, Vec<String>) = runs
            .into_iter()
            .zip(names)
            .filter(|(run, name)| is_named(name) && fits(run))
            .unzip();
        if runs.is_empty() {
            output::warn(&self.why_empty(found));
        }
        Ok(Selected { runs, names })
    }

    /// Whether each condition is about a hyper-parameter that some run has.
    fn check_conditions(&self, runs: &[Run]) -> anyhow::Result<()> {
        if runs.is_empty() {
            return Ok(());
        }
        let known: BTreeSet<&str> = runs
            .iter()
            .flat_map(|run| run.hparams().keys().map(String::as_str))
            .collect();
        for condition in &self.conditions {
            if !known.contains(condition.name()) {
                let what = format!(
                    "none of the runs has a hyper-parameter {:?}",
                    condition.name()
                );
                return Err(unknown(what, condition.name(), known));
            }
        }
        Ok(())
    }

    /// The paths as the command line names them.
    pub fn paths(&self) -> String {
        let paths = self.paths.iter().map(|path| path.display().to_string());
        paths.collect::<Vec<String>>().join(" ")
    }

    fn why_empty(&self, found: usize) -> String {
        let paths = self.paths();
        if found == 0 {
            return format!("no event files in {paths} or below");
        }
        let regex = self.name.iter().map(Regex::to_string);
        let conditions = self.conditions.iter().map(Condition::to_string);
        let asked: Vec<String> = regex.chain(conditions).collect();
        let asked = asked.join(" and ");
        format!("none of the {found} runs in {paths} fits {asked}")
    }
}

/// The error that `what` is wrong, with the nearest of the `known` names.
pub fn unknown<'a>(
    what: String,
    wanted: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> anyhow::Error {
    let near = nearest(wanted, known);
    let advice = match near.is_empty() {
        true => "there are none at all".to_owned(),
        false => format!("the nearest are {}", near.join(", ")),
    };
    Advised::new(what, advice).into()
}

impl Selected {
    /// What to call the run at `path`.
    pub fn name_of(&self, path: &Path) -> &str {
        let named = self.runs.iter().zip(&self.names);
        let mut of_path = named.filter(|(run, _)| run.path() == path);
        of_path.next().map_or("", |(_, name)| name)
    }
}

/// The runs in all of `paths`, each once.
fn read_runs(paths: &[PathBuf], flat: bool) -> anyhow::Result<Vec<Run>> {
    let mut runs = Vec::new();
    let mut seen = HashSet::new();
    for path in paths {
        let found = Logdir::open(path).and_then(|logdir| match flat {
            true => logdir.flat_runs(),
            false => logdir.runs(),
        });
        let found = found.map_err(|error| match error {
            LogdirError::Missing { .. } => anyhow::Error::new(Advised::new(
                error.to_string(),
                "name the directory of a run, or one that holds runs: cnn-tb compare runs",
            )),
            error => error.into(),
        })?;
        runs.extend(found.into_iter().filter(|run| {
            let path = fs::canonicalize(run.path()).unwrap_or_else(|_| run.path().to_owned());
            seen.insert(path)
        }));
    }
    Ok(runs)
}

/// What to call each run: its name in its logdir, or its path where that is not clear.
fn names(runs: &[Run]) -> Vec<String> {
    let names: Vec<String> = runs.iter().map(own_name).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for name in &names {
        *counts.entry(name).or_default() += 1;
    }
    let is_clear = |name: &String| counts.get(name.as_str()) == Some(&1);
    let clear = names
        .iter()
        .zip(runs)
        .map(|(name, run)| match is_clear(name) {
            true => name.clone(),
            false => run.path().display().to_string(),
        });
    clear.collect()
}

/// The run's name, or its directory's where the logdir itself is the run.
fn own_name(run: &Run) -> String {
    if run.name() != "." {
        return run.name().to_owned();
    }
    let name = |path: &Path| Some(path.file_name()?.to_string_lossy().into_owned());
    let real_path = || fs::canonicalize(run.path()).ok();
    name(run.path())
        .or_else(|| name(&real_path()?))
        .unwrap_or_else(|| run.path().display().to_string())
}
