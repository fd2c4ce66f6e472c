//! The forward pass with output channels side by side in a vector, for layers with many: blocks of channels,
//! sums in registers, and the pooling. How the convolution between is computed, `forward_plain` and
//! `forward_winograd` say.

use pulp::bytemuck::cast_slice;
use pulp::{Simd, WithSimd};

use super::forward_plain::Plain;
use super::forward_winograd::Bands;
use super::{ConvPool, Images, STOPPED};
use crate::nn::kernel::simd::{InstructionSet, chunk, load_f32s, pool_relu};
use crate::nn::kernel::transpose::transpose;

/// The weight, or what is made of it, in blocks of output channels: the last index is the lane, with zeros
/// in the lanes that are left over.
pub struct Pack {
    pub numbers: Vec<f32>,
    /// Vectors of channels in a block, which is worked on at a time.
    pub vectors: usize,
    /// Whether the numbers are for `forward_winograd`, or for `forward_plain`.
    pub is_winograd: bool,
}

impl Pack {
    /// Zeros, `rows` for each block.
    pub fn zeros(conv: &ConvPool, rows: usize, is_winograd: bool) -> Self {
        let lanes = conv.instruction_set.lanes();
        // Of 16 registers those that hold one vector of channels need a load for each multiply-add; two
        // vectors share what is loaded.
        let vectors = match conv.instruction_set {
            InstructionSet::Portable | InstructionSet::Avx2 if conv.channels_out > lanes => 2,
            _ => 1,
        };
        let blocks = conv.channels_out.div_ceil(vectors * lanes);
        Self {
            numbers: vec![0.0; blocks * rows * vectors * lanes],
            vectors,
            is_winograd,
        }
    }

    /// Where the number of a channel is in a block's row.
    pub fn place(&self, conv: &ConvPool, rows: usize, channel: usize, row: usize) -> usize {
        let lanes = self.vectors * conv.instruction_set.lanes();
        (channel / lanes * rows + row) * lanes + channel % lanes
    }
}

/// A way to compute the convolution of an image.
pub trait Convolution<S: Simd, const COLUMNS: usize, const VECTORS: usize> {
    /// Takes the place of the image before.
    fn fill(&mut self, simd: S, conv: &ConvPool, image: &[f32]);

    /// The rows of the convolution that are pooled, for a block of channels: `rows` has them for one
    /// vector of channels after the other.
    fn convolve(
        &mut self,
        simd: S,
        pack: &[f32],
        bias: [S::f32s; VECTORS],
        rows: &mut [[S::f32s; COLUMNS]],
    );
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
        // Two sums for each column and vector of channels, and registers for weights and a number. Fewer
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
        let columns = (2 * self.conv.out_width()).next_multiple_of(COLUMNS);
        match (self.pack.is_winograd, self.conv.kernel_size) {
            (false, _) => {
                let plain = Plain::new(self.conv, columns);
                self.pass::<S, COLUMNS, VECTORS>(simd, columns, plain);
            }
            (true, 3) => {
                let winograd = Bands::<S, 3, 6, COLUMNS, VECTORS>::new(simd, self.conv, columns);
                self.pass::<S, COLUMNS, VECTORS>(simd, columns, winograd);
            }
            (true, _) => {
                let winograd = Bands::<S, 5, 8, COLUMNS, VECTORS>::new(simd, self.conv, columns);
                self.pass::<S, COLUMNS, VECTORS>(simd, columns, winograd);
            }
        }
    }

    /// Gives `columns` for each row of the convolution, so many that tiles are full.
    #[inline(always)]
    fn pass<S: Simd, const COLUMNS: usize, const VECTORS: usize>(
        self,
        simd: S,
        columns: usize,
        mut convolution: impl Convolution<S, COLUMNS, VECTORS>,
    ) {
        let conv = self.conv;
        let zeros = [simd.splat_f32s(0.0); COLUMNS];
        let mut rows = vec![zeros; VECTORS * 2 * conv.out_height() * columns / COLUMNS];
        let mut pooled = Pooled::new(simd, conv, VECTORS);
        let lanes = VECTORS * S::F32_LANES;
        for (image, planes) in self.images.each(conv) {
            convolution.fill(simd, conv, image);
            for block in Block::each(conv, lanes, (&self.pack.numbers, self.bias), planes) {
                convolution.convolve(simd, block.pack, block.bias(simd), &mut rows);
                pooled.pool(simd, conv, rows.as_flattened());
                pooled.put(conv, block);
            }
        }
    }
}

/// A block of output channels, and where its planes of an image go.
struct Block<'a> {
    pack: &'a [f32],
    bias: &'a [f32],
    output: &'a mut [f32],
    winners: &'a mut [u8],
}

impl<'a> Block<'a> {
    /// The blocks of `lanes` channels, from what is packed for them one after the other.
    #[inline(always)]
    fn each(
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
    fn bias<S: Simd, const VECTORS: usize>(&self, simd: S) -> [S::f32s; VECTORS] {
        let mut bias = [simd.splat_f32s(0.0); VECTORS];
        for v in 0..VECTORS {
            let rest = self.bias.get(v * S::F32_LANES..);
            bias[v] = load_f32s(simd, rest.unwrap_or_default());
        }
        bias
    }
}

/// The pooled image of a block of channels: for one vector of channels after the other its pixels.
struct Pooled<S: Simd> {
    largest: Vec<S::f32s>,
    places: Vec<S::u32s>,
}

impl<S: Simd> Pooled<S> {
    /// Room for a block of some vectors.
    fn new(simd: S, conv: &ConvPool, vectors: usize) -> Self {
        Self {
            largest: vec![simd.splat_f32s(0.0); vectors * conv.out_pixels()],
            places: vec![simd.splat_u32s(0); vectors * conv.out_pixels()],
        }
    }

    /// Pools what the convolution gave: for one vector of channels after the other its rows, two for each
    /// of the pooled image, at least as long as its windows need.
    #[inline(always)]
    fn pool(&mut self, simd: S, conv: &ConvPool, rows: &[S::f32s]) {
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
    fn put(&self, conv: &ConvPool, block: Block<'_>) {
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
