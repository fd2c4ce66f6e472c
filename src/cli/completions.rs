//! `cnn-tb completions`: what a shell needs to complete our arguments.

use clap_complete::Shell;

use crate::cli::Outcome;
use crate::cli::output;

/// Print the script that completes arguments in a shell.
///
/// Bash: in ~/.local/share/bash-completion/completions/cnn-tb. Zsh: as _cnn-tb in a directory of
/// $fpath. Fish: in ~/.config/fish/completions/cnn-tb.fish.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  cnn-tb completions fish > ~/.config/fish/completions/cnn-tb.fish
  cnn-tb completions bash > ~/.local/share/bash-completion/completions/cnn-tb";

/// Runs the subcommand for the program that `command` describes.
pub fn run(args: &Args, mut command: clap::Command) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Done)
}
