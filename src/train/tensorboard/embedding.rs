//! What the last hidden layer makes of test images.

use crate::data::{Batches, Split};
use crate::tb::image::{Image, ImageError};
use crate::tb::writer::{Embedding, SummaryWriter};
use crate::train::evaluate::tensors;
use crate::train::{Predictions, PredictionsError, Snapshot};

use super::error::LogError;
use super::histograms::numbers;
use super::pass::features;

/// Points on the Projector page: the first test images. More make the run's files large.
const POINTS: usize = 2000;
/// The side of a point's picture: of larger images every n-th pixel is taken.
const MAX_SIDE: usize = 32;
/// Images that are computed at a time.
const BATCH: usize = 100;
/// Coordinates are rounded to thousandths: nobody sees more, and as text they are most of a run.
const PRECISION: f32 = 1000.0;

/// Logs the features of the first 2,000 of the images that were just evaluated: 128 numbers each,
/// with the label, what the network says, and the image. A network that diverges has none:
/// then the inner result is the cause.
///
/// # Errors
/// What [`SummaryWriter`] and the device say.
pub fn log_embedding(
    run: &SummaryWriter,
    snapshot: &Snapshot<'_>,
    step: usize,
) -> Result<Result<(), PredictionsError>, LogError> {
    let (Some((split, _)), Some(predictions)) = (snapshot.evaluated, snapshot.predictions()) else {
        return Ok(Ok(()));
    };
    let predictions = match predictions {
        Ok(predictions) => predictions,
        Err(cause) => return Ok(Err(cause)),
    };
    let points = split.len().min(POINTS);
    let named = snapshot.parameters.named();
    let Some((_, var)) = named.first().filter(|_| points > 0) else {
        return Ok(Ok(()));
    };
    let mut vectors = Vec::new();
    for indices in &Batches::sequential(points as u32, BATCH) {
        let (images, _) = tensors(split, indices, None, var.device())?;
        vectors.extend(numbers(&features(snapshot.parameters, &images)?)?);
    }
    for number in &mut vectors {
        *number = (*number * PRECISION).round() / PRECISION;
    }
    let names = snapshot.dataset.class_names();
    let rows = (0..points).map(|index| row(split, names, &predictions, index));
    let sprites: Result<Vec<_>, ImageError> =
        (0..points).map(|index| sprite(split, index)).collect();
    let sprites = sprites?;
    let embedding = Embedding::new(&vectors, vectors.len() / points)
        .metadata(["label", "predicted", "right"], rows)
        .images(&sprites);
    run.add_embedding("fc1", &embedding, step)?;
    Ok(Ok(()))
}

/// What is known of a point.
fn row(split: &Split, names: &[String], predictions: &Predictions, index: usize) -> [String; 3] {
    let label = usize::from(split.labels()[index]);
    let predicted = predictions.predicted(index).unwrap_or_default();
    let right = if label == predicted { "right" } else { "wrong" };
    let name = |class: usize| names.get(class).cloned().unwrap_or_default();
    [name(label), name(predicted), right.to_owned()]
}

fn sprite(split: &Split, index: usize) -> Result<Image, ImageError> {
    let (height, width) = (split.height(), split.width());
    let every = height.max(width).div_ceil(MAX_SIDE);
    let image = &split.pixels()[index * height * width..][..height * width];
    let rows = image.chunks_exact(width).step_by(every);
    let pixels: Vec<u8> = rows
        .flat_map(|row| row.iter().step_by(every).copied())
        .collect();
    Image::from_u8_hwc(&pixels, [height.div_ceil(every), width.div_ceil(every), 1])
}
