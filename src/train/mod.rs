//! Training: the configuration, the loop, what watches it, and what a trained network gets right.

mod checkpoint;
mod config;
mod confusion;
mod divergence;
mod evaluate;
mod fit;
mod observer;
mod predictions;
mod step;
mod tensorboard;
mod trained;
mod training;

pub use crate::nn::Schedule;
pub use checkpoint::{Checkpoint, CheckpointError, Found, LAST, PART, PREVIOUS, Progress};
pub use config::{
    Config, ConfigError, DeviceKind, Difference, Init, NumberRange, OptimizerKind, Preset,
    WholeRange,
};
pub use confusion::{ClassMetrics, Confusion};
pub use evaluate::evaluate;
pub use fit::{FitError, Outcome, fit, resume};
pub use observer::{Batch, Epoch, Finish, Metrics, Observer, Snapshot, Start, Stopped};
pub use predictions::{Mistake, Predictions, PredictionsError, softmax};
pub use tensorboard::{Groups, TensorBoard};
pub use trained::{Trained, TrainedError, TrainedNetwork};
