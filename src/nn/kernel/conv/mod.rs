//! Two-dimensional convolution (cross-correlation, as everywhere in deep learning), any stride and
//! padding.
//!
//! Images are laid out with their padding, so that a row of the output and what one tap of the kernel
//! takes for it are vectors side by side; output rows follow each other without a break, and what is
//! computed for the padding between them is thrown away. Where the stride is not 1, pixels a stride
//! apart become planes of their own, and the same holds there. So forward pass, weight gradient and
//! input gradient are sums over shifted planes, and no patch is copied out.

mod correlation;
mod fast;
mod fast_weight_gradient;
mod grid;
mod input_gradient;
mod layout;
mod products;
mod weight_gradient;

use std::ops::Range;

use pulp::{Simd, WithSimd};

use self::correlation::Correlation;
use self::fast::Fast;
use self::grid::Grid;
use self::input_gradient::InputGradient;
use self::layout::InputLayout;
use self::weight_gradient::WeightGradient;
use super::shard::{self, shards};
use super::simd::InstructionSet;

/// The sizes of a convolution. Tensors are NCHW, the weight is (out, in, kernel, kernel).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Channels of the input, at least 1.
    pub channels_in: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Channels of the output, at least 1.
    pub channels_out: usize,
    /// Rows, and columns, of the kernel: it fits into the padded input.
    pub kernel_size: usize,
    /// Zeros around the input, on each side.
    pub padding: usize,
    /// Steps between two positions of the kernel.
    pub stride: usize,
    /// The instructions to use.
    pub instruction_set: InstructionSet,
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

    fn out_pixels(&self) -> usize {
        self.out_height() * self.out_width()
    }

    fn out_len(&self) -> usize {
        self.channels_out * self.out_pixels()
    }

    fn patch_len(&self) -> usize {
        self.channels_in * self.kernel_size * self.kernel_size
    }

    /// Rows (columns) of the padded input that are apart from each other: what lies a stride apart
    /// goes into one plane.
    fn phases(&self) -> usize {
        self.stride.min(self.kernel_size)
    }

    /// How many rows (columns) of such a plane the kernel spans.
    fn reach(&self) -> usize {
        self.kernel_size.div_ceil(self.stride)
    }

    /// The output, in rows that are as long as those of the input's planes.
    fn output_grid(&self) -> Grid {
        Grid {
            rows: self.out_height(),
            columns: self.out_width(),
            row_len: self.out_width() + self.reach() - 1,
            step: 1,
            top: 0,
            left: 0,
        }
    }

    /// The plane of the padded input that begins at (`y`, `x`), both below [`phases`](Self::phases).
    fn input_grid(&self, y: usize, x: usize) -> Grid {
        let output = self.output_grid();
        Grid {
            rows: output.rows + self.reach() - 1,
            columns: output.row_len,
            row_len: output.row_len,
            step: self.stride,
            top: y as isize - self.padding as isize,
            left: x as isize - self.padding as isize,
        }
    }

    /// The position of each number of a weight's plane in the input's planes: (phase, row, column).
    fn taps(&self) -> impl Iterator<Item = ([usize; 2], [usize; 2])> {
        let (kernel_size, stride) = (self.kernel_size, self.stride);
        (0..kernel_size * kernel_size).map(move |i| {
            let (y, x) = (i / kernel_size, i % kernel_size);
            ([y % stride, x % stride], [y / stride, x / stride])
        })
    }

    /// Computes the output of a batch: every channel is its bias plus the sum of its products.
    ///
    /// # Panics
    /// If a slice's length does not fit.
    pub fn forward(&self, input: &[f32], weight: &[f32], bias: &[f32], output: &mut [f32]) {
        assert_eq!(weight.len(), self.channels_out * self.patch_len(), "weight");
        let images = input.len() / self.image_len();
        assert_eq!(output.len(), images * self.out_len(), "output");
        let mut rest = output;
        let mut tasks = Vec::new();
        for range in shards(images, shard::IMAGES) {
            let (part, tail) = rest.split_at_mut(range.len() * self.out_len());
            rest = tail;
            let input = &input[range.start * self.image_len()..range.end * self.image_len()];
            tasks.push((input, part));
        }
        if let Some(fast) = Fast::forward(self, weight, input) {
            shard::each(tasks, |(input, output)| fast.run(input, bias, output));
            return;
        }
        let layout = InputLayout::new(self);
        let offsets = layout.offsets(self);
        let patch_len = offsets.len();
        let weight = |channel: usize, tap: usize| weight[channel * patch_len + tap];
        let sums = Correlation::new(self.channels_out, offsets, weight);
        shard::each(tasks, |(input, output)| {
            self.instruction_set.run(Forward {
                conv: self,
                layout: &layout,
                sums: &sums,
                input,
                bias,
                output,
            });
        });
    }

    /// Computes the gradients of weight and bias from the gradient of the output, and that of the
    /// input where it is asked for: the first layer needs none.
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
        if images == 0 {
            return (vec![0.0; weight.len()], vec![0.0; self.channels_out]);
        }
        let input_gradient = grad_input
            .is_some()
            .then(|| InputGradient::new(self, weight, grad_output));
        let weight_gradient = WeightGradient::new(self, input, grad_output);
        let tasks = shard::split(grad_input, images, shard::IMAGES, self.image_len());
        let part = |len: usize, range: &Range<usize>| range.start * len..range.end * len;
        shard::sum(shard::each(tasks.collect(), |(range, grad_input)| {
            let input = &input[part(self.image_len(), &range)];
            let grad_output = &grad_output[part(self.out_len(), &range)];
            if let (Some(gradient), Some(grad_input)) = (&input_gradient, grad_input) {
                gradient.of(self, grad_output, grad_input);
            }
            weight_gradient.of(self, input, grad_output)
        }))
    }
}

/// The forward pass of some images.
struct Forward<'a> {
    conv: &'a Conv,
    layout: &'a InputLayout,
    sums: &'a Correlation,
    input: &'a [f32],
    bias: &'a [f32],
    output: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let conv = self.conv;
        let grid = conv.output_grid();
        let (mut planes, mut sums) = (vec![0.0; self.layout.len], Vec::new());
        let images = self.input.chunks_exact(conv.image_len());
        for (image, output) in images.zip(self.output.chunks_exact_mut(conv.out_len())) {
            self.layout.gather(conv, image, &mut planes);
            let put = |channel: usize, numbers: &[f32]| {
                let at = channel * conv.out_pixels();
                let output = &mut output[at..at + conv.out_pixels()];
                grid.scatter(numbers, output, grid.columns);
            };
            self.sums
                .apply(simd, &planes, self.bias, grid.len(), &mut sums, put);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;
    use crate::random::{Purpose, Stream};

    fn random(count: usize, seed: u64) -> Vec<f32> {
        let mut stream = Stream::new(seed, Purpose::Init, 0);
        (0..count).map(|_| stream.normal()).collect()
    }

    /// Calls `visit(output, input, weight)` with the positions of every product.
    fn for_each_product(conv: &Conv, images: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let (rows, columns) = (conv.out_height(), conv.out_width());
        let inside = |at: usize, k: usize, size: usize| {
            let at = (at * conv.stride + k).checked_sub(conv.padding);
            at.filter(|at| *at < size)
        };
        let outputs = images * conv.channels_out * rows * columns;
        for output in 0..outputs {
            let (y, x) = (output / columns % rows, output % columns);
            let plane = output / (rows * columns);
            let (image, to) = (plane / conv.channels_out, plane % conv.channels_out);
            for tap in 0..conv.patch_len() {
                let (ky, kx) = (
                    tap / conv.kernel_size % conv.kernel_size,
                    tap % conv.kernel_size,
                );
                let from = image * conv.channels_in + tap / conv.kernel_size / conv.kernel_size;
                let (Some(y), Some(x)) = (inside(y, ky, conv.height), inside(x, kx, conv.width))
                else {
                    continue;
                };
                let input = (from * conv.height + y) * conv.width + x;
                visit(output, input, to * conv.patch_len() + tap);
            }
        }
    }

    fn assert_close(what: &str, found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len(), "{what}");
        let scale = expected.iter().fold(1.0, |max: f64, x| max.max(x.abs()));
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(*found) - expected).abs() / scale;
            assert!(error < 1e-5, "{what}[{i}]: {found}, {expected}");
        }
    }

    /// Every instruction set of this machine against the definition, in f64.
    fn is_a_convolution(images: usize, conv: Conv) {
        let input = random(images * conv.image_len(), 1);
        let weight = random(conv.channels_out * conv.patch_len(), 2);
        let bias = random(conv.channels_out, 3);
        let grad_output = random(images * conv.out_len(), 4);
        let channel = |i: usize| i / conv.out_pixels() % conv.channels_out;
        let mut output: Vec<_> = (0..grad_output.len())
            .map(|i| f64::from(bias[channel(i)]))
            .collect();
        let mut grad_input = vec![0.0; input.len()];
        let mut grad_weight = vec![0.0; weight.len()];
        let mut grad_bias = vec![0.0; bias.len()];
        for (i, grad) in grad_output.iter().enumerate() {
            grad_bias[channel(i)] += f64::from(*grad);
        }
        for_each_product(&conv, images, |to, from, tap| {
            let [grad, x, w] = [grad_output[to], input[from], weight[tap]].map(f64::from);
            output[to] += x * w;
            grad_input[from] += grad * w;
            grad_weight[tap] += grad * x;
        });

        for instruction_set in InstructionSet::available() {
            let conv = Conv {
                instruction_set,
                ..conv
            };
            let what = |what: &str| format!("{what} of {images} {conv:?}");
            let mut found = vec![9.0; output.len()];
            conv.forward(&input, &weight, &bias, &mut found);
            assert_close(&what("output"), &found, &output);
            let mut found = vec![9.0; input.len()];
            let grads = conv.backward(&input, &weight, &grad_output, Some(&mut found));
            assert_close(&what("input's gradient"), &found, &grad_input);
            assert_close(&what("weight's gradient"), &grads.0, &grad_weight);
            assert_close(&what("bias's gradient"), &grads.1, &grad_bias);
            let alone = conv.backward(&input, &weight, &grad_output, None);
            assert_eq!(alone, grads, "{}", what("gradients"));
        }
    }

    fn conv(channels: [usize; 2], size: [usize; 2], kernel: [usize; 3]) -> Conv {
        Conv {
            channels_in: channels[0],
            channels_out: channels[1],
            height: size[0],
            width: size[1],
            kernel_size: kernel[0],
            padding: kernel[1],
            stride: kernel[2],
            instruction_set: InstructionSet::Portable,
        }
    }

    #[test]
    fn layers_of_networks_are_convolutions() {
        for (images, channels, size, kernel) in [
            (2, [1, 32], [28, 28], [3, 1, 1]),
            (9, [6, 16], [14, 14], [5, 0, 1]),
            (40, [16, 20], [14, 14], [3, 1, 1]),
            (12, [16, 40], [32, 33], [3, 0, 1]),
            (12, [16, 16], [27, 31], [5, 3, 1]),
            (2, [16, 16], [7, 8], [5, 3, 1]),
            (6, [3, 9], [7, 7], [3, 1, 2]),
            (3, [8, 4], [6, 6], [1, 0, 2]),
            (1, [2, 3], [1, 1], [1, 0, 1]),
        ] {
            is_a_convolution(images, conv(channels, size, kernel));
        }
        is_a_convolution(0, conv([1, 2], [3, 3], [3, 1, 1]));
    }

    /// Winograd's algorithm would make NaN of an infinite sum, and infinity of a large one.
    #[test]
    fn what_is_not_finite_comes_out_as_in_the_plain_sum() {
        for kernel_size in [3, 5] {
            for number in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e36] {
                for instruction_set in InstructionSet::available() {
                    let conv = Conv {
                        instruction_set,
                        ..conv([16, 16], [14, 14], [kernel_size, kernel_size / 2, 1])
                    };
                    let mut input = random(conv.image_len(), 1);
                    input[5 * 14 + 6] = number;
                    let weight = random(conv.channels_out * conv.patch_len(), 2);
                    let mut grad_output = random(conv.out_len(), 3);
                    grad_output[2 * 196 + 5 * 14 + 6] = number;
                    let mut output = vec![0.0; conv.out_len()];
                    conv.forward(&input, &weight, &[0.0; 16], &mut output);
                    let mut grad_input = vec![0.0; conv.image_len()];
                    let (grad_weight, _) =
                        conv.backward(&input, &weight, &grad_output, Some(&mut grad_input));
                    let mut expected =
                        [&output, &grad_input, &grad_weight].map(|found| vec![0.0; found.len()]);
                    for_each_product(&conv, 1, |to, from, tap| {
                        let [grad, x, w] =
                            [grad_output[to], input[from], weight[tap]].map(f64::from);
                        expected[0][to] += x * w;
                        expected[1][from] += grad * w;
                        expected[2][tap] += grad * x;
                    });
                    for (found, expected) in [output, grad_input, grad_weight].iter().zip(expected)
                    {
                        for (found, expected) in found.iter().zip(expected) {
                            let expected = expected as f32;
                            let is_close =
                                (found - expected).abs() <= 1e-4 * expected.abs().max(1.0);
                            let is_same = *found == expected || found.is_nan() && expected.is_nan();
                            assert!(
                                is_same || is_close,
                                "{conv:?} {number}: {found}, {expected}"
                            );
                        }
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 200,
            rng_seed: RngSeed::Fixed(6),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn any_shape_is_a_convolution(
            images in 1usize..7, channels in [1usize..6, 1usize..18], size in [1usize..14, 1usize..40],
            kernel in [1usize..7, 0usize..7, 1usize..8],
        ) {
            prop_assume!(size[0].min(size[1]) + 2 * kernel[1] >= kernel[0]);
            is_a_convolution(images, conv(channels, size, kernel));
        }
    }
}
