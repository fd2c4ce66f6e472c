//! Sums of products of planes: the weight gradient of a convolution.

use pulp::Simd;

/// Taps that are worked on at a time.
const TAPS: usize = 3;

/// The planes of some images.
pub struct Planes<'a> {
    /// One image after the other.
    pub numbers: &'a [f32],
    /// Numbers of an image.
    pub image_len: usize,
}

impl Planes<'_> {
    /// `count` vectors of an image from `at` on.
    #[inline(always)]
    fn vectors<S: Simd>(&self, image: usize, at: usize, count: usize) -> &[S::f32s] {
        &S::as_simd_f32s(&self.numbers[image * self.image_len + at..]).0[..count]
    }
}

/// Adds to `sums[plane, tap]` the products of the gradients' plane and the source at `offsets[tap]`,
/// over all images.
pub struct Products<'a> {
    /// The source.
    pub source: Planes<'a>,
    /// Where in an image of the source each tap begins.
    pub offsets: &'a [usize],
    /// The gradients: `BLOCK` planes at a time must be there, and be 0 between what counts.
    pub grads: Planes<'a>,
    /// Numbers from a plane of the gradients to the next.
    pub plane_len: usize,
    /// Numbers of a plane that count.
    pub len: usize,
    /// How many images there are.
    pub images: usize,
}

impl Products<'_> {
    /// Does it, with `BLOCK` planes of the gradients at a time.
    #[inline(always)]
    pub fn add<S: Simd, const BLOCK: usize>(&self, simd: S, sums: &mut [f32]) {
        let rows = sums.chunks_mut(BLOCK * self.offsets.len());
        for (block, rows) in rows.enumerate() {
            let first = block * BLOCK * self.plane_len;
            let (threes, rest) = self.offsets.as_chunks::<TAPS>();
            for (i, offsets) in threes.iter().enumerate() {
                let products = self.tile::<S, BLOCK, TAPS>(simd, first, *offsets);
                self.add_tile(rows, i * TAPS, products);
            }
            for (i, offset) in rest.iter().enumerate() {
                let products = self.tile::<S, BLOCK, 1>(simd, first, [*offset]);
                self.add_tile(rows, threes.len() * TAPS + i, products);
            }
        }
    }

    #[inline(always)]
    fn add_tile<const BLOCK: usize, const N: usize>(
        &self,
        rows: &mut [f32],
        tap: usize,
        products: [[f32; N]; BLOCK],
    ) {
        for (row, products) in rows.chunks_exact_mut(self.offsets.len()).zip(products) {
            let sums = row[tap..].iter_mut();
            sums.zip(products)
                .for_each(|(sum, product)| *sum += product);
        }
    }

    /// The sums for `BLOCK` planes, the first at `first`, and `N` taps.
    #[inline(always)]
    fn tile<S: Simd, const BLOCK: usize, const N: usize>(
        &self,
        simd: S,
        first: usize,
        offsets: [usize; N],
    ) -> [[f32; N]; BLOCK] {
        let count = self.len.div_ceil(S::F32_LANES);
        let mut sums = [[simd.splat_f32s(0.0); N]; BLOCK];
        for image in 0..self.images {
            let mut at = first;
            let grads: [&[S::f32s]; BLOCK] = std::array::from_fn(|_| {
                let grads = self.grads.vectors::<S>(image, at, count);
                at += self.plane_len;
                grads
            });
            let sources = offsets.map(|offset| self.source.vectors::<S>(image, offset, count));
            for at in 0..count {
                for i in 0..BLOCK {
                    for j in 0..N {
                        sums[i][j] = simd.mul_add_e_f32s(grads[i][at], sources[j][at], sums[i][j]);
                    }
                }
            }
        }
        sums.map(|sums| sums.map(|sum| simd.reduce_sum_f32s(sum)))
    }
}
