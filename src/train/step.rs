//! One batch forward and backward.

use candle_core::backprop::GradStore;
use candle_core::{Device, Result};
use candle_nn::Module;
use rayon::prelude::*;

use crate::data::{Augmentation, Split};
use crate::nn::{count_correct, cross_entropy};
use crate::train::evaluate::{Sum, tensors};

/// What a batch is computed from.
pub struct Step<'a, M> {
    /// The network.
    pub network: &'a M,
    /// The images.
    pub split: &'a Split,
    /// How they are changed at random.
    pub augmentation: Augmentation,
    /// Where they are computed.
    pub device: &'a Device,
}

impl<M: Module + Sync> Step<'_, M> {
    /// The gradients of the mean loss over the images at `indices`, in parts that are to be added up
    /// in order, and their loss and right answers.
    ///
    /// On the CPU the two halves of the batch run at the same time, each through a graph of its
    /// own: what candle does between our ops keeps two threads busy then, and threads do not fall
    /// asleep between two ops. The halves are the same for any number of threads.
    ///
    /// # Errors
    /// What the network and the device say.
    pub fn gradients(&self, indices: &[u32]) -> Result<(Vec<GradStore>, Sum)> {
        let halves = match self.device {
            Device::Cpu => indices.len().div_ceil(2),
            _ => indices.len(),
        };
        let parts = indices.par_chunks(halves.max(1));
        let parts = parts.map(|part| self.part(part, indices.len()));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let (grads, sums): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let mut sum = Sum::default();
        sums.iter().for_each(|part| sum.extend(part));
        Ok((grads, sum))
    }

    /// The gradients of a part of a batch.
    fn part(&self, indices: &[u32], batch: usize) -> Result<(GradStore, Sum)> {
        let augmentation = Some(&self.augmentation);
        let (images, labels) = tensors(self.split, indices, augmentation, self.device)?;
        let logits = self.network.forward(&images)?; // (N, classes)
        let loss = cross_entropy(&logits, &labels)?;
        let share = indices.len() as f64 / batch as f64;
        let grads = (&loss * share)?.backward()?;
        let mut sum = Sum::default();
        let loss = f64::from(loss.to_scalar::<f32>()?);
        sum.add(loss, count_correct(&logits, &labels)?, indices.len());
        Ok((grads, sum))
    }
}
