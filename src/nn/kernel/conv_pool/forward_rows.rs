//! The forward pass with output columns side by side in a vector: for layers with few channels.
//!
//! A vector takes every second column of the input, and so those of the convolution's outputs: the
//! four numbers of a pooling window then stand in the same lane of four vectors.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{ConvPool, Images, STOPPED};
use crate::nn::kernel::simd::{Aligned, pool_relu, store_f32s, store_u32s};

/// Channels that are worked on at a time: four sums for each, and a weight, leave room in 16 registers for
/// the pixels that a tap shares with the next one.
const CHANNELS: usize = 2;

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
        match self.conv.kernel_size {
            3 => self.pass::<S, 3>(simd),
            5 => self.pass::<S, 5>(simd),
            7 => self.pass::<S, 7>(simd),
            _ => self.pass::<S, 0>(simd),
        }
    }
}

impl Shard<'_> {
    /// `K` is the kernel's size, or 0 where the compiler need not know it.
    #[inline(always)]
    fn pass<S: Simd, const K: usize>(self, simd: S) {
        let conv = self.conv;
        let mut rows = Rows::new(conv, S::F32_LANES);
        let pack = pack(conv, self.weight);
        let mut places = vec![0; conv.out_len()];
        let is_finite = self.weight.iter().all(|weight| weight.is_finite());
        for (image, (output, winners)) in self.images.each(conv) {
            rows.fill(conv, image, is_finite);
            for (block, weights) in pack.chunks_exact(conv.taps()).enumerate() {
                let first = block * CHANNELS;
                for y in 0..conv.out_height() {
                    for (tile, x) in (0..conv.out_width()).step_by(S::F32_LANES).enumerate() {
                        let (size, bias) = (conv.kernel_size, &self.bias[first..]);
                        let sums = rows.convolve::<S, K>(simd, [y, tile], size, weights, bias);
                        for i in 0..CHANNELS {
                            if first + i == conv.channels_out {
                                break;
                            }
                            let (largest, winner) = pool_relu(simd, sums[i], true, STOPPED);
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
/// (channel, tile, row, even or odd, column), where a tile is a vector's worth of windows, and half of a
/// tile's columns are even.
///
/// From some column of a half on, a vector is what a column of the kernel takes in the upper left
/// convolution of each window. The upper right one takes the next column's, from the other half.
struct Rows {
    numbers: Aligned,
    /// Numbers of half a tile's row.
    half: usize,
    /// Rows of a tile.
    height: usize,
    tiles: usize,
    lanes: usize,
    /// Of the last row that was filled in the even columns, and the odd ones.
    halves: [Vec<f32>; 2],
    /// Of each channel the rows, those of zeros around the image counted, outside of which there
    /// are zeros alone.
    drawn: Vec<Range<usize>>,
}

impl Rows {
    /// Room for an image, in vectors of `lanes` numbers.
    fn new(conv: &ConvPool, lanes: usize) -> Self {
        let tiles = conv.out_width().div_ceil(lanes);
        let half = half(conv.kernel_size, lanes);
        let columns = (tiles - 1) * lanes + half;
        let columns = columns.max((conv.width + conv.padding).div_ceil(2));
        let height = conv.padded_height();
        Self {
            numbers: Aligned::zeros(conv.channels_in * tiles * height * 2 * half),
            half,
            height,
            tiles,
            lanes,
            halves: [vec![0.0; columns], vec![0.0; columns]],
            drawn: vec![0..0; conv.channels_in],
        }
    }

    /// Takes the place of the image before. Pictures have blank rows; whether products with these
    /// `may_be_skipped` depends on the other factor, since an infinite one would give NaN.
    #[inline(always)]
    fn fill(&mut self, conv: &ConvPool, image: &[f32], may_be_skipped: bool) {
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
                part(pad, row, &mut self.halves);
                self.fill_row(channel, y + pad);
            }
        }
    }

    /// Puts a row's halves into the tiles.
    #[inline(always)]
    fn fill_row(&mut self, channel: usize, y: usize) {
        for tile in 0..self.tiles {
            let at = ((channel * self.tiles + tile) * self.height + y) * 2 * self.half;
            let (even, odd) =
                self.numbers.numbers_mut()[at..at + 2 * self.half].split_at_mut(self.half);
            let columns = tile * self.lanes..tile * self.lanes + self.half;
            even.copy_from_slice(&self.halves[0][columns.clone()]);
            odd.copy_from_slice(&self.halves[1][columns]);
        }
    }

    /// A row of a tile and the next one, in halves, for a kernel of this `size`. `None` beyond the image.
    #[inline(always)]
    fn pair<S: Simd>(
        &self,
        channel: usize,
        tile: usize,
        y: usize,
        size: usize,
    ) -> Option<[&[f32]; 4]> {
        let half = half(size, S::F32_LANES);
        let at = ((channel * self.tiles + tile) * self.height + y) * 2 * half;
        let pair = self.numbers.numbers().get(at..)?.get(..4 * half)?;
        let mut halves = [&[][..]; 4];
        for i in 0..4 {
            halves[i] = &pair[i * half..(i + 1) * half];
        }
        Some(halves)
    }

    /// The rows of a kernel of this `size` of which the windows in row `y` of the pooled image take anything
    /// but zeros.
    fn kernel_rows(&self, channel: usize, y: usize, size: usize) -> Range<usize> {
        let Range { start, end } = self.drawn[channel];
        // Row `ky` takes rows 2 y + ky and the next one.
        let last = end.saturating_sub(2 * y).min(size);
        start.saturating_sub(2 * y + 1).min(last)..last
    }

    /// What the convolution gives for the windows of a tile in row `y` of the pooled image, for each
    /// channel of a block.
    #[inline(always)]
    fn convolve<S: Simd, const K: usize>(
        &self,
        simd: S,
        [y, tile]: [usize; 2],
        size: usize,
        weights: &[[f32; CHANNELS]],
        bias: &[f32],
    ) -> [[S::f32s; 4]; CHANNELS] {
        let size = if K == 0 { size } else { K };
        let mut sums = [[simd.splat_f32s(0.0); 4]; CHANNELS];
        for i in 0..CHANNELS {
            sums[i] = [simd.splat_f32s(bias[i.min(bias.len() - 1)]); 4];
        }
        for channel in 0..self.drawn.len() {
            for ky in self.kernel_rows(channel, y, size) {
                let halves = self.pair::<S>(channel, tile, 2 * y + ky, size);
                let weights = weights.get((channel * size + ky) * size..);
                // Never comes, and is no panic: see `chunk`.
                let (Some(halves), Some(weights)) = (halves, weights) else {
                    return sums;
                };
                let Some(weights) = weights.get(..size) else {
                    return sums;
                };
                for kx in 0..size {
                    for j in 0..4 {
                        // The upper convolutions of a window, then the lower ones.
                        let column = kx + j % 2;
                        let half = halves[j / 2 * 2 + column % 2];
                        let pixels = S::as_simd_f32s(&half[column / 2..]).0[0];
                        for i in 0..CHANNELS {
                            let weight = simd.splat_f32s(weights[kx][i]);
                            sums[i][j] = simd.mul_add_e_f32s(pixels, weight, sums[i][j]);
                        }
                    }
                }
            }
        }
        sums
    }
}

/// Numbers of half a tile's row: those that a kernel takes, and so many more that it fills vectors.
#[inline(always)]
fn half(kernel_size: usize, lanes: usize) -> usize {
    (lanes + kernel_size / 2).next_multiple_of(lanes)
}

/// Parts a row, after `pad` zeros, into even and odd columns.
#[inline(always)]
fn part(pad: usize, row: &[f32], [even, odd]: &mut [Vec<f32>; 2]) {
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
