//! Writes the four original files of MNIST:
//! `cargo run --release -p cnn-tb-mnist --example unpack -- DIR`

use std::path::Path;
use std::{env, fs, io};

use cnn_tb_mnist::{HEIGHT, TEST_IMAGES, TRAIN_IMAGES, WIDTH};

fn main() -> io::Result<()> {
    let Some(dir) = env::args_os().nth(1) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "usage: unpack DIR",
        ));
    };
    let dir = Path::new(&dir);
    fs::create_dir_all(dir)?;
    for (kind, count, pixels, labels) in [
        (
            "train",
            TRAIN_IMAGES,
            cnn_tb_mnist::train_images()?,
            cnn_tb_mnist::train_labels()?,
        ),
        (
            "t10k",
            TEST_IMAGES,
            cnn_tb_mnist::test_images()?,
            cnn_tb_mnist::test_labels()?,
        ),
    ] {
        let images = dir.join(format!("{kind}-images-idx3-ubyte"));
        fs::write(images, idx(&[count, HEIGHT, WIDTH], &pixels))?;
        let file = dir.join(format!("{kind}-labels-idx1-ubyte"));
        fs::write(file, idx(&[count], &labels))?;
    }
    Ok(())
}

/// An IDX file of bytes (type 8): the number of dimensions, their sizes, what they hold.
fn idx(sizes: &[usize], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, sizes.len() as u8];
    for size in sizes {
        file.extend((*size as u32).to_be_bytes());
    }
    file.extend(bytes);
    file
}
