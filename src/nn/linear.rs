//! The fully connected layer: the op and the layer.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use candle_nn::{Init, Module, VarBuilder, init};

use crate::nn::composed;
use crate::nn::kernel::matmul::{Matrix, par_matmul};
use crate::nn::slice::{contiguous, f32_slice, has_kernel, to_grads, with_f32};
use crate::nn::tape::{Graph, Tape};

/// `input weightᵀ + bias`, for an input (N, in), a weight (out, in) and a bias (out).
///
/// An input (N, …) is taken as (N, in) whatever its shape, as images with channels are: to flatten
/// it before would cost candle's backward pass two passes over its gradient.
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
        let (features_out, features_in) = weight_layout.shape().dims2()?;
        let input = Matrix::new(
            f32_slice(self.name(), input, input_layout)?,
            rows,
            features_in,
        );
        let weight = f32_slice(self.name(), weight, weight_layout)?;
        let weight = Matrix::new(weight, features_out, features_in);
        let bias = f32_slice(self.name(), bias, bias_layout)?;
        let mut output = par_matmul(input, weight.transposed());
        for row in output.chunks_exact_mut(features_out.max(1)) {
            row.iter_mut()
                .zip(bias)
                .for_each(|(output, bias)| *output += bias);
        }
        Ok((CpuStorage::F32(output), Shape::from((rows, features_out))))
    }

    fn bwd(
        &self,
        input: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _output: &Tensor,
        grad_output: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let rows = input.dim(0)?;
        let (features_out, features_in) = weight.dims2()?;
        let mut grad_bias = vec![0.0; features_out];
        let (grad_input, grad_weight) = with_f32(self.name(), grad_output, |grad_output| {
            let grad = Matrix::new(grad_output, rows, features_out);
            for row in grad_output.chunks_exact(features_out.max(1)) {
                grad_bias
                    .iter_mut()
                    .zip(row)
                    .for_each(|(sum, grad)| *sum += grad);
            }
            let grad_weight = with_f32(self.name(), input, |input| {
                let input = Matrix::new(input, rows, features_in);
                Ok(par_matmul(grad.transposed(), input))
            })?;
            if !input.track_op() {
                return Ok((None, grad_weight));
            }
            with_f32(self.name(), weight, |weight| {
                let weight = Matrix::new(weight, features_out, features_in);
                Ok((Some(par_matmul(grad, weight)), grad_weight))
            })
        })?;
        to_grads([input, weight, bias], (grad_input, grad_weight, grad_bias))
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
