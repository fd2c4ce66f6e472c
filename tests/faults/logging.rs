//! Faults of programs that log.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicI64, Ordering};

use cnn_tb::tb::event_file::event_file_names;
use cnn_tb::tb::{Logdir, WriterOptions};

use crate::bench::{Bench, Outcome};
use crate::logger::{TAGS, value};
use crate::program::{Moments, send_signal};

/// How often a program is ended in one way.
const TIMES: usize = 20;
/// The most that a buffered writer holds back, in bytes.
const BUFFER: usize = 4096;

/// The steps of the run in `directory`, all of them from 1 on with the values that were logged.
pub fn steps(directory: &Path) -> usize {
    let runs = Logdir::open(directory).unwrap().runs().unwrap();
    let Some(run) = runs.first() else { return 0 };
    let mut least = usize::MAX;
    for tag in TAGS {
        let points = run.scalars(tag).unwrap_or_default();
        for (point, step) in points.iter().zip(1..) {
            assert_eq!((point.step, point.value), (step, value(step)), "{tag}");
        }
        least = least.min(points.len());
    }
    assert!(run.problems().all(|problem| problem.error.is_truncated()));
    least
}

/// Ten million scalars in files of 100 MB: memory does not grow with them.
pub fn long(bench: &Bench) -> Outcome {
    const LAST: usize = 5_000_000;
    // Not among those that TensorBoard is asked about.
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    let options = ["buffer=65536", "rotate=100000000", "peak=50000"];
    let mut options = options.map(str::to_owned).to_vec();
    options.push(format!("last={LAST}"));
    let output = bench.logger(&run, &options).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let peaks = stdout.lines().filter_map(|line| line.strip_prefix("peak "));
    let peaks: Vec<u64> = peaks.map(|peak| peak.parse().unwrap()).collect();
    let &[early, late] = &peaks[..] else {
        panic!("{stdout}");
    };
    assert!(early > 0 && late < early + 1024, "{early} KiB, then {late}");
    assert_eq!(steps(&run), LAST);
    let files = event_file_names(&run).unwrap().len();
    Outcome::safe(
        files,
        format!(
            "files that are one series; after 100,000 scalars the program has taken {early} KiB, after \
             10,000,000 {late}"
        ),
    )
}

/// Ends a program that logs with a signal after a random number of steps; how many steps it had said,
/// and where it logged.
fn end_with(
    bench: &Bench,
    name: &str,
    signal: &str,
    after: usize,
    options: &[String],
) -> (usize, PathBuf) {
    let directory = bench.left.path(&format!("runs/{name}"));
    let mut command = bench.logger(&directory, options);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if let Some(step) = line.unwrap().strip_prefix("step ") {
            said = step.parse().unwrap_or(said);
        }
        if said == after {
            send_signal(&child, signal);
        }
    }
    assert!(!child.wait().unwrap().success());
    assert!(said >= after, "{said} steps");
    (said, directory)
}

fn moments() -> impl Iterator<Item = usize> {
    let mut moments = Moments(9);
    (0..TIMES).map(move |_| 1 + (moments.next() * 500.0) as usize)
}

/// A step that was being said may be cut in the pipe: it counts as logged only if all of it came.
pub fn killed(bench: &Bench) -> Outcome {
    let mut total = 0;
    for (number, after) in moments().enumerate() {
        let name = format!("logger/killed{number}");
        let (said, directory) = end_with(bench, &name, "KILL", after, &[]);
        let found = steps(&directory);
        assert!(found >= said, "{found} of {said} steps");
        total += said;
    }
    Outcome::safe(
        TIMES,
        format!("all {total} steps whose calls returned are there"),
    )
}

pub fn killed_buffered(bench: &Bench) -> Outcome {
    // Whatever exceeds the buffer is handed over with it: no whole step more than fits can be held.
    let most = BUFFER / step_bytes(bench) + 1;
    let mut worst = 0;
    for (number, after) in moments().enumerate() {
        let name = format!("logger/buffered{number}");
        let options = [format!("buffer={BUFFER}")];
        let (said, directory) = end_with(bench, &name, "KILL", after, &options);
        worst = worst.max(said.saturating_sub(steps(&directory)));
    }
    assert!(
        worst <= most,
        "{worst} steps were lost, {most} fit in the buffer"
    );
    Outcome {
        times: TIMES,
        lost: format!("at most {worst} steps"),
        text: format!("no more than the buffer of {BUFFER} bytes held"),
    }
}

/// The bytes of a step below 128, whose number takes one byte.
fn step_bytes(bench: &Bench) -> usize {
    let [one, more] = [1, 101].map(|last| {
        let run = format!("runs/logger/steps{last}");
        let mut command = bench.logger(&bench.left.path(&run), &[format!("last={last}")]);
        assert!(command.output().unwrap().status.success());
        let files = bench.left.files(&run);
        files.values().map(Vec::len).sum::<usize>()
    });
    (more - one) / 100
}

/// Without a handler of its own a program ends at once, as from a kill.
pub fn signalled(bench: &Bench) -> Outcome {
    for signal in ["INT", "TERM"] {
        for (number, after) in moments().enumerate() {
            let name = format!("logger/{}{number}", signal.to_lowercase());
            let (said, directory) = end_with(bench, &name, signal, after, &[]);
            let found = steps(&directory);
            assert!(found >= said, "{signal}: {found} of {said} steps");
        }
    }
    Outcome::safe(2 * TIMES, "all steps whose calls returned are there")
}

/// The writer is dropped when the stack unwinds, and hands over what it holds.
pub fn panicked(bench: &Bench) -> Outcome {
    for (number, after) in moments().enumerate() {
        let directory = bench.left.path(&format!("runs/logger/panicked{number}"));
        let options = [format!("panic={after}"), format!("buffer={}", 1 << 20)];
        let mut command = bench.logger(&directory, &options);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(101), "{output:?}");
        assert_eq!(steps(&directory), after);
    }
    Outcome::safe(
        TIMES,
        "what was buffered is written while the stack unwinds",
    )
}

/// Each record seems to be older than the one before, and each file by a day.
pub fn clock_set_back(bench: &Bench) -> Outcome {
    const FILES: i64 = 5;
    const STEPS: i64 = 20;
    let directory = bench.left.path("runs/logger/clock");
    for file in 0..FILES {
        let now = AtomicI64::new(1_700_000_000 - 86_400 * file);
        let clock = move || now.fetch_sub(1, Ordering::Relaxed) as f64;
        let options = WriterOptions::new().clock(clock);
        let first = file * STEPS + 1;
        let writer = match file {
            0 => options.create(&directory).unwrap(),
            _ => options.append(&directory, first).unwrap(),
        };
        for step in first..first + STEPS {
            for tag in TAGS {
                writer.add_scalar(tag, value(step), step).unwrap();
            }
        }
        writer.close().unwrap();
    }
    assert_eq!(event_file_names(&directory).unwrap().len(), FILES as usize);
    assert_eq!(steps(&directory), (FILES * STEPS) as usize);
    Outcome::safe(
        FILES as usize,
        "files are named, and steps read, in the order they were logged",
    )
}
