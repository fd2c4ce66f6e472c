//! Which runs a subcommand is about: the arguments that all run tools share.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use cnn_tb::tb::{Logdir, LogdirError, Run};
use glob::Pattern;
use regex::Regex;

use crate::cli::output::{self, Advised};

/// The runs that are named on the command line.
#[derive(Debug, clap::Args)]
pub struct Selection {
    /// Directories of runs, or logdirs, of which all runs are taken
    #[arg(value_name = "RUN", required = true)]
    paths: Vec<PathBuf>,

    /// Take only the runs in whose name this regular expression is found
    #[arg(long = "runs", value_name = "REGEX")]
    name: Option<Regex>,
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
    /// A path that is no directory, or that cannot be listed.
    pub fn read(&self) -> anyhow::Result<Selected> {
        let runs = read_runs(&self.paths)?;
        let names = names(&runs);
        let is_chosen = |name: &str| self.name.as_ref().is_none_or(|regex| regex.is_match(name));
        let found = runs.len();
        let (runs, names): (Vec<Run>, Vec<String>) = runs
            .into_iter()
            .zip(names)
            .filter(|(_, name)| is_chosen(name))
            .unzip();
        for problem in runs.iter().flat_map(Run::problems) {
            output::warn(&problem.to_string());
        }
        if runs.is_empty() {
            output::warn(&self.why_empty(found));
        }
        Ok(Selected { runs, names })
    }

    fn why_empty(&self, found: usize) -> String {
        let paths: Vec<String> = self
            .paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let paths = paths.join(", ");
        match &self.name {
            Some(regex) if found > 0 => format!("none of the {found} runs in {paths} fits {regex}"),
            _ => format!("no event files in {paths} or below"),
        }
    }
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
fn read_runs(paths: &[PathBuf]) -> anyhow::Result<Vec<Run>> {
    let mut runs = Vec::new();
    let mut seen = HashSet::new();
    for path in paths {
        let found = Logdir::open(path).and_then(|logdir| logdir.runs());
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
    let is_clear = |name: &String| names.iter().filter(|other| *other == name).count() == 1;
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
