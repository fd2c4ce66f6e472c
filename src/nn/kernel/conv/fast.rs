//! Winograd's algorithm for a convolution and for the gradient of its input, where it is faster.

use super::Conv;
use crate::nn::kernel::channels::{Pack, Planes, Shard, Sizes};

/// A convolution by Winograd's algorithm.
pub struct Fast {
    sizes: Sizes,
    pack: Pack,
}

impl Fast {
    /// The forward pass.
    pub fn forward(conv: &Conv, weight: &[f32], input: &[f32]) -> Option<Self> {
        Self::new(forward_sizes(conv)?, weight, input)
    }

    /// The gradient of the input: the convolution of the output's gradient, with more zeros around it, with the
    /// kernels turned around.
    pub fn backward(conv: &Conv, weight: &[f32], grad_output: &[f32]) -> Option<Self> {
        if conv.stride != 1 || conv.padding >= conv.kernel_size {
            return None;
        }
        let sizes = Sizes {
            channels_in: conv.channels_out,
            height: conv.out_height(),
            width: conv.out_width(),
            channels_out: conv.channels_in,
            kernel_size: conv.kernel_size,
            padding: conv.kernel_size - 1 - conv.padding,
            rows: conv.height,
            columns: conv.width,
            instruction_set: conv.instruction_set.for_vectors_of(conv.channels_in),
        };
        let kernel_len = conv.kernel_size * conv.kernel_size;
        let mut turned = Vec::with_capacity(weight.len());
        for channel_in in 0..conv.channels_in {
            for weight in weight.chunks_exact(conv.patch_len()) {
                let kernel = &weight[channel_in * kernel_len..][..kernel_len];
                turned.extend(kernel.iter().rev());
            }
        }
        Self::new(sizes, &turned, grad_output)
    }

    /// `None` where the plain sum is faster, or gives something else of this input.
    fn new(sizes: Sizes, weight: &[f32], input: &[f32]) -> Option<Self> {
        // The plain sum is taken of whole vectors, along rows with the padding between them.
        let (rows, columns) = (sizes.rows, sizes.columns);
        let plane = (rows - 1) * (columns + sizes.kernel_size - 1) + columns;
        let plane = plane.next_multiple_of(sizes.instruction_set.lanes());
        let filled = (rows * columns) as f64 / plane as f64;
        // What is made of the input, and of the sums, takes as long as the products of 12 rows of kernels.
        let others = 12.0 / (sizes.channels_in * sizes.kernel_size) as f64;
        if sizes.winograd_gain()? < 1.1 * filled * (1.0 + others) {
            return None;
        }
        let pack = Pack::winograd(&sizes, weight, input)?;
        Some(Self { sizes, pack })
    }

    /// Computes the output of some images.
    pub fn run(&self, input: &[f32], bias: &[f32], output: &mut [f32]) {
        self.sizes.instruction_set.run(Shard {
            sizes: &self.sizes,
            pack: &self.pack,
            bias,
            input,
            output: Planes(output),
        });
    }
}

/// The sizes of the forward pass, if the stride is 1.
pub fn forward_sizes(conv: &Conv) -> Option<Sizes> {
    (conv.stride == 1).then(|| Sizes {
        channels_in: conv.channels_in,
        height: conv.height,
        width: conv.width,
        channels_out: conv.channels_out,
        kernel_size: conv.kernel_size,
        padding: conv.padding,
        rows: conv.out_height(),
        columns: conv.out_width(),
        instruction_set: conv.instruction_set.for_vectors_of(conv.channels_out),
    })
}
