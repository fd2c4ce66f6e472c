//! Optimizers whose state is public, each a [`candle_nn::Optimizer`].

mod adam;
mod sgd;
mod update;

pub use adam::{Adam, AdamConfig, Moments};
pub use sgd::{Sgd, SgdConfig, Velocity};

use candle_core::Result;
use candle_core::backprop::GradStore;
use candle_nn::Optimizer;

/// An optimizer that takes gradients in parts, as they come from the shards of a batch.
pub trait StepParts: Optimizer {
    /// As [`Optimizer::step`] with the sum of `parts`, taken in their order: without a pass of its
    /// own over the gradients.
    ///
    /// # Errors
    /// As [`Optimizer::step`].
    fn step_parts(&mut self, parts: &[GradStore]) -> Result<()>;
}
