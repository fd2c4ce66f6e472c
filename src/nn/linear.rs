//! The fully connected layer: the op and the layer.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use candle_nn::{Init, Module, VarBuilder, init};

use crate::nn::composed;
use crate::nn::kernel::linear;
use crate::nn::kernel::simd::InstructionSet;
use crate::nn::slice::{contiguous, f32_slice, has_kernel, to_grads, with_f32s};
use crate::nn::tape::{Graph, Tape};

/// `input weightᵀ + bias`, for an input (N, in), a weight (out, in) and a bias (out).
///
/// An input (N, …) is taken as (N, in) whatever its shape, as images with channels are: to flatten
/// it before would cost candle's backward pass two passes over its gradient.
///
/// Where the output's gradient is 0, as it is where a ReLU behind lets nothing through, nothing is added to
/// the gradients of input and weight: NaN neither, which 0 times an infinite number would be.
///
/// # Errors
/// Shapes that do not fit.
pub fn affine(input: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    affine_on(&mut Graph, [input, weight, bias])
}

/// As [`affine`], on a tape.
pub(super) fn affine_on(
    tape: &mut impl Tape,
    [input, weight, bias]: [&Tensor; 3],
) -> Result<Tensor> {
    let rows = input.dim(0)?;
    let features_in = input.dims()[1..].iter().product::<usize>();
    let (features_out, weight_in) = weight.dims2()?;
    if weight_in != features_in || bias.dims() != [features_out] {
        bail!(
            "affine: input {:?} needs a weight of shape (out, {features_in}) and a bias of shape \
             (out,), not {:?} and {:?}",
            input.shape(),
            weight.shape(),
            bias.shape()
        );
    }
    if !has_kernel(input) {
        return composed::affine(&input.reshape((rows, features_in))?, weight, bias);
    }
    tape.apply_op3(contiguous([input, weight, bias])?.each_ref(), AffineOp)
}

struct AffineOp;

impl CustomOp3 for AffineOp {
    fn name(&self) -> &'static str {
        "affine"
    }

    fn cpu_fwd(
        &self,
        input: &CpuStorage,
        input_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let rows = input_layout.dims()[0];
        let output = sizes(rows, weight_layout.dims()).forward(
            f32_slice(self.name(), input, input_layout)?,
            f32_slice(self.name(), weight, weight_layout)?,
            f32_slice(self.name(), bias, bias_layout)?,
        );
        let shape = (rows, bias_layout.dims()[0]);
        Ok((CpuStorage::F32(output), Shape::from(shape)))
    }

    fn bwd(
        &self,
        input: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _output: &Tensor,
        grad_output: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let sizes = sizes(input.dim(0)?, weight.dims());
        let tensors = [input, weight, grad_output];
        let grads = with_f32s(self.name(), &tensors, |slices| {
            let [numbers, weight, grad_output] = *slices else {
                return Ok(Default::default());
            };
            let grad_input = input.track_op();
            let grad_input = grad_input.then(|| sizes.input_gradient(weight, grad_output));
            let grad_weight = sizes.weight_gradient(numbers, grad_output);
            Ok((grad_input, grad_weight, sizes.bias_gradient(grad_output)))
        })?;
        to_grads([input, weight, bias], grads)
    }
}

fn sizes(rows: usize, weight: &[usize]) -> linear::Linear {
    linear::Linear {
        rows,
        features_in: weight[1],
        features_out: weight[0],
        instruction_set: InstructionSet::current(),
    }
}

/// A fully connected layer that goes through [`affine`].
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// The weight, (out, in).
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The bias, (out,).
    pub fn bias(&self) -> &Tensor {
        &self.bias
    }
}

impl Module for Linear {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        affine(input, &self.weight, &self.bias)
    }
}

/// A fully connected layer with `candle_nn::linear`'s signature, names (`weight`, `bias`) and
/// default initial values.
///
/// # Errors
/// What `vb` refuses.
pub fn linear(in_dim: usize, out_dim: usize, vb: VarBuilder<'_>) -> Result<Linear> {
    let bound = 1.0 / (in_dim as f64).sqrt();
    Ok(Linear {
        weight: vb.get_with_hints((out_dim, in_dim), "weight", init::DEFAULT_KAIMING_NORMAL)?,
        bias: vb.get_with_hints(
            out_dim,
            "bias",
            Init::Uniform {
                lo: -bound,
                up: bound,
            },
        )?,
    })
}
