//! Convolution (stride 1), bias, 2×2 max-pooling and ReLU in one pass.
//!
//! Nothing but the pooled output and one byte for each of its numbers is kept: where in its window
//! the winner stood, or that ReLU let nothing through. The backward pass visits only the winners
//! that were let through: at most a quarter of the convolution's outputs, often an eighth.

mod backward_patches;
mod backward_pixels;
mod backward_rows;
mod forward_rows;
mod pooled;

use std::ops::Range;

use self::pooled::PooledPlanes;
use super::channels::{self, Pack, Sizes};
use super::shard::{self, shards};
use super::simd::InstructionSet;

/// The winner byte of an output that ReLU set to 0: it has no gradient.
const STOPPED: u8 = 4;

/// The sizes of the pass. Tensors are NCHW, the weight is (out, in, kernel, kernel).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvPool {
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
    /// Rows, and columns, of zeros on each side of the input. The convolution gives at least 2×2.
    pub padding: usize,
    /// The instructions to use.
    pub instruction_set: InstructionSet,
}

impl ConvPool {
    /// Rows of the output.
    pub fn out_height(&self) -> usize {
        let rows = self.padded_height() - self.kernel_size + 1;
        rows / 2
    }

    /// Columns of the output.
    pub fn out_width(&self) -> usize {
        let columns = self.padded_width() - self.kernel_size + 1;
        columns / 2
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

    /// The convolution, as far as it is pooled.
    fn sizes(&self) -> Sizes {
        Sizes {
            channels_in: self.channels_in,
            height: self.height,
            width: self.width,
            channels_out: self.channels_out,
            kernel_size: self.kernel_size,
            padding: self.padding,
            rows: 2 * self.out_height(),
            columns: 2 * self.out_width(),
            instruction_set: self.instruction_set,
        }
    }

    fn padded_height(&self) -> usize {
        self.height + 2 * self.padding
    }

    fn padded_width(&self) -> usize {
        self.width + 2 * self.padding
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
        for range in shards(images, shard::IMAGES) {
            let out_len = range.len() * self.out_len();
            let (part, rest) = output.split_at_mut(out_len);
            let (winners_part, winners_rest) = winners.split_at_mut(out_len);
            (output, winners) = (rest, winners_rest);
            let input = &input[range.start * self.image_len()..range.end * self.image_len()];
            tasks.push(Images {
                input,
                output: part,
                winners: winners_part,
            });
        }
        // A vector holds output channels if these fill it as well as the output's columns would; but a
        // picture of one channel has blank rows, which the way along the rows leaves out.
        let conv = &self.for_vectors_of(self.channels_out);
        let lanes = conv.instruction_set.lanes();
        let filled = |count: usize| count as f64 / count.next_multiple_of(lanes) as f64;
        if conv.channels_in > 1 && filled(conv.channels_out) > filled(conv.out_width()) {
            let sizes = conv.sizes();
            let pack = Pack::winograd(&sizes, weight, input);
            let pack = pack.unwrap_or_else(|| Pack::plain(&sizes, weight));
            shard::each(tasks, |images| {
                conv.instruction_set.run(channels::Shard {
                    sizes: &sizes,
                    pack: &pack,
                    bias,
                    input: images.input,
                    output: PooledPlanes {
                        output: images.output,
                        winners: images.winners,
                    },
                });
            });
        } else {
            let conv = &self.for_vectors_of(self.out_width());
            shard::each(tasks, |images| {
                conv.instruction_set.run(forward_rows::Shard {
                    conv,
                    weight,
                    bias,
                    images,
                });
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
        if images == 0 {
            return (vec![0.0; weight.len()], vec![0.0; self.channels_out]);
        }
        let layer = Layer {
            input,
            winners,
            grad_output,
        };
        // A patch that fills but a part of a vector is better gone through along the rows.
        let lanes = self.instruction_set.lanes();
        let has_short_rows = self.channels_in * self.kernel_size < lanes
            && self.padded_width() <= backward_rows::WIDEST;
        if grad_input.is_none() && has_short_rows {
            let conv = self.for_vectors_of(self.kernel_size);
            return conv.backward_rows(layer, images);
        }
        self.for_vectors_of(self.channels_in)
            .backward_channels(layer, weight, grad_input, images)
    }

    /// The same with the instructions whose vectors so many numbers fill best.
    fn for_vectors_of(&self, count: usize) -> Self {
        Self {
            instruction_set: self.instruction_set.for_vectors_of(count),
            ..*self
        }
    }

    /// The backward pass with the channels of the input side by side in a vector.
    fn backward_channels(
        &self,
        layer: Layer<'_>,
        weight: &[f32],
        grad_input: Option<&mut [f32]>,
        images: usize,
    ) -> (Vec<f32>, Vec<f32>) {
        let tasks = shard::split(grad_input, images, shard::IMAGES, self.image_len());
        let tasks = tasks.map(|(range, grad_input)| (layer.images(self, range), grad_input));
        let tasks = tasks.collect();
        if let Some(pixels) = backward_pixels::Pixels::new(self) {
            let weight = pixels.pack(weight);
            let parts = shard::each(tasks, |(layer, grad_input)| {
                self.instruction_set.run(backward_pixels::Shard {
                    pixels: &pixels,
                    weight: &weight,
                    layer,
                    grad_input,
                })
            });
            let (grad_weight, grad_bias) = shard::sum(parts);
            return (pixels.unpack(&grad_weight), grad_bias);
        }
        let frames = backward_patches::Frames::new(self);
        let weight = frames.pack(weight);
        let parts = shard::each(tasks, |(layer, grad_input)| {
            self.instruction_set.run(backward_patches::Shard {
                frames: &frames,
                weight: &weight,
                layer,
                grad_input,
            })
        });
        let (grad_weight, grad_bias) = shard::sum(parts);
        (frames.unpack(&grad_weight), grad_bias)
    }

    fn backward_rows(&self, layer: Layer<'_>, images: usize) -> (Vec<f32>, Vec<f32>) {
        let ranges: Vec<_> = shards(images, shard::IMAGES).collect();
        let parts = shard::each(ranges, |range| {
            let layer = layer.images(self, range);
            let shard = backward_rows::Shard { conv: self, layer };
            self.instruction_set.run(shard)
        });
        shard::sum(parts)
    }
}

/// What the backward pass of some images begins with.
#[derive(Clone, Copy)]
struct Layer<'a> {
    input: &'a [f32],
    winners: &'a [u8],
    grad_output: &'a [f32],
}

impl Layer<'_> {
    /// The part that belongs to some of the images.
    fn images(&self, conv: &ConvPool, range: Range<usize>) -> Self {
        let out = range.start * conv.out_len()..range.end * conv.out_len();
        Self {
            input: &self.input[range.start * conv.image_len()..range.end * conv.image_len()],
            winners: &self.winners[out.clone()],
            grad_output: &self.grad_output[out],
        }
    }

    /// The winner bytes of one channel of an image, and the gradients.
    #[inline(always)]
    fn channel(&self, conv: &ConvPool, image: usize, channel: usize) -> (&[u8], &[f32]) {
        let plane = (image * conv.channels_out + channel) * conv.out_pixels();
        let plane = plane..plane + conv.out_pixels();
        (&self.winners[plane.clone()], &self.grad_output[plane])
    }
}

/// A pooled output that has a gradient.
#[derive(Clone, Copy, Default)]
struct Winner {
    /// Where its patch begins in the image; or its weight, in a pack of them.
    at: u32,
    grad: f32,
}

/// Some images of a batch, and where what comes of them goes.
struct Images<'a> {
    input: &'a [f32],
    output: &'a mut [f32],
    winners: &'a mut [u8],
}

impl<'a> Images<'a> {
    /// One image after the other: its pixels, its output and its winner bytes.
    #[inline(always)]
    fn each(
        self,
        conv: &ConvPool,
    ) -> impl Iterator<Item = (&'a [f32], (&'a mut [f32], &'a mut [u8]))> {
        let outputs = self.output.chunks_exact_mut(conv.out_len());
        let winners = self.winners.chunks_exact_mut(conv.out_len());
        self.input
            .chunks_exact(conv.image_len())
            .zip(outputs.zip(winners))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::kernel::conv::Conv;
    use crate::nn::kernel::pool::Pool;
    use crate::random::{Purpose, Stream};

    fn random(count: usize, seed: u64) -> Vec<f32> {
        let mut stream = Stream::new(seed, Purpose::Init, 0);
        (0..count).map(|_| stream.normal()).collect()
    }

    fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len(), "{what}");
        let scale = expected.iter().fold(1f32, |max, x| max.max(x.abs()));
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!(
                (found - expected).abs() <= 1e-5 * scale,
                "{what}[{i}]: {found}, {expected}"
            );
        }
    }

    /// Every instruction set of this machine against the kernels of the single ops, for shapes that
    /// fill vectors and tiles, leave some over, or are smaller than the kernel.
    #[test]
    fn every_instruction_set_gives_what_the_single_kernels_give() {
        let mut shapes = vec![
            (3, [1, 6], [28, 28], 5, 2),
            (3, [1, 6], [28, 28], 5, 0),
            (13, [6, 16], [14, 14], 5, 2),
            (2, [1, 33], [5, 37], 7, 3),
        ];
        for (kernel_size, paddings) in [
            (1, &[0][..]),
            (2, &[0, 1]),
            (3, &[0, 1, 2]),
            (5, &[0, 1, 2]),
            (9, &[4, 7]),
        ] {
            for padding in paddings {
                for channels in [[1, 1], [2, 7], [5, 16], [3, 20], [12, 5], [20, 3]] {
                    for size in [[2, 2], [2, 3], [3, 7], [9, 12], [5, 17], [4, 33], [6, 41]] {
                        if size[0] + 2 * padding > kernel_size {
                            shapes.push((1, channels, size, kernel_size, *padding));
                        }
                    }
                }
            }
        }
        for (images, [channels_in, channels_out], [height, width], kernel_size, padding) in shapes {
            let conv = Conv {
                channels_in,
                height,
                width,
                channels_out,
                kernel_size,
                padding,
                stride: 1,
                instruction_set: InstructionSet::Portable,
            };
            let (height, width) = (conv.out_height(), conv.out_width());
            let pool = Pool {
                height,
                width,
                kernel_size: 2,
                stride: 2,
                instruction_set: InstructionSet::Portable,
            };
            let pooled = images * channels_out * (height / 2) * (width / 2);
            let input = random(images * channels_in * conv.height * conv.width, 1);
            let weight = random(channels_out * channels_in * kernel_size * kernel_size, 2);
            let bias = random(channels_out, 3);
            let grad_pooled = random(pooled, 4);

            let mut sums = vec![0.0; images * channels_out * height * width];
            conv.forward(&input, &weight, &bias, &mut sums);
            let (mut expected, mut winners) = (vec![0.0; pooled], vec![0; pooled]);
            pool.forward_max(&sums, &mut expected, &mut winners);
            let through = |(grad, out): (&f32, &f32)| if *out > 0.0 { *grad } else { 0.0 };
            let grad: Vec<f32> = grad_pooled.iter().zip(&expected).map(through).collect();
            expected.iter_mut().for_each(|x| *x = x.max(0.0));
            let mut grad_sums = vec![0.0; sums.len()];
            pool.backward_max(&grad, &winners, &mut grad_sums);
            let mut grad_input = vec![0.0; input.len()];
            let (grad_weight, grad_bias) =
                conv.backward(&input, &weight, &grad_sums, Some(&mut grad_input));

            for instruction_set in InstructionSet::available() {
                let what = format!("{instruction_set:?} {conv:?}");
                let fused = ConvPool {
                    channels_in,
                    height: conv.height,
                    width: conv.width,
                    channels_out,
                    kernel_size,
                    padding,
                    instruction_set,
                };
                let (mut output, mut winners) = (vec![9.0; pooled], vec![9; pooled]);
                fused.forward(&input, &weight, &bias, &mut output, &mut winners);
                assert_close(&what, &output, &expected);
                let mut found = vec![9.0; input.len()];
                let grads =
                    fused.backward(&input, &weight, &winners, &grad_pooled, Some(&mut found));
                assert_close(&what, &found, &grad_input);
                assert_close(&what, &grads.0, &grad_weight);
                assert_close(&what, &grads.1, &grad_bias);
                // A layer of few channels whose input needs no gradient takes another way.
                let grads = fused.backward(&input, &weight, &winners, &grad_pooled, None);
                assert_close(&what, &grads.0, &grad_weight);
                assert_close(&what, &grads.1, &grad_bias);
            }
        }
    }

    /// Winograd's algorithm would make NaN of an infinite sum, and infinity of a large one.
    #[test]
    fn what_is_not_finite_comes_out_as_in_the_plain_sum() {
        let (width, height, channels_in, channels_out) = (14, 14, 3, 16);
        for kernel_size in [3, 5] {
            for number in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e36] {
                for instruction_set in InstructionSet::available() {
                    let conv = ConvPool {
                        channels_in,
                        height,
                        width,
                        channels_out,
                        kernel_size,
                        padding: kernel_size / 2,
                        instruction_set,
                    };
                    let mut input = random(channels_in * height * width, 1);
                    input[width * height + 5 * width + 6] = number;
                    let weight = random(channels_out * conv.taps(), 2);
                    let bias = random(channels_out, 3);
                    let (mut output, mut winners) =
                        (vec![0.0; conv.out_len()], vec![0; conv.out_len()]);
                    conv.forward(&input, &weight, &bias, &mut output, &mut winners);

                    let single = Conv {
                        channels_in,
                        height,
                        width,
                        channels_out,
                        kernel_size,
                        padding: kernel_size / 2,
                        stride: 1,
                        instruction_set: InstructionSet::Portable,
                    };
                    let mut sums = vec![0.0; channels_out * width * height];
                    single.forward(&input, &weight, &bias, &mut sums);
                    for (i, found) in output.iter().enumerate() {
                        let (channel, y, x) = (i / 49, i / 7 % 7, i % 7);
                        let at = channel * width * height + 2 * y * width + 2 * x;
                        let window = [at, at + 1, at + width, at + width + 1].map(|at| sums[at]);
                        let expected = match window.iter().any(|sum| sum.is_nan()) {
                            true => f32::NAN,
                            false => window.iter().fold(0.0, |max: f32, sum| max.max(*sum)),
                        };
                        let is_close = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
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

    /// The gradients of weight and bias of a first layer that sees noise, and an image that is blank
    /// outside of `drawn`, whose gradients are `grad` or, if that is `None`, random. With and without
    /// the gradient of the input, which takes another way.
    fn first_layer(
        conv: &ConvPool,
        drawn: &[Range<usize>; 2],
        grad: Option<f32>,
    ) -> [(Vec<f32>, Vec<f32>); 2] {
        let mut input = random(2 * conv.image_len(), 1);
        for (at, pixel) in input[conv.image_len()..].iter_mut().enumerate() {
            let place = [at / conv.width % conv.height, at % conv.width];
            // What another channel shows lies a row and a column further.
            let channel = at / (conv.height * conv.width);
            let place = place.map(|place| place.wrapping_sub(channel));
            if !(0..2).all(|axis| drawn[axis].contains(&place[axis])) {
                *pixel = 0.0;
            }
        }
        let weight = random(conv.channels_out * conv.taps(), 2);
        // What is blank goes through ReLU.
        let bias = vec![0.5; conv.channels_out];
        let len = 2 * conv.out_len();
        let (mut output, mut winners) = (vec![0.0; len], vec![0; len]);
        conv.forward(&input, &weight, &bias, &mut output, &mut winners);
        let mut grad_output = random(len, 4);
        if let Some(grad) = grad {
            grad_output[conv.out_len()..].fill(grad);
        }
        let mut grad_input = vec![0.0; input.len()];
        [Some(&mut grad_input[..]), None]
            .map(|grad_input| conv.backward(&input, &weight, &winners, &grad_output, grad_input))
    }

    #[test]
    fn a_first_layer_has_the_gradients_that_it_would_have_without_leaving_margins_out() {
        let boxes = [[0..0, 0..0], [0..1, 0..1], [3..8, 2..7], [9..12, 11..13]];
        for (kernel_size, padding) in [(1, 0), (2, 1), (3, 0), (3, 1), (5, 2), (5, 4), (7, 3)] {
            for (channels_in, width, drawn) in [
                (1, 13, 0),
                (1, 13, 1),
                (1, 13, 2),
                (2, 13, 2),
                (1, 13, 3),
                (1, 40, 2),
                (1, 131, 2),
            ] {
                for instruction_set in InstructionSet::available() {
                    let conv = ConvPool {
                        channels_in,
                        height: 12,
                        width,
                        channels_out: 3,
                        kernel_size,
                        padding,
                        instruction_set,
                    };
                    let what = format!("{conv:?} {drawn}");
                    let [expected, found] = first_layer(&conv, &boxes[drawn], None);
                    assert_close(&what, &found.0, &expected.0);
                    assert_close(&what, &found.1, &expected.1);
                    // Infinity times 0 is NaN.
                    let [_, found] = first_layer(&conv, &boxes[drawn], Some(f32::INFINITY));
                    assert!(!found.0.iter().any(|grad| grad.is_finite()), "{what}");
                    assert!(!found.1.iter().any(|grad| grad.is_finite()), "{what}");
                }
            }
        }
    }

    #[test]
    fn a_gradient_that_is_not_finite_reaches_the_bias_of_its_channel_alone() {
        for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for channels_in in [1, 6, 16] {
                for instruction_set in InstructionSet::available() {
                    let conv = ConvPool {
                        channels_in,
                        height: 14,
                        width: 14,
                        channels_out: 3,
                        kernel_size: 5,
                        padding: 2,
                        instruction_set,
                    };
                    let input = random(conv.image_len(), 1);
                    let weight = random(conv.channels_out * conv.taps(), 2);
                    let mut grad_output = random(conv.out_len(), 3);
                    grad_output[conv.out_pixels() + 7] = number;
                    let winners = vec![1; conv.out_len()];
                    let mut grad_input = vec![0.0; input.len()];
                    for grad_input in [Some(&mut grad_input[..]), None] {
                        let (_, grad_bias) =
                            conv.backward(&input, &weight, &winners, &grad_output, grad_input);
                        let [first, found, last] = grad_bias[..] else {
                            panic!("{grad_bias:?}");
                        };
                        let is_same = found == number || found.is_nan() && number.is_nan();
                        assert!(is_same, "{conv:?}: {found}, {number}");
                        assert!(first.is_finite() && last.is_finite(), "{conv:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_portable_set_is_always_there_and_the_widest_comes_last() {
        let available = InstructionSet::available();
        assert_eq!(available[0], InstructionSet::Portable);
        assert!(
            available
                .windows(2)
                .all(|pair| pair[0].lanes() < pair[1].lanes())
        );
    }
}
