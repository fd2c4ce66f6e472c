//! The backward pass of a first layer with few channels, which needs no gradient of its input:
//! multiply-adds for those winners alone that have a gradient, a vector for each row of a patch.
//!
//! Pictures have blank margins, which give the weight nothing: only windows that meet what is drawn are
//! visited.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{ConvPool, Layer, STOPPED, Winner, sum};
use crate::nn::kernel::simd::{Aligned, chunk};

/// Numbers of a padded row, at most: wider images take another way.
pub const WIDEST: usize = 128;

/// Some images of a batch. Gives the gradients of the weight and of the bias.
pub struct Shard<'a> {
    pub conv: &'a ConvPool,
    pub layer: Layer<'a>,
}

impl WithSimd for Shard<'_> {
    type Output = (Vec<f32>, Vec<f32>);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        // As many rows of a patch at a time as divide it; where they begin, 32 or 128 numbers after each
        // other; and what they take together. The compiler has to know all three.
        match (self.conv.kernel_size, self.conv.padded_width()) {
            (size, ..=32) if size % 5 == 0 => self.run::<S, 5, 32, 160>(simd),
            (size, ..=32) if size % 3 == 0 => self.run::<S, 3, 32, 96>(simd),
            (_, ..=32) => self.run::<S, 1, 32, 32>(simd),
            (size, _) if size % 5 == 0 => self.run::<S, 5, WIDEST, 640>(simd),
            (size, _) if size % 3 == 0 => self.run::<S, 3, WIDEST, 384>(simd),
            _ => self.run::<S, 1, WIDEST, WIDEST>(simd),
        }
    }
}

impl Shard<'_> {
    /// `R` rows of a patch at a time.
    #[inline(always)]
    fn run<S: Simd, const R: usize, const STRIDE: usize, const SPAN: usize>(
        self,
        simd: S,
    ) -> (Vec<f32>, Vec<f32>) {
        let conv = self.conv;
        let mut padded = Padded::new(conv, STRIDE);
        let mut sums = Aligned::zeros(conv.channels_out * padded.rows.len() * S::F32_LANES);
        let mut grad_bias = vec![0.0; conv.channels_out];
        let mut winners = vec![Winner::default(); conv.out_pixels()];
        for (i, image) in self.layer.input.chunks_exact(conv.image_len()).enumerate() {
            let grads = &self.layer.grad_output[i * conv.out_len()..(i + 1) * conv.out_len()];
            // Without a way out, so that it goes vector by vector.
            let is_finite = grads.iter().fold(true, |all, grad| all & grad.is_finite());
            padded.fill(conv, image, is_finite);
            for channel in 0..conv.channels_out {
                let (places, grads) = self.layer.channel(conv, i, channel);
                grad_bias[channel] += padded.place(places, grads, &mut winners);
                let winners = padded.keep_drawn(conv, &mut winners);
                let sums = &mut sums.vectors_mut::<S>()[channel * padded.rows.len()..];
                let (rows, _) = padded.rows.as_chunks::<R>();
                for (sums, rows) in sums.as_chunks_mut::<R>().0.iter_mut().zip(rows) {
                    add::<S, R, STRIDE, SPAN>(simd, winners, &padded.pixels[rows[0]..], sums);
                }
            }
        }
        let rows = sums.numbers().chunks_exact(S::F32_LANES);
        let weight = rows.flat_map(|row| &row[..conv.kernel_size]).copied();
        (weight.collect(), grad_bias)
    }
}

/// An image with zeros around it.
struct Padded {
    /// With a row more at the end for the last vector to read.
    pixels: Vec<f32>,
    /// Numbers of a row.
    stride: usize,
    /// From a patch to each of its rows (in, K).
    rows: Vec<usize>,
    /// Where the patch of each window's first convolution begins.
    windows: Vec<u32>,
    /// Rows and columns of the pooled image outside of which a window meets zeros alone.
    drawn: [Range<usize>; 2],
}

impl Padded {
    fn new(conv: &ConvPool, stride: usize) -> Self {
        let height = conv.padded_height();
        let row = |channel: usize, ky: usize| (channel * height + ky) * stride;
        let rows = |channel| (0..conv.kernel_size).map(move |ky| row(channel, ky));
        let windows = |y| (0..conv.out_width()).map(move |x| (2 * y * stride + 2 * x) as u32);
        Self {
            pixels: vec![0.0; (conv.channels_in * height + 1) * stride],
            rows: (0..conv.channels_in).flat_map(rows).collect(),
            windows: (0..conv.out_height()).flat_map(windows).collect(),
            stride,
            drawn: [0..0, 0..0],
        }
    }

    /// Takes the place of the image before. Whether products with zeros `may_be_skipped` depends on
    /// the other factor, since an infinite one would give NaN.
    #[inline(always)]
    fn fill(&mut self, conv: &ConvPool, image: &[f32], may_be_skipped: bool) {
        for (y, row) in image.chunks_exact(conv.width).enumerate() {
            let (channel, y) = (y / conv.height, y % conv.height);
            let row_at = channel * conv.padded_height() + conv.padding + y;
            let at = row_at * self.stride + conv.padding;
            self.pixels[at..at + conv.width].copy_from_slice(row);
        }
        let counts = [conv.out_height(), conv.out_width()];
        self.drawn = counts.map(|count| 0..count);
        if may_be_skipped {
            for (windows, pixels) in self.drawn.iter_mut().zip(drawn(conv, image)) {
                // Window `i` takes rows 2 i to 2 i + K of the padded image.
                let first = (pixels.start + conv.padding).saturating_sub(conv.kernel_size);
                let end = (pixels.end + conv.padding).div_ceil(2).min(windows.end);
                *windows = first.div_ceil(2).min(end)..end;
            }
        }
    }

    /// Finds where a channel's winners are, those with a gradient of 0 too that ReLU stopped; gives the
    /// sum of the gradients. Visiting those too is cheaper than leaving them out.
    #[inline(always)]
    fn place(&self, places: &[u8], grads: &[f32], winners: &mut [Winner]) -> f32 {
        let stride = self.stride as u32;
        let found = places.iter().zip(grads).zip(&self.windows);
        for (((place, grad), window), winner) in found.zip(&mut *winners) {
            let (dy, dx) = (u32::from(place / 2 % 2), u32::from(place % 2));
            winner.at = window + dy * stride + dx;
            winner.grad = if *place < STOPPED { *grad } else { 0.0 };
        }
        sum(winners)
    }

    /// Moves those that meet what is drawn to the beginning.
    #[inline(always)]
    fn keep_drawn<'a>(&self, conv: &ConvPool, winners: &'a mut [Winner]) -> &'a [Winner] {
        let [rows, columns] = &self.drawn;
        let mut count = 0;
        for y in rows.clone() {
            let row = y * conv.out_width();
            winners.copy_within(row + columns.start..row + columns.end, count);
            count += columns.len();
        }
        &winners[..count]
    }
}

/// The rows and the columns of an image outside of which there are zeros alone.
#[inline(always)]
fn drawn(conv: &ConvPool, image: &[f32]) -> [Range<usize>; 2] {
    // Whether a bit is set in a row, or in a column, of any channel.
    let (mut rows, mut columns) = (vec![0; conv.height], vec![0; conv.width]);
    for plane in image.chunks_exact(conv.height * conv.width) {
        for (row, pixels) in rows.iter_mut().zip(plane.chunks_exact(conv.width)) {
            // Two zeros differ in the sign.
            let bits = |pixel: &f32| pixel.to_bits() << 1;
            *row |= pixels.iter().fold(0, |any, pixel| any | bits(pixel));
            for (column, pixel) in columns.iter_mut().zip(pixels) {
                *column |= bits(pixel);
            }
        }
    }
    [rows, columns].map(|bits| {
        let first = bits.iter().position(|bits| *bits != 0);
        let last = bits.iter().rposition(|bits| *bits != 0);
        first.unwrap_or(0)..last.map_or(0, |last| last + 1)
    })
}

/// Adds the winners' gradients times `R` rows of their patches to `sums`. The rows are `STRIDE` apart and
/// together `SPAN` numbers: fixed, so that a patch is looked up but once.
#[inline(always)]
fn add<S: Simd, const R: usize, const STRIDE: usize, const SPAN: usize>(
    simd: S,
    winners: &[Winner],
    pixels: &[f32],
    sums: &mut [S::f32s; R],
) {
    // Two sums a row, since each multiply-add waits for the one before.
    let mut halves = [[simd.splat_f32s(0.0); R]; 2];
    let (pairs, last) = winners.as_chunks::<2>();
    let last = match last {
        [last] => [*last, Winner { grad: 0.0, ..*last }],
        _ => [Winner::default(); 2],
    };
    'all: for pair in pairs.iter().chain([&last]) {
        for (i, winner) in pair.iter().enumerate() {
            // Never `None`, and no panic: see `chunk`.
            let Some(patch) = chunk::<_, SPAN>(pixels, winner.at as usize) else {
                break 'all;
            };
            let grad = simd.splat_f32s(winner.grad);
            for r in 0..R {
                let row = S::as_simd_f32s(&patch[r * STRIDE..][..S::F32_LANES]).0[0];
                halves[i][r] = simd.mul_add_e_f32s(grad, row, halves[i][r]);
            }
        }
    }
    for r in 0..R {
        sums[r] = simd.add_f32s(sums[r], simd.add_f32s(halves[0][r], halves[1][r]));
    }
}
