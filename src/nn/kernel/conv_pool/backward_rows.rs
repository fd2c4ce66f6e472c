//! The backward pass of a first layer with few channels, which needs no gradient of its input.
//!
//! Where a patch fills but a part of a vector, it is quicker to visit all four convolutions of each
//! pooling window, with the gradients of those that lost set to 0, than the winners one by one: a
//! vector then holds a row of windows, as in the forward pass.

use pulp::bytemuck::cast_slice_mut;
use pulp::{Simd, WithSimd};

use super::forward_rows::Rows;
use super::{ConvPool, Layer, STOPPED};
use crate::nn::kernel::simd::{Aligned, chunk, load};

/// Some images of a batch. Gives the gradients of the weight (out, in, K, K) and of the bias, a
/// vector for each number: [`add_lanes`] makes one of them.
pub struct Shard<'a> {
    pub conv: &'a ConvPool,
    pub layer: Layer<'a>,
}

impl WithSimd for Shard<'_> {
    type Output = (Vec<f32>, Vec<f32>);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        match self.conv.kernel_size {
            size if size % 5 == 0 => self.run::<S, 5, 6>(simd),
            size if size % 3 == 0 => self.run::<S, 3, 4>(simd),
            _ => self.run::<S, 1, 2>(simd),
        }
    }
}

impl Shard<'_> {
    #[inline(always)]
    fn run<S: Simd, const TAPS: usize, const COLUMNS: usize>(
        self,
        simd: S,
    ) -> (Vec<f32>, Vec<f32>) {
        let conv = self.conv;
        let mut rows = Rows::new(conv, S::F32_LANES);
        let mut gates = Gates::new(conv, S::F32_LANES);
        let count = conv.channels_out * conv.taps();
        let mut sums = Aligned::zeros(count * S::F32_LANES);
        let mut grad_bias = Aligned::zeros(conv.channels_out * S::F32_LANES);
        for (i, image) in self.layer.input.chunks_exact(conv.image_len()).enumerate() {
            let out = i * conv.out_len()..(i + 1) * conv.out_len();
            gates.winners[..conv.out_len()].copy_from_slice(&self.layer.winners[out.clone()]);
            let grads = &self.layer.grad_output[out];
            // Without a way out, so that it goes vector by vector.
            let is_finite = grads.iter().fold(true, |all, grad| all & grad.is_finite());
            rows.fill::<S>(conv, image, is_finite);
            for (channel, grads) in grads.chunks_exact(conv.out_pixels()).enumerate() {
                let grad_bias = &mut grad_bias.vectors_mut::<S>()[channel];
                *grad_bias = gates.fill::<S>(simd, channel * conv.out_pixels(), grads, *grad_bias);
                let sums = &mut sums.vectors_mut::<S>()[channel * conv.taps()..][..conv.taps()];
                for (i, sums) in sums.as_chunks_mut::<TAPS>().0.iter_mut().enumerate() {
                    let tap = (i * TAPS / conv.kernel_size, i * TAPS % conv.kernel_size);
                    gates.add::<S, TAPS, COLUMNS>(simd, &rows, tap, sums);
                }
            }
        }
        (
            sums.numbers_mut().to_vec(),
            grad_bias.numbers_mut().to_vec(),
        )
    }
}

/// Adds up the lanes of each vector.
pub fn add_lanes(conv: &ConvPool, sums: &[f32]) -> Vec<f32> {
    let vectors = sums.chunks_exact(conv.instruction_set.lanes());
    vectors.map(|lanes| lanes.iter().sum()).collect()
}

/// The gradients of one channel, by the place of the winner in its window.
struct Gates {
    tiles: Vec<Tile>,
    /// Rows of the pooled image: all those of a tile's column come first, then the next column's.
    height: usize,
    /// The winner bytes of an image, and some more for the last vector to read.
    winners: Vec<u8>,
    /// What is added to the winner bytes of a vector: nothing, or to those beyond a row, that they
    /// were stopped.
    beyond: [Vec<f32>; 2],
    /// For each tile, four vectors.
    grads: Aligned,
}

/// A vector of pooled outputs in one row.
struct Tile {
    /// Where it begins in the channel's plane.
    plane: usize,
    /// Whether it goes beyond the row.
    goes_beyond: bool,
}

impl Gates {
    fn new(conv: &ConvPool, lanes: usize) -> Self {
        let width = conv.out_width();
        let tile = |y, x| Tile {
            plane: y * width + x,
            goes_beyond: x + lanes > width,
        };
        let column = |x| (0..conv.out_height()).map(move |y| tile(y, x));
        let tiles: Vec<_> = (0..width).step_by(lanes).flat_map(column).collect();
        let beyond = |lane| {
            if lane < width % lanes {
                0.0
            } else {
                f32::from(STOPPED)
            }
        };
        Self {
            winners: vec![STOPPED; conv.out_len() + lanes],
            beyond: [vec![0.0; lanes], (0..lanes).map(beyond).collect()],
            grads: Aligned::zeros(4 * lanes * tiles.len()),
            height: conv.out_height(),
            tiles,
        }
    }

    /// Takes the gradients of the channel whose plane begins at `plane`, and adds those that ReLU
    /// let through to `sum`.
    #[inline(always)]
    fn fill<S: Simd>(&mut self, simd: S, plane: usize, grads: &[f32], sum: S::f32s) -> S::f32s {
        let zero = simd.splat_f32s(0.0);
        let mut sum = sum;
        let gates = self.grads.vectors_mut::<S>().as_chunks_mut::<4>().0;
        for (gates, tile) in gates.iter_mut().zip(&self.tiles) {
            // Whole numbers, as vectors compare them best.
            let mut place = zero;
            let places: &mut [f32] = cast_slice_mut(std::slice::from_mut(&mut place));
            let winners = &self.winners[plane + tile.plane..][..S::F32_LANES];
            for (place, winner) in places.iter_mut().zip(winners) {
                *place = f32::from(*winner);
            }
            let place = simd.add_f32s(
                place,
                simd.partial_load_f32s(&self.beyond[usize::from(tile.goes_beyond)]),
            );
            let grad = load::<S>(grads, tile.plane);
            let grad = grad.unwrap_or_else(|| simd.partial_load_f32s(&grads[tile.plane..]));
            for j in 0..4 {
                let wins = simd.equal_f32s(place, simd.splat_f32s(j as f32));
                gates[j] = simd.select_f32s(wins, grad, zero);
            }
            let stopped = simd.splat_f32s(f32::from(STOPPED));
            let let_through = simd.less_than_f32s(place, stopped);
            sum = simd.add_f32s(sum, simd.select_f32s(let_through, grad, zero));
        }
        sum
    }

    /// Adds the products of the gradients with the pixels of `TAPS` taps side by side, the first of
    /// which is in some row of (in, K) and some column; they take `COLUMNS` columns, one more.
    #[inline(always)]
    fn add<S: Simd, const TAPS: usize, const COLUMNS: usize>(
        &self,
        simd: S,
        rows: &Rows,
        (row, column): (usize, usize),
        sums: &mut [S::f32s; TAPS],
    ) {
        // Two sums a tap, since each multiply-add waits for the one before.
        let mut halves = [[simd.splat_f32s(0.0); 2]; TAPS];
        let gates = self.grads.vectors::<S>().as_chunks::<4>().0;
        let (channel, ky) = (row / rows.kernel_size(), row % rows.kernel_size());
        let drawn = rows.pooled_rows(channel, ky, self.height);
        for (tile, gates) in gates.chunks_exact(self.height).enumerate() {
            for y in drawn.clone() {
                let pair = rows.pair::<S>(channel, tile, 2 * y + ky);
                let (Some([upper, lower]), Some(gates)) = (pair, gates.get(y)) else {
                    break;
                };
                let (Some(upper), Some(lower)) = (
                    chunk::<_, COLUMNS>(upper, column),
                    chunk::<_, COLUMNS>(lower, column),
                ) else {
                    break;
                };
                for (dy, row) in [upper, lower].into_iter().enumerate() {
                    for i in 0..TAPS {
                        for dx in 0..2 {
                            let gate = gates[2 * dy + dx];
                            halves[i][dy] = simd.mul_add_e_f32s(gate, row[i + dx], halves[i][dy]);
                        }
                    }
                }
            }
        }
        for i in 0..TAPS {
            sums[i] = simd.add_f32s(sums[i], simd.add_f32s(halves[i][0], halves[i][1]));
        }
    }
}
