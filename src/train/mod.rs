//! Training: the configuration, the loop and what watches it.

mod config;
mod fit;
mod observer;

pub use config::{Config, ConfigError, Init, OptimizerKind, Preset, Schedule};
pub use observer::{Batch, Epoch, Finish, Metrics, Observer, Start};
