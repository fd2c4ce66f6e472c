//! What the forward passes with output channels side by side in a vector have in common: the blocks of
//! channels, the sums in registers, and the pooling.

use pulp::Simd;
use pulp::bytemuck::cast_slice;

use super::{ConvPool, STOPPED};
use crate::nn::kernel::simd::{InstructionSet, chunk, load_f32s, pool_relu};
use crate::nn::kernel::transpose::transpose;

/// Vectors of output channels in a block, which is worked on at a time. Of 16 registers those that hold
/// one vector of channels need a load for each multiply-add; two vectors share what is loaded.
pub fn vectors(conv: &ConvPool) -> usize {
    match conv.instruction_set {
        InstructionSet::Portable | InstructionSet::Avx2
            if conv.channels_out > conv.instruction_set.lanes() =>
        {
            2
        }
        _ => 1,
    }
}

/// A block of output channels, and where its planes of an image go.
pub struct Block<'a> {
    pub pack: &'a [f32],
    bias: &'a [f32],
    output: &'a mut [f32],
    winners: &'a mut [u8],
}

impl<'a> Block<'a> {
    /// The blocks of `lanes` channels, from what is packed for them one after the other.
    #[inline(always)]
    pub fn each(
        conv: &ConvPool,
        lanes: usize,
        (pack, bias): (&'a [f32], &'a [f32]),
        (output, winners): (&'a mut [f32], &'a mut [u8]),
    ) -> impl Iterator<Item = Self> {
        let packs = pack.chunks_exact(pack.len() / conv.channels_out.div_ceil(lanes));
        let outputs = output.chunks_mut(lanes * conv.out_pixels());
        let winners = winners.chunks_mut(lanes * conv.out_pixels());
        let planes = outputs.zip(winners);
        let blocks = packs.zip(bias.chunks(lanes)).zip(planes);
        blocks.map(|((pack, bias), (output, winners))| Self {
            pack,
            bias,
            output,
            winners,
        })
    }

    /// The biases; zeros for channels that are not there.
    #[inline(always)]
    pub fn bias<S: Simd, const VECTORS: usize>(&self, simd: S) -> [S::f32s; VECTORS] {
        let mut bias = [simd.splat_f32s(0.0); VECTORS];
        for v in 0..VECTORS {
            let rest = self.bias.get(v * S::F32_LANES..);
            bias[v] = load_f32s(simd, rest.unwrap_or_default());
        }
        bias
    }
}

/// The pooled image of a block of channels: for one vector of channels after the other its pixels.
pub struct Pooled<S: Simd> {
    largest: Vec<S::f32s>,
    places: Vec<S::u32s>,
}

impl<S: Simd> Pooled<S> {
    /// Room for a block of some vectors.
    pub fn new(simd: S, conv: &ConvPool, vectors: usize) -> Self {
        Self {
            largest: vec![simd.splat_f32s(0.0); vectors * conv.out_pixels()],
            places: vec![simd.splat_u32s(0); vectors * conv.out_pixels()],
        }
    }

    /// Pools what the convolution gave: for one vector of channels after the other its rows, two for each
    /// of the pooled image, at least as long as its windows need.
    #[inline(always)]
    pub fn pool(&mut self, simd: S, conv: &ConvPool, rows: &[S::f32s]) {
        let width = conv.out_width();
        let count = self.largest.len() / width;
        let largest = self.largest.chunks_exact_mut(width);
        let places = self.places.chunks_exact_mut(width);
        let rows = rows.chunks_exact(rows.len() / count);
        for (rows, (largest, places)) in rows.zip(largest.zip(places)) {
            let (upper, lower) = rows.split_at(rows.len() / 2);
            let (upper, lower) = (upper.as_chunks::<2>().0, lower.as_chunks::<2>().0);
            let windows = upper.iter().zip(lower);
            for ((upper, lower), (largest, place)) in windows.zip(largest.iter_mut().zip(places)) {
                let window = [upper[0], upper[1], lower[0], lower[1]];
                (*largest, *place) = pool_relu(simd, window, STOPPED);
            }
        }
    }

    /// Puts the pixels and the winner bytes into the block's planes.
    #[inline(always)]
    pub fn put(&self, conv: &ConvPool, block: Block<'_>) {
        let (largest, places) = (cast_slice(&self.largest), cast_slice(&self.places));
        to_planes(conv, largest, block.output, |number: f32| number);
        to_planes(conv, places, block.winners, |place: u32| place as u8);
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

/// The numbers that meet weights.
pub struct Sources {
    /// For each weight where the number is that it meets in the first sum.
    pub offsets: Vec<usize>,
    /// How far the numbers for the lower row of sums lie behind those for the upper one.
    pub below: usize,
}

impl Sources {
    /// `COLUMNS` sums of two rows for each vector of channels, added to `start`.
    #[inline(always)]
    pub fn sums<S: Simd, const COLUMNS: usize, const VECTORS: usize>(
        &self,
        simd: S,
        numbers: &[f32],
        pack: &[f32],
        start: [S::f32s; VECTORS],
    ) -> Sums<S, COLUMNS, VECTORS> {
        let mut sums = start.map(|start| [[start; COLUMNS]; 2]);
        let (weights, _) = S::as_simd_f32s(pack).0.as_chunks::<VECTORS>();
        // Of the same length, so that it is looked at once for both.
        let lower = numbers.get(self.below..).unwrap_or_default();
        let upper = numbers.get(..lower.len()).unwrap_or_default();
        for (offset, weights) in self.offsets.iter().zip(weights) {
            // Never comes, and is no panic: see `chunk`.
            let upper = chunk::<_, COLUMNS>(upper, *offset);
            let (Some(upper), Some(lower)) = (upper, chunk::<_, COLUMNS>(lower, *offset)) else {
                debug_assert!(false, "too few numbers");
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
        sums
    }
}

/// Some columns of two rows, for each vector of channels.
pub type Sums<S, const COLUMNS: usize, const VECTORS: usize> =
    [[[<S as Simd>::f32s; COLUMNS]; 2]; VECTORS];
