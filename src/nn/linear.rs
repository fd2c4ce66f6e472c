//! The fully connected layer: the op and the layer.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use candle_nn::{Init, Module, VarBuilder, init};

use crate::nn::composed;
use crate::nn::kernel::matmul::{Matrix, par_matmul};
use crate::nn::slice::{f32_slice, has_kernel, to_grads, with_f32};

/// `input weightᵀ + bias`, for an input (N, in), a weight (out, in) and a bias (out).
///
/// # Errors
/// Shapes that do not fit.
pub fn affine(input: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (_, features_in) = input.dims2()?;
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
        return composed::affine(input, weight, bias);
    }
    input
        .contiguous()?
        .apply_op3(&weight.contiguous()?, &bias.contiguous()?, AffineOp)
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
        let (rows, features_in) = input_layout.shape().dims2()?;
        let (features_out, _) = weight_layout.shape().dims2()?;
        let input = Matrix::new(
            f32_slice(self.name(), input, input_layout)?,
            rows,
            features_in,
        );
        let weight = f32_slice(self.name(), weight, weight_layout)?;
        let weight = Matrix::new(weight, features_out, features_in);
        let bias = f32_slice(self.name(), bias, bias_layout)?;
        let mut output = vec![0.0; rows * features_out];
        par_matmul(&mut output, input, weight.transposed());
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
        let (rows, features_in) = input.dims2()?;
        let (features_out, _) = weight.dims2()?;
        let mut grad_input = input.track_op().then(|| vec![0.0; rows * features_in]);
        let mut grad_weight = vec![0.0; features_out * features_in];
        let mut grad_bias = vec![0.0; features_out];
        with_f32(self.name(), grad_output, |grad_output| {
            let grad = Matrix::new(grad_output, rows, features_out);
            for row in grad_output.chunks_exact(features_out.max(1)) {
                grad_bias
                    .iter_mut()
                    .zip(row)
                    .for_each(|(sum, grad)| *sum += grad);
            }
            with_f32(self.name(), input, |input| {
                let input = Matrix::new(input, rows, features_in);
                par_matmul(&mut grad_weight, grad.transposed(), input);
                Ok(())
            })?;
            let Some(grad_input) = &mut grad_input else {
                return Ok(());
            };
            with_f32(self.name(), weight, |weight| {
                par_matmul(
                    grad_input,
                    grad,
                    Matrix::new(weight, features_out, features_in),
                );
                Ok(())
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
