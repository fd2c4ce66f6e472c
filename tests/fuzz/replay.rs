//! A parser on its corpus and on damaged copies of it: no panic, no hang, no more memory than is
//! allowed. It runs in a process of its own, since neither a hang nor memory that runs out can be
//! caught in this one.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::mutation::input;
use super::parsers::Parser;

/// Inputs of each parser, unless [`CASES`] says another number.
const DEFAULT_CASES: u64 = 5000;
/// How many inputs of each parser are tried.
const CASES: &str = "CNN_TB_FUZZ_CASES";
/// Set in the process that tries them: the file in which it writes the number of the case it is at.
const PROGRESS: &str = "CNN_TB_FUZZ_PROGRESS";

/// How many inputs are tried, and what they may take.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Of the whole process, for its data, its threads' stacks included.
    pub memory_kib: u64,
    pub case_time: Duration,
    /// How many inputs are tried.
    pub cases: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_kib: 64 * 1024,
            case_time: Duration::from_secs(10),
            cases: std::env::var(CASES).map_or(DEFAULT_CASES, |cases| cases.parse().unwrap()),
        }
    }
}

/// Tries the parser in a process that runs the test `test`, which calls this again.
pub fn replay(parser: &Parser, files: &[Vec<u8>], test: &str, limits: Limits) {
    if let Some(progress) = std::env::var_os(PROGRESS) {
        return run_cases(parser, files, limits.cases, Path::new(&progress));
    }
    let directory = scratch().unwrap();
    let [progress, output] = ["progress", "output"].map(|name| directory.path().join(name));
    fs::write(&progress, u64::MAX.to_le_bytes()).unwrap();
    let child = child(test, limits, directory.path(), [&progress, &output]);
    let end = watch(child, limits, &progress);
    let output = fs::read_to_string(&output).unwrap();
    let failure = match end {
        Ok(status) if status.success() && output.contains("1 passed") => return,
        Ok(status) => format!("ended with {status}"),
        Err(case_time) => format!("took more than {case_time:?}"),
    };
    let case = case_at(&progress);
    let kept = keep(parser, files, case);
    panic!(
        "parser {}, case {case} {failure}; its input is {}\n{output}",
        parser.name,
        kept.display()
    );
}

fn run_cases(parser: &Parser, files: &[Vec<u8>], cases: u64, progress: &Path) {
    let progress = File::options().write(true).open(progress).unwrap();
    for case in 0..cases {
        progress.write_all_at(&case.to_le_bytes(), 0).unwrap();
        (parser.parse)(&input(files, parser.format, case));
    }
}

/// A directory that no disk has to be waited for with, where the system has such.
fn scratch() -> io::Result<TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}

fn child(test: &str, limits: Limits, directory: &Path, [progress, output]: [&Path; 2]) -> Child {
    let output = File::create(output).unwrap();
    Command::new("sh")
        .args([
            "-c",
            "ulimit -d $1 && exec \"$0\" --exact \"$2\" --nocapture",
        ])
        .arg(std::env::current_exe().unwrap())
        .args([&limits.memory_kib.to_string(), test])
        .env(PROGRESS, progress)
        // What is left there when it is ended goes with the directory.
        .env("TMPDIR", directory)
        // A thread for each core would take a stack each.
        .env("RAYON_NUM_THREADS", "1")
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap()
}

/// Waits for the child; one that stays at a case for too long is ended.
fn watch(mut child: Child, limits: Limits, progress: &Path) -> Result<ExitStatus, Duration> {
    let (mut case, mut since) = (case_at(progress), Instant::now());
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(10));
        let now_at = case_at(progress);
        if now_at != case {
            (case, since) = (now_at, Instant::now());
        } else if since.elapsed() > limits.case_time {
            child.kill().unwrap();
            child.wait().unwrap();
            return Err(limits.case_time);
        }
    }
}

fn case_at(progress: &Path) -> u64 {
    let bytes = fs::read(progress).unwrap();
    u64::from_le_bytes(bytes[..].try_into().unwrap())
}

/// Writes the input of a case where it can be looked at.
fn keep(parser: &Parser, files: &[Vec<u8>], case: u64) -> PathBuf {
    let name = format!("fuzz-{}-{case}", parser.name);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, input(files, parser.format, case)).unwrap();
    path
}
