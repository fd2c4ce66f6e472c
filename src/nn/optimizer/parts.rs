//! Gradients in parts, as they come from the shards of a batch.

use candle_core::backprop::GradStore;
use candle_core::{Result, Var, bail};
use candle_nn::Optimizer;

/// An optimizer that takes gradients in parts.
pub trait StepParts: Optimizer {
    /// As [`Optimizer::step`] with the sum of `parts`, taken in their order: without a pass of its
    /// own over the gradients.
    ///
    /// # Errors
    /// As [`Optimizer::step`].
    fn step_parts(&mut self, parts: &[GradStore]) -> Result<()>;
}

/// The sum of `parts`, taken in their order, for each of `parameters`: where a step needs the whole
/// gradient before, as clipping does.
///
/// # Errors
/// No parts; what the device says.
pub fn add_parts(parts: Vec<GradStore>, parameters: &[Var]) -> Result<GradStore> {
    let mut parts = parts.into_iter();
    let Some(mut sum) = parts.next() else {
        bail!("no gradients to add up");
    };
    for part in parts {
        for parameter in parameters {
            let both = match (sum.get(parameter), part.get(parameter)) {
                (Some(before), Some(grad)) => (before + grad)?,
                (None, Some(grad)) => grad.clone(),
                (_, None) => continue,
            };
            sum.insert(parameter, both);
        }
    }
    Ok(sum)
}
