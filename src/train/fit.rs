//! What trains a network: the two functions, what they leave behind, and why they fail.

use std::path::Path;

use candle_nn::Optimizer as _;

use crate::data::{DataError, Dataset};
use crate::nn::{Adam, AdamConfig, AdamW, NotAvailable, Parameters, PlanError, Sgd, SgdConfig};
use crate::train::training::Training;
use crate::train::{
    Checkpoint, CheckpointError, Config, ConfigError, Epoch, Metrics, Observer, OptimizerKind,
    Stopped,
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
            Training::new(config, dataset, adam)?.run(checkpoint, threads, observer)
        }
        OptimizerKind::Adamw => {
            let mut settings = AdamConfig::adamw();
            settings.weight_decay = config.weight_decay.unwrap_or(settings.weight_decay);
            let adamw = |vars| AdamW::new(vars, settings);
            Training::new(config, dataset, adamw)?.run(checkpoint, threads, observer)
        }
        OptimizerKind::Sgd => {
            let mut settings = SgdConfig::default();
            settings.weight_decay = config.weight_decay.unwrap_or(settings.weight_decay);
            let sgd = |vars| Sgd::new(vars, settings);
            Training::new(config, dataset, sgd)?.run(checkpoint, threads, observer)
        }
    })
}
