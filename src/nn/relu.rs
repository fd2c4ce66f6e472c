//! The rectified linear unit: the op.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::nn::composed;
use crate::nn::slice::{f32_slice, has_kernel, with_f32};
use crate::nn::tape::{Graph, Tape};

/// Elements that one thread takes at a time: smaller tensors are not worth splitting.
const CHUNK: usize = 1 << 14;

/// `max(input, 0)` of every element, NaN staying NaN (candle's `relu` turns it into 0 and so
/// hides a diverging loss). The gradient at 0 is 0, as in PyTorch.
///
/// # Errors
/// None of its own.
pub fn relu(input: &Tensor) -> Result<Tensor> {
    relu_on(&mut Graph, input)
}

/// As [`relu`], on a tape.
pub(super) fn relu_on(tape: &mut impl Tape, input: &Tensor) -> Result<Tensor> {
    if !has_kernel(input) {
        return composed::relu(input);
    }
    tape.apply_op1(&input.contiguous()?, ReluOp)
}

struct ReluOp;

impl CustomOp1 for ReluOp {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, input: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let input = f32_slice(self.name(), input, layout)?;
        let relu = |x: &f32| if *x < 0.0 { 0.0 } else { *x };
        let output = input.par_iter().with_min_len(CHUNK).map(relu).collect();
        Ok((CpuStorage::F32(output), layout.shape().clone()))
    }

    fn bwd(
        &self,
        _input: &Tensor,
        output: &Tensor,
        grad_output: &Tensor,
    ) -> Result<Option<Tensor>> {
        let grad_input: Vec<f32> = with_f32(self.name(), output, |output| {
            with_f32(self.name(), grad_output, |grad_output| {
                let pairs = output.par_iter().with_min_len(CHUNK).zip(grad_output);
                let grad = |(output, grad): (&f32, &f32)| if *output <= 0.0 { 0.0 } else { *grad };
                Ok(pairs.map(grad).collect())
            })
        })?;
        Tensor::from_vec(grad_input, output.shape(), output.device()).map(Some)
    }
}
