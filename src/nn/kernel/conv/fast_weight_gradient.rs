//! The weight gradient by Winograd's algorithm, on the way back: of each band of four rows of the output the
//! gradients of its products are made, and these are summed up times the factors of the input, as in
//! `weight_gradient` numbers are. A kernel of three rows takes 6 products a column of the band, not 12.

use pulp::Simd;

use super::Conv;
use super::fast::forward_sizes;
use super::products::{Grads, Products, VECTORS_OF_SUM};
use crate::nn::kernel::channels::Sizes;
use crate::nn::kernel::channels::bands::{Columns, Factors};
use crate::nn::kernel::simd::store_f32s;
use crate::nn::kernel::winograd::{OUTPUTS, Winograd};

/// Channels on either side that pay for what is made of their numbers first.
const CHANNELS: usize = 16;

/// Vectors of a sum that pay for its end: of the sums there are twice as many as of the plain ones.
const VECTORS: usize = 40;

/// The sizes, where this is faster than the plain sum and gives the same of these numbers, of which so many
/// images are worked on at a time.
pub fn fast_sizes(conv: &Conv, input: &[f32], grad_output: &[f32], images: usize) -> Option<Sizes> {
    let sizes = Sizes {
        instruction_set: conv.instruction_set,
        ..forward_sizes(conv)?
    };
    let plane = sizes.rows.div_ceil(OUTPUTS) * (sizes.columns + sizes.kernel_size - 1);
    let is_faster = matches!(conv.kernel_size, 3 | 5)
        && conv.channels_in.min(conv.channels_out) >= CHANNELS
        && images * plane >= VECTORS * conv.instruction_set.lanes();
    (is_faster && sizes.is_safe([input, grad_output])).then_some(sizes)
}

/// The gradient of the weight over some images, from their input and the gradient of their output.
#[inline(always)]
pub fn fast_weight_gradient<S: Simd, const K: usize, const N: usize>(
    simd: S,
    sizes: &Sizes,
    input: &[f32],
    grad_output: &[f32],
) -> Vec<f32> {
    let image_len = sizes.channels_in * sizes.height * sizes.width;
    let out_len = sizes.channels_out * sizes.rows * sizes.columns;
    let (width, bands) = (sizes.columns + K - 1, sizes.rows.div_ceil(OUTPUTS));
    let plane = bands * width;
    let count = (VECTORS_OF_SUM * S::F32_LANES).div_ceil(plane);
    let mut images = Vec::new();
    images.resize_with(count.min(input.len() / image_len), || {
        Factors::<K, N>::new(sizes, width, bands)
    });
    let mut spread = vec![0.0; N * sizes.channels_out * plane];
    let mut grads = Vec::new();
    grads.resize_with(N, || {
        Grads::zeros::<S>(images.len(), sizes.channels_out, plane)
    });
    let offsets = (0..sizes.channels_in * K).map(|row| row / K * plane + row % K);
    let offsets: Vec<_> = offsets.collect();
    let mut sums = vec![0.0; N * sizes.channels_out * offsets.len()];

    let inputs = input.chunks(images.len() * image_len);
    for (input, grad_output) in inputs.zip(grad_output.chunks(images.len() * out_len)) {
        let inputs = input.chunks_exact(image_len);
        let count = inputs.len();
        for (factors, image) in images.iter_mut().zip(inputs) {
            factors.fill::<S, false>(simd, sizes, image);
        }
        for (image, grad_output) in grad_output.chunks_exact(out_len).enumerate() {
            spread_out::<S, K, N>(simd, sizes, grad_output, (&mut spread, width));
            let products = spread.chunks_exact(sizes.channels_out * plane);
            for (grads, planes) in grads.iter_mut().zip(products) {
                let planes = planes.chunks_exact(plane);
                grads.set::<S>(image, planes, |from, to| to[..plane].copy_from_slice(from));
            }
        }
        let of_product = sums.chunks_exact_mut(sizes.channels_out * offsets.len());
        for (product, (grads, sums)) in grads.iter().zip(of_product).enumerate() {
            let sources = images[..count].iter().map(|factors| factors.of(product));
            let products = Products {
                sources: &sources.collect::<Vec<_>>(),
                offsets: &offsets,
                grads,
            };
            products.add(simd, sums);
        }
    }
    weight::<K, N>(&sums)
}

/// Makes the gradients of the products of an image from those of its output: (product, channel, band, column),
/// the columns as those of the first tap's factors.
#[inline(always)]
fn spread_out<S: Simd, const K: usize, const N: usize>(
    simd: S,
    sizes: &Sizes,
    grad_output: &[f32],
    (spread, width): (&mut [f32], usize),
) {
    let pixels = sizes.rows * sizes.columns;
    let plane = sizes.rows.div_ceil(OUTPUTS) * width;
    for channel in 0..sizes.channels_out {
        let rows = &grad_output[channel * pixels..];
        for x in (0..sizes.columns).step_by(S::F32_LANES) {
            let columns = Columns::new(simd, (sizes.rows, sizes.columns), rows, x);
            let count = sizes.columns - x;
            for (band, y) in (0..sizes.rows).step_by(OUTPUTS).enumerate() {
                let grads = std::array::from_fn(|i| columns.load(simd, y + i));
                let grads = Winograd::<K, N>::output_gradient(simd, grads);
                let at = channel * plane + band * width + x;
                let products = spread.chunks_exact_mut(sizes.channels_out * plane);
                for (to, grads) in products.zip(grads) {
                    store_f32s(simd, &mut to[at..], count, grads);
                }
            }
        }
    }
}

/// The weight's gradient (out, in, K, K) from those of its factors: (product, out, in, column of the kernel).
fn weight<const K: usize, const N: usize>(sums: &[f32]) -> Vec<f32> {
    let rows = sums.len() / N;
    let mut weight = vec![0.0; rows * K];
    for (i, kernel) in weight.chunks_exact_mut(K * K).enumerate() {
        for kx in 0..K {
            let factors = std::array::from_fn(|product| sums[product * rows + i * K + kx]);
            let column = Winograd::<K, N>::kernel_gradient(&factors);
            for (ky, number) in column.into_iter().enumerate() {
                kernel[ky * K + kx] = number;
            }
        }
    }
    weight
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::kernel::simd::InstructionSet;

    #[test]
    fn what_is_not_finite_or_too_large_is_left_to_the_plain_sum() {
        for instruction_set in InstructionSet::available() {
            let conv = Conv {
                channels_in: CHANNELS,
                height: 28,
                width: 28,
                channels_out: CHANNELS,
                kernel_size: 3,
                padding: 1,
                stride: 1,
                instruction_set,
            };
            let mut numbers = vec![1.0; 8 * conv.image_len()];
            let ones = numbers.clone();
            assert!(fast_sizes(&conv, &ones, &ones, 8).is_some());
            for number in [f32::NAN, f32::INFINITY, -1e36] {
                numbers[conv.image_len() + 77] = number;
                assert!(fast_sizes(&conv, &numbers, &ones, 8).is_none());
                assert!(fast_sizes(&conv, &ones, &numbers, 8).is_none());
            }
        }
    }
}
