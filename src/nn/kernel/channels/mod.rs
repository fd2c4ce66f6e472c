//! Convolution with stride 1 and output channels side by side in a vector, for layers with many: blocks of
//! channels, sums in registers. How they come about, `plain` and `bands` say; what becomes of them, an
//! [`Output`].

pub mod bands;
mod plain;

use pulp::bytemuck::cast_slice;
use pulp::{Simd, WithSimd};

use self::bands::Bands;
use self::plain::Plain;
use super::simd::{Aligned, InstructionSet, Loop, load_f32s};
use super::transpose::transpose;

/// The sizes of a convolution. The weight is (out, in, kernel, kernel).
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Channels of the input.
    pub channels_in: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Channels of the output.
    pub channels_out: usize,
    /// Rows, and columns, of the kernel.
    pub kernel_size: usize,
    /// Rows, and columns, of zeros on each side of the input.
    pub padding: usize,
    /// Rows of the output that are wanted: the first ones.
    pub rows: usize,
    /// Columns of the output that are wanted.
    pub columns: usize,
    /// The instructions to use.
    pub instruction_set: InstructionSet,
}

impl Sizes {
    fn image_len(&self) -> usize {
        self.channels_in * self.height * self.width
    }

    /// Products that make one number of the output.
    fn taps(&self) -> usize {
        self.channels_in * self.kernel_size * self.kernel_size
    }

    /// Whether Winograd's algorithm gives of these factors what the plain sum gives.
    pub fn is_safe(&self, factors: [&[f32]; 2]) -> bool {
        let all_safe = Loop(|| bands::is_safe(factors[0]) && bands::is_safe(factors[1]));
        self.instruction_set.run(all_safe)
    }

    /// How many times as many products the plain sum takes as Winograd's algorithm, which also computes what
    /// fills up vectors, tiles and bands; `None` if there is none for this kernel.
    pub fn winograd_gain(&self) -> Option<f64> {
        let tile = Tile::new(self);
        let lanes = tile.vectors * self.instruction_set.lanes();
        let filled = filled(self.channels_out, lanes) * filled(self.columns, tile.columns);
        Some(bands::gain(self)? * filled)
    }
}

/// The share of `count` in what it is filled up to, a multiple of `step`.
fn filled(count: usize, step: usize) -> f64 {
    count as f64 / count.next_multiple_of(step) as f64
}

/// What is computed at a time: two rows of some columns, for some vectors of channels. Their sums stay in
/// registers, besides weights and a number; fewer than 8 would wait for each other.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Tile {
    columns: usize,
    vectors: usize,
}

impl Tile {
    fn new(sizes: &Sizes) -> Self {
        let (columns, vectors) = match sizes.instruction_set {
            // Of 16 registers those that hold one vector of channels need a load for each multiply-add; two
            // vectors share what is loaded.
            InstructionSet::Portable | InstructionSet::Avx2
                if sizes.channels_out > sizes.instruction_set.lanes() =>
            {
                (2, 2)
            }
            InstructionSet::Portable | InstructionSet::Avx2 => (6, 1),
            // A tenth slower than 14, but for what they leave empty.
            _ if filled(sizes.columns, 8) > 1.1 * filled(sizes.columns, 14) => (8, 1),
            _ => (14, 1),
        };
        Self { columns, vectors }
    }
}

/// A gain in products that pays for what is made of the input and of the sums.
const WORTH_IT: f64 = 1.3;

/// The weight, or what is made of it, in blocks of output channels: the last index is the lane, with zeros
/// in the lanes that are left over.
pub struct Pack {
    weights: Aligned,
    /// A block is as many channels as it holds.
    tile: Tile,
    /// Whether the numbers are for `bands`, or for `plain`.
    is_winograd: bool,
}

impl Pack {
    /// For the plain sum.
    pub fn plain(sizes: &Sizes, weight: &[f32]) -> Self {
        plain::pack(sizes, weight)
    }

    /// For Winograd's algorithm: `None` if there is none for this kernel, if it would be no faster, or if it
    /// might not give of this input what the plain sum gives.
    pub fn winograd(sizes: &Sizes, weight: &[f32], input: &[f32]) -> Option<Self> {
        let is_faster = bands::gain(sizes).is_some_and(|gain| gain > WORTH_IT);
        let is_good = is_faster && sizes.is_safe([weight, input]);
        is_good.then(|| bands::pack(sizes, weight))
    }

    /// Zeros, `rows` for each block.
    fn zeros(conv: &Sizes, rows: usize, is_winograd: bool) -> Self {
        let tile = Tile::new(conv);
        let lanes = tile.vectors * conv.instruction_set.lanes();
        let blocks = conv.channels_out.div_ceil(lanes);
        Self {
            weights: Aligned::zeros(blocks * rows * lanes),
            tile,
            is_winograd,
        }
    }

    /// Where the first of a channel's `rows` numbers is, and how far they lie apart.
    fn places(&self, conv: &Sizes, rows: usize, channel: usize) -> (usize, usize) {
        let lanes = self.tile.vectors * conv.instruction_set.lanes();
        (channel / lanes * rows * lanes + channel % lanes, lanes)
    }
}

/// Where the numbers of a convolution go.
pub trait Output {
    /// Whether those of the plain sum go there, too: what is never asked for need not be compiled.
    const TAKES_PLAIN: bool;
    /// What takes them.
    type Sink<S: Simd>: Sink<S>;

    /// Room for a block of some vectors of channels.
    fn sink<S: Simd>(self, simd: S, sizes: &Sizes, vectors: usize) -> Self::Sink<S>;
}

/// What takes the numbers of a block of channels.
pub trait Sink<S: Simd> {
    /// Takes some columns of two rows, for a vector of channels, from row `y` and column `x` of the output on.
    /// What lies beyond its end is left out. Whether there `may_be_nan` is known to the compiler.
    fn rows<const COLUMNS: usize>(
        &mut self,
        simd: S,
        vector: usize,
        at: [usize; 2],
        rows: [&[S::f32s; COLUMNS]; 2],
        may_be_nan: bool,
    );

    /// Puts the block, whose first channel is told, among the planes of an image.
    fn put(&mut self, simd: S, image: usize, channel: usize);
}

/// A way to compute the convolution of an image.
trait Convolution<S: Simd, const COLUMNS: usize, const VECTORS: usize> {
    /// Takes the place of the image before.
    fn fill(&mut self, simd: S, conv: &Sizes, image: &[f32]);

    /// Gives `sink` what the convolution gives for a block of channels.
    fn convolve(
        &mut self,
        simd: S,
        pack: &[f32],
        bias: [S::f32s; VECTORS],
        sink: &mut impl Sink<S>,
    );
}

/// The pass over some images.
pub struct Shard<'a, O> {
    pub sizes: &'a Sizes,
    pub pack: &'a Pack,
    /// For each channel; or none.
    pub bias: &'a [f32],
    pub input: &'a [f32],
    pub output: O,
}

impl<O: Output> WithSimd for Shard<'_, O> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // To ask for the registers first spares the compiler what nobody runs.
        match self.pack.tile {
            Tile { columns: 8, .. } if S::REGISTER_COUNT >= 32 => self.run::<S, 8, 1>(simd),
            _ if S::REGISTER_COUNT >= 32 => self.run::<S, 14, 1>(simd),
            Tile { vectors: 2, .. } => self.run::<S, 2, 2>(simd),
            _ => self.run::<S, 6, 1>(simd),
        }
    }
}

impl<O: Output> Shard<'_, O> {
    #[inline(always)]
    fn run<S: Simd, const COLUMNS: usize, const VECTORS: usize>(self, simd: S) {
        // So many for each row of the convolution that tiles are full.
        let columns = self.sizes.columns.next_multiple_of(COLUMNS);
        match (self.pack.is_winograd, self.sizes.kernel_size) {
            (false, _) => {
                if O::TAKES_PLAIN {
                    let plain = Plain::new(self.sizes, columns);
                    self.pass::<S, COLUMNS, VECTORS>(simd, plain);
                }
            }
            (true, 3) => {
                let winograd = Bands::<S, 3, 6, COLUMNS, VECTORS>::new(simd, self.sizes, columns);
                self.pass::<S, COLUMNS, VECTORS>(simd, winograd);
            }
            (true, _) => {
                let winograd = Bands::<S, 5, 8, COLUMNS, VECTORS>::new(simd, self.sizes, columns);
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
        let sizes = self.sizes;
        let mut sink = self.output.sink(simd, sizes, VECTORS);
        let lanes = VECTORS * S::F32_LANES;
        let pack = self.pack.weights.numbers();
        let blocks = sizes.channels_out.div_ceil(lanes);
        for (i, image) in self.input.chunks_exact(sizes.image_len()).enumerate() {
            convolution.fill(simd, sizes, image);
            for (block, pack) in pack.chunks_exact(pack.len() / blocks).enumerate() {
                let channel = block * lanes;
                let mut bias = [simd.splat_f32s(0.0); VECTORS];
                for v in 0..VECTORS {
                    let rest = self.bias.get(channel + v * S::F32_LANES..);
                    bias[v] = load_f32s(simd, rest.unwrap_or_default());
                }
                convolution.convolve(simd, pack, bias, &mut sink);
                sink.put(simd, i, channel);
            }
        }
    }
}

/// The planes of some images' outputs.
pub struct Planes<'a>(pub &'a mut [f32]);

impl<'a> Output for Planes<'a> {
    const TAKES_PLAIN: bool = false;
    type Sink<S: Simd> = Block<'a, S>;

    fn sink<S: Simd>(self, simd: S, sizes: &Sizes, vectors: usize) -> Block<'a, S> {
        Block {
            height: sizes.rows,
            width: sizes.columns,
            channels: sizes.channels_out,
            numbers: vec![simd.splat_f32s(0.0); vectors * sizes.rows * sizes.columns],
            output: self.0,
        }
    }
}

/// The output of a block of channels: for one vector of channels after the other its pixels.
pub struct Block<'a, S: Simd> {
    height: usize,
    width: usize,
    channels: usize,
    numbers: Vec<S::f32s>,
    output: &'a mut [f32],
}

impl<S: Simd> Sink<S> for Block<'_, S> {
    #[inline(always)]
    fn rows<const COLUMNS: usize>(
        &mut self,
        _: S,
        vector: usize,
        [y, x]: [usize; 2],
        rows: [&[S::f32s; COLUMNS]; 2],
        _may_be_nan: bool,
    ) {
        let count = COLUMNS.min(self.width.saturating_sub(x));
        for (y, row) in (y..self.height).zip(rows) {
            let at = (vector * self.height + y) * self.width + x;
            self.numbers[at..at + count].copy_from_slice(&row[..count]);
        }
    }

    #[inline(always)]
    fn put(&mut self, _: S, image: usize, channel: usize) {
        let pixels = self.height * self.width;
        let planes = &mut self.output[image * self.channels * pixels..][..self.channels * pixels];
        put_planes::<S>(&self.numbers, pixels, &mut planes[channel * pixels..]);
    }
}

/// Puts the pixels of some vectors of channels into as many planes as there are.
#[inline(always)]
pub fn put_planes<S: Simd>(numbers: &[S::f32s], pixels: usize, planes: &mut [f32]) {
    let planes = planes.chunks_mut(S::F32_LANES * pixels);
    for (numbers, planes) in numbers.chunks_exact(pixels).zip(planes) {
        let shape = (pixels, planes.len() / pixels);
        let numbers = (cast_slice(numbers), S::F32_LANES);
        transpose(shape, numbers, (planes, pixels), |number: f32| number);
    }
}

/// Where a tile is in its row, for [`Sources::sums`]: at the `LEFT` and the `RIGHT` end kernels take zeros. A
/// tile that is the whole row is at `BOTH`.
const INSIDE: usize = 0;
const LEFT: usize = 1;
const RIGHT: usize = 2;
const BOTH: usize = LEFT | RIGHT;

/// The numbers that meet weights.
struct Sources {
    /// For each weight, or each group of them, where the number is that it meets in the first sum; those
    /// of a group meet numbers that follow each other.
    offsets: Vec<usize>,
    /// How far the numbers for the lower row of sums lie behind those for the upper one.
    below: usize,
}

impl Sources {
    /// `COLUMNS` sums of two rows for each vector of channels, added to `start`. For a group of weights that are a
    /// kernel's row, those products at the `EDGE` are left out whose number is one of the zeros around the image.
    #[inline(always)]
    fn sums<
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
type Sums<S, const COLUMNS: usize, const VECTORS: usize> =
    [[[<S as Simd>::f32s; COLUMNS]; 2]; VECTORS];
