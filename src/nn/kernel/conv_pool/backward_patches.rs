//! The backward pass for any layer: multiply-adds for those winners alone that have a gradient.
//!
//! The images lie with the channels of a pixel side by side and zeros around them; so do the numbers of
//! a channel's weight that meet a pixel. Where a pixel fills whole vectors, each of a window's four
//! convolutions meets a *frame* of vectors of its own: the patch.
//!
//! With few channels a pixel is half a vector. A pooling window begins at an even pixel, and so at a
//! vector; the frame of all its four convolutions is the same then, of a pixel more in either direction.
//! What differs is how the weight lies in the frame: its rows begin at the first or at the second pixel,
//! so there are two copies of it, and at the first or the second row, so there is a row of zeros before
//! and one behind.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{ConvPool, Layer, STOPPED, Winner};
use crate::nn::kernel::simd::{Aligned, chunk};
use crate::nn::kernel::transpose::transpose;

/// How images and weights lie. All places and sizes are in vectors, if nothing else is said.
pub struct Frames {
    conv: ConvPool,
    lanes: usize,
    /// Numbers of a pixel.
    pixel: usize,
    /// Whether a pixel fills whole vectors.
    is_whole: bool,
    /// A row of the image.
    stride: usize,
    /// A row of a frame.
    row: usize,
    /// Where each pooling window begins in the image.
    windows: Vec<usize>,
}

impl Frames {
    pub fn new(conv: &ConvPool) -> Self {
        let lanes = conv.instruction_set.lanes();
        let pixel = conv.channels_in.next_multiple_of(lanes.div_ceil(2));
        let is_whole = pixel.is_multiple_of(lanes);
        let columns = conv.kernel_size + usize::from(!is_whole);
        let row = (columns * pixel).div_ceil(lanes);
        let step = 2 * pixel / lanes;
        // The last convolution of a whole pixel's window begins half a step further right.
        let last = (conv.out_width() - 1) * step + usize::from(is_whole) * pixel / lanes;
        // An odd last column is in no window.
        let stride = (conv.padded_width() * pixel).div_ceil(lanes);
        let stride = stride.max(last + row);
        let windows = |y| (0..conv.out_width()).map(move |x| 2 * y * stride + x * step);
        Self {
            conv: *conv,
            lanes,
            pixel,
            is_whole,
            stride,
            row,
            windows: (0..conv.out_height()).flat_map(windows).collect(),
        }
    }

    /// Copies of the weight.
    fn copies(&self) -> usize {
        if self.is_whole { 1 } else { 2 }
    }

    /// Rows of zeros before a copy of the weight, and behind it.
    fn blank_rows(&self) -> usize {
        usize::from(!self.is_whole)
    }

    /// Frames of a window, by the place of the winner.
    fn frames(&self) -> usize {
        if self.is_whole { 4 } else { 1 }
    }

    /// A copy of a channel's weight, without rows of zeros.
    fn copy(&self) -> usize {
        self.conv.kernel_size * self.row
    }

    fn image(&self) -> usize {
        self.conv.padded_height() * self.stride
    }

    /// From where a window begins to the patch of the convolution at `place`, or to the frame in whose
    /// first or second column it begins.
    fn patch(&self, place: usize) -> usize {
        let (dy, dx) = (place / 2, place % 2);
        let right = if self.is_whole {
            dx * self.pixel / self.lanes
        } else {
            0
        };
        dy * self.stride + right
    }

    /// Where in the pack of weights the rows of a channel begin that meet a window's frame.
    fn weight(&self, channel: usize, place: usize) -> usize {
        let (dy, dx) = (place / 2, place % 2);
        if self.is_whole {
            channel * self.copy()
        } else {
            ((2 * channel + dx) * (self.conv.kernel_size + 2) + 1 - dy) * self.row
        }
    }

    /// Calls `visit(number of the weight, its copy, row of the kernel, number of the frame's row)`
    /// for each number of the weight and each of its copies.
    fn for_each_weight(&self, mut visit: impl FnMut(usize, usize, usize, usize)) {
        let conv = &self.conv;
        let mut number = 0;
        for out in 0..conv.channels_out {
            for channel in 0..conv.channels_in {
                for ky in 0..conv.kernel_size {
                    for kx in 0..conv.kernel_size {
                        for dx in 0..self.copies() {
                            let at = (kx + dx) * self.pixel + channel;
                            visit(number, self.copies() * out + dx, ky, at);
                        }
                        number += 1;
                    }
                }
            }
        }
    }

    /// Puts the weight (out, in, K, K) into frames: (out, copies, K rows and those of zeros).
    pub fn pack(&self, weight: &[f32]) -> Aligned {
        let rows = self.conv.kernel_size + 2 * self.blank_rows();
        let len = self.copies() * self.conv.channels_out * rows * self.row * self.lanes;
        let mut aligned = Aligned::zeros(len);
        let pack = aligned.numbers_mut();
        self.for_each_weight(|number, copy, ky, at| {
            let row = copy * rows + ky + self.blank_rows();
            pack[row * self.row * self.lanes + at] = weight[number];
        });
        aligned
    }

    /// Adds up the copies (out, copies, K rows) of each number of the weight.
    pub fn unpack(&self, pack: &[f32]) -> Vec<f32> {
        let mut weight = vec![0.0; self.conv.channels_out * self.conv.taps()];
        self.for_each_weight(|number, copy, ky, at| {
            let row = copy * self.conv.kernel_size + ky;
            weight[number] += pack[row * self.row * self.lanes + at];
        });
        weight
    }

    /// Where row `y` of the image begins in the padded one, in numbers.
    fn padded_row(&self, y: usize) -> usize {
        let padding = self.conv.padding;
        (padding + y) * self.stride * self.lanes + padding * self.pixel
    }

    #[inline(always)]
    fn pad(&self, image: &[f32], padded: &mut [f32]) {
        let conv = &self.conv;
        for y in 0..conv.height {
            let shape = (conv.channels_in, conv.width);
            let row = (&image[y * conv.width..], conv.height * conv.width);
            let to = (&mut padded[self.padded_row(y)..], self.pixel);
            transpose(shape, row, to, |number| number);
        }
    }

    #[inline(always)]
    fn unpad(&self, padded: &[f32], image: &mut [f32]) {
        let conv = &self.conv;
        for y in 0..conv.height {
            let shape = (conv.width, conv.channels_in);
            let row = (&padded[self.padded_row(y)..], self.pixel);
            let to = (&mut image[y * conv.width..], conv.height * conv.width);
            transpose(shape, row, to, |number| number);
        }
    }
}

/// Some images of a batch. Gives the gradients of the packed weight and of the bias.
pub struct Shard<'a> {
    pub frames: &'a Frames,
    pub weight: &'a Aligned,
    pub layer: Layer<'a>,
    pub grad_input: Option<&'a mut [f32]>,
}

/// The winners of one image.
struct Winners {
    /// Those of one channel, by the copy of the weight that they take.
    channel: [Vec<Winner>; 2],
    counts: [usize; 2],
    /// Those of each frame: as many places as there are channels.
    frames: Vec<Winner>,
    frame_counts: Vec<u32>,
}

impl WithSimd for Shard<'_> {
    type Output = (Vec<f32>, Vec<f32>);

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Self::Output {
        let frames = self.frames;
        let conv = &frames.conv;
        let copy = frames.copy();
        let mut grad_weight =
            Aligned::zeros(frames.copies() * conv.channels_out * copy * S::F32_LANES);
        let mut grad_bias = vec![0.0; conv.channels_out];
        let mut padded = Aligned::zeros(frames.image() * S::F32_LANES);
        let mut grad_padded = Aligned::zeros(frames.image() * S::F32_LANES);
        let mut winners = Winners::new(frames);
        for (i, image) in self.layer.input.chunks_exact(conv.image_len()).enumerate() {
            frames.pad(image, padded.numbers_mut());
            winners.frame_counts.fill(0);
            for channel in 0..conv.channels_out {
                let (places, grads) = self.layer.channel(conv, i, channel);
                grad_bias[channel] += winners.find(frames, channel, places, grads);
                for i in 0..frames.copies() {
                    let grad_weight = grad_weight.vectors_mut::<S>();
                    let grad_weight =
                        &mut grad_weight[(frames.copies() * channel + i) * copy..][..copy];
                    let products = Products {
                        winners: &winners.channel[i][..winners.counts[i]],
                        source: (padded.vectors::<S>(), frames.stride),
                        rows: conv.kernel_size,
                        row: frames.row,
                    };
                    products.add_to(simd, grad_weight, frames.row);
                }
            }
            if let Some(grad_input) = &mut self.grad_input {
                grad_padded.numbers_mut().fill(0.0);
                frames.add_weights(simd, &winners, self.weight, &mut grad_padded);
                let at = i * conv.image_len();
                frames.unpad(
                    grad_padded.numbers(),
                    &mut grad_input[at..at + conv.image_len()],
                );
            }
        }
        (grad_weight.numbers_mut().to_vec(), grad_bias)
    }
}

impl Frames {
    /// Adds the gradient times the weight of the winners of each frame to the gradients of its pixels.
    #[inline(always)]
    fn add_weights<S: Simd>(
        &self,
        simd: S,
        winners: &Winners,
        weight: &Aligned,
        grad_padded: &mut Aligned,
    ) {
        for (i, window) in self.windows.iter().enumerate() {
            for place in 0..self.frames() {
                let products = Products {
                    winners: winners.of_frame(i * self.frames() + place),
                    source: (weight.vectors::<S>(), self.row),
                    rows: self.conv.kernel_size + self.blank_rows(),
                    row: self.row,
                };
                let frame = window + self.patch(place);
                products.add_to(
                    simd,
                    &mut grad_padded.vectors_mut::<S>()[frame..],
                    self.stride,
                );
            }
        }
    }
}

impl Winners {
    fn new(frames: &Frames) -> Self {
        let conv = &frames.conv;
        let winners = |count| vec![Winner::default(); count];
        let count = frames.frames() * conv.out_pixels();
        Self {
            channel: [winners(conv.out_pixels()), winners(conv.out_pixels())],
            counts: [0; 2],
            frames: winners(count * conv.channels_out),
            frame_counts: vec![0; count],
        }
    }

    /// Collects the winners of a channel that have a gradient; gives the sum of these.
    #[inline(never)]
    fn find(&mut self, frames: &Frames, channel: usize, places: &[u8], grads: &[f32]) -> f32 {
        let channels = frames.conv.channels_out;
        let patches: [usize; 4] = std::array::from_fn(|place| frames.patch(place));
        let weights: [usize; 4] = std::array::from_fn(|place| frames.weight(channel, place));
        let (copies, frame_count) = (frames.copies(), frames.frames());
        self.counts = [0; 2];
        let mut sum = 0.0;
        for (places, first) in places.chunks(64).zip((0..).step_by(64)) {
            let windows = &frames.windows[first..][..places.len()];
            let grads = &grads[first..][..places.len()];
            for (dx, mut going) in going(places).into_iter().enumerate() {
                let copy = dx % copies;
                let found = &mut self.channel[copy];
                let mut count = self.counts[copy];
                while going != 0 {
                    let i = going.trailing_zeros() as usize;
                    going &= going - 1;
                    let (place, grad) = (usize::from(places[i] % STOPPED), grads[i]);
                    sum += grad;
                    let at = (windows[i] + patches[place]) as u32;
                    found[count] = Winner { at, grad };
                    count += 1;
                    let at = weights[place] as u32;
                    let frame = (first + i) * frame_count + place % frame_count;
                    let frame_count = &mut self.frame_counts[frame];
                    self.frames[frame * channels + *frame_count as usize] = Winner { at, grad };
                    *frame_count += 1;
                }
                self.counts[copy] = count;
            }
        }
        sum
    }

    fn of_frame(&self, frame: usize) -> &[Winner] {
        let channels = self.frames.len() / self.frame_counts.len();
        &self.frames[frame * channels..][..self.frame_counts[frame] as usize]
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

/// The sum over winners of the gradient times the frame that begins at the winner's place.
struct Products<'a, V> {
    winners: &'a [Winner],
    /// What the frames are in, and the distance of their rows.
    source: (&'a [V], usize),
    /// Rows of a frame.
    rows: usize,
    /// Vectors of a row.
    row: usize,
}

impl<V: Copy> Products<'_, V> {
    /// Adds the sum to a frame whose rows are `stride` apart: as many vectors of a row, and as many
    /// rows, at a time as registers hold.
    #[inline(always)]
    fn add_to<S: Simd<f32s = V>>(&self, simd: S, target: &mut [V], stride: usize) {
        let has_32 = S::REGISTER_COUNT >= 32;
        let all = 0..self.rows;
        match (self.rows, self.row) {
            _ if self.winners.is_empty() => (),
            (5, row) if row % 5 == 0 && has_32 => self.add::<S, 5, 5>(simd, all, target, stride),
            (5, row) if row % 5 == 0 => {
                self.add::<S, 5, 3>(simd, 0..3, target, stride);
                self.add::<S, 5, 2>(simd, 3..5, target, stride);
            }
            (5, row) if row % 3 == 0 => self.add::<S, 3, 5>(simd, all, target, stride),
            (6, row) if row % 3 == 0 && has_32 => self.add::<S, 3, 6>(simd, all, target, stride),
            (3, row) if row % 4 == 0 => self.add::<S, 4, 3>(simd, all, target, stride),
            (3, row) if row % 3 == 0 => self.add::<S, 3, 3>(simd, all, target, stride),
            (rows, row) if row % 4 == 0 && rows % 2 == 0 => {
                self.add::<S, 4, 2>(simd, all, target, stride);
            }
            (rows, row) if row % 3 == 0 && rows % 2 == 0 => {
                self.add::<S, 3, 2>(simd, all, target, stride);
            }
            (_, row) if row % 4 == 0 => self.add::<S, 4, 1>(simd, all, target, stride),
            (_, row) if row % 3 == 0 => self.add::<S, 3, 1>(simd, all, target, stride),
            (_, row) if row % 2 == 0 => self.add::<S, 2, 1>(simd, all, target, stride),
            _ => self.add::<S, 1, 1>(simd, all, target, stride),
        }
    }

    /// As [`add_to`](Self::add_to), for some rows: `R` of them and `N` vectors of each stay in
    /// registers while all winners go by.
    #[inline(always)]
    fn add<S: Simd<f32s = V>, const N: usize, const R: usize>(
        &self,
        simd: S,
        rows: Range<usize>,
        target: &mut [V],
        target_stride: usize,
    ) {
        let (source, stride) = self.source;
        for y in rows.step_by(R) {
            for column in (0..self.row).step_by(N) {
                let mut sums = [[simd.splat_f32s(0.0); N]; R];
                'all: for winner in self.winners {
                    let grad = simd.splat_f32s(winner.grad);
                    for r in 0..R {
                        let at = winner.at as usize + (y + r) * stride + column;
                        let vectors = chunk::<_, N>(source, at);
                        debug_assert!(vectors.is_some());
                        // Never comes, and is no panic: see `chunk`.
                        let Some(vectors) = vectors else {
                            break 'all;
                        };
                        for i in 0..N {
                            sums[r][i] = simd.mul_add_e_f32s(grad, vectors[i], sums[r][i]);
                        }
                    }
                }
                for r in 0..R {
                    let at = (y + r) * target_stride + column;
                    for i in 0..N {
                        target[at + i] = simd.add_f32s(target[at + i], sums[r][i]);
                    }
                }
            }
        }
    }
}
