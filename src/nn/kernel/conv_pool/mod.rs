//! Convolution (stride 1, SAME), bias, 2×2 max-pooling and ReLU in one pass.
//!
//! Nothing but the pooled output and one byte for each of its numbers is kept: where in its window
//! the winner stood, or that ReLU let nothing through. The backward pass visits only the winners
//! that were let through: at most a quarter of the convolution's outputs, often an eighth.

mod backward;
mod channels;
mod rows;

use rayon::prelude::*;

use super::shards;
use super::simd::InstructionSet;

/// The winner byte of an output that ReLU set to 0: it has no gradient.
const STOPPED: u8 = 4;

/// The sizes of the pass. Tensors are NCHW, the weight is (out, in, kernel, kernel).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvPool {
    /// Channels of the input.
    pub channels_in: usize,
    /// Rows of the input, at least 2.
    pub height: usize,
    /// Columns of the input, at least 2.
    pub width: usize,
    /// Channels of the output.
    pub channels_out: usize,
    /// Rows, and columns, of the kernel: an odd number.
    pub kernel_size: usize,
    /// The instructions to use.
    pub instruction_set: InstructionSet,
}

impl ConvPool {
    /// Rows of the output.
    pub fn out_height(&self) -> usize {
        self.height / 2
    }

    /// Columns of the output.
    pub fn out_width(&self) -> usize {
        self.width / 2
    }

    fn image_len(&self) -> usize {
        self.channels_in * self.height * self.width
    }

    fn out_pixels(&self) -> usize {
        self.out_height() * self.out_width()
    }

    fn out_len(&self) -> usize {
        self.channels_out * self.out_pixels()
    }

    /// Products that make one output of the convolution.
    fn taps(&self) -> usize {
        self.channels_in * self.kernel_size * self.kernel_size
    }

    fn padding(&self) -> usize {
        self.kernel_size / 2
    }

    /// Computes the pooled output of a batch, and for each of its numbers the winner byte.
    ///
    /// # Panics
    /// If a slice's length does not fit.
    pub fn forward(
        &self,
        input: &[f32],
        weight: &[f32],
        bias: &[f32],
        output: &mut [f32],
        winners: &mut [u8],
    ) {
        assert_eq!(weight.len(), self.channels_out * self.taps(), "weight");
        assert_eq!(bias.len(), self.channels_out, "bias");
        let images = output.len() / self.out_len();
        assert_eq!(input.len(), images * self.image_len(), "input");
        assert!(
            output.len() == winners.len() && output.len() == images * self.out_len(),
            "output"
        );
        let (mut output, mut winners) = (output, winners);
        let mut tasks = Vec::new();
        for range in shards(images) {
            let out_len = range.len() * self.out_len();
            let (part, rest) = output.split_at_mut(out_len);
            let (winners_part, winners_rest) = winners.split_at_mut(out_len);
            (output, winners) = (rest, winners_rest);
            let input = &input[range.start * self.image_len()..range.end * self.image_len()];
            tasks.push((input, part, winners_part));
        }
        // A vector holds output channels if these fill it as well as the output's columns would.
        let lanes = self.instruction_set.lanes();
        let filled = |count: usize| count as f64 / count.next_multiple_of(lanes) as f64;
        if filled(self.channels_out) > filled(self.out_width()) {
            let pack = channels::pack(self, weight, lanes);
            tasks.into_par_iter().for_each(|(input, output, winners)| {
                let shard = channels::Shard {
                    conv: self,
                    pack: &pack,
                    bias,
                    input,
                    output,
                    winners,
                };
                self.instruction_set.run(shard);
            });
        } else {
            tasks.into_par_iter().for_each(|(input, output, winners)| {
                let shard = rows::Shard {
                    conv: self,
                    weight,
                    bias,
                    input,
                    output,
                    winners,
                };
                self.instruction_set.run(shard);
            });
        }
    }

    /// Computes the gradients of weight and bias, and of the input where it is asked for, from the
    /// gradient of the output.
    ///
    /// # Panics
    /// If a slice's length does not fit.
    pub fn backward(
        &self,
        input: &[f32],
        weight: &[f32],
        winners: &[u8],
        grad_output: &[f32],
        grad_input: Option<&mut [f32]>,
    ) -> (Vec<f32>, Vec<f32>) {
        let images = grad_output.len() / self.out_len();
        assert_eq!(input.len(), images * self.image_len(), "input");
        assert_eq!(winners.len(), grad_output.len(), "winners");
        let patches = backward::Patches::new(self);
        let weight = patches.pack(weight);
        let mut grad_input = grad_input;
        let mut tasks = Vec::new();
        for range in shards(images) {
            let image = range.start * self.image_len()..range.end * self.image_len();
            let out = range.start * self.out_len()..range.end * self.out_len();
            let grad_part = grad_input.take().map(|grad| {
                let (part, rest) = grad.split_at_mut(image.len());
                grad_input = Some(rest);
                part
            });
            tasks.push((
                &input[image],
                &winners[out.clone()],
                &grad_output[out],
                grad_part,
            ));
        }
        let parts: Vec<_> = tasks
            .into_par_iter()
            .map(|(input, winners, grad_output, grad_input)| {
                let shard = backward::Shard {
                    patches: &patches,
                    weight: &weight,
                    input,
                    winners,
                    grad_output,
                    grad_input,
                };
                self.instruction_set.run(shard)
            })
            .collect();
        let mut grad_weight = vec![0.0; weight.len()];
        let mut grad_bias = vec![0.0; self.channels_out];
        for (weight, bias) in parts {
            grad_weight
                .iter_mut()
                .zip(weight)
                .for_each(|(sum, part)| *sum += part);
            grad_bias
                .iter_mut()
                .zip(bias)
                .for_each(|(sum, part)| *sum += part);
        }
        (patches.unpack(&grad_weight), grad_bias)
    }
}
