//! Where the numbers of an image go before they are convolved, and where results come from.

use std::ops::Range;

/// Points over an image: point (row, column) lies on pixel
/// (row · `step` + `top`, column · `step` + `left`), which may be outside.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// Rows of points, at least 1.
    pub rows: usize,
    /// Points in a row, at least 1.
    pub columns: usize,
    /// Numbers from a row to the next.
    pub row_len: usize,
    /// Pixels from a point to the next.
    pub step: usize,
    /// The pixel row of the first points.
    pub top: isize,
    /// The pixel column of the first points.
    pub left: isize,
}

impl Grid {
    /// Numbers from the first point to the last.
    pub fn len(&self) -> usize {
        (self.rows - 1) * self.row_len + self.columns
    }

    /// Sets the points that lie on the image, whose rows are `width` long, and leaves the others.
    #[inline(always)]
    pub fn gather(&self, image: &[f32], width: usize, points: &mut [f32]) {
        self.for_each_row(image.len() / width, width, |points_at, pixel| {
            let points = &mut points[points_at];
            if self.step == 1 {
                points.copy_from_slice(&image[pixel..pixel + points.len()]);
            } else {
                let pixels = image[pixel..].iter().step_by(self.step);
                points
                    .iter_mut()
                    .zip(pixels)
                    .for_each(|(to, from)| *to = *from);
            }
        });
    }

    /// Sets the pixels that points lie on, and leaves the others.
    #[inline(always)]
    pub fn scatter(&self, points: &[f32], image: &mut [f32], width: usize) {
        self.for_each_row(image.len() / width, width, |points_at, pixel| {
            let points = &points[points_at];
            if self.step == 1 {
                image[pixel..pixel + points.len()].copy_from_slice(points);
            } else {
                let pixels = image[pixel..].iter_mut().step_by(self.step);
                pixels.zip(points).for_each(|(to, from)| *to = *from);
            }
        });
    }

    /// Calls `visit(points, first pixel)` for the part of each row that lies on the image.
    #[inline(always)]
    fn for_each_row(
        &self,
        height: usize,
        width: usize,
        mut visit: impl FnMut(Range<usize>, usize),
    ) {
        let columns = self.inside(self.left, width, self.columns);
        if columns.is_empty() {
            return;
        }
        let pixel = |origin: isize, point: usize| (point * self.step).wrapping_add_signed(origin);
        let x = pixel(self.left, columns.start);
        for row in self.inside(self.top, height, self.rows) {
            let at = row * self.row_len;
            let y = pixel(self.top, row);
            visit(at + columns.start..at + columns.end, y * width + x);
        }
    }

    /// Which of `count` points, the first at pixel `origin`, lie among `size` pixels.
    fn inside(&self, origin: isize, size: usize, count: usize) -> Range<usize> {
        let before = origin.min(0).unsigned_abs().div_ceil(self.step);
        let until = size.saturating_add_signed(origin.saturating_neg());
        let first = before.min(count);
        first..until.div_ceil(self.step).clamp(first, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_on_the_image_are_set_and_no_others() {
        for (step, top, left) in [(1, -1, 2), (1, 0, 0), (2, -3, -1), (3, 1, 1), (2, -9, 9)] {
            let grid = Grid {
                rows: 4,
                columns: 3,
                row_len: 5,
                step,
                top,
                left,
            };
            let image: Vec<f32> = (1..=5 * 4).map(|i| i as f32).collect();
            let mut points = vec![0.0; grid.len()];
            grid.gather(&image, 4, &mut points);
            let (mut seen, mut expected) = (vec![0.0; image.len()], vec![0.0; image.len()]);
            for row in 0..4 {
                for column in 0..3 {
                    let y = (row * step) as isize + top;
                    let x = (column * step) as isize + left;
                    let inside = (0..5).contains(&y) && (0..4).contains(&x);
                    let pixel = inside.then(|| (y * 4 + x) as usize);
                    let number = pixel.map_or(0.0, |pixel| image[pixel]);
                    assert_eq!(points[row * 5 + column], number, "{grid:?} {row} {column}");
                    if let Some(pixel) = pixel {
                        expected[pixel] = image[pixel];
                    }
                }
            }
            grid.scatter(&points, &mut seen, 4);
            assert_eq!(seen, expected, "{grid:?}");
        }
    }
}
