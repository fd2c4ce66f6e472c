//! A run that was cut: `--resume` goes on with it, with `--force` in another run.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use cnn_tb::data::Dataset;
use cnn_tb::tb::summary::text::table;
use cnn_tb::train::{Checkpoint, CheckpointError, Config, Difference, Found};

use super::earlier_run::EarlierRun;
use super::run_dir::{CONFIG, RunDir, argument};
use super::settings::{Flags, parse};
use crate::cli::output::{Advised, escape, warn};

/// A run directory with all that it takes to go on.
pub struct CutRun<'a> {
    path: &'a Path,
    /// The settings that it was begun with.
    stored: Config,
    /// The same with the flags laid over them.
    pub config: Config,
    /// Where it goes on; at its beginning where it was cut before there was one.
    pub checkpoint: Option<Checkpoint>,
    /// Newer ones, of which nothing can be made.
    damaged: Vec<CheckpointError>,
}

impl<'a> CutRun<'a> {
    /// Looks at the run in `path`; nothing is changed there.
    ///
    /// # Errors
    /// A directory that holds no run; a checkpoint of another version; flags that no training can
    /// have.
    pub fn open(path: &'a Path, flags: &Flags) -> anyhow::Result<Self> {
        let stored = stored_config(path)?;
        let Found {
            checkpoint,
            damaged,
        } = Checkpoint::find(path)?;
        Ok(Self {
            path,
            config: flags.config_over(stored.clone())?,
            stored,
            checkpoint,
            damaged,
        })
    }

    /// Holds that the run can go on. What is damaged is told on standard error unless `quiet`.
    ///
    /// # Errors
    /// A run that is being written; flags that set something else than the run has, which lists
    /// them.
    pub fn check(&self, quiet: bool) -> anyhow::Result<()> {
        let shown = self.path.display();
        if EarlierRun::at(self.path)?.is_some_and(|run| run.is_being_written()) {
            anyhow::bail!("{shown} is being written by another training; stop that one first");
        }
        let mut before = self.stored.clone();
        if self.checkpoint.is_some() {
            // It knows whether they may differ.
            before.epochs = self.config.epochs;
        }
        let differences = before.differences(&self.config);
        if !differences.is_empty() {
            let list: Vec<_> = differences.iter().map(ToString::to_string).collect();
            let list = list.join("; ");
            let message = format!("{shown} was begun with other settings: {list}");
            let advice = "leave these flags out to resume it; with --force a new run goes on from it; \
                          or start one from the beginning: without --resume";
            return Err(Advised::new(message, advice).into());
        }
        if !quiet {
            self.tell();
        }
        Ok(())
    }

    /// The directory, to be written on.
    pub fn run_dir(&self) -> RunDir {
        let damaged = self.damaged.iter().filter_map(path_of).collect();
        RunDir::resumed(self.path, self.stored.clone(), damaged)
    }

    /// A new directory beside it, and what a training with other settings on `dataset` begins with
    /// there. Says on standard error, unless `quiet`, where that is and what differs.
    ///
    /// # Errors
    /// A run without a checkpoint, or one that can be resumed; what [`Checkpoint::fork`] says.
    pub fn fork(&self, dataset: &Dataset, quiet: bool) -> anyhow::Result<(RunDir, Checkpoint)> {
        let shown = self.path.display();
        if !quiet {
            self.tell_damaged();
        }
        let Some(checkpoint) = &self.checkpoint else {
            let message = format!("{shown} has no checkpoint to go on from");
            let advice = "start another run: without --resume and --force";
            return Err(Advised::new(message, advice).into());
        };
        if checkpoint.check(&self.config, dataset).is_ok() {
            // Which of the two is written is not to hang on a flag that was mistyped.
            let message = format!("nothing differs from {shown}, so there is nothing to force");
            return Err(Advised::new(message, "leave --force out to resume it").into());
        }
        let differences = checkpoint.differences(&self.config, dataset);
        let forked = checkpoint.fork(&self.config, dataset)?;
        let epoch = checkpoint.epochs().len();
        let description = describe(self.path, epoch, &differences)?;
        let run_dir = RunDir::forked(self.path, forked.clone(), description)?;
        if !quiet {
            let (from, to) = (shown.to_string(), run_dir.path().display().to_string());
            let (from, to) = (escape(&from), escape(&to));
            let mut text = format!("{from} goes on after epoch {epoch} as another run, {to}\n");
            for difference in &differences {
                text.push_str(&format!("  {}\n", escape(&difference.to_string())));
            }
            // Where standard error is closed there is nobody left to tell.
            let _ = io::stderr().lock().write_all(text.as_bytes());
        }
        Ok((run_dir, forked))
    }

    /// What to say of a run that has nothing left to do.
    pub fn finished(&self) -> Option<String> {
        let checkpoint = self.checkpoint.as_ref().filter(|c| c.is_finished())?;
        let is_longer = self.config.epochs != checkpoint.config().epochs;
        let epochs = match checkpoint.epochs().len() {
            1 => "1 epoch".to_owned(),
            count => format!("{count} epochs"),
        };
        let shown = self.path.display();
        let text = format!("{shown} is finished ({epochs}): there is nothing to resume");
        (!is_longer).then_some(text)
    }

    /// Says which checkpoints are damaged, and where the training goes on unless it is from the last.
    fn tell(&self) {
        self.tell_damaged();
        if self.checkpoint.is_none() {
            let shown = self.path.display();
            warn(&format!(
                "{shown} has no checkpoint to go on from: starting from the beginning"
            ));
        }
    }

    fn tell_damaged(&self) {
        let damaged = &self.damaged;
        damaged.iter().for_each(|error| warn(&error.to_string()));
        if let Some(checkpoint) = self.checkpoint.as_ref().filter(|_| !damaged.is_empty()) {
            let epoch = checkpoint.epochs().len();
            warn(&format!("the one before serves, of epoch {epoch}"));
        }
    }
}

/// Of a fork: which run goes on in it, and what differs, in Markdown.
fn describe(path: &Path, epoch: usize, differences: &[Difference]) -> anyhow::Result<String> {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    let rows = differences.iter().map(|difference| {
        let Difference {
            setting,
            before,
            now,
        } = difference;
        [setting.clone(), value(before), value(now)]
    });
    let table = table(["setting", "before", "now"], rows)?;
    // Indented text is shown as it is.
    let shown = escape(&path.display().to_string());
    Ok(format!("    {shown}\n\nafter epoch {epoch}\n\n{table}"))
}

/// The settings that a run was begun with.
fn stored_config(directory: &Path) -> anyhow::Result<Config> {
    let path = directory.join(CONFIG);
    let shown = directory.display();
    match fs::read_to_string(&path) {
        Ok(text) => parse(&path, &text),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot read {}", path.display()))
        }
        Err(_) => {
            let overwrite = match directory.is_dir() && EarlierRun::at(directory)?.is_some() {
                true => " --overwrite",
                false => "",
            };
            let advice = format!(
                "start it without --resume: cnn-tb train --logdir {}{overwrite}",
                argument(directory)
            );
            let message = format!("{shown} holds no {CONFIG}, so there is no run to resume");
            Err(Advised::new(message, advice).into())
        }
    }
}

fn path_of(error: &CheckpointError) -> Option<PathBuf> {
    match error {
        CheckpointError::Damaged { path, .. } => Some(path.clone()),
        _ => None,
    }
}
