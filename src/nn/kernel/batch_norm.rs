//! Batch normalization (Ioffe and Szegedy, 2015), alone or with a ReLU after it.

use super::shard::{self, shards};
use super::simd::{InstructionSet, Loop};
use super::sum::{sum, sum_pairs};

/// The sizes of a batch normalization, of tensors (N, channels, pixels).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNorm {
    /// Channels, each of which is normalized by itself.
    pub channels: usize,
    /// Numbers of a channel in one image.
    pub pixels: usize,
    /// Whether a ReLU follows.
    pub relu: bool,
    /// The instructions to use.
    pub instruction_set: InstructionSet,
}

/// What the numbers of a channel are like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    /// How many there are.
    pub count: f64,
    /// Their mean.
    pub mean: f64,
    /// The sum of the squares of their deviations from it.
    pub squares: f64,
}

impl Statistics {
    /// The corrected two-pass algorithm (Chan, Golub and LeVeque, "Algorithms for Computing the
    /// Sample Variance", 1983): what rounding does to the first mean, the second pass takes back.
    #[inline(always)]
    fn of(plane: &[f32]) -> Self {
        let count = plane.len() as f64;
        let center = (f64::from(sum(plane, |x| x)) / count) as f32;
        let rest = f64::from(sum(plane, |x| x - center));
        let squares = f64::from(sum(plane, |x| (x - center) * (x - center)));
        Self {
            count,
            mean: f64::from(center) + rest / count,
            squares: squares - rest * rest / count,
        }
    }

    /// Adds the numbers that `other` tells of (the pairwise formula of the same paper).
    #[inline(always)]
    fn add(&mut self, other: &Self) {
        let count = self.count + other.count;
        let apart = other.mean - self.mean;
        self.mean += apart * (other.count / count);
        self.squares += other.squares + apart * apart * (self.count * other.count / count);
        self.count = count;
    }
}

/// How the numbers of a channel are normalized: `(x − mean) · scale + bias`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normal {
    /// What is subtracted.
    pub mean: f32,
    /// The weight divided by the standard deviation.
    pub scale: f32,
    /// What is added.
    pub bias: f32,
}

impl Normal {
    #[inline(always)]
    fn of(self, x: f32) -> f32 {
        (x - self.mean) * self.scale + self.bias
    }
}

/// How the gradients of a channel's inputs come from those of its outputs:
/// `(grad − offset − (x − mean) · slope) · scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// How the outputs came about.
    pub normal: Normal,
    /// What the outputs' gradients have in common, which moves the mean along.
    pub offset: f32,
    /// What grows with the deviation, which moves the variance along.
    pub slope: f32,
}

impl BatchNorm {
    /// The statistics of each channel.
    ///
    /// # Panics
    /// If the length does not fit.
    pub fn statistics(&self, input: &[f32]) -> Vec<Statistics> {
        self.sum_images(
            [input],
            #[inline(always)]
            |channels: &mut [Statistics], [image]| {
                for (channel, plane) in channels.iter_mut().zip(image.chunks_exact(self.pixels)) {
                    channel.add(&Statistics::of(plane));
                }
            },
        )
    }

    /// Of each channel the sum of its outputs' gradients, and that of their products with the
    /// inputs' deviations from the mean.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn gradient_sums(
        &self,
        input: &[f32],
        grad_output: &[f32],
        channels: &[Normal],
    ) -> Vec<[f64; 2]> {
        let floor = self.floor();
        self.sum_images(
            [input, grad_output],
            #[inline(always)]
            |sums: &mut [[f64; 2]], images| {
                let [planes, grads] = images.map(|image| image.chunks_exact(self.pixels));
                let channels = sums.iter_mut().zip(channels);
                for ((sums, normal), (plane, grad)) in channels.zip(planes.zip(grads)) {
                    let grad_of = |x, grad| if normal.of(x) <= floor { 0.0 } else { grad };
                    sums[0] += f64::from(sum_pairs(plane, grad, grad_of));
                    let product = |x, grad| grad_of(x, grad) * (x - normal.mean);
                    sums[1] += f64::from(sum_pairs(plane, grad, product));
                }
            },
        )
    }

    /// Writes the normalized numbers.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn normalize(&self, input: &[f32], channels: &[Normal], output: &mut [f32]) {
        let floor = self.floor();
        self.map_images(
            [input],
            channels,
            output,
            #[inline(always)]
            |channel, [plane], output| {
                for (output, x) in output.iter_mut().zip(plane) {
                    let number = channel.of(*x);
                    *output = if number < floor { floor } else { number };
                }
            },
        );
    }

    /// Writes the gradients of the inputs.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn input_gradient(
        &self,
        input: &[f32],
        grad_output: &[f32],
        channels: &[Slope],
        grad_input: &mut [f32],
    ) {
        let inputs = [input, grad_output];
        let floor = self.floor();
        self.map_images(
            inputs,
            channels,
            grad_input,
            #[inline(always)]
            |Slope {
                 normal,
                 offset,
                 slope,
             },
             inputs,
             out| {
                let [plane, grad] = inputs;
                for (out, (x, grad)) in out.iter_mut().zip(plane.iter().zip(grad)) {
                    let grad = if normal.of(*x) <= floor { 0.0 } else { *grad };
                    let common = offset + (x - normal.mean) * slope;
                    *out = (grad - common) * normal.scale;
                }
            },
        );
    }

    /// What an output is at least; without a ReLU NaN, below which no number is. So NaN itself stays,
    /// and has a gradient.
    fn floor(&self) -> f32 {
        if self.relu { 0.0 } else { f32::NAN }
    }

    /// Adds to the sums of every channel what `add` finds in each image; shards of images run side
    /// by side.
    fn sum_images<const N: usize, Sum>(
        &self,
        inputs: [&[f32]; N],
        add: impl Fn(&mut [Sum], [&[f32]; N]) + Sync,
    ) -> Vec<Sum>
    where
        Sum: Clone + Default + Send + Accumulate,
    {
        let image_len = self.channels * self.pixels;
        let images = self.images(inputs[0].len());
        assert!(inputs.iter().all(|input| input.len() == images * image_len));
        let tasks = shards(images, shard::IMAGES).collect();
        let parts = shard::each(tasks, |range| {
            self.instruction_set.run(Loop(
                #[inline(always)]
                || {
                    let mut sums = vec![Sum::default(); self.channels];
                    for image in range.clone() {
                        let image = inputs.map(|input| &input[image * image_len..][..image_len]);
                        add(&mut sums, image);
                    }
                    sums
                },
            ))
        });
        let sums = parts.into_iter().reduce(|mut sums, part| {
            sums.iter_mut()
                .zip(&part)
                .for_each(|(sum, part)| sum.accumulate(part));
            sums
        });
        sums.unwrap_or_else(|| vec![Sum::default(); self.channels])
    }

    /// Calls `map` with each plane of the inputs, its channel and where the result goes; shards of
    /// images run side by side.
    fn map_images<const N: usize, Channel: Copy + Sync>(
        &self,
        inputs: [&[f32]; N],
        channels: &[Channel],
        output: &mut [f32],
        map: impl Fn(Channel, [&[f32]; N], &mut [f32]) + Sync,
    ) {
        let image_len = self.channels * self.pixels;
        assert_eq!(channels.len(), self.channels, "channels");
        assert!(inputs.iter().all(|input| input.len() == output.len()));
        let mut rest = output;
        let mut tasks = Vec::new();
        for range in shards(self.images(rest.len()), shard::IMAGES) {
            let (part, tail) = rest.split_at_mut(range.len() * image_len);
            rest = tail;
            tasks.push((range.start * image_len, part));
        }
        shard::each(tasks, |(start, part)| {
            self.instruction_set.run(Loop(
                #[inline(always)]
                || {
                    let planes = part.chunks_exact_mut(self.pixels).enumerate();
                    for ((i, output), channel) in planes.zip(channels.iter().cycle()) {
                        let at = start + i * self.pixels;
                        map(
                            *channel,
                            inputs.map(
                                #[inline(always)]
                                |input| &input[at..][..self.pixels],
                            ),
                            output,
                        );
                    }
                },
            ));
        });
    }

    fn images(&self, len: usize) -> usize {
        let images = len / (self.channels * self.pixels).max(1);
        assert_eq!(len, images * self.channels * self.pixels, "images");
        images
    }
}

/// What shards find, added up in their order.
trait Accumulate {
    fn accumulate(&mut self, other: &Self);
}

impl Accumulate for Statistics {
    fn accumulate(&mut self, other: &Self) {
        self.add(other);
    }
}

impl Accumulate for [f64; 2] {
    fn accumulate(&mut self, other: &Self) {
        self[0] += other[0];
        self[1] += other[1];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Stream};

    /// Sums are taken in the same order by all of them, so that they agree to the last bit.
    #[test]
    fn all_instruction_sets_give_the_same_bits() {
        let mut stream = Stream::new(1, Purpose::Init, 0);
        let mut random =
            |count: usize| -> Vec<f32> { (0..count).map(|_| stream.normal()).collect() };
        for (images, channels, pixels) in [(5, 3, 77), (9, 2, 1), (1, 4, 64)] {
            let (input, grads) = (
                random(images * channels * pixels),
                random(images * channels * pixels),
            );
            let passes = |instruction_set, relu| {
                let kernel = BatchNorm {
                    channels,
                    pixels,
                    relu,
                    instruction_set,
                };
                let statistics = kernel.statistics(&input);
                let normal = |channel: &Statistics| Normal {
                    mean: channel.mean as f32,
                    scale: 1.5,
                    bias: 0.1,
                };
                let normals: Vec<_> = statistics.iter().map(normal).collect();
                let sums = kernel.gradient_sums(&input, &grads, &normals);
                let slope = |normal: &Normal| Slope {
                    normal: *normal,
                    offset: 0.1,
                    slope: 0.3,
                };
                let (mut output, mut grad_input) = (vec![9.0; input.len()], vec![9.0; input.len()]);
                kernel.normalize(&input, &normals, &mut output);
                let slopes: Vec<_> = normals.iter().map(slope).collect();
                kernel.input_gradient(&input, &grads, &slopes, &mut grad_input);
                (statistics, sums, output, grad_input)
            };
            for relu in [false, true] {
                let portable = passes(InstructionSet::Portable, relu);
                for set in InstructionSet::available() {
                    assert_eq!(passes(set, relu), portable, "{set:?} {relu}");
                }
            }
        }
    }
}
