//! Two-dimensional convolution: the op and the layer.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use candle_nn::{Conv2dConfig, Init, Module, VarBuilder, init};

use crate::nn::composed;
use crate::nn::kernel::conv::Conv;
use crate::nn::kernel::simd::InstructionSet;
use crate::nn::slice::{contiguous, f32_slice, has_kernel, to_grads, with_f32};
use crate::nn::tape::{Graph, Tape};

/// More padding than any image has pixels.
const MAX_PADDING: usize = 1 << 16;

/// Convolves `input` (N, in, H, W) with `weight` (out, in, K, K) and adds `bias` (out): candle's
/// `conv2d` and its bias in one op, several times as fast on a CPU, backward too.
///
/// The output is (N, out, (H + 2·padding − K) / stride + 1, …). Tensors that are not f32 on the
/// CPU go through candle's own ops.
///
/// # Errors
/// Shapes that do not fit; no channels or pixels; a kernel that is larger than the padded input; a
/// stride of 0.
pub fn convolve(
    input: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    padding: usize,
    stride: usize,
) -> Result<Tensor> {
    convolve_on(&mut Graph, [input, weight, bias], padding, stride)
}

/// As [`convolve`], on a tape.
pub(super) fn convolve_on(
    tape: &mut impl Tape,
    [input, weight, bias]: [&Tensor; 3],
    padding: usize,
    stride: usize,
) -> Result<Tensor> {
    let (_, channels_in, height, width) = input.dims4()?;
    let (channels_out, weight_in, kernel_size, kernel_width) = weight.dims4()?;
    if weight_in != channels_in || kernel_size != kernel_width || bias.dims() != [channels_out] {
        bail!(
            "convolve: input {:?} needs a weight of shape (out, {channels_in}, K, K) and a bias of \
             shape (out,), not {:?} and {:?}",
            input.shape(),
            weight.shape(),
            bias.shape()
        );
    }
    if input.dims()[1..].contains(&0) || channels_out == 0 {
        bail!(
            "convolve: input {:?} or weight {:?} is empty",
            input.shape(),
            weight.shape()
        );
    }
    // Padding beyond the kernel adds nothing but zeros.
    let padded = height.min(width) + 2 * padding.min(kernel_size);
    if kernel_size == 0 || stride == 0 || padding > MAX_PADDING || padded < kernel_size {
        bail!(
            "convolve: a kernel of {kernel_size} with padding {padding} and stride {stride} does \
             not fit into {height}x{width}"
        );
    }
    if !has_kernel(input) {
        return composed::convolve(input, weight, bias, padding, stride);
    }
    let conv = Conv {
        channels_in,
        height,
        width,
        channels_out,
        kernel_size,
        padding,
        stride,
        instruction_set: InstructionSet::current(),
    };
    tape.apply_op3(contiguous([input, weight, bias])?.each_ref(), ConvOp(conv))
}

struct ConvOp(Conv);

impl CustomOp3 for ConvOp {
    fn name(&self) -> &'static str {
        "convolve"
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
        let conv = &self.0;
        let images = input_layout.dims()[0];
        let shape = Shape::from((
            images,
            conv.channels_out,
            conv.out_height(),
            conv.out_width(),
        ));
        let mut output = vec![0.0; shape.elem_count()];
        conv.forward(
            f32_slice(self.name(), input, input_layout)?,
            f32_slice(self.name(), weight, weight_layout)?,
            f32_slice(self.name(), bias, bias_layout)?,
            &mut output,
        );
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
        let (grad_weight, grad_bias) = with_f32(self.name(), input, |input| {
            with_f32(self.name(), weight, |weight| {
                with_f32(self.name(), grad_output, |grad_output| {
                    Ok(self
                        .0
                        .backward(input, weight, grad_output, grad_input.as_deref_mut()))
                })
            })
        })?;
        to_grads([input, weight, bias], (grad_input, grad_weight, grad_bias))
    }
}

/// A convolution layer that goes through [`convolve`].
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    config: Conv2dConfig,
}

impl Conv2d {
    /// The kernel, (out, in, K, K).
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The bias, (out,).
    pub fn bias(&self) -> &Tensor {
        &self.bias
    }

    /// Padding and stride.
    pub fn config(&self) -> &Conv2dConfig {
        &self.config
    }
}

impl Module for Conv2d {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        convolve(
            input,
            &self.weight,
            &self.bias,
            self.config.padding,
            self.config.stride,
        )
    }
}

/// A convolution layer with `candle_nn::conv2d`'s signature, names (`weight`, `bias`) and default
/// initial values.
///
/// # Errors
/// Groups or a dilation other than 1; what `vb` refuses.
pub fn conv2d(
    in_channels: usize,
    out_channels: usize,
    kernel_size: usize,
    config: Conv2dConfig,
    vb: VarBuilder<'_>,
) -> Result<Conv2d> {
    if config.groups != 1 || config.dilation != 1 {
        bail!(
            "conv2d takes groups 1 and dilation 1, not {} and {}",
            config.groups,
            config.dilation
        );
    }
    let shape = (out_channels, in_channels, kernel_size, kernel_size);
    let bound = 1.0 / (in_channels as f64).sqrt();
    Ok(Conv2d {
        weight: vb.get_with_hints(shape, "weight", init::DEFAULT_KAIMING_NORMAL)?,
        bias: vb.get_with_hints(
            out_channels,
            "bias",
            Init::Uniform {
                lo: -bound,
                up: bound,
            },
        )?,
        config,
    })
}
