//! The forward pass with output channels side by side in a vector: for layers with many.
//!
//! Two rows of convolution outputs stay in registers, one vector for each pixel; every
//! multiply-add takes one number of the input for all channels. The two rows are then pooled where
//! they are.

use pulp::{Simd, WithSimd};

use super::{ConvPool, STOPPED};
use crate::nn::kernel::simd::{chunk, first_largest, numbers, relu, whole_numbers};

/// Puts the weight (out, in, K, K) into blocks of `lanes` channels: (block, in, K, K, lane), zeros
/// in the lanes that are left over.
pub fn pack(conv: &ConvPool, weight: &[f32], lanes: usize) -> Vec<f32> {
    let taps = conv.taps();
    let mut pack = vec![0.0; conv.channels_out.div_ceil(lanes) * taps * lanes];
    for (channel, weights) in weight.chunks_exact(taps).enumerate() {
        let block = channel / lanes * taps * lanes;
        for (tap, weight) in weights.iter().enumerate() {
            pack[block + tap * lanes + channel % lanes] = *weight;
        }
    }
    pack
}

/// Some images of a batch.
pub struct Shard<'a> {
    pub conv: &'a ConvPool,
    pub pack: &'a [f32],
    pub bias: &'a [f32],
    pub input: &'a [f32],
    pub output: &'a mut [f32],
    pub winners: &'a mut [u8],
}

impl WithSimd for Shard<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many columns as leave a register for a weight, and one to spare.
        if S::REGISTER_COUNT >= 32 {
            self.run::<S, 14>(simd);
        } else {
            self.run::<S, 6>(simd);
        }
    }
}

impl Shard<'_> {
    #[inline(always)]
    fn run<S: Simd, const COLUMNS: usize>(self, simd: S) {
        let conv = self.conv;
        let tiles = (2 * conv.out_width()).div_ceil(COLUMNS);
        let mut padded = Padded::new(conv, tiles * COLUMNS);
        let images = self.input.chunks_exact(conv.image_len());
        let outputs = self.output.chunks_exact_mut(conv.out_len());
        let winners = self.winners.chunks_exact_mut(conv.out_len());
        for ((image, output), winners) in images.zip(outputs).zip(winners) {
            padded.fill(conv, image);
            for (block, pack) in self
                .pack
                .chunks_exact(conv.taps() * S::F32_LANES)
                .enumerate()
            {
                let first = block * S::F32_LANES;
                let bias = simd.partial_load_f32s(&self.bias[first..]);
                for y in 0..conv.out_height() {
                    for tile in 0..tiles {
                        let at = (2 * y) * padded.width + tile * COLUMNS;
                        let sums = convolve::<S, COLUMNS>(simd, conv, &padded, at, pack, bias);
                        let x = tile * COLUMNS / 2;
                        let place = Place { conv, first, y, x };
                        place.pool::<S, COLUMNS>(simd, &sums, output, winners);
                    }
                }
            }
        }
    }
}

/// An image with zeros around it, so that no tap has to be tested.
struct Padded {
    pixels: Vec<f32>,
    width: usize,
    height: usize,
}

impl Padded {
    fn new(conv: &ConvPool, columns: usize) -> Self {
        let width = (columns + conv.kernel_size - 1).max(conv.width + conv.padding());
        let height = conv.height + conv.kernel_size - 1;
        Self {
            pixels: vec![0.0; conv.channels_in * width * height],
            width,
            height,
        }
    }

    fn fill(&mut self, conv: &ConvPool, image: &[f32]) {
        let planes = image.chunks_exact(conv.height * conv.width);
        for (plane, padded) in planes.zip(self.pixels.chunks_exact_mut(self.width * self.height)) {
            let rows = padded.chunks_exact_mut(self.width).skip(conv.padding());
            for (row, padded) in plane.chunks_exact(conv.width).zip(rows) {
                padded[conv.padding()..conv.padding() + conv.width].copy_from_slice(row);
            }
        }
    }
}

/// The outputs of the convolution in two rows of `COLUMNS`, the upper left one at `at`.
#[inline(always)]
fn convolve<S: Simd, const COLUMNS: usize>(
    simd: S,
    conv: &ConvPool,
    padded: &Padded,
    at: usize,
    pack: &[f32],
    bias: S::f32s,
) -> [[S::f32s; COLUMNS]; 2] {
    let mut sums = [[bias; COLUMNS]; 2];
    let mut weights = S::as_simd_f32s(pack).0.iter();
    for channel in 0..conv.channels_in {
        for ky in 0..conv.kernel_size {
            let row = (channel * padded.height + ky) * padded.width + at;
            let rows = &padded.pixels[row..];
            for (kx, &weight) in (0..conv.kernel_size).zip(&mut weights) {
                let upper = chunk::<COLUMNS>(rows, kx);
                let lower = chunk::<COLUMNS>(rows, kx + padded.width);
                for i in 0..COLUMNS {
                    let pixel = simd.splat_f32s(upper[i]);
                    sums[0][i] = simd.mul_add_e_f32s(pixel, weight, sums[0][i]);
                }
                for i in 0..COLUMNS {
                    let pixel = simd.splat_f32s(lower[i]);
                    sums[1][i] = simd.mul_add_e_f32s(pixel, weight, sums[1][i]);
                }
            }
        }
    }
    sums
}

/// Where pooled outputs go: channels from `first` on, row `y`, columns from `x` on.
struct Place<'a> {
    conv: &'a ConvPool,
    first: usize,
    y: usize,
    x: usize,
}

impl Place<'_> {
    #[inline(always)]
    fn pool<S: Simd, const COLUMNS: usize>(
        &self,
        simd: S,
        sums: &[[S::f32s; COLUMNS]; 2],
        output: &mut [f32],
        winners: &mut [u8],
    ) {
        let columns = (self.conv.out_width() - self.x).min(COLUMNS / 2);
        let channels = (self.conv.channels_out - self.first).min(S::F32_LANES);
        for i in 0..columns {
            let window = [
                sums[0][2 * i],
                sums[0][2 * i + 1],
                sums[1][2 * i],
                sums[1][2 * i + 1],
            ];
            let (largest, winner) = first_largest(simd, window);
            let (largest, winner) = relu(simd, largest, winner, u32::from(STOPPED));
            let at =
                self.first * self.conv.out_pixels() + self.y * self.conv.out_width() + self.x + i;
            let largest = numbers::<S>(&largest);
            let winner = whole_numbers::<S>(&winner);
            for channel in 0..channels {
                output[at + channel * self.conv.out_pixels()] = largest[channel];
                winners[at + channel * self.conv.out_pixels()] = winner[channel] as u8;
            }
        }
    }
}
