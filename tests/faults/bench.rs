//! What the faults have in common: programs, the runs that are left, and rows of the table.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, panic};

use crate::program::Dir;

/// The programs that suffer, and what is left of it.
pub struct Bench {
    /// `cnn-tb`.
    pub program: PathBuf,
    /// This program, which is also one that logs.
    pub itself: PathBuf,
    /// Runs that TensorBoard is asked about at the end.
    pub left: Dir,
}

/// How a fault went.
pub struct Outcome {
    /// How often it was injected.
    pub times: usize,
    /// What was lost.
    pub lost: String,
    /// What happened instead.
    pub text: String,
}

impl Outcome {
    /// Nothing was lost.
    pub fn safe(times: usize, text: impl Into<String>) -> Self {
        Self {
            times,
            lost: "nothing".to_owned(),
            text: text.into(),
        }
    }

    /// The fault cannot be injected on this machine.
    pub fn impossible(why: impl Into<String>) -> Self {
        Self {
            times: 0,
            lost: "–".to_owned(),
            text: format!("not possible here: {}", why.into()),
        }
    }
}

impl Bench {
    pub fn new(program: &Path) -> Self {
        let program = fs::canonicalize(program)
            .unwrap_or_else(|error| panic!("cannot find {}: {error}", program.display()));
        Self {
            itself: env::current_exe().unwrap(),
            left: Dir::new(&program),
            program,
        }
    }

    /// A directory in which `cnn-tb` is run.
    pub fn dir(&self) -> Dir {
        Dir::new(&self.program)
    }

    /// Keeps a copy of the run in `path` for TensorBoard, as `name`.
    pub fn keep(&self, path: &Path, name: &str) {
        self.left
            .copy(path.to_str().unwrap(), &format!("runs/{name}"));
    }

    /// This program as one that logs, see [`crate::logger`].
    pub fn logger(&self, directory: &Path, options: &[String]) -> Command {
        let mut command = Command::new(&self.itself);
        command.arg("log").arg(directory).args(options);
        command
    }
}

/// Injects a fault and prints its row; whether it went as promised.
pub fn print_row(fault: &str, inject: impl FnOnce() -> Outcome) -> bool {
    // What is asserted on the way says where and why on standard error.
    let went = panic::catch_unwind(panic::AssertUnwindSafe(inject));
    let is_as_promised = went.is_ok();
    let outcome = went.unwrap_or_else(|payload| Outcome {
        times: 1,
        lost: "unknown".to_owned(),
        text: format!("WRONG: {}", first_line(&*payload)),
    });
    let Outcome { times, lost, text } = outcome;
    println!("| {fault} | {times} | {lost} | {text} |");
    is_as_promised
}

fn first_line(payload: &(dyn Any + Send)) -> String {
    let text = (payload.downcast_ref::<String>().map(String::as_str))
        .or_else(|| payload.downcast_ref::<&str>().copied());
    let line = text.unwrap_or("a panic").lines().next().unwrap_or_default();
    line.replace('|', "\\|")
}
