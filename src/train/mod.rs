//! Training: the configuration, the loop and what watches it.

mod config;
mod divergence;
mod evaluate;
mod fit;
mod observer;
mod step;
mod tensorboard;

pub use crate::nn::Schedule;
pub use config::{
    Config, ConfigError, DeviceKind, Init, NumberRange, OptimizerKind, Preset, WholeRange,
};
pub use evaluate::evaluate;
pub use fit::{FitError, Outcome, fit};
pub use observer::{Batch, Epoch, Finish, Metrics, Observer, Start, Stopped};
pub use tensorboard::{Groups, TensorBoard};
