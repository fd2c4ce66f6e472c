//! Our side of `make bench-read`: writes logdirs to read, and reads them.
//!
//! ```text
//! read-peer write DIRECTORY RUNS POINTS
//! read-peer read DIRECTORY
//! ```
//!
//! `write` makes RUNS runs of POINTS scalars each, ten series that take turns as in a training that
//! logs ten numbers a step. `read` reads every point and prints `{"points": …}`.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use cnn_tb::tb::{Durability, Logdir, WriterOptions};

const TAGS: [&str; 10] = [
    "train/loss",
    "train/accuracy",
    "train/learning_rate",
    "train/gradient_norm",
    "validation/loss",
    "validation/accuracy",
    "performance/images_per_sec",
    "performance/memory_mb",
    "weights/norm",
    "weights/update_ratio",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["write", directory, runs, points] => write(directory, runs, points),
        ["read", directory] => read(directory),
        _ => Err("usage: read-peer write DIRECTORY RUNS POINTS | read DIRECTORY".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn write(directory: &str, runs: &str, points: &str) -> Result<(), Box<dyn Error>> {
    let (runs, points): (usize, usize) = (runs.parse()?, points.parse()?);
    for run in 0..runs {
        let buffered = Durability::Buffered {
            bytes: 1 << 20,
            interval: Duration::from_secs(60),
        };
        let options = WriterOptions::new().durability(buffered);
        let writer = options.create(format!("{directory}/run{run:04}"))?;
        for point in 0..points {
            let step = point / TAGS.len();
            let value = 1.0 / (step + run + 1) as f32;
            writer.add_scalar(TAGS[point % TAGS.len()], value, step)?;
        }
        writer.finish()?;
    }
    Ok(())
}

fn read(directory: &str) -> Result<(), Box<dyn Error>> {
    let mut points = 0;
    for run in Logdir::open(directory)?.runs()? {
        points += run
            .scalar_series()
            .map(|(_, points)| points.len())
            .sum::<usize>();
    }
    println!("{{\"points\": {points}}}");
    Ok(())
}
