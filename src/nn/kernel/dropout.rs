//! Dropout masks, made anew wherever they are needed.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::simd::InstructionSet;
use crate::random::{Purpose, Stream};

/// Numbers that are drawn at a time.
const DRAWS: usize = 128;

/// The products of numbers, a row of them for each key, and the masks of the keys. NaN stays NaN, as in
/// PyTorch: a diverged loss stays seen.
pub fn products(
    instruction_set: InstructionSet,
    rate: f64,
    keys: &[u64],
    numbers: &[f32],
) -> Vec<f32> {
    let mut products = vec![0.0; numbers.len()];
    let row_len = (numbers.len() / keys.len().max(1)).max(1);
    let rows = numbers.par_chunks_exact(row_len);
    let rows = rows.zip(products.par_chunks_exact_mut(row_len));
    rows.zip(keys).for_each(|((numbers, products), key)| {
        instruction_set.run(Row {
            rate,
            key: *key,
            numbers,
            products,
        });
    });
    products
}

/// Fills `factors` with what the elements of a row are multiplied by: 0 with the probability `rate`, or
/// `1 / (1 − rate)`.
#[inline(always)]
pub fn fill_with_mask(factors: &mut [f32], rate: f64, key: u64) {
    let scale = (1.0 / (1.0 - rate)) as f32;
    // A rate below 1 can round up to it.
    let bound = (rate * 2f64.powi(32)).round().min(f64::from(u32::MAX)) as u32;
    let mut stream = Stream::new(key, Purpose::Dropout, 0);
    let mut draws = [0; DRAWS];
    for factors in factors.chunks_mut(DRAWS) {
        let draws = &mut draws[..factors.len()];
        stream.fill(draws);
        for (factor, draw) in factors.iter_mut().zip(draws) {
            *factor = if *draw < bound { 0.0 } else { scale };
        }
    }
}

/// A row of numbers, and where their products with its mask go.
struct Row<'a> {
    rate: f64,
    key: u64,
    numbers: &'a [f32],
    products: &'a mut [f32],
}

impl WithSimd for Row<'_> {
    type Output = ();

    // Plain loops, which the compiler turns into whatever instructions it is given here.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        fill_with_mask(self.products, self.rate, self.key);
        for (product, number) in self.products.iter_mut().zip(self.numbers) {
            *product *= number;
        }
    }
}
