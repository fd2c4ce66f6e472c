//! One batch forward and backward.

use candle_core::backprop::GradStore;
use candle_core::{Device, Result};
use rayon::prelude::*;

use crate::data::{Augmentation, Split};
use crate::nn::{Gradients, Network, count_correct, dropout_keys};
use crate::train::evaluate::{Sum, tensors};

/// What a batch is computed from.
pub struct Step<'a> {
    /// The network.
    pub network: &'a Network,
    /// The images.
    pub split: &'a Split,
    /// How they are changed at random.
    pub augmentation: Augmentation,
    /// Where they are computed.
    pub device: &'a Device,
}

/// What a part of a batch gives.
struct Part {
    gradients: Gradients,
    sum: Sum,
}

impl Step<'_> {
    /// The gradients of the mean loss over the images at `indices`, in parts that are to be added up
    /// in order, and their loss and right answers.
    ///
    /// On the CPU the two halves of the batch run at the same time: threads do not fall asleep
    /// between two ops. The halves are the same for any number of threads. Batch
    /// normalisations take each for a batch of its own, and move their running statistics by the
    /// first half and then by the second.
    ///
    /// # Errors
    /// What the network and the device say.
    pub fn gradients(&self, indices: &[u32]) -> Result<(Vec<GradStore>, Sum)> {
        let count = match self.device {
            // A single image has no variance.
            Device::Cpu if indices.len() > 3 || !self.network.plan().needs_two_images() => {
                indices.len().div_ceil(2)
            }
            _ => indices.len(),
        };
        let parts = indices.par_chunks(count.max(1));
        let parts = parts.map(|part| self.part(part, indices.len()));
        let mut grads = Vec::new();
        let mut sum = Sum::default();
        for part in parts.collect::<Result<Vec<_>>>()? {
            self.network.update(&part.gradients.statistics)?;
            sum.extend(&part.sum);
            grads.push(part.gradients.grads);
        }
        Ok((grads, sum))
    }

    /// The gradients of a part of a batch.
    fn part(&self, indices: &[u32], batch: usize) -> Result<Part> {
        let Augmentation { seed, epoch, .. } = self.augmentation;
        let augmentation = Some(&self.augmentation);
        let (images, labels) = tensors(self.split, indices, augmentation, self.device)?;
        let keys = |layer| dropout_keys(seed, layer as u64, epoch, indices);
        let share = indices.len() as f64 / batch as f64;
        let gradients = (self.network).gradients(&images, &labels, share, keys)?;
        let mut sum = Sum::default();
        let correct = count_correct(&gradients.logits, &labels)?;
        sum.add(gradients.loss, correct, indices.len());
        Ok(Part { gradients, sum })
    }
}
