//! The forward pass with output channels side by side in a vector: for layers with many.
//!
//! Two rows of convolution outputs stay in registers, one vector for each pixel; every
//! multiply-add takes one number of the input for all channels. The two rows are then pooled where
//! they are.

use pulp::bytemuck::cast_slice;
use pulp::{Simd, WithSimd};

use super::{ConvPool, Images, STOPPED};
use crate::nn::kernel::simd::{chunk, pool_relu};

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

/// The pass over some images.
pub struct Shard<'a> {
    pub conv: &'a ConvPool,
    pub pack: &'a [f32],
    pub bias: &'a [f32],
    pub images: Images<'a>,
}

impl WithSimd for Shard<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Four sums for each pooled column, and a register for a weight.
        if S::REGISTER_COUNT >= 32 {
            self.run::<S, 7>(simd);
        } else {
            self.run::<S, 2>(simd);
        }
    }
}

impl Shard<'_> {
    #[inline(always)]
    fn run<S: Simd, const COLUMNS: usize>(self, simd: S) {
        let conv = self.conv;
        let tiles = conv.out_width().div_ceil(COLUMNS);
        let mut padded = Padded::new(conv, tiles * 2 * COLUMNS);
        // Of one block of channels: a vector for each pooled pixel, row by row with the columns that
        // fill up the last tile.
        let width = tiles * COLUMNS;
        let mut largest = vec![simd.splat_f32s(0.0); conv.out_height() * width];
        let mut places = vec![simd.splat_u32s(0); conv.out_height() * width];
        for (image, (output, winners)) in self.images.each(conv) {
            padded.fill(conv, image);
            for (block, pack) in self
                .pack
                .chunks_exact(conv.taps() * S::F32_LANES)
                .enumerate()
            {
                let first = block * S::F32_LANES;
                let bias = simd.partial_load_f32s(&self.bias[first..]);
                let largest_tiles = largest.as_chunks_mut::<COLUMNS>().0.iter_mut();
                let place_tiles = places.as_chunks_mut::<COLUMNS>().0.iter_mut();
                for (tile, (largest, places)) in largest_tiles.zip(place_tiles).enumerate() {
                    let at = tile / tiles * 2 * padded.width + tile % tiles * 2 * COLUMNS;
                    let sums = convolve::<S, COLUMNS>(simd, conv, &padded, at, pack, bias);
                    (*largest, *places) = pool_relu(simd, sums, STOPPED);
                }
                let last = conv.channels_out.min(first + S::F32_LANES);
                let planes = first * conv.out_pixels()..last * conv.out_pixels();
                let largest = cast_slice(&largest);
                transpose(
                    conv,
                    width,
                    largest,
                    &mut output[planes.clone()],
                    |number| number,
                );
                let places = cast_slice(&places);
                transpose(conv, width, places, &mut winners[planes], |place: u32| {
                    place as u8
                });
            }
        }
    }
}

/// From a vector of channels for each pixel, in rows of `width` of them, to a plane for each channel.
#[inline(always)]
fn transpose<From: Copy, To>(
    conv: &ConvPool,
    width: usize,
    pixels: &[From],
    planes: &mut [To],
    to: impl Fn(From) -> To,
) {
    let lanes = pixels.len() / (conv.out_height() * width);
    for (channel, plane) in planes.chunks_exact_mut(conv.out_pixels()).enumerate() {
        let rows = pixels.chunks_exact(width * lanes);
        for (row, plane) in rows.zip(plane.chunks_exact_mut(conv.out_width())) {
            let row = row[channel..].iter().step_by(lanes);
            plane
                .iter_mut()
                .zip(row)
                .for_each(|(plane, pixel)| *plane = to(*pixel));
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

/// The outputs of the convolution in `COLUMNS` pooling windows side by side, the upper left one at
/// `at`; a window's numbers are in row-major order.
#[inline(always)]
fn convolve<S: Simd, const COLUMNS: usize>(
    simd: S,
    conv: &ConvPool,
    padded: &Padded,
    at: usize,
    pack: &[f32],
    bias: S::f32s,
) -> [[S::f32s; 4]; COLUMNS] {
    let mut sums = [[bias; 4]; COLUMNS];
    let mut weights = S::as_simd_f32s(pack).0.iter();
    for channel in 0..conv.channels_in {
        for ky in 0..conv.kernel_size {
            let row = (channel * padded.height + ky) * padded.width + at;
            for (upper, &weight) in (row..row + conv.kernel_size).zip(&mut weights) {
                let lower = chunk::<COLUMNS>(&padded.pixels, upper + padded.width);
                let upper = chunk::<COLUMNS>(&padded.pixels, upper);
                debug_assert!(upper.is_some() && lower.is_some(), "too little padding");
                let (Some(upper), Some(lower)) = (upper, lower) else {
                    return sums;
                };
                for i in 0..COLUMNS {
                    for (j, pixel) in [upper[i][0], upper[i][1], lower[i][0], lower[i][1]]
                        .into_iter()
                        .enumerate()
                    {
                        sums[i][j] =
                            simd.mul_add_e_f32s(simd.splat_f32s(pixel), weight, sums[i][j]);
                    }
                }
            }
        }
    }
    sums
}
