//! Training images moved, turned and scaled at random.

use crate::random::{Purpose, Stream};

/// Further than the largest image is wide.
const MAX_SHIFT: u32 = 1 << 30;

/// How training images are changed at random, so that no epoch shows the same image twice.
///
/// What happens to an image is a function of `seed`, `epoch` and its index in the split alone. It is
/// turned and scaled about its centre, then moved by whole pixels; what comes in from outside is 0.
/// See [`Split::gather_augmented`](super::Split::gather_augmented).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augmentation {
    /// Pixels at most by which an image is moved in each direction; more than 2³⁰ count as so many.
    pub shift: u32,
    /// Degrees at most by which it is turned, either way.
    pub rotation: f64,
    /// How much larger or smaller it becomes at most, from 0 to below 1: with 0.1 its sides are
    /// multiplied by 0.9 to 1.1.
    pub scaling: f64,
    /// Seed of the training.
    pub seed: u64,
    /// The epoch.
    pub epoch: u32,
}

impl Augmentation {
    /// Whether every image stays as it is.
    pub fn is_identity(&self) -> bool {
        self.shift == 0 && self.is_whole_pixels()
    }

    /// Whether images are only moved, which is a copy without arithmetic.
    fn is_whole_pixels(&self) -> bool {
        self.rotation == 0.0 && self.scaling == 0.0
    }

    /// Changes `image`, whose size is height × width, as the one at `index` of its split. `scratch`
    /// is overwritten; handed on from image to image it saves allocations.
    pub(super) fn apply(
        &self,
        index: u32,
        image: &mut [u8],
        size: [usize; 2],
        scratch: &mut Vec<u32>,
    ) {
        let sample = u64::from(self.epoch) << 32 | u64::from(index);
        let mut stream = Stream::new(self.seed, Purpose::Shift, sample);
        let most = self.shift.min(MAX_SHIFT);
        let mut draw = || i64::from(stream.below(2 * most + 1)) - i64::from(most);
        let by = [draw(), draw()];
        if self.is_whole_pixels() {
            return shift(image, size, by);
        }
        let mut stream = Stream::new(self.seed, Purpose::Affine, sample);
        let mut draw = |most: f64| most * (2.0 * f64::from(stream.uniform()) - 1.0);
        let affine = Affine {
            radians: draw(self.rotation).to_radians(),
            scale: 1.0 + draw(self.scaling),
            by,
        };
        affine.apply(image, size, scratch);
    }
}

/// Moves an image down and right by so many pixels.
fn shift(image: &mut [u8], [height, width]: [usize; 2], [dy, dx]: [i64; 2]) {
    let source = image.to_vec();
    image.fill(0);
    let inside = |at: usize, delta: i64, size: usize| {
        usize::try_from(at as i64 - delta)
            .ok()
            .filter(|from| *from < size)
    };
    for (y, row) in image.chunks_exact_mut(width).enumerate() {
        let Some(from_y) = inside(y, dy, height) else {
            continue;
        };
        let source = &source[from_y * width..(from_y + 1) * width];
        let (to, from) = if dx >= 0 {
            (dx as usize, 0)
        } else {
            (0, dx.unsigned_abs() as usize)
        };
        let count = width.saturating_sub(to.max(from));
        if count > 0 {
            row[to..to + count].copy_from_slice(&source[from..from + count]);
        }
    }
}

/// Turns an image counter-clockwise and scales it, both about its centre, then moves it down and
/// right.
struct Affine {
    radians: f64,
    scale: f64,
    by: [i64; 2],
}

/// Fraction bits of a place in an image. Places are whole numbers, so that adding up steps is exact
/// and every instruction set agrees.
const FRACTION: u32 = 32;

impl Affine {
    /// For each pixel of the result the four pixels around the place that it comes from, weighted by
    /// how near they are (bilinear interpolation), with weights of 8 bits.
    fn apply(&self, image: &mut [u8], [height, width]: [usize; 2], scratch: &mut Vec<u32>) {
        let Some((start, step)) = self.places([height, width]) else {
            return image.fill(0);
        };
        fill_pairs(scratch, image, width);
        let stride = width + 2;
        image.fill(0);
        let ends = [height, width].map(|side| (side as u64 + 1) << FRACTION);
        let [mut y, mut x] = start;
        for row in image.chunks_exact_mut(width) {
            let is_inside = |column: &usize| {
                let column = *column as i64;
                ((y + column * step[0]) as u64) < ends[0]
                    && ((x + column * step[1]) as u64) < ends[1]
            };
            // A straight line enters the image once and leaves it once.
            let first = (0..width).find(is_inside).unwrap_or(width);
            let last = (first..width).rfind(is_inside).unwrap_or(first);
            let row = row.get_mut(first..=last).unwrap_or_default();
            let first = first as i64;
            resample(
                row,
                scratch,
                stride,
                [y + first * step[0], x + first * step[1]],
                step,
            );
            // The columns' step, turned by a right angle.
            y += step[1];
            x -= step[0];
        }
    }

    /// Where the first pixel of the result comes from, and how far from there the next one of its
    /// row does: down and right, in 2⁻³² pixels, counted from one pixel outside the image, so that
    /// places are not negative from where the border begins to fade in. `None` if they are 2³⁰ pixels
    /// away: of an image that is made so small or moved so far nothing is left.
    fn places(&self, size: [usize; 2]) -> Option<([i64; 2], [i64; 2])> {
        let (sin, cos) = self.radians.sin_cos();
        let (sin, cos) = (sin / self.scale, cos / self.scale);
        let [centre_y, centre_x] = size.map(|side| (side as f64 - 1.0) / 2.0);
        // From the first pixel to the centre, as it was moved.
        let (down, right) = (centre_y + self.by[0] as f64, centre_x + self.by[1] as f64);
        let y = centre_y - cos * down - sin * right;
        let x = centre_x + sin * down - cos * right;
        let reach = (sin.abs() + cos.abs()) * (size[0] as f64 + size[1] as f64) + y.abs() + x.abs();
        let fixed = |place: f64| (place * (1_u64 << FRACTION) as f64).round() as i64;
        // Weights are cut to 8 bits; half a bit more makes that a rounding.
        let start = |place| fixed(place + 1.0) + (1 << (FRACTION - 9));
        (reach < f64::from(1 << 30)).then(|| ([y, x].map(start), [sin, cos].map(fixed)))
    }
}

/// Fills `pairs` with a pixel and the one below it in the lower and upper half of each number, with
/// zeros around the image: height + 1 rows of width + 2.
fn fill_pairs(pairs: &mut Vec<u32>, image: &[u8], width: usize) {
    let stride = width + 2;
    let rows = image.chunks_exact(width);
    pairs.clear();
    pairs.resize((rows.len() + 1) * stride, 0);
    for (y, row) in rows.enumerate() {
        let (below, above) = pairs[y * stride..(y + 2) * stride].split_at_mut(stride);
        for ((pixel, below), above) in row.iter().zip(&mut below[1..]).zip(&mut above[1..]) {
            *below |= u32::from(*pixel) << 16;
            *above = u32::from(*pixel);
        }
    }
}

/// Fills a part of a row, whose first pixel comes from `(y, x)` and each further one from `step`
/// beyond the one before. `pairs` has `stride` columns.
fn resample(
    row: &mut [u8],
    pairs: &[u32],
    stride: usize,
    [mut y, mut x]: [i64; 2],
    step: [i64; 2],
) {
    for pixel in row {
        let at = (y >> FRACTION) as usize * stride + (x >> FRACTION) as usize;
        let both = pairs.get(at..).and_then(|pairs| pairs.first_chunk());
        let weights = [y, x].map(|place| (place >> (FRACTION - 8)) as u32 & 255);
        *pixel = both.map_or(0, |both| interpolate(*both, weights));
        y += step[0];
        x += step[1];
    }
}

/// The mean of a left and a right pair of pixels, with weights for the lower and the right ones in
/// 1/256. Both halves of a pair are multiplied at once: 255 × 256 has 16 bits.
fn interpolate([left, right]: [u32; 2], [down, across]: [u32; 2]) -> u8 {
    // As if nothing wrapped: in the end each half is where it belongs.
    let mean = |from: u32, to: u32, weight| {
        (from << 8).wrapping_add(to.wrapping_sub(from).wrapping_mul(weight))
    };
    let pair = mean(left, right, across);
    let column = mean(pair & 0xffff, pair >> 16, down);
    ((column + (1 << 15)) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IDENTITY: Augmentation = Augmentation {
        shift: 0,
        rotation: 0.0,
        scaling: 0.0,
        seed: 1,
        epoch: 1,
    };

    /// The image that becomes of `image`, turned by so many degrees.
    fn affine(image: &[u8], size: [usize; 2], degrees: f64, scale: f64, by: [i64; 2]) -> Vec<u8> {
        let mut result = image.to_vec();
        let radians = degrees.to_radians();
        let affine = Affine { radians, scale, by };
        // What earlier images left behind must not matter.
        affine.apply(&mut result, size, &mut vec![u32::MAX; 7]);
        result
    }

    fn augmented(
        augmentation: Augmentation,
        index: u32,
        image: &[u8],
        size: [usize; 2],
    ) -> Vec<u8> {
        let mut result = image.to_vec();
        augmentation.apply(index, &mut result, size, &mut Vec::new());
        result
    }

    /// Bilinear interpolation as textbooks have it, pixel by pixel in 64-bit floats.
    fn reference(
        image: &[u8],
        [height, width]: [usize; 2],
        degrees: f64,
        scale: f64,
        [dy, dx]: [i64; 2],
    ) -> Vec<f64> {
        let pixel = |y: f64, x: f64| match y >= 0.0 && x >= 0.0 && x < width as f64 {
            true => image
                .get(y as usize * width + x as usize)
                .copied()
                .unwrap_or(0),
            false => 0,
        };
        let (sin, cos) = degrees.to_radians().sin_cos();
        let [centre_y, centre_x] = [height, width].map(|side| (side as f64 - 1.0) / 2.0);
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
        let places = places.map(|(y, x)| {
            let up = centre_y - (y as f64 - dy as f64);
            let right = x as f64 - dx as f64 - centre_x;
            // Turned back clockwise.
            let from_up = (cos * up - sin * right) / scale;
            let from_right = (cos * right + sin * up) / scale;
            (centre_y - from_up, centre_x + from_right)
        });
        let means = places.map(|(y, x)| {
            let corners = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)];
            let weighted = corners.map(|(down, across)| {
                let (corner_y, corner_x) = (y.floor() + down, x.floor() + across);
                let weight = (1.0 - (corner_y - y).abs()) * (1.0 - (corner_x - x).abs());
                weight * f64::from(pixel(corner_y, corner_x))
            });
            weighted.iter().sum()
        });
        means.collect()
    }

    fn images() -> impl Strategy<Value = ([usize; 2], Vec<u8>)> {
        (1..=12_usize, 1..=12_usize).prop_flat_map(|(height, width)| {
            let pixels = prop::collection::vec(any::<u8>(), height * width);
            pixels.prop_map(move |pixels| ([height, width], pixels))
        })
    }

    proptest! {
        #[test]
        fn an_affine_image_is_the_references_but_for_the_weights_8_bits(
            (size, image) in images(),
            degrees in -180.0..180.0,
            scale in 0.5..1.5,
            by in [-3..=3_i64, -3..=3],
        ) {
            let expected = reference(&image, size, degrees, scale, by);
            let found = affine(&image, size, degrees, scale, by);
            for (found, expected) in found.into_iter().zip(expected) {
                // In each direction a place is off by 1/512 pixel and a pixel by 255 at most; the
                // result is rounded.
                let most = 2.0 * 255.0 / 512.0 + 0.5 + 0.01;
                prop_assert!((f64::from(found) - expected).abs() < most, "{found}, {expected}");
            }
        }

        #[test]
        fn without_an_angle_and_a_scale_an_affine_image_is_a_shifted_one(
            (size, image) in images(),
            by in [-13..=13_i64, -13..=13],
        ) {
            let mut expected = image.clone();
            shift(&mut expected, size, by);
            prop_assert_eq!(affine(&image, size, 0.0, 1.0, by), expected);
        }

        #[test]
        fn right_angles_move_pixels(side in 1..=12_usize, seed: [u8; 32]) {
            let size = [side, side];
            let image: Vec<u8> = (0..side * side).map(|at| seed[at % 32] ^ at as u8).collect();
            let at = |y: usize, x: usize| image[y * side + x];
            let places = || (0..side).flat_map(|y| (0..side).map(move |x| (y, x)));
            let last = side - 1;
            let quarter: Vec<u8> = places().map(|(y, x)| at(x, last - y)).collect();
            let half: Vec<u8> = image.iter().rev().copied().collect();
            let back: Vec<u8> = places().map(|(y, x)| at(last - x, y)).collect();
            prop_assert_eq!(affine(&image, size, 90.0, 1.0, [0, 0]), quarter);
            prop_assert_eq!(affine(&image, size, -180.0, 1.0, [0, 0]), half);
            prop_assert_eq!(affine(&image, size, -90.0, 1.0, [0, 0]), back);
        }
    }

    #[test]
    fn shifted_images_keep_what_stays_inside() {
        for (dy, dx, expected) in [
            (0, 0, [1, 2, 3, 4, 5, 6]),
            (1, 0, [0, 0, 0, 1, 2, 3]),
            (0, 1, [0, 1, 2, 0, 4, 5]),
            (-1, -1, [5, 6, 0, 0, 0, 0]),
            (2, 0, [0; 6]),
            (0, -9, [0; 6]),
        ] {
            let mut image = [1, 2, 3, 4, 5, 6];
            shift(&mut image, [2, 3], [dy, dx]);
            assert_eq!(image, expected, "{dy}, {dx}");
        }
    }

    #[test]
    fn a_scaled_square_has_the_area_that_it_is_to_have() {
        let size = [28, 28];
        let is_white = |at: usize| (9..19).contains(&(at / 28)) && (9..19).contains(&(at % 28));
        let square: Vec<u8> = (0..784).map(|at| 255 * u8::from(is_white(at))).collect();
        for (degrees, scale) in [
            (0.0, 0.8),
            (0.0, 1.2),
            (10.0, 1.0),
            (45.0, 1.1),
            (-123.0, 0.9),
        ] {
            let image = affine(&square, size, degrees, scale, [1, -2]);
            let pixels: f64 = image.iter().map(|pixel| f64::from(*pixel) / 255.0).sum();
            let expected = 100.0 * scale * scale;
            assert!(
                (pixels / expected - 1.0).abs() < 0.03,
                "{degrees}, {scale}: {pixels}"
            );
        }
    }

    #[test]
    fn what_happens_depends_on_seed_epoch_and_index_alone_and_differs() {
        let image: Vec<u8> = (0..81).map(|at| (at * 3) as u8).collect();
        for (shift, rotation, scaling) in
            [(2, 0.0, 0.0), (0, 15.0, 0.0), (0, 0.0, 0.1), (1, 9.0, 0.2)]
        {
            let base = Augmentation {
                shift,
                rotation,
                scaling,
                ..IDENTITY
            };
            let differing = |change: fn(&mut Augmentation, &mut u32, u32)| {
                let images = (0..20).map(|number| {
                    let (mut augmentation, mut index) = (base, 5);
                    change(&mut augmentation, &mut index, number);
                    augmented(augmentation, index, &image, [9, 9])
                });
                let mut images: Vec<_> = images.collect();
                images.sort_unstable();
                images.dedup();
                images.len()
            };
            assert_eq!(differing(|_, _, _| ()), 1, "{base:?}");
            assert!(
                differing(|_, index, number| *index = number) > 9,
                "{base:?}"
            );
            assert!(
                differing(|base, _, number| base.epoch = number) > 9,
                "{base:?}"
            );
            assert!(
                differing(|base, _, number| base.seed = number.into()) > 9,
                "{base:?}"
            );
        }
    }

    #[test]
    fn every_angle_and_scale_is_within_its_bounds() {
        // A white column in the middle: the top of it moves to the side as it turns.
        let column: Vec<u8> = (0..49 * 49)
            .map(|at| 255 * u8::from(at % 49 == 24))
            .collect();
        let turning = Augmentation {
            rotation: 10.0,
            ..IDENTITY
        };
        let mut angles: Vec<f64> = (0..1000)
            .map(|index| {
                let image = augmented(turning, index, &column, [49, 49]);
                let row = &image[4 * 49..5 * 49];
                let sum: f64 = row.iter().map(|pixel| f64::from(*pixel)).sum();
                let at = row
                    .iter()
                    .zip(0..)
                    .map(|(pixel, x)| f64::from(*pixel) * f64::from(x));
                ((24.0 - at.sum::<f64>() / sum) / 20.0).atan().to_degrees()
            })
            .collect();
        angles.sort_unstable_by(f64::total_cmp);
        assert!(angles[0] > -10.1 && angles[0] < -9.8, "{}", angles[0]);
        assert!(angles[999] < 10.1 && angles[999] > 9.8, "{}", angles[999]);
        assert!(angles[500].abs() < 1.0, "{}", angles[500]);
        let white = vec![255; 81];
        let scaling = Augmentation {
            scaling: 0.25,
            ..IDENTITY
        };
        for index in 0..100 {
            // The image has 9 rows, of which 6.75 remain at least, the border faded by half.
            let image = augmented(scaling, index, &white, [9, 9]);
            let middle = image.iter().skip(4).step_by(9);
            let rows: f64 = middle.map(|pixel| f64::from(*pixel) / 255.0).sum();
            assert!(rows > 6.7 && rows <= 9.0, "{rows}");
        }
    }

    #[test]
    fn settings_that_make_no_sense_leave_no_panic() {
        let image = vec![255; 12];
        for number in [f64::NAN, f64::INFINITY, -1.0, 1.0, 1e300, f64::MIN_POSITIVE] {
            for shift in [0, 1 << 30] {
                for (rotation, scaling) in [(number, 0.0), (0.0, number), (number, number)] {
                    let augmentation = Augmentation {
                        shift,
                        rotation,
                        scaling,
                        ..IDENTITY
                    };
                    augmented(augmentation, 3, &image, [3, 4]);
                }
            }
        }
        assert_eq!(affine(&image, [3, 4], 1.0, 0.0, [0, 0]), [0; 12]);
        assert_eq!(affine(&image, [3, 4], f64::NAN, 1.0, [0, 0]), [0; 12]);
        assert_eq!(affine(&image, [3, 4], 1.0, 1.0, [1 << 30, 0]), [0; 12]);
    }
}
