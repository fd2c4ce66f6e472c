//! The training loop.

use std::path::Path;
use std::time::Instant;

use candle_core::Var;
use candle_nn::Optimizer as _;

use crate::data::{Batches, DataError, Dataset, Shift};
use crate::nn::{self, Adam, AdamConfig, Article, Parameters, Sgd, SgdConfig, StepParts};
use crate::train::evaluate::{Sum, evaluate};
use crate::train::step::Step;
use crate::train::{
    Batch, Config, ConfigError, Epoch, Finish, Init, Metrics, Observer, OptimizerKind, Start,
};

/// Why a training failed.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// A setting that cannot be trained with.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The test images could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The loss became infinite or NaN, so what follows would be too.
    #[error(
        "the loss is {loss} at epoch {epoch}, update {update}, learning rate {learning_rate}; try a \
         smaller learning rate"
    )]
    NonFinite {
        /// What it became.
        loss: f64,
        /// The epoch, from 1.
        epoch: usize,
        /// Optimizer updates so far, this one included.
        update: usize,
        /// The learning rate of this update.
        learning_rate: f64,
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
    /// A computation failed, as when the device is not there.
    #[error(transparent)]
    Compute(#[from] candle_core::Error),
}

/// What a training leaves behind.
#[derive(Debug)]
pub struct Outcome {
    /// The last weights.
    pub parameters: Parameters,
    /// Every epoch that was completed.
    pub epochs: Vec<Epoch>,
    /// Loss and accuracy over the test split; `None` for a training that was stopped.
    pub test: Option<Metrics>,
}

impl Outcome {
    /// Writes the last weights as safetensors, in PyTorch's shapes and layout.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save_weights(&self, path: &Path) -> Result<(), candle_core::Error> {
        self.parameters.save(path)
    }
}

/// Trains the article's network on `dataset` as `config` says, and tells `observer` about it.
///
/// The same configuration gives the same weights bit for bit, for any number of threads, on the
/// same instruction set.
///
/// candle 0.11 adds large gradients on threads of its own, which spin while they wait and so take
/// cores from this training. Start the program with `CANDLE_NUM_THREADS=1` in its environment, as
/// `cnn-tb` does for itself: on two cores it is then twice as fast.
///
/// # Errors
/// See [`FitError`].
pub fn fit(
    config: &Config,
    dataset: &Dataset,
    observer: &mut dyn Observer,
) -> Result<Outcome, FitError> {
    config.validate()?;
    let threads = config
        .threads
        .or_else(|| std::thread::available_parallelism().ok().map(Into::into));
    let threads = threads.unwrap_or(1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|cause| FitError::Threads { threads, cause })?;
    pool.install(|| match config.optimizer {
        OptimizerKind::Adam => {
            let adam = |vars| Adam::new(vars, AdamConfig::default());
            run(config, dataset, observer, threads, adam)
        }
        OptimizerKind::Sgd => {
            let sgd = |vars| Sgd::new(vars, SgdConfig::default());
            run(config, dataset, observer, threads, sgd)
        }
    })
}

fn run<O: StepParts>(
    config: &Config,
    dataset: &Dataset,
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
    let network = Article::new(
        dataset.height(),
        dataset.width(),
        dataset.classes(),
        parameters.builder(&device),
    )?;
    let vars = parameters.vars_in_order();
    let mut optimizer = optimizer(vars)?;

    let train = dataset.train();
    let updates_per_epoch = train.len().div_ceil(config.batch_size);
    let updates = config.epochs * updates_per_epoch;
    observer.start(&Start {
        config,
        dataset: dataset.name(),
        train_images: train.len(),
        validation_images: dataset.validation().len(),
        test_images: dataset.test_len(),
        parameters: parameters.count(),
        threads,
        updates_per_epoch,
    })?;

    let mut epochs: Vec<Epoch> = Vec::new();
    let mut update = 0;
    for epoch in 1..=config.epochs {
        let began = Instant::now();
        let shift = Shift {
            pixels: config.shift,
            seed: config.seed,
            epoch: epoch as u32,
        };
        let step = Step {
            network: &network,
            split: train,
            shift,
            device: &device,
        };
        let mut sum = Sum::default();
        for indices in &Batches::shuffled(
            train.len() as u32,
            config.batch_size,
            config.seed,
            epoch as u64,
        ) {
            let learning_rate = config.schedule.rate(config.learning_rate, update, updates);
            optimizer.set_learning_rate(learning_rate);
            let (grads, batch_sum) = step.gradients(indices)?;
            optimizer.step_parts(&grads)?;
            update += 1;
            let train = batch_sum.mean();
            if !train.loss.is_finite() {
                return Err(FitError::NonFinite {
                    loss: train.loss,
                    epoch,
                    update,
                    learning_rate,
                });
            }
            sum.extend(&batch_sum);
            let batch = Batch {
                update,
                epoch,
                images: indices.len(),
                train,
                learning_rate,
            };
            if observer.batch(&batch)?.is_break() {
                return Ok(Outcome {
                    parameters,
                    epochs,
                    test: None,
                });
            }
        }
        let images_per_sec = train.len() as f64 / began.elapsed().as_secs_f64();
        let validation = evaluate(&network, dataset.validation(), &device)?;
        epochs.push(Epoch {
            epoch,
            train: sum.mean(),
            validation,
            images_per_sec,
        });
        if observer.epoch(&epochs[epoch - 1])?.is_break() && epoch < config.epochs {
            return Ok(Outcome {
                parameters,
                epochs,
                test: None,
            });
        }
    }

    let test = evaluate(&network, dataset.test()?, &device)?;
    let test_images = dataset.test_len();
    let test_wrong = test_images - (test.accuracy * test_images as f64).round() as usize;
    observer.finish(&Finish {
        epochs: &epochs,
        test,
        test_wrong,
        test_images,
    })?;
    Ok(Outcome {
        parameters,
        epochs,
        test: Some(test),
    })
}
