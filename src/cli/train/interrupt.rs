//! Ctrl-C: the first asks the training to stop, the second stops the program.

use std::io::{self, Write as _};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

use crate::cli::Outcome;

/// From now on, what asks the program to end (on Unix also SIGTERM and SIGHUP) only sets the flag
/// that is returned; what asks again ends it.
pub fn listen(quiet: bool) -> anyhow::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    let on_signal = move || {
        if flag.swap(true, Ordering::Relaxed) {
            process::exit(Outcome::Interrupted as i32);
        }
        if !quiet {
            let text =
                "\nstopping after this batch; Ctrl-C again stops at once, without the weights\n";
            // Where standard error is closed there is nobody left to tell.
            let _ = io::stderr().lock().write_all(text.as_bytes());
        }
    };
    ctrlc::set_handler(on_signal).context("cannot listen for Ctrl-C")?;
    Ok(interrupted)
}
