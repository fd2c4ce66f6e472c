//! The training loop.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use candle_core::backprop::GradStore;
use candle_core::{Device, Var};

use crate::data::{Batches, Dataset, Split};
use crate::nn::{
    self, Network, OptimizerState, Parameters, Plan, StepParts, add_parts, clip_grad_norm,
};
use crate::train::divergence::{bad_layer, bad_weights};
use crate::train::evaluate::{Sum, evaluate_logits};
use crate::train::step::Step;
use crate::train::{
    Batch, Checkpoint, Config, ConfigError, Epoch, Finish, FitError, Init, Metrics, Observer,
    Outcome, Progress, Snapshot, Start, Stopped,
};

/// A training that goes on.
pub struct Training<'a, O> {
    config: &'a Config,
    dataset: &'a Dataset,
    device: Device,
    plan: Plan,
    network: Network,
    parameters: Parameters,
    vars: Vec<Var>,
    optimizer: O,
    began: Instant,
    /// How long the epochs took before the checkpoint that it goes on from.
    elapsed_before: Duration,
    forked_after: Option<usize>,
    /// The epochs that are completed.
    epochs: Vec<Epoch>,
    /// Optimizer updates so far.
    updates: usize,
    /// Of the last update, in parts that are to be added up.
    gradients: Vec<GradStore>,
    stopped: Option<Stopped>,
}

impl<'a, O: StepParts + OptimizerState> Training<'a, O> {
    /// A network with its initial weights, and the optimizer that `optimizer` makes of its parameters.
    pub fn new(
        config: &'a Config,
        dataset: &'a Dataset,
        optimizer: impl Fn(Vec<Var>) -> candle_core::Result<O>,
    ) -> Result<Self, FitError> {
        let device = config.device.open()?;
        let init = match config.init {
            Init::Kaiming => nn::Init::Layers,
            Init::Article => nn::Init::Article,
        };
        let parameters = Parameters::new(config.seed, init);
        let (height, width) = (dataset.height(), dataset.width());
        let plan = config.plan(height, width, dataset.classes());
        let plan = plan.map_err(|cause| FitError::Network {
            name: config.network_name(),
            height,
            width,
            cause,
        })?;
        check_batches(config, &plan, dataset.train().len())?;
        let network = Network::new(&plan, parameters.builder(&device))?;
        let vars = parameters.vars_in_order();
        Ok(Self {
            optimizer: optimizer(vars.clone())?,
            config,
            dataset,
            device,
            plan,
            network,
            parameters,
            vars,
            began: Instant::now(),
            elapsed_before: Duration::ZERO,
            forked_after: None,
            epochs: Vec::new(),
            updates: 0,
            gradients: Vec::new(),
            stopped: None,
        })
    }

    /// Trains to the end, or until `observer` asks to stop.
    pub fn run(
        mut self,
        checkpoint: Option<&Checkpoint>,
        threads: usize,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, FitError> {
        self.announce(checkpoint, threads, observer)?;
        self.began = Instant::now();
        if let Some(checkpoint) = checkpoint {
            checkpoint.restore(&self.parameters, &mut self.optimizer)?;
            self.epochs = checkpoint.epochs().to_vec();
            self.updates = checkpoint.update();
            self.elapsed_before = checkpoint.elapsed();
            self.forked_after = checkpoint.forked_after();
        }
        while self.stopped.is_none() && self.epochs.len() < self.config.epochs {
            if self.epoch(observer)?.is_break() {
                return Ok(self.outcome(None, Some(Stopped::Observer)));
            }
        }
        self.finish(observer)
    }

    /// Tells what is known before the first update, with the weights as they are initially.
    fn announce(
        &self,
        checkpoint: Option<&Checkpoint>,
        threads: usize,
        observer: &mut dyn Observer,
    ) -> Result<(), FitError> {
        observer.start(&Start {
            config: self.config,
            dataset: self.dataset.name(),
            train_images: self.dataset.train().len(),
            validation_images: self.dataset.validation().len(),
            test_images: self.dataset.test_len(),
            parameters: self.parameters.count(),
            threads,
            updates_per_epoch: self.updates_per_epoch(),
            completed: checkpoint.map_or(&[], Checkpoint::epochs),
            elapsed: checkpoint.map_or(Duration::ZERO, Checkpoint::elapsed),
            notes: checkpoint.map_or(&[], Checkpoint::notes),
            forked_after: checkpoint.and_then(Checkpoint::forked_after),
            snapshot: self.snapshot(None),
        })?;
        Ok(())
    }

    /// An epoch: its updates, the evaluation, and what the observer is told. `Break` if that asks to
    /// stop before the last one.
    fn epoch(&mut self, observer: &mut dyn Observer) -> Result<ControlFlow<()>, FitError> {
        let began = Instant::now();
        let Some(sum) = self.train(observer)? else {
            return Ok(ControlFlow::Break(()));
        };
        let images_per_sec = sum.images() as f64 / began.elapsed().as_secs_f64();
        let evaluation_began = Instant::now();
        let split = self.dataset.validation();
        let (validation, logits) = evaluate_logits(&self.network, split, &self.device)?;
        if !validation.loss.is_finite()
            && let Some(layer) = bad_weights(&self.plan, &self.parameters)?
        {
            return Err(self.non_finite(validation.loss, Some(layer)));
        }
        let epoch = Epoch {
            epoch: self.epochs.len() + 1,
            train: sum.mean(),
            validation,
            images_per_sec,
            evaluation_secs: evaluation_began.elapsed().as_secs_f64(),
        };
        self.epochs.push(epoch);
        let told = observer.epoch(&epoch, &self.snapshot(Some((split, &logits))))?;
        // The end has a checkpoint of its own, which comes after the test.
        if self.stopped.is_some() || epoch.epoch == self.config.epochs {
            return Ok(ControlFlow::Continue(()));
        }
        let patience = self.config.early_stopping;
        if patience.is_some_and(|patience| is_stalled(&self.epochs, patience)) {
            self.stopped = Some(Stopped::EarlyStopping);
        } else {
            observer.checkpoint(&self.progress(false))?;
        }
        Ok(told)
    }

    /// The updates of the next epoch, up to a time limit; `None` if the observer asked to stop.
    fn train(&mut self, observer: &mut dyn Observer) -> Result<Option<Sum>, FitError> {
        let config = self.config;
        let count = self.dataset.train().len() as u32;
        let epoch = self.epochs.len() + 1;
        let batches = Batches::shuffled(count, config.batch_size, config.seed, epoch as u64);
        let time_limit = config.time_limit_secs.unwrap_or(f64::INFINITY);
        let mut sum = Sum::default();
        for indices in &batches {
            let learning_rate = self.learning_rate(self.updates);
            let batch_sum = self.update(indices, learning_rate)?;
            sum.extend(&batch_sum);
            let batch = Batch {
                update: self.updates,
                epoch,
                images: indices.len(),
                train: batch_sum.mean(),
                learning_rate,
            };
            if observer.batch(&batch)?.is_break() {
                return Ok(None);
            }
            let is_over = self.updates == self.all_updates();
            if self.elapsed().as_secs_f64() >= time_limit && !is_over {
                self.stopped = Some(Stopped::TimeLimit);
                break;
            }
        }
        Ok(Some(sum))
    }

    /// One update of the optimizer, by the images at `indices`; what they gave before it.
    fn update(&mut self, indices: &[u32], learning_rate: f64) -> Result<Sum, FitError> {
        let step = Step {
            network: &self.network,
            split: self.dataset.train(),
            augmentation: self.config.augmentation(self.epochs.len() + 1),
            device: &self.device,
        };
        // Freed now, so that the next ones take their place in the caches.
        self.gradients.clear();
        let (mut gradients, sum) = step.gradients(indices)?;
        self.updates += 1;
        let mut norm = 0.0;
        if let Some(max_norm) = self.config.clip_norm {
            let mut total = add_parts(gradients, &self.vars)?;
            norm = clip_grad_norm(&mut total, &self.vars, max_norm)?;
            gradients = vec![total];
        }
        let loss = sum.mean().loss;
        if !loss.is_finite() || !norm.is_finite() {
            let gradients = add_parts(gradients, &self.vars)?;
            let layer = bad_layer(&self.plan, &self.parameters, &gradients)?;
            return Err(self.non_finite(loss, layer));
        }
        self.optimizer.set_learning_rate(learning_rate);
        self.optimizer.step_parts(&gradients)?;
        self.gradients = gradients;
        Ok(sum)
    }

    /// The test, the last checkpoint, and what the training leaves behind.
    fn finish(self, observer: &mut dyn Observer) -> Result<Outcome, FitError> {
        let split = self.dataset.test()?;
        let (test, logits) = evaluate_logits(&self.network, split, &self.device)?;
        let test_images = self.dataset.test_len();
        let right = (test.accuracy * test_images as f64).round() as usize;
        observer.finish(&Finish {
            epochs: &self.epochs,
            test,
            test_wrong: test_images - right,
            test_images,
            stopped: self.stopped,
            snapshot: self.snapshot(Some((split, &logits))),
        })?;
        observer.checkpoint(&self.progress(true))?;
        let stopped = self.stopped;
        Ok(self.outcome(Some(test), stopped))
    }

    fn outcome(self, test: Option<Metrics>, stopped: Option<Stopped>) -> Outcome {
        Outcome {
            parameters: self.parameters,
            epochs: self.epochs,
            test,
            stopped,
        }
    }

    /// The network as it is now, with the split that was just evaluated.
    fn snapshot<'s>(&'s self, evaluated: Option<(&'s Split, &'s [f32])>) -> Snapshot<'s> {
        Snapshot {
            dataset: self.dataset,
            network: &self.network,
            parameters: &self.parameters,
            gradients: &self.gradients,
            evaluated,
        }
    }

    fn progress(&self, is_finished: bool) -> Progress<'_> {
        Progress {
            config: self.config,
            dataset: self.dataset,
            parameters: &self.parameters,
            optimizer: &self.optimizer,
            epochs: &self.epochs,
            update: self.updates,
            elapsed: self.elapsed(),
            forked_after: self.forked_after,
            is_finished,
            stopped: self.stopped,
        }
    }

    /// The loss after the last update, or the weights that it left.
    fn non_finite(&self, loss: f64, layer: Option<String>) -> FitError {
        FitError::NonFinite {
            loss,
            epoch: self.epochs.len() + 1,
            update: self.updates,
            learning_rate: self.learning_rate(self.updates - 1),
            layer,
        }
    }

    fn updates_per_epoch(&self) -> usize {
        let images = self.dataset.train().len();
        images.div_ceil(self.config.batch_size)
    }

    fn all_updates(&self) -> usize {
        self.config.epochs * self.updates_per_epoch()
    }

    /// That of the update after so many.
    fn learning_rate(&self, updates: usize) -> f64 {
        let peak = self.config.learning_rate;
        (self.config.schedule).rate(peak, updates, self.all_updates())
    }

    fn elapsed(&self) -> Duration {
        self.elapsed_before + self.began.elapsed()
    }
}

/// Holds that no batch has a single image where the network normalises by the batch alone.
fn check_batches(config: &Config, plan: &Plan, images: usize) -> Result<(), ConfigError> {
    let last = images % config.batch_size;
    let is_single = last == 1 || config.batch_size == 1;
    match plan.needs_two_images() && is_single {
        true => Err(ConfigError {
            setting: "batch_size",
            found: config.batch_size.to_string(),
            expected: "one that leaves no batch with a single image, which has no variance to \
                       normalise by (batch_norm after a linear layer)",
        }),
        false => Ok(()),
    }
}

/// Whether none of the last `patience` epochs had a lower validation loss than all before it.
fn is_stalled(epochs: &[Epoch], patience: usize) -> bool {
    let best = Epoch::best(epochs).map_or(0, |best| best.epoch);
    epochs.len() - best >= patience
}
