//! The convolution as the plain sum, with output channels side by side in a vector.
//!
//! The sums of some columns of two rows stay in registers, a vector of channels for each pixel; every
//! multiply-add takes one number of the input for all channels of a vector.

use pulp::Simd;

use super::{Convolution, INSIDE, Pack, Sink, Sizes, Sources};

/// The weight (out, in, K, K) in blocks of channels: (block, in, K, K, lane).
pub fn pack(conv: &Sizes, weight: &[f32]) -> Pack {
    let taps = conv.taps();
    let mut pack = Pack::zeros(conv, taps, false);
    for (channel, weights) in weight.chunks_exact(taps).enumerate() {
        let (first, step) = pack.places(conv, taps, channel);
        let places = pack.weights.numbers_mut()[first..].iter_mut().step_by(step);
        for (place, weight) in places.zip(weights) {
            *place = *weight;
        }
    }
    pack
}

/// An image with zeros around it, so that no tap has to be tested.
pub struct Plain {
    pixels: Vec<f32>,
    width: usize,
    height: usize,
    /// Rows of the convolution's output.
    rows: usize,
    /// Columns of it, with those that fill up the last tile.
    columns: usize,
    /// The pixels that the weights take, in their order: (in, K, K).
    sources: Sources,
}

impl Plain {
    /// Room for an image that gives so many columns.
    pub fn new(conv: &Sizes, columns: usize) -> Self {
        let size = conv.kernel_size;
        let height = conv.height + 2 * conv.padding;
        let width = (columns + size - 1).max(conv.width + conv.padding);
        let tap = |channel: usize, ky: usize| (channel * height + ky) * width;
        let taps = (0..conv.taps()).map(|i| tap(i / (size * size), i / size % size) + i % size);
        Self {
            pixels: vec![0.0; conv.channels_in * width * height],
            width,
            height,
            rows: conv.rows,
            columns,
            sources: Sources {
                offsets: taps.collect(),
                below: width,
            },
        }
    }
}

impl<S: Simd, const COLUMNS: usize, const VECTORS: usize> Convolution<S, COLUMNS, VECTORS>
    for Plain
{
    #[inline(always)]
    fn fill(&mut self, _: S, conv: &Sizes, image: &[f32]) {
        let planes = image.chunks_exact(conv.height * conv.width);
        for (plane, padded) in planes.zip(self.pixels.chunks_exact_mut(self.width * self.height)) {
            let rows = padded.chunks_exact_mut(self.width).skip(conv.padding);
            for (row, padded) in plane.chunks_exact(conv.width).zip(rows) {
                padded[conv.padding..conv.padding + conv.width].copy_from_slice(row);
            }
        }
    }

    #[inline(always)]
    fn convolve(
        &mut self,
        simd: S,
        pack: &[f32],
        bias: [S::f32s; VECTORS],
        sink: &mut impl Sink<S>,
    ) {
        for y in (0..self.rows).step_by(2) {
            for column in (0..self.columns).step_by(COLUMNS) {
                let pixels = &self.pixels[y * self.width + column..];
                let sums = self
                    .sources
                    .sums::<S, 1, INSIDE, COLUMNS, VECTORS>(simd, pixels, pack, bias);
                for v in 0..VECTORS {
                    sink.rows(simd, v, [y, column], sums[v].each_ref(), true);
                }
            }
        }
    }
}
