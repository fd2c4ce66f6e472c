//! The backward pass for small images of whole vectors: multiply-adds for those winners alone that have
//! a gradient, straight into the gradients of the pixels that they took.
//!
//! The images lie with the channels of a pixel side by side and zeros around them, each vector of a
//! pixel's numbers followed by that of their gradients. All of it stays in the cache next to the
//! processor: it is read, and written, once for each channel of the output.

use pulp::{Simd, WithSimd};

use super::{ConvPool, Layer, STOPPED, Winner};
use crate::nn::kernel::simd::Aligned;
use crate::nn::kernel::transpose::transpose;

/// Bytes of the cache next to the processor: those of all x86 processors with AVX2.
const NEAREST_CACHE: usize = 32 << 10;

/// How images and weights lie. Places and sizes are in vectors, or pairs of them, if nothing else is
/// said.
pub struct Pixels {
    conv: ConvPool,
    lanes: usize,
    /// A pixel.
    pixel: usize,
    /// A row of the image.
    stride: usize,
    /// Where the patch of each window's first convolution begins.
    windows: Vec<u32>,
    /// From there to the patches of all four.
    patches: [u32; 4],
}

impl Pixels {
    /// `None` for a layer that another way is better for: its pixels leave half a vector empty, or
    /// its images are large.
    pub fn new(conv: &ConvPool) -> Option<Self> {
        let lanes = conv.instruction_set.lanes();
        let pixel = conv.channels_in.div_ceil(lanes);
        let stride = conv.padded_width() * pixel;
        let bytes = 2 * conv.padded_height() * stride * lanes * size_of::<f32>();
        let empty_lanes = pixel * lanes - conv.channels_in;
        if 2 * empty_lanes >= lanes || bytes > NEAREST_CACHE {
            return None;
        }
        let at = |y, x| (y * stride + x * pixel) as u32;
        let windows = |y| (0..conv.out_width()).map(move |x| at(2 * y, 2 * x));
        Some(Self {
            conv: *conv,
            lanes,
            pixel,
            stride,
            windows: (0..conv.out_height()).flat_map(windows).collect(),
            patches: [at(0, 0), at(0, 1), at(1, 0), at(1, 1)],
        })
    }

    /// A row of a patch.
    fn row(&self) -> usize {
        self.conv.kernel_size * self.pixel
    }

    /// A patch, and a channel's weight.
    fn patch(&self) -> usize {
        self.conv.kernel_size * self.row()
    }

    /// Calls `visit(number of the weight, number of the pack)` for each number of the weight.
    fn for_each_weight(&self, mut visit: impl FnMut(usize, usize)) {
        let conv = &self.conv;
        let mut number = 0;
        for out in 0..conv.channels_out {
            for channel in 0..conv.channels_in {
                for tap in 0..conv.kernel_size * conv.kernel_size {
                    let at = out * self.patch() + tap * self.pixel;
                    visit(number, at * self.lanes + channel);
                    number += 1;
                }
            }
        }
    }

    /// Puts the weight (out, in, K, K) into patches: (out, K, K, in).
    pub fn pack(&self, weight: &[f32]) -> Aligned {
        let mut aligned = Aligned::zeros(self.conv.channels_out * self.patch() * self.lanes);
        let pack = aligned.numbers_mut();
        self.for_each_weight(|number, at| pack[at] = weight[number]);
        aligned
    }

    /// The reverse of [`pack`](Self::pack).
    pub fn unpack(&self, pack: &[f32]) -> Vec<f32> {
        let mut weight = vec![0.0; self.conv.channels_out * self.conv.taps()];
        self.for_each_weight(|number, at| weight[number] = pack[at]);
        weight
    }

    /// For each vector of channels in each row of the image: how many channels it has, where the row begins
    /// in the first one's plane and where in the pairs, both in numbers.
    #[inline(always)]
    fn rows(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let conv = &self.conv;
        (0..conv.height * self.pixel).map(move |i| {
            let (y, v) = (i / self.pixel, i % self.pixel);
            let row = (conv.padding + y) * self.stride + conv.padding * self.pixel;
            let first = v * self.lanes;
            let channels = self.lanes.min(conv.channels_in - first);
            let plane = (first * conv.height + y) * conv.width;
            (channels, plane, 2 * (row + v) * self.lanes)
        })
    }

    /// Puts an image into the pairs, and zeros for its gradients.
    #[inline(always)]
    fn pad<S: Simd>(&self, simd: S, image: &[f32], pairs: &mut Aligned) {
        for pair in pairs.vectors_mut::<S>().as_chunks_mut::<2>().0 {
            pair[1] = simd.splat_f32s(0.0);
        }
        let pairs = pairs.numbers_mut();
        let conv = &self.conv;
        for (channels, plane, at) in self.rows() {
            let from = (&image[plane..], conv.height * conv.width);
            let to = (&mut pairs[at..], 2 * self.pixel * self.lanes);
            transpose((channels, conv.width), from, to, |number| number);
        }
    }

    /// Takes an image's gradients from the pairs.
    #[inline(always)]
    fn unpad(&self, pairs: &Aligned, image: &mut [f32]) {
        let pairs = pairs.numbers();
        let conv = &self.conv;
        for (channels, plane, at) in self.rows() {
            let from = (&pairs[at + self.lanes..], 2 * self.pixel * self.lanes);
            let to = (&mut image[plane..], conv.height * conv.width);
            transpose((conv.width, channels), from, to, |number| number);
        }
    }
}

/// Some images of a batch. Gives the gradients of the packed weight and of the bias.
pub struct Shard<'a> {
    pub pixels: &'a Pixels,
    pub weight: &'a Aligned,
    pub layer: Layer<'a>,
    pub grad_input: Option<&'a mut [f32]>,
}

impl WithSimd for Shard<'_> {
    type Output = (Vec<f32>, Vec<f32>);

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Self::Output {
        let pixels = self.pixels;
        let conv = &pixels.conv;
        let patch = pixels.patch();
        let mut grad_weight = Aligned::zeros(conv.channels_out * patch * S::F32_LANES);
        let mut grad_bias = vec![0.0; conv.channels_out];
        let mut pairs = Aligned::zeros(2 * conv.padded_height() * pixels.stride * S::F32_LANES);
        let mut winners = vec![Winner::default(); conv.out_pixels()];
        for (i, image) in self.layer.input.chunks_exact(conv.image_len()).enumerate() {
            pixels.pad(simd, image, &mut pairs);
            for channel in 0..conv.channels_out {
                let (places, grads) = self.layer.channel(conv, i, channel);
                let winners = pixels.find(places, grads, &mut winners);
                let weight = channel * patch..(channel + 1) * patch;
                let pass = Pass {
                    winners,
                    weight: &self.weight.vectors::<S>()[weight.clone()],
                    grad_weight: &mut grad_weight.vectors_mut::<S>()[weight],
                    pairs: pairs.vectors_mut::<S>().as_chunks_mut().0,
                    stride: pixels.stride,
                    row: pixels.row(),
                };
                grad_bias[channel] += pass.run(simd);
            }
            if let Some(grad_input) = &mut self.grad_input {
                let image = i * conv.image_len()..(i + 1) * conv.image_len();
                pixels.unpad(&pairs, &mut grad_input[image]);
            }
        }
        (grad_weight.numbers_mut().to_vec(), grad_bias)
    }
}

impl Pixels {
    /// Collects the winners of a channel that have a gradient, at the beginning of `found`.
    #[inline(always)]
    fn find<'a>(&self, places: &[u8], grads: &[f32], found: &'a mut [Winner]) -> &'a [Winner] {
        let mut count = 0;
        for ((place, grad), window) in places.iter().zip(grads).zip(&self.windows) {
            // One that has no gradient is written too, and then overwritten: cheaper than to guess.
            found[count] = Winner {
                at: window + self.patches[usize::from(place % STOPPED)],
                grad: *grad,
            };
            count += usize::from(*place < STOPPED);
        }
        &found[..count]
    }
}

/// What the winners of one channel of an image add to gradients.
struct Pass<'a, V> {
    winners: &'a [Winner],
    weight: &'a [V],
    grad_weight: &'a mut [V],
    /// The image: numbers and their gradients.
    pairs: &'a mut [[V; 2]],
    /// A row of the image.
    stride: usize,
    /// A row of a patch.
    row: usize,
}

impl<V: Copy> Pass<'_, V> {
    /// Gives the sum of the winners' gradients, which is the bias's.
    #[inline(always)]
    fn run<S: Simd<f32s = V>>(mut self, simd: S) -> f32 {
        // As many as divide a row: weights and sums take two registers for each.
        match self.row {
            row if row % 6 == 0 => self.add::<S, 6>(simd),
            row if row % 5 == 0 => self.add::<S, 5>(simd),
            row if row % 4 == 0 => self.add::<S, 4>(simd),
            row if row % 3 == 0 => self.add::<S, 3>(simd),
            row if row % 2 == 0 => self.add::<S, 2>(simd),
            _ => self.add::<S, 1>(simd),
        }
    }

    /// `N` vectors of a row at a time. The sum of the gradients is taken along each time: that costs less than a
    /// pass of its own.
    #[inline(always)]
    fn add<S: Simd<f32s = V>, const N: usize>(&mut self, simd: S) -> f32 {
        let zero = simd.splat_f32s(0.0);
        let mut total = zero;
        let weights = self.weight.as_chunks::<N>().0;
        let grad_weights = self.grad_weight.as_chunks_mut::<N>().0;
        let (thirds, rest) = thirds(self.winners);
        for (i, (weights, grad_weights)) in weights.iter().zip(grad_weights).enumerate() {
            let (row, column) = (i * N / self.row, i * N % self.row);
            let mut part = Part {
                at: row * self.stride + column,
                weights: *weights,
                sums: [zero; N],
                total: zero,
            };
            for ((first, second), third) in thirds[0].iter().zip(thirds[1]).zip(thirds[2]) {
                for winner in [first, second, third] {
                    part.add(simd, winner, self.pairs);
                }
            }
            for winner in rest {
                part.add(simd, winner, self.pairs);
            }
            for i in 0..N {
                grad_weights[i] = simd.add_f32s(grad_weights[i], part.sums[i]);
            }
            total = part.total;
        }
        // It is the same in all lanes.
        simd.reduce_max_f32s(total)
    }
}

/// Three equal parts of the winners, and up to two more. Taken in turn they are far apart: two neighbours'
/// patches have pixels in common, whose gradients the second one had to wait for.
fn thirds(winners: &[Winner]) -> ([&[Winner]; 3], &[Winner]) {
    let third = winners.len() / 3;
    let (first, others) = winners.split_at(third);
    let (second, others) = others.split_at(third);
    let (last, rest) = others.split_at(third);
    ([first, second, last], rest)
}

/// `N` vectors of a row of a patch. All of it stays in registers while the winners go by.
struct Part<V, const N: usize> {
    /// From where a patch begins to here.
    at: usize,
    weights: [V; N],
    /// The gradients of the weights.
    sums: [V; N],
    /// The sum of the winners' gradients.
    total: V,
}

impl<V: Copy, const N: usize> Part<V, N> {
    #[inline(always)]
    fn add<S: Simd<f32s = V>>(&mut self, simd: S, winner: &Winner, pairs: &mut [[V; 2]]) {
        let grad = simd.splat_f32s(winner.grad);
        self.total = simd.add_f32s(self.total, grad);
        let pairs = pairs.get_mut(winner.at as usize + self.at..);
        // Never comes, and is no panic: see `simd::chunk`.
        let Some(pairs) = pairs.and_then(<[_]>::first_chunk_mut::<N>) else {
            return;
        };
        for i in 0..N {
            let [number, grad_number] = &mut pairs[i];
            self.sums[i] = simd.mul_add_e_f32s(grad, *number, self.sums[i]);
            *grad_number = simd.mul_add_e_f32s(grad, self.weights[i], *grad_number);
        }
    }
}
