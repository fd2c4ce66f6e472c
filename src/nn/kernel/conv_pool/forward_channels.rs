//! The forward pass with output channels side by side in a vector: for layers with many.
//!
//! The sums of some columns of two rows stay in registers, a vector of channels for each pixel; every
//! multiply-add takes one number of the input for all channels of a vector. Two whole rows are then
//! pooled.

use pulp::bytemuck::cast_slice;
use pulp::{Simd, WithSimd};

use super::{ConvPool, Images, STOPPED};
use crate::nn::kernel::simd::{InstructionSet, chunk, pool_relu};
use crate::nn::kernel::transpose::transpose;

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
        // Two sums for each column and vector of channels, and registers for weights and a pixel. Fewer
        // than 8 sums would wait for each other.
        match self.pack.vectors {
            2 => self.run::<S, 3, 2>(simd),
            _ if S::REGISTER_COUNT >= 32 => self.run::<S, 14, 1>(simd),
            _ => self.run::<S, 6, 1>(simd),
        }
    }
}

impl Shard<'_> {
    #[inline(always)]
    fn run<S: Simd, const COLUMNS: usize, const VECTORS: usize>(self, simd: S) {
        let conv = self.conv;
        let mut padded = Padded::new(conv, (2 * conv.out_width()).next_multiple_of(COLUMNS));
        let zeros = [simd.splat_f32s(0.0); COLUMNS];
        let mut rows = vec![zeros; VECTORS * 2 * padded.columns / COLUMNS];
        let mut largest = vec![simd.splat_f32s(0.0); VECTORS * conv.out_pixels()];
        let mut places = vec![simd.splat_u32s(0); VECTORS * conv.out_pixels()];
        let lanes = VECTORS * S::F32_LANES;
        for (image, (output, winners)) in self.images.each(conv) {
            padded.fill(conv, image);
            let blocks = self.pack.numbers.chunks_exact(conv.taps() * lanes);
            let outputs = output.chunks_mut(lanes * conv.out_pixels());
            let outputs = outputs.zip(winners.chunks_mut(lanes * conv.out_pixels()));
            for ((pack, bias), (output, winners)) in
                blocks.zip(self.bias.chunks(lanes)).zip(outputs)
            {
                let bias = std::array::from_fn(|v| {
                    let rest = bias.get(v * S::F32_LANES..);
                    simd.partial_load_f32s(rest.unwrap_or_default())
                });
                for y in 0..conv.out_height() {
                    padded.convolve::<S, COLUMNS, VECTORS>(simd, y, pack, bias, &mut rows);
                    let rows = rows.as_flattened();
                    pool(simd, conv, y, rows, (&mut largest, &mut places));
                }
                to_planes(conv, cast_slice(&largest), output, |number: f32| number);
                to_planes(conv, cast_slice(&places), winners, |place: u32| place as u8);
            }
        }
    }
}

/// Pools two rows of each vector of channels, which give row `y` of the output.
#[inline(always)]
fn pool<S: Simd>(
    simd: S,
    conv: &ConvPool,
    y: usize,
    rows: &[S::f32s],
    (largest, places): (&mut [S::f32s], &mut [S::u32s]),
) {
    let width = conv.out_width();
    let vectors = largest.len() / conv.out_pixels();
    for (v, rows) in rows.chunks_exact(rows.len() / vectors).enumerate() {
        let (upper, lower) = rows.split_at(rows.len() / 2);
        let (upper, lower) = (upper.as_chunks::<2>().0, lower.as_chunks::<2>().0);
        let windows = upper.iter().zip(lower);
        let row = v * conv.out_pixels() + y * width..;
        let outputs = largest[row.clone()][..width]
            .iter_mut()
            .zip(&mut places[row]);
        for ((upper, lower), (largest, place)) in windows.zip(outputs) {
            let window = [upper[0], upper[1], lower[0], lower[1]];
            (*largest, *place) = pool_relu(simd, window, STOPPED);
        }
    }
}

/// From vectors of channels for each pixel, one vector's pixels after the other's, to a plane for each
/// channel.
#[inline(always)]
fn to_planes<From: Copy, To>(
    conv: &ConvPool,
    pixels: &[From],
    planes: &mut [To],
    map: impl Fn(From) -> To + Copy,
) {
    let lanes = conv.instruction_set.lanes();
    let vectors = pixels.chunks_exact(lanes * conv.out_pixels());
    for (pixels, planes) in vectors.zip(planes.chunks_mut(lanes * conv.out_pixels())) {
        let channels = planes.len() / conv.out_pixels();
        let shape = (conv.out_pixels(), channels);
        transpose(shape, (pixels, lanes), (planes, conv.out_pixels()), map);
    }
}

/// An image with zeros around it, so that no tap has to be tested.
struct Padded {
    pixels: Vec<f32>,
    width: usize,
    height: usize,
    kernel_size: usize,
    /// Columns of the convolution's output, with those that fill up the last tile.
    columns: usize,
    /// For each row of the kernel (in, K) where the pixels are that it takes for the first output.
    rows: Vec<usize>,
}

impl Padded {
    fn new(conv: &ConvPool, columns: usize) -> Self {
        let width = (columns + conv.kernel_size - 1).max(conv.width + conv.padding);
        let height = conv.padded_height();
        let rows =
            |channel: usize| (0..conv.kernel_size).map(move |ky| (channel * height + ky) * width);
        Self {
            rows: (0..conv.channels_in).flat_map(rows).collect(),
            pixels: vec![0.0; conv.channels_in * width * height],
            width,
            height,
            kernel_size: conv.kernel_size,
            columns,
        }
    }

    fn fill(&mut self, conv: &ConvPool, image: &[f32]) {
        let planes = image.chunks_exact(conv.height * conv.width);
        for (plane, padded) in planes.zip(self.pixels.chunks_exact_mut(self.width * self.height)) {
            let rows = padded.chunks_exact_mut(self.width).skip(conv.padding);
            for (row, padded) in plane.chunks_exact(conv.width).zip(rows) {
                padded[conv.padding..conv.padding + conv.width].copy_from_slice(row);
            }
        }
    }

    /// The two rows of the convolution that give row `y` of the output: `rows` has them for one vector
    /// of channels after the other.
    #[inline(always)]
    fn convolve<S: Simd, const COLUMNS: usize, const VECTORS: usize>(
        &self,
        simd: S,
        y: usize,
        pack: &[f32],
        bias: [S::f32s; VECTORS],
        rows: &mut [[S::f32s; COLUMNS]],
    ) {
        let tiles = self.columns / COLUMNS;
        for tile in 0..tiles {
            let at = 2 * y * self.width + tile * COLUMNS;
            let sums = self.convolve_tile::<S, COLUMNS, VECTORS>(simd, at, pack, bias);
            for v in 0..VECTORS {
                for dy in 0..2 {
                    rows[(2 * v + dy) * tiles + tile] = sums[v][dy];
                }
            }
        }
    }

    /// The outputs of the convolution in `COLUMNS` columns of two rows, the first one at `at`, for each
    /// vector of channels.
    #[inline(always)]
    fn convolve_tile<S: Simd, const COLUMNS: usize, const VECTORS: usize>(
        &self,
        simd: S,
        at: usize,
        pack: &[f32],
        bias: [S::f32s; VECTORS],
    ) -> [[[S::f32s; COLUMNS]; 2]; VECTORS] {
        let mut sums = bias.map(|bias| [[bias; COLUMNS]; 2]);
        let (weights, _) = S::as_simd_f32s(pack).0.as_chunks::<VECTORS>();
        let weights = weights.chunks_exact(self.kernel_size);
        for (row, weights) in self.rows.iter().zip(weights) {
            let upper = self.pixels.get(at + row..).unwrap_or_default();
            let lower = upper.get(self.width..).unwrap_or_default();
            debug_assert!(
                lower.len() >= weights.len() + COLUMNS - 1,
                "too little padding"
            );
            let pixels = upper.windows(COLUMNS).zip(lower.windows(COLUMNS));
            for ((upper, lower), weights) in pixels.zip(weights) {
                // Never comes, and is no panic: see `chunk`.
                let upper = chunk::<_, COLUMNS>(upper, 0);
                let (Some(upper), Some(lower)) = (upper, chunk::<_, COLUMNS>(lower, 0)) else {
                    return sums;
                };
                for x in 0..COLUMNS {
                    let (upper, lower) = (simd.splat_f32s(upper[x]), simd.splat_f32s(lower[x]));
                    for v in 0..VECTORS {
                        sums[v][0][x] = simd.mul_add_e_f32s(upper, weights[v], sums[v][0][x]);
                        sums[v][1][x] = simd.mul_add_e_f32s(lower, weights[v], sums[v][1][x]);
                    }
                }
            }
        }
        sums
    }
}
