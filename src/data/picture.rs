//! Pictures that a person drew, decoded to grey.
//!
//! PNG's colour types and bit depths: <https://www.w3.org/TR/png-3/>, section 11.2.1.

use std::io::{self, BufReader, Cursor, Read};

use png::{ColorType, Decoder, DecodingError, Transformations};

/// What a PNG file starts with (<https://www.w3.org/TR/png-3/>, section 5.2).
const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];
/// The most pixels that are decoded: a small compressed file can claim any size.
const MAX_PIXELS: u64 = 25_000_000;
/// The longest file that is read: what [`MAX_PIXELS`] take at 8 bytes each, and a little more.
const MAX_BYTES: u64 = 208_000_000;

/// A grey picture: 0 is black, 255 is white.
///
/// ```
/// use cnn_tb::data::Picture;
///
/// // A bar of 2 × 6 pixels, black on white, in a corner of 16 × 16.
/// let bar = |at| if at % 16 < 2 && at / 16 < 6 { 0 } else { 255 };
/// let picture = Picture::new(16, 16, (0..256).map(bar).collect()).ok_or("a wrong size")?;
/// let digit = picture.digit(28, 28)?;
/// // White on black now, 20 pixels high and in the middle.
/// let column: Vec<u8> = digit.chunks(28).map(|row| row[14]).collect();
/// assert_eq!(column, [&[0; 4][..], &[255; 20], &[0; 4]].concat());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// `height * width` bytes, row by row, both above 0.
    pub(super) pixels: Vec<u8>,
    pub(super) height: usize,
    pub(super) width: usize,
}

/// Why there is no digit in a picture. None of it goes away by trying again, but for
/// [`PictureError::Io`].
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(io::Error),
    /// The file is of another kind.
    #[error("is no PNG file: it starts with {}, expected {}", hexadecimal(found), hexadecimal(&SIGNATURE))]
    Signature {
        /// Its first bytes, at most 8.
        found: Vec<u8>,
    },
    /// The file is damaged, or cut short.
    #[error("is a damaged PNG file: {0}")]
    Damaged(DecodingError),
    /// There is more in the file than is taken.
    #[error("has {width} × {height} pixels, expected at most {MAX_PIXELS} in all")]
    TooLarge {
        /// Columns, as the header has them.
        width: u32,
        /// Rows, as the header has them.
        height: u32,
    },
    /// The file is too long for a picture of that many pixels.
    #[error("has more than {MAX_BYTES} bytes")]
    TooLong,
    /// Nothing stands out from the background.
    #[error(
        "is blank: its pixels differ from the background by at most {found} of 255, expected at \
         least {expected}"
    )]
    Blank {
        /// The largest difference from the background, in grey levels.
        found: u8,
        /// The smallest one that is taken for ink: more where the background is noisy.
        expected: u8,
    },
}

/// `0x89504e47`
fn hexadecimal(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match digits.is_empty() {
        true => "nothing".to_owned(),
        false => format!("0x{digits}"),
    }
}

impl Picture {
    /// A picture of `height` rows of `width` pixels, one byte each. `None` for another number of
    /// pixels, and for none at all.
    pub fn new(height: usize, width: usize, pixels: Vec<u8>) -> Option<Self> {
        let expected = height.checked_mul(width).filter(|&count| count > 0)?;
        (pixels.len() == expected).then_some(Self {
            pixels,
            height,
            width,
        })
    }

    /// Decodes a PNG file of any colour type and bit depth; of an animation, the still picture.
    ///
    /// Colours become grey by their luma (ITU-R BT.601), 16 bits are cut to 8. What is transparent
    /// becomes background: it gets the colour of the border or, where the border is transparent
    /// too, black or white, whichever is farther from what was drawn.
    ///
    /// # Errors
    /// A file that is no PNG, is damaged, or has more than 25 million pixels.
    pub fn from_png(file: impl Read) -> Result<Self, PictureError> {
        let mut bytes = Vec::new();
        let mut file = BufReader::new(file).take(MAX_BYTES + 1);
        file.read_to_end(&mut bytes).map_err(PictureError::Io)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(PictureError::TooLong);
        }
        if !bytes.starts_with(&SIGNATURE) {
            bytes.truncate(SIGNATURE.len());
            return Err(PictureError::Signature { found: bytes });
        }

        let mut decoder = Decoder::new(Cursor::new(bytes));
        decoder.set_transformations(Transformations::normalize_to_color8());
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        let header = decoder.read_header_info().map_err(PictureError::Damaged)?;
        let (width, height) = (header.width, header.height);
        if u64::from(width) * u64::from(height) > MAX_PIXELS {
            return Err(PictureError::TooLarge { width, height });
        }
        let mut reader = decoder.read_info().map_err(PictureError::Damaged)?;
        // The decoder panics at it (png 0.18.1); section 11.2.2 calls it an error.
        if let Some(palette) = &reader.info().palette
            && palette.len() % 3 != 0
        {
            let found = palette.len();
            let message = format!("a palette of {found} bytes, expected three for each colour");
            return Err(damaged(&message));
        }
        let too_large = PictureError::TooLarge { width, height };
        let mut samples = vec![0; reader.output_buffer_size().ok_or(too_large)?];
        let frame = (reader.next_frame(&mut samples)).map_err(PictureError::Damaged)?;
        samples.truncate(frame.buffer_size());
        let (height, width) = (frame.height as usize, frame.width as usize);
        let pixels = grey(frame.color_type, &samples, height, width);
        // The header said so; a decoder that gives anything else found damage.
        Self::new(height, width, pixels).ok_or_else(|| damaged("sizes disagree"))
    }

    /// The pixels of the outermost rows and columns.
    pub(super) fn border(&self) -> impl Iterator<Item = u8> {
        border(&self.pixels, self.height, self.width)
    }
}

/// Damage that the decoder does not find.
fn damaged(message: &str) -> PictureError {
    let cause = io::Error::new(io::ErrorKind::InvalidData, message);
    PictureError::Damaged(DecodingError::IoError(cause))
}

/// One grey byte a pixel, for samples of 8 bits.
fn grey(color_type: ColorType, samples: &[u8], height: usize, width: usize) -> Vec<u8> {
    let luma = |rgb: &[u8]| luma(rgb[0], rgb[1], rgb[2]);
    let with_alpha = |(grey, alpha): (Vec<u8>, Vec<u8>)| flatten(&grey, &alpha, height, width);
    match color_type {
        // A palette has been looked up already.
        ColorType::Grayscale | ColorType::Indexed => samples.to_vec(),
        ColorType::Rgb => samples.chunks_exact(3).map(luma).collect(),
        ColorType::GrayscaleAlpha => {
            let pixels = samples.chunks_exact(2).map(|pixel| (pixel[0], pixel[1]));
            with_alpha(pixels.unzip())
        }
        ColorType::Rgba => {
            let pixels = samples.chunks_exact(4);
            with_alpha(pixels.map(|pixel| (luma(pixel), pixel[3])).unzip())
        }
    }
}

/// How bright a colour is seen: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601-7, section 2.5.1).
fn luma(red: u8, green: u8, blue: u8) -> u8 {
    let sum = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
    ((sum + 500) / 1000) as u8
}

/// Lays the picture over a background, see [`Picture::from_png`].
fn flatten(grey: &[u8], alpha: &[u8], height: usize, width: usize) -> Vec<u8> {
    let mean = |pairs: &mut dyn Iterator<Item = (u8, u8)>| {
        let (mut sum, mut weight, mut count) = (0, 0, 0);
        for (grey, alpha) in pairs {
            sum += u64::from(grey) * u64::from(alpha);
            weight += u64::from(alpha);
            count += 1;
        }
        (sum / weight.max(1), weight / count.max(1))
    };
    let border = border(grey, height, width).zip(border(alpha, height, width));
    let (border_grey, border_alpha) = mean(&mut border.into_iter());
    let (drawn_grey, _) = mean(&mut grey.iter().copied().zip(alpha.iter().copied()));
    let background = match border_alpha {
        128.. => border_grey as u32,
        _ if drawn_grey < 128 => 255,
        _ => 0,
    };
    let over = |(&grey, &alpha): (&u8, &u8)| {
        let alpha = u32::from(alpha);
        ((u32::from(grey) * alpha + background * (255 - alpha) + 127) / 255) as u8
    };
    grey.iter().zip(alpha).map(over).collect()
}

/// The pixels of the outermost rows and columns, each once.
fn border(pixels: &[u8], height: usize, width: usize) -> impl Iterator<Item = u8> {
    let rows = pixels.chunks_exact(width.max(1)).enumerate();
    rows.flat_map(move |(y, row)| {
        let step = match y == 0 || y + 1 == height {
            true => 1,
            false => width.saturating_sub(1).max(1),
        };
        row.iter().copied().step_by(step)
    })
}

#[cfg(test)]
mod tests {
    use png::{BitDepth, Encoder};
    use proptest::prelude::*;

    use super::*;

    /// A PNG file of 2 rows.
    fn png(color_type: ColorType, depth: BitDepth, width: u32, data: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, width, 2);
        encoder.set_color(color_type);
        encoder.set_depth(depth);
        if color_type == ColorType::Indexed {
            encoder.set_palette(vec![255, 255, 255, 255, 0, 0, 0, 0, 255, 0, 0, 0]);
        }
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(data).unwrap();
        writer.finish().unwrap();
        file
    }

    fn decode(bytes: &[u8]) -> Result<Picture, PictureError> {
        Picture::from_png(bytes)
    }

    #[test]
    fn every_colour_type_and_depth_becomes_grey() {
        use BitDepth::{Eight, Four, One, Sixteen, Two};
        use ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
        let cases: [(ColorType, BitDepth, &[u8]); 14] = [
            (Grayscale, One, &[0b1100_0000, 0b0100_0000]),
            (Grayscale, Two, &[0b1111_0000, 0b0011_0000]),
            (Grayscale, Four, &[0xff, 0x0f]),
            (Grayscale, Eight, &[255, 255, 0, 255]),
            (Grayscale, Sixteen, &[255, 255, 255, 0, 0, 255, 255, 1]),
            (
                GrayscaleAlpha,
                Eight,
                &[255, 255, 255, 255, 0, 255, 255, 255],
            ),
            // Transparent pixels have no colour.
            (GrayscaleAlpha, Eight, &[0, 0, 0, 0, 0, 255, 0, 0]),
            (
                GrayscaleAlpha,
                Sixteen,
                &[
                    255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 255, 255, 255, 255, 255, 255,
                ],
            ),
            (
                Rgb,
                Eight,
                &[255, 255, 255, 255, 255, 255, 0, 0, 0, 255, 255, 255],
            ),
            (
                Rgb,
                Sixteen,
                &[[255; 12].as_slice(), &[0; 6], &[255; 6]].concat(),
            ),
            (
                Rgba,
                Eight,
                &[[255; 8].as_slice(), &[0, 0, 0, 255], &[255; 4]].concat(),
            ),
            (
                Rgba,
                Sixteen,
                &[[255; 16].as_slice(), &[0; 6], &[255; 10]].concat(),
            ),
            (Indexed, Two, &[0b0000_0000, 0b1100_0000]),
            (Indexed, Eight, &[0, 0, 3, 0]),
        ];
        for (color_type, depth, data) in cases {
            let picture = decode(&png(color_type, depth, 2, data)).unwrap();
            let pixels = picture.pixels;
            assert_eq!(
                pixels,
                [255, 255, 0, 255],
                "{color_type:?} {depth:?} {data:?}"
            );
        }
        let colours = decode(&png(Indexed, Two, 2, &[0b0110_0000, 0])).unwrap();
        assert_eq!(colours.pixels, [76, 29, 255, 255]);
    }

    #[test]
    fn the_transparent_becomes_background() {
        // White strokes on nothing stay white, half-transparent ones are half as bright.
        let (grey, alpha) = ([255, 255, 255, 255], [0, 0, 128, 255]);
        assert_eq!(flatten(&grey, &alpha, 2, 2), [0, 0, 128, 255]);
        let (grey, alpha) = ([0, 0, 0, 0], [0, 0, 128, 255]);
        assert_eq!(flatten(&grey, &alpha, 2, 2), [255, 255, 127, 0]);
        // A hole in grey paper is paper.
        let (mut grey, mut alpha) = ([200; 9], [255; 9]);
        (grey[4], alpha[4]) = (0, 0);
        assert_eq!(flatten(&grey, &alpha, 3, 3), [200; 9]);
    }

    #[test]
    fn the_border_has_every_outer_pixel_once() {
        let pixels: Vec<u8> = (0..12).collect();
        for (height, width, expected) in [
            (3, 4, &[0, 1, 2, 3, 4, 7, 8, 9, 10, 11][..]),
            (4, 3, &[0, 1, 2, 3, 5, 6, 8, 9, 10, 11]),
            (12, 1, &pixels),
            (1, 12, &pixels),
        ] {
            let picture = Picture::new(height, width, pixels.clone()).unwrap();
            assert!(
                picture.border().eq(expected.iter().copied()),
                "{height} × {width}"
            );
        }
    }

    #[test]
    fn errors_say_what_was_found() {
        let whole = png(ColorType::Grayscale, BitDepth::Eight, 2, &[1, 2, 3, 4]);
        let mut flipped = whole.clone();
        flipped[20] ^= 1;
        // The header is checked before its checksum: this claims 65,536 × 65,537 pixels.
        let mut huge = whole.clone();
        huge[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 1]);
        let checksum = crc32(&huge[12..29]);
        huge[29..33].copy_from_slice(&checksum.to_be_bytes());
        let jpeg = [0xff, 0xd8, 0xff, 0xe0, 0, 16, b'J', b'F', b'I', b'F'];
        for (bytes, expected) in [
            (
                &jpeg[..],
                "is no PNG file: it starts with 0xffd8ffe000104a46, expected 0x89504e470d0a1a0a",
            ),
            (
                b"",
                "is no PNG file: it starts with nothing, expected 0x89504e470d0a1a0a",
            ),
            (
                &whole[..4],
                "is no PNG file: it starts with 0x89504e47, expected 0x89504e470d0a1a0a",
            ),
            (&whole[..40], "is a damaged PNG file: "),
            (&flipped, "is a damaged PNG file: "),
            (
                &huge,
                "has 65536 × 65537 pixels, expected at most 25000000 in all",
            ),
        ] {
            let error = decode(bytes).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(Picture::new(2, 2, vec![0; 3]).is_none());
        assert!(Picture::new(0, 2, vec![]).is_none());
        assert!(Picture::new(usize::MAX, 2, vec![]).is_none());
    }

    /// The CRC-32 of PNG chunks, bit by bit (PNG specification, annex D).
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| match crc & 1 {
                1 => crc >> 1 ^ 0xedb8_8320,
                _ => crc >> 1,
            })
        })
    }

    proptest! {
        #[test]
        fn damage_is_no_panic(at in 8usize..80, byte in any::<u8>(), cut in 0usize..80) {
            let whole = png(ColorType::Indexed, BitDepth::Two, 2, &[0b0110_0000, 0b1100_0000]);
            let mut damaged = whole.clone();
            let at = at % whole.len();
            damaged[at] = byte;
            // Where it does not say what is wrong, it gives a picture of the size that is read.
            for bytes in [&damaged, &whole[..cut.min(whole.len())]] {
                if let Ok(picture) = decode(bytes) {
                    prop_assert_eq!(picture.pixels.len(), picture.height * picture.width);
                    let _ = picture.digit(28, 28);
                }
            }
        }
    }
}
