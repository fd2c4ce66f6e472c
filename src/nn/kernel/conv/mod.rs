//! Two-dimensional convolution (cross-correlation, as everywhere in deep learning), any stride and
//! padding.
//!
//! Images are laid out with their padding, so that a row of the output and what one tap of the kernel
//! takes for it are vectors side by side; output rows follow each other without a break, and what is
//! computed for the padding between them is thrown away. Where the stride is not 1, pixels a stride
//! apart become planes of their own, and the same holds there. So forward pass, weight gradient and
//! input gradient are sums over shifted planes, and no patch is copied out.

mod correlation;
mod grid;
mod products;

use std::ops::Range;

use pulp::{Simd, WithSimd};

use self::correlation::Correlation;
use self::grid::Grid;
use self::products::{Planes, Products};
use super::shard::{self, shards};
use super::simd::InstructionSet;
use super::sum::sum;

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
        let layout = InputLayout::new(self);
        let offsets = layout.offsets(self);
        let patch_len = offsets.len();
        let weight = |channel: usize, tap: usize| weight[channel * patch_len + tap];
        let sums = Correlation::new(self.instruction_set, self.channels_out, offsets, weight);
        let mut rest = output;
        let mut tasks = Vec::new();
        for range in shards(images, shard::IMAGES) {
            let (part, tail) = rest.split_at_mut(range.len() * self.out_len());
            rest = tail;
            tasks.push((&input[range.start * self.image_len()..], part));
        }
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
        let layout = InputLayout::new(self);
        let offsets = layout.offsets(self);
        let backward = grad_input
            .is_some()
            .then(|| InputGradient::new(self, weight));
        let mut rest = grad_input;
        let mut tasks = Vec::new();
        for range in shards(images, shard::IMAGES) {
            let grad_input = rest.take().map(|grad| {
                let (part, tail) = grad.split_at_mut(range.len() * self.image_len());
                rest = Some(tail);
                part
            });
            tasks.push((range, grad_input));
        }
        let part = |len: usize, range: &Range<usize>| range.start * len..range.end * len;
        shard::sum(shard::each(tasks, |(range, grad_input)| {
            self.instruction_set.run(Backward {
                conv: self,
                layout: &layout,
                offsets: &offsets,
                input: &input[part(self.image_len(), &range)],
                grad_output: &grad_output[part(self.out_len(), &range)],
                grad_input: grad_input.zip(backward.as_ref()),
            })
        }))
    }
}

/// How the planes of an image lie in memory.
struct InputLayout {
    /// The plane of each phase.
    grids: Vec<Grid>,
    /// Numbers from a plane to the next.
    plane_len: usize,
    /// Numbers of an image, with what vectors may take beyond its end.
    len: usize,
}

impl InputLayout {
    fn new(conv: &Conv) -> Self {
        let phases = conv.phases();
        let grids = (0..phases * phases).map(|i| conv.input_grid(i / phases, i % phases));
        let grids: Vec<_> = grids.collect();
        let plane_len = plane_len(grids.first().map_or(0, Grid::len));
        Self {
            len: conv.channels_in * grids.len() * plane_len + slack(conv),
            grids,
            plane_len,
        }
    }

    /// Where each number of a weight finds its first pixel.
    fn offsets(&self, conv: &Conv) -> Vec<usize> {
        let row_len = conv.output_grid().row_len;
        let channels = 0..conv.channels_in;
        let offsets = channels.flat_map(|channel| {
            conv.taps().map(move |(phase, [row, column])| {
                let plane = (channel * conv.phases() + phase[0]) * conv.phases() + phase[1];
                plane * self.plane_len + row * row_len + column
            })
        });
        offsets.collect()
    }

    #[inline(always)]
    fn gather(&self, conv: &Conv, image: &[f32], planes: &mut [f32]) {
        let mut planes = planes.chunks_exact_mut(self.plane_len);
        for channel in image.chunks_exact(conv.height * conv.width) {
            for (grid, plane) in self.grids.iter().zip(&mut planes) {
                grid.gather(channel, conv.width, plane);
            }
        }
    }
}

/// The distance of planes of `len` numbers: an odd number of cache lines, since planes a power of two
/// apart would drive each other out of the cache.
fn plane_len(len: usize) -> usize {
    const LINE: usize = 16;
    (len.div_ceil(LINE) | 1) * LINE
}

/// What the last vector may take beyond the end of what counts.
fn slack(conv: &Conv) -> usize {
    conv.instruction_set.lanes()
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

/// How the gradient of the output becomes that of the input: each plane of the input is a correlation
/// of the output with the part of the kernel that meets it, turned around.
struct InputGradient {
    /// The output, with zeros around it.
    source: Grid,
    plane_len: usize,
    /// The planes of the input, and what makes them.
    planes: Vec<(Grid, Correlation)>,
}

impl InputGradient {
    fn new(conv: &Conv, weight: &[f32]) -> Self {
        let (stride, padding, reach) = (conv.stride, conv.padding, conv.reach());
        // The first and the last position in a plane that lies on a pixel.
        let first = padding / stride;
        let count = |size: usize| (padding + size - 1) / stride - first + 1;
        let (rows, columns) = (count(conv.height), count(conv.width));
        let row_len = columns + reach - 1;
        let origin = first as isize - (reach - 1) as isize;
        let source = Grid {
            rows: rows + reach - 1,
            columns: row_len,
            row_len,
            step: 1,
            top: origin,
            left: origin,
        };
        let plane_len = plane_len(source.len());
        let kernel_len = conv.kernel_size * conv.kernel_size;
        let phases = conv.phases();
        let planes = (0..phases * phases).map(|i| {
            let phase = [i / phases, i % phases];
            let taps: Vec<_> = conv.taps().enumerate().collect();
            let taps = taps.into_iter().filter(|(_, (of, _))| *of == phase);
            let taps: Vec<_> = taps.map(|(tap, (_, at))| (tap, at)).collect();
            let channels = 0..conv.channels_out;
            let offsets = channels.flat_map(|channel| {
                taps.iter().map(move |(_, [row, column])| {
                    let row = reach - 1 - row;
                    channel * plane_len + row * row_len + reach - 1 - column
                })
            });
            let offsets = offsets.collect();
            let weight = |channel_in: usize, tap: usize| {
                let (channel_out, tap) = (tap / taps.len(), taps[tap % taps.len()].0);
                weight[(channel_out * conv.channels_in + channel_in) * kernel_len + tap]
            };
            let sums = Correlation::new(conv.instruction_set, conv.channels_in, offsets, weight);
            let origin = |phase: usize| (first * stride + phase) as isize - padding as isize;
            let grid = Grid {
                rows,
                columns,
                row_len,
                step: stride,
                top: origin(phase[0]),
                left: origin(phase[1]),
            };
            (grid, sums)
        });
        Self {
            source,
            plane_len,
            planes: planes.collect(),
        }
    }
}

/// The backward pass of some images.
struct Backward<'a> {
    conv: &'a Conv,
    layout: &'a InputLayout,
    offsets: &'a [usize],
    input: &'a [f32],
    grad_output: &'a [f32],
    grad_input: Option<(&'a mut [f32], &'a InputGradient)>,
}

impl WithSimd for Backward<'_> {
    type Output = (Vec<f32>, Vec<f32>);

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Self::Output {
        if let Some((grad_input, gradient)) = self.grad_input.take() {
            self.input_gradient(simd, gradient, grad_input);
        }
        let mut grad_bias = vec![0.0; self.conv.channels_out];
        for image in self.grad_output.chunks_exact(self.conv.out_len()) {
            let channels = image.chunks_exact(self.conv.out_pixels());
            for (bias, channel) in grad_bias.iter_mut().zip(channels) {
                *bias += sum(channel, |grad| grad);
            }
        }
        (self.weight_gradient(simd), grad_bias)
    }
}

/// Vectors of a plane that make the start and the end of a sum worth it: where one image has fewer,
/// several are summed up together.
const VECTORS_OF_SUM: usize = 96;

impl Backward<'_> {
    #[inline(always)]
    fn weight_gradient<S: Simd>(&self, simd: S) -> Vec<f32> {
        let (conv, layout) = (self.conv, self.layout);
        let grid = conv.output_grid();
        let rows = conv.instruction_set.rows();
        let plane_len = plane_len(grid.len());
        let grads_len = conv.channels_out.next_multiple_of(rows) * plane_len + slack(conv);
        let images = (VECTORS_OF_SUM * S::F32_LANES).div_ceil(grid.len());
        let images = images.min(self.input.len() / conv.image_len());
        let mut planes = vec![0.0; images * layout.len];
        let mut grads = vec![0.0; images * grads_len];
        let mut sums = vec![0.0; conv.channels_out * conv.patch_len()];
        let inputs = self.input.chunks(images * conv.image_len());
        for (input, grad_output) in inputs.zip(self.grad_output.chunks(images * conv.out_len())) {
            let images = input.chunks_exact(conv.image_len());
            let count = images.len();
            for (image, planes) in images.zip(planes.chunks_exact_mut(layout.len)) {
                layout.gather(conv, image, planes);
            }
            let images = grad_output.chunks_exact(conv.out_len());
            for (image, grads) in images.zip(grads.chunks_exact_mut(grads_len)) {
                let channels = image.chunks_exact(conv.out_pixels());
                for (channel, grads) in channels.zip(grads.chunks_exact_mut(plane_len)) {
                    grid.gather(channel, grid.columns, grads);
                }
            }
            let products = Products {
                source: Planes {
                    numbers: &planes,
                    image_len: layout.len,
                },
                offsets: self.offsets,
                grads: Planes {
                    numbers: &grads,
                    image_len: grads_len,
                },
                plane_len,
                len: grid.len(),
                images: count,
            };
            match rows {
                8 => products.add::<S, 8>(simd, &mut sums),
                _ => products.add::<S, 4>(simd, &mut sums),
            }
        }
        sums
    }

    #[inline(always)]
    fn input_gradient<S: Simd>(&self, simd: S, gradient: &InputGradient, grad_input: &mut [f32]) {
        let conv = self.conv;
        // A stride beyond the kernel leaves pixels out.
        grad_input.fill(0.0);
        let source_len = conv.channels_out * gradient.plane_len + slack(conv);
        let (mut source, mut sums) = (vec![0.0; source_len], Vec::new());
        let images = self.grad_output.chunks_exact(conv.out_len());
        for (image, grad_image) in images.zip(grad_input.chunks_exact_mut(conv.image_len())) {
            let channels = image.chunks_exact(conv.out_pixels());
            for (channel, plane) in channels.zip(source.chunks_exact_mut(gradient.plane_len)) {
                gradient.source.gather(channel, conv.out_width(), plane);
            }
            for (grid, correlation) in &gradient.planes {
                let put = |channel: usize, numbers: &[f32]| {
                    let pixels = conv.height * conv.width;
                    let grad_plane = &mut grad_image[channel * pixels..][..pixels];
                    grid.scatter(numbers, grad_plane, conv.width);
                };
                correlation.apply(simd, &source, &[], grid.len(), &mut sums, put);
            }
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
            (6, [3, 9], [7, 7], [3, 1, 2]),
            (3, [8, 4], [6, 6], [1, 0, 2]),
            (1, [2, 3], [1, 1], [1, 0, 1]),
        ] {
            is_a_convolution(images, conv(channels, size, kernel));
        }
        is_a_convolution(0, conv([1, 2], [3, 3], [3, 1, 1]));
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
