//! A sign of life for what takes long.

use std::io::{self, IsTerminal as _};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// What is quicker than this needs no sign.
const PATIENCE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);

/// Does `work`. Where it takes more than a second, a terminal shows `message` and the time on
/// standard error until it is done.
pub fn watched<T>(message: String, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    let (working, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if is_done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let spinner = spinner(message);
                // The other end is dropped, never sent through.
                let _ = is_done.recv();
                spinner.finish_and_clear();
            }
        });
        // Moved in here, so that it is dropped even by a panic.
        let working = working;
        let result = work();
        drop(working);
        result
    })
}

fn spinner(message: String) -> ProgressBar {
    let spinner = ProgressBar::new_spinner()
        .with_message(message)
        .with_elapsed(PATIENCE);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(TICK);
    spinner
}
