//! The command line: parse, run one subcommand, turn its outcome into an exit code.

mod compare;
mod completions;
#[cfg(feature = "train")]
mod dataset;
mod doctor;
#[cfg(feature = "train")]
mod eval;
mod export;
mod list;
mod man;
#[cfg(feature = "train")]
mod network;
mod output;
mod plot;
#[cfg(feature = "train")]
mod predict;
mod progress;
mod ranking;
mod screen;
mod selection;
mod show;
mod table;
#[cfg(feature = "train")]
mod train;
#[cfg(feature = "train")]
mod trained;
// The run tools alone do not need all of it.
#[cfg_attr(not(feature = "train"), allow(dead_code))]
mod units;
mod values;

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

/// A CNN trainer whose runs stock TensorBoard shows, and tools that read any TensorBoard run.
#[derive(Debug, Parser)]
#[command(name = "cnn-tb", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[cfg(feature = "train")]
const EXAMPLES: &str = "\
Examples:
  cnn-tb train --logdir runs/exp1
  cnn-tb compare runs";

#[cfg(not(feature = "train"))]
const EXAMPLES: &str = "\
Examples:
  cnn-tb compare runs
  cnn-tb compare runs/exp1 runs/exp2";

#[derive(Debug, Subcommand)]
enum Command {
    #[cfg(feature = "train")]
    Train(Box<train::Args>),
    #[cfg(feature = "train")]
    Network(network::Args),
    #[cfg(feature = "train")]
    Eval(eval::Args),
    #[cfg(feature = "train")]
    Predict(predict::Args),
    Ls(list::Args),
    Show(show::Args),
    Compare(compare::Args),
    Plot(plot::Args),
    Export(export::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// How a subcommand ended, other than by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// What was asked for is done.
    Done = 0,
    /// The question's answer is "no": a check failed, nothing was found.
    No = 1,
    /// Some of it could not be done; the errors were said as they came.
    Failed = 2,
    /// The user stopped it (Ctrl-C).
    Interrupted = 130,
}

/// The exit code of every error, clap's included.
const ERROR: u8 = 2;

/// Runs the program over the process' arguments.
pub fn run() -> ExitCode {
    let outcome = match Cli::try_parse() {
        Ok(cli) => dispatch(cli),
        Err(error) => {
            // Help and version come this way too, with exit code 0 and for stdout.
            let code = if error.use_stderr() { ERROR } else { 0 };
            return match error.print() {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(ERROR),
                _ => ExitCode::from(code),
            };
        }
    };
    match outcome {
        Ok(outcome) => ExitCode::from(outcome as u8),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::from(ERROR)
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<Outcome> {
    match cli.command {
        None => {
            Cli::command().print_help()?;
            Ok(Outcome::Done)
        }
        #[cfg(feature = "train")]
        Some(Command::Train(args)) => train::run(*args),
        #[cfg(feature = "train")]
        Some(Command::Network(args)) => network::run(&args),
        #[cfg(feature = "train")]
        Some(Command::Eval(args)) => eval::run(&args),
        #[cfg(feature = "train")]
        Some(Command::Predict(args)) => predict::run(&args),
        Some(Command::Ls(args)) => list::run(&args),
        Some(Command::Show(args)) => show::run(&args),
        Some(Command::Compare(args)) => compare::run(&args),
        Some(Command::Plot(args)) => plot::run(&args),
        Some(Command::Export(args)) => export::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Completions(args)) => completions::run(&args, Cli::command()),
        Some(Command::Man(args)) => man::run(&args, Cli::command()),
    }
}

/// Whether the reader of our standard output has seen enough (`cnn-tb … | head`): not an error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_ends_with_two_examples() {
        let mut root = Cli::command();
        root.build();
        let subcommands = root.get_subcommands().filter(|c| c.get_name() != "help");
        for command in subcommands.chain([&root]) {
            let mut command = command.clone();
            for help in [command.render_help(), command.render_long_help()] {
                let help = help.to_string();
                let (_, examples) = help.rsplit_once("Examples:\n").unwrap_or_default();
                let lines: Vec<&str> = examples.trim_end().lines().collect();
                assert_eq!(lines.len(), 2, "{help}");
                assert!(lines.iter().all(|line| line.starts_with("  cnn-tb ")));
            }
        }
    }
}
