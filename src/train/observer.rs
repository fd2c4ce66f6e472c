//! What watches a training: the loop tells it what happened, and it may ask the loop to stop.

use std::ops::ControlFlow;
use std::time::Duration;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};

use crate::data::{Dataset, Split};
use crate::nn::{Network, Parameters};
use crate::train::{Config, Predictions, PredictionsError, Progress};

/// Mean loss and accuracy over some images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metrics {
    /// Mean softmax cross-entropy.
    pub loss: f64,
    /// Share of the images whose largest logit is the label's, from 0 to 1.
    pub accuracy: f64,
}

/// What is known before the first update.
#[derive(Clone, Debug)]
pub struct Start<'a> {
    /// The settings.
    pub config: &'a Config,
    /// What the data set calls itself, as `MNIST (built in)` or a directory.
    pub dataset: &'a str,
    /// Images in the training split.
    pub train_images: usize,
    /// Images in the validation split.
    pub validation_images: usize,
    /// Images in the test split.
    pub test_images: usize,
    /// Trainable numbers in the network.
    pub parameters: usize,
    /// Threads that compute.
    pub threads: usize,
    /// Optimizer updates in an epoch.
    pub updates_per_epoch: usize,
    /// The epochs that were completed before a training that goes on from a checkpoint; none for a
    /// new one.
    pub completed: &'a [Epoch],
    /// How long they took.
    pub elapsed: Duration,
    /// What the observer wanted to remember of them, see [`Progress::save`].
    pub notes: &'a [f32],
    /// The epoch after which the training was forked from another, see [`Checkpoint::fork`]; its own
    /// begin after it.
    ///
    /// [`Checkpoint::fork`]: crate::train::Checkpoint::fork
    pub forked_after: Option<usize>,
    /// The untrained network, also where the training goes on from a checkpoint; of a fork it is none
    /// that was ever trained.
    pub snapshot: Snapshot<'a>,
}

/// A network at one moment of its training: what an observer may look at. To look costs time, to be
/// handed one does not.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// What it is trained on.
    pub dataset: &'a Dataset,
    /// Its layers.
    pub network: &'a Network,
    /// Its parameters.
    pub parameters: &'a Parameters,
    /// The gradients of the last update, in parts that are to be added up; none before the first.
    pub(in crate::train) gradients: &'a [GradStore],
    /// The split that was just evaluated, and its logits.
    pub(in crate::train) evaluated: Option<(&'a Split, &'a [f32])>,
}

impl Snapshot<'_> {
    /// The gradient of each parameter in the last update, in the order of their names; with
    /// [`Config::clip_norm`], after clipping. Empty before the first update.
    ///
    /// # Errors
    /// What the device says.
    pub fn gradients(&self) -> Result<Vec<(String, Tensor)>> {
        let mut gradients = Vec::new();
        for (name, var) in self.parameters.named() {
            let mut parts = self.gradients.iter().filter_map(|part| part.get(&var));
            if let Some(first) = parts.next() {
                let sum = parts.try_fold(first.clone(), |sum, part| sum + part)?;
                gradients.push((name, sum));
            }
        }
        Ok(gradients)
    }

    /// What the network says of the images that were just evaluated: of the validation split after
    /// an epoch, of the test split at the end. `None` before the first epoch.
    ///
    /// # Errors
    /// [`PredictionsError::NonFinite`] for a network that diverges.
    pub fn predictions(&self) -> Option<std::result::Result<Predictions, PredictionsError>> {
        let (split, logits) = self.evaluated?;
        let classes = self.dataset.classes();
        Some(Predictions::from_logits(logits, classes, split.labels()))
    }
}

/// One optimizer update.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Optimizer updates so far, this one included: the first is 1.
    pub update: usize,
    /// The epoch that this batch belongs to: the first is 1.
    pub epoch: usize,
    /// Images in this batch.
    pub images: usize,
    /// Mean loss and accuracy over the batch, before its update.
    pub train: Metrics,
    /// The learning rate of the update.
    pub learning_rate: f64,
}

/// One epoch, after its last update and the evaluation that follows. The one that a time limit cut
/// is the last and counts like the others; its means are over the images that were trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// Epochs completed, this one included: the first is 1.
    pub epoch: usize,
    /// Means over the epoch's images, each as it was trained.
    pub train: Metrics,
    /// Over the validation split, with the weights at the end of the epoch.
    pub validation: Metrics,
    /// Training images per second, evaluation left out.
    pub images_per_sec: f64,
    /// Seconds that the evaluation took.
    pub evaluation_secs: f64,
}

impl Epoch {
    /// The epoch with the lowest validation loss, the first of equals; `None` where no loss is a
    /// number.
    pub fn best(epochs: &[Epoch]) -> Option<&Epoch> {
        let losses = (epochs.iter()).filter(|epoch| !epoch.validation.loss.is_nan());
        losses.min_by(|a, b| a.validation.loss.total_cmp(&b.validation.loss))
    }
}

/// Why a training ended before its last epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The validation loss had not improved for [`Config::early_stopping`] epochs.
    EarlyStopping,
    /// [`Config::time_limit_secs`] had passed.
    TimeLimit,
    /// An observer asked for it. The test images were not read.
    Observer,
}

impl Stopped {
    /// As in event files and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Stopped::EarlyStopping => "early_stopping",
            Stopped::TimeLimit => "time_limit",
            Stopped::Observer => "observer",
        }
    }
}

/// The end of a training that no observer stopped.
#[derive(Clone, Copy, Debug)]
pub struct Finish<'a> {
    /// Every epoch, in order.
    pub epochs: &'a [Epoch],
    /// Over the test split, with the last weights.
    pub test: Metrics,
    /// Test images that were classified wrongly.
    pub test_wrong: usize,
    /// Images in the test split.
    pub test_images: usize,
    /// Why it ended before its last epoch, if it did.
    pub stopped: Option<Stopped>,
    /// The trained network.
    pub snapshot: Snapshot<'a>,
}

/// Something that watches a training. Every method defaults to doing nothing.
///
/// Methods are called in the order of the events and on the thread that trains, so the time they
/// take is added to the training's (and reported as `logging_secs`).
pub trait Observer: Send {
    /// Called once, before the first update.
    fn start(&mut self, _start: &Start<'_>) -> std::io::Result<()> {
        Ok(())
    }

    /// Called after every update. `Break` ends the training here: the epoch that was cut is not
    /// reported, the test images are not read.
    fn batch(&mut self, _batch: &Batch) -> std::io::Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }

    /// Called at the end of every epoch, with the network as it is then.
    fn epoch(
        &mut self,
        _epoch: &Epoch,
        _snapshot: &Snapshot<'_>,
    ) -> std::io::Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }

    /// Called when everything of an epoch was told, after the last one also [`finish`](Self::finish):
    /// now a checkpoint may be written, to [`resume`](crate::train::resume) from. Not after an epoch
    /// that an observer cut.
    fn checkpoint(&mut self, _progress: &Progress<'_>) -> std::io::Result<()> {
        Ok(())
    }

    /// Called once, after the test images were read; not for a training that an observer
    /// stopped.
    fn finish(&mut self, _finish: &Finish<'_>) -> std::io::Result<()> {
        Ok(())
    }
}
