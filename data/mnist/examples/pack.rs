//! Makes the embedded files from the four original ones:
//! `cargo run --release -p cnn-tb-mnist --example pack -- RAW_DIR data/mnist/packed`
//!
//! RAW_DIR holds `train-images-idx3-ubyte` and its three companions, uncompressed. The tests of the
//! package hold what is unpacked against the originals' SHA-256.

use std::path::Path;
use std::{env, fs, io};

use cnn_tb_mnist::{IMAGE_BYTES, TEST_IMAGES, TRAIN_IMAGES};

/// zstd's highest level: it takes a minute or two here, and unpacks as fast as any other.
const LEVEL: i32 = 22;

/// Frames of the training images: more unpack on more threads, and take more bytes.
const PARTS: usize = 4;

/// Bytes before the pixels and before the labels in an IDX file.
const IMAGE_HEADER: usize = 16;
const LABEL_HEADER: usize = 8;

fn main() -> io::Result<()> {
    let mut arguments = env::args_os().skip(1);
    let (Some(raw), Some(packed)) = (arguments.next(), arguments.next()) else {
        return Err(invalid("usage: pack RAW_DIR PACKED_DIR"));
    };
    let (raw, packed) = (Path::new(&raw), Path::new(&packed));

    let train_len = TRAIN_IMAGES * IMAGE_BYTES;
    let train_images = read(
        &raw.join("train-images-idx3-ubyte"),
        IMAGE_HEADER,
        train_len,
    )?;
    for (part, pixels) in train_images.chunks(train_len / PARTS).enumerate() {
        write(&packed.join(format!("train-images-{part}.zst")), pixels)?;
    }

    let train_labels = read(
        &raw.join("train-labels-idx1-ubyte"),
        LABEL_HEADER,
        TRAIN_IMAGES,
    )?;
    write(&packed.join("train-labels.zst"), &train_labels)?;

    let test_len = TEST_IMAGES * IMAGE_BYTES;
    let test_images = read(&raw.join("t10k-images-idx3-ubyte"), IMAGE_HEADER, test_len)?;
    write(&packed.join("test-images.zst"), &test_images)?;

    let test_labels = read(
        &raw.join("t10k-labels-idx1-ubyte"),
        LABEL_HEADER,
        TEST_IMAGES,
    )?;
    write(&packed.join("test-labels.zst"), &test_labels)
}

/// What follows the header of an IDX file.
fn read(path: &Path, header: usize, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = fs::read(path)?;
    if bytes.len() != header + len {
        let (path, found, expected) = (path.display(), bytes.len(), header + len);
        return Err(invalid(&format!(
            "{path}: {found} bytes, expected {expected}"
        )));
    }
    Ok(bytes.split_off(header))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(path, zstd::bulk::compress(bytes, LEVEL)?)
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
