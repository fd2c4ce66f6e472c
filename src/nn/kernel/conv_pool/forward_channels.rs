//! The forward pass with output channels side by side in a vector, for layers with many: blocks of channels,
//! sums in registers, and the pooling. How the convolution between is computed, `forward_plain` and
//! `forward_winograd` say.

use pulp::bytemuck::cast_slice;
use pulp::{Simd, WithSimd};

use super::forward_plain::Plain;
use super::forward_winograd::Bands;
use super::{ConvPool, Images, STOPPED};
use crate::nn::kernel::simd::{Aligned, InstructionSet, load_f32s, pool_relu};
use crate::nn::kernel::transpose::transpose;

/// The weight, or what is made of it, in blocks of output channels: the last index is the lane, with zeros
/// in the lanes that are left over.
pub struct Pack {
    pub weights: Aligned,
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
            weights: Aligned::zeros(blocks * rows * vectors * lanes),
            vectors,
            is_winograd,
        }
    }

    /// Where the first of a channel's `rows` numbers is, and how far they lie apart.
    pub fn places(&self, conv: &ConvPool, rows: usize, channel: usize) -> (usize, usize) {
        let lanes = self.vectors * conv.instruction_set.lanes();
        (channel / lanes * rows * lanes + channel % lanes, lanes)
    }
}

/// A way to compute the convolution of an image.
pub trait Convolution<S: Simd, const COLUMNS: usize, const VECTORS: usize> {
    /// Takes the place of the image before.
    fn fill(&mut self, simd: S, conv: &ConvPool, image: &[f32]);

    /// Pools what the convolution gives for a block of channels.
    fn convolve(&mut self, simd: S, pack: &[f32], bias: [S::f32s; VECTORS], pooled: &mut Pooled<S>);
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
        // than 8 sums would wait for each other. With 32 registers `Pack::zeros` never makes two vectors; to ask
        // for that first spares the compiler what nobody runs.
        match self.pack.vectors {
            _ if S::REGISTER_COUNT >= 32 => self.run::<S, 14, 1>(simd),
            2 => self.run::<S, 2, 2>(simd),
            _ => self.run::<S, 6, 1>(simd),
        }
    }
}

impl Shard<'_> {
    #[inline(always)]
    fn run<S: Simd, const COLUMNS: usize, const VECTORS: usize>(self, simd: S) {
        // So many for each row of the convolution that tiles are full.
        let columns = (2 * self.conv.out_width()).next_multiple_of(COLUMNS);
        match (self.pack.is_winograd, self.conv.kernel_size) {
            (false, _) => {
                let plain = Plain::new(self.conv, columns);
                self.pass::<S, COLUMNS, VECTORS>(simd, plain);
            }
            (true, 3) => {
                let winograd = Bands::<S, 3, 6, COLUMNS, VECTORS>::new(simd, self.conv, columns);
                self.pass::<S, COLUMNS, VECTORS>(simd, winograd);
            }
            (true, _) => {
                let winograd = Bands::<S, 5, 8, COLUMNS, VECTORS>::new(simd, self.conv, columns);
                self.pass::<S, COLUMNS, VECTORS>(simd, winograd);
            }
        }
    }

    #[inline(always)]
    fn pass<S: Simd, const COLUMNS: usize, const VECTORS: usize>(
        self,
        simd: S,
        mut convolution: impl Convolution<S, COLUMNS, VECTORS>,
    ) {
        let conv = self.conv;
        let mut pooled = Pooled::new(simd, conv, VECTORS);
        let lanes = VECTORS * S::F32_LANES;
        let channels = (self.pack.weights.numbers(), self.bias);
        for (image, planes) in self.images.each(conv) {
            convolution.fill(simd, conv, image);
            for block in Block::each(conv, lanes, channels, planes) {
                convolution.convolve(simd, block.pack, block.bias(simd), &mut pooled);
                pooled.put(simd, conv, block.output, block.winners);
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
pub struct Pooled<S: Simd> {
    /// Rows of it.
    pub height: usize,
    width: usize,
    largest: Vec<S::f32s>,
    /// The winner bytes of four pixels in each number, the first one's lowest.
    winners: Vec<S::u32s>,
}

impl<S: Simd> Pooled<S> {
    /// Room for a block of some vectors.
    fn new(simd: S, conv: &ConvPool, vectors: usize) -> Self {
        let pixels = conv.out_pixels();
        Self {
            height: conv.out_height(),
            width: conv.out_width(),
            largest: vec![simd.splat_f32s(0.0); vectors * pixels],
            winners: vec![simd.splat_u32s(0); vectors * pixels.div_ceil(4)],
        }
    }

    /// Pools some columns of two rows, for a vector of channels, and puts them into row `y` of the pooled
    /// image, from column `x` on. What lies beyond it is left out. Whether there `may_be_nan`, and so must be
    /// looked for, is known to the compiler.
    #[inline(always)]
    pub fn pool<const COLUMNS: usize>(
        &mut self,
        simd: S,
        vector: usize,
        [y, x]: [usize; 2],
        [upper, lower]: [&[S::f32s; COLUMNS]; 2],
        may_be_nan: bool,
    ) {
        if y >= self.height {
            return;
        }
        let pixels = self.height * self.width;
        let largest = &mut self.largest[vector * pixels..][..pixels];
        let winners = &mut self.winners[vector * pixels.div_ceil(4)..][..pixels.div_ceil(4)];
        let pairs = upper
            .as_chunks::<2>()
            .0
            .iter()
            .zip(lower.as_chunks::<2>().0);
        for (x, (upper, lower)) in (x..self.width).zip(pairs) {
            let window = [upper[0], upper[1], lower[0], lower[1]];
            let (number, winner) = pool_relu(simd, window, may_be_nan, STOPPED);
            let pixel = y * self.width + x;
            largest[pixel] = number;
            let shift = simd.splat_u32s(8 * (pixel % 4) as u32);
            let byte = simd.wrapping_dyn_shl_u32s(winner, shift);
            winners[pixel / 4] = simd.or_u32s(winners[pixel / 4], byte);
        }
    }

    /// Puts the pixels and the winner bytes into the block's planes.
    #[inline(always)]
    fn put(&mut self, simd: S, conv: &ConvPool, output: &mut [f32], winners: &mut [u8]) {
        let pixels = conv.out_pixels();
        let outputs = output.chunks_mut(S::F32_LANES * pixels);
        for (largest, planes) in self.largest.chunks_exact(pixels).zip(outputs) {
            let shape = (pixels, planes.len() / pixels);
            let largest = (cast_slice(largest), S::F32_LANES);
            transpose(shape, largest, (planes, pixels), |number: f32| number);
        }
        let planes = winners.chunks_mut(S::F32_LANES * pixels);
        for (winners, planes) in self.winners.chunks_exact(pixels.div_ceil(4)).zip(planes) {
            put_bytes::<S>(cast_slice(winners), planes.chunks_exact_mut(pixels));
        }
        self.winners.fill(simd.splat_u32s(0));
    }
}

/// Puts bytes, four of a lane in each number, into a plane for each lane.
#[inline(always)]
fn put_bytes<'a, S: Simd>(numbers: &[u32], planes: impl Iterator<Item = &'a mut [u8]>) {
    for (lane, plane) in planes.enumerate() {
        let mut numbers = numbers[lane..].iter().step_by(S::F32_LANES);
        let (fours, rest) = plane.as_chunks_mut::<4>();
        for (four, number) in fours.iter_mut().zip(&mut numbers) {
            *four = number.to_le_bytes();
        }
        if let Some(number) = numbers.next() {
            rest.copy_from_slice(&number.to_le_bytes()[..rest.len()]);
        }
    }
}

/// Where a tile is in its row, for [`Sources::sums`]: at the `LEFT` and the `RIGHT` end kernels take zeros. A
/// tile that is the whole row is at `BOTH`.
pub const INSIDE: usize = 0;
pub const LEFT: usize = 1;
pub const RIGHT: usize = 2;
pub const BOTH: usize = LEFT | RIGHT;

/// The numbers that meet weights.
pub struct Sources {
    /// For each weight, or each group of them, where the number is that it meets in the first sum; those
    /// of a group meet numbers that follow each other.
    pub offsets: Vec<usize>,
    /// How far the numbers for the lower row of sums lie behind those for the upper one.
    pub below: usize,
}

impl Sources {
    /// `COLUMNS` sums of two rows for each vector of channels, added to `start`. For a group of weights that are a
    /// kernel's row, those products at the `EDGE` are left out whose number is one of the zeros around the image.
    #[inline(always)]
    pub fn sums<
        S: Simd,
        const GROUP: usize,
        const EDGE: usize,
        const COLUMNS: usize,
        const VECTORS: usize,
    >(
        &self,
        simd: S,
        numbers: &[f32],
        pack: &[f32],
        start: [S::f32s; VECTORS],
    ) -> Sums<S, COLUMNS, VECTORS> {
        let mut sums = [[[start[0]; COLUMNS]; 2]; VECTORS];
        for v in 0..VECTORS {
            sums[v] = [[start[v]; COLUMNS]; 2];
        }
        let (weights, _) = S::as_simd_f32s(pack).0.as_chunks::<VECTORS>();
        let groups = weights.as_chunks::<GROUP>().0;
        // Sums of few columns leave registers for numbers that a weight of a group shares with the next.
        let step = if COLUMNS == 2 { GROUP } else { 1 };
        for pass in 0..GROUP / step {
            for (offset, weights) in self.offsets.iter().zip(groups) {
                let lower = numbers.get(offset + self.below..);
                let (Some(upper), Some(lower)) = (numbers.get(*offset..), lower) else {
                    return sums;
                };
                for i in 0..GROUP {
                    if i / step == pass {
                        let rows = [upper, lower];
                        add::<S, GROUP, EDGE, _, _>(simd, i, rows, &weights[i], &mut sums);
                    }
                }
            }
        }
        sums
    }
}

/// Adds to sums what weight `i` of a group gives, whose rows of numbers are told.
#[inline(always)]
fn add<
    S: Simd,
    const GROUP: usize,
    const EDGE: usize,
    const COLUMNS: usize,
    const VECTORS: usize,
>(
    simd: S,
    i: usize,
    rows: [&[f32]; 2],
    weights: &[S::f32s; VECTORS],
    sums: &mut Sums<S, COLUMNS, VECTORS>,
) {
    let len = COLUMNS + GROUP - 1;
    // Never comes, and is no panic: see `chunk`.
    let (Some(upper), Some(lower)) = (rows[0].get(..len), rows[1].get(..len)) else {
        debug_assert!(false, "too few numbers");
        return;
    };
    for x in 0..COLUMNS {
        let at_left = EDGE & LEFT != 0 && x + i < GROUP / 2;
        let at_right = EDGE & RIGHT != 0 && x + i >= len - GROUP / 2;
        if at_left || at_right {
            continue;
        }
        let upper = simd.splat_f32s(upper[x + i]);
        let lower = simd.splat_f32s(lower[x + i]);
        for v in 0..VECTORS {
            sums[v][0][x] = simd.mul_add_e_f32s(upper, weights[v], sums[v][0][x]);
            sums[v][1][x] = simd.mul_add_e_f32s(lower, weights[v], sums[v][1][x]);
        }
    }
}

/// Some columns of two rows, for each vector of channels.
pub type Sums<S, const COLUMNS: usize, const VECTORS: usize> =
    [[[<S as Simd>::f32s; COLUMNS]; 2]; VECTORS];
