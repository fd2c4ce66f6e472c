//! The gradients of a convolution's weight and bias.

use pulp::{Simd, WithSimd};

use super::Conv;
use super::fast_weight_gradient::{fast_sizes, fast_weight_gradient};
use super::layout::InputLayout;
use super::products::{Grads, Products, VECTORS_OF_SUM};
use crate::nn::kernel::channels::Sizes;
use crate::nn::kernel::shard;
use crate::nn::kernel::sum::sum;

/// How the gradient of the weight is computed.
pub enum WeightGradient {
    /// As the plain sum: where in an image each number of a weight finds its first pixel.
    Plain(InputLayout, Vec<usize>),
    /// By Winograd's algorithm.
    Fast(Sizes),
}

impl WeightGradient {
    /// For the sizes of a convolution, and these numbers.
    pub fn new(conv: &Conv, input: &[f32], grad_output: &[f32]) -> Self {
        let images = input.len() / conv.image_len() / shard::IMAGES;
        match fast_sizes(conv, input, grad_output, images) {
            Some(sizes) => Self::Fast(sizes),
            None => {
                let layout = InputLayout::new(conv);
                let offsets = layout.offsets(conv);
                Self::Plain(layout, offsets)
            }
        }
    }

    /// The gradients of weight and bias over some images, from their input and the gradient of their output.
    pub fn of(&self, conv: &Conv, input: &[f32], grad_output: &[f32]) -> (Vec<f32>, Vec<f32>) {
        conv.instruction_set.run(Shard {
            way: self,
            conv,
            input,
            grad_output,
        })
    }
}

struct Shard<'a> {
    way: &'a WeightGradient,
    conv: &'a Conv,
    input: &'a [f32],
    grad_output: &'a [f32],
}

impl WithSimd for Shard<'_> {
    type Output = (Vec<f32>, Vec<f32>);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let (input, grad_output) = (self.input, self.grad_output);
        let grad_weight = match self.way {
            WeightGradient::Plain(layout, offsets) => {
                plain(simd, self.conv, (layout, offsets), input, grad_output)
            }
            WeightGradient::Fast(sizes) if sizes.kernel_size == 3 => {
                fast_weight_gradient::<S, 3, 6>(simd, sizes, input, grad_output)
            }
            WeightGradient::Fast(sizes) => {
                fast_weight_gradient::<S, 5, 8>(simd, sizes, input, grad_output)
            }
        };
        (grad_weight, bias(self.conv, grad_output))
    }
}

/// The gradient of the bias: the sum of the output's gradient over images and pixels.
#[inline(always)]
fn bias(conv: &Conv, grad_output: &[f32]) -> Vec<f32> {
    let mut grad_bias = vec![0.0; conv.channels_out];
    for image in grad_output.chunks_exact(conv.out_len()) {
        let channels = image.chunks_exact(conv.out_pixels());
        for (bias, channel) in grad_bias.iter_mut().zip(channels) {
            *bias += sum(channel, |grad| grad);
        }
    }
    grad_bias
}

#[inline(always)]
fn plain<S: Simd>(
    simd: S,
    conv: &Conv,
    (layout, offsets): (&InputLayout, &[usize]),
    input: &[f32],
    grad_output: &[f32],
) -> Vec<f32> {
    let grid = conv.output_grid();
    let images = (VECTORS_OF_SUM * S::F32_LANES).div_ceil(grid.len());
    let images = images.min(input.len() / conv.image_len());
    let mut planes = vec![0.0; images * layout.len];
    let mut grads = Grads::zeros::<S>(images, conv.channels_out, grid.len());
    let mut sums = vec![0.0; conv.channels_out * conv.patch_len()];
    let inputs = input.chunks(images * conv.image_len());
    for (input, grad_output) in inputs.zip(grad_output.chunks(images * conv.out_len())) {
        let images = input.chunks_exact(conv.image_len());
        let count = images.len();
        for (image, planes) in images.zip(planes.chunks_exact_mut(layout.len)) {
            layout.gather(conv, image, planes);
        }
        let images = grad_output.chunks_exact(conv.out_len());
        for (image, grad_output) in images.enumerate() {
            let planes = grad_output.chunks_exact(conv.out_pixels());
            grads.set::<S>(image, planes, |from, to| {
                grid.gather(from, grid.columns, to)
            });
        }
        let products = Products {
            sources: &planes
                .chunks_exact(layout.len)
                .take(count)
                .collect::<Vec<_>>(),
            offsets,
            grads: &grads,
        };
        products.add(simd, &mut sums);
    }
    sums
}
