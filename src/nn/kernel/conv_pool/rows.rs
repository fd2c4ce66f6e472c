//! The forward pass with output columns side by side in a vector: for layers with few channels.
//!
//! The even and the odd columns of the input lie apart, and so do those of the convolution's
//! outputs: the four numbers of a pooling window then stand in the same lane of four vectors.

use pulp::{Simd, WithSimd};

use super::{ConvPool, Images, STOPPED};
use crate::nn::kernel::simd::{load, numbers, pool_relu, whole_numbers};

/// The pass over some images.
pub struct Shard<'a> {
    pub conv: &'a ConvPool,
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    pub images: Images<'a>,
}

impl WithSimd for Shard<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Four sums for each channel, and some registers for pixels and a weight.
        if S::REGISTER_COUNT >= 32 {
            self.run::<S, 6>(simd);
        } else {
            self.run::<S, 3>(simd);
        }
    }
}

impl Shard<'_> {
    #[inline(always)]
    fn run<S: Simd, const CHANNELS: usize>(self, simd: S) {
        let conv = self.conv;
        let tiles = conv.out_width().div_ceil(S::F32_LANES);
        let mut planes = Planes::new(conv, tiles * S::F32_LANES);
        let pack = pack::<CHANNELS>(conv, self.weight);
        for (image, (output, winners)) in self.images.each(conv) {
            planes.fill(conv, image);
            for (block, weights) in pack.chunks_exact(conv.taps()).enumerate() {
                let first = block * CHANNELS;
                let count = CHANNELS.min(conv.channels_out - first);
                let bias: [f32; CHANNELS] =
                    std::array::from_fn(|i| self.bias[first + i.min(count - 1)]);
                for y in 0..conv.out_height() {
                    for tile in 0..tiles {
                        let x = tile * S::F32_LANES;
                        let sums =
                            convolve::<S, CHANNELS>(simd, conv, &planes, (y, x), weights, &bias);
                        let columns = (conv.out_width() - x).min(S::F32_LANES);
                        let (largest, winner) = pool_relu(simd, sums, STOPPED);
                        for channel in 0..count {
                            let at =
                                ((first + channel) * conv.out_height() + y) * conv.out_width() + x;
                            let largest = &numbers::<S>(&largest[channel])[..columns];
                            output[at..at + columns].copy_from_slice(largest);
                            let winner = whole_numbers::<S>(&winner[channel]);
                            let winners = winners[at..at + columns].iter_mut();
                            winners.zip(winner).for_each(|(to, from)| *to = *from as u8);
                        }
                    }
                }
            }
        }
    }
}

/// Puts the weight (out, in, K, K) into blocks of channels: (block, in, K, K, channel).
fn pack<const CHANNELS: usize>(conv: &ConvPool, weight: &[f32]) -> Vec<[f32; CHANNELS]> {
    let taps = conv.taps();
    let mut pack = vec![[0.0; CHANNELS]; conv.channels_out.div_ceil(CHANNELS) * taps];
    for (channel, weights) in weight.chunks_exact(taps).enumerate() {
        for (tap, weight) in weights.iter().enumerate() {
            pack[channel / CHANNELS * taps + tap][channel % CHANNELS] = *weight;
        }
    }
    pack
}

/// An image with zeros around it, even columns in one plane and odd ones in another.
struct Planes {
    pixels: Vec<f32>,
    width: usize,
    height: usize,
}

impl Planes {
    fn new(conv: &ConvPool, columns: usize) -> Self {
        let width = (columns + conv.padding() + 1).max((conv.width + conv.padding()).div_ceil(2));
        let height = conv.height + conv.kernel_size - 1;
        Self {
            pixels: vec![0.0; conv.channels_in * 2 * width * height],
            width,
            height,
        }
    }

    /// Where column `x` (counted from the first zero) of a row stands.
    #[inline(always)]
    fn at(&self, channel: usize, y: usize, x: usize) -> usize {
        ((channel * 2 + x % 2) * self.height + y) * self.width + x / 2
    }

    fn fill(&mut self, conv: &ConvPool, image: &[f32]) {
        let pad = conv.padding();
        for (channel, plane) in image.chunks_exact(conv.height * conv.width).enumerate() {
            for (y, row) in plane.chunks_exact(conv.width).enumerate() {
                for first in 0..2.min(row.len()) {
                    let at = self.at(channel, y + pad, first + pad);
                    let to = self.pixels[at..].iter_mut();
                    to.zip(row[first..].iter().step_by(2))
                        .for_each(|(to, from)| *to = *from);
                }
            }
        }
    }
}

/// The windows of a vector's worth of pooled outputs, from row `y` and column `x` on, for each
/// channel of a block.
#[inline(always)]
fn convolve<S: Simd, const CHANNELS: usize>(
    simd: S,
    conv: &ConvPool,
    planes: &Planes,
    (y, x): (usize, usize),
    weights: &[[f32; CHANNELS]],
    bias: &[f32; CHANNELS],
) -> [[S::f32s; 4]; CHANNELS] {
    let mut sums = bias.map(|bias| [simd.splat_f32s(bias); 4]);
    let mut weights = weights.iter();
    for channel in 0..conv.channels_in {
        for ky in 0..conv.kernel_size {
            for (kx, weights) in (0..conv.kernel_size).zip(&mut weights) {
                let (row, column) = (2 * y + ky, 2 * x + kx);
                let load = |y, x| load::<S>(&planes.pixels, planes.at(channel, y, x));
                let window = (
                    load(row, column),
                    load(row, column + 1),
                    load(row + 1, column),
                    load(row + 1, column + 1),
                );
                debug_assert!(window.3.is_some(), "too little padding");
                let (Some(a), Some(b), Some(c), Some(d)) = window else {
                    return sums;
                };
                let window = [a, b, c, d];
                for i in 0..CHANNELS {
                    let weight = simd.splat_f32s(weights[i]);
                    for j in 0..4 {
                        sums[i][j] = simd.mul_add_e_f32s(window[j], weight, sums[i][j]);
                    }
                }
            }
        }
    }
    sums
}
