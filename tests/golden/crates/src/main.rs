//! Writes `tests/golden/writers/tensorboard-rs/` and `tests/golden/writers/tboard/`.
//!
//! ```text
//! cargo run --manifest-path tests/golden/crates/Cargo.toml --target-dir target/golden -- \
//!     tests/golden/writers
//! ```
//!
//! tboard needs protobuf's `protoc` to be built. Both take the time from the system's clock, so that
//! other bytes come out each time; the names of the files are fixed.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use tboard::EventWriter;
use tensorboard_rs::summary_writer::SummaryWriter;

/// Right edges and counts of a histogram whose first and last buckets are empty.
const LIMITS: [f64; 5] = [-1.0, 0.5, 2.25, 4.0, f64::MAX];
const COUNTS: [f64; 5] = [0.0, 3.0, 0.0, 5.0, 0.0];
/// A white pixel.
const GIF: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02L\x01\0;";
/// Two samples.
const WAV: &[u8] =
    b"RIFF\x28\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\
    \x04\0\0\0\x00\x40\x00\xc0";

fn loss(step: usize) -> f32 {
    1.0 / (step + 1) as f32
}

fn tensorboard_rs(directory: &Path) {
    let mut writer = SummaryWriter::new(directory);
    for step in 0..3 {
        writer.add_scalar("loss", loss(step), step);
        // (minimum, maximum, count, sum, sum of squares)
        let (min, max, count) = (0.125, 3.75, 8.0);
        writer.add_histogram_raw(
            "weights", min, max, count, 16.0, 64.0, &LIMITS, &COUNTS, step,
        );
        writer.add_image("picture", &[50 * step as u8; 24], &[3, 4, 2], step);
        let energies = [("kinetic".to_owned(), 0.25), ("potential".to_owned(), 0.75)];
        writer.add_scalars("energy", &HashMap::from(energies), step);
    }
    writer.add_scalar("loss", 9.0, 5);
    writer.flush();
}

fn tboard(directory: &Path) -> tboard::Result<()> {
    let mut writer = EventWriter::create(directory)?;
    for index in 0..3 {
        let step = index as i64;
        let (limits, counts) = (LIMITS.to_vec(), COUNTS.to_vec());
        writer.write_scalar(step, "loss", loss(index))?;
        writer.write_histo(
            step, "weights", 0.125, 3.75, 8.0, 16.0, 64.0, counts, limits,
        )?;
        writer.write_image(step, "picture", 1, 1, 3, GIF.to_vec())?;
    }
    writer.write_audio(1, "tone", "audio/wav", WAV.to_vec(), 2, 1, 8000.0)?;
    writer.write_tensor(2, "tensor", vec![0.5_f64])?;
    writer.write_scalar(5, "loss", 9.0)?;
    writer.flush()
}

/// Gives the event files below `directory` a name without time and host.
fn rename(directory: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            rename(&path)?;
        } else {
            fs::rename(
                &path,
                path.with_file_name("events.out.tfevents.1700000000.host.1.0"),
            )?;
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let writers = PathBuf::from(std::env::args().nth(1).ok_or("usage: golden DIRECTORY")?);
    let directories = ["tensorboard-rs", "tboard"].map(|name| writers.join(name));
    for directory in &directories {
        // The first time there is none.
        let _ = fs::remove_dir_all(directory);
    }
    tensorboard_rs(&directories[0]);
    tboard(&directories[1])?;
    directories
        .iter()
        .try_for_each(|directory| rename(directory))?;
    Ok(())
}
