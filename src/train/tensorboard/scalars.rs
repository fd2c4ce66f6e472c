//! The numbers of an epoch.

use std::time::{Duration, Instant};

use crate::tb::writer::{SummaryWriter, WriteError};
use crate::train::{Epoch, Metrics};

/// The validation accuracy in the run's own directory. A chart of the Custom Scalars page takes
/// every run that has its tag, so one of validation alone needs a tag that `train` does not have.
pub const VALIDATION_ACCURACY: &str = "validation_curve/accuracy";
/// The validation loss there.
pub const VALIDATION_LOSS: &str = "validation_curve/loss";

/// Logs loss, accuracy and speed of every epoch.
#[derive(Debug)]
pub struct Scalars {
    run: SummaryWriter,
    train: SummaryWriter,
    validation: SummaryWriter,
    best: Option<Metrics>,
    began: Instant,
}

impl Scalars {
    /// Into the directory of `run` and its children `train` and `validation`.
    ///
    /// # Errors
    /// What [`SummaryWriter::child`] says.
    pub fn new(run: &SummaryWriter) -> Result<Self, WriteError> {
        Ok(Self {
            run: run.clone(),
            train: run.child("train")?,
            validation: run.child("validation")?,
            best: None,
            began: Instant::now(),
        })
    }

    /// Goes on after the epochs `completed`, which took `elapsed`.
    pub fn resume(&mut self, completed: &[Epoch], elapsed: Duration) {
        for epoch in completed {
            self.note_best(epoch.validation);
        }
        let now = Instant::now();
        self.began = now.checked_sub(elapsed).unwrap_or(now);
    }

    /// Logs an epoch.
    ///
    /// # Errors
    /// What [`SummaryWriter`] says.
    pub fn log(&mut self, epoch: &Epoch) -> Result<(), WriteError> {
        let step = epoch.epoch;
        for (writer, metrics) in [
            (&self.train, epoch.train),
            (&self.validation, epoch.validation),
        ] {
            writer.add_scalar("accuracy", metrics.accuracy, step)?;
            writer.add_scalar("loss", metrics.loss, step)?;
        }
        let now = epoch.validation;
        let best = self.note_best(now);
        for (tag, value) in [
            (VALIDATION_ACCURACY, now.accuracy),
            (VALIDATION_LOSS, now.loss),
            ("validation_best/accuracy", best.accuracy),
            ("validation_best/loss", best.loss),
            ("performance/images_per_sec", epoch.images_per_sec),
            (
                "performance/elapsed_secs",
                self.began.elapsed().as_secs_f64(),
            ),
        ] {
            self.run.add_scalar(tag, value, step)?;
        }
        Ok(())
    }

    /// The best of each of all epochs so far, of which `now` is the last.
    fn note_best(&mut self, now: Metrics) -> Metrics {
        let best = self.best.map_or(now, |best| Metrics {
            loss: best.loss.min(now.loss),
            accuracy: best.accuracy.max(now.accuracy),
        });
        self.best = Some(best);
        best
    }
}
