//! Pictures as PNG: lines, areas and letters with smooth edges.

use crate::report::plot::font;
use crate::report::plot::scene::{Anchor, Colour, DASHES, FONT_SIZE, INK, Place, Scene, Shape};

/// Why there is no such picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// It would be too large.
    #[error("a picture of {width}×{height} pixels; expected at least one and at most 32 million")]
    Size {
        /// In pixels.
        width: u64,
        /// In pixels.
        height: u64,
    },
    /// The encoder failed.
    #[error("cannot encode the picture: {0}")]
    Encode(#[from] png::EncodingError),
}

const MOST_PIXELS: u64 = 32_000_000;
const POINTS_PER_INCH: f64 = 72.0;
const INCHES_PER_METRE: f64 = 1000.0 / 25.4;

/// The scene as a PNG file of so many dots per inch, which the file says.
pub(super) fn png(scene: &Scene, dpi: f64) -> Result<Vec<u8>, PictureError> {
    let scale = dpi / POINTS_PER_INCH;
    let pixels = |points: f64| (points * scale).round() as u64;
    let (width, height) = (pixels(scene.width), pixels(scene.height));
    if !(1..=MOST_PIXELS).contains(&width.saturating_mul(height)) {
        return Err(PictureError::Size { width, height });
    }
    let mut canvas = Canvas::new(width as usize, height as usize);
    for shape in &scene.shapes {
        canvas.draw(shape, scale);
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let per_metre = (dpi * INCHES_PER_METRE).round() as u32;
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: per_metre,
        yppu: per_metre,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&canvas.pixels)?;
    writer.finish()?;
    Ok(file)
}

struct Canvas {
    width: usize,
    height: usize,
    /// Red, green, blue, row by row.
    pixels: Vec<u8>,
    /// How much of each pixel the present shape covers; all 0 between shapes.
    coverage: Vec<f32>,
}

impl Canvas {
    fn new(width: usize, height: usize) -> Self {
        let area = width * height;
        Self {
            width,
            height,
            pixels: vec![255; area * 3],
            coverage: vec![0.0; area],
        }
    }

    fn draw(&mut self, shape: &Shape, scale: f64) {
        let scaled = |points: &[Place]| -> Vec<Place> {
            points.iter().map(|[x, y]| [x * scale, y * scale]).collect()
        };
        match shape {
            Shape::Line {
                points,
                colour,
                width,
                opacity,
                is_dashed,
            } => {
                let points = scaled(points);
                let lines = match is_dashed {
                    true => dashes(&points, DASHES.map(|length| length * scale)),
                    false => vec![points],
                };
                let bounds = self.bounds(lines.iter().flatten(), width * scale);
                for pair in lines.iter().flat_map(|line| line.windows(2)) {
                    self.cover_line(pair[0], pair[1], width * scale / 2.0);
                }
                self.paint(bounds, *colour, *opacity);
            }
            Shape::Area {
                points,
                colour,
                opacity,
            } => {
                self.fill(&[scaled(points)], *colour, *opacity);
            }
            Shape::Text {
                at,
                text,
                anchor,
                is_vertical,
            } => {
                let back = match anchor {
                    Anchor::Start => 0.0,
                    Anchor::Middle => font::width(text, FONT_SIZE) / 2.0,
                    Anchor::End => font::width(text, FONT_SIZE),
                };
                let place = |[x, y]: Place| match is_vertical {
                    true => [at[0] + y, at[1] - (x - back)],
                    false => [at[0] + x - back, at[1] + y],
                };
                let contours = font::outlines(text, FONT_SIZE).into_iter();
                let contours = contours
                    .map(|contour| scaled(&contour.into_iter().map(place).collect::<Vec<_>>()));
                self.fill(&contours.collect::<Vec<_>>(), INK, 1.0);
            }
        }
    }

    /// The pixels (left, top, right, bottom) around `points`, `margin` more to each side.
    fn bounds<'a>(&self, points: impl Iterator<Item = &'a Place>, margin: f64) -> [usize; 4] {
        let empty = [
            f64::INFINITY,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NEG_INFINITY,
        ];
        let all = points.fold(empty, |[left, top, right, bottom], [x, y]| {
            [left.min(*x), top.min(*y), right.max(*x), bottom.max(*y)]
        });
        let inside = |value: f64, end: usize| (value.max(0.0) as usize).min(end);
        [
            inside(all[0] - margin - 1.0, self.width),
            inside(all[1] - margin - 1.0, self.height),
            inside(all[2] + margin + 2.0, self.width),
            inside(all[3] + margin + 2.0, self.height),
        ]
    }

    /// Covers what is nearer to the line than `radius`; its edge is a pixel wide.
    fn cover_line(&mut self, from: Place, to: Place, radius: f64) {
        let [left, top, right, bottom] = self.bounds([from, to].iter(), radius);
        let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
        let length = dx * dx + dy * dy;
        for row in top..bottom {
            for column in left..right {
                let (x, y) = (column as f64 + 0.5 - from[0], row as f64 + 0.5 - from[1]);
                let along = if length > 0.0 {
                    ((x * dx + y * dy) / length).clamp(0.0, 1.0)
                } else {
                    0.0
                };
                let distance = (x - along * dx).hypot(y - along * dy);
                let covered = (radius + 0.5 - distance).clamp(0.0, (2.0 * radius).min(1.0)) as f32;
                let pixel = &mut self.coverage[row * self.width + column];
                *pixel = pixel.max(covered);
            }
        }
    }

    /// Fills closed contours; those that turn the other way cut holes. Each of four lines through a
    /// row of pixels is covered exactly along x.
    fn fill(&mut self, contours: &[Vec<Place>], colour: Colour, opacity: f64) {
        const LINES: usize = 4;
        let bounds = self.bounds(contours.iter().flatten(), 0.0);
        let [_, top, _, bottom] = bounds;
        for line in top * LINES..bottom * LINES {
            let y = (line as f64 + 0.5) / LINES as f64;
            let mut crossings = crossings(contours, y);
            crossings.sort_by(|one, other| one.0.total_cmp(&other.0));
            let mut winding = 0;
            for pair in crossings.windows(2) {
                winding += pair[0].1;
                if winding != 0 {
                    self.cover_span(line / LINES, pair[0].0, pair[1].0, 1.0 / LINES as f32);
                }
            }
        }
        self.paint(bounds, colour, opacity);
    }

    fn cover_span(&mut self, row: usize, from: f64, to: f64, share: f32) {
        let (from, to) = (
            from.clamp(0.0, self.width as f64),
            to.clamp(0.0, self.width as f64),
        );
        for column in from as usize..(to.ceil() as usize).min(self.width) {
            let part = to.min(column as f64 + 1.0) - from.max(column as f64);
            self.coverage[row * self.width + column] += share * part.max(0.0) as f32;
        }
    }

    /// Lays the colour upon what is covered, and clears the coverage.
    fn paint(&mut self, [left, top, right, bottom]: [usize; 4], colour: Colour, opacity: f64) {
        for row in top..bottom {
            for pixel in row * self.width + left..row * self.width + right {
                let covered = self.coverage[pixel].min(1.0) * opacity as f32;
                self.coverage[pixel] = 0.0;
                for (channel, ink) in self.pixels[pixel * 3..][..3].iter_mut().zip(colour) {
                    let mixed = f32::from(*channel) * (1.0 - covered) + f32::from(ink) * covered;
                    *channel = mixed.round() as u8;
                }
            }
        }
    }
}

/// Where the contours cross the height y, and which way.
fn crossings(contours: &[Vec<Place>], y: f64) -> Vec<(f64, i32)> {
    let mut crossings = Vec::new();
    for contour in contours {
        let next = contour.iter().cycle().skip(1);
        for (from, to) in contour.iter().zip(next) {
            if (from[1] <= y) != (to[1] <= y) {
                let x = from[0] + (to[0] - from[0]) * (y - from[1]) / (to[1] - from[1]);
                crossings.push((x, if from[1] <= y { 1 } else { -1 }));
            }
        }
    }
    crossings
}

/// The inked pieces of a line.
fn dashes(points: &[Place], [ink, gap]: [f64; 2]) -> Vec<Vec<Place>> {
    let mut pieces: Vec<Vec<Place>> = points
        .first()
        .map(|first| vec![*first])
        .into_iter()
        .collect();
    let (mut left, mut is_ink) = (ink, true);
    for pair in points.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        loop {
            let length = (to[0] - from[0]).hypot(to[1] - from[1]);
            let part = if length > 0.0 {
                (left / length).min(1.0)
            } else {
                1.0
            };
            from = [
                from[0] + (to[0] - from[0]) * part,
                from[1] + (to[1] - from[1]) * part,
            ];
            if is_ink && let Some(piece) = pieces.last_mut() {
                piece.push(from);
            }
            if length <= left {
                left -= length;
                break;
            }
            is_ink = !is_ink;
            left = if is_ink { ink } else { gap };
            if is_ink {
                pieces.push(vec![from]);
            }
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(canvas: &Canvas, row: usize) -> Vec<u8> {
        let start = row * canvas.width * 3;
        canvas.pixels[start..start + canvas.width * 3]
            .iter()
            .step_by(3)
            .copied()
            .collect()
    }

    #[test]
    fn edges_are_as_grey_as_they_cover() {
        let mut canvas = Canvas::new(4, 2);
        let square = vec![[0.5, 0.0], [2.5, 0.0], [2.5, 1.0], [0.5, 1.0]];
        canvas.fill(&[square], [0; 3], 1.0);
        assert_eq!(row(&canvas, 0), [128, 0, 128, 255]);
        assert_eq!(row(&canvas, 1), [255; 4]);
        let mut canvas = Canvas::new(4, 3);
        let points = vec![[-9.0, 1.5], [9.0, 1.5]];
        canvas.draw(
            &Shape::Line {
                points,
                colour: [0; 3],
                width: 1.0,
                opacity: 0.5,
                is_dashed: false,
            },
            1.0,
        );
        assert_eq!(
            [row(&canvas, 0), row(&canvas, 1)],
            [vec![255; 4], vec![128; 4]]
        );
    }

    #[test]
    fn dashes_go_on_around_corners() {
        let pieces = dashes(&[[0.0, 0.0], [3.0, 0.0], [3.0, 3.0]], [2.0, 2.0]);
        assert_eq!(
            pieces,
            [vec![[0.0, 0.0], [2.0, 0.0]], vec![[3.0, 1.0], [3.0, 3.0]]]
        );
    }
}
