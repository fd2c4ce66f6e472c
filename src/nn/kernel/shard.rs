//! How work is split: into the same contiguous parts for any number of threads.

use std::ops::Range;

use rayon::prelude::*;

/// Parts that the images of half a batch are split into: they divide well among 2, 4 and 8 threads, and a
/// partial weight gradient for each stays small.
pub const IMAGES: usize = 4;

/// Parts that a matrix product is split into, at most: each of them packs one factor anew.
pub const MATRIX: usize = 4;

/// Multiplications that make a part worth it.
pub const MATRIX_PRODUCTS: usize = 1 << 22;

/// Splits `0..count` into at most `most` contiguous ranges, none of them empty.
pub fn shards(count: usize, most: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    let parts = count.min(most);
    (0..parts).map(move |part| count * part / parts..count * (part + 1) / parts)
}

/// The parts of `numbers`, if there are any, that belong to the ranges of `0..count` that
/// [`shards`] gives, `len` numbers for each of `0..count`.
pub fn split(
    numbers: Option<&mut [f32]>,
    count: usize,
    most: usize,
    len: usize,
) -> impl Iterator<Item = (Range<usize>, Option<&mut [f32]>)> {
    let mut rest = numbers;
    shards(count, most).map(move |range| {
        let part = rest.take().map(|numbers| {
            let (part, tail) = numbers.split_at_mut(range.len() * len);
            rest = Some(tail);
            part
        });
        (range, part)
    })
}

/// Does every task, side by side; the results are in the tasks' order.
pub fn each<Task: Send, R: Send>(
    tasks: Vec<Task>,
    work: impl Fn(Task) -> R + Send + Sync,
) -> Vec<R> {
    tasks.into_par_iter().map(work).collect()
}

/// Adds up what the shards found, in their order: two lists of numbers, empty if there are no shards.
pub fn sum(parts: Vec<(Vec<f32>, Vec<f32>)>) -> (Vec<f32>, Vec<f32>) {
    let parts = parts.into_iter().reduce(|mut sum, part| {
        add(&mut sum.0, &part.0);
        add(&mut sum.1, &part.1);
        sum
    });
    parts.unwrap_or_default()
}

/// Adds a shard's numbers to the sum of those before it.
pub fn add(sum: &mut [f32], part: &[f32]) {
    sum.iter_mut()
        .zip(part)
        .for_each(|(sum, part)| *sum += part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_cover_everything_once_and_none_is_empty() {
        for count in [0, 1, 2, IMAGES - 1, IMAGES, 100, 1001] {
            let ranges: Vec<_> = shards(count, IMAGES).collect();
            assert!(ranges.iter().all(|range| !range.is_empty()));
            assert!(ranges.iter().cloned().flatten().eq(0..count), "{count}");
        }
    }
}
