//! Two-dimensional convolution (cross-correlation, as everywhere in deep learning) through
//! matrix products over unrolled patches (Chellapilla, Puri and Simard, 2006).

use std::ops::Range;

use super::matmul::{Matrix, add_matmul};
use super::shard::{self, shards};

/// The sizes of a convolution. Tensors are NCHW, the weight is (out, in, kernel, kernel).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Channels of the input.
    pub channels_in: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Channels of the output.
    pub channels_out: usize,
    /// Rows, and columns, of the kernel.
    pub kernel_size: usize,
    /// Zeros around the input, on each side.
    pub padding: usize,
    /// Steps between two positions of the kernel.
    pub stride: usize,
}

impl Conv {
    /// Rows of the output.
    pub fn out_height(&self) -> usize {
        (self.height + 2 * self.padding - self.kernel_size) / self.stride + 1
    }

    /// Columns of the output.
    pub fn out_width(&self) -> usize {
        (self.width + 2 * self.padding - self.kernel_size) / self.stride + 1
    }

    fn image_len(&self) -> usize {
        self.channels_in * self.height * self.width
    }

    fn out_len(&self) -> usize {
        self.channels_out * self.out_pixels()
    }

    fn out_pixels(&self) -> usize {
        self.out_height() * self.out_width()
    }

    fn patch_len(&self) -> usize {
        self.channels_in * self.kernel_size * self.kernel_size
    }

    /// The rows (columns) of the output for which row (column) `k` of the kernel lies inside the
    /// image.
    fn inside(&self, k: usize, size: usize, out_size: usize) -> Range<usize> {
        let first = self.padding.saturating_sub(k).div_ceil(self.stride);
        let last = (size + self.padding)
            .saturating_sub(k)
            .div_ceil(self.stride);
        first.min(out_size)..last.clamp(first.min(out_size), out_size)
    }

    /// Calls `visit(range of the unrolled patches, offset in the image)` for each part of an
    /// output row that takes its numbers from inside the image, `stride` apart.
    fn for_each_row(&self, mut visit: impl FnMut(Range<usize>, usize)) {
        let (out_height, out_width) = (self.out_height(), self.out_width());
        let mut row = 0;
        for channel in 0..self.channels_in {
            for ky in 0..self.kernel_size {
                let inside_y = self.inside(ky, self.height, out_height);
                for kx in 0..self.kernel_size {
                    let inside_x = self.inside(kx, self.width, out_width);
                    let rows = row * out_height;
                    row += 1;
                    if inside_x.is_empty() {
                        continue;
                    }
                    let image_x = inside_x.start * self.stride + kx - self.padding;
                    for y in inside_y.clone() {
                        let image_y = channel * self.height + y * self.stride + ky - self.padding;
                        let at = (rows + y) * out_width;
                        let columns = at + inside_x.start..at + inside_x.end;
                        visit(columns, image_y * self.width + image_x);
                    }
                }
            }
        }
    }

    /// Unrolls the patches of one image: row (channel, ky, kx), column (y, x) of `columns`.
    fn unroll(&self, image: &[f32], columns: &mut [f32]) {
        columns.fill(0.0);
        self.for_each_row(|row, from| {
            let row = &mut columns[row];
            if self.stride == 1 {
                row.copy_from_slice(&image[from..from + row.len()]);
            } else {
                let pixels = image[from..].iter().step_by(self.stride);
                row.iter_mut()
                    .zip(pixels)
                    .for_each(|(to, from)| *to = *from);
            }
        });
    }

    /// Adds the unrolled patches back to where they were taken from.
    fn roll_back(&self, columns: &[f32], image: &mut [f32]) {
        self.for_each_row(|row, to| {
            let row = &columns[row];
            if self.stride == 1 {
                let pixels = &mut image[to..to + row.len()];
                pixels
                    .iter_mut()
                    .zip(row)
                    .for_each(|(to, from)| *to += *from);
            } else {
                let pixels = image[to..].iter_mut().step_by(self.stride);
                pixels.zip(row).for_each(|(to, from)| *to += *from);
            }
        });
    }

    /// Computes the output of a batch: every channel is its bias plus the sum of its products.
    ///
    /// # Panics
    /// If a slice's length does not fit.
    pub fn forward(&self, input: &[f32], weight: &[f32], bias: &[f32], output: &mut [f32]) {
        let weight = Matrix::new(weight, self.channels_out, self.patch_len());
        let images = input.len() / self.image_len();
        assert_eq!(output.len(), images * self.out_len(), "output");
        let mut rest = output;
        let mut tasks = Vec::new();
        for range in shards(images, shard::IMAGES) {
            let (part, tail) = rest.split_at_mut(range.len() * self.out_len());
            rest = tail;
            tasks.push((&input[range.start * self.image_len()..], part));
        }
        shard::each(tasks, |(input, output)| {
            let mut columns = vec![0.0; self.patch_len() * self.out_pixels()];
            let images = input.chunks_exact(self.image_len());
            for (image, output) in images.zip(output.chunks_exact_mut(self.out_len())) {
                self.unroll(image, &mut columns);
                for (channel, bias) in output.chunks_exact_mut(self.out_pixels()).zip(bias) {
                    channel.fill(*bias);
                }
                let columns = Matrix::new(&columns, self.patch_len(), self.out_pixels());
                add_matmul(output, weight, columns);
            }
        });
    }

    /// Computes the gradients of a batch from the gradient of its output.
    ///
    /// `grad_input` is not computed where it is `None`: the first layer needs none.
    ///
    /// # Panics
    /// If a slice's length does not fit.
    pub fn backward(
        &self,
        input: &[f32],
        weight: &[f32],
        grad_output: &[f32],
        grad_input: Option<&mut [f32]>,
    ) -> (Vec<f32>, Vec<f32>) {
        let images = input.len() / self.image_len();
        assert_eq!(grad_output.len(), images * self.out_len());
        let mut rest = grad_input;
        let mut tasks = Vec::new();
        for range in shards(images, shard::IMAGES) {
            let part = rest.take().map(|rest| {
                let (part, tail) = rest.split_at_mut(range.len() * self.image_len());
                (part, tail)
            });
            let (part, tail) = part.map_or((None, None), |(part, tail)| (Some(part), Some(tail)));
            rest = tail;
            let input = &input[range.start * self.image_len()..range.end * self.image_len()];
            let grad_output =
                &grad_output[range.start * self.out_len()..range.end * self.out_len()];
            tasks.push((input, grad_output, part));
        }
        if images == 0 {
            return (vec![0.0; weight.len()], vec![0.0; self.channels_out]);
        }
        shard::sum(shard::each(tasks, |(input, grad_output, grad_input)| {
            self.backward_shard(input, weight, grad_output, grad_input)
        }))
    }

    fn backward_shard(
        &self,
        input: &[f32],
        weight: &[f32],
        grad_output: &[f32],
        mut grad_input: Option<&mut [f32]>,
    ) -> (Vec<f32>, Vec<f32>) {
        let (patch_len, out_pixels) = (self.patch_len(), self.out_pixels());
        let mut columns = vec![0.0; patch_len * out_pixels];
        let mut grad_weight = vec![0.0; self.channels_out * patch_len];
        let mut grad_bias = vec![0.0; self.channels_out];
        let weight = Matrix::new(weight, self.channels_out, patch_len).transposed();
        let images = input.chunks_exact(self.image_len());
        for (i, (image, grad)) in images
            .zip(grad_output.chunks_exact(self.out_len()))
            .enumerate()
        {
            for (bias, channel) in grad_bias.iter_mut().zip(grad.chunks_exact(out_pixels)) {
                *bias += channel.iter().sum::<f32>();
            }
            let grad = Matrix::new(grad, self.channels_out, out_pixels);
            self.unroll(image, &mut columns);
            let patches = Matrix::new(&columns, patch_len, out_pixels).transposed();
            add_matmul(&mut grad_weight, grad, patches);
            if let Some(grad_input) = &mut grad_input {
                columns.fill(0.0);
                add_matmul(&mut columns, weight, grad);
                let at = i * self.image_len();
                let grad_image = &mut grad_input[at..at + self.image_len()];
                grad_image.fill(0.0);
                self.roll_back(&columns, grad_image);
            }
        }
        (grad_weight, grad_bias)
    }
}
