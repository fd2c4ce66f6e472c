//! The forward pass with output channels side by side in a vector: for layers with many.
//!
//! Two rows of convolution outputs stay in registers, one vector for each pixel; every
//! multiply-add takes one number of the input for all channels. The two rows are then pooled where
//! they are.

use pulp::bytemuck::cast_slice;
use pulp::{Simd, WithSimd};

use super::{ConvPool, Images, STOPPED};
use crate::nn::kernel::simd::{InstructionSet, chunk, pool_relu};

/// The weight (out, in, K, K) in blocks of channels: (block, in, K, K, lane), zeros in the lanes that are
/// left over.
pub struct Pack {
    numbers: Vec<f32>,
    /// Vectors of a block.
    vectors: usize,
}

impl Pack {
    /// The weight of a layer.
    pub fn new(conv: &ConvPool, weight: &[f32]) -> Self {
        let (taps, lanes) = (conv.taps(), conv.instruction_set.lanes());
        // Of 16 registers those that hold one vector of channels need a load for each multiply-add; two
        // vectors share what is loaded.
        let vectors = match conv.instruction_set {
            InstructionSet::Portable | InstructionSet::Avx2 if conv.channels_out > lanes => 2,
            _ => 1,
        };
        let block_lanes = vectors * lanes;
        let mut numbers = vec![0.0; conv.channels_out.div_ceil(block_lanes) * taps * block_lanes];
        for (channel, weights) in weight.chunks_exact(taps).enumerate() {
            let block = channel / block_lanes * taps * block_lanes;
            for (tap, weight) in weights.iter().enumerate() {
                numbers[block + tap * block_lanes + channel % block_lanes] = *weight;
            }
        }
        Self { numbers, vectors }
    }
}

/// The pass over some images.
pub struct Shard<'a> {
    pub conv: &'a ConvPool,
    pub pack: &'a Pack,
    pub bias: &'a [f32],
    pub images: Images<'a>,
}

impl WithSimd for Shard<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Four sums for each pooled column and vector of channels, and registers for weights.
        match self.pack.vectors {
            2 => self.run::<S, 1, 2>(simd),
            _ if S::REGISTER_COUNT >= 32 => self.run::<S, 7, 1>(simd),
            _ => self.run::<S, 2, 1>(simd),
        }
    }
}

impl Shard<'_> {
    #[inline(always)]
    fn run<S: Simd, const COLUMNS: usize, const VECTORS: usize>(self, simd: S) {
        let conv = self.conv;
        let tiles = conv.out_width().div_ceil(COLUMNS);
        let mut padded = Padded::new(conv, tiles * 2 * COLUMNS);
        // Of each vector of channels a vector for each pooled pixel, row by row with the columns that
        // fill up the last tile.
        let width = tiles * COLUMNS;
        let pixels = conv.out_height() * width;
        let mut largest = vec![simd.splat_f32s(0.0); VECTORS * pixels];
        let mut places = vec![simd.splat_u32s(0); VECTORS * pixels];
        let block_lanes = VECTORS * S::F32_LANES;
        for (image, (output, winners)) in self.images.each(conv) {
            padded.fill(conv, image);
            let blocks = self.pack.numbers.chunks_exact(conv.taps() * block_lanes);
            for (block, pack) in blocks.enumerate() {
                let first = block * block_lanes;
                let bias = std::array::from_fn(|i| {
                    let rest = self.bias.get(first + i * S::F32_LANES..);
                    simd.partial_load_f32s(rest.unwrap_or_default())
                });
                for tile in 0..tiles * conv.out_height() {
                    let at = tile / tiles * 2 * padded.width + tile % tiles * 2 * COLUMNS;
                    let sums = convolve::<S, COLUMNS, VECTORS>(simd, conv, &padded, at, pack, bias);
                    for (i, sums) in sums.into_iter().enumerate() {
                        let tile = i * pixels + tile * COLUMNS..;
                        let (tile_largest, tile_places) = pool_relu(simd, sums, STOPPED);
                        largest[tile.clone()][..COLUMNS].copy_from_slice(&tile_largest);
                        places[tile][..COLUMNS].copy_from_slice(&tile_places);
                    }
                }
                let vectors = largest
                    .chunks_exact(pixels)
                    .zip(places.chunks_exact(pixels));
                for (i, (largest, places)) in vectors.enumerate() {
                    let first = (first + i * S::F32_LANES).min(conv.channels_out);
                    let last = (first + S::F32_LANES).min(conv.channels_out);
                    let planes = first * conv.out_pixels()..last * conv.out_pixels();
                    let output = &mut output[planes.clone()];
                    transpose(conv, width, cast_slice(largest), output, |number| number);
                    let winners = &mut winners[planes];
                    transpose(conv, width, cast_slice(places), winners, |place: u32| {
                        place as u8
                    });
                }
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
/// `at`, for each vector of channels; a window's numbers are in row-major order.
#[inline(always)]
fn convolve<S: Simd, const COLUMNS: usize, const VECTORS: usize>(
    simd: S,
    conv: &ConvPool,
    padded: &Padded,
    at: usize,
    pack: &[f32],
    bias: [S::f32s; VECTORS],
) -> [[[S::f32s; 4]; COLUMNS]; VECTORS] {
    let mut sums = bias.map(|bias| [[bias; 4]; COLUMNS]);
    let (weights, _) = S::as_simd_f32s(pack).0.as_chunks::<VECTORS>();
    let mut weights = weights.iter();
    for channel in 0..conv.channels_in {
        for ky in 0..conv.kernel_size {
            let row = (channel * padded.height + ky) * padded.width + at;
            for (upper, weights) in (row..row + conv.kernel_size).zip(&mut weights) {
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
                        let pixel = simd.splat_f32s(pixel);
                        for v in 0..VECTORS {
                            sums[v][i][j] = simd.mul_add_e_f32s(pixel, weights[v], sums[v][i][j]);
                        }
                    }
                }
            }
        }
    }
    sums
}
