//! A program written for the crate `tensorboard-rs`, on this one. What had to change is marked; the
//! rest is as it was. `tests/from_tensorboard_rs.rs` has the original and compares what both write.
//!
//! ```text
//! cargo run --example from_tensorboard_rs --no-default-features
//! tensorboard --logdir runs
//! ```

use std::error::Error;
use std::path::Path;

use cnn_tb::tb::image::Image;
use cnn_tb::tb::{Logdir, SummaryWriter}; // was: use tensorboard_rs::summary_writer::SummaryWriter;

fn main() -> Result<(), Box<dyn Error>> {
    log(&Logdir::next("runs", "swing")?)
}

/// A damped pendulum: its angle and its energies over time, how often it was where, and its path.
pub fn log(logdir: &Path) -> Result<(), Box<dyn Error>> {
    let writer = SummaryWriter::create(logdir)?; // was: let mut writer = SummaryWriter::new(logdir);
    for step in 0..STEPS {
        let (angle, speed) = (angle(step), speed(step));
        writer.add_scalar("swing/angle", angle, step)?; // was: without the ?
        writer.add_scalar("swing/speed", speed, step)?;
        // was: a HashMap<String, f32>, and a directory for each of its keys
        let energies = [("kinetic", speed * speed), ("potential", angle * angle)];
        writer.add_scalars("energy", energies, step)?;
    }
    let (limits, counts) = angles();
    let edges = [&[-1.0], &limits[..]].concat();
    // was: minimum, maximum, count, sum and sum of squares, then the right edges alone
    writer.add_histogram_raw("swing/angles", &edges, &counts, STEPS)?;
    let (pixels, width, height) = path();
    // was: writer.add_image("swing/path", &pixels, &[3, width, height], STEPS);
    let image = Image::from_u8_hwc(&pixels, [height, width, 3])?;
    writer.add_image("swing/path", &image, STEPS)?;
    writer.finish()?; // was: writer.flush();
    Ok(())
}

/// Points in time, 20 a second.
pub const STEPS: usize = 200;

/// In radians.
pub fn angle(step: usize) -> f32 {
    let time = step as f32 / 20.0;
    (-time / 5.0).exp() * (3.0 * time).cos()
}

/// By the difference from step to step.
pub fn speed(step: usize) -> f32 {
    (angle(step + 1) - angle(step)) * 20.0 / 3.0
}

/// Right edges of eight buckets that begin at -1, and how many angles lie in each.
pub fn angles() -> ([f64; 8], [f64; 8]) {
    let mut counts = [0.0; 8];
    for step in 0..STEPS {
        counts[((angle(step) + 1.0) * 4.0).clamp(0.0, 7.0) as usize] += 1.0;
    }
    (
        std::array::from_fn(|index| index as f64 / 4.0 - 0.75),
        counts,
    )
}

/// The curve in red on white: its bytes row by row (red, green, blue), its width and its height.
pub fn path() -> (Vec<u8>, usize, usize) {
    let (width, height) = (STEPS, 64);
    let mut pixels = vec![255; 3 * width * height];
    for x in 0..width {
        let y = ((1.0 - angle(x)) * 31.5) as usize;
        pixels[3 * (y * width + x)..][..3].copy_from_slice(&[214, 39, 40]);
    }
    (pixels, width, height)
}
