//! Batch normalization (Ioffe and Szegedy, 2015), alone or with a ReLU after it.
//!
//! Vectors go along a plane, or, where planes are small, across the planes of an image.

mod small;

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

    /// The output for `x`, at least `floor`.
    #[inline(always)]
    fn output(self, x: f32, floor: f32) -> f32 {
        let number = self.of(x);
        if number < floor { floor } else { number }
    }

    /// The gradient `grad` of the output for `x`, or 0 where that is not above `floor`.
    #[inline(always)]
    fn let_through(self, x: f32, grad: f32, floor: f32) -> f32 {
        if self.of(x) <= floor { 0.0 } else { grad }
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

impl Slope {
    /// The gradient of `x`, whose output has the gradient `grad` unless it is not above `floor`.
    #[inline(always)]
    fn of(&self, x: f32, grad: f32, floor: f32) -> f32 {
        let grad = self.normal.let_through(x, grad, floor);
        let common = self.offset + (x - self.normal.mean) * self.slope;
        (grad - common) * self.normal.scale
    }
}

impl BatchNorm {
    /// The statistics of each channel.
    ///
    /// # Panics
    /// If the length does not fit.
    pub fn statistics(&self, input: &[f32]) -> Vec<Statistics> {
        self.sum_shards(
            [input],
            #[inline(always)]
            |[input]| {
                if self.is_small() {
                    return self.small_statistics(input);
                }
                let mut channels = vec![Statistics::default(); self.channels];
                for image in input.chunks_exact(self.image_len()) {
                    let planes = image.chunks_exact(self.pixels);
                    for (channel, plane) in channels.iter_mut().zip(planes) {
                        channel.add(&Statistics::of(plane));
                    }
                }
                channels
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
        let normals = self.is_small().then(|| self.small_normals(channels));
        self.sum_shards(
            [input, grad_output],
            #[inline(always)]
            |[input, grads]| {
                if let Some(normals) = &normals {
                    return self.small_gradient_sums(input, grads, normals);
                }
                let mut sums = vec![[0.0; 2]; self.channels];
                let planes = input.chunks_exact(self.pixels);
                let planes = planes.zip(grads.chunks_exact(self.pixels));
                for (i, (plane, grad)) in planes.enumerate() {
                    let (normal, sums) =
                        (channels[i % self.channels], &mut sums[i % self.channels]);
                    let grad_of = |x, grad| normal.let_through(x, grad, floor);
                    sums[0] += f64::from(sum_pairs(plane, grad, grad_of));
                    let product = |x, grad| grad_of(x, grad) * (x - normal.mean);
                    sums[1] += f64::from(sum_pairs(plane, grad, product));
                }
                sums
            },
        )
    }

    /// Writes the normalized numbers.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn normalize(&self, input: &[f32], channels: &[Normal], output: &mut [f32]) {
        let floor = self.floor();
        let normals = self.is_small().then(|| self.small_normals(channels));
        self.map_shards(
            [input],
            output,
            #[inline(always)]
            |[input], output| {
                if let Some(normals) = &normals {
                    return self.small_normalize(input, normals, output);
                }
                let planes = input.chunks_exact(self.pixels);
                let planes = planes.zip(output.chunks_exact_mut(self.pixels));
                for ((plane, output), channel) in planes.zip(channels.iter().cycle()) {
                    for (output, x) in output.iter_mut().zip(plane) {
                        *output = channel.output(*x, floor);
                    }
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
        let floor = self.floor();
        let slopes = self.is_small().then(|| self.small_slopes(channels));
        self.map_shards(
            [input, grad_output],
            grad_input,
            #[inline(always)]
            |[input, grads], out| {
                if let Some(slopes) = &slopes {
                    return self.small_input_gradient(input, grads, slopes, out);
                }
                let planes = input.chunks_exact(self.pixels);
                let planes = planes.zip(grads.chunks_exact(self.pixels));
                let planes = planes.zip(out.chunks_exact_mut(self.pixels));
                for (((plane, grads), out), channel) in planes.zip(channels.iter().cycle()) {
                    for (out, (x, grad)) in out.iter_mut().zip(plane.iter().zip(grads)) {
                        *out = channel.of(*x, *grad, floor);
                    }
                }
            },
        );
    }

    fn image_len(&self) -> usize {
        self.channels * self.pixels
    }

    /// Whether a plane is too small for loops along it to be worth their beginning and their end.
    fn is_small(&self) -> bool {
        self.pixels < 64
    }

    /// What an output is at least; without a ReLU NaN, below which no number is. So NaN itself stays,
    /// and has a gradient.
    fn floor(&self) -> f32 {
        if self.relu { 0.0 } else { f32::NAN }
    }

    /// Adds up what `find` finds for every channel in shards of the images, which run side by side.
    fn sum_shards<const N: usize, Sum>(
        &self,
        inputs: [&[f32]; N],
        find: impl Fn([&[f32]; N]) -> Vec<Sum> + Sync,
    ) -> Vec<Sum>
    where
        Sum: Clone + Default + Send + Accumulate,
    {
        let images = self.images(inputs[0].len());
        assert!(inputs.iter().all(|input| input.len() == inputs[0].len()));
        let tasks = shards(images, shard::IMAGES).collect();
        let parts = shard::each(tasks, |range| {
            let part = range.start * self.image_len()..range.end * self.image_len();
            self.instruction_set.run(Loop(
                #[inline(always)]
                || find(inputs.map(|input| &input[part.clone()])),
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

    /// Calls `map` with shards of the images, which run side by side, and where the results go.
    fn map_shards<const N: usize>(
        &self,
        inputs: [&[f32]; N],
        output: &mut [f32],
        map: impl Fn([&[f32]; N], &mut [f32]) + Sync,
    ) {
        assert!(inputs.iter().all(|input| input.len() == output.len()));
        let mut rest = output;
        let mut tasks = Vec::new();
        for range in shards(self.images(rest.len()), shard::IMAGES) {
            let part = range.start * self.image_len()..range.end * self.image_len();
            let (output, tail) = rest.split_at_mut(part.len());
            rest = tail;
            tasks.push((part, output));
        }
        shard::each(tasks, |(part, output)| {
            self.instruction_set.run(Loop(
                #[inline(always)]
                || map(inputs.map(|input| &input[part.clone()]), output),
            ));
        });
    }

    fn images(&self, len: usize) -> usize {
        let images = len / self.image_len().max(1);
        assert_eq!(len, images * self.image_len(), "images");
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
        for (images, channels, pixels) in [(5, 3, 77), (9, 20, 1), (1, 4, 64), (7, 5, 9)] {
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
