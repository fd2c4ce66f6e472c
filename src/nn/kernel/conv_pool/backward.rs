//! The backward pass: one multiply-add of a patch for every winner that has a gradient.
//!
//! With the channels of a pixel side by side, a row of a patch is one stretch of memory, so a
//! patch is a few vectors at fixed distances. Those of the weight and of its gradient stay in
//! registers while all winners of a channel go by.

use pulp::{Simd, WithSimd};

use super::{ConvPool, STOPPED};
use crate::nn::kernel::simd::{load, load_mut};

/// How patches lie in an image with zeros around it and the channels of a pixel side by side.
pub struct Patches {
    conv: ConvPool,
    /// Numbers in a row of the padded image.
    stride: usize,
    /// Where each vector of a patch begins, from the patch's first number on.
    vectors: Vec<usize>,
    lanes: usize,
    /// Each pooled pixel with where its window's first patch begins.
    visits: Vec<(usize, usize)>,
    /// How far from there the patch of each winner is.
    winners: [usize; STOPPED as usize],
}

impl Patches {
    pub fn new(conv: &ConvPool) -> Self {
        let lanes = conv.instruction_set.lanes();
        let stride = (conv.width + conv.kernel_size - 1) * conv.channels_in;
        let row_len = conv.kernel_size * conv.channels_in;
        let row = |ky: usize| (0..row_len).step_by(lanes).map(move |at| ky * stride + at);
        // Neighbouring windows have patches that overlap: adding to the one right after the other
        // would wait for each store. So rows come `apart` from each other.
        let apart = conv.kernel_size.div_ceil(2);
        let rows = (0..apart).flat_map(|first| (first..conv.out_height()).step_by(apart));
        let visit = |x: usize, y: usize| {
            (
                y * conv.out_width() + x,
                2 * y * stride + 2 * x * conv.channels_in,
            )
        };
        Self {
            conv: *conv,
            stride,
            vectors: (0..conv.kernel_size).flat_map(row).collect(),
            lanes,
            visits: (0..conv.out_width())
                .flat_map(|x| rows.clone().map(move |y| visit(x, y)))
                .collect(),
            winners: [0, conv.channels_in, stride, stride + conv.channels_in],
        }
    }

    /// Numbers of a patch in vectors.
    fn len(&self) -> usize {
        self.vectors.len() * self.lanes
    }

    /// Numbers of a padded image; the last patch may read a vector beyond it.
    fn padded_len(&self) -> usize {
        (self.conv.height + self.conv.kernel_size - 1) * self.stride + self.lanes
    }

    /// Calls `visit(index in the weight, index in the vectors)` for each number of the weight.
    fn for_each_weight(&self, mut visit: impl FnMut(usize, usize)) {
        let conv = &self.conv;
        let row = self.len() / conv.kernel_size;
        for out in 0..conv.channels_out {
            for channel in 0..conv.channels_in {
                for ky in 0..conv.kernel_size {
                    for kx in 0..conv.kernel_size {
                        let tap = (channel * conv.kernel_size + ky) * conv.kernel_size + kx;
                        let lane = ky * row + kx * conv.channels_in + channel;
                        visit(out * conv.taps() + tap, out * self.len() + lane);
                    }
                }
            }
        }
    }

    /// Puts the weight (out, in, K, K) into patches of vectors, zeros in the lanes left over.
    pub fn pack(&self, weight: &[f32]) -> Vec<f32> {
        let mut pack = vec![0.0; self.conv.channels_out * self.len()];
        self.for_each_weight(|from, to| pack[to] = weight[from]);
        pack
    }

    /// Puts patches of vectors back into the weight's order.
    pub fn unpack(&self, pack: &[f32]) -> Vec<f32> {
        let mut weight = vec![0.0; self.conv.channels_out * self.conv.taps()];
        self.for_each_weight(|to, from| weight[to] = pack[from]);
        weight
    }

    /// The first pixel inside the zeros.
    fn inside(&self) -> usize {
        self.conv.padding() * (self.stride + self.conv.channels_in)
    }

    fn pad(&self, image: &[f32], padded: &mut [f32]) {
        let conv = &self.conv;
        for (channel, plane) in image.chunks_exact(conv.height * conv.width).enumerate() {
            for (y, row) in plane.chunks_exact(conv.width).enumerate() {
                let to = &mut padded[self.inside() + y * self.stride + channel..];
                let to = to.iter_mut().step_by(conv.channels_in);
                to.zip(row).for_each(|(to, from)| *to = *from);
            }
        }
    }

    fn unpad(&self, padded: &[f32], image: &mut [f32]) {
        let conv = &self.conv;
        for (channel, plane) in image.chunks_exact_mut(conv.height * conv.width).enumerate() {
            for (y, row) in plane.chunks_exact_mut(conv.width).enumerate() {
                let from = &padded[self.inside() + y * self.stride + channel..];
                let from = from.iter().step_by(conv.channels_in);
                row.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
        }
    }
}

/// Some images of a batch. Gives the gradients of the packed weight and of the bias.
pub struct Shard<'a> {
    pub patches: &'a Patches,
    pub weight: &'a [f32],
    pub input: &'a [f32],
    pub winners: &'a [u8],
    pub grad_output: &'a [f32],
    pub grad_input: Option<&'a mut [f32]>,
}

/// A winner: where its patch begins, and its gradient.
type Winner = (usize, f32);

impl WithSimd for Shard<'_> {
    type Output = (Vec<f32>, Vec<f32>);

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Self::Output {
        let patches = self.patches;
        let conv = &patches.conv;
        let mut grad_weight = vec![0.0; self.weight.len()];
        let mut grad_bias = vec![0.0; conv.channels_out];
        let mut padded = vec![0.0; patches.padded_len()];
        let mut grad_padded = vec![0.0; patches.padded_len()];
        let mut found = vec![(0, 0.0); conv.out_pixels() + 1];
        for (i, image) in self.input.chunks_exact(conv.image_len()).enumerate() {
            patches.pad(image, &mut padded);
            grad_padded.fill(0.0);
            for channel in 0..conv.channels_out {
                let at = i * conv.out_len() + channel * conv.out_pixels();
                let winners = &self.winners[at..at + conv.out_pixels()];
                let grads = &self.grad_output[at..at + conv.out_pixels()];
                let found = find(patches, winners, grads, &mut found);
                grad_bias[channel] += found.iter().map(|(_, grad)| grad).sum::<f32>();
                let patch = channel * patches.len()..(channel + 1) * patches.len();
                let step = Step {
                    patches,
                    found,
                    padded: &padded,
                    weight: &self.weight[patch.clone()],
                };
                let grad_padded = self.grad_input.is_some().then_some(&mut grad_padded[..]);
                step.run(simd, &mut grad_weight[patch], grad_padded);
            }
            if let Some(grad_input) = &mut self.grad_input {
                let at = i * conv.image_len();
                patches.unpad(&grad_padded, &mut grad_input[at..at + conv.image_len()]);
            }
        }
        (grad_weight, grad_bias)
    }
}

/// Collects the winners of a channel that have a gradient.
#[inline(always)]
fn find<'a>(
    patches: &Patches,
    winners: &[u8],
    grads: &[f32],
    found: &'a mut [Winner],
) -> &'a [Winner] {
    let mut count = 0;
    for (pixel, at) in &patches.visits {
        // Written in any case and kept only if it counts: a branch would be a coin toss.
        let winner = usize::from(winners[*pixel] & 3);
        found[count] = (at + patches.winners[winner], grads[*pixel]);
        count += usize::from(winners[*pixel] != STOPPED);
    }
    &found[..count]
}

/// One channel of one image.
struct Step<'a> {
    patches: &'a Patches,
    found: &'a [Winner],
    padded: &'a [f32],
    weight: &'a [f32],
}

impl Step<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, grad_weight: &mut [f32], mut grad_padded: Option<&mut [f32]>) {
        let count = self.patches.vectors.len();
        let mut first = 0;
        // As many vectors at a time as registers hold, of the weight and of its gradient.
        if S::REGISTER_COUNT >= 32 {
            while first + 10 <= count {
                self.add::<S, 10>(simd, first, grad_weight, grad_padded.as_deref_mut());
                first += 10;
            }
        }
        while first + 5 <= count {
            self.add::<S, 5>(simd, first, grad_weight, grad_padded.as_deref_mut());
            first += 5;
        }
        while first < count {
            self.add::<S, 1>(simd, first, grad_weight, grad_padded.as_deref_mut());
            first += 1;
        }
    }

    /// Adds the products of all winners with the `N` vectors of a patch from `first` on.
    #[inline(always)]
    fn add<S: Simd, const N: usize>(
        &self,
        simd: S,
        first: usize,
        grad_weight: &mut [f32],
        grad_padded: Option<&mut [f32]>,
    ) {
        let distance: [usize; N] = std::array::from_fn(|i| self.patches.vectors[first + i]);
        let zero = simd.splat_f32s(0.0);
        let vector = |numbers: &[f32], i| load::<S>(numbers, (first + i) * S::F32_LANES);
        let mut sums: [S::f32s; N] =
            std::array::from_fn(|i| vector(grad_weight, i).unwrap_or(zero));
        match grad_padded {
            None => {
                'all: for &(patch, grad) in self.found {
                    debug_assert!(patch + distance[N - 1] + S::F32_LANES <= self.padded.len());
                    let grad = simd.splat_f32s(grad);
                    for i in 0..N {
                        let Some(pixels) = load::<S>(self.padded, patch + distance[i]) else {
                            break 'all;
                        };
                        sums[i] = simd.mul_add_e_f32s(grad, pixels, sums[i]);
                    }
                }
            }
            Some(grad_padded) => {
                let weight: [S::f32s; N] =
                    std::array::from_fn(|i| vector(self.weight, i).unwrap_or(zero));
                'all: for &(patch, grad) in self.found {
                    debug_assert!(patch + distance[N - 1] + S::F32_LANES <= self.padded.len());
                    let grad = simd.splat_f32s(grad);
                    for i in 0..N {
                        let at = patch + distance[i];
                        let (Some(pixels), Some(to)) =
                            (load::<S>(self.padded, at), load_mut::<S>(grad_padded, at))
                        else {
                            break 'all;
                        };
                        sums[i] = simd.mul_add_e_f32s(grad, pixels, sums[i]);
                        *to = simd.mul_add_e_f32s(grad, weight[i], *to);
                    }
                }
            }
        }
        for i in 0..N {
            if let Some(to) = load_mut::<S>(grad_weight, (first + i) * S::F32_LANES) {
                *to = sums[i];
            }
        }
    }
}
