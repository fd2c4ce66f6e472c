//! Drawing: images beside each other, frames, rectangles and text.

use std::ops::Range;

use crate::tb::image::font;
use crate::tb::image::{BLACK, Colour, Image, ImageError, WHITE, checked_size};

/// Above and below the text of a caption, in pixels.
const MARGIN: usize = 2;
/// Left and right of it.
const SIDE_MARGIN: usize = 1;

impl Image {
    /// The images side by side, `columns` in a row, on white, `padding` pixels apart and from the
    /// edge. Each stands in the upper left of a cell as wide as the widest image and as high as the
    /// highest of its row. The grid has as many channels as the image with the most.
    ///
    /// # Errors
    /// [`ImageError::Grid`] without images or columns, [`ImageError::Size`] for a grid that is too
    /// large.
    pub fn grid(images: &[Self], columns: usize, padding: usize) -> Result<Self, ImageError> {
        let columns = match images.len() {
            0 => columns,
            count => columns.min(count),
        };
        let rows = images.len().div_ceil(columns.max(1));
        Self::sheet(images, columns, rows, padding)
    }

    /// As [`grid`](Self::grid), with so many rows.
    pub(crate) fn sheet(
        images: &[Self],
        columns: usize,
        rows: usize,
        padding: usize,
    ) -> Result<Self, ImageError> {
        if images.is_empty() || columns == 0 {
            let images = images.len();
            return Err(ImageError::Grid { images, columns });
        }
        let largest = |images: &[Self], side: fn(&Self) -> usize| {
            images.iter().map(side).max().unwrap_or_default()
        };
        let channels = largest(images, Self::channels);
        let (width, height) = (largest(images, Self::width), largest(images, Self::height));
        let total = |cells: usize, side: usize| cells.saturating_mul(side.saturating_add(padding));
        let filled = images.chunks(columns);
        let blank = total(rows.saturating_sub(filled.len()), height);
        let heights = filled.map(|row| total(1, largest(row, Self::height)));
        let all_height = heights.fold(blank, usize::saturating_add);
        let mut sheet = Self::filled(
            total(columns, width).saturating_add(padding),
            all_height.saturating_add(padding),
            channels,
            WHITE,
        )?;
        let mut y = padding;
        for row in images.chunks(columns) {
            for (column, image) in row.iter().enumerate() {
                sheet.paste(image, padding + column * (width + padding), y);
            }
            y += largest(row, Self::height) + padding;
        }
        Ok(sheet)
    }

    /// The image with each pixel as a square of `factor`×`factor`.
    ///
    /// # Errors
    /// [`ImageError::Size`] for a factor of 0, and for one that makes the image too large.
    pub fn scale(&self, factor: usize) -> Result<Self, ImageError> {
        let (width, height) = (
            self.width.saturating_mul(factor),
            self.height.saturating_mul(factor),
        );
        let bytes = checked_size(width, height, self.channels)?;
        let mut pixels = Vec::with_capacity(bytes);
        for row in self.pixels.chunks_exact(self.width * self.channels) {
            let start = pixels.len();
            for pixel in row.chunks_exact(self.channels) {
                for _ in 0..factor {
                    pixels.extend_from_slice(pixel);
                }
            }
            let end = pixels.len();
            for _ in 1..factor {
                pixels.extend_from_within(start..end);
            }
        }
        Ok(Self {
            width,
            height,
            pixels,
            ..*self
        })
    }

    /// The image within a frame of `thickness` pixels, by which it grows on each side.
    ///
    /// # Errors
    /// [`ImageError::Size`] for a thickness that makes the image too large.
    pub fn frame(&self, colour: Colour, thickness: usize) -> Result<Self, ImageError> {
        let grown = |side: usize| side.saturating_add(thickness.saturating_mul(2));
        let channels = channels_for(self.channels, colour);
        let (width, height) = (grown(self.width), grown(self.height));
        let mut framed = Self::filled(width, height, channels, colour)?;
        framed.paste(self, thickness, thickness);
        Ok(framed)
    }

    /// The image with black text on white below it. Lines that are too long for the image are
    /// broken, at a blank if they have one, so that nothing is cut off; a line feed breaks one too.
    ///
    /// # Errors
    /// [`ImageError::Size`] for a text that makes the image too large.
    pub fn caption(&self, text: &str) -> Result<Self, ImageError> {
        let columns = (self.width + 1).saturating_sub(2 * SIDE_MARGIN) / font::ADVANCE;
        let lines = broken_lines(text, columns.max(1));
        let bar = lines.len().saturating_mul(font::LINE) + 2 * MARGIN;
        // An image that is narrower than a letter grows to one.
        let width = self.width.max(font::WIDTH + 2 * SIDE_MARGIN);
        let height = self.height.saturating_add(bar);
        let mut captioned = Self::filled(width, height, self.channels, WHITE)?;
        captioned.paste(self, 0, 0);
        for (index, line) in lines.iter().enumerate() {
            let x = (width - text_width(line)) / 2;
            let y = self.height + MARGIN + 1 + index * font::LINE;
            captioned.draw_text(x as i64, y as i64, line, BLACK, 1);
        }
        Ok(captioned)
    }

    /// Draws a line of text, its upper left corner at (x, y), with each pixel of a letter as a
    /// square of `size` pixels. What lies beyond the image is left out. A letter is 5 pixels wide
    /// and 9 high, of which 2 lie below the line it stands on; the next begins after 6. There are
    /// those of ASCII, `→`, `×` and `·`; any other character is a box.
    pub fn draw_text(&mut self, x: i64, y: i64, text: &str, colour: Colour, size: usize) {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let at = |start: i64, pixels: usize| {
            let pixels = i64::try_from(pixels).unwrap_or(i64::MAX);
            start.saturating_add(size.saturating_mul(pixels))
        };
        for (index, character) in text.chars().enumerate() {
            let x = at(x, index * font::ADVANCE);
            if x >= self.width as i64 {
                break;
            }
            for (column, row) in font::ink(character) {
                self.fill_rectangle(at(x, column), at(y, row), size, size, colour);
            }
        }
    }

    /// As [`draw_text`](Self::draw_text) in small letters, but turned a quarter to the left: it begins
    /// at (x, y) and goes upward, the upper edge of its letters on the left.
    pub fn draw_text_upward(&mut self, x: i64, y: i64, text: &str, colour: Colour) {
        for (index, character) in text.chars().enumerate() {
            for (column, row) in font::ink(character) {
                let along = (index * font::ADVANCE + column + 1) as i64;
                let (x, y) = (x.saturating_add(row as i64), y.saturating_sub(along));
                self.fill_rectangle(x, y, 1, 1, colour);
            }
        }
    }

    /// Fills the rectangle with its upper left corner at (x, y). What lies beyond the image is left
    /// out.
    pub fn fill_rectangle(&mut self, x: i64, y: i64, width: i64, height: i64, colour: Colour) {
        let columns = clipped(x, width, self.width);
        let rows = clipped(y, height, self.height);
        if columns.is_empty() || rows.is_empty() {
            return;
        }
        let channels = channels_for(self.channels, colour);
        if channels != self.channels {
            *self = self.with_channels(channels).into_owned();
        }
        let [red, green, blue] = colour;
        let pixel = &[red, green, blue, u8::MAX][..channels];
        let row_bytes = self.width * channels;
        for row in self
            .pixels
            .chunks_exact_mut(row_bytes)
            .take(rows.end)
            .skip(rows.start)
        {
            let bytes = &mut row[columns.start * channels..columns.end * channels];
            for target in bytes.chunks_exact_mut(channels) {
                target.copy_from_slice(pixel);
            }
        }
    }

    /// Draws a line of `thickness` pixels along the inside of the rectangle's edge.
    pub fn draw_rectangle(
        &mut self,
        [x, y]: [i64; 2],
        [width, height]: [i64; 2],
        colour: Colour,
        thickness: i64,
    ) {
        let (right, bottom) = (x.saturating_add(width), y.saturating_add(height));
        let (inner_right, inner_bottom) = (
            right.saturating_sub(thickness).max(x),
            bottom.saturating_sub(thickness).max(y),
        );
        let (across, down) = (thickness.min(width), thickness.min(height));
        self.fill_rectangle(x, y, width, down, colour);
        self.fill_rectangle(x, inner_bottom, width, down, colour);
        self.fill_rectangle(x, y, across, height, colour);
        self.fill_rectangle(inner_right, y, across, height, colour);
    }

    /// Lays `image` on this one, which has as many channels at least and in which it fits.
    fn paste(&mut self, image: &Self, x: usize, y: usize) {
        let image = image.with_channels(self.channels);
        let row_bytes = self.width * self.channels;
        let (start, length) = (x * self.channels, image.width * self.channels);
        let rows = self.pixels.chunks_exact_mut(row_bytes).skip(y);
        for (target, source) in rows.zip(image.pixels.chunks_exact(length)) {
            target[start..start + length].copy_from_slice(source);
        }
    }
}

/// How wide a line of text is, in pixels.
pub(crate) fn text_width(text: &str) -> usize {
    (text.chars().count() * font::ADVANCE).saturating_sub(font::ADVANCE - font::WIDTH)
}

/// How many channels it takes to draw `colour` on an image of `channels`.
fn channels_for(channels: usize, [red, green, blue]: Colour) -> usize {
    match red == green && green == blue {
        true => channels,
        false => channels.max(3),
    }
}

/// The part of `start..start + length` that lies in `0..side`.
fn clipped(start: i64, length: i64, side: usize) -> Range<usize> {
    let inside = |edge: i64| usize::try_from(edge.max(0)).unwrap_or(usize::MAX).min(side);
    inside(start)..inside(start.saturating_add(length))
}

/// `text` in lines of at most `columns` characters, which is at least 1.
fn broken_lines(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let lengths = line.chars().count() + 1 + word.chars().count();
            if !line.is_empty() && lengths > columns {
                lines.push(std::mem::take(&mut line));
            } else if !line.is_empty() {
                line.push(' ');
            }
            for character in word.chars() {
                if line.chars().count() == columns {
                    lines.push(std::mem::take(&mut line));
                }
                line.push(character);
            }
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tb::image::{GREEN, RED};

    fn grey(width: usize, height: usize, value: u8) -> Image {
        Image::from_u8_hwc(&vec![value; width * height], [height, width, 1]).unwrap()
    }

    /// The image's rows as text: a letter for each pixel, `.` for white.
    fn picture(image: &Image) -> Vec<String> {
        let letter = |pixel: &[u8]| match *pixel {
            [255] | [255, 255, 255] => '.',
            [0] | [0, 0, 0] => '#',
            [red, green, blue] if [red, green, blue] == RED => 'r',
            [red, green, blue] if [red, green, blue] == GREEN => 'g',
            _ => '+',
        };
        let rows = image.pixels().chunks(image.width() * image.channels());
        rows.map(|row| row.chunks(image.channels()).map(letter).collect())
            .collect()
    }

    #[test]
    fn a_grid_has_a_cell_for_each_image() {
        let images = [grey(2, 1, 0), grey(1, 2, 0), grey(1, 1, 7)];
        let grid = Image::grid(&images, 2, 1).unwrap();
        let expected = [
            ".......", ".##.#..", "....#..", ".......", ".+.....", ".......",
        ];
        assert_eq!(picture(&grid), expected);
        // Not more columns than images; colour where one image has it.
        let row = [images[0].clone(), images[2].frame(RED, 1).unwrap()];
        let grid = Image::grid(&row, 9, 0).unwrap();
        assert_eq!(picture(&grid), ["##.rrr", "...r+r", "...rrr"]);
        assert_eq!((grid.width(), grid.channels()), (6, 3));
        for (images, columns) in [(&images[..0], 1), (&images[..], 0)] {
            let error = Image::grid(images, columns, 0).unwrap_err();
            let expected = ImageError::Grid {
                images: images.len(),
                columns,
            };
            assert_eq!(error, expected);
        }
        assert!(Image::grid(&images, 1, usize::MAX).is_err());
    }

    #[test]
    fn a_scaled_image_is_made_of_squares() {
        let image = Image::from_u8_hwc(&[0, 255, 9], [1, 3, 1]).unwrap();
        assert_eq!(picture(&image.scale(2).unwrap()), ["##..++", "##..++"]);
        assert_eq!(image.scale(1).unwrap(), image);
        for factor in [0, 1 << 20, usize::MAX] {
            assert!(matches!(image.scale(factor), Err(ImageError::Size { .. })));
        }
    }

    #[test]
    fn rectangles_are_clipped_and_bring_colour() {
        let mut image = grey(4, 3, 255);
        image.fill_rectangle(-5, -5, 6, 6, BLACK);
        assert_eq!(image.channels(), 1);
        image.draw_rectangle([1, 0], [9, 3], GREEN, 1);
        assert_eq!(picture(&image), ["#ggg", ".g..", ".ggg"]);
        let before = image.clone();
        for (x, width) in [(4, 1), (i64::MIN, 5), (0, -1), (i64::MAX, i64::MAX)] {
            image.fill_rectangle(x, 0, width, 1, RED);
        }
        image.draw_rectangle([0, 0], [0, 0], RED, i64::MAX);
        assert_eq!(image, before);
        image.draw_rectangle([0, 0], [2, 2], RED, i64::MAX);
        assert_eq!(picture(&image), ["rrgg", "rr..", ".ggg"]);
    }

    #[test]
    fn text_is_drawn_at_its_place() {
        let mut image = grey(8, 4, 255);
        image.draw_text(-1, -1, "1→", BLACK, 1);
        assert_eq!(
            picture(&image),
            ["##.....#", ".#......", ".#...###", ".#......"]
        );
        let mut image = grey(6, 2, 255);
        image.draw_text(-2, 0, "1", BLACK, 2);
        assert_eq!(picture(&image), ["..##..", "..##.."]);
        image.draw_text(i64::MAX, i64::MIN, "far", BLACK, usize::MAX);
        assert_eq!(picture(&image), ["..##..", "..##.."]);
    }

    #[test]
    fn a_caption_is_broken_into_lines_that_fit() {
        assert_eq!(broken_lines("7 → 1 98%", 9), ["7 → 1 98%"]);
        assert_eq!(
            broken_lines("truck → automobile", 9),
            ["truck →", "automobil", "e"]
        );
        assert_eq!(broken_lines("a\nb", 9), ["a", "b"]);
        assert_eq!(broken_lines("abc", 1), ["a", "b", "c"]);
        let image = grey(56, 3, 0).caption("7 → 1 98%").unwrap();
        assert_eq!(
            (image.width(), image.height()),
            (56, 3 + font::LINE + 2 * MARGIN)
        );
        // The margin below the image and to its sides stays white.
        assert!(picture(&image)[3..6].iter().all(|row| !row.contains('#')));
        assert!(
            picture(&image)[3..]
                .iter()
                .all(|row| row.starts_with('.') && row.ends_with('.'))
        );
        let narrow = grey(1, 1, 0).caption("ab").unwrap();
        assert_eq!(
            (narrow.width(), narrow.height()),
            (7, 1 + 2 * font::LINE + 2 * MARGIN)
        );
        assert!(grey(1, 1, 0).caption(&"x".repeat(1 << 22)).is_err());
    }
}
