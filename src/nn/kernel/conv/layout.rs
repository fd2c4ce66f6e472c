//! The planes of a padded image, as they lie in memory.

use super::Conv;
use super::grid::Grid;

/// How the planes of an image lie in memory.
pub struct InputLayout {
    /// The plane of each phase.
    grids: Vec<Grid>,
    /// Numbers from a plane to the next.
    plane_len: usize,
    /// Numbers of an image, with what vectors may take beyond its end.
    pub len: usize,
}

impl InputLayout {
    /// For the sizes of a convolution.
    pub fn new(conv: &Conv) -> Self {
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
    pub fn offsets(&self, conv: &Conv) -> Vec<usize> {
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

    /// Lays out an image; what is padding must be 0 already.
    #[inline(always)]
    pub fn gather(&self, conv: &Conv, image: &[f32], planes: &mut [f32]) {
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
pub fn plane_len(len: usize) -> usize {
    const LINE: usize = 16;
    (len.div_ceil(LINE) | 1) * LINE
}

/// What the last vector may take beyond the end of what counts.
pub fn slack(conv: &Conv) -> usize {
    conv.instruction_set.lanes()
}
