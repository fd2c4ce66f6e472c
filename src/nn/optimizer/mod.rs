//! Optimizers whose state is public, each a [`candle_nn::Optimizer`], and gradient clipping.

mod adam;
mod adamw;
mod clip;
mod parts;
mod sgd;
mod state;
mod update;

pub use adam::{Adam, AdamConfig, Moments};
pub use adamw::AdamW;
pub use clip::clip_grad_norm;
pub use parts::{StepParts, add_parts};
pub use sgd::{Sgd, SgdConfig, Velocity};
pub use state::OptimizerState;
