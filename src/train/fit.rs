//! The training loop.

use std::path::Path;
use std::time::{Duration, Instant};

use candle_core::Var;
use candle_nn::Optimizer as _;

use crate::data::{Batches, DataError, Dataset};
use crate::nn::{
    self, Adam, AdamConfig, AdamW, Network, NotAvailable, OptimizerState, Parameters, Plan,
    PlanError, Sgd, SgdConfig, StepParts, add_parts, clip_grad_norm,
};
use crate::train::divergence::{bad_layer, bad_weights};
use crate::train::evaluate::{Sum, evaluate_logits};
use crate::train::step::Step;
use crate::train::{
    Batch, Checkpoint, CheckpointError, Config, ConfigError, Epoch, Finish, Init, Metrics,
    Observer, OptimizerKind, Progress, Snapshot, Start, Stopped,
};

/// Why a training failed.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// A setting that cannot be trained with.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A network that does not fit to the images.
    #[error("the network ({name}) does not fit to images of {height}x{width}: {cause}")]
    Network {
        /// What it is called.
        name: &'static str,
        /// Pixels below each other.
        height: usize,
        /// Pixels beside each other.
        width: usize,
        /// The layer, and what is wrong with it.
        cause: PlanError,
    },
    /// A checkpoint of another training.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The test images could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The loss, the norm that gradients are clipped by, or the validation loss together with the
    /// weights became infinite or NaN, so what follows would be too.
    #[error(
        "the loss is {loss} at epoch {epoch}, update {update}, learning rate {learning_rate}{}; try \
         a smaller learning rate",
        first_to_go(.layer)
    )]
    NonFinite {
        /// What the loss became; a number where only a gradient is none.
        loss: f64,
        /// The epoch, from 1.
        epoch: usize,
        /// Optimizer updates so far, this one included.
        update: usize,
        /// The learning rate of this update.
        learning_rate: f64,
        /// The layer whose gradient went bad first on the way back from the loss. It is looked for
        /// only now, when the harm is done: if weights are not finite, the update before made them
        /// so; otherwise the gradients of this batch are looked at. `None` where all are finite
        /// and only the loss is too large for its type.
        layer: Option<String>,
    },
    /// An observer failed, as when a log could not be written.
    #[error(transparent)]
    Observer(#[from] std::io::Error),
    /// The threads could not be started.
    #[error("cannot start {threads} threads: {cause}; try fewer (--threads)")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What the system said.
        cause: rayon::ThreadPoolBuildError,
    },
    /// The machine lacks the instructions that were asked for.
    #[error(transparent)]
    Instructions(#[from] NotAvailable),
    /// A computation failed, as when the device is not there.
    #[error(transparent)]
    Compute(#[from] candle_core::Error),
}

fn first_to_go(layer: &Option<String>) -> String {
    layer.as_ref().map_or_else(String::new, |layer| {
        format!("; from the loss back, the first gradient that is not finite is that of {layer}")
    })
}

/// What a training leaves behind.
#[derive(Debug)]
pub struct Outcome {
    /// The last weights, also where an earlier epoch was better ([`Epoch::best`]).
    pub parameters: Parameters,
    /// Every epoch that was completed.
    pub epochs: Vec<Epoch>,
    /// Loss and accuracy over the test split; `None` for a training that an observer stopped.
    pub test: Option<Metrics>,
    /// Why it ended before its last epoch, if it did.
    pub stopped: Option<Stopped>,
}

impl Outcome {
    fn stopped_by_observer(parameters: Parameters, epochs: Vec<Epoch>) -> Self {
        Self {
            parameters,
            epochs,
            test: None,
            stopped: Some(Stopped::Observer),
        }
    }

    /// Writes the last weights as safetensors, in PyTorch's shapes and layout.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save_weights(&self, path: &Path) -> Result<(), candle_core::Error> {
        self.parameters.save(path)
    }
}

/// Trains a network on `dataset` as `config` says, and tells `observer` about it.
///
/// The same configuration gives the same weights bit for bit, for any number of threads, on the
/// same instruction set.
///
/// Where [`Config::clip_norm`] is set, candle 0.11 adds gradients on threads of its own, which spin
/// while they wait and so take cores from this training. Start the program with
/// `CANDLE_NUM_THREADS=1` in its environment, as `cnn-tb` does for itself: on two cores it is then a
/// tenth faster.
///
/// # Errors
/// See [`FitError`].
pub fn fit(
    config: &Config,
    dataset: &Dataset,
    observer: &mut dyn Observer,
) -> Result<Outcome, FitError> {
    start(config, dataset, None, observer)
}

/// Goes on with a training from a checkpoint, see [`Checkpoint`].
///
/// It ends with the same weights, bit for bit, as if it had never stopped, and tells `observer` the
/// same, but for times, of every epoch after the checkpoint's. [`Config::threads`] may differ from
/// before; [`Config::epochs`] may where the schedule does not depend on it.
///
/// # Errors
/// [`FitError::Checkpoint`] for another data set or settings of another result, which go on from a
/// [`Checkpoint::fork`], and as [`fit`].
pub fn resume(
    config: &Config,
    dataset: &Dataset,
    checkpoint: &Checkpoint,
    observer: &mut dyn Observer,
) -> Result<Outcome, FitError> {
    start(config, dataset, Some(checkpoint), observer)
}

fn start(
    config: &Config,
    dataset: &Dataset,
    checkpoint: Option<&Checkpoint>,
    observer: &mut dyn Observer,
) -> Result<Outcome, FitError> {
    config.validate()?;
    if let Some(set) = config.instruction_set {
        set.select()?;
    }
    let threads = config
        .threads
        .or_else(|| std::thread::available_parallelism().ok().map(Into::into));
    let threads = threads.unwrap_or(1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|cause| FitError::Threads { threads, cause })?;
    if let Some(checkpoint) = checkpoint {
        checkpoint.check(config, dataset)?;
    }
    pool.install(|| match config.optimizer {
        OptimizerKind::Adam => {
            let adam = |vars| Adam::new(vars, AdamConfig::default());
            run(config, dataset, checkpoint, observer, threads, adam)
        }
        OptimizerKind::Adamw => {
            let mut settings = AdamConfig::adamw();
            settings.weight_decay = config.weight_decay.unwrap_or(settings.weight_decay);
            let adamw = |vars| AdamW::new(vars, settings);
            run(config, dataset, checkpoint, observer, threads, adamw)
        }
        OptimizerKind::Sgd => {
            let mut settings = SgdConfig::default();
            settings.weight_decay = config.weight_decay.unwrap_or(settings.weight_decay);
            let sgd = |vars| Sgd::new(vars, settings);
            run(config, dataset, checkpoint, observer, threads, sgd)
        }
    })
}

fn run<O: StepParts + OptimizerState>(
    config: &Config,
    dataset: &Dataset,
    checkpoint: Option<&Checkpoint>,
    observer: &mut dyn Observer,
    threads: usize,
    optimizer: impl Fn(Vec<Var>) -> candle_core::Result<O>,
) -> Result<Outcome, FitError> {
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
    let mut optimizer = optimizer(vars.clone())?;

    let train = dataset.train();
    let updates_per_epoch = train.len().div_ceil(config.batch_size);
    let updates = config.epochs * updates_per_epoch;
    let untrained = Snapshot {
        dataset,
        network: &network,
        parameters: &parameters,
        gradients: &[],
        evaluated: None,
    };
    let forked_after = checkpoint.and_then(Checkpoint::forked_after);
    observer.start(&Start {
        config,
        dataset: dataset.name(),
        train_images: train.len(),
        validation_images: dataset.validation().len(),
        test_images: dataset.test_len(),
        parameters: parameters.count(),
        threads,
        updates_per_epoch,
        completed: checkpoint.map_or(&[], Checkpoint::epochs),
        elapsed: checkpoint.map_or(Duration::ZERO, Checkpoint::elapsed),
        notes: checkpoint.map_or(&[], Checkpoint::notes),
        forked_after,
        snapshot: untrained,
    })?;

    let began = Instant::now();
    let mut elapsed_before = Duration::ZERO;
    let rate = |update| (config.schedule).rate(config.learning_rate, update, updates);
    let mut epochs: Vec<Epoch> = Vec::new();
    let mut update = 0;
    if let Some(checkpoint) = checkpoint {
        checkpoint.restore(&parameters, &mut optimizer)?;
        epochs = checkpoint.epochs().to_vec();
        update = checkpoint.update();
        elapsed_before = checkpoint.elapsed();
    }
    let elapsed = || elapsed_before + began.elapsed();
    let mut stopped = None;
    // Of the last update of an epoch.
    let mut gradients = Vec::new();
    for epoch in epochs.len() + 1..=config.epochs {
        let epoch_began = Instant::now();
        let step = Step {
            network: &network,
            split: train,
            augmentation: config.augmentation(epoch),
            device: &device,
        };
        let mut sum = Sum::default();
        let non_finite = |loss, update, layer| FitError::NonFinite {
            loss,
            epoch,
            update,
            learning_rate: rate(update - 1),
            layer,
        };
        for indices in &Batches::shuffled(
            train.len() as u32,
            config.batch_size,
            config.seed,
            epoch as u64,
        ) {
            let learning_rate = rate(update);
            optimizer.set_learning_rate(learning_rate);
            let (mut grads, batch_sum) = step.gradients(indices)?;
            update += 1;
            let train = batch_sum.mean();
            let mut norm = 0.0;
            if let Some(max_norm) = config.clip_norm {
                let mut sum = add_parts(grads, &vars)?;
                norm = clip_grad_norm(&mut sum, &vars, max_norm)?;
                grads = vec![sum];
            }
            if !train.loss.is_finite() || !norm.is_finite() {
                let layer = bad_layer(&plan, &parameters, &add_parts(grads, &vars)?)?;
                return Err(non_finite(train.loss, update, layer));
            }
            optimizer.step_parts(&grads)?;
            sum.extend(&batch_sum);
            let batch = Batch {
                update,
                epoch,
                images: indices.len(),
                train,
                learning_rate,
            };
            if observer.batch(&batch)?.is_break() {
                return Ok(Outcome::stopped_by_observer(parameters, epochs));
            }
            let limit = config.time_limit_secs.unwrap_or(f64::INFINITY);
            if elapsed().as_secs_f64() >= limit && update < updates {
                stopped = Some(Stopped::TimeLimit);
            }
            if stopped.is_some() || update == epoch * updates_per_epoch {
                gradients = grads;
                break;
            }
        }
        let images_per_sec = sum.images() as f64 / epoch_began.elapsed().as_secs_f64();
        let evaluation_began = Instant::now();
        let (validation, logits) = evaluate_logits(&network, dataset.validation(), &device)?;
        if !validation.loss.is_finite()
            && let Some(layer) = bad_weights(&plan, &parameters)?
        {
            return Err(non_finite(validation.loss, update, Some(layer)));
        }
        epochs.push(Epoch {
            epoch,
            train: sum.mean(),
            validation,
            images_per_sec,
            evaluation_secs: evaluation_began.elapsed().as_secs_f64(),
        });
        let is_last = epoch == config.epochs || stopped.is_some();
        let snapshot = Snapshot {
            gradients: &gradients,
            evaluated: Some((dataset.validation(), &logits)),
            ..untrained
        };
        let is_cut = observer.epoch(&epochs[epoch - 1], &snapshot)?.is_break() && !is_last;
        let patience = config.early_stopping;
        if !is_last && patience.is_some_and(|n| is_stalled(&epochs, n)) {
            stopped = Some(Stopped::EarlyStopping);
        }
        // The end has a checkpoint of its own, which comes after the test.
        if !is_last && stopped.is_none() {
            observer.checkpoint(&Progress {
                config,
                dataset,
                parameters: &parameters,
                optimizer: &optimizer,
                epochs: &epochs,
                update,
                elapsed: elapsed(),
                forked_after,
                is_finished: false,
                stopped: None,
            })?;
        }
        if is_cut {
            return Ok(Outcome::stopped_by_observer(parameters, epochs));
        }
        if stopped.is_some() {
            break;
        }
    }

    let (test, logits) = evaluate_logits(&network, dataset.test()?, &device)?;
    let test_images = dataset.test_len();
    let test_wrong = test_images - (test.accuracy * test_images as f64).round() as usize;
    observer.finish(&Finish {
        epochs: &epochs,
        test,
        test_wrong,
        test_images,
        stopped,
        snapshot: Snapshot {
            gradients: &gradients,
            evaluated: Some((dataset.test()?, &logits)),
            ..untrained
        },
    })?;
    observer.checkpoint(&Progress {
        config,
        dataset,
        parameters: &parameters,
        optimizer: &optimizer,
        epochs: &epochs,
        update,
        elapsed: elapsed(),
        forked_after,
        is_finished: true,
        stopped,
    })?;
    Ok(Outcome {
        parameters,
        epochs,
        test: Some(test),
        stopped,
    })
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
