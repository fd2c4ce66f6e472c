//! Every op of ours put together from candle's own: the way for other devices and element types,
//! and what our kernels are held against.

use candle_core::{D, Result, Tensor, bail};

use crate::nn::BatchStats;
use crate::nn::kernel::dropout::fill_with_mask;

/// As [`crate::nn::convolve`]. candle's gradient takes as many columns to be left over by the stride
/// as rows, and cannot do with more padding than pixels are reached; there the image is padded and cut
/// before.
pub fn convolve(
    input: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    padding: usize,
    stride: usize,
) -> Result<Tensor> {
    let (_, _, height, width) = input.dims4()?;
    let kernel_size = weight.dim(2)?;
    if stride == 0 || height.min(width) + 2 * padding < kernel_size {
        bail!(
            "convolve from candle's ops: a kernel of {kernel_size} with padding {padding} and stride \
             {stride} does not fit into {height}x{width}"
        );
    }
    // What the kernel reaches of the padded image, in steps from its first position.
    let reached = |size: usize| (size + 2 * padding - kernel_size) / stride * stride + kernel_size;
    let left_over = |size: usize| size + 2 * padding - reached(size);
    let is_sound = left_over(height) == left_over(width) && reached(height) >= 2 * padding;
    let output = if is_sound {
        input.conv2d(weight, padding, stride, 1, 1)?
    } else {
        input
            .pad_with_zeros(2, padding, padding)?
            .pad_with_zeros(3, padding, padding)?
            .narrow(2, 0, reached(height))?
            .narrow(3, 0, reached(width))?
            .conv2d(weight, 0, stride, 1, 1)?
    };
    output.broadcast_add(&bias.reshape((1, (), 1, 1))?)
}

/// As [`crate::nn::max_pool2d`]. Windows side by side become a dimension of their own, of which
/// the first largest element is gathered: candle's `max_pool2d` gives ¼ of the gradient for a 2×2
/// window, and its `max` gives the whole gradient to every tie.
///
/// # Errors
/// Windows that overlap or leave gaps.
pub fn max_pool2d(input: &Tensor, kernel_size: usize, stride: usize) -> Result<Tensor> {
    if kernel_size != stride {
        bail!(
            "max_pool2d from candle's ops takes windows of {kernel_size} with the same stride, not {stride}"
        );
    }
    let (images, channels, height, width) = input.dims4()?;
    let (rows, columns) = (height / stride, width / stride);
    let windows = input
        .narrow(2, 0, rows * stride)?
        .narrow(3, 0, columns * stride)?
        .reshape(&[images, channels, rows, stride, columns, stride][..])?
        .permute([0, 1, 2, 4, 3, 5])?
        .reshape((images, channels, rows, columns, stride * stride))?;
    let winners = windows.detach().argmax_keepdim(D::Minus1)?;
    windows
        .contiguous()?
        .gather(&winners, D::Minus1)?
        .squeeze(D::Minus1)
}

/// As [`crate::nn::avg_pool2d`]: a convolution of each channel with equal weights, since candle's
/// `avg_pool2d` has no gradient for windows that overlap, and a wrong one where a window was left out.
pub fn avg_pool2d(input: &Tensor, kernel_size: usize, stride: usize) -> Result<Tensor> {
    let (images, channels, height, width) = input.dims4()?;
    let window = (1, 1, kernel_size, kernel_size);
    let weight = Tensor::ones(window, input.dtype(), input.device())?;
    let weight = (weight / (kernel_size * kernel_size) as f64)?;
    let bias = Tensor::zeros(1, input.dtype(), input.device())?;
    let planes = input.reshape((images * channels, 1, height, width))?;
    let output = convolve(&planes, &weight, &bias, 0, stride)?;
    let (_, _, height, width) = output.dims4()?;
    output.reshape((images, channels, height, width))
}

/// As [`crate::nn::batch_norm_train`].
pub fn batch_norm_train(
    input: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
) -> Result<(Tensor, BatchStats)> {
    let all_but_channels: Vec<usize> = (0..input.rank()).filter(|dim| *dim != 1).collect();
    let mean = input.mean_keepdim(all_but_channels.clone())?;
    let deviation = input.broadcast_sub(&mean)?;
    let variance = deviation.sqr()?.mean_keepdim(all_but_channels)?;
    let output = deviation
        .broadcast_div(&(&variance + eps)?.sqrt()?)?
        .broadcast_mul(&per_channel(weight, input)?)?
        .broadcast_add(&per_channel(bias, input)?)?;
    let flat = |x: &Tensor| x.detach().flatten_all();
    let count = input.elem_count() / weight.elem_count().max(1);
    let stats = BatchStats::new(flat(&mean)?, flat(&variance)?, count);
    Ok((output, stats))
}

/// As [`crate::nn::batch_norm_eval`].
pub fn batch_norm_eval(
    input: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    let dtype = input.dtype();
    let mean = mean.detach().to_dtype(dtype)?;
    let deviation = (variance.detach().to_dtype(dtype)? + eps)?.sqrt()?;
    input
        .broadcast_sub(&per_channel(&mean, input)?)?
        .broadcast_div(&per_channel(&deviation, input)?)?
        .broadcast_mul(&per_channel(weight, input)?)?
        .broadcast_add(&per_channel(bias, input)?)
}

/// One number for each channel, in a shape that goes with `input`'s.
fn per_channel(numbers: &Tensor, input: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; input.rank()];
    shape[1] = numbers.elem_count();
    numbers.reshape(shape)
}

/// As [`crate::nn::dropout`].
pub fn dropout(input: &Tensor, rate: f64, keys: &[u64]) -> Result<Tensor> {
    let row_len = input.elem_count() / keys.len().max(1);
    let mut factors = vec![0.0; input.elem_count()];
    for (factors, key) in factors.chunks_mut(row_len.max(1)).zip(keys) {
        fill_with_mask(factors, rate, *key);
    }
    let factors = Tensor::from_vec(factors, input.shape(), input.device())?;
    input * factors.to_dtype(input.dtype())?
}

/// As [`crate::nn::relu`].
pub fn relu(input: &Tensor) -> Result<Tensor> {
    let negative = input.detach().lt(0.0)?;
    negative.where_cond(&input.zeros_like()?, input)
}

/// As [`crate::nn::affine`].
pub fn affine(input: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    input.matmul(&weight.t()?)?.broadcast_add(bias)
}

/// As [`crate::nn::cross_entropy`].
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    candle_nn::loss::cross_entropy(logits, labels)
}
