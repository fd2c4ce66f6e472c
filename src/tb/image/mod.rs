//! Pictures: 8-bit pixels from plain slices, drawn upon and encoded.
//!
//! ```
//! use cnn_tb::tb::image::{Image, RED};
//!
//! let digit = vec![0.5_f32; 28 * 28];
//! let digit = Image::from_f32_hw(&digit, [28, 28])?;
//! let wrong = digit.scale(2)?.caption("7 → 1 98%")?.frame(RED, 2)?;
//! let sheet = Image::grid(&[digit, wrong], 8, 4)?;
//! assert_eq!((sheet.channels(), sheet.width()), (3, 3 * 4 + 2 * 60));
//! let png = sheet.to_png()?;
//! assert!(png.starts_with(b"\x89PNG"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod draw;
mod encode;
mod font;

pub(crate) use draw::text_width;
pub use encode::to_gif;
pub(crate) use encode::{check_equal_sizes, check_frames};

use std::borrow::Cow;
use std::fmt;

/// Red, green and blue.
pub type Colour = [u8; 3];
/// The colour white.
pub const WHITE: Colour = [255, 255, 255];
/// The colour black.
pub const BLACK: Colour = [0, 0, 0];
/// A red that reads well on black and on white, for what is wrong.
pub const RED: Colour = [214, 39, 40];
/// A green that reads well on black and on white, for what is right.
pub const GREEN: Colour = [44, 160, 44];
/// The colour of a pixel whose value was no number.
pub const MAGENTA: Colour = [255, 0, 255];

/// The most bytes of pixels that an image may have: 64 MiB, which is a square of 4,096 pixels in
/// RGBA.
pub const MAX_BYTES: usize = 64 << 20;

/// An image of 1 channel (grey), 3 (RGB) or 4 (RGBA), 8 bits each.
///
/// It has at least one pixel and at most [`MAX_BYTES`] bytes. What draws on it takes a
/// [`Colour`]; a grey image becomes RGB where that is no grey.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    channels: usize,
    /// Row by row, the channels of a pixel next to each other.
    pixels: Vec<u8>,
}

/// Why there is no such image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// A slice of another length than the shape says.
    #[error(
        "{found} numbers for an image of {width}×{height} pixels with {channels} channels; \
         expected {}",
        width * height * channels
    )]
    Length {
        /// The slice's length.
        found: usize,
        /// In pixels.
        width: usize,
        /// In pixels.
        height: usize,
        /// Numbers for each pixel.
        channels: usize,
    },
    /// A shape that no image has.
    #[error(
        "an image of {width}×{height} pixels with {channels} channels; expected 1, 3 or 4 channels, \
         at least one pixel, and at most {MAX_BYTES} bytes"
    )]
    Size {
        /// In pixels.
        width: usize,
        /// In pixels.
        height: usize,
        /// Numbers for each pixel.
        channels: usize,
    },
    /// A grid of nothing.
    #[error("a grid of {images} images in {columns} columns; expected at least one of each")]
    Grid {
        /// How many images were given.
        images: usize,
        /// How many are to stand side by side.
        columns: usize,
    },
}

impl Image {
    /// An image from bytes in the layout (height, width, channel), as image libraries have them.
    ///
    /// # Errors
    /// [`ImageError::Length`] and [`ImageError::Size`].
    pub fn from_u8_hwc(
        pixels: &[u8],
        [height, width, channels]: [usize; 3],
    ) -> Result<Self, ImageError> {
        let bytes = checked_size(width, height, channels)?;
        check_length(pixels.len(), bytes, [width, height, channels])?;
        Ok(Self {
            width,
            height,
            channels,
            pixels: pixels.to_vec(),
        })
    }

    /// An image from numbers in 0..=1 in the layout (channel, height, width), as networks have
    /// them.
    ///
    /// Numbers beyond 0 and 1 are taken for these; a pixel with a NaN is drawn in [`MAGENTA`], so
    /// that it is seen, and a grey image with one becomes RGB.
    ///
    /// # Errors
    /// [`ImageError::Length`] and [`ImageError::Size`].
    pub fn from_f32_chw(
        values: &[f32],
        [channels, height, width]: [usize; 3],
    ) -> Result<Self, ImageError> {
        let bytes = checked_size(width, height, channels)?;
        check_length(values.len(), bytes, [width, height, channels])?;
        let mut image = Self {
            width,
            height,
            channels,
            pixels: vec![0; bytes],
        };
        let mut broken = Vec::new();
        let area = width * height;
        for (index, pixel) in image.pixels.chunks_exact_mut(channels).enumerate() {
            let of_pixel = values[index..].iter().step_by(area);
            for (byte, &value) in pixel.iter_mut().zip(of_pixel) {
                if value.is_nan() {
                    broken.push(index);
                }
                *byte = (value.clamp(0.0, 1.0) * 255.0).round() as u8;
            }
        }
        for index in broken {
            let (x, y) = (index % width, index / width);
            image.fill_rectangle(x as i64, y as i64, 1, 1, MAGENTA);
        }
        Ok(image)
    }

    /// A grey image from numbers in 0..=1 in the layout (height, width). What is no number in 0..=1
    /// is drawn as [`from_f32_chw`](Self::from_f32_chw) says.
    ///
    /// # Errors
    /// [`ImageError::Length`] and [`ImageError::Size`].
    pub fn from_f32_hw(values: &[f32], [height, width]: [usize; 2]) -> Result<Self, ImageError> {
        Self::from_f32_chw(values, [1, height, width])
    }

    /// In pixels, at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// In pixels, at least 1.
    pub fn height(&self) -> usize {
        self.height
    }

    /// 1 (grey), 3 (RGB) or 4 (RGBA).
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Row by row from the top, the channels of a pixel next to each other.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// An image in one colour.
    fn filled(
        width: usize,
        height: usize,
        channels: usize,
        colour: Colour,
    ) -> Result<Self, ImageError> {
        let bytes = checked_size(width, height, channels)?;
        let [red, green, blue] = colour;
        let pixel = &[red, green, blue, u8::MAX][..channels];
        Ok(Self {
            width,
            height,
            channels,
            pixels: pixel.repeat(bytes / channels),
        })
    }

    /// The same image with as many channels or more.
    fn with_channels(&self, channels: usize) -> Cow<'_, Self> {
        if channels <= self.channels {
            return Cow::Borrowed(self);
        }
        let area = self.width * self.height;
        let mut pixels = vec![u8::MAX; area * channels];
        let narrow = self.pixels.chunks_exact(self.channels);
        for (wide, pixel) in pixels.chunks_exact_mut(channels).zip(narrow) {
            match *pixel {
                [red, green, blue] => wide[..3].copy_from_slice(&[red, green, blue]),
                _ => wide[..3].copy_from_slice(&[pixel[0]; 3]),
            }
        }
        Cow::Owned(Self {
            channels,
            pixels,
            ..*self
        })
    }
}

impl fmt::Debug for Image {
    /// Without the pixels.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("width", &self.width)
            .field("height", &self.height)
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

/// How many bytes such an image has.
fn checked_size(width: usize, height: usize, channels: usize) -> Result<usize, ImageError> {
    width
        .checked_mul(height)
        .and_then(|area| area.checked_mul(channels))
        .filter(|bytes| matches!(channels, 1 | 3 | 4) && (1..=MAX_BYTES).contains(bytes))
        .ok_or(ImageError::Size {
            width,
            height,
            channels,
        })
}

fn check_length(
    found: usize,
    expected: usize,
    [width, height, channels]: [usize; 3],
) -> Result<(), ImageError> {
    match found == expected {
        true => Ok(()),
        false => Err(ImageError::Length {
            found,
            width,
            height,
            channels,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_read_as_they_are_named() {
        let hwc = Image::from_u8_hwc(&[1, 2, 3, 4, 5, 6], [1, 2, 3]).unwrap();
        let chw: Vec<_> = [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]
            .map(|value: f32| value / 255.0)
            .to_vec();
        assert_eq!(Image::from_f32_chw(&chw, [3, 1, 2]).unwrap(), hwc);
        assert_eq!((hwc.width(), hwc.height(), hwc.channels()), (2, 1, 3));
        let grey = Image::from_f32_hw(&[0.0, 1.0, 0.5, 0.25, 0.125, 0.75], [3, 2]).unwrap();
        assert_eq!((grey.width(), grey.height()), (2, 3));
        assert_eq!(grey.pixels(), [0, 255, 128, 64, 32, 191]);
    }

    #[test]
    fn numbers_out_of_range_are_clamped_and_nan_is_magenta() {
        let values = [-1.0, 2.0, f32::INFINITY, f32::NEG_INFINITY];
        let image = Image::from_f32_hw(&values, [2, 2]).unwrap();
        assert_eq!(image.pixels(), [0, 255, 255, 0]);
        let image = Image::from_f32_hw(&[0.0, f32::NAN], [1, 2]).unwrap();
        assert_eq!(
            (image.channels(), image.pixels()),
            (3, &[0, 0, 0, 255, 0, 255][..])
        );
        let values = [0.0, 1.0, 0.0, f32::NAN, 0.0, 1.0];
        let image = Image::from_f32_chw(&values, [3, 1, 2]).unwrap();
        assert_eq!(image.pixels(), [0, 0, 0, 255, 0, 255]);
    }

    #[test]
    fn what_is_no_image_is_refused_with_what_fits() {
        let text = |result: Result<Image, ImageError>| result.unwrap_err().to_string();
        assert_eq!(
            text(Image::from_f32_chw(&[0.0; 5], [3, 1, 2])),
            "5 numbers for an image of 2×1 pixels with 3 channels; expected 6"
        );
        for [height, width, channels] in [
            [0, 1, 1],
            [1, 0, 1],
            [1, 1, 0],
            [1, 1, 2],
            [1, 1, 5],
            [1 << 13, 1 << 14, 1],
            [usize::MAX, usize::MAX, 3],
        ] {
            let message = text(Image::from_u8_hwc(&[], [height, width, channels]));
            let expected =
                format!("an image of {width}×{height} pixels with {channels} channels; ");
            assert!(message.starts_with(&expected), "{message}");
            assert!(message.contains("at most 67108864 bytes"), "{message}");
        }
    }
}
