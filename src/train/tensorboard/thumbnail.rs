//! Small pictures of small images.

use crate::tb::image::{Image, ImageError};

/// Sides of what is drawn, in pixels, before it is enlarged: of larger images every n-th pixel is
/// taken.
const MAX_SIDE: usize = 128;

/// A grey picture of an image of `height` × `width` numbers from 0 to 1, thinned out to 128 pixels a
/// side at most and then enlarged by a whole number, so that it is `min_width` wide at least.
///
/// # Errors
/// Numbers of another count.
pub fn thumbnail(
    numbers: &[f32],
    [height, width]: [usize; 2],
    min_width: usize,
) -> Result<Image, ImageError> {
    let every = height.max(width).div_ceil(MAX_SIDE).max(1);
    let rows = numbers.chunks_exact(width.max(1)).step_by(every);
    let thinned: Vec<f32> = rows
        .flat_map(|row| row.iter().step_by(every).copied())
        .collect();
    let size = [height.div_ceil(every), width.div_ceil(every)];
    let image = Image::from_f32_hw(&thinned, size)?;
    image.scale(min_width.div_ceil(size[1].max(1)).max(1))
}
