//! The pooling behind a convolution that has output channels side by side in a vector.

use pulp::Simd;
use pulp::bytemuck::cast_slice;

use super::STOPPED;
use crate::nn::kernel::channels::{Output, Sink, Sizes, put_planes};
use crate::nn::kernel::simd::pool_relu;

/// The pooled planes of some images, and their winner bytes.
pub struct PooledPlanes<'a> {
    pub output: &'a mut [f32],
    pub winners: &'a mut [u8],
}

impl<'a> Output for PooledPlanes<'a> {
    const TAKES_PLAIN: bool = true;
    type Sink<S: Simd> = Pooled<'a, S>;

    fn sink<S: Simd>(self, simd: S, sizes: &Sizes, vectors: usize) -> Pooled<'a, S> {
        let (height, width) = (sizes.rows / 2, sizes.columns / 2);
        let pixels = height * width;
        Pooled {
            height,
            width,
            channels: sizes.channels_out,
            largest: vec![simd.splat_f32s(0.0); vectors * pixels],
            winners: vec![simd.splat_u32s(0); vectors * pixels.div_ceil(4)],
            planes: self,
        }
    }
}

/// The pooled image of a block of channels: for one vector of channels after the other its pixels.
pub struct Pooled<'a, S: Simd> {
    height: usize,
    width: usize,
    channels: usize,
    largest: Vec<S::f32s>,
    /// The winner bytes of four pixels in each number, the first one's lowest.
    winners: Vec<S::u32s>,
    planes: PooledPlanes<'a>,
}

impl<S: Simd> Sink<S> for Pooled<'_, S> {
    #[inline(always)]
    fn rows<const COLUMNS: usize>(
        &mut self,
        simd: S,
        vector: usize,
        [y, x]: [usize; 2],
        [upper, lower]: [&[S::f32s; COLUMNS]; 2],
        may_be_nan: bool,
    ) {
        let (y, x) = (y / 2, x / 2);
        if y >= self.height {
            return;
        }
        let pixels = self.height * self.width;
        let largest = &mut self.largest[vector * pixels..][..pixels];
        let winners = &mut self.winners[vector * pixels.div_ceil(4)..][..pixels.div_ceil(4)];
        let pairs = upper
            .as_chunks::<2>()
            .0
            .iter()
            .zip(lower.as_chunks::<2>().0);
        for (x, (upper, lower)) in (x..self.width).zip(pairs) {
            let window = [upper[0], upper[1], lower[0], lower[1]];
            let (number, winner) = pool_relu(simd, window, may_be_nan, STOPPED);
            let pixel = y * self.width + x;
            largest[pixel] = number;
            let shift = simd.splat_u32s(8 * (pixel % 4) as u32);
            let byte = simd.wrapping_dyn_shl_u32s(winner, shift);
            winners[pixel / 4] = simd.or_u32s(winners[pixel / 4], byte);
        }
    }

    #[inline(always)]
    fn put(&mut self, simd: S, image: usize, channel: usize) {
        let pixels = self.height * self.width;
        let first = (image * self.channels + channel) * pixels;
        let block = first..(image + 1) * self.channels * pixels;
        put_planes::<S>(
            &self.largest,
            pixels,
            &mut self.planes.output[block.clone()],
        );
        let planes = self.planes.winners[block].chunks_mut(S::F32_LANES * pixels);
        for (winners, planes) in self.winners.chunks_exact(pixels.div_ceil(4)).zip(planes) {
            put_bytes::<S>(cast_slice(winners), planes.chunks_exact_mut(pixels));
        }
        self.winners.fill(simd.splat_u32s(0));
    }
}

/// Puts bytes, four of a lane in each number, into a plane for each lane.
#[inline(always)]
fn put_bytes<'a, S: Simd>(numbers: &[u32], planes: impl Iterator<Item = &'a mut [u8]>) {
    for (lane, plane) in planes.enumerate() {
        let mut numbers = numbers[lane..].iter().step_by(S::F32_LANES);
        let (fours, rest) = plane.as_chunks_mut::<4>();
        for (four, number) in fours.iter_mut().zip(&mut numbers) {
            *four = number.to_le_bytes();
        }
        if let Some(number) = numbers.next() {
            rest.copy_from_slice(&number.to_le_bytes()[..rest.len()]);
        }
    }
}
