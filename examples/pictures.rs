//! Pictures in TensorBoard: a sheet of captioned images, boxes, an animation and an embedding.
//!
//! ```text
//! cargo run --example pictures --no-default-features
//! tensorboard --logdir runs
//! ```

use std::error::Error;
use std::f32::consts::TAU;
use std::time::Duration;

use cnn_tb::tb::image::{GREEN, Image, ImageError, RED};
use cnn_tb::tb::writer::{BoundingBox, Embedding};
use cnn_tb::tb::{Logdir, SummaryWriter};

const SHAPES: [&str; 3] = ["disc", "ring", "bar"];

fn main() -> Result<(), Box<dyn Error>> {
    let writer = SummaryWriter::create(Logdir::next("runs", "pictures")?)?;
    let images = (0..24).map(|index| shape(index % 3, index as f32 / 24.0));
    let images = images.collect::<Result<Vec<_>, _>>()?;

    // What a classifier says of each: green where it is right, red where it is wrong.
    let mut cells = Vec::new();
    for (index, image) in images.iter().enumerate() {
        let (truth, said) = (SHAPES[index % 3], SHAPES[(index + index % 7 / 6) % 3]);
        let (colour, caption) = match truth == said {
            true => (GREEN, truth.to_owned()),
            false => (RED, format!("{truth} → {said}")),
        };
        cells.push(image.scale(3)?.frame(colour, 2)?.caption(&caption)?);
    }
    writer.add_image("samples/classified", &Image::grid(&cells, 8, 4)?, 1)?;

    let scene = Image::grid(&[images[0].scale(5)?, images[2].scale(5)?], 2, 20)?;
    let boxes = [
        BoundingBox::new([48.0, 48.0, 133.0, 133.0], "disc 98%"),
        BoundingBox::new([215.0, 34.0, 285.0, 148.0], "bar 71%"),
    ];
    writer.add_image_with_boxes("samples/boxes", &scene, &boxes, 1)?;

    let frames = (0..30).map(|frame| shape(2, frame as f32 / 30.0)?.scale(4));
    let frames = frames.collect::<Result<Vec<_>, _>>()?;
    writer.add_video("samples/turning", &frames, Duration::from_millis(50), 1)?;

    let features: Vec<_> = images.iter().flat_map(features).collect();
    let labels = (0..images.len()).map(|index| SHAPES[index % 3]);
    let embedding = Embedding::new(&features, 28).labels(labels).images(&images);
    writer.add_embedding("shapes", &embedding, 1)?;
    writer.finish()?;
    Ok(())
}

/// A white disc, ring or bar on black, 28×28 pixels; `turn` is 0 to 1.
fn shape(kind: usize, turn: f32) -> Result<Image, ImageError> {
    let (sin, cos) = (turn * TAU / 2.0).sin_cos();
    let value = |index: usize| {
        let (x, y) = ((index % 28) as f32 - 13.5, (index / 28) as f32 - 13.5);
        let radius = x.hypot(y);
        // How far the pixel lies outside the shape, in pixels.
        let outside = match kind {
            0 => radius - 6.0 - 3.0 * turn,
            1 => (radius - 8.0).abs() - 1.5 - turn,
            _ => ((x * cos + y * sin).abs() - 2.5).max((y * cos - x * sin).abs() - 10.0),
        };
        0.5 - outside
    };
    let values: Vec<_> = (0..28 * 28).map(value).collect();
    Image::from_f32_hw(&values, [28, 28])
}

/// The mean brightness of each row, from 0 to 1.
fn features(image: &Image) -> Vec<f32> {
    let mean = |row: &[u8]| row.iter().map(|&value| f32::from(value)).sum::<f32>() / 255.0 / 28.0;
    image.pixels().chunks(image.width()).map(mean).collect()
}
