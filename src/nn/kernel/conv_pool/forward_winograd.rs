//! The forward pass of layers with many channels and a kernel of 3 or 5, by Winograd's algorithm down the
//! columns: half of the multiplications.
//!
//! Four rows of the convolution, that is two of pooling windows, are a band. What it takes of the padded
//! image becomes a row of factors for each product of the algorithm. With these it goes as in
//! `forward_channels`: the sums of some columns of two bands stay in registers, a vector of channels for
//! each; at last four rows are made of a band's sums.

use pulp::{Simd, WithSimd};

use super::channels::{self, Block, Pooled, Sources, Sums};
use super::{ConvPool, Images};
use crate::nn::kernel::simd::{Loop, load_f32s, store_f32s};
use crate::nn::kernel::winograd::{OUTPUTS, Winograd};

/// Beyond this, 2^47, factors or sums of their products might overflow where the convolution does not.
const LARGEST: f32 = 140_737_488_355_328.0;

/// Whether there is an algorithm for the kernel, and the convolution's rows fill two thirds of its bands.
pub fn is_worth_it(conv: &ConvPool) -> bool {
    matches!(conv.kernel_size, 3 | 5) && 2 * OUTPUTS * bands(conv) <= 3 * 2 * conv.out_height()
}

/// Whether the algorithm gives what the convolution gives: of infinite sums it makes NaN.
pub fn is_safe(input: &[f32], weight: &[f32]) -> bool {
    // Without a way out, so that it goes vector by vector; NaN is not safe.
    let fold = |all: bool, number: &f32| all & (number.abs() <= LARGEST);
    weight.iter().fold(true, fold) && input.iter().fold(true, fold)
}

/// Bands of an image: they are gone through two at a time.
fn bands(conv: &ConvPool) -> usize {
    let bands = (2 * conv.out_height()).div_ceil(OUTPUTS);
    bands.next_multiple_of(2)
}

/// The factors of the weight in blocks of channels: (block, product, in, column of the kernel, lane),
/// zeros in the lanes that are left over.
pub struct Pack {
    numbers: Vec<f32>,
    /// Vectors of a block.
    vectors: usize,
}

impl Pack {
    /// The weight (out, in, K, K) of a layer whose kernel size is 3 or 5.
    pub fn new(conv: &ConvPool, weight: &[f32]) -> Self {
        match conv.kernel_size {
            3 => Self::with_products::<3, 6>(conv, weight),
            _ => Self::with_products::<5, 8>(conv, weight),
        }
    }

    fn with_products<const K: usize, const N: usize>(conv: &ConvPool, weight: &[f32]) -> Self {
        let vectors = channels::vectors(conv);
        let lanes = vectors * conv.instruction_set.lanes();
        let rows = conv.channels_in * K;
        let mut numbers = vec![0.0; conv.channels_out.div_ceil(lanes) * N * rows * lanes];
        for (i, kernel) in weight.chunks_exact(K * K).enumerate() {
            let (channel, channel_in) = (i / conv.channels_in, i % conv.channels_in);
            let block = channel / lanes * N;
            for kx in 0..K {
                let column = std::array::from_fn(|ky| kernel[ky * K + kx]);
                for (product, factor) in Winograd::<K, N>::kernel(&column).into_iter().enumerate() {
                    let row = (block + product) * rows + channel_in * K + kx;
                    numbers[row * lanes + channel % lanes] = factor;
                }
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
        match self.conv.kernel_size {
            3 => self.with_products::<S, 3, 6>(simd),
            _ => self.with_products::<S, 5, 8>(simd),
        }
    }
}

impl Shard<'_> {
    #[inline(always)]
    fn with_products<S: Simd, const K: usize, const N: usize>(self, simd: S) {
        // As many sums as in `forward_channels`, where the reasons are.
        match self.pack.vectors {
            2 => self.run::<S, K, N, 3, 2>(simd),
            _ if S::REGISTER_COUNT >= 32 => self.run::<S, K, N, 14, 1>(simd),
            _ => self.run::<S, K, N, 6, 1>(simd),
        }
    }

    #[inline(always)]
    fn run<S: Simd, const K: usize, const N: usize, const COLUMNS: usize, const VECTORS: usize>(
        self,
        simd: S,
    ) {
        let conv = self.conv;
        let columns = (2 * conv.out_width()).next_multiple_of(COLUMNS);
        let mut factors = Factors::<K, N>::new(conv, columns, S::F32_LANES);
        let zeros = [simd.splat_f32s(0.0); COLUMNS];
        let mut sums = vec![[[[zeros; 2]; VECTORS]; N]; columns / COLUMNS];
        let mut rows = vec![zeros; VECTORS * 2 * conv.out_height() * columns / COLUMNS];
        let mut pooled = Pooled::new(simd, conv, VECTORS);
        let lanes = VECTORS * S::F32_LANES;
        for (image, (output, winners)) in self.images.each(conv) {
            factors.fill(simd, conv, image);
            let pack = (&self.pack.numbers[..], self.bias);
            for block in Block::each(conv, lanes, pack, (output, winners)) {
                let bias = block.bias(simd);
                for band in (0..factors.bands).step_by(2) {
                    factors.sums(simd, band, block.pack, &mut sums);
                    // A function of its own: its constants take no registers from the sums.
                    let put = Loop(|| {
                        put::<S, K, N, COLUMNS, VECTORS>(simd, band, bias, &sums, &mut rows)
                    });
                    simd.vectorize(put);
                }
                pooled.pool(simd, conv, rows.as_flattened());
                pooled.put(conv, block);
            }
        }
    }
}

/// Makes the rows of two bands of their sums: `rows` has them for one vector of channels after the other.
#[inline(always)]
fn put<S: Simd, const K: usize, const N: usize, const COLUMNS: usize, const VECTORS: usize>(
    simd: S,
    band: usize,
    bias: [S::f32s; VECTORS],
    sums: &[[Sums<S, COLUMNS, VECTORS>; N]],
    rows: &mut [[S::f32s; COLUMNS]],
) {
    let tiles = sums.len();
    let height = rows.len() / VECTORS / tiles;
    for v in 0..VECTORS {
        for below in 0..2 {
            let first = OUTPUTS * (band + below);
            let last = height.min(first + OUTPUTS);
            let rows = rows.get_mut((v * height + first) * tiles..(v * height + last) * tiles);
            let rows = rows.unwrap_or_default();
            for (tile, sums) in sums.iter().enumerate() {
                let mut outputs = [[bias[v]; COLUMNS]; OUTPUTS];
                for x in 0..COLUMNS {
                    let mut column = [bias[v]; N];
                    for product in 0..N {
                        column[product] = sums[product][v][below][x];
                    }
                    let column = Winograd::<K, N>::output(simd, column, bias[v]);
                    for y in 0..OUTPUTS {
                        outputs[y][x] = column[y];
                    }
                }
                for (row, output) in rows.iter_mut().skip(tile).step_by(tiles).zip(outputs) {
                    *row = output;
                }
            }
        }
    }
}

/// The factors of an image: (product, channel, band, column).
struct Factors<const K: usize, const N: usize> {
    numbers: Vec<f32>,
    /// Numbers of a product.
    len: usize,
    /// Numbers of a band, with the zeros on both sides.
    width: usize,
    bands: usize,
    sources: Sources,
}

impl<const K: usize, const N: usize> Factors<K, N> {
    /// Room for an image that gives so many columns.
    fn new(conv: &ConvPool, columns: usize, lanes: usize) -> Self {
        let bands = bands(conv);
        let width = columns + K - 1;
        let width = width.max(conv.padding + conv.width.next_multiple_of(lanes));
        let plane = bands * width;
        let len = conv.channels_in * plane;
        let offsets = (0..conv.channels_in * K).map(|row| row / K * plane + row % K);
        Self {
            numbers: vec![0.0; N * len],
            len,
            width,
            bands,
            sources: Sources {
                offsets: offsets.collect(),
                below: width,
            },
        }
    }

    /// Takes the place of the image before.
    #[inline(always)]
    fn fill<S: Simd>(&mut self, simd: S, conv: &ConvPool, image: &[f32]) {
        for channel in 0..conv.channels_in {
            let rows = &image[channel * conv.height * conv.width..];
            for x in (0..conv.width).step_by(S::F32_LANES) {
                let ones = &[1.0; 16][..S::F32_LANES.min(conv.width - x)];
                let columns = Columns {
                    conv,
                    rows: &rows[x..],
                    inside: load_f32s(simd, ones),
                };
                let at = channel * self.bands * self.width + conv.padding + x;
                // A band begins with the rows that the one before ends with.
                let mut pixels = [simd.splat_f32s(0.0); N];
                for k in 0..K - 1 {
                    pixels[OUTPUTS + k] = columns.load(simd, k);
                }
                for band in 0..self.bands {
                    for k in 0..N {
                        pixels[k] = match pixels.get(k + OUTPUTS) {
                            Some(pixels) => *pixels,
                            None => columns.load(simd, OUTPUTS * band + k),
                        }
                    }
                    let factors = Winograd::<K, N>::input(simd, pixels);
                    let at = at + band * self.width;
                    for (to, factors) in self.numbers.chunks_exact_mut(self.len).zip(factors) {
                        store_f32s(simd, &mut to[at..], S::F32_LANES, factors);
                    }
                }
            }
        }
    }

    /// The sums of each product for the columns of two bands, a tile after the other.
    #[inline(always)]
    fn sums<S: Simd, const COLUMNS: usize, const VECTORS: usize>(
        &self,
        simd: S,
        band: usize,
        pack: &[f32],
        sums: &mut [[Sums<S, COLUMNS, VECTORS>; N]],
    ) {
        let zeros = [simd.splat_f32s(0.0); VECTORS];
        for product in 0..N {
            let pack = &pack[product * (pack.len() / N)..][..pack.len() / N];
            let factors = &self.numbers[product * self.len..][..self.len];
            let factors = &factors[band * self.width..];
            for (tile, sums) in sums.iter_mut().enumerate() {
                let factors = &factors[tile * COLUMNS..];
                sums[product] = self.sources.sums(simd, factors, pack, zeros);
            }
        }
    }
}

/// A vector of columns of an image.
struct Columns<'a, S: Simd> {
    conv: &'a ConvPool,
    /// From the vector's first column on.
    rows: &'a [f32],
    /// 1 for columns that are there, else 0.
    inside: S::f32s,
}

impl<S: Simd> Columns<'_, S> {
    /// Row `y`, counted from the zeros above the image on.
    #[inline(always)]
    fn load(&self, simd: S, y: usize) -> S::f32s {
        let y = y.wrapping_sub(self.conv.padding);
        if y >= self.conv.height {
            return simd.splat_f32s(0.0);
        }
        // The end of a row is followed by the next row, of numbers that are finite.
        simd.mul_f32s(
            self.inside,
            load_f32s(simd, &self.rows[y * self.conv.width..]),
        )
    }
}
