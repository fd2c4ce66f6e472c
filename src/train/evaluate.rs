//! Loss and accuracy of a network over a split.

use candle_core::{Device, Result, Tensor};
use candle_nn::Module;
use rayon::prelude::*;

use crate::data::{Augmentation, Batches, Split};
use crate::nn::{count_correct, cross_entropy};
use crate::train::Metrics;

/// Images that are evaluated at a time: what the layers hand on then stays in the caches.
const EVALUATION_BATCH: usize = 100;

/// Mean loss and accuracy of `network` over all images of `split`, none for an empty one. Batches may
/// run side by side; their sums are taken in order.
///
/// # Errors
/// A network that does not take the split's images, or has too few classes for its labels.
pub fn evaluate(network: &(impl Module + Sync), split: &Split, device: &Device) -> Result<Metrics> {
    Ok(evaluate_logits(network, split, device)?.0)
}

/// As [`evaluate`], with the logits, image by image.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_logits(
    network: &(impl Module + Sync),
    split: &Split,
    device: &Device,
) -> Result<(Metrics, Vec<f32>)> {
    let parts = by_batch(split.len(), device, |indices| {
        let (images, labels) = tensors(split, indices, None, device)?;
        let logits = network.forward(&images)?;
        let loss = f64::from(cross_entropy(&logits, &labels)?.to_scalar::<f32>()?);
        let mut sum = Sum::default();
        sum.add(loss, count_correct(&logits, &labels)?, indices.len());
        Ok((sum, logits.flatten_all()?.to_vec1::<f32>()?))
    })?;
    let (mut sum, mut logits) = (Sum::default(), Vec::new());
    for (part, part_logits) in parts {
        sum.extend(&part);
        logits.extend(part_logits);
    }
    Ok((sum.mean(), logits))
}

/// What `compute` gives for each batch of the first `count` images of a split, in order. On the CPU
/// several batches run side by side.
///
/// # Errors
/// The first of `compute`'s.
pub fn by_batch<T: Send>(
    count: usize,
    device: &Device,
    compute: impl Fn(&[u32]) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let batches = Batches::sequential(count as u32, EVALUATION_BATCH);
    let batches: Vec<_> = batches.iter().collect();
    match device {
        Device::Cpu => batches.par_iter().map(|batch| compute(batch)).collect(),
        _ => batches.into_iter().map(compute).collect(),
    }
}

/// The images and labels at `indices`: (N, 1, H, W) with numbers from 0 to 1, changed as
/// `augmentation` says, and (N,) u32.
///
/// # Errors
/// What the device says.
pub fn tensors(
    split: &Split,
    indices: &[u32],
    augmentation: Option<&Augmentation>,
    device: &Device,
) -> Result<(Tensor, Tensor)> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    match augmentation {
        Some(augmentation) => {
            split.gather_augmented(indices, augmentation, &mut pixels, &mut labels);
        }
        None => split.gather(indices, &mut pixels, &mut labels),
    }
    let images: Vec<f32> = pixels
        .iter()
        .map(|pixel| f32::from(*pixel) / 255.0)
        .collect();
    let shape = (indices.len(), 1, split.height(), split.width());
    let images = Tensor::from_vec(images, shape, device)?;
    Ok((images, Tensor::from_vec(labels, indices.len(), device)?))
}

/// Running sums of loss and right answers over images.
#[derive(Default)]
pub struct Sum {
    loss: f64,
    correct: usize,
    images: usize,
}

impl Sum {
    /// Adds a batch of `images` with its mean `loss`, of which `correct` were right.
    pub fn add(&mut self, loss: f64, correct: usize, images: usize) {
        self.loss += loss * images as f64;
        self.correct += correct;
        self.images += images;
    }

    /// Adds all images of another sum.
    pub fn extend(&mut self, other: &Sum) {
        self.loss += other.loss;
        self.correct += other.correct;
        self.images += other.images;
    }

    /// How many images there were.
    pub fn images(&self) -> usize {
        self.images
    }

    /// The means over all images.
    pub fn mean(&self) -> Metrics {
        let images = self.images.max(1) as f64;
        Metrics {
            loss: self.loss / images,
            accuracy: self.correct as f64 / images,
        }
    }
}
