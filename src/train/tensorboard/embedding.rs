//! What the last layer is given for test images.

use candle_core::Tensor;

use crate::data::Split;
use crate::nn::Network;
use crate::tb::image::{Image, ImageError};
use crate::tb::writer::{Embedding, SummaryWriter};
use crate::train::evaluate::{by_batch, tensors};
use crate::train::{Predictions, PredictionsError, Snapshot};

use super::error::LogError;
use super::histograms::numbers;

/// Points on the Projector page: the first test images. More make the run's files large.
const POINTS: usize = 2000;
/// Coordinates of all points together: there are fewer points where each has many.
const COORDINATES: usize = 1 << 20;
/// The side of a point's picture: of larger images every n-th pixel is taken.
const MAX_SIDE: usize = 32;
/// Coordinates are rounded to thousandths: nobody sees more, and as text they are most of a run.
const PRECISION: f32 = 1000.0;

/// Logs what the last layer is given for the first 2,000 of the images that were just evaluated, under
/// the name of the layer that it comes from, with the label, what the network says, and the image. A
/// network that diverges has none: then the inner result is the cause.
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
    let named = snapshot.parameters.named();
    let layers = snapshot.network.plan().layers();
    let (Some((_, var)), Some(last)) = (named.first(), layers.last()) else {
        return Ok(Ok(()));
    };
    let most = (COORDINATES / last.input.count()).clamp(1, POINTS);
    let points = split.len().min(most);
    if points == 0 {
        return Ok(Ok(()));
    }
    let parts = by_batch(points, var.device(), |indices| {
        let (images, _) = tensors(split, indices, None, var.device())?;
        numbers(&features(snapshot.network, &images)?)
    })?;
    let mut vectors = parts.concat();
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
    let before = layers.len().checked_sub(2).map(|at| &*layers[at].stage);
    run.add_embedding(before.unwrap_or("input"), &embedding, step)?;
    Ok(Ok(()))
}

/// What the last layer is given.
fn features(network: &Network, images: &Tensor) -> candle_core::Result<Tensor> {
    let mut outputs = network.outputs(images)?;
    outputs.pop();
    Ok(outputs
        .pop()
        .map_or_else(|| images.clone(), |(_, output)| output))
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
