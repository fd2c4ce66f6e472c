//! Images with their labels.

use super::Augmentation;

/// Images of one size with their labels: the `train`, `validation` or `test` part of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    pixels: Vec<u8>,
    labels: Vec<u8>,
    /// Rows and columns of an image: `pixels.len() == height * width * labels.len()`, both above 0.
    height: usize,
    width: usize,
}

impl Split {
    /// Images of `height` × `width` pixels, one byte each, with their labels. `None` unless there is
    /// exactly one label an image, and a size above 0.
    pub fn new(height: usize, width: usize, pixels: Vec<u8>, labels: Vec<u8>) -> Option<Self> {
        let image_len = height.checked_mul(width).filter(|&len| len > 0)?;
        let expected = image_len.checked_mul(labels.len())?;
        (pixels.len() == expected).then_some(Self {
            pixels,
            labels,
            height,
            width,
        })
    }

    /// Images in this split.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Rows of an image.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of an image.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All pixels: row by row and image by image, [`Split::len`] × height × width.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// One label an image.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// Copies the images and labels at `indices`, in that order, over what `pixels` and `labels`
    /// hold.
    ///
    /// # Panics
    /// Like a slice, for an index of [`Split::len`] or more.
    pub fn gather(&self, indices: &[u32], pixels: &mut Vec<u8>, labels: &mut Vec<u32>) {
        pixels.clear();
        labels.clear();
        pixels.reserve(indices.len() * self.image_len());
        for &index in indices {
            let start = index as usize * self.image_len();
            pixels.extend_from_slice(&self.pixels[start..start + self.image_len()]);
            labels.push(u32::from(self.labels[index as usize]));
        }
    }

    /// As [`Split::gather`], each image changed as [`Augmentation`] says.
    ///
    /// # Panics
    /// Like a slice, for an index of [`Split::len`] or more.
    pub fn gather_augmented(
        &self,
        indices: &[u32],
        augmentation: &Augmentation,
        pixels: &mut Vec<u8>,
        labels: &mut Vec<u32>,
    ) {
        self.gather(indices, pixels, labels);
        if augmentation.is_identity() {
            return;
        }
        let size = [self.height, self.width];
        let images = pixels.chunks_exact_mut(self.image_len());
        let mut scratch = Vec::new();
        for (index, image) in indices.iter().zip(images) {
            augmentation.apply(*index, image, size, &mut scratch);
        }
    }

    fn image_len(&self) -> usize {
        self.height * self.width
    }

    /// Takes the first `count` images off (all, if there are fewer).
    pub(super) fn take_first(&mut self, count: usize) -> Self {
        let count = count.min(self.len());
        let bytes = count * self.image_len();
        let first = Self {
            pixels: self.pixels[..bytes].to_vec(),
            labels: self.labels[..count].to_vec(),
            ..*self
        };
        self.pixels.drain(..bytes);
        self.labels.drain(..count);
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four() -> Split {
        Split::new(1, 2, vec![0, 1, 10, 11, 20, 21, 30, 31], vec![5, 6, 7, 8]).unwrap()
    }

    #[test]
    fn new_holds_sizes_against_each_other() {
        assert!(Split::new(1, 2, vec![0; 4], vec![0; 2]).is_some());
        assert!(Split::new(1, 2, vec![], vec![]).is_some());
        assert!(Split::new(1, 2, vec![0; 4], vec![0; 3]).is_none());
        assert!(Split::new(0, 2, vec![], vec![]).is_none());
        assert!(Split::new(usize::MAX, 2, vec![], vec![]).is_none());
        assert!(Split::new(usize::MAX, 1, vec![], vec![0; 2]).is_none());
    }

    #[test]
    fn gather_replaces_what_was_there() {
        let (mut pixels, mut labels) = (vec![99; 5], vec![99; 5]);
        four().gather(&[3, 0, 3], &mut pixels, &mut labels);
        assert_eq!(
            (pixels, labels),
            (vec![30, 31, 0, 1, 30, 31], vec![8, 5, 8])
        );
    }

    #[test]
    fn images_are_augmented_alike_in_every_batch() {
        let pixels: Vec<u8> = (0..3 * 20).map(|at| at * 4).collect();
        let split = Split::new(4, 5, pixels, vec![7, 8, 9]).unwrap();
        for (shift, rotation, scaling) in [(0, 0.0, 0.0), (1, 0.0, 0.0), (1, 20.0, 0.1)] {
            let augmentation = Augmentation {
                shift,
                rotation,
                scaling,
                seed: 1,
                epoch: 3,
            };
            let gather = |indices: &[u32]| {
                let (mut pixels, mut labels) = (vec![99; 5], vec![99; 5]);
                split.gather_augmented(indices, &augmentation, &mut pixels, &mut labels);
                (pixels, labels)
            };
            let (together, labels) = gather(&[2, 0, 2, 1]);
            assert_eq!(labels, [9, 7, 9, 8]);
            let alone = [2, 0, 2, 1].map(|index| gather(&[index]).0).concat();
            assert_eq!(together, alone);
            let is_unchanged = together[20..40] == split.pixels()[..20];
            assert_eq!(is_unchanged, augmentation.is_identity());
        }
    }

    #[test]
    fn take_first_leaves_the_rest() {
        let mut rest = four();
        let first = rest.take_first(1);
        assert_eq!(first, Split::new(1, 2, vec![0, 1], vec![5]).unwrap());
        assert_eq!(
            (rest.len(), rest.labels(), &rest.pixels()[..2]),
            (3, &[6, 7, 8][..], &[10, 11][..])
        );
        assert_eq!(rest.take_first(9).len(), 3);
        assert!(rest.is_empty());
    }
}
