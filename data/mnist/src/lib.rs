//! MNIST, compressed and embedded: 60,000 training and 10,000 test images of handwritten digits,
//! without a network.
//!
//! Every function unpacks anew and returns plain bytes: pixels row by row and image by image, from 0
//! (paper) to 255 (ink), and one label from 0 to 9 an image, in the order of the original files.
//!
//! ```
//! let images = cnn_tb_mnist::test_images()?;
//! let labels = cnn_tb_mnist::test_labels()?;
//! let first = &images[..cnn_tb_mnist::IMAGE_BYTES];
//! assert_eq!(labels[0], 7);
//! assert!(first.iter().any(|&pixel| pixel == 255));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The data set is by Yann LeCun, Corinna Cortes and Christopher J. C. Burges, under CC BY-SA 3.0;
//! the README says how the embedded files were made from it.

use std::io;
use std::thread;

/// Training images.
pub const TRAIN_IMAGES: usize = 60_000;
/// Test images.
pub const TEST_IMAGES: usize = 10_000;
/// Rows of an image.
pub const HEIGHT: usize = 28;
/// Columns of an image.
pub const WIDTH: usize = 28;
/// Bytes of an image, one a pixel.
pub const IMAGE_BYTES: usize = HEIGHT * WIDTH;
/// Different labels.
pub const CLASSES: usize = 10;

/// The training images in four equal parts, so that four threads can unpack them.
const TRAIN_IMAGE_FRAMES: [&[u8]; 4] = [
    include_bytes!("../packed/train-images-0.zst"),
    include_bytes!("../packed/train-images-1.zst"),
    include_bytes!("../packed/train-images-2.zst"),
    include_bytes!("../packed/train-images-3.zst"),
];
const TRAIN_LABEL_FRAME: &[u8] = include_bytes!("../packed/train-labels.zst");
const TEST_IMAGE_FRAME: &[u8] = include_bytes!("../packed/test-images.zst");
const TEST_LABEL_FRAME: &[u8] = include_bytes!("../packed/test-labels.zst");

/// The pixels of the training images, [`TRAIN_IMAGES`] × [`IMAGE_BYTES`], unpacked on four threads.
///
/// # Errors
/// Only where the program's copy of the data is damaged.
pub fn train_images() -> io::Result<Vec<u8>> {
    let mut pixels = vec![0; TRAIN_IMAGES * IMAGE_BYTES];
    let parts = pixels.chunks_mut(TRAIN_IMAGES / TRAIN_IMAGE_FRAMES.len() * IMAGE_BYTES);
    thread::scope(|scope| {
        let unpackers: Vec<_> = TRAIN_IMAGE_FRAMES
            .into_iter()
            .zip(parts)
            .map(|(frame, part)| scope.spawn(|| unpack_into(frame, part)))
            .collect();
        unpackers.into_iter().try_for_each(|unpacker| {
            let panicked = |_| Err(io::Error::other("the unpacking thread panicked"));
            unpacker.join().unwrap_or_else(panicked)
        })
    })?;
    Ok(pixels)
}

/// The labels of the training images, [`TRAIN_IMAGES`] of them.
///
/// # Errors
/// Only where the program's copy of the data is damaged.
pub fn train_labels() -> io::Result<Vec<u8>> {
    unpack(TRAIN_LABEL_FRAME, TRAIN_IMAGES)
}

/// The pixels of the test images, [`TEST_IMAGES`] × [`IMAGE_BYTES`].
///
/// # Errors
/// Only where the program's copy of the data is damaged.
pub fn test_images() -> io::Result<Vec<u8>> {
    unpack(TEST_IMAGE_FRAME, TEST_IMAGES * IMAGE_BYTES)
}

/// The labels of the test images, [`TEST_IMAGES`] of them.
///
/// # Errors
/// Only where the program's copy of the data is damaged.
pub fn test_labels() -> io::Result<Vec<u8>> {
    unpack(TEST_LABEL_FRAME, TEST_IMAGES)
}

fn unpack(frame: &[u8], len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    unpack_into(frame, &mut bytes)?;
    Ok(bytes)
}

/// Fills `bytes` from one zstd frame, which must hold exactly as many.
fn unpack_into(frame: &[u8], bytes: &mut [u8]) -> io::Result<()> {
    let len = zstd::bulk::Decompressor::new()?.decompress_to_buffer(frame, bytes)?;
    if len != bytes.len() {
        let expected = bytes.len();
        let message = format!("the embedded MNIST holds {len} bytes, expected {expected}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    /// The SHA-256 of the original file: the IDX header of `dimensions`, then `data`.
    fn idx_sha256(dimensions: &[u32], data: &[u8]) -> String {
        let mut hasher = Sha256::new();
        hasher.update([0, 0, 8, dimensions.len() as u8]);
        for size in dimensions {
            hasher.update(size.to_be_bytes());
        }
        hasher.update(data);
        format!("{:x}", hasher.finalize())
    }

    #[test]
    fn unpacks_to_the_original_files() {
        assert_eq!(
            idx_sha256(&[60_000, 28, 28], &train_images().unwrap()),
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        );
        assert_eq!(
            idx_sha256(&[60_000], &train_labels().unwrap()),
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        );
        assert_eq!(
            idx_sha256(&[10_000, 28, 28], &test_images().unwrap()),
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        );
        assert_eq!(
            idx_sha256(&[10_000], &test_labels().unwrap()),
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        );
    }

    /// A published package may hold 10 MiB.
    #[test]
    fn packed_files_take_at_most_9_900_000_bytes() {
        let frames = [TRAIN_LABEL_FRAME, TEST_IMAGE_FRAME, TEST_LABEL_FRAME];
        let packed: usize = frames
            .iter()
            .chain(&TRAIN_IMAGE_FRAMES)
            .map(|f| f.len())
            .sum();
        assert!(packed <= 9_900_000, "{packed}");
    }

    #[test]
    fn damage_is_an_error() {
        let mut bytes = vec![0; TEST_IMAGES];
        let cut = &TEST_LABEL_FRAME[..TEST_LABEL_FRAME.len() / 2];
        assert!(unpack_into(cut, &mut bytes).is_err());
        assert!(unpack_into(b"not zstd", &mut bytes).is_err());
        let error = unpack(TEST_LABEL_FRAME, TEST_IMAGES + 1).unwrap_err();
        assert!(error.to_string().contains("expected 10001"), "{error}");
        assert!(unpack(TEST_LABEL_FRAME, TEST_IMAGES - 1).is_err());
    }
}
