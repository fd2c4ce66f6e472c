//! `cnn-tb man`: manual pages.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap_mangen::Man;

use crate::cli::Outcome;
use crate::cli::output;

/// Print the manual page, or write one for each subcommand.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Write the pages into this directory: cnn-tb.1, cnn-tb-ls.1, …
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  cnn-tb man -o ~/.local/share/man/man1
  cnn-tb man | man -l -";

/// Runs the subcommand for the program that `command` describes.
pub fn run(args: &Args, mut command: clap::Command) -> anyhow::Result<Outcome> {
    let Some(directory) = &args.output else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        output::print(&String::from_utf8_lossy(&page))?;
        return Ok(Outcome::Done);
    };
    let failed = || format!("cannot write into {}", directory.display());
    fs::create_dir_all(directory).with_context(failed)?;
    command = command.disable_help_subcommand(true);
    clap_mangen::generate_to(command, directory).with_context(failed)?;
    Ok(Outcome::Done)
}
