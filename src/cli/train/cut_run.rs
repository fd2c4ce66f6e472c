//! A run that was cut, and where it goes on: `--resume`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use cnn_tb::train::{Checkpoint, CheckpointError, Config, Found};

use super::earlier_run::EarlierRun;
use super::run_dir::{CONFIG, RunDir, argument};
use super::settings::{Flags, parse};
use crate::cli::output::{Advised, warn};

/// A run directory with all that it takes to go on.
pub struct CutRun {
    /// The directory.
    pub run_dir: RunDir,
    /// The run's settings, but for the threads and, where nothing else hangs on them, the epochs.
    pub config: Config,
    /// Where it goes on; at its beginning where it was cut before there was one.
    pub checkpoint: Option<Checkpoint>,
}

impl CutRun {
    /// Looks at the run in `directory`; nothing is changed there. What is damaged is told on standard
    /// error unless `quiet`.
    ///
    /// # Errors
    /// A directory that holds no run, or one that is being written; flags that set something else
    /// than the run has, which lists them.
    pub fn open(directory: &Path, flags: &Flags, quiet: bool) -> anyhow::Result<Self> {
        let stored = stored_config(directory)?;
        if EarlierRun::at(directory)?.is_some_and(|run| run.is_being_written()) {
            let shown = directory.display();
            anyhow::bail!("{shown} is being written by another training; stop that one first");
        }
        let Found {
            checkpoint,
            damaged,
        } = Checkpoint::find(directory)?;
        let config = flags.config_over(stored.clone())?;
        let mut before = stored.clone();
        if checkpoint.is_some() {
            // It knows whether they may differ.
            before.epochs = config.epochs;
        }
        let differences = before.differences(&config);
        if !differences.is_empty() {
            let list: Vec<_> = differences.iter().map(ToString::to_string).collect();
            let (shown, list) = (directory.display(), list.join("; "));
            let message = format!("{shown} was begun with other settings: {list}");
            let advice =
                "leave these flags out to resume it, or start another run: without --resume";
            return Err(Advised::new(message, advice).into());
        }
        if !quiet {
            tell(directory, &damaged, checkpoint.as_ref());
        }
        let damaged = damaged.iter().filter_map(path_of).collect();
        Ok(Self {
            run_dir: RunDir::resumed(directory, stored, damaged),
            config,
            checkpoint,
        })
    }

    /// What to say of a run that has nothing left to do.
    pub fn finished(&self) -> Option<String> {
        let checkpoint = self.checkpoint.as_ref().filter(|c| c.is_finished())?;
        let is_longer = self.config.epochs != checkpoint.config().epochs;
        let epochs = match checkpoint.epochs().len() {
            1 => "1 epoch".to_owned(),
            count => format!("{count} epochs"),
        };
        let shown = self.run_dir.path().display();
        let text = format!("{shown} is finished ({epochs}): there is nothing to resume");
        (!is_longer).then_some(text)
    }
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

/// Says which checkpoints are damaged, and where the training goes on unless it is from the last.
fn tell(directory: &Path, damaged: &[CheckpointError], checkpoint: Option<&Checkpoint>) {
    damaged.iter().for_each(|error| warn(&error.to_string()));
    match checkpoint {
        Some(_) if damaged.is_empty() => {}
        Some(checkpoint) => {
            let epoch = checkpoint.epochs().len();
            warn(&format!("the one before serves, of epoch {epoch}"));
        }
        None => {
            let shown = directory.display();
            warn(&format!(
                "{shown} has no checkpoint to go on from: starting from the beginning"
            ));
        }
    }
}
