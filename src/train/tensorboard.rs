//! The observer that logs a training for TensorBoard.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use crate::tb::writer::{HParam, SummaryWriter, WriteError, WriterOptions};
use crate::train::{Batch, Config, Epoch, Finish, Metrics, Observer, Start, Stopped};

/// What [`TensorBoard`] logs; everything by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    /// `accuracy` and `loss` of every epoch in `train` and `validation`, the best validation
    /// values, the test result, why the training ended early, and the speed.
    pub epochs: bool,
    /// `train_batch/loss` and `train_batch/learning_rate` of every update, in `batches`.
    pub batches: bool,
    /// The settings: as hyperparameters, and `config` as text.
    pub settings: bool,
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            epochs: true,
            batches: true,
            settings: true,
        }
    }
}

/// Logs a training into a directory with three children, each with one unit of step:
///
/// | directory | tags | step |
/// |---|---|---|
/// | the run's own | `test/…`, `validation_best/…`, `performance/…`, the settings, `stopped` | epochs completed |
/// | `train`, `validation` | `accuracy`, `loss` | epochs completed: 1, 2, … |
/// | `batches` | `train_batch/loss`, `train_batch/learning_rate` | optimizer updates so far: 1, 2, … |
///
/// So TensorBoard draws training and validation, and any number of trainings, on one chart.
#[derive(Debug)]
pub struct TensorBoard {
    groups: Groups,
    run: SummaryWriter,
    epochs: Option<Splits>,
    batches: Option<SummaryWriter>,
    best: Option<Metrics>,
    began: Instant,
}

#[derive(Debug)]
struct Splits {
    train: SummaryWriter,
    validation: SummaryWriter,
}

impl TensorBoard {
    /// A new log in `directory`, which must hold no event files yet.
    ///
    /// # Errors
    /// What [`SummaryWriter::create`] says.
    pub fn create(directory: &Path, groups: Groups) -> Result<Self, WriteError> {
        let run = WriterOptions::new().create(directory)?;
        let epochs = if groups.epochs {
            Some(Splits {
                train: run.child("train")?,
                validation: run.child("validation")?,
            })
        } else {
            None
        };
        let batches = if groups.batches {
            Some(run.child("batches")?)
        } else {
            None
        };
        Ok(Self {
            groups,
            run,
            epochs,
            batches,
            best: None,
            began: Instant::now(),
        })
    }

    /// Ends the log of a training that failed: TensorBoard shows its session as failed.
    ///
    /// # Errors
    /// What [`SummaryWriter::finish_with_failure`] says.
    pub fn fail(&self) -> Result<(), WriteError> {
        self.run.finish_with_failure()
    }

    fn log_start(&self, start: &Start<'_>) -> Result<(), WriteError> {
        if self.groups.settings {
            self.run.add_hparams(hparams(start.config))?;
            let toml = start.config.to_toml();
            self.run
                .add_text("config", &format!("```toml\n{toml}```\n"), 0)?;
        }
        Ok(())
    }

    fn log_batch(&self, batch: &Batch) -> Result<(), WriteError> {
        if let Some(writer) = &self.batches {
            let step = batch.update;
            writer.add_scalar("train_batch/loss", batch.train.loss, step)?;
            writer.add_scalar("train_batch/learning_rate", batch.learning_rate, step)?;
        }
        Ok(())
    }

    fn log_finish(&self, finish: &Finish<'_>) -> Result<(), WriteError> {
        if self.groups.epochs {
            let step = finish.epochs.len();
            self.run
                .add_scalar("test/accuracy", finish.test.accuracy, step)?;
            self.run.add_scalar("test/loss", finish.test.loss, step)?;
            if let Some(stopped) = finish.stopped {
                let text = reason(stopped, finish.epochs);
                self.run.add_text("stopped", &text, step)?;
            }
        }
        self.run.finish()
    }

    fn log_epoch(&mut self, epoch: &Epoch) -> Result<(), WriteError> {
        let Some(splits) = &self.epochs else {
            return Ok(());
        };
        let step = epoch.epoch;
        for (writer, metrics) in [
            (&splits.train, epoch.train),
            (&splits.validation, epoch.validation),
        ] {
            writer.add_scalar("accuracy", metrics.accuracy, step)?;
            writer.add_scalar("loss", metrics.loss, step)?;
        }
        let now = epoch.validation;
        let best = self.best.map_or(now, |best| Metrics {
            loss: best.loss.min(now.loss),
            accuracy: best.accuracy.max(now.accuracy),
        });
        self.best = Some(best);
        self.run
            .add_scalar("validation_best/accuracy", best.accuracy, step)?;
        self.run
            .add_scalar("validation_best/loss", best.loss, step)?;
        self.run
            .add_scalar("performance/images_per_sec", epoch.images_per_sec, step)?;
        let elapsed_secs = self.began.elapsed().as_secs_f64();
        self.run
            .add_scalar("performance/elapsed_secs", elapsed_secs, step)
    }
}

/// Why a training ended early, which epoch was its best, and that the weights are not from there.
fn reason(stopped: Stopped, epochs: &[Epoch]) -> String {
    let mut text = format!("`{}` in epoch {}.", stopped.name(), epochs.len());
    if let Some(best) = Epoch::best(epochs) {
        text.push_str(&format!(
            " The validation loss was lowest after epoch {}; weights and test result are those of the end.",
            best.epoch
        ));
    }
    text
}

/// The settings as hyperparameters: each one that a result can depend on and that is set.
fn hparams(config: &Config) -> Vec<(&'static str, HParam)> {
    let data = config.data.as_ref().map(|path| path.display().to_string());
    let mut hparams = vec![
        (
            "data",
            data.unwrap_or_else(|| "mnist".to_owned()).as_str().into(),
        ),
        ("epochs", HParam::Number(config.epochs as f64)),
        ("batch_size", HParam::Number(config.batch_size as f64)),
        ("learning_rate", config.learning_rate.into()),
        ("optimizer", config.optimizer.name().into()),
        ("schedule", config.schedule.name().into()),
        ("shift", HParam::Number(f64::from(config.shift))),
        ("init", config.init.name().into()),
        ("seed", HParam::Number(config.seed as f64)),
    ];
    let early_stopping = config.early_stopping.map(|epochs| epochs as f64);
    for (name, setting) in [
        ("weight_decay", config.weight_decay),
        ("clip_norm", config.clip_norm),
        ("early_stopping", early_stopping),
        ("time_limit_secs", config.time_limit_secs),
    ] {
        hparams.extend(setting.map(|number| (name, HParam::Number(number))));
    }
    hparams
}

impl Observer for TensorBoard {
    fn start(&mut self, start: &Start<'_>) -> io::Result<()> {
        self.log_start(start).map_err(io::Error::other)
    }

    fn batch(&mut self, batch: &Batch) -> io::Result<ControlFlow<()>> {
        self.log_batch(batch).map_err(io::Error::other)?;
        Ok(ControlFlow::Continue(()))
    }

    fn epoch(&mut self, epoch: &Epoch) -> io::Result<ControlFlow<()>> {
        self.log_epoch(epoch).map_err(io::Error::other)?;
        Ok(ControlFlow::Continue(()))
    }

    fn finish(&mut self, finish: &Finish<'_>) -> io::Result<()> {
        self.log_finish(finish).map_err(io::Error::other)
    }
}
