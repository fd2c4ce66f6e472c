//! The embedded MNIST as splits.

use std::io;

use cnn_tb_mnist::{HEIGHT, WIDTH};

use super::Split;

/// The 60,000 training images, 5,000 for validation among them.
pub(super) fn train() -> io::Result<Split> {
    split(cnn_tb_mnist::train_images()?, cnn_tb_mnist::train_labels()?)
}

/// The 10,000 test images.
pub(super) fn test() -> io::Result<Split> {
    split(cnn_tb_mnist::test_images()?, cnn_tb_mnist::test_labels()?)
}

fn split(pixels: Vec<u8>, labels: Vec<u8>) -> io::Result<Split> {
    let disagree = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "images and labels disagree in number",
        )
    };
    Split::new(HEIGHT, WIDTH, pixels, labels).ok_or_else(disagree)
}
