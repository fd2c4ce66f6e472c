//! `make faults`: injects faults into trainings and logging programs, and prints what was lost.
//!
//! ```text
//! faults CNN_TB [FAULT…]
//! ```
//!
//! Injects the faults whose names contain one of the texts, all without one. One table goes to standard output. The exit code is 1 where something was lost that should not have
//! been, or where anything went otherwise than docs/reliability.md promises. TensorBoard is the one in
//! `.venv`, or what CNN_TB_TENSORBOARD names.

#![allow(
    clippy::unwrap_used,
    reason = "a fault that goes wrong panics, as a test does"
)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod disk;
mod logger;
mod logging;
#[path = "../program/mod.rs"]
#[allow(dead_code, reason = "the tests ask more of it")]
mod program;
#[path = "../tensorboard/server.rs"]
#[allow(dead_code, reason = "the tests ask more of it")]
mod server;
mod shown;
mod training;

use std::env;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use bench::{Bench, Outcome};

/// The name of a fault, and what injects it.
type Fault = (&'static str, fn(&Bench) -> Outcome);

/// What is done, in the order of the table.
const FAULTS: [Fault; 20] = [
    ("training: kill -9, resumed", training::killed),
    ("training: SIGINT, resumed", training::interrupted),
    ("training: SIGTERM, resumed", training::terminated),
    ("training: fork killed, resumed", training::fork_killed),
    (
        "training: another one in its directory",
        training::two_at_once,
    ),
    (
        "training: its directory removed",
        training::directory_removed,
    ),
    (
        "training: standard output full or closed",
        training::output_gone,
    ),
    (
        "training: disk full, freed, resumed",
        disk::training_resumed,
    ),
    (
        "training: disk full, freed meanwhile",
        disk::training_goes_on,
    ),
    ("training: file system read-only", disk::training_read_only),
    ("logger: kill -9, each record", logging::killed),
    ("logger: kill -9, buffered", logging::killed_buffered),
    ("logger: SIGINT and SIGTERM", logging::signalled),
    ("logger: panic, buffered", logging::panicked),
    (
        "logger: no byte beyond the nth, for all n",
        disk::every_byte,
    ),
    ("logger: disk full, freed, continued", disk::logger_full),
    ("logger: disk full, freed, records kept", disk::logger_keeps),
    ("logger: file system read-only", disk::logger_read_only),
    ("logger: clock set back", logging::clock_set_back),
    ("logger: ten million scalars", logging::long),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["log", directory, ref options @ ..] => logger::log(Path::new(directory), options),
        ["inside", program, ref only @ ..] => inject(program.into(), only),
        [program, ref only @ ..] => enter(program, only),
        _ => {
            eprintln!("usage: faults CNN_TB [FAULT…]");
            ExitCode::from(2)
        }
    }
}

/// Goes on in a mount namespace of its own, where file systems can be mounted that nobody else sees;
/// without one where the system has none. Signals that whoever started us ignores, as a shell has its
/// background jobs do, are not ignored any more: they are among the faults.
fn enter(program: &str, only: &[&str]) -> ExitCode {
    let unshare = ["unshare", "--map-root-user", "--mount", "--"];
    let mut probe = Command::new(unshare[0]);
    let probe = probe.args(&unshare[1..]).arg("true").stderr(Stdio::null());
    let has_namespaces = probe.status().is_ok_and(|status| status.success());
    let mut command = Command::new("env");
    command.args(["--default-signal", "--"]);
    if has_namespaces {
        command.args(unshare);
    }
    command.arg(env::current_exe().unwrap());
    let error = command.args(["inside", program]).args(only).exec();
    eprintln!("cannot start {command:?}: {error}");
    ExitCode::from(2)
}

fn inject(program: PathBuf, only: &[&str]) -> ExitCode {
    let bench = Bench::new(&program);
    println!("| fault | times | lost | outcome |\n|---|---|---|---|");
    let mut all = true;
    let is_asked = |fault: &str| only.is_empty() || only.iter().any(|text| fault.contains(text));
    for (fault, inject) in FAULTS.iter().filter(|(fault, _)| is_asked(fault)) {
        all &= bench::print_row(fault, || inject(&bench));
    }
    // Last, over all that the faults have left behind.
    all &= bench::print_row("what is left, in stock TensorBoard", || {
        shown::shown(&bench)
    });
    match all {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
