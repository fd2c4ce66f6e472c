//! The passes for small planes, as those of features (N, C), whose plane is one number.
//!
//! All numbers of an image are gone through in one loop: what belongs to a channel is repeated for each
//! of its pixels, and what is summed up gets a sum for each number of an image, to be added up in the end.

use super::{BatchNorm, Normal, Slope, Statistics};

impl BatchNorm {
    /// As [`statistics`](BatchNorm::statistics), of some images.
    #[inline(always)]
    pub(super) fn small_statistics(&self, input: &[f32]) -> Vec<Statistics> {
        let count = (input.len() / self.channels) as f64;
        let mut sums = vec![0.0; self.image_len()];
        for image in input.chunks_exact(self.image_len()) {
            for (sum, x) in sums.iter_mut().zip(image) {
                *sum += x;
            }
        }
        let centers: Vec<_> = self.totals(&sums).map(|sum| (sum / count) as f32).collect();
        let center = self.for_each_pixel(&centers, |center| *center);
        let (mut rests, mut squares) = (vec![0.0; sums.len()], vec![0.0; sums.len()]);
        for image in input.chunks_exact(self.image_len()) {
            let sums = rests.iter_mut().zip(&mut squares);
            for ((rest, squares), (x, center)) in sums.zip(image.iter().zip(&center)) {
                let apart = x - center;
                *rest += apart;
                *squares += apart * apart;
            }
        }
        let sums = self.totals(&rests).zip(self.totals(&squares));
        let statistics = sums
            .zip(&centers)
            .map(|((rest, squares), center)| Statistics {
                count,
                mean: f64::from(*center) + rest / count,
                squares: squares - rest * rest / count,
            });
        statistics.collect()
    }

    /// As [`gradient_sums`](BatchNorm::gradient_sums), of some images.
    #[inline(always)]
    pub(super) fn small_gradient_sums(
        &self,
        input: &[f32],
        grads: &[f32],
        normals: &Normals,
    ) -> Vec<[f64; 2]> {
        let floor = self.floor();
        let (mut sums, mut products) = (vec![0.0; self.image_len()], vec![0.0; self.image_len()]);
        let images = input.chunks_exact(self.image_len());
        for (image, grads) in images.zip(grads.chunks_exact(self.image_len())) {
            let pairs = image.iter().zip(grads).zip(normals.each());
            for ((sum, product), ((x, grad), normal)) in
                sums.iter_mut().zip(&mut products).zip(pairs)
            {
                let grad = normal.let_through(*x, *grad, floor);
                *sum += grad;
                *product += grad * (x - normal.mean);
            }
        }
        let totals = self.totals(&sums).zip(self.totals(&products));
        totals.map(|(sum, product)| [sum, product]).collect()
    }

    /// As [`normalize`](BatchNorm::normalize), for some images.
    #[inline(always)]
    pub(super) fn small_normalize(&self, input: &[f32], normals: &Normals, output: &mut [f32]) {
        let floor = self.floor();
        let images = input.chunks_exact(self.image_len());
        for (image, output) in images.zip(output.chunks_exact_mut(self.image_len())) {
            for ((x, output), normal) in image.iter().zip(output).zip(normals.each()) {
                *output = normal.output(*x, floor);
            }
        }
    }

    /// As [`input_gradient`](BatchNorm::input_gradient), for some images.
    #[inline(always)]
    pub(super) fn small_input_gradient(
        &self,
        input: &[f32],
        grads: &[f32],
        slopes: &Slopes,
        out: &mut [f32],
    ) {
        let floor = self.floor();
        let images = input.chunks_exact(self.image_len());
        let images = images.zip(grads.chunks_exact(self.image_len()));
        for ((image, grads), out) in images.zip(out.chunks_exact_mut(self.image_len())) {
            let pairs = image.iter().zip(grads).zip(out);
            for (((x, grad), out), channel) in pairs.zip(slopes.each()) {
                *out = channel.of(*x, *grad, floor);
            }
        }
    }

    /// What `of` gives for each channel, repeated for each of its pixels.
    fn for_each_pixel<Channel>(
        &self,
        channels: &[Channel],
        of: impl Fn(&Channel) -> f32,
    ) -> Vec<f32> {
        let mut pixels = vec![0.0; self.image_len()];
        for (plane, channel) in pixels.chunks_exact_mut(self.pixels).zip(channels) {
            plane.fill(of(channel));
        }
        pixels
    }

    /// The parts of a normalization, for [`small_normalize`](Self::small_normalize).
    pub(super) fn small_normals(&self, channels: &[Normal]) -> Normals {
        Normals {
            means: self.for_each_pixel(channels, |channel| channel.mean),
            scales: self.for_each_pixel(channels, |channel| channel.scale),
            biases: self.for_each_pixel(channels, |channel| channel.bias),
        }
    }

    /// The parts of the gradients, for [`small_input_gradient`](Self::small_input_gradient).
    pub(super) fn small_slopes(&self, channels: &[Slope]) -> Slopes {
        let normals: Vec<_> = channels.iter().map(|channel| channel.normal).collect();
        Slopes {
            normals: self.small_normals(&normals),
            offsets: self.for_each_pixel(channels, |channel| channel.offset),
            slopes: self.for_each_pixel(channels, |channel| channel.slope),
        }
    }

    /// Of each channel the sum over its pixels.
    #[inline(always)]
    fn totals<'a>(&self, numbers: &'a [f32]) -> impl Iterator<Item = f64> + use<'a> {
        let planes = numbers.chunks_exact(self.pixels);
        planes.map(|plane| plane.iter().map(|x| f64::from(*x)).sum())
    }
}

/// The [`Normal`] of each number of an image, its parts apart, so that vectors can be loaded.
pub(super) struct Normals {
    means: Vec<f32>,
    scales: Vec<f32>,
    biases: Vec<f32>,
}

impl Normals {
    #[inline(always)]
    fn each(&self) -> impl Iterator<Item = Normal> {
        let parts = self.means.iter().zip(&self.scales).zip(&self.biases);
        parts.map(|((mean, scale), bias)| Normal {
            mean: *mean,
            scale: *scale,
            bias: *bias,
        })
    }
}

/// The [`Slope`] of each number of an image, its parts apart.
pub(super) struct Slopes {
    normals: Normals,
    offsets: Vec<f32>,
    slopes: Vec<f32>,
}

impl Slopes {
    #[inline(always)]
    fn each(&self) -> impl Iterator<Item = Slope> {
        let parts = self.offsets.iter().zip(&self.slopes);
        let parts = self.normals.each().zip(parts);
        parts.map(|(normal, (offset, slope))| Slope {
            normal,
            offset: *offset,
            slope: *slope,
        })
    }
}
