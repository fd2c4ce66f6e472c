//! How work is split: into the same contiguous parts for any number of threads.

use std::ops::Range;

/// Parts that work is split into where there is enough of it: it divides well among few threads,
/// and a partial weight gradient for each stays small.
pub const SHARDS: usize = 12;

/// Splits `0..count` into at most [`SHARDS`] contiguous ranges, none of them empty.
pub fn shards(count: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    let parts = count.min(SHARDS);
    (0..parts).map(move |part| count * part / parts..count * (part + 1) / parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_cover_everything_once_and_none_is_empty() {
        for count in [0, 1, 2, SHARDS - 1, SHARDS, 100, 1001] {
            let ranges: Vec<_> = shards(count).collect();
            assert!(ranges.iter().all(|range| !range.is_empty()));
            assert!(ranges.iter().cloned().flatten().eq(0..count), "{count}");
        }
    }
}
