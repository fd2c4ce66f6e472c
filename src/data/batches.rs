//! The order in which images are visited, cut into batches.

use std::slice::Chunks;

use crate::random::{Purpose, Stream};

/// The images of one pass over a split, as indices into it, in batches. The last batch holds what
/// is left over.
///
/// ```
/// use cnn_tb::data::Batches;
/// let sizes: Vec<usize> = Batches::shuffled(250, 100, 7, 0).iter().map(<[u32]>::len).collect();
/// assert_eq!(sizes, [100, 100, 50]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batches {
    order: Vec<u32>,
    /// At least 1.
    batch_size: usize,
}

impl Batches {
    /// `images` images in the random order of `seed` and `epoch`. A `batch_size` of 0 counts as 1.
    pub fn shuffled(images: u32, batch_size: usize, seed: u64, epoch: u64) -> Self {
        let order = Stream::new(seed, Purpose::Order, epoch).permutation(images);
        Self {
            order,
            batch_size: batch_size.max(1),
        }
    }

    /// `images` images one after the other, as evaluation reads them. A `batch_size` of 0 counts
    /// as 1.
    pub fn sequential(images: u32, batch_size: usize) -> Self {
        Self {
            order: (0..images).collect(),
            batch_size: batch_size.max(1),
        }
    }

    /// The number of batches.
    pub fn len(&self) -> usize {
        self.order.len().div_ceil(self.batch_size)
    }

    /// Whether there is no batch.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The batches in order, each the indices of its images.
    pub fn iter(&self) -> Chunks<'_, u32> {
        self.order.chunks(self.batch_size)
    }
}

impl<'a> IntoIterator for &'a Batches {
    type Item = &'a [u32];
    type IntoIter = Chunks<'a, u32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_comes_once_and_the_last_batch_may_be_short() {
        for (images, batch_size, count) in [
            (0, 3, 0),
            (1, 3, 1),
            (3, 3, 1),
            (4, 3, 2),
            (10, 1, 10),
            (10, 0, 10),
            (5, usize::MAX, 1),
        ] {
            for batches in [
                Batches::shuffled(images, batch_size, 1, 2),
                Batches::sequential(images, batch_size),
            ] {
                assert_eq!(batches.len(), count);
                assert_eq!(batches.iter().len(), count);
                assert_eq!(batches.is_empty(), images == 0);
                let mut seen = batches.iter().collect::<Vec<_>>().concat();
                seen.sort_unstable();
                assert!(seen.into_iter().eq(0..images));
            }
        }
    }

    #[test]
    fn the_order_depends_on_seed_and_epoch_alone() {
        let order = |seed, epoch, batch_size| {
            let batches = Batches::shuffled(100, batch_size, seed, epoch);
            batches.iter().collect::<Vec<_>>().concat()
        };
        assert_eq!(order(1, 1, 10), order(1, 1, 33));
        assert_ne!(order(1, 1, 10), order(1, 2, 10));
        assert_ne!(order(1, 1, 10), order(2, 1, 10));
    }

    #[test]
    fn sequential_keeps_the_order() {
        let batches = Batches::sequential(5, 2);
        assert!(batches.into_iter().eq([&[0, 1][..], &[2, 3], &[4]]));
    }
}
