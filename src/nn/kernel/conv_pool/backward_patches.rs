//! The backward pass for any layer: multiply-adds for those winners alone that have a gradient.
//!
//! The images lie with the channels of a pixel side by side and zeros around them. A pooling window
//! begins at an even pixel, and with the channels filled up to half a vector it begins at a vector,
//! too. The patches of its four convolutions lie in one *frame*, of a pixel more in either
//! direction, whose vectors are those of the image. What differs between the four is how the weight
//! lies in the frame: its rows begin at the first or at the second pixel, so there are two copies
//! of it, and at the first or the second row, so there is a row of zeros before and one behind.

use pulp::{Simd, WithSimd};

use super::{ConvPool, Layer, STOPPED};
use crate::nn::kernel::simd::Aligned;

/// How images and weights lie. All places and sizes are in vectors, if nothing else is said.
pub struct Frames {
    conv: ConvPool,
    lanes: usize,
    /// Numbers of a pixel.
    pixel: usize,
    /// A row of the image.
    stride: usize,
    /// A row of a frame.
    row: usize,
    /// Where the frame of each pooling window begins in the image.
    windows: Vec<usize>,
}

impl Frames {
    pub fn new(conv: &ConvPool) -> Self {
        let lanes = conv.instruction_set.lanes();
        let pixel = conv.channels_in.next_multiple_of(lanes.div_ceil(2));
        let row = ((conv.kernel_size + 1) * pixel).div_ceil(lanes);
        let step = 2 * pixel / lanes;
        let stride = (conv.out_width() - 1) * step + row;
        // An odd last column is in no window.
        let stride = stride.max(((conv.width + conv.kernel_size - 1) * pixel).div_ceil(lanes));
        let windows = |y| (0..conv.out_width()).map(move |x| 2 * y * stride + x * step);
        Self {
            conv: *conv,
            lanes,
            pixel,
            stride,
            row,
            windows: (0..conv.out_height()).flat_map(windows).collect(),
        }
    }

    /// A copy of a channel's weight, without rows of zeros.
    fn copy(&self) -> usize {
        self.conv.kernel_size * self.row
    }

    fn image(&self) -> usize {
        (self.conv.height + self.conv.kernel_size - 1) * self.stride
    }

    /// Calls `visit(number of the weight, its copy, row of the kernel, number of the frame's row)`
    /// for each number of the weight and each of the two copies.
    fn for_each_weight(&self, mut visit: impl FnMut(usize, usize, usize, usize)) {
        let conv = &self.conv;
        let mut number = 0;
        for out in 0..conv.channels_out {
            for channel in 0..conv.channels_in {
                for ky in 0..conv.kernel_size {
                    for kx in 0..conv.kernel_size {
                        for dx in 0..2 {
                            let at = (kx + dx) * self.pixel + channel;
                            visit(number, 2 * out + dx, ky, at);
                        }
                        number += 1;
                    }
                }
            }
        }
    }

    /// Puts the weight (out, in, K, K) into frames: (out, 2 copies, K + 2 rows).
    pub fn pack(&self, weight: &[f32]) -> Aligned {
        let rows = self.conv.kernel_size + 2;
        let len = 2 * self.conv.channels_out * rows * self.row * self.lanes;
        let mut aligned = Aligned::zeros(len);
        let pack = aligned.numbers_mut();
        self.for_each_weight(|number, copy, ky, at| {
            pack[(copy * rows + ky + 1) * self.row * self.lanes + at] = weight[number];
        });
        aligned
    }

    /// Adds up the two copies (out, 2 copies, K rows) of each number of the weight.
    pub fn unpack(&self, pack: &[f32]) -> Vec<f32> {
        let mut weight = vec![0.0; self.conv.channels_out * self.conv.taps()];
        self.for_each_weight(|number, copy, ky, at| {
            let row = copy * self.conv.kernel_size + ky;
            weight[number] += pack[row * self.row * self.lanes + at];
        });
        weight
    }

    /// Calls `visit(row of the image, where it begins in the padded one)`, both in numbers.
    #[inline(always)]
    fn for_each_row(&self, mut visit: impl FnMut(usize, usize)) {
        let conv = &self.conv;
        for channel in 0..conv.channels_in {
            for y in 0..conv.height {
                let row = (channel * conv.height + y) * conv.width;
                let above = (conv.padding() + y) * self.stride * self.lanes;
                visit(row, above + conv.padding() * self.pixel + channel);
            }
        }
    }

    #[inline(never)]
    fn pad(&self, image: &[f32], padded: &mut [f32]) {
        self.for_each_row(|row, at| {
            let row = &image[row..row + self.conv.width];
            let to = padded[at..].iter_mut().step_by(self.pixel);
            to.zip(row).for_each(|(to, from)| *to = *from);
        });
    }

    #[inline(never)]
    fn unpad(&self, padded: &[f32], image: &mut [f32]) {
        self.for_each_row(|row, at| {
            let row = &mut image[row..row + self.conv.width];
            let from = padded[at..].iter().step_by(self.pixel);
            row.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        });
    }
}

/// Some images of a batch. Gives the gradients of the packed weight and of the bias.
pub struct Shard<'a> {
    pub frames: &'a Frames,
    pub weight: &'a Aligned,
    pub layer: Layer<'a>,
    pub grad_input: Option<&'a mut [f32]>,
}

impl WithSimd for Shard<'_> {
    type Output = (Vec<f32>, Vec<f32>);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        // Tiles of the weight's gradient, and of the input's, that registers hold: vectors of a frame's
        // row, and rows.
        match (self.frames.row, self.frames.conv.kernel_size) {
            (3, 5) if S::REGISTER_COUNT >= 32 => self.run::<S, 3, 5, 3, 6>(simd),
            (row, 5) if row % 6 == 0 => self.run::<S, 3, 5, 6, 2>(simd),
            (row, 3) if row % 4 == 0 => self.run::<S, 4, 3, 4, 2>(simd),
            (row, _) if row % 6 == 0 => self.run::<S, 6, 1, 6, 2>(simd),
            (row, _) if row % 4 == 0 => self.run::<S, 4, 1, 4, 2>(simd),
            (row, _) if row % 3 == 0 => self.run::<S, 3, 1, 3, 2>(simd),
            (row, _) if row % 2 == 0 => self.run::<S, 2, 1, 2, 2>(simd),
            _ => self.run::<S, 1, 1, 1, 2>(simd),
        }
    }
}

/// A pooled output that has a gradient.
#[derive(Clone, Copy, Default)]
struct Winner {
    /// Where its patch begins in the image; or its weight, in the pack.
    at: u32,
    grad: f32,
}

/// The winners of one image.
struct Winners {
    /// Those of one channel, by the copy of the weight that they take.
    channel: [Vec<Winner>; 2],
    counts: [usize; 2],
    /// Those of each window: as many places as there are channels.
    windows: Vec<Winner>,
    window_counts: Vec<u32>,
}

impl Shard<'_> {
    #[inline(always)]
    fn run<S: Simd, const N: usize, const R: usize, const N1: usize, const R1: usize>(
        mut self,
        simd: S,
    ) -> (Vec<f32>, Vec<f32>) {
        let frames = self.frames;
        let conv = &frames.conv;
        let weight = self.weight.vectors::<S>();
        let copy = frames.copy();
        let mut grad_weight = Aligned::zeros(2 * conv.channels_out * copy * frames.lanes);
        let mut grad_bias = vec![0.0; conv.channels_out];
        let mut padded = Aligned::zeros(frames.image() * frames.lanes);
        let mut grad_padded = Aligned::zeros(frames.image() * frames.lanes);
        let mut winners = Winners::new(conv);
        for (i, image) in self.layer.input.chunks_exact(conv.image_len()).enumerate() {
            frames.pad(image, padded.numbers_mut());
            grad_padded.numbers_mut().fill(0.0);
            winners.window_counts.fill(0);
            for channel in 0..conv.channels_out {
                let plane = (i * conv.channels_out + channel) * conv.out_pixels();
                let plane = plane..plane + conv.out_pixels();
                let places = &self.layer.winners[plane.clone()];
                let grads = &self.layer.grad_output[plane];
                grad_bias[channel] += winners.find(frames, channel, places, grads);
                for dx in 0..2 {
                    let found = &winners.channel[dx][..winners.counts[dx]];
                    let grad_weight = grad_weight.vectors_mut::<S>();
                    let grad_weight = &mut grad_weight[(2 * channel + dx) * copy..][..copy];
                    frames.add_pixels::<S, N, R>(simd, found, padded.vectors::<S>(), grad_weight);
                }
            }
            if let Some(grad_input) = &mut self.grad_input {
                let at = i * conv.image_len();
                let image = &mut grad_input[at..at + conv.image_len()];
                frames.add_weights::<S, N1, R1>(
                    simd,
                    &winners,
                    weight,
                    grad_padded.vectors_mut::<S>(),
                );
                frames.unpad(grad_padded.numbers_mut(), image);
            }
        }
        (grad_weight.numbers_mut().to_vec(), grad_bias)
    }
}

impl Winners {
    fn new(conv: &ConvPool) -> Self {
        let winners = |count| vec![Winner::default(); count];
        Self {
            channel: [winners(conv.out_pixels()), winners(conv.out_pixels())],
            counts: [0; 2],
            windows: winners(conv.out_len()),
            window_counts: vec![0; conv.out_pixels()],
        }
    }

    /// Collects the winners of a channel that have a gradient; gives the sum of these.
    #[inline(never)]
    fn find(&mut self, frames: &Frames, channel: usize, places: &[u8], grads: &[f32]) -> f32 {
        let channels = frames.conv.channels_out;
        let rows = frames.conv.kernel_size + 2;
        self.counts = [0; 2];
        let mut sum = 0.0;
        for (places, first) in places.chunks(64).zip((0..).step_by(64)) {
            let going = going(places);
            for dx in 0..2 {
                let mut going = going[dx];
                let found = &mut self.channel[dx];
                let mut count = self.counts[dx];
                while going != 0 {
                    let place = going.trailing_zeros() as usize;
                    going &= going - 1;
                    let window = first + place;
                    let dy = usize::from(places[place] >> 1);
                    let grad = grads[window];
                    sum += grad;
                    let at = (frames.windows[window] + dy * frames.stride) as u32;
                    found[count] = Winner { at, grad };
                    count += 1;
                    let at = (((2 * channel + dx) * rows + 1 - dy) * frames.row) as u32;
                    let window_count = &mut self.window_counts[window];
                    self.windows[window * channels + *window_count as usize] = Winner { at, grad };
                    *window_count += 1;
                }
                self.counts[dx] = count;
            }
        }
        sum
    }

    fn of_window(&self, window: usize) -> &[Winner] {
        let channels = self.windows.len() / self.window_counts.len();
        &self.windows[window * channels..][..self.window_counts[window] as usize]
    }
}

/// Of at most 64 winners, a bit for each that stood left in its window and that ReLU let through;
/// and a bit for each that stood right.
fn going(places: &[u8]) -> [u64; 2] {
    const BIT: u64 = 0x0101_0101_0101_0101;
    let mut going = [0; 2];
    let (eights, rest) = places.as_chunks::<8>();
    let mut last = [STOPPED; 8];
    last[..rest.len()].copy_from_slice(rest);
    for (i, eight) in eights.iter().chain([&last]).enumerate() {
        // A winner is below `STOPPED`, a power of 2, whose bit so tells; the lowest says right.
        let places = u64::from_le_bytes(*eight);
        let let_through = (!places / u64::from(STOPPED)) & BIT;
        for (going, bytes) in going
            .iter_mut()
            .zip([let_through & !places, let_through & places])
        {
            // The product moves the bits of the bytes side by side, into the uppermost byte.
            *going |= (bytes.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * i % 64);
        }
    }
    going
}

impl Frames {
    /// Adds each winner's gradient times the pixels of its patch to the gradient of the weight:
    /// `R` rows of `N` vectors stay in registers while all winners go by.
    #[inline(always)]
    fn add_pixels<S: Simd, const N: usize, const R: usize>(
        &self,
        simd: S,
        found: &[Winner],
        padded: &[S::f32s],
        grad_weight: &mut [S::f32s],
    ) {
        for ky in (0..self.conv.kernel_size).step_by(R) {
            for column in (0..self.row).step_by(N) {
                let mut sums = [[simd.splat_f32s(0.0); N]; R];
                'all: for winner in found {
                    let grad = simd.splat_f32s(winner.grad);
                    for r in 0..R {
                        let at = winner.at as usize + (ky + r) * self.stride + column;
                        let pixels = padded.get(at..).and_then(<[_]>::first_chunk::<N>);
                        debug_assert!(pixels.is_some());
                        // Never comes, and is no panic: a loop that can panic keeps its sums in
                        // memory.
                        let Some(pixels) = pixels else {
                            break 'all;
                        };
                        for i in 0..N {
                            sums[r][i] = simd.mul_add_e_f32s(grad, pixels[i], sums[r][i]);
                        }
                    }
                }
                for r in 0..R {
                    let at = (ky + r) * self.row + column;
                    for i in 0..N {
                        grad_weight[at + i] = simd.add_f32s(grad_weight[at + i], sums[r][i]);
                    }
                }
            }
        }
    }

    /// Adds the gradient times the weight of all winners of a window to the gradients of the pixels
    /// of its frame: `R` rows of `N` vectors stay in registers while all winners go by.
    #[inline(always)]
    fn add_weights<S: Simd, const N: usize, const R: usize>(
        &self,
        simd: S,
        winners: &Winners,
        weight: &[S::f32s],
        grad_padded: &mut [S::f32s],
    ) {
        for (window, frame) in self.windows.iter().enumerate() {
            let found = winners.of_window(window);
            for y in (0..=self.conv.kernel_size).step_by(R) {
                for column in (0..self.row).step_by(N) {
                    let mut sums = [[simd.splat_f32s(0.0); N]; R];
                    'all: for winner in found {
                        let grad = simd.splat_f32s(winner.grad);
                        for r in 0..R {
                            let at = winner.at as usize + (y + r) * self.row + column;
                            let weights = weight.get(at..).and_then(<[_]>::first_chunk::<N>);
                            debug_assert!(weights.is_some());
                            let Some(weights) = weights else {
                                break 'all;
                            };
                            for i in 0..N {
                                sums[r][i] = simd.mul_add_e_f32s(grad, weights[i], sums[r][i]);
                            }
                        }
                    }
                    for r in 0..R {
                        let at = frame + (y + r) * self.stride + column;
                        for i in 0..N {
                            grad_padded[at + i] = simd.add_f32s(grad_padded[at + i], sums[r][i]);
                        }
                    }
                }
            }
        }
    }
}
