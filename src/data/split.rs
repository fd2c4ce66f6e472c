//! Images with their labels.

use crate::random::{Purpose, Stream};

/// Images of one size with their labels: the `train`, `validation` or `test` part of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    pixels: Vec<u8>,
    labels: Vec<u8>,
    /// Rows and columns of an image: `pixels.len() == height * width * labels.len()`, both above 0.
    height: usize,
    width: usize,
}

/// How images are moved at random: each by up to `pixels` in each direction, blank where nothing
/// moves in, as far as `seed`, `epoch` and its index in the split say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// Pixels at most, from 0 to 2³⁰.
    pub pixels: u32,
    /// Seed of the training.
    pub seed: u64,
    /// The epoch.
    pub epoch: u32,
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
        for &index in indices {
            let start = index as usize * self.image_len();
            pixels.extend_from_slice(&self.pixels[start..start + self.image_len()]);
            labels.push(u32::from(self.labels[index as usize]));
        }
    }

    /// As [`Split::gather`], each image moved as [`Shift`] says.
    ///
    /// # Panics
    /// Like a slice, for an index of [`Split::len`] or more.
    pub fn gather_shifted(
        &self,
        indices: &[u32],
        shift: Shift,
        pixels: &mut Vec<u8>,
        labels: &mut Vec<u32>,
    ) {
        self.gather(indices, pixels, labels);
        if shift.pixels == 0 {
            return;
        }
        for (index, image) in indices
            .iter()
            .zip(pixels.chunks_exact_mut(self.image_len()))
        {
            let sample = u64::from(shift.epoch) << 32 | u64::from(*index);
            let mut stream = Stream::new(shift.seed, Purpose::Shift, sample);
            let most = i64::from(shift.pixels);
            let mut draw = || i64::from(stream.below(2 * shift.pixels + 1)) - most;
            self.shift(image, draw(), draw());
        }
    }

    /// Moves an image down by `dy` and right by `dx` pixels.
    fn shift(&self, image: &mut [u8], dy: i64, dx: i64) {
        let source = image.to_vec();
        image.fill(0);
        let inside = |at: usize, delta: i64, size: usize| {
            usize::try_from(at as i64 - delta)
                .ok()
                .filter(|from| *from < size)
        };
        for (y, row) in image.chunks_exact_mut(self.width).enumerate() {
            let Some(from_y) = inside(y, dy, self.height) else {
                continue;
            };
            let source = &source[from_y * self.width..(from_y + 1) * self.width];
            let (to, from) = if dx >= 0 {
                (dx as usize, 0)
            } else {
                (0, dx.unsigned_abs() as usize)
            };
            let count = self.width.saturating_sub(to.max(from));
            if count > 0 {
                row[to..to + count].copy_from_slice(&source[from..from + count]);
            }
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
    fn shifted_images_keep_what_stays_inside() {
        let split = Split::new(2, 3, vec![1, 2, 3, 4, 5, 6], vec![0]).unwrap();
        for (dy, dx, expected) in [
            (0, 0, [1, 2, 3, 4, 5, 6]),
            (1, 0, [0, 0, 0, 1, 2, 3]),
            (0, 1, [0, 1, 2, 0, 4, 5]),
            (-1, -1, [5, 6, 0, 0, 0, 0]),
            (2, 0, [0; 6]),
            (0, -9, [0; 6]),
        ] {
            let mut image = split.pixels().to_vec();
            split.shift(&mut image, dy, dx);
            assert_eq!(image, expected, "{dy}, {dx}");
        }
        let gather = |indices: &[u32], shift, epoch| {
            let (mut pixels, mut labels) = (vec![], vec![]);
            let shift = Shift {
                pixels: shift,
                seed: 1,
                epoch,
            };
            split.gather_shifted(indices, shift, &mut pixels, &mut labels);
            pixels
        };
        assert_eq!(gather(&[0], 0, 1), split.pixels());
        let moved: Vec<_> = (0..20).map(|epoch| gather(&[0], 1, epoch)).collect();
        assert!(
            moved.iter().any(|pixels| pixels != split.pixels()),
            "epochs differ"
        );
        assert_eq!(
            gather(&[0, 0], 1, 3),
            moved[3].repeat(2),
            "by epoch and index alone"
        );
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
