//! Weighted sums of shifted planes: the work of a convolution, forward and back to its input.

use pulp::Simd;

use crate::nn::kernel::simd::InstructionSet;

/// Vectors of a plane that are worked on at a time.
const VECTORS: usize = 3;

/// Number `i` of plane `p` is to be `bias[p] + Σ weight[p, tap] · source[offset[tap] + i]`.
///
/// A tile of some planes and [`VECTORS`] vectors of each stays in registers while all taps are gone
/// through; each number of the source is loaded once for all of the tile's planes, from where it lies.
#[derive(Debug)]
pub struct Correlation {
    offsets: Vec<usize>,
    planes: usize,
    /// Planes of a tile: with the vectors they fill the registers.
    block: usize,
    /// One block of planes after the other, in it one tap after the other, for it a weight for each
    /// plane of the block; 0 for planes that are not there.
    weights: Vec<f32>,
}

impl Correlation {
    /// Sums of `weight(plane, tap)` times the source at `offsets[tap]`.
    pub fn new(
        instruction_set: InstructionSet,
        planes: usize,
        offsets: Vec<usize>,
        weight: impl Fn(usize, usize) -> f32,
    ) -> Self {
        let block = instruction_set.rows();
        let mut weights = Vec::with_capacity(planes.next_multiple_of(block) * offsets.len());
        for first in (0..planes).step_by(block) {
            for tap in 0..offsets.len() {
                let planes_of_block = first..first + block;
                weights.extend(planes_of_block.map(|plane| {
                    let is_there = plane < planes;
                    if is_there { weight(plane, tap) } else { 0.0 }
                }));
            }
        }
        Self {
            offsets,
            planes,
            block,
            weights,
        }
    }

    /// Computes the first `len` numbers of each plane and calls `put(plane, numbers)`. `sums` is
    /// memory to work in.
    #[inline(always)]
    pub fn apply<S: Simd>(
        &self,
        simd: S,
        source: &[f32],
        bias: &[f32],
        len: usize,
        sums: &mut Vec<f32>,
        put: impl FnMut(usize, &[f32]),
    ) {
        match self.block {
            8 => self.apply_blocks::<S, 8>(simd, source, bias, len, sums, put),
            _ => self.apply_blocks::<S, 4>(simd, source, bias, len, sums, put),
        }
    }

    #[inline(always)]
    fn apply_blocks<S: Simd, const BLOCK: usize>(
        &self,
        simd: S,
        source: &[f32],
        bias: &[f32],
        len: usize,
        sums: &mut Vec<f32>,
        mut put: impl FnMut(usize, &[f32]),
    ) {
        let plane_len = len.next_multiple_of(S::F32_LANES);
        sums.resize(BLOCK * plane_len, 0.0);
        let (weights, _) = self.weights.as_chunks::<BLOCK>();
        let blocks = weights.chunks_exact(self.offsets.len().max(1));
        for (first, weights) in (0..self.planes).step_by(BLOCK).zip(blocks) {
            let mut tile = Tile::<BLOCK> {
                source,
                offsets: &self.offsets,
                weights,
                bias: std::array::from_fn(|i| bias.get(first + i).copied().unwrap_or(0.0)),
                plane_len,
                sums,
            };
            let mut at = 0;
            while at < plane_len {
                match (plane_len - at) / S::F32_LANES {
                    1 => tile.compute::<S, 1>(simd, at),
                    2 => tile.compute::<S, 2>(simd, at),
                    _ => tile.compute::<S, VECTORS>(simd, at),
                }
                at += VECTORS * S::F32_LANES;
            }
            let planes = sums.chunks_exact(plane_len);
            for (plane, numbers) in (first..self.planes).zip(planes) {
                put(plane, &numbers[..len]);
            }
        }
    }
}

/// What a tile is computed from, and where it goes.
struct Tile<'a, const BLOCK: usize> {
    source: &'a [f32],
    offsets: &'a [usize],
    weights: &'a [[f32; BLOCK]],
    bias: [f32; BLOCK],
    plane_len: usize,
    sums: &'a mut [f32],
}

impl<const BLOCK: usize> Tile<'_, BLOCK> {
    /// Computes the numbers of `N` vectors of each plane, from `at` on.
    #[inline(always)]
    fn compute<S: Simd, const N: usize>(&mut self, simd: S, at: usize) {
        let mut sums = self.bias.map(|bias| [simd.splat_f32s(bias); N]);
        for (offset, weights) in self.offsets.iter().zip(self.weights) {
            let Some(numbers) = self.source.get(offset + at..) else {
                return;
            };
            let Some(numbers) = S::as_simd_f32s(numbers).0.first_chunk::<N>() else {
                return;
            };
            for i in 0..BLOCK {
                let weight = simd.splat_f32s(weights[i]);
                for j in 0..N {
                    sums[i][j] = simd.mul_add_e_f32s(weight, numbers[j], sums[i][j]);
                }
            }
        }
        for (plane, sums) in self.sums.chunks_exact_mut(self.plane_len).zip(sums) {
            let numbers = S::as_mut_simd_f32s(&mut plane[at..]).0;
            numbers[..N].copy_from_slice(&sums);
        }
    }
}
