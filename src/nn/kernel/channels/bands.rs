//! The convolution by Winograd's algorithm down the columns, for kernels of 3 and 5: half of the
//! multiplications.
//!
//! Four rows of the output are a band. What it takes of the padded image becomes a row of factors for each
//! product of the algorithm. With these it goes as with pixels in `plain`: the sums of some columns of two
//! bands stay in registers, a vector of channels for each; at last four rows are made of a band's sums.

use pulp::Simd;

use super::{BOTH, Convolution, INSIDE, LEFT, Pack, RIGHT, Sink, Sizes, Sources, Sums};
use crate::nn::kernel::simd::{Loop, load_f32s, store_f32s};
use crate::nn::kernel::winograd::{OUTPUTS, Winograd};

/// Beyond this, 2^47, factors or sums of their products might overflow where the convolution does not.
const LARGEST: f32 = 140_737_488_355_328.0;

/// How many times as many products the plain sum takes, with those for what fills up the last bands; `None` if
/// there is no algorithm for the kernel.
pub fn gain(conv: &Sizes) -> Option<f64> {
    let products = match conv.kernel_size {
        3 | 5 => conv.kernel_size + OUTPUTS - 1,
        _ => return None,
    };
    let filled = conv.rows as f64 / (OUTPUTS * bands(conv)) as f64;
    Some((OUTPUTS * conv.kernel_size) as f64 / products as f64 * filled)
}

/// Whether the algorithm gives what the convolution gives, if weights and inputs all are so: of infinite sums
/// it makes NaN.
#[inline(always)]
pub fn is_safe(numbers: &[f32]) -> bool {
    // Without a way out, so that it goes vector by vector; NaN is not safe.
    numbers
        .iter()
        .fold(true, |all, number| all & (number.abs() <= LARGEST))
}

/// Bands of an image: they are gone through two at a time.
fn bands(conv: &Sizes) -> usize {
    let bands = conv.rows.div_ceil(OUTPUTS);
    bands.next_multiple_of(2)
}

/// The factors of the weight (out, in, K, K), whose kernel size is 3 or 5, in blocks of channels:
/// (block, product, in, column of the kernel, lane).
pub fn pack(conv: &Sizes, weight: &[f32]) -> Pack {
    match conv.kernel_size {
        3 => pack_products::<3, 6>(conv, weight),
        _ => pack_products::<5, 8>(conv, weight),
    }
}

fn pack_products<const K: usize, const N: usize>(conv: &Sizes, weight: &[f32]) -> Pack {
    let rows = conv.channels_in * K;
    let mut pack = Pack::zeros(conv, N * rows, true);
    for (channel, weights) in weight.chunks_exact(conv.taps()).enumerate() {
        let (first, step) = pack.places(conv, N * rows, channel);
        let places = &mut pack.weights.numbers_mut()[first..];
        for (channel_in, kernel) in weights.chunks_exact(K * K).enumerate() {
            for kx in 0..K {
                let column = std::array::from_fn(|ky| kernel[ky * K + kx]);
                let factors = Winograd::<K, N>::kernel(&column);
                for (product, factor) in factors.into_iter().enumerate() {
                    let row = product * rows + channel_in * K + kx;
                    places[row * step] = factor;
                }
            }
        }
    }
    pack
}

/// The factors of an image: (product, channel, band, column).
pub struct Factors<const K: usize, const N: usize> {
    numbers: Vec<f32>,
    /// Factors of a product.
    len: usize,
    /// Factors of a band, with the zeros on both sides.
    width: usize,
    /// Bands of a channel.
    bands: usize,
}

impl<const K: usize, const N: usize> Factors<K, N> {
    /// Room for an image that gives so many bands, with rows of `width` factors.
    pub fn new(conv: &Sizes, width: usize, bands: usize) -> Self {
        let lanes = conv.instruction_set.lanes();
        let len = conv.channels_in * bands * width;
        Self {
            // A vector may begin with the last number.
            numbers: vec![0.0; N * len + lanes],
            len,
            width,
            bands,
        }
    }

    /// Factors of a channel, for one product.
    pub fn plane(&self) -> usize {
        self.bands * self.width
    }

    /// Those of a product; behind them there are as many more as a vector may take.
    #[inline(always)]
    pub fn of(&self, product: usize) -> &[f32] {
        &self.numbers[product * self.len..]
    }

    /// Takes the place of the image before. Whether rows are so long that whole vectors of the image's columns fit,
    /// `WHOLE`, the compiler has to know.
    #[inline(always)]
    pub fn fill<S: Simd, const WHOLE: bool>(&mut self, simd: S, conv: &Sizes, image: &[f32]) {
        for channel in 0..conv.channels_in {
            let rows = &image[channel * conv.height * conv.width..];
            for x in (0..conv.width).step_by(S::F32_LANES) {
                let columns = Columns::new(simd, (conv.height, conv.width), rows, x);
                let at = channel * self.plane() + conv.padding + x;
                let count = if WHOLE { S::F32_LANES } else { conv.width - x };
                // A band begins with the rows that the one before ends with.
                let mut pixels = [simd.splat_f32s(0.0); N];
                for k in 0..K - 1 {
                    pixels[OUTPUTS + k] = columns.load(simd, k.wrapping_sub(conv.padding));
                }
                for band in 0..self.bands {
                    for k in 0..N {
                        let y = (OUTPUTS * band + k).wrapping_sub(conv.padding);
                        pixels[k] = match pixels.get(k + OUTPUTS) {
                            Some(pixels) => *pixels,
                            None => columns.load(simd, y),
                        }
                    }
                    let factors = Winograd::<K, N>::input(simd, pixels);
                    let at = at + band * self.width;
                    for (to, factors) in self.numbers.chunks_exact_mut(self.len).zip(factors) {
                        store_f32s(simd, &mut to[at..], count, factors);
                    }
                }
            }
        }
    }
}

/// The factors of an image, and the sums that are made of them.
pub struct Bands<
    S: Simd,
    const K: usize,
    const N: usize,
    const COLUMNS: usize,
    const VECTORS: usize,
> {
    factors: Factors<K, N>,
    sources: Sources,
    /// Whether the outer half of what a kernel takes at the left, and at the right, end of a row is zeros.
    has_zeros: [bool; 2],
    /// Of two bands, for each tile of columns those of all products.
    sums: Vec<[Sums<S, COLUMNS, VECTORS>; N]>,
}

impl<S: Simd, const K: usize, const N: usize, const COLUMNS: usize, const VECTORS: usize>
    Bands<S, K, N, COLUMNS, VECTORS>
{
    /// Whether the weights of a row of the kernel are one group, so that products with zeros can be left out. Six
    /// columns in 16 registers lose more by it than they gain.
    const HAS_GROUPS: bool = COLUMNS != 6;

    /// Room for an image that gives so many columns.
    pub fn new(simd: S, conv: &Sizes, columns: usize) -> Self {
        let whole = conv.padding + conv.width.next_multiple_of(S::F32_LANES);
        let factors = Factors::new(conv, whole.max(columns + K - 1), bands(conv));
        let zeros = [simd.splat_f32s(0.0); COLUMNS];
        let step = if Self::HAS_GROUPS { K } else { 1 };
        let offsets = (0..conv.channels_in * K).step_by(step);
        let offsets = offsets.map(|row| row / K * factors.plane() + row % K);
        Self {
            has_zeros: [
                conv.padding >= K / 2,
                (columns + K - 1).saturating_sub(conv.padding + conv.width) >= K / 2,
            ],
            sources: Sources {
                offsets: offsets.collect(),
                below: factors.width,
            },
            sums: vec![[[[zeros; 2]; VECTORS]; N]; columns / COLUMNS],
            factors,
        }
    }

    /// The sums of one product for a tile: of its factors times those of the weight.
    #[inline(always)]
    fn add_up<const EDGE: usize>(
        simd: S,
        sources: &Sources,
        (factors, pack): (&[f32], &[f32]),
    ) -> Sums<S, COLUMNS, VECTORS> {
        let zeros = [simd.splat_f32s(0.0); VECTORS];
        match Self::HAS_GROUPS {
            true => sources.sums::<S, K, EDGE, _, _>(simd, factors, pack, zeros),
            false => sources.sums::<S, 1, INSIDE, _, _>(simd, factors, pack, zeros),
        }
    }
}

impl<S: Simd, const K: usize, const N: usize, const COLUMNS: usize, const VECTORS: usize>
    Convolution<S, COLUMNS, VECTORS> for Bands<S, K, N, COLUMNS, VECTORS>
{
    #[inline(always)]
    fn fill(&mut self, simd: S, conv: &Sizes, image: &[f32]) {
        self.factors.fill::<S, true>(simd, conv, image);
    }

    #[inline(always)]
    fn convolve(
        &mut self,
        simd: S,
        pack: &[f32],
        bias: [S::f32s; VECTORS],
        sink: &mut impl Sink<S>,
    ) {
        for band in (0..self.factors.bands).step_by(2) {
            for product in 0..N {
                let pack = &pack[product * (pack.len() / N)..][..pack.len() / N];
                let factors = &self.factors.of(product)[band * self.factors.width..];
                let last = self.sums.len() - 1;
                for (tile, sums) in self.sums.iter_mut().enumerate() {
                    let factors = (&factors[tile * COLUMNS..], pack);
                    let at_left = tile == 0 && self.has_zeros[0];
                    let at_right = tile == last && self.has_zeros[1];
                    sums[product] = match (at_left, at_right) {
                        (false, false) => Self::add_up::<INSIDE>(simd, &self.sources, factors),
                        (true, false) => Self::add_up::<LEFT>(simd, &self.sources, factors),
                        (false, true) => Self::add_up::<RIGHT>(simd, &self.sources, factors),
                        (true, true) => Self::add_up::<BOTH>(simd, &self.sources, factors),
                    };
                }
            }
            // A function of its own: its constants take no registers from the sums.
            let finish =
                Loop(|| finish::<S, K, N, COLUMNS, VECTORS>(simd, band, bias, &self.sums, sink));
            simd.vectorize(finish);
        }
    }
}

/// Gives two bands of the convolution, which are made of their sums.
#[inline(always)]
fn finish<S: Simd, const K: usize, const N: usize, const COLUMNS: usize, const VECTORS: usize>(
    simd: S,
    band: usize,
    bias: [S::f32s; VECTORS],
    sums: &[[Sums<S, COLUMNS, VECTORS>; N]],
    sink: &mut impl Sink<S>,
) {
    for (tile, sums) in sums.iter().enumerate() {
        let x = tile * COLUMNS;
        for v in 0..VECTORS {
            for below in 0..2 {
                let mut of_band = [&sums[0][v][below]; N];
                for product in 0..N {
                    of_band[product] = &sums[product][v][below];
                }
                let rows = rows::<S, K, N, COLUMNS>(simd, of_band, bias[v]);
                let y = OUTPUTS * (band + below);
                sink.rows(simd, v, [y, x], [&rows[0], &rows[1]], false);
                sink.rows(simd, v, [y + 2, x], [&rows[2], &rows[3]], false);
            }
        }
    }
}

/// Some columns of the rows of a band.
#[inline(always)]
fn rows<S: Simd, const K: usize, const N: usize, const COLUMNS: usize>(
    simd: S,
    sums: [&[S::f32s; COLUMNS]; N],
    bias: S::f32s,
) -> [[S::f32s; COLUMNS]; OUTPUTS] {
    let mut rows = [[bias; COLUMNS]; OUTPUTS];
    for x in 0..COLUMNS {
        let mut column = [bias; N];
        for product in 0..N {
            column[product] = sums[product][x];
        }
        let column = Winograd::<K, N>::output(simd, column, bias);
        for y in 0..OUTPUTS {
            rows[y][x] = column[y];
        }
    }
    rows
}

/// A vector of columns of a plane.
pub struct Columns<'a, S: Simd> {
    height: usize,
    width: usize,
    /// From the vector's first column on.
    rows: &'a [f32],
    /// 1 for columns that are there, else 0.
    inside: S::f32s,
}

impl<'a, S: Simd> Columns<'a, S> {
    /// Those from `x` on, of a plane at the beginning of `plane`.
    #[inline(always)]
    pub fn new(simd: S, (height, width): (usize, usize), plane: &'a [f32], x: usize) -> Self {
        let ones = &[1.0; 16][..S::F32_LANES.min(width - x)];
        Self {
            height,
            width,
            rows: &plane[x..],
            inside: load_f32s(simd, ones),
        }
    }

    /// Row `y`, zeros where there is none.
    #[inline(always)]
    pub fn load(&self, simd: S, y: usize) -> S::f32s {
        if y >= self.height {
            return simd.splat_f32s(0.0);
        }
        // The end of a row is followed by the next row, of numbers that are finite.
        simd.mul_f32s(self.inside, load_f32s(simd, &self.rows[y * self.width..]))
    }
}
