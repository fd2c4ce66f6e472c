//! The forward pass with output columns side by side in a vector: for layers with few channels.
//!
//! A vector takes every second column of the input, and so those of the convolution's outputs: the
//! four numbers of a pooling window then stand in the same lane of four vectors.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{ConvPool, Images, STOPPED};
use crate::nn::kernel::simd::{Aligned, pool_relu, store_f32s, store_u32s};

/// Channels that are worked on at a time: four sums for each, a weight for each and a vector of pixels
/// fill 16 registers.
const CHANNELS: usize = 3;

/// The pass over some images.
pub struct Shard<'a> {
    pub conv: &'a ConvPool,
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    pub images: Images<'a>,
}

impl WithSimd for Shard<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let conv = self.conv;
        let mut rows = Rows::new(conv, S::F32_LANES);
        let pack = pack(conv, self.weight);
        let mut places = vec![0; conv.out_len()];
        let is_finite = self.weight.iter().all(|weight| weight.is_finite());
        for (image, (output, winners)) in self.images.each(conv) {
            rows.fill::<S>(conv, image, is_finite);
            for (block, weights) in pack.chunks_exact(conv.taps()).enumerate() {
                let first = block * CHANNELS;
                for y in 0..conv.out_height() {
                    for (tile, x) in (0..conv.out_width()).step_by(S::F32_LANES).enumerate() {
                        let bias = &self.bias[first..];
                        let sums = rows.convolve::<S>(simd, y, tile, weights, bias);
                        for i in 0..CHANNELS {
                            if first + i == conv.channels_out {
                                break;
                            }
                            let (largest, winner) = pool_relu(simd, sums[i], STOPPED);
                            let plane = (first + i) * conv.out_pixels();
                            let at = plane + y * conv.out_width() + x;
                            // What goes beyond a row is written again with the next ones.
                            let count = plane + conv.out_pixels() - at;
                            store_f32s(simd, &mut output[at..], count, largest);
                            store_u32s(simd, &mut places[at..], count, winner);
                        }
                    }
                }
            }
            for (winner, place) in winners.iter_mut().zip(&places) {
                *winner = *place as u8;
            }
        }
    }
}

/// Puts the weight (out, in, K, K) into blocks of channels: (block, in, K, K, channel).
fn pack(conv: &ConvPool, weight: &[f32]) -> Vec<[f32; CHANNELS]> {
    let taps = conv.taps();
    let mut pack = vec![[0.0; CHANNELS]; conv.channels_out.div_ceil(CHANNELS) * taps];
    for (channel, weights) in weight.chunks_exact(taps).enumerate() {
        for (tap, weight) in weights.iter().enumerate() {
            pack[channel / CHANNELS * taps + tap][channel % CHANNELS] = *weight;
        }
    }
    pack
}

/// An image with zeros around it, as a kernel meets it that stands over a vector of pooling windows:
/// (channel, tile, row, column of the kernel), where a tile is a vector's worth of windows.
///
/// For a column of the kernel there is a vector: the pixel that it takes in each window's upper left
/// convolution. The upper right one takes the next column's.
pub struct Rows {
    vectors: Aligned,
    /// Vectors of a row: one more than columns of the kernel.
    row: usize,
    /// Rows of a tile.
    height: usize,
    tiles: usize,
    /// Of the last row that was filled in the even columns, then the odd ones.
    halves: Vec<f32>,
    /// Of each channel the rows, those of zeros around the image counted, outside of which there
    /// are zeros alone.
    drawn: Vec<Range<usize>>,
}

impl Rows {
    /// Room for an image, in vectors of `lanes` numbers.
    pub fn new(conv: &ConvPool, lanes: usize) -> Self {
        let tiles = conv.out_width().div_ceil(lanes);
        let half = tiles * lanes + conv.kernel_size / 2;
        let half = half.max((conv.width + conv.padding).div_ceil(2));
        let (row, height) = (conv.kernel_size + 1, conv.padded_height());
        Self {
            vectors: Aligned::zeros(conv.channels_in * tiles * height * row * lanes),
            row,
            height,
            tiles,
            halves: vec![0.0; 2 * half],
            drawn: vec![0..0; conv.channels_in],
        }
    }

    /// Takes the place of the image before. Pictures have blank rows; whether products with these
    /// `may_be_skipped` depends on the other factor, since an infinite one would give NaN.
    #[inline(always)]
    pub fn fill<S: Simd>(&mut self, conv: &ConvPool, image: &[f32], may_be_skipped: bool) {
        let pad = conv.padding;
        for (channel, plane) in image.chunks_exact(conv.height * conv.width).enumerate() {
            // Without a way out, so that it goes vector by vector.
            let is_drawn = |row: &[f32]| row.iter().fold(false, |any, pixel| any | (*pixel != 0.0));
            let mut rows = plane.chunks_exact(conv.width);
            let first = rows.position(is_drawn).unwrap_or(conv.height);
            let mut rows = plane.chunks_exact(conv.width);
            let last = rows.rposition(is_drawn).unwrap_or(0);
            self.drawn[channel] = match may_be_skipped {
                true => pad + first..pad + last + 1,
                false => 0..self.height,
            };
            // Windows that take a drawn row may also take the blank one before it, or behind it.
            let Range { start, end } = self.drawn[channel];
            let taken = start.saturating_sub(1)..end + 1;
            for (y, row) in plane.chunks_exact(conv.width).enumerate() {
                if !taken.contains(&(y + pad)) {
                    continue;
                }
                self.part(pad, row);
                self.fill_row::<S>(channel, y + pad);
            }
        }
    }

    /// Parts a row, after `pad` zeros, into even and odd columns.
    #[inline(always)]
    fn part(&mut self, pad: usize, row: &[f32]) {
        let half = self.halves.len() / 2;
        let (even, odd) = self.halves.split_at_mut(half);
        // An odd number of zeros makes the first pixel an odd column.
        let (first, second) = match pad % 2 {
            0 => (&mut even[pad / 2..], &mut odd[pad / 2..]),
            _ => (&mut odd[pad / 2..], &mut even[pad / 2 + 1..]),
        };
        let (pairs, rest) = row.as_chunks::<2>();
        for ((pair, first), second) in pairs.iter().zip(&mut *first).zip(second) {
            (*first, *second) = (pair[0], pair[1]);
        }
        if let [last] = rest {
            first[pairs.len()] = *last;
        }
    }

    /// Takes a row's vectors from its halves.
    #[inline(always)]
    fn fill_row<S: Simd>(&mut self, channel: usize, y: usize) {
        let half = self.halves.len() / 2;
        for tile in 0..self.tiles {
            let at = ((channel * self.tiles + tile) * self.height + y) * self.row;
            let row = &mut self.vectors.vectors_mut::<S>()[at..at + self.row];
            for (column, vector) in row.iter_mut().enumerate() {
                let at = column % 2 * half + tile * S::F32_LANES + column / 2;
                *vector = S::as_simd_f32s(&self.halves[at..at + S::F32_LANES]).0[0];
            }
        }
    }

    /// Rows, and columns, of the kernel.
    pub fn kernel_size(&self) -> usize {
        self.row - 1
    }

    /// A row of a tile and the next one, as the upper and the lower convolutions of a window meet them.
    /// `None` beyond the image.
    #[inline(always)]
    pub fn pair<S: Simd>(&self, channel: usize, tile: usize, y: usize) -> Option<[&[S::f32s]; 2]> {
        let at = ((channel * self.tiles + tile) * self.height + y) * self.row;
        let rows = self.vectors.vectors::<S>().get(at..)?;
        let (upper, lower) = rows.get(..2 * self.row)?.split_at_checked(self.row)?;
        Some([upper, lower])
    }

    /// The rows of the kernel of which the windows in row `y` of the pooled image take anything but
    /// zeros.
    fn kernel_rows(&self, channel: usize, y: usize) -> Range<usize> {
        let Range { start, end } = self.drawn[channel];
        // Row `ky` takes rows 2 y + ky and the next one.
        let last = end.saturating_sub(2 * y).min(self.kernel_size());
        start.saturating_sub(2 * y + 1).min(last)..last
    }

    /// What the convolution gives for the windows of a tile in row `y` of the pooled image, for each
    /// channel of a block.
    #[inline(always)]
    fn convolve<S: Simd>(
        &self,
        simd: S,
        y: usize,
        tile: usize,
        weights: &[[f32; CHANNELS]],
        bias: &[f32],
    ) -> [[S::f32s; 4]; CHANNELS] {
        let mut sums = [[simd.splat_f32s(0.0); 4]; CHANNELS];
        for i in 0..CHANNELS {
            sums[i] = [simd.splat_f32s(bias[i.min(bias.len() - 1)]); 4];
        }
        let size = self.kernel_size();
        for channel in 0..self.drawn.len() {
            for ky in self.kernel_rows(channel, y) {
                let pair = self.pair::<S>(channel, tile, 2 * y + ky);
                let weights = weights.get((channel * size + ky) * size..);
                // Never comes, and is no panic: see `chunk`.
                let (Some([upper, lower]), Some(weights)) = (pair, weights) else {
                    return sums;
                };
                let windows = upper.windows(2).zip(lower.windows(2));
                for ((upper, lower), weights) in windows.zip(weights) {
                    let window = [&upper[0], &upper[1], &lower[0], &lower[1]];
                    for j in 0..4 {
                        for i in 0..CHANNELS {
                            let weight = simd.splat_f32s(weights[i]);
                            sums[i][j] = simd.mul_add_e_f32s(*window[j], weight, sums[i][j]);
                        }
                    }
                }
            }
        }
        sums
    }
}
