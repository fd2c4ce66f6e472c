//! The input gradient of a convolution.

use pulp::{Simd, WithSimd};

use super::Conv;
use super::correlation::Correlation;
use super::fast::Fast;
use super::grid::Grid;
use super::layout::{plane_len, slack};

/// How the gradient of the input is computed.
pub enum InputGradient {
    /// As the plain sum.
    Plain(Plain),
    /// By Winograd's algorithm.
    Fast(Fast),
}

impl InputGradient {
    /// For the sizes and the weight of a convolution, and these numbers.
    pub fn new(conv: &Conv, weight: &[f32], grad_output: &[f32]) -> Self {
        match Fast::backward(conv, weight, grad_output) {
            Some(fast) => Self::Fast(fast),
            None => Self::Plain(Plain::new(conv, weight)),
        }
    }

    /// Computes the gradient of some images' input.
    pub fn of(&self, conv: &Conv, grad_output: &[f32], grad_input: &mut [f32]) {
        match self {
            Self::Plain(plain) => conv.instruction_set.run(Shard {
                plain,
                conv,
                grad_output,
                grad_input,
            }),
            Self::Fast(fast) => fast.run(grad_output, &[], grad_input),
        }
    }
}

struct Shard<'a> {
    plain: &'a Plain,
    conv: &'a Conv,
    grad_output: &'a [f32],
    grad_input: &'a mut [f32],
}

impl WithSimd for Shard<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.plain
            .apply(simd, self.conv, self.grad_output, self.grad_input);
    }
}

/// How the gradient of the output becomes that of the input: each plane of the input is a correlation
/// of the output with the part of the kernel that meets it, turned around.
pub struct Plain {
    /// The output, with zeros around it.
    source: Grid,
    plane_len: usize,
    /// The planes of the input, and what makes them.
    planes: Vec<(Grid, Correlation)>,
}

impl Plain {
    /// For the sizes and the weight of a convolution.
    fn new(conv: &Conv, weight: &[f32]) -> Self {
        // The first and the last position in a plane that lies on a pixel.
        let first = conv.padding / conv.stride;
        let count = |size: usize| (conv.padding + size - 1) / conv.stride - first + 1;
        let rest = conv.reach() - 1;
        let (rows, columns) = (count(conv.height), count(conv.width));
        let source = Grid {
            rows: rows + rest,
            columns: columns + rest,
            row_len: columns + rest,
            step: 1,
            top: first as isize - rest as isize,
            left: first as isize - rest as isize,
        };
        let mut gradient = Self {
            source,
            plane_len: plane_len(source.len()),
            planes: Vec::new(),
        };
        let phases = conv.phases();
        for phase in (0..phases * phases).map(|i| [i / phases, i % phases]) {
            let origin =
                |i: usize| (first * conv.stride + phase[i]) as isize - conv.padding as isize;
            let grid = Grid {
                rows,
                columns,
                row_len: source.row_len,
                step: conv.stride,
                top: origin(0),
                left: origin(1),
            };
            let correlation = gradient.correlation(conv, weight, phase);
            gradient.planes.push((grid, correlation));
        }
        gradient
    }

    /// What makes the planes of a phase, one for each channel of the input.
    fn correlation(&self, conv: &Conv, weight: &[f32], phase: [usize; 2]) -> Correlation {
        let taps = conv.taps().enumerate();
        let taps: Vec<_> = taps.filter(|(_, (of, _))| *of == phase).collect();
        let rest = conv.reach() - 1;
        let offsets = (0..conv.channels_out).flat_map(|channel| {
            taps.iter().map(move |(_, (_, [row, column]))| {
                channel * self.plane_len + (rest - row) * self.source.row_len + rest - column
            })
        });
        let kernel_len = conv.kernel_size * conv.kernel_size;
        let weight = |channel_in: usize, tap: usize| {
            let (channel_out, (tap, _)) = (tap / taps.len(), taps[tap % taps.len()]);
            weight[(channel_out * conv.channels_in + channel_in) * kernel_len + tap]
        };
        Correlation::new(conv.channels_in, offsets.collect(), weight)
    }

    /// Computes the gradient of some images' input.
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, conv: &Conv, grad_output: &[f32], grad_input: &mut [f32]) {
        if conv.stride > conv.kernel_size {
            // Some pixels are in no window.
            grad_input.fill(0.0);
        }
        let source_len = conv.channels_out * self.plane_len + slack(conv);
        let (mut source, mut sums) = (vec![0.0; source_len], Vec::new());
        let images = grad_output.chunks_exact(conv.out_len());
        for (image, grad_image) in images.zip(grad_input.chunks_exact_mut(conv.image_len())) {
            let channels = image.chunks_exact(conv.out_pixels());
            for (channel, plane) in channels.zip(source.chunks_exact_mut(self.plane_len)) {
                self.source.gather(channel, conv.out_width(), plane);
            }
            for (grid, correlation) in &self.planes {
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
