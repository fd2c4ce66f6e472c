//! What reads images and labels.

use std::path::Path;

use cnn_tb::data::{Dataset, IdxError, Picture, PictureError, read_images, read_labels};

use super::format::unbundled;
use super::variants::{of_data, of_idx, of_picture};
use super::{Errors, with_files};

/// The names of a data set's files, in the order in which a bundle has them.
const FILES: [&str; 5] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
    "classes.txt",
];
/// What an IDX file of labels starts with.
const LABELS: u32 = 0x0000_0801;

/// An IDX file of images or of labels, compressed or not.
pub fn parse_idx(bytes: &[u8]) -> Errors {
    with_files(&[("idx", bytes)], |directory| {
        let path = directory.join("idx");
        let images = read_images(&path);
        let labels = read_labels(&path);
        assert!(images.is_err() || labels.is_err());
        if let Ok(images) = &images {
            let size = images.height * images.width;
            assert!(size > 0 && images.pixels.len() % size == 0);
        }
        let error = match images {
            Err(IdxError::Magic { found: LABELS, .. }) => labels.err(),
            other => other.err(),
        };
        error.iter().map(of_idx).collect()
    })
}

/// The files of a data set, as far as they are there.
pub fn parse(bundle: &[u8]) -> Errors {
    let contents = unbundled(bundle);
    let files = FILES.into_iter().zip(contents);
    let files: Vec<_> = files.filter(|(_, bytes)| !bytes.is_empty()).collect();
    with_files(&files, |directory| match Dataset::open(directory) {
        Ok(dataset) => {
            assert_consistent(&dataset, directory);
            Errors::new()
        }
        Err(error) => [of_data(&error)].into(),
    })
}

fn assert_consistent(dataset: &Dataset, directory: &Path) {
    let size = (dataset.height(), dataset.width());
    assert_eq!(dataset.class_names().len(), dataset.classes());
    assert_eq!(Dataset::image_size(Some(directory)).unwrap(), size);
    let splits = [
        dataset.train(),
        dataset.validation(),
        dataset.test().unwrap(),
    ];
    for split in splits {
        assert_eq!(split.pixels().len(), split.len() * size.0 * size.1);
        let largest = split.labels().iter().max();
        assert!(largest.is_none_or(|&label| usize::from(label) < dataset.classes()));
    }
}

/// A picture, and the digit in it.
pub fn parse_picture(bytes: &[u8]) -> Errors {
    let digit = |picture: Picture| picture.digit(28, 28);
    let digit: Result<Vec<u8>, PictureError> = Picture::from_png(bytes).and_then(digit);
    match digit {
        Ok(pixels) => {
            assert_eq!(pixels.len(), 28 * 28);
            assert!(pixels.contains(&255));
            Errors::new()
        }
        Err(error) => [of_picture(&error)].into(),
    }
}
