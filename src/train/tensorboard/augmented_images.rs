//! Training images as the epochs to come see them.

use crate::data::{Augmentation, Split};
use crate::tb::image::{Image, ImageError};
use crate::train::Config;

use super::thumbnail::thumbnail;

/// Images, one below the other.
const IMAGES: usize = 10;
/// Epochs at most, side by side.
const EPOCHS: usize = 7;
/// The caption `original` fits into it.
const MIN_WIDTH: usize = 49;
const PADDING: usize = 4;

/// A row for each of the first images of the training split `split`: as it is, and as the first
/// epochs of `config` change it at random. `None` where no setting changes images.
///
/// # Errors
/// Images that make no picture.
pub fn augmented_images(split: &Split, config: &Config) -> Result<Option<Image>, ImageError> {
    let epochs = config.epochs.min(EPOCHS);
    let augmentations: Vec<_> = (1..=epochs).map(|n| config.augmentation(n)).collect();
    if split.is_empty() || augmentations.iter().all(Augmentation::is_identity) {
        return Ok(None);
    }
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let mut tiles = Vec::new();
    for index in 0..split.len().min(IMAGES) as u32 {
        split.gather(&[index], &mut pixels, &mut labels);
        tiles.push(tile(split, &pixels, "original")?);
        for augmentation in &augmentations {
            split.gather_augmented(&[index], augmentation, &mut pixels, &mut labels);
            let caption = format!("epoch {}", augmentation.epoch);
            tiles.push(tile(split, &pixels, &caption)?);
        }
    }
    Image::grid(&tiles, 1 + epochs, PADDING).map(Some)
}

/// One image of the size of those in `split`.
fn tile(split: &Split, pixels: &[u8], caption: &str) -> Result<Image, ImageError> {
    let numbers: Vec<f32> = pixels.iter().map(|p| f32::from(*p) / 255.0).collect();
    thumbnail(&numbers, [split.height(), split.width()], MIN_WIDTH)?.caption(caption)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pixels of the picture in `row` and `column` of a grid of pictures of 8 × 8, seven times
    /// as large.
    fn cell(grid: &Image, row: usize, column: usize) -> Vec<u8> {
        let cell_height = (grid.height() - PADDING) / IMAGES;
        let top = PADDING + row * cell_height;
        let left = PADDING + column * (7 * 8 + PADDING);
        let places = (0..8).flat_map(|y| (0..8).map(move |x| (top + 7 * y + 3, left + 7 * x + 3)));
        places
            .map(|(y, x)| grid.pixels()[y * grid.width() + x])
            .collect()
    }

    #[test]
    fn each_row_is_an_image_and_what_the_epochs_make_of_it() {
        let images = (0..12 * 64).map(|at| (at * 7 % 256) as u8);
        let split = Split::new(8, 8, images.collect(), vec![0; 12]).unwrap();
        for (epochs, columns) in [(1, 2), (7, 8), (100, 8)] {
            let config = Config {
                epochs,
                rotation: 30.0,
                ..Config::default()
            };
            let grid = augmented_images(&split, &config).unwrap().unwrap();
            assert_eq!(grid.width(), PADDING + columns * (7 * 8 + PADDING));
            for row in 0..IMAGES {
                let original = &split.pixels()[64 * row..][..64];
                assert_eq!(cell(&grid, row, 0), original);
                for epoch in 1..columns {
                    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
                    let augmentation = config.augmentation(epoch);
                    let indices = [row as u32];
                    split.gather_augmented(&indices, &augmentation, &mut pixels, &mut labels);
                    assert_eq!(cell(&grid, row, epoch), pixels, "{row}, {epoch}");
                    assert_ne!(pixels, original, "{row}, {epoch}");
                }
            }
        }
        let unchanged = Config {
            shift: 0,
            ..Config::default()
        };
        assert_eq!(augmented_images(&split, &unchanged), Ok(None));
    }
}
