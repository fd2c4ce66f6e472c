//! Changing tensors where they lie.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, Layout, Result, Tensor};

use crate::nn::slice::{f32_slice, f32_slice_mut};

/// Calls `update` with the numbers of `tensor`.
///
/// # Errors
/// A tensor that is not contiguous f32 on the CPU.
pub fn in_place(tensor: &Tensor, update: impl FnMut(&mut [f32]) -> Result<()>) -> Result<()> {
    tensor.inplace_op1(&Update(RefCell::new(update)))
}

/// Calls `update` with the numbers of `tensor` and those of `grad`.
///
/// # Errors
/// Tensors that are not contiguous f32 on the CPU.
pub fn in_place_with(
    tensor: &Tensor,
    grad: &Tensor,
    update: impl FnMut(&mut [f32], &[f32]),
) -> Result<()> {
    tensor.inplace_op2(&grad.contiguous()?, &UpdateWith(RefCell::new(update)))
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

struct UpdateWith<F>(RefCell<F>);

impl<F: FnMut(&mut [f32], &[f32])> InplaceOp2 for UpdateWith<F> {
    fn name(&self) -> &'static str {
        "update"
    }

    fn cpu_fwd(
        &self,
        storage: &mut CpuStorage,
        layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<()> {
        let grad = f32_slice("update", grad, grad_layout)?;
        (self.0.borrow_mut())(f32_slice_mut("update", storage, layout)?, grad);
        Ok(())
    }
}
