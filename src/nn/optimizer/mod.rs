//! Optimizers whose state is public, each a [`candle_nn::Optimizer`].

mod adam;
mod sgd;
mod update;

pub use adam::{Adam, AdamConfig, Moments};
pub use sgd::{Sgd, SgdConfig, Velocity};
