//! Sums over many numbers, in an order that is the same for all instruction sets.

/// Sums that numbers are added up in, side by side.
const LANES: usize = 32;

/// The sum of `term` over all numbers.
#[inline(always)]
pub fn sum(numbers: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        for i in 0..LANES {
            sums[i] += term(chunk[i]);
        }
    }
    add_lanes(sums) + rest.iter().map(|x| term(*x)).sum::<f32>()
}

/// The sum of `term` over all pairs.
#[inline(always)]
pub fn sum_pairs(left: &[f32], right: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let (chunks, rest) = left.as_chunks::<LANES>();
    let (right_chunks, right_rest) = right.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (left, right) in chunks.iter().zip(right_chunks) {
        for i in 0..LANES {
            sums[i] += term(left[i], right[i]);
        }
    }
    let rest = rest.iter().zip(right_rest);
    add_lanes(sums) + rest.map(|(left, right)| term(*left, *right)).sum::<f32>()
}

#[inline(always)]
fn add_lanes(mut sums: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}
