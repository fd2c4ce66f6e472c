//! A program that logs: it says each step when the calls that log it have returned.
//!
//! ```text
//! faults log DIRECTORY [append=STEP] [last=STEP] [panic=STEP] [buffer=BYTES] [keep=BYTES]
//!     [rotate=BYTES] [wait=1] [peak=STEP]
//! ```
//!
//! `wait` waits for the end of standard input before the log is ended. `peak` says no step; after that
//! one and after the last it says how much memory the program has taken so far.

use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use cnn_tb::tb::writer::WriterOptions;
use cnn_tb::tb::{Durability, SummaryWriter, WriteError};

/// What is logged at each step.
pub const TAGS: [&str; 2] = ["loss", "accuracy"];

/// The value of a step.
pub fn value(step: i64) -> f32 {
    1.0 / step as f32
}

/// Logs until the step `last`, for ever without one. After an error, which goes to standard error, the
/// exit code is 2.
pub fn log(directory: &Path, options: &[&str]) -> ExitCode {
    match try_to_log(directory, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn try_to_log(directory: &Path, options: &[&str]) -> Result<(), Box<dyn Error>> {
    let option = |name: &str| -> Option<i64> {
        let values = options.iter().filter_map(|option| option.split_once('='));
        let mut values = values.filter(|(found, _)| *found == name);
        values.next().map(|(_, value)| value.parse().unwrap())
    };
    let mut writer_options = WriterOptions::new();
    if let Some(bytes) = option("buffer") {
        writer_options = writer_options.durability(Durability::Buffered {
            bytes: bytes as usize,
            interval: Duration::from_secs(3600),
        });
    }
    if let Some(bytes) = option("keep") {
        writer_options = writer_options.keep_unwritten(bytes as usize);
    }
    if let Some(bytes) = option("rotate") {
        writer_options = writer_options.max_file_bytes(bytes as u64);
    }
    let first = option("append").unwrap_or(1);
    let writer = match option("append") {
        Some(step) => writer_options.append(directory, step)?,
        None => writer_options.create(directory)?,
    };
    writer.add_text(
        "about",
        "what is logged before a fault is there after it",
        0,
    )?;
    println!("begun");
    let (last, peak) = (option("last").unwrap_or(i64::MAX), option("peak"));
    for step in first..=last {
        log_step(&writer, step)?;
        match peak {
            None => println!("step {step}"),
            Some(peak) if step == peak || step == last => println!("peak {}", peak_kib()),
            Some(_) => {}
        }
        if option("panic") == Some(step) {
            panic!("on purpose");
        }
    }
    if option("wait").is_some() {
        println!("waiting");
        io::copy(&mut io::stdin(), &mut io::sink())?;
    }
    Ok(writer.finish()?)
}

/// The most memory that this process has had so far, as Linux counts it.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

fn log_step(writer: &SummaryWriter, step: i64) -> Result<(), WriteError> {
    TAGS.iter()
        .try_for_each(|tag| writer.add_scalar(tag, value(step), step))
}
