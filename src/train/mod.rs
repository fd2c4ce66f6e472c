//! Training: the configuration, the loop and what watches it.

mod config;
mod fit;
mod observer;

pub use crate::nn::Schedule;
pub use config::{Config, ConfigError, Init, OptimizerKind, Preset};
pub use observer::{Batch, Epoch, Finish, Metrics, Observer, Start};
