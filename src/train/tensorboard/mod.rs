//! The observer that logs a training for TensorBoard.

mod augmented_images;
mod class_names;
mod classes;
mod confusion_map;
mod curves;
mod embedding;
mod error;
mod gradients;
mod graph;
mod groups;
mod histograms;
mod hparams;
mod layout;
mod milestones;
mod network_pictures;
mod op_names;
mod pass;
mod samples;
mod scalars;
mod thumbnail;

use std::fmt::Display;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use candle_core::Tensor;

use crate::tb::writer::{SummaryWriter, WriteError, WriterOptions};
use crate::train::evaluate::tensors;
use crate::train::{
    Batch, Epoch, Finish, Observer, Predictions, PredictionsError, Snapshot, Start, Stopped,
};

use self::augmented_images::augmented_images;
use self::confusion_map::confusion_map;
use self::error::LogError;
pub use self::groups::Groups;
use self::hparams::hparams;
use self::milestones::Milestones;
use self::pass::Pass;
use self::samples::Samples;
use self::scalars::Scalars;

/// The first images of the validation split, which pictures and distributions of what the layers
/// give are made from, the same every time.
const FIXED_IMAGES: usize = 50;
/// The most that is kept for each directory of what the file system does not take, in bytes.
const MAX_UNWRITTEN: usize = 32 << 20;
/// The directory whose step counts optimizer updates.
const BATCHES: &str = "batches";

/// Logs a training into a directory with three children, each with one unit of step:
///
/// | directory | tags | step |
/// |---|---|---|
/// | the run's own | all but what is below: see [`Groups`] | epochs completed |
/// | `train`, `validation` | `accuracy`, `loss` | epochs completed: 1, 2, … |
/// | `batches` | `train_batch/loss`, `train_batch/learning_rate` | optimizer updates so far: 1, 2, … |
///
/// So TensorBoard draws training and validation, and any number of trainings, on one chart.
///
/// Images and histograms are of at most ten moments, since TensorBoard keeps ten images of a tag:
/// of the untrained network, step 0, and after epochs that lie evenly up to the last. What the layers
/// give comes from the first 50 validation images.
#[derive(Debug)]
pub struct TensorBoard {
    groups: Groups,
    run: SummaryWriter,
    scalars: Option<Scalars>,
    batches: Option<SummaryWriter>,
    milestones: Milestones,
    /// The first validation images, once the training has started and if they are looked at.
    fixed_images: Option<Tensor>,
    /// What the network said of the validation images after the last epoch.
    predictions: Option<Predictions>,
    samples: Samples,
    left_out: Vec<String>,
    failure: Option<WriteError>,
}

impl TensorBoard {
    /// A new log in `directory`, which must hold no event files yet.
    ///
    /// # Errors
    /// What [`SummaryWriter::create`] says.
    pub fn create(directory: &Path, groups: Groups) -> Result<Self, WriteError> {
        let run = options().create(directory)?;
        Self::new(run, groups, |run| run.child(BATCHES))
    }

    /// Continues the log in `directory` after so many `completed` epochs, 0 where a training starts
    /// anew that was cut before its first checkpoint. What was logged of later epochs is purged, and
    /// what is there at step 0 is not logged again.
    ///
    /// # Errors
    /// What [`SummaryWriter::append`] says.
    pub fn append(
        directory: &Path,
        groups: Groups,
        completed: usize,
        updates_per_epoch: usize,
    ) -> Result<Self, WriteError> {
        let run = options().append(directory, completed + 1)?;
        let update = completed.saturating_mul(updates_per_epoch);
        Self::new(run, groups, |run| {
            run.append_child(BATCHES, update.saturating_add(1))
        })
    }

    fn new(
        run: SummaryWriter,
        groups: Groups,
        batches: impl FnOnce(&SummaryWriter) -> Result<SummaryWriter, WriteError>,
    ) -> Result<Self, WriteError> {
        let scalars = groups.epochs.then(|| Scalars::new(&run)).transpose()?;
        let batches = groups.batches.then(|| batches(&run)).transpose()?;
        Ok(Self {
            groups,
            run,
            scalars,
            batches,
            milestones: Milestones::new(0),
            fixed_images: None,
            predictions: None,
            samples: Samples::default(),
            left_out: Vec::new(),
            failure: None,
        })
    }

    /// What could not be logged so far, and why: a network that diverges has no predictions and no
    /// embedding. Each is a text `left_out/…` of the run too.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Why not all that was logged is in the event files, as it was at the end of the last epoch or, after
    /// the last, is for good. A training need not end for that: up to 32 MiB for each directory are
    /// kept and written later.
    pub fn failure(&self) -> Option<&WriteError> {
        self.failure.as_ref()
    }

    fn leave_out(&mut self, what: &str, cause: &dyn Display, step: usize) -> Result<(), LogError> {
        let text = format!("no {what} after epoch {step}: {cause}");
        self.run
            .add_text(&format!("left_out/{what}"), &text, step)?;
        self.left_out.push(text);
        Ok(())
    }

    /// Logs a text of the whole training, in Markdown, as what machine it runs on.
    ///
    /// # Errors
    /// What [`SummaryWriter::add_text`] says.
    pub fn add_text(&self, tag: &str, text: &str) -> Result<(), WriteError> {
        self.run.add_text(tag, text, 0)
    }

    /// What a checkpoint has to remember for a log that is continued.
    pub fn notes(&self) -> &[f32] {
        self.samples.notes()
    }

    /// Closes the log of a training that is interrupted: its session may go on.
    ///
    /// # Errors
    /// What [`SummaryWriter::close`] says.
    pub fn close(&self) -> Result<(), WriteError> {
        self.run.close()
    }

    /// Ends the log of a training that failed: TensorBoard shows its session as failed.
    ///
    /// # Errors
    /// What [`SummaryWriter::finish_with_failure`] says.
    pub fn fail(&self) -> Result<(), WriteError> {
        self.run.finish_with_failure()
    }

    fn log_start(&mut self, start: &Start<'_>) -> Result<(), LogError> {
        let snapshot = &start.snapshot;
        self.milestones = Milestones::new(start.config.epochs);
        if let Some(scalars) = &mut self.scalars {
            scalars.resume(start.completed, start.elapsed);
        }
        if self.groups.settings {
            self.run.add_hparams(hparams(start.config))?;
            let toml = start.config.to_toml();
            self.add_text("config", &format!("```toml\n{toml}```\n"))?;
        }
        if self.groups.epochs {
            self.run.add_custom_scalars(&layout::layout())?;
        }
        if self.groups.graph {
            let graph = graph::graph(snapshot.parameters, snapshot.network.plan())?;
            self.run.add_graph(&graph)?;
        }
        if self.groups.images || self.groups.histograms {
            self.add_text("milestones", &self.milestones.describe())?;
            self.fixed_images = Some(fixed_images(snapshot)?);
        }
        if start.forked_after.is_none() {
            self.look(snapshot, 0)?;
        }
        if self.groups.images {
            let dataset = snapshot.dataset;
            if let Some(grid) = augmented_images(dataset.train(), start.config)? {
                self.run.add_image("samples/augmented", &grid, 0)?;
            }
            self.samples.restore(dataset, start.notes)?;
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

    fn log_epoch(&mut self, epoch: &Epoch, snapshot: &Snapshot<'_>) -> Result<(), LogError> {
        let step = epoch.epoch;
        if let Some(scalars) = &mut self.scalars {
            scalars.log(epoch)?;
        }
        if self.groups.gradients {
            gradients::log_norm(&self.run, snapshot, step)?;
        }
        let Groups {
            classes,
            images,
            curves,
            ..
        } = self.groups;
        if classes || images || curves {
            self.predictions = match snapshot.predictions().transpose() {
                Ok(predictions) => predictions,
                Err(cause) => {
                    self.leave_out("predictions", &cause, step)?;
                    None
                }
            };
        }
        if let Some(predictions) = self.predictions.as_ref().filter(|_| classes) {
            let names = snapshot.dataset.class_names();
            classes::log_accuracies(&self.run, names, predictions, step)?;
        }
        match self.milestones.contains(step) {
            true => self.look(snapshot, step),
            false => Ok(()),
        }
    }

    fn log_finish(&mut self, finish: &Finish<'_>) -> Result<(), LogError> {
        let (step, snapshot) = (finish.epochs.len(), &finish.snapshot);
        self.failure = None;
        if self.groups.epochs {
            self.run
                .add_scalar("test/accuracy", finish.test.accuracy, step)?;
            self.run.add_scalar("test/loss", finish.test.loss, step)?;
            if let Some(stopped) = finish.stopped {
                let text = reason(stopped, finish.epochs);
                self.run.add_text("stopped", &text, step)?;
            }
        }
        if !self.milestones.contains(step) {
            self.look(snapshot, step)?;
        }
        if self.groups.images {
            self.samples.log_animation(&self.run, step)?;
        }
        if let Some(predictions) = &self.predictions {
            let names = snapshot.dataset.class_names();
            if self.groups.classes {
                classes::log_tables(&self.run, names, predictions, step)?;
            }
            if self.groups.curves {
                curves::log_curves(&self.run, names, predictions, step)?;
            }
        }
        if self.groups.embedding {
            self.log_embedding(snapshot, step)?;
        }
        if let Err(error) = self.run.finish() {
            self.failure = Some(error);
        }
        Ok(())
    }

    fn log_embedding(&mut self, snapshot: &Snapshot<'_>, step: usize) -> Result<(), LogError> {
        match embedding::log_embedding(&self.run, snapshot, step) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(cause)) => self.leave_out("embedding", &cause, step),
            // Its files are not kept.
            Err(LogError::Write(error @ WriteError::Io { .. })) => {
                self.leave_out("embedding", &error, step)?;
                self.failure = Some(error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Logs pictures and distributions of the network as it is now.
    fn look(&mut self, snapshot: &Snapshot<'_>, step: usize) -> Result<(), LogError> {
        let Some(images) = &self.fixed_images else {
            return Ok(());
        };
        let pass = Pass::new(snapshot.network, images)?;
        if self.groups.histograms {
            histograms::log_histograms(&self.run, snapshot, &pass, step)?;
        }
        if self.groups.images {
            network_pictures::log_filters(&self.run, snapshot.parameters, step)?;
            network_pictures::log_feature_maps(&self.run, images, &pass, step)?;
            self.log_samples(snapshot, &pass, step)?;
        }
        Ok(())
    }

    fn log_samples(
        &mut self,
        snapshot: &Snapshot<'_>,
        pass: &Pass,
        step: usize,
    ) -> Result<(), LogError> {
        let (run, dataset) = (&self.run, snapshot.dataset);
        let Some(predictions) = &self.predictions else {
            // Before the first epoch the validation images were not evaluated; after another, they
            // were left out.
            return match fixed_predictions(snapshot, pass)? {
                Ok(fixed) => (self.samples).log_predictions(run, dataset, &fixed, step),
                Err(cause) if step == 0 => self.leave_out("predictions", &cause, step),
                Err(_) => Ok(()),
            };
        };
        (self.samples).log_predictions(run, dataset, predictions, step)?;
        if let Some((_, logits)) = snapshot.evaluated {
            self.samples.note(dataset, logits);
        }
        samples::log_worst_mistakes(run, dataset, predictions, step)?;
        let map = confusion_map(&predictions.confusion(), dataset.class_names())?;
        Ok(run.add_image("samples/confusion", &map, step)?)
    }
}

fn options() -> WriterOptions {
    WriterOptions::new().keep_unwritten(MAX_UNWRITTEN)
}

/// The first validation images, where the network is.
fn fixed_images(snapshot: &Snapshot<'_>) -> candle_core::Result<Tensor> {
    let split = snapshot.dataset.validation();
    let indices: Vec<u32> = (0..split.len().min(FIXED_IMAGES) as u32).collect();
    let vars = snapshot.parameters.vars_in_order();
    let device = vars
        .first()
        .map_or(&candle_core::Device::Cpu, |var| var.device());
    Ok(tensors(split, &indices, None, device)?.0)
}

/// What the network says of the fixed images, if it does not diverge.
fn fixed_predictions(
    snapshot: &Snapshot<'_>,
    pass: &Pass,
) -> candle_core::Result<Result<Predictions, PredictionsError>> {
    let logits = histograms::numbers(&pass.logits)?;
    let labels = snapshot.dataset.validation().labels();
    let labels = &labels[..pass.logits.dim(0)?];
    let classes = snapshot.dataset.classes();
    Ok(Predictions::from_logits(&logits, classes, labels))
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

impl Observer for TensorBoard {
    fn start(&mut self, start: &Start<'_>) -> io::Result<()> {
        self.log_start(start).map_err(io::Error::other)
    }

    fn batch(&mut self, batch: &Batch) -> io::Result<ControlFlow<()>> {
        self.log_batch(batch).map_err(io::Error::other)?;
        Ok(ControlFlow::Continue(()))
    }

    fn epoch(&mut self, epoch: &Epoch, snapshot: &Snapshot<'_>) -> io::Result<ControlFlow<()>> {
        self.log_epoch(epoch, snapshot).map_err(io::Error::other)?;
        self.failure = self.run.flush().err();
        Ok(ControlFlow::Continue(()))
    }

    fn finish(&mut self, finish: &Finish<'_>) -> io::Result<()> {
        self.log_finish(finish).map_err(io::Error::other)
    }
}

#[cfg(feature = "mnist")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;
    use crate::nn::{Init, NamedNetwork, Network, Parameters, Plan};
    use crate::tb::Logdir;
    use crate::train::Metrics;

    #[test]
    fn what_a_diverging_network_cannot_show_is_said() {
        let dataset = Dataset::mnist().unwrap();
        let parameters = Parameters::new(0, Init::Layers);
        let builder = parameters.builder(&candle_core::Device::Cpu);
        let plan = Plan::new(&NamedNetwork::Article.layers(), [1, 28, 28], 10).unwrap();
        let network = Network::new(&plan, builder).unwrap();
        let (validation, test) = (dataset.validation(), dataset.test().unwrap());
        let mut logits = vec![0.5; 10 * validation.len().max(test.len())];
        logits[13] = f32::INFINITY;
        let snapshot = |split| Snapshot {
            dataset: &dataset,
            network: &network,
            parameters: &parameters,
            gradients: &[],
            evaluated: Some(split),
        };
        let metrics = Metrics {
            loss: f64::NAN,
            accuracy: 0.1,
        };
        let epoch = Epoch {
            epoch: 1,
            train: metrics,
            validation: metrics,
            images_per_sec: 1.0,
            evaluation_secs: 1.0,
        };
        let dir = tempfile::tempdir().unwrap();
        let mut log = TensorBoard::create(&dir.path().join("a"), Groups::ALL).unwrap();
        let after = snapshot((validation, &logits[..10 * validation.len()]));
        assert!(log.epoch(&epoch, &after).unwrap().is_continue());
        let finish = Finish {
            epochs: &[epoch],
            test: metrics,
            test_wrong: 0,
            test_images: test.len(),
            stopped: None,
            snapshot: snapshot((test, &logits[..10 * test.len()])),
        };
        log.finish(&finish).unwrap();
        let cause = "the network gives inf for class 3 of image 1, expected a finite number";
        let expected =
            ["predictions", "embedding"].map(|what| format!("no {what} after epoch 1: {cause}"));
        assert_eq!(log.left_out(), expected);
        let runs = Logdir::open(dir.path()).unwrap().runs().unwrap();
        let texts = ["left_out/predictions", "left_out/embedding"]
            .map(|tag| runs[0].texts(tag).unwrap()[0].value.clone());
        assert_eq!(texts, expected);
    }
}
