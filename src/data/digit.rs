//! A drawn digit, made alike those of MNIST.
//!
//! How MNIST was made (<http://yann.lecun.com/exdb/mnist/>): "The original black and white (bilevel)
//! images from NIST were size normalized to fit in a 20x20 pixel box while preserving their aspect
//! ratio. The resulting images contain grey levels as a result of the anti-aliasing technique used
//! by the normalization algorithm. the images were centered in a 28x28 image by computing the center
//! of mass of the pixels, and translating the image so as to position this point at the center of
//! the 28x28 field."

use super::{Picture, PictureError};

/// Of MNIST's 28 pixels, how many a digit's longer side takes.
const BOX: f64 = 20.0 / 28.0;
/// The least difference from the background that is ink, in grey levels.
const LEAST_CONTRAST: u8 = 24;
/// The same as a multiple of the background's median deviation. For normal noise that is 5.4 σ,
/// which one pixel in 15 million exceeds.
const NOISE_FACTOR: u32 = 8;
/// What differs from the background by less than this part of the strongest ink is no ink.
const FAINTEST: u32 = 5;
/// A blot with less than this part of the largest blot's ink is a speck of dust.
const SMALLEST_BLOT: u64 = 50;

impl Picture {
    /// The digit in this picture, as MNIST shows it: white on black, its longer side 20/28 of the
    /// image's shorter side, its centre of mass in the middle; `height` × `width` bytes.
    ///
    /// The border tells the background, what stands out most from it the ink: dark on light and
    /// light on dark are the same. Noise and specks are left out. Each pixel is the mean of the area
    /// that it covers, and the brightest becomes 255, so that a thin stroke of a large picture
    /// does not fade.
    ///
    /// # Errors
    /// [`PictureError::Blank`] where nothing stands out.
    pub fn digit(&self, height: usize, width: usize) -> Result<Vec<u8>, PictureError> {
        let mut ink = self.ink()?;
        ink.remove_specks();
        let digit = ink.crop().scale_into(height, width);
        Ok(digit.centred(height, width))
    }

    /// How far each pixel differs from the background, in the direction in which most do; 0 for
    /// what is only noise.
    fn ink(&self) -> Result<Ink, PictureError> {
        let background = median(self.border());
        let noise = median(self.border().map(|pixel| pixel.abs_diff(background)));

        let squares = |direction: fn(u8, u8) -> u8| {
            let differences = self
                .pixels
                .iter()
                .map(|&pixel| direction(pixel, background));
            differences.map(|ink| u64::from(ink).pow(2)).sum::<u64>()
        };
        let brighter: fn(u8, u8) -> u8 = |pixel, background| pixel.saturating_sub(background);
        let darker: fn(u8, u8) -> u8 = |pixel, background| background.saturating_sub(pixel);
        let difference = match squares(brighter) > squares(darker) {
            true => brighter,
            false => darker,
        };

        let mut amounts = self.pixels.clone();
        for pixel in &mut amounts {
            *pixel = difference(*pixel, background);
        }
        let found = amounts.iter().copied().max().unwrap_or(0);
        let expected = (u32::from(noise) * NOISE_FACTOR).min(255) as u8;
        let expected = expected.max(LEAST_CONTRAST);
        if found < expected {
            return Err(PictureError::Blank { found, expected });
        }
        let faintest = expected.max((u32::from(found) / FAINTEST) as u8);
        for amount in amounts.iter_mut().filter(|amount| **amount < faintest) {
            *amount = 0;
        }
        Ok(Ink {
            amounts,
            height: self.height,
            width: self.width,
        })
    }
}

/// The lower median; 0 of nothing.
fn median(values: impl Iterator<Item = u8>) -> u8 {
    let mut counts = [0usize; 256];
    values.for_each(|value| counts[usize::from(value)] += 1);
    let half = counts.iter().sum::<usize>().div_ceil(2);
    let mut below = 0;
    let is_reached = |count: &usize| {
        below += count;
        below >= half
    };
    counts.iter().position(is_reached).unwrap_or(0) as u8
}

/// How much ink there is at each pixel, row by row.
struct Ink {
    amounts: Vec<u8>,
    height: usize,
    width: usize,
}

impl Ink {
    /// Removes every blot (pixels that touch, also at their corners) that is much smaller than the
    /// largest.
    fn remove_specks(&mut self) {
        let mut seen = vec![false; self.amounts.len()];
        let mut blots = Vec::new();
        for start in 0..self.amounts.len() {
            if self.amounts[start] > 0 && !seen[start] {
                let mut amount = 0;
                self.visit(start, &mut seen, |pixel| amount += u64::from(*pixel));
                blots.push((start, amount));
            }
        }
        let largest = blots.iter().map(|(_, amount)| *amount).max().unwrap_or(0);
        seen.fill(false);
        for (start, amount) in blots {
            if amount < largest / SMALLEST_BLOT {
                self.visit(start, &mut seen, |pixel| *pixel = 0);
            }
        }
    }

    /// Calls `visitor` with each pixel of the blot around `start`, and marks them in `seen`.
    fn visit(&mut self, start: usize, seen: &mut [bool], mut visitor: impl FnMut(&mut u8)) {
        let mut stack = vec![start];
        seen[start] = true;
        while let Some(at) = stack.pop() {
            let (y, x) = (at / self.width, at % self.width);
            for near_y in y.saturating_sub(1)..(y + 2).min(self.height) {
                for near_x in x.saturating_sub(1)..(x + 2).min(self.width) {
                    let near = near_y * self.width + near_x;
                    if self.amounts[near] > 0 && !seen[near] {
                        seen[near] = true;
                        stack.push(near);
                    }
                }
            }
            // Its neighbours were asked for before it may be removed.
            visitor(&mut self.amounts[at]);
        }
    }

    /// The smallest rectangle that holds all ink.
    fn crop(&self) -> Ink {
        let is_inked = |at: &usize| self.amounts[*at] > 0;
        let inked = || (0..self.amounts.len()).filter(is_inked);
        let (top, bottom) = range(inked().map(|at| at / self.width));
        let (left, right) = range(inked().map(|at| at % self.width));
        let rows = self.amounts.chunks_exact(self.width).take(bottom).skip(top);
        Ink {
            amounts: rows.flat_map(|row| &row[left..right]).copied().collect(),
            height: bottom - top,
            width: right - left,
        }
    }

    /// Scales it so that it just fits [`BOX`] of `height` × `width`, with its proportions kept.
    /// Each new pixel is the mean of the area that it covers, as a part of the largest one.
    fn scale_into(&self, height: usize, width: usize) -> Scaled {
        let side = |side: usize| (side as f64 * BOX).round().max(1.0);
        let (old_height, old_width) = (self.height as f64, self.width as f64);
        // The side of a new pixel, in old ones.
        let step = (old_height / side(height)).max(old_width / side(width));
        let count = |old: f64| (old / step).ceil().max(1.0) as usize;
        let (columns, rows) = (count(old_width), count(old_height));
        let mut amounts = vec![0.0; rows * columns];
        // Columns first: what each row holds of them is added to the rows that it is a part of.
        for y in 0..rows {
            let new_row = &mut amounts[y * columns..(y + 1) * columns];
            for (old_y, height) in covered(y, step, self.height) {
                let old_row = &self.amounts[old_y * self.width..(old_y + 1) * self.width];
                for (x, amount) in new_row.iter_mut().enumerate() {
                    let parts = covered(x, step, self.width);
                    let row: f64 = parts
                        .map(|(old_x, width)| width * f64::from(old_row[old_x]))
                        .sum();
                    *amount += height * row;
                }
            }
        }
        let largest = amounts.iter().copied().fold(0.0, f64::max);
        let amounts = amounts.iter().map(|amount| amount / largest).collect();
        Scaled {
            amounts,
            width: columns,
        }
    }
}

/// The old pixels, of `count`, that the new one at `at` covers along one side, and how much of each.
fn covered(at: usize, step: f64, count: usize) -> impl Iterator<Item = (usize, f64)> {
    let (start, end) = (at as f64 * step, (at + 1) as f64 * step);
    let (first, last) = (start as usize, (end.ceil() as usize).min(count));
    (first..last).map(move |old| {
        let part = end.min((old + 1) as f64) - start.max(old as f64);
        (old, part.max(0.0))
    })
}

/// The smallest number, and the largest plus 1.
fn range(numbers: impl Iterator<Item = usize>) -> (usize, usize) {
    numbers.fold((usize::MAX, 0), |(least, end), number| {
        (least.min(number), end.max(number + 1))
    })
}

/// A digit that fits the image, amounts of ink from 0 to 1.
struct Scaled {
    amounts: Vec<f64>,
    width: usize,
}

impl Scaled {
    /// Moves it, by whole pixels, so that its centre of mass is in the middle of the image or as
    /// near as it can be with all of it inside.
    fn centred(&self, height: usize, width: usize) -> Vec<u8> {
        let rows = self.amounts.chunks_exact(self.width);
        let row_sums: Vec<f64> = rows.map(|row| row.iter().sum()).collect();
        let columns = 0..self.width;
        let column = |x: usize| self.amounts.iter().skip(x).step_by(self.width).sum();
        let column_sums: Vec<f64> = columns.map(column).collect();
        let top = offset(&row_sums, height);
        let left = offset(&column_sums, width);

        let mut image = vec![0; height * width];
        let places = image.chunks_exact_mut(width).skip(top);
        for (place, row) in places.zip(self.amounts.chunks_exact(self.width)) {
            for (pixel, amount) in place.iter_mut().skip(left).zip(row) {
                *pixel = (amount * 255.0).round() as u8;
            }
        }
        image
    }
}

/// How far something with these sums along one side is to be moved to have its centre in the middle
/// of `size`.
fn offset(sums: &[f64], size: usize) -> usize {
    let moment: f64 = (0..).zip(sums).map(|(at, sum)| f64::from(at) * sum).sum();
    let centre = moment / sums.iter().sum::<f64>();
    let room = size.saturating_sub(sums.len());
    // A half is rounded down, which leaves an even figure as far from either side.
    ((size as f64 / 2.0 - centre - 0.5).ceil().max(0.0) as usize).min(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(height: usize, width: usize, pixel: impl Fn(usize, usize) -> u8) -> Picture {
        let pixels = (0..height * width).map(|at| pixel(at / width, at % width));
        Picture::new(height, width, pixels.collect()).unwrap()
    }

    /// A frame with a foot: nothing about it is symmetrical.
    fn is_inked(y: usize, x: usize) -> bool {
        (10..50).contains(&y) && (20..40).contains(&x) && (x < 26 || !(16..44).contains(&y))
    }

    #[test]
    fn polarity_place_and_size_make_no_difference() {
        let expected = picture(64, 64, |y, x| 255 * u8::from(is_inked(y, x)))
            .digit(28, 28)
            .unwrap();
        // 40 × 20 pixels become 20 × 10.
        let rows = expected
            .chunks(28)
            .map(|row| row.iter().any(|&pixel| pixel > 0));
        assert_eq!(rows.filter(|inked| *inked).count(), 20);
        for other in [
            picture(64, 64, |y, x| 255 - 255 * u8::from(is_inked(y, x))),
            picture(64, 64, |y, x| if is_inked(y, x) { 90 } else { 200 }),
            picture(300, 80, |y, x| {
                200 * u8::from(is_inked(y.wrapping_sub(211), x + 17))
            }),
            picture(192, 192, |y, x| 255 * u8::from(is_inked(y / 3, x / 3))),
            // The ink reaches the border above and below.
            picture(40, 64, |y, x| 255 * u8::from(is_inked(y + 10, x))),
        ] {
            assert!(other.digit(28, 28).unwrap() == expected);
        }
    }

    #[test]
    fn noise_and_specks_are_left_out() {
        let clean = picture(64, 64, |y, x| if is_inked(y, x) { 40 } else { 200 });
        let noise = |y: usize, x: usize| ((y * 31 + x * 17) % 9) as u8;
        let dirty = picture(64, 64, |y, x| match (y, x) {
            (3, 60) | (60, 3) => 0,
            _ if is_inked(y, x) => 40,
            _ => 196 + noise(y, x),
        });
        assert!(dirty.digit(28, 28).unwrap() == clean.digit(28, 28).unwrap());
        // A second stroke stays.
        let strokes = picture(64, 64, |y, x| {
            255 * u8::from(is_inked(y, x) || (52..58).contains(&y) && (20..26).contains(&x))
        });
        assert!(strokes.digit(28, 28).unwrap() != clean.digit(28, 28).unwrap());
    }

    #[test]
    fn a_thin_stroke_does_not_fade() {
        let line = picture(400, 400, |y, x| {
            255 * u8::from(x == 100 && (50..350).contains(&y))
        });
        let digit = line.digit(28, 28).unwrap();
        assert_eq!(digit.iter().filter(|&&pixel| pixel == 255).count(), 20);
        assert_eq!(digit.iter().filter(|&&pixel| pixel > 0).count(), 20);
    }

    #[test]
    fn a_blank_picture_is_an_error() {
        let noisy = |y: usize, x: usize| 190 + ((y * 31 + x * 17) % 23) as u8;
        for (blank, expected) in [
            (
                picture(9, 9, |_, _| 255),
                "by at most 0 of 255, expected at least 24",
            ),
            (
                picture(1, 1, |_, _| 0),
                "by at most 0 of 255, expected at least 24",
            ),
            (
                picture(9, 9, |y, _| 200 + (y == 4) as u8),
                "by at most 1 of 255, expected at least 24",
            ),
            (
                picture(99, 99, noisy),
                "by at most 11 of 255, expected at least ",
            ),
        ] {
            let error = blank.digit(28, 28).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn the_centre_of_mass_is_in_the_middle_and_all_of_it_inside() {
        let dot = |y: usize, x: usize| 255 * u8::from((y, x) == (5, 5));
        for (height, width) in [(28, 28), (4, 4), (9, 30), (30, 9), (1, 1), (100, 3)] {
            let digit = picture(11, 11, dot).digit(height, width).unwrap();
            assert_eq!(digit.len(), height * width);
            let centre = digit[height / 2 * width + width / 2];
            assert_eq!(centre, 255, "{height} × {width}");
        }
        // Nearly all ink is at the top, which would push the foot out at the bottom.
        let heavy = |y: usize, x: usize| 255 * u8::from(y < 20 || y < 90 && x == 30);
        let digit = picture(120, 60, heavy).digit(28, 28).unwrap();
        assert!(digit[27 * 28..].iter().any(|&pixel| pixel > 0));
    }

    #[test]
    fn what_a_pixel_covers_adds_up() {
        for (step, count) in [(2.5, 5), (0.3, 3), (1.0, 7), (7.0, 20)] {
            let new = (f64::from(count) / step).ceil() as usize;
            let mut parts = vec![0.0; count as usize];
            for at in 0..new {
                let covered: Vec<_> = covered(at, step, count as usize).collect();
                assert!(covered.iter().map(|(_, part)| part).sum::<f64>() <= step + 1e-9);
                covered.iter().for_each(|(old, part)| parts[*old] += part);
            }
            assert!(
                parts.iter().all(|part| (part - 1.0).abs() < 1e-9),
                "{parts:?}"
            );
        }
    }
}
