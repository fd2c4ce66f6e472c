//! Images as the bytes of a PNG or GIF file.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use crate::tb::image::{Image, WHITE};

/// Grey levels of the palette, evenly spaced; every ninth is one of the cube's.
const GREYS: usize = 46;
/// Levels of each of red, green and blue in the palette's cube.
const LEVELS: usize = 6;

impl Image {
    /// The image as a PNG file, compressed lightly so that it is quick.
    ///
    /// # Errors
    /// None is known; those of the crate `png` are handed on.
    pub fn to_png(&self) -> io::Result<Vec<u8>> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width() as u32, self.height() as u32);
        encoder.set_color(match self.channels() {
            1 => png::ColorType::Grayscale,
            3 => png::ColorType::Rgb,
            _ => png::ColorType::Rgba,
        });
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fast);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(self.pixels())?;
        writer.finish()?;
        Ok(file)
    }
}

/// `frames` of one size as a GIF file that plays for ever, each shown for `delay`, which is rounded
/// to hundredths of a second.
///
/// The colours are those of a fixed palette, the same for every animation, so that encoding is quick
/// and the colours do not flicker: where all frames are grey (one channel), the 256 greys, which
/// keeps every pixel as it is; else 46 greys and a cube of six levels for each of red, green and
/// blue, of which each pixel takes the nearest. What is transparent is laid upon white.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] without frames, for frames of different sizes or beyond 65,535
/// pixels a side, and for a delay that is no 10 ms or more than 655 s.
pub fn to_gif(frames: &[Image], delay: Duration) -> io::Result<Vec<u8>> {
    check_frames(frames, delay).map_err(|(found, expected)| {
        let text = format!("{found}; expected {expected}");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })?;
    let (width, height) = (frames[0].width() as u16, frames[0].height() as u16);
    let is_grey = frames.iter().all(|frame| frame.channels() == 1);
    let palette = if is_grey { greys() } else { colours() };
    let mut file = Vec::new();
    let mut encoder =
        gif::Encoder::new(&mut file, width, height, &palette).map_err(io::Error::other)?;
    encoder
        .set_repeat(gif::Repeat::Infinite)
        .map_err(io::Error::other)?;
    for frame in frames {
        let buffer = match is_grey {
            true => Cow::Borrowed(frame.pixels()),
            false => frame
                .pixels()
                .chunks_exact(frame.channels())
                .map(nearest_colour)
                .collect(),
        };
        let frame = gif::Frame {
            width,
            height,
            delay: hundredths(delay).try_into().unwrap_or(u16::MAX),
            buffer,
            ..gif::Frame::default()
        };
        encoder.write_frame(&frame).map_err(io::Error::other)?;
    }
    drop(encoder);
    Ok(file)
}

/// Whether a GIF file holds such frames; if not, what was found, and what fits.
pub(crate) fn check_frames(
    frames: &[Image],
    delay: Duration,
) -> Result<(), (String, &'static str)> {
    let Some(first) = frames.first() else {
        return Err(("no frame".to_owned(), "at least one"));
    };
    let size = |image: &Image| (image.width(), image.height());
    let (width, height) = size(first);
    let side = usize::from(u16::MAX);
    if width > side || height > side {
        let found = format!("frames of {width}×{height} pixels");
        return Err((found, "at most 65535 pixels a side"));
    }
    check_equal_sizes(frames)?;
    match hundredths(delay) {
        1..=0xFFFF => Ok(()),
        _ => Err((format!("a delay of {delay:?}"), "10 ms to 655 s")),
    }
}

/// Whether all images have the size of the first; if not, what was found, and what fits.
pub(crate) fn check_equal_sizes(images: &[Image]) -> Result<(), (String, &'static str)> {
    let size = |image: &Image| (image.width(), image.height());
    let mut sizes = images.iter().map(size);
    let (width, height) = sizes.next().unwrap_or_default();
    match sizes.find(|&size| size != (width, height)) {
        None => Ok(()),
        Some((w, h)) => {
            let found = format!("images of {width}×{height} and of {w}×{h} pixels");
            Err((found, "one size"))
        }
    }
}

fn hundredths(delay: Duration) -> u128 {
    (delay.as_millis() + 5) / 10
}

/// The 256 greys, red, green and blue of each.
fn greys() -> Vec<u8> {
    (0..=u8::MAX).flat_map(|grey| [grey; 3]).collect()
}

/// 46 greys, then the 210 colours of the cube that are no greys.
fn colours() -> Vec<u8> {
    let mut palette: Vec<_> = (0..GREYS)
        .flat_map(|grey| [(grey * 255 / (GREYS - 1)) as u8; 3])
        .collect();
    let level = |level: usize| (level * 255 / (LEVELS - 1)) as u8;
    for [red, green, blue] in cube() {
        palette.extend([level(red), level(green), level(blue)]);
    }
    palette
}

/// The levels of the cube's colours that are no greys.
fn cube() -> impl Iterator<Item = [usize; 3]> {
    (0..LEVELS.pow(3))
        .map(|index| [index / 36, index / 6 % 6, index % 6])
        .filter(|&[red, green, blue]| red != green || green != blue)
}

/// The index in [`colours`] of the colour that is nearest to a pixel of 1, 3 or 4 channels.
fn nearest_colour(pixel: &[u8]) -> u8 {
    let [red, green, blue] = opaque(pixel);
    let nearest = |value: u8, levels: usize| (usize::from(value) * (levels - 1) + 127) / 255;
    let [r, g, b] = [red, green, blue].map(|value| nearest(value, LEVELS));
    if (red == green && green == blue) || (r == g && g == b) {
        let mean = [red, green, blue].map(u32::from).iter().sum::<u32>() / 3;
        return nearest(mean as u8, GREYS) as u8;
    }
    // The cube's greys, at 0, 43, 86, …, are left out.
    let index = 36 * r + 6 * g + b;
    (GREYS + index - index.div_ceil(43)) as u8
}

/// Red, green and blue of a pixel, laid upon white.
fn opaque(pixel: &[u8]) -> [u8; 3] {
    match *pixel {
        [red, green, blue, alpha] => {
            let mut over = [red, green, blue];
            let alpha = u32::from(alpha);
            for (value, white) in over.iter_mut().zip(WHITE) {
                let sum = u32::from(*value) * alpha + u32::from(white) * (255 - alpha);
                *value = ((sum + 127) / 255) as u8;
            }
            over
        }
        [red, green, blue] => [red, green, blue],
        _ => [pixel.first().copied().unwrap_or_default(); 3],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pixel of a GIF's frames as RGB, and the frames' delays in hundredths of a second.
    fn decode(file: &[u8]) -> (Vec<Vec<u8>>, Vec<u16>) {
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut decoder = options.read_info(file).unwrap();
        let (mut frames, mut delays) = (Vec::new(), Vec::new());
        while let Some(frame) = decoder.read_next_frame().unwrap() {
            let pixels = frame.buffer.chunks_exact(4);
            frames.push(pixels.flat_map(|pixel| pixel[..3].to_vec()).collect());
            delays.push(frame.delay);
        }
        (frames, delays)
    }

    #[test]
    fn a_png_holds_every_pixel() {
        for channels in [1, 3, 4] {
            let pixels: Vec<_> = (0..7 * 5 * channels)
                .map(|value| (value % 251) as u8)
                .collect();
            let image = Image::from_u8_hwc(&pixels, [5, 7, channels]).unwrap();
            let file = image.to_png().unwrap();
            let mut reader = png::Decoder::new(io::Cursor::new(file))
                .read_info()
                .unwrap();
            let mut decoded = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut decoded).unwrap();
            assert_eq!((info.width, info.height), (7, 5));
            assert_eq!(decoded, pixels);
        }
    }

    #[test]
    fn a_grey_animation_keeps_every_pixel() {
        let pixels: Vec<_> = (0..=u8::MAX).collect();
        let first = Image::from_u8_hwc(&pixels, [16, 16, 1]).unwrap();
        let second = Image::from_u8_hwc(&[7; 256], [16, 16, 1]).unwrap();
        let file = to_gif(&[first.clone(), second.clone()], Duration::from_millis(250)).unwrap();
        let rgb = |image: &Image| image.with_channels(3).pixels().to_vec();
        assert_eq!(
            decode(&file),
            (vec![rgb(&first), rgb(&second)], vec![25, 25])
        );
    }

    #[test]
    fn colours_take_the_nearest_of_the_palette() {
        let palette = colours();
        assert_eq!(palette.len(), 3 * 256);
        // What is in the palette stays; what lies between is off by half a level.
        for colour in palette.chunks_exact(3) {
            let index = usize::from(nearest_colour(colour));
            assert_eq!(palette[3 * index..3 * index + 3], *colour);
        }
        for index in 0..4096_u32 {
            let colour = [index >> 8, index >> 4 & 15, index & 15].map(|value| value as u8 * 17);
            let nearest = usize::from(nearest_colour(&colour));
            for (found, expected) in palette[3 * nearest..].iter().zip(colour) {
                assert!(found.abs_diff(expected) <= 51, "{colour:?}");
            }
        }
        // Transparent black over white is white.
        let white = usize::from(nearest_colour(&[0, 0, 0, 0]));
        assert_eq!(palette[3 * white..3 * white + 3], [255; 3]);
    }

    #[test]
    fn what_is_no_animation_is_refused() {
        let image = |height| Image::from_u8_hwc(&vec![0; height], [height, 1, 1]).unwrap();
        let text = |frames: &[Image], delay| to_gif(frames, delay).unwrap_err().to_string();
        let delay = Duration::from_millis(40);
        assert_eq!(text(&[], delay), "no frame; expected at least one");
        assert_eq!(
            text(&[image(1), image(2)], delay),
            "images of 1×1 and of 1×2 pixels; expected one size"
        );
        assert!(text(&[image(65_536)], delay).contains("at most 65535"));
        for delay in [Duration::ZERO, Duration::from_millis(4), Duration::MAX] {
            assert!(text(&[image(1)], delay).ends_with("; expected 10 ms to 655 s"));
        }
    }
}
