//! Convolution, bias, max-pooling and ReLU in one op.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use crate::nn::conv::convolve_on;
use crate::nn::kernel::conv_pool::ConvPool;
use crate::nn::kernel::simd::InstructionSet;
use crate::nn::pool::max_pool2d_on;
use crate::nn::relu::relu_on;
use crate::nn::slice::{contiguous, f32_slice, has_kernel, to_grads, with_f32};
use crate::nn::tape::{Graph, Tape};

/// `relu(max_pool2d(convolve(input, weight, bias, padding, 1), 2, 2))` in one pass: several times as
/// fast as the three, with their gradients.
///
/// `input` is (N, in, H, W), `weight` (out, in, K, K), `bias` (out); the output is
/// (N, out, ⌊(H + 2·padding − K + 1) / 2⌋, …), which for an odd K and a padding of (K − 1) / 2 are
/// ⌊H/2⌋ rows. Infinity and NaN are as in the single ops, and the first of equal numbers wins. But the
/// sums of the convolution are taken in another order, with kernels of 3 and 5 by Winograd's algorithm: so
/// outputs differ from theirs by rounding, relative to the largest number within three rows of what they
/// take, and of numbers that are equal but for it any may win.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_tb::nn::conv_pool_relu;
///
/// let image = Tensor::new(&[[[[1f32, 2.0], [3.0, 4.0]]]], &Device::Cpu)?;
/// let weight = Tensor::new(&[[[[2f32]]]], &Device::Cpu)?;
/// let bias = Tensor::new(&[0.5f32], &Device::Cpu)?;
/// let output = conv_pool_relu(&image, &weight, &bias, 0)?;
/// assert_eq!(output.flatten_all()?.to_vec1::<f32>()?, [8.5]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// Shapes that do not fit; no channels in the input; a padding as large as the kernel; a convolution
/// that gives less than 2×2.
pub fn conv_pool_relu(
    input: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    padding: usize,
) -> Result<Tensor> {
    conv_pool_relu_on(&mut Graph, [input, weight, bias], padding)
}

/// As [`conv_pool_relu`], on a tape.
pub(super) fn conv_pool_relu_on(
    tape: &mut impl Tape,
    [input, weight, bias]: [&Tensor; 3],
    padding: usize,
) -> Result<Tensor> {
    let (_, channels_in, height, width) = input.dims4()?;
    let (channels_out, weight_in, kernel_size, kernel_width) = weight.dims4()?;
    if weight_in != channels_in || kernel_size != kernel_width || bias.dims() != [channels_out] {
        bail!(
            "conv_pool_relu: input {:?} needs a weight of shape (out, {channels_in}, K, K) and a \
             bias of shape (out,), not {:?} and {:?}",
            input.shape(),
            weight.shape(),
            bias.shape()
        );
    }
    if channels_in == 0 || padding >= kernel_size {
        bail!(
            "conv_pool_relu takes a padding below the kernel, not {padding} for {kernel_size}, and \
             images of at least one channel, not {channels_in}x{height}x{width}"
        );
    }
    if height.min(width) + 2 * padding < kernel_size + 1 {
        bail!(
            "conv_pool_relu: a kernel of {kernel_size} with padding {padding} gives less than 2x2 \
             for {height}x{width}, which is too little to pool"
        );
    }
    if !has_kernel(input) || channels_out == 0 {
        let output = convolve_on(tape, [input, weight, bias], padding, 1)?;
        let output = max_pool2d_on(tape, &output, 2, 2)?;
        return relu_on(tape, &output);
    }
    let conv = ConvPool {
        channels_in,
        height,
        width,
        channels_out,
        kernel_size,
        padding,
        instruction_set: InstructionSet::current(),
    };
    let op = ConvPoolOp {
        conv,
        winners: Mutex::default(),
    };
    tape.apply_op3(contiguous([input, weight, bias])?.each_ref(), op)
}

struct ConvPoolOp {
    conv: ConvPool,
    /// The winner bytes: written forward, read backward.
    winners: Mutex<Vec<u8>>,
}

impl CustomOp3 for ConvPoolOp {
    fn name(&self) -> &'static str {
        "conv_pool_relu"
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
        let conv = &self.conv;
        let images = input_layout.dims()[0];
        let shape = (
            images,
            conv.channels_out,
            conv.out_height(),
            conv.out_width(),
        );
        let shape = Shape::from(shape);
        let mut output = vec![0.0; shape.elem_count()];
        let mut winners = vec![0; shape.elem_count()];
        conv.forward(
            f32_slice(self.name(), input, input_layout)?,
            f32_slice(self.name(), weight, weight_layout)?,
            f32_slice(self.name(), bias, bias_layout)?,
            &mut output,
            &mut winners,
        );
        *self.winners.lock().unwrap_or_else(|e| e.into_inner()) = winners;
        Ok((CpuStorage::F32(output), shape))
    }

    fn bwd(
        &self,
        input: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _output: &Tensor,
        grad_output: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut grad_input = input.track_op().then(|| vec![0.0; input.elem_count()]);
        let winners = self.winners.lock().unwrap_or_else(|e| e.into_inner());
        let (grad_weight, grad_bias) = with_f32(self.name(), input, |input| {
            with_f32(self.name(), weight, |weight| {
                with_f32(self.name(), grad_output, |grad_output| {
                    let grad_input = grad_input.as_deref_mut();
                    Ok(self
                        .conv
                        .backward(input, weight, &winners, grad_output, grad_input))
                })
            })
        })?;
        to_grads([input, weight, bias], (grad_input, grad_weight, grad_bias))
    }
}
