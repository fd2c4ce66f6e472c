//! Sums of products of planes: of the gradients of some images' outputs and of what these were made of.

use pulp::Simd;

use super::correlation::blocks;
use crate::nn::kernel::simd::Aligned;

/// Vectors of a plane that make the start and the end of a sum worth it: where one image has fewer,
/// several are summed up together.
pub const VECTORS_OF_SUM: usize = 96;

/// The gradients of some images' outputs. Vectors that are multiplied with the same numbers of the
/// source lie side by side: for each image one block of planes after the other, in it one position
/// after the other, for it a vector of each plane of the block.
pub struct Grads {
    numbers: Aligned,
    planes: usize,
    /// Vectors of a plane.
    count: usize,
    /// Vectors of an image.
    image_len: usize,
    /// A plane, before it is dealt out.
    plane: Vec<f32>,
}

impl Grads {
    /// Room for `planes` planes of `len` numbers, of `images` images.
    pub fn zeros<S: Simd>(images: usize, planes: usize, len: usize) -> Self {
        let count = len.div_ceil(S::F32_LANES);
        let rows = blocks(planes).last().map_or(0, |block| block.end);
        Self {
            numbers: Aligned::zeros(images * rows * count * S::F32_LANES),
            planes,
            count,
            image_len: rows * count,
            plane: vec![0.0; count * S::F32_LANES],
        }
    }

    /// Lays out an image, whose planes `put` lays out with zeros between their rows.
    #[inline(always)]
    pub fn set<'a, S: Simd>(
        &mut self,
        image: usize,
        mut planes: impl Iterator<Item = &'a [f32]>,
        put: impl Fn(&[f32], &mut [f32]),
    ) {
        let first = image * self.image_len;
        for block in blocks(self.planes) {
            for (row, plane) in (0..block.len()).zip(&mut planes) {
                put(plane, &mut self.plane);
                let first = first + block.start * self.count + row;
                let numbers = &mut self.numbers.vectors_mut::<S>()[first..];
                let numbers = numbers.iter_mut().step_by(block.len());
                let vectors = S::as_simd_f32s(&self.plane).0;
                numbers.zip(vectors).for_each(|(to, from)| *to = *from);
            }
        }
    }
}

/// Of some images the products of the gradients' planes and of a source, shifted.
pub struct Products<'a> {
    /// That of each image.
    pub sources: &'a [&'a [f32]],
    /// Where in an image of the source each tap begins.
    pub offsets: &'a [usize],
    /// The gradients.
    pub grads: &'a Grads,
}

impl Products<'_> {
    /// Adds to `sums[plane, tap]` the products of the plane and of the source at `offsets[tap]`.
    #[inline(always)]
    pub fn add<S: Simd>(&self, simd: S, sums: &mut [f32]) {
        let taps = self.offsets.len();
        for block in blocks(self.grads.planes) {
            let rows = &mut sums[block.start * taps..];
            match block.len() {
                5 => self.add_block::<S, 5>(simd, block.start, rows),
                _ => self.add_block::<S, 6>(simd, block.start, rows),
            }
        }
    }

    #[inline(always)]
    fn add_block<S: Simd, const ROWS: usize>(&self, simd: S, first: usize, rows: &mut [f32]) {
        let taps = self.offsets.len();
        // The last block may have fewer planes than rows.
        let planes = (rows.len() / taps).min(ROWS);
        for (i, offsets) in self.offsets.chunks(2).enumerate() {
            // An odd number of taps leaves one over, which is paired with itself.
            let pair = [offsets[0], offsets[offsets.len() - 1]];
            let products = self.tile::<S, ROWS>(simd, first, pair);
            for plane in 0..planes {
                for tap in 0..offsets.len() {
                    rows[plane * taps + 2 * i + tap] += products[plane][tap];
                }
            }
        }
    }

    /// The sums for `ROWS` planes, the first being `first`, and two taps.
    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize>(
        &self,
        simd: S,
        first: usize,
        offsets: [usize; 2],
    ) -> [[f32; 2]; ROWS] {
        let count = self.grads.count;
        let all_grads = self.grads.numbers.vectors::<S>();
        let mut sums = [[simd.splat_f32s(0.0); 2]; ROWS];
        for (image, source) in self.sources.iter().enumerate() {
            let at = image * self.grads.image_len + first * count;
            let (grads, _) = all_grads[at..at + ROWS * count].as_chunks::<ROWS>();
            let left = S::as_simd_f32s(&source[offsets[0]..]).0;
            let right = S::as_simd_f32s(&source[offsets[1]..]).0;
            for ((grads, left), right) in grads.iter().zip(left).zip(right) {
                for i in 0..ROWS {
                    sums[i][0] = simd.mul_add_e_f32s(grads[i], *left, sums[i][0]);
                    sums[i][1] = simd.mul_add_e_f32s(grads[i], *right, sums[i][1]);
                }
            }
        }
        let mut products = [[0.0; 2]; ROWS];
        for i in 0..ROWS {
            for j in 0..2 {
                products[i][j] = simd.reduce_sum_f32s(sums[i][j]);
            }
        }
        products
    }
}
