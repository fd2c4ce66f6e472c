//! The forward pass with output channels side by side in a vector: for layers with many.
//!
//! The sums of some columns of two rows stay in registers, a vector of channels for each pixel; every
//! multiply-add takes one number of the input for all channels of a vector. The whole image is then
//! pooled.

use pulp::{Simd, WithSimd};

use super::channels::{self, Block, Pooled, Sources};
use super::{ConvPool, Images};

/// The weight (out, in, K, K) in blocks of channels: (block, in, K, K, lane), zeros in the lanes that are
/// left over.
pub struct Pack {
    numbers: Vec<f32>,
    /// Vectors of a block.
    vectors: usize,
}

impl Pack {
    /// The weight of a layer.
    pub fn new(conv: &ConvPool, weight: &[f32]) -> Self {
        let (taps, lanes) = (conv.taps(), conv.instruction_set.lanes());
        let vectors = channels::vectors(conv);
        let block_lanes = vectors * lanes;
        let mut numbers = vec![0.0; conv.channels_out.div_ceil(block_lanes) * taps * block_lanes];
        for (channel, weights) in weight.chunks_exact(taps).enumerate() {
            let block = channel / block_lanes * taps * block_lanes;
            for (tap, weight) in weights.iter().enumerate() {
                numbers[block + tap * block_lanes + channel % block_lanes] = *weight;
            }
        }
        Self { numbers, vectors }
    }
}

/// The pass over some images.
pub struct Shard<'a> {
    pub conv: &'a ConvPool,
    pub pack: &'a Pack,
    pub bias: &'a [f32],
    pub images: Images<'a>,
}

impl WithSimd for Shard<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Two sums for each column and vector of channels, and registers for weights and a pixel. Fewer
        // than 8 sums would wait for each other.
        match self.pack.vectors {
            2 => self.run::<S, 3, 2>(simd),
            _ if S::REGISTER_COUNT >= 32 => self.run::<S, 14, 1>(simd),
            _ => self.run::<S, 6, 1>(simd),
        }
    }
}

impl Shard<'_> {
    #[inline(always)]
    fn run<S: Simd, const COLUMNS: usize, const VECTORS: usize>(self, simd: S) {
        let conv = self.conv;
        let (height, columns) = (2 * conv.out_height(), 2 * conv.out_width());
        let columns = columns.next_multiple_of(COLUMNS);
        let mut padded = Padded::new(conv, columns + conv.kernel_size - 1);
        let sources = sources(conv, &padded);
        let tiles = columns / COLUMNS;
        let zeros = [simd.splat_f32s(0.0); COLUMNS];
        let mut rows = vec![zeros; VECTORS * height * tiles];
        let mut pooled = Pooled::new(simd, conv, VECTORS);
        let lanes = VECTORS * S::F32_LANES;
        for (image, (output, winners)) in self.images.each(conv) {
            padded.fill(conv, image);
            let pack = (&self.pack.numbers[..], self.bias);
            for block in Block::each(conv, lanes, pack, (output, winners)) {
                let bias = block.bias(simd);
                for y in (0..height).step_by(2) {
                    for tile in 0..tiles {
                        let pixels = &padded.pixels[y * padded.width + tile * COLUMNS..];
                        let sums =
                            sources.sums::<S, COLUMNS, VECTORS>(simd, pixels, block.pack, bias);
                        for v in 0..VECTORS {
                            for dy in 0..2 {
                                rows[(v * height + y + dy) * tiles + tile] = sums[v][dy];
                            }
                        }
                    }
                }
                pooled.pool(simd, conv, rows.as_flattened());
                pooled.put(conv, block);
            }
        }
    }
}

/// An image with zeros around it, so that no tap has to be tested.
struct Padded {
    pixels: Vec<f32>,
    width: usize,
    height: usize,
}

impl Padded {
    /// Room for an image of at least so many columns.
    fn new(conv: &ConvPool, width: usize) -> Self {
        let height = conv.padded_height();
        let width = width.max(conv.width + conv.padding);
        Self {
            pixels: vec![0.0; conv.channels_in * width * height],
            width,
            height,
        }
    }

    /// Takes the place of the image before.
    fn fill(&mut self, conv: &ConvPool, image: &[f32]) {
        let planes = image.chunks_exact(conv.height * conv.width);
        for (plane, padded) in planes.zip(self.pixels.chunks_exact_mut(self.width * self.height)) {
            let rows = padded.chunks_exact_mut(self.width).skip(conv.padding);
            for (row, padded) in plane.chunks_exact(conv.width).zip(rows) {
                padded[conv.padding..conv.padding + conv.width].copy_from_slice(row);
            }
        }
    }
}

/// The pixels that the weights take, in their order: (in, K, K).
fn sources(conv: &ConvPool, padded: &Padded) -> Sources {
    let size = conv.kernel_size;
    let tap = |channel: usize, ky: usize| (channel * padded.height + ky) * padded.width;
    let taps = (0..conv.taps()).map(|i| tap(i / (size * size), i / size % size) + i % size);
    Sources {
        offsets: taps.collect(),
        below: padded.width,
    }
}
