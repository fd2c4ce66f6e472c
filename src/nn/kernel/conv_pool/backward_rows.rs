//! The backward pass of a first layer with few channels, which needs no gradient of its input:
//! multiply-adds for those winners alone that have a gradient, a vector for each row of a patch.
//!
//! Pictures have blank margins, which give the weight nothing: only windows that meet what is drawn are
//! visited.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{ConvPool, Layer, STOPPED};
use crate::nn::kernel::simd::{Aligned, chunk};
use crate::nn::kernel::sum::sum;

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
            (7, ..=32) => self.run::<S, 7, 32, 224>(simd),
            (size, ..=32) if size % 5 == 0 => self.run::<S, 5, 32, 160>(simd),
            (size, ..=32) if size % 3 == 0 => self.run::<S, 3, 32, 96>(simd),
            (_, ..=32) => self.run::<S, 1, 32, 32>(simd),
            (7, _) => self.run::<S, 7, WIDEST, 896>(simd),
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
        let mut winners = Winners {
            patches: vec![0; conv.out_pixels()],
            grads: vec![0.0; conv.out_pixels()],
        };
        for (i, image) in self.layer.input.chunks_exact(conv.image_len()).enumerate() {
            let grads = &self.layer.grad_output[i * conv.out_len()..(i + 1) * conv.out_len()];
            // Without a way out, so that it goes vector by vector.
            let is_finite = grads.iter().fold(true, |all, grad| all & grad.is_finite());
            padded.fill(conv, image);
            // An infinite gradient times zero would give NaN.
            let drawn = match is_finite {
                true => padded.drawn::<STRIDE>(conv),
                false => [0..conv.out_height(), 0..conv.out_width()],
            };
            for channel in 0..conv.channels_out {
                let (places, grads) = self.layer.channel(conv, i, channel);
                grad_bias[channel] += padded.place(places, grads, &mut winners);
                let winners = winners.rows(conv, &drawn);
                let sums = &mut sums.vectors_mut::<S>()[channel * padded.rows.len()..];
                let (rows, _) = padded.rows.as_chunks::<R>();
                for (sums, rows) in sums.as_chunks_mut::<R>().0.iter_mut().zip(rows) {
                    add::<S, R, STRIDE, SPAN>(
                        simd,
                        winners.clone(),
                        &padded.pixels[rows[0]..],
                        sums,
                    );
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
        }
    }

    /// Takes the place of the image before.
    #[inline(always)]
    fn fill(&mut self, conv: &ConvPool, image: &[f32]) {
        for (y, row) in image.chunks_exact(conv.width).enumerate() {
            let (channel, y) = (y / conv.height, y % conv.height);
            let row_at = channel * conv.padded_height() + conv.padding + y;
            let at = row_at * self.stride + conv.padding;
            self.pixels[at..at + conv.width].copy_from_slice(row);
        }
    }

    /// The rows and the columns of the pooled image outside of which windows meet zeros alone.
    #[inline(always)]
    fn drawn<const STRIDE: usize>(&self, conv: &ConvPool) -> [Range<usize>; 2] {
        let height = conv.padded_height();
        // Two zeros differ in the sign.
        let bits = |pixel: &f32| pixel.to_bits() << 1;
        // Without a way out, so that it goes vector by vector.
        let is_drawn = |row: &[f32; STRIDE]| row.iter().fold(0, |any, x| any | bits(x)) != 0;
        let mut rows = height..0;
        // Whether a bit is set in a column of any row.
        let mut columns = [0; STRIDE];
        for plane in self.pixels.as_chunks::<STRIDE>().0.chunks_exact(height) {
            let first = plane.iter().position(is_drawn).unwrap_or(height);
            let end = plane.iter().rposition(is_drawn).map_or(0, |last| last + 1);
            for row in plane.get(first..end).unwrap_or_default() {
                for (column, pixel) in columns.iter_mut().zip(row) {
                    *column |= bits(pixel);
                }
            }
            rows = rows.start.min(first)..rows.end.max(end);
        }
        let first = columns.iter().position(|bits| *bits != 0);
        let last = columns.iter().rposition(|bits| *bits != 0);
        let columns = first.unwrap_or(STRIDE)..last.map_or(0, |last| last + 1);
        // Window `i` takes rows 2 i to 2 i + K.
        let windows = |pixels: Range<usize>, count: usize| {
            let first = pixels.start.saturating_sub(conv.kernel_size).div_ceil(2);
            let end = pixels.end.div_ceil(2).min(count);
            first.min(end)..end
        };
        [
            windows(rows, conv.out_height()),
            windows(columns, conv.out_width()),
        ]
    }

    /// Finds where a channel's winners are, those with a gradient of 0 too that ReLU stopped; gives the
    /// sum of the gradients. Visiting those too is cheaper than leaving them out.
    #[inline(always)]
    fn place(&self, places: &[u8], grads: &[f32], winners: &mut Winners) -> f32 {
        let stride = self.stride as u32;
        let found = winners.patches.iter_mut().zip(&mut winners.grads);
        let windows = places.iter().zip(grads).zip(&self.windows);
        for (((place, grad), window), (patch, kept)) in windows.zip(found) {
            let (dy, dx) = (u32::from(place / 2 % 2), u32::from(place % 2));
            *patch = window + dy * stride + dx;
            *kept = if *place < STOPPED { *grad } else { 0.0 };
        }
        sum(&winners.grads, |grad| grad)
    }
}

/// The winners of a channel.
struct Winners {
    /// Where their patches begin in the image.
    patches: Vec<u32>,
    grads: Vec<f32>,
}

impl Winners {
    /// Those in some rows and columns of the pooled image, row by row.
    #[inline(always)]
    fn rows<'a>(
        &'a self,
        conv: &ConvPool,
        [rows, columns]: &[Range<usize>; 2],
    ) -> impl Iterator<Item = (&'a [u32], &'a [f32])> + Clone {
        let width = conv.out_width();
        let (rows, columns) = (rows.start * width..rows.end * width, columns.clone());
        let patches = self.patches[rows.clone()].chunks_exact(width);
        let rows = patches.zip(self.grads[rows].chunks_exact(width));
        rows.map(move |(patches, grads)| (&patches[columns.clone()], &grads[columns.clone()]))
    }
}

/// Adds the winners' gradients times `R` rows of their patches to `sums`.
#[inline(always)]
fn add<'a, S: Simd, const R: usize, const STRIDE: usize, const SPAN: usize>(
    simd: S,
    rows: impl Iterator<Item = (&'a [u32], &'a [f32])>,
    pixels: &[f32],
    sums: &mut [S::f32s; R],
) {
    // Two sums a row of a patch, since each multiply-add waits for the one before.
    let mut halves = [*sums, [simd.splat_f32s(0.0); R]];
    for (patches, grads) in rows {
        let (pairs, last) = patches.as_chunks::<2>();
        let (grad_pairs, last_grad) = grads.as_chunks::<2>();
        for (patches, grads) in pairs.iter().zip(grad_pairs) {
            for i in 0..2 {
                add_patch::<S, R, STRIDE, SPAN>(
                    simd,
                    (patches[i], grads[i]),
                    pixels,
                    &mut halves[i],
                );
            }
        }
        if let ([patch], [grad]) = (last, last_grad) {
            add_patch::<S, R, STRIDE, SPAN>(simd, (*patch, *grad), pixels, &mut halves[0]);
        }
    }
    for r in 0..R {
        sums[r] = simd.add_f32s(halves[0][r], halves[1][r]);
    }
}

/// Adds a gradient times `R` rows of a patch to sums. The rows are `STRIDE` apart and together `SPAN`
/// numbers: fixed, so that the patch is looked up but once.
#[inline(always)]
fn add_patch<S: Simd, const R: usize, const STRIDE: usize, const SPAN: usize>(
    simd: S,
    (patch, grad): (u32, f32),
    pixels: &[f32],
    sums: &mut [S::f32s; R],
) {
    // Never `None`, and no panic: see `chunk`.
    let Some(patch) = chunk::<_, SPAN>(pixels, patch as usize) else {
        return;
    };
    let grad = simd.splat_f32s(grad);
    for r in 0..R {
        let row = S::as_simd_f32s(&patch[r * STRIDE..][..S::F32_LANES]).0[0];
        sums[r] = simd.mul_add_e_f32s(grad, row, sums[r]);
    }
}
