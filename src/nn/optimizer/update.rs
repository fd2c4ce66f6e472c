//! Changing tensors where they lie.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor, bail};

use crate::nn::slice::f32_slice_mut;

/// Calls `update` with the numbers of `tensor`.
///
/// # Errors
/// A tensor that is not contiguous f32 on the CPU.
pub fn in_place(tensor: &Tensor, update: impl FnMut(&mut [f32]) -> Result<()>) -> Result<()> {
    tensor.inplace_op1(&Update(RefCell::new(update)))
}

/// The sum of some gradients of one parameter.
///
/// # Errors
/// What candle says; none to add up.
pub fn sum(grads: &[&Tensor]) -> Result<Tensor> {
    let Some((first, others)) = grads.split_first() else {
        bail!("no gradients to add up");
    };
    others
        .iter()
        .try_fold((*first).clone(), |sum, grad| sum + *grad)
}

struct Update<F>(RefCell<F>);

impl<F: FnMut(&mut [f32]) -> Result<()>> InplaceOp1 for Update<F> {
    fn name(&self) -> &'static str {
        "update"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        (self.0.borrow_mut())(f32_slice_mut("update", storage, layout)?)
    }
}
