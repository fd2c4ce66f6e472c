//! Weighted sums of shifted planes: the work of a convolution, forward and back to its input.

use std::ops::Range;

use pulp::Simd;

/// Vectors of a plane that are worked on at a time: with [`blocks`] of planes they fill 16 registers.
const VECTORS: usize = 2;

/// Splits planes into blocks of 5 and 6, which are worked on at a time; the last may go beyond the end.
pub fn blocks(planes: usize) -> impl Iterator<Item = Range<usize>> {
    let count = planes.div_ceil(6);
    let sixes = planes.saturating_sub(5 * count);
    (0..count).map(move |i| {
        let first = 5 * i + i.min(sixes);
        first..first + if i < sixes { 6 } else { 5 }
    })
}

/// Number `i` of plane `p` is to be `bias[p] + Σ weight[p, tap] · source[offset[tap] + i]`.
///
/// A tile of some planes and [`VECTORS`] vectors of each stays in registers while all taps are gone
/// through; each number of the source is loaded once for all of the tile's planes, from where it lies.
#[derive(Debug)]
pub struct Correlation {
    offsets: Vec<usize>,
    planes: usize,
    /// One block of planes after the other, in it one tap after the other, for it a weight for each
    /// plane of the block; 0 for planes that are not there.
    weights: Vec<f32>,
}

impl Correlation {
    /// Sums of `weight(plane, tap)` times the source at `offsets[tap]`.
    pub fn new(planes: usize, offsets: Vec<usize>, weight: impl Fn(usize, usize) -> f32) -> Self {
        let mut weights = Vec::new();
        for block in blocks(planes) {
            for tap in 0..offsets.len() {
                weights.extend(block.clone().map(|plane| {
                    let is_there = plane < planes;
                    if is_there { weight(plane, tap) } else { 0.0 }
                }));
            }
        }
        Self {
            offsets,
            planes,
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
        mut put: impl FnMut(usize, &[f32]),
    ) {
        let plane_len = len.next_multiple_of(S::F32_LANES);
        for block in blocks(self.planes) {
            let weights = block.start * self.offsets.len()..block.end * self.offsets.len();
            sums.resize(block.len() * plane_len, 0.0);
            let tiles = Tiles {
                source,
                offsets: &self.offsets,
                weights: &self.weights[weights],
                bias: bias.get(block.start..).unwrap_or_default(),
                plane_len,
                sums,
            };
            match block.len() {
                5 => tiles.compute::<S, 5>(simd),
                _ => tiles.compute::<S, 6>(simd),
            }
            let planes = sums.chunks_exact(plane_len);
            for (plane, numbers) in (block.start..self.planes).zip(planes) {
                put(plane, &numbers[..len]);
            }
        }
    }
}

/// What a block of planes is computed from, and where it goes.
struct Tiles<'a> {
    source: &'a [f32],
    offsets: &'a [usize],
    weights: &'a [f32],
    bias: &'a [f32],
    plane_len: usize,
    sums: &'a mut [f32],
}

impl Tiles<'_> {
    #[inline(always)]
    fn compute<S: Simd, const ROWS: usize>(mut self, simd: S) {
        let mut at = 0;
        while at + VECTORS * S::F32_LANES <= self.plane_len {
            self.tile::<S, ROWS, VECTORS>(simd, at);
            at += VECTORS * S::F32_LANES;
        }
        if at < self.plane_len {
            self.tile::<S, ROWS, 1>(simd, at);
        }
    }

    /// Computes the numbers of `N` vectors of each plane, from `at` on.
    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize, const N: usize>(&mut self, simd: S, at: usize) {
        let mut sums = [[simd.splat_f32s(0.0); N]; ROWS];
        for (sums, bias) in sums.iter_mut().zip(self.bias) {
            *sums = [simd.splat_f32s(*bias); N];
        }
        let (weights, _) = self.weights.as_chunks::<ROWS>();
        for (offset, weights) in self.offsets.iter().zip(weights) {
            let Some(numbers) = self.source.get(offset + at..) else {
                return;
            };
            let Some(numbers) = S::as_simd_f32s(numbers).0.first_chunk::<N>() else {
                return;
            };
            for i in 0..ROWS {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_every_plane_once_with_little_beyond() {
        for planes in 1..100 {
            let blocks: Vec<_> = blocks(planes).collect();
            assert!(blocks.iter().all(|block| [5, 6].contains(&block.len())));
            let all: Vec<_> = blocks.into_iter().flatten().collect();
            assert!(all.iter().copied().eq(0..all.len()), "{planes}");
            assert!((planes..planes + 5).contains(&all.len()), "{planes}");
            assert!(planes < 20 || all.len() == planes, "{planes}");
        }
        assert_eq!(blocks(0).count(), 0);
    }
}
