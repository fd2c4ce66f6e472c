//! What `benches/read/read.py` measures of ours: opens a logdir, and prints how many points its scalars
//! have and how many seconds that took. `count write DIR RUNS POINTS` makes the logdir.

use std::env;
use std::error::Error;
use std::time::Instant;

use cnn_tb::tb::{Logdir, Run, WriterOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["write", directory, runs, points] => write(directory, runs.parse()?, points.parse()?),
        [directory] => count(directory),
        _ => Err("usage: count DIR, or count write DIR RUNS POINTS".into()),
    }
}

#[allow(clippy::print_stdout)]
fn count(directory: &str) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let runs = Logdir::open(directory)?.flat_runs()?;
    let points = |run: &Run| run.series().map(|series| series.points).sum::<usize>();
    let points: usize = runs.iter().map(points).sum();
    println!("{points} {}", began.elapsed().as_secs_f64());
    Ok(())
}

/// Two tags in turn, as trainings log them.
fn write(directory: &str, runs: usize, points: usize) -> Result<(), Box<dyn Error>> {
    for run in 0..runs {
        let options = WriterOptions::new().clock(|| 1.7e9);
        let writer = options.create(format!("{directory}/run{run:04}"))?;
        for index in 0..points {
            let tag = ["loss", "accuracy"][index % 2];
            writer.add_scalar(tag, 1.0 / (index + 1) as f32, index / 2)?;
        }
        writer.finish()?;
    }
    Ok(())
}
