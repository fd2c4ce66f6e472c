//! The forward pass with output columns side by side in a vector: for layers with few channels.
//!
//! The even and the odd columns of the input lie apart, and so do those of the convolution's
//! outputs: the four numbers of a pooling window then stand in the same lane of four vectors.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{ConvPool, Images, STOPPED};
use crate::nn::kernel::simd::{Aligned, load, pool_relu, store_f32s, store_u32s};

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
        // Four sums for each channel, and some registers for pixels and a weight.
        if S::REGISTER_COUNT >= 32 {
            self.run::<S, 6>(simd);
        } else {
            self.run::<S, 2>(simd);
        }
    }
}

impl Shard<'_> {
    #[inline(always)]
    fn run<S: Simd, const CHANNELS: usize>(self, simd: S) {
        let conv = self.conv;
        let mut planes = Planes::new(conv, S::F32_LANES);
        let pack = pack::<CHANNELS>(conv, self.weight);
        let mut places = vec![0; conv.out_len()];
        let is_finite = self.weight.iter().all(|weight| weight.is_finite());
        for (image, (output, winners)) in self.images.each(conv) {
            planes.fill(conv, image, is_finite);
            for (block, weights) in pack.chunks_exact(conv.taps()).enumerate() {
                let first = block * CHANNELS;
                for y in 0..conv.out_height() {
                    for x in (0..conv.out_width()).step_by(S::F32_LANES) {
                        let bias = &self.bias[first..];
                        let sums = planes.convolve::<S, CHANNELS>(simd, (y, x), weights, bias);
                        let (largest, winner) = pool_relu(simd, sums, STOPPED);
                        for i in 0..CHANNELS.min(conv.channels_out - first) {
                            let plane = (first + i) * conv.out_pixels();
                            let at = plane + y * conv.out_width() + x;
                            // What goes beyond a row is written again with the next ones.
                            let count = plane + conv.out_pixels() - at;
                            store_f32s(simd, &mut output[at..], count, largest[i]);
                            store_u32s(simd, &mut places[at..], count, winner[i]);
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
fn pack<const CHANNELS: usize>(conv: &ConvPool, weight: &[f32]) -> Vec<[f32; CHANNELS]> {
    let taps = conv.taps();
    let mut pack = vec![[0.0; CHANNELS]; conv.channels_out.div_ceil(CHANNELS) * taps];
    for (channel, weights) in weight.chunks_exact(taps).enumerate() {
        for (tap, weight) in weights.iter().enumerate() {
            pack[channel / CHANNELS * taps + tap][channel % CHANNELS] = *weight;
        }
    }
    pack
}

/// An image with zeros around it; of every row the even columns come first, then the odd ones.
pub struct Planes {
    pixels: Aligned,
    /// Numbers in half a row.
    half: usize,
    kernel_size: usize,
    /// Of each channel the rows, those of zeros around the image counted, outside of which there
    /// are zeros alone.
    drawn: Vec<Range<usize>>,
    /// For each product (in, K, K) where the four pixels are that it takes for a window, from the
    /// window's first one on.
    pub taps: Vec<[usize; 4]>,
}

impl Planes {
    /// Room for an image, to be read by vectors of `lanes` numbers.
    pub fn new(conv: &ConvPool, lanes: usize) -> Self {
        let columns = conv.out_width().next_multiple_of(lanes);
        let half = (columns + conv.padding() + 1).max((conv.width + conv.padding()).div_ceil(2));
        let half = half.next_multiple_of(lanes);
        let height = conv.height + conv.kernel_size - 1;
        let at = |channel, y, x| (channel * height + y) * 2 * half + x % 2 * half + x / 2;
        let tap = |channel, y, x| {
            [
                at(channel, y, x),
                at(channel, y, x + 1),
                at(channel, y + 1, x),
                at(channel, y + 1, x + 1),
            ]
        };
        let kernel = 0..conv.kernel_size;
        let row = |channel, y| kernel.clone().map(move |x| tap(channel, y, x));
        let taps = (0..conv.channels_in)
            .flat_map(|channel| kernel.clone().flat_map(move |y| row(channel, y)));
        Self {
            taps: taps.collect(),
            pixels: Aligned::zeros(conv.channels_in * height * 2 * half),
            half,
            kernel_size: conv.kernel_size,
            drawn: vec![0..0; conv.channels_in],
        }
    }

    /// Takes the place of the image before. Pictures have blank rows; whether products with these
    /// `may_be_skipped` depends on the other factor, since an infinite one would give NaN.
    #[inline(always)]
    pub fn fill(&mut self, conv: &ConvPool, image: &[f32], may_be_skipped: bool) {
        let pad = conv.padding();
        let height = conv.height + 2 * pad;
        for (channel, plane) in image.chunks_exact(conv.height * conv.width).enumerate() {
            let is_drawn = |row: &[f32]| row.iter().any(|pixel| *pixel != 0.0);
            let mut rows = plane.chunks_exact(conv.width);
            let first = rows.position(is_drawn).unwrap_or(conv.height);
            let mut rows = plane.chunks_exact(conv.width);
            let last = rows.rposition(is_drawn).unwrap_or(0);
            self.drawn[channel] = match may_be_skipped {
                true => pad + first..pad + last + 1,
                false => 0..height,
            };
            for (y, row) in plane.chunks_exact(conv.width).enumerate() {
                let at = (channel * height + y + pad) * 2 * self.half;
                let (even, odd) =
                    self.pixels.numbers_mut()[at..at + 2 * self.half].split_at_mut(self.half);
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
        }
    }

    /// Where the windows of a vector's worth of pooled outputs begin, from row `y` and column `x` on.
    pub fn windows(&self, y: usize, x: usize) -> usize {
        4 * y * self.half + x
    }

    /// The rows of the kernel of which the windows in row `y` of the pooled image take anything but
    /// zeros.
    fn kernel_rows(&self, channel: usize, y: usize) -> Range<usize> {
        let Range { start, end } = self.drawn[channel];
        // Row `ky` takes rows 2 y + ky and the next one.
        let last = end.saturating_sub(2 * y).min(self.kernel_size);
        start.saturating_sub(2 * y + 1).min(last)..last
    }

    /// The rows of the pooled image whose windows take anything but zeros for row `ky` of the kernel.
    pub fn pooled_rows(&self, channel: usize, ky: usize, height: usize) -> Range<usize> {
        let Range { start, end } = self.drawn[channel];
        let last = end.saturating_sub(ky).div_ceil(2).min(height);
        (start.saturating_sub(ky) / 2).min(last)..last
    }

    /// What the convolution gives for the windows of a vector from row `y` and column `x` of the
    /// pooled image on, for each channel of a block.
    #[inline(always)]
    fn convolve<S: Simd, const CHANNELS: usize>(
        &self,
        simd: S,
        (y, x): (usize, usize),
        weights: &[[f32; CHANNELS]],
        bias: &[f32],
    ) -> [[S::f32s; 4]; CHANNELS] {
        let mut sums = [[simd.splat_f32s(0.0); 4]; CHANNELS];
        for i in 0..CHANNELS {
            sums[i] = [simd.splat_f32s(bias[i.min(bias.len() - 1)]); 4];
        }
        let at = self.windows(y, x);
        let taps = self.kernel_size * self.kernel_size;
        for channel in 0..self.drawn.len() {
            let rows = self.kernel_rows(channel, y);
            let rows = channel * taps + rows.start * self.kernel_size
                ..channel * taps + rows.end * self.kernel_size;
            for (tap, weights) in self.taps[rows.clone()].iter().zip(&weights[rows]) {
                let Some(window) = self.window::<S>(tap, at) else {
                    return sums;
                };
                for i in 0..CHANNELS {
                    let weight = simd.splat_f32s(weights[i]);
                    for j in 0..4 {
                        sums[i][j] = simd.mul_add_e_f32s(window[j], weight, sums[i][j]);
                    }
                }
            }
        }
        sums
    }

    /// The pixels that a tap takes in the windows from `at` on. `None`, which never comes, beyond the
    /// image (see [`load`]).
    #[inline(always)]
    fn window<S: Simd>(&self, tap: &[usize; 4], at: usize) -> Option<[S::f32s; 4]> {
        let pixels = self.pixels.numbers();
        debug_assert!(at + tap[3] + S::F32_LANES <= pixels.len());
        Some([
            load::<S>(pixels, at + tap[0])?,
            load::<S>(pixels, at + tap[1])?,
            load::<S>(pixels, at + tap[2])?,
            load::<S>(pixels, at + tap[3])?,
        ])
    }

    /// As [`window`](Self::window), with the pixels of the next taps of the row: every second column
    /// from each of the four on, `HALF` of them.
    #[inline(always)]
    pub fn run<S: Simd, const HALF: usize>(
        &self,
        simd: S,
        tap: &[usize; 4],
        at: usize,
    ) -> Option<[[S::f32s; HALF]; 4]> {
        let mut run = [[simd.splat_f32s(0.0); HALF]; 4];
        for j in 0..4 {
            let at = at + tap[j];
            debug_assert!(at + S::F32_LANES + HALF - 1 <= self.pixels.numbers().len());
            let columns = self
                .pixels
                .numbers()
                .get(at..at + S::F32_LANES + HALF - 1)?;
            for i in 0..HALF {
                run[j][i] = load::<S>(columns, i)?;
            }
        }
        Some(run)
    }
}
