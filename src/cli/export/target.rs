//! Where an export goes: a file that is whole or not there, a pipe, or a terminal.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

use crate::cli::Outcome;
use crate::cli::output::{self, escape};

/// Hands standard output to `write`. On a terminal, names and texts are escaped.
pub fn to_stdout<T>(write: impl FnOnce(&mut dyn Write) -> io::Result<T>) -> anyhow::Result<T> {
    let stdout = io::stdout();
    let written = match stdout.is_terminal() {
        true => write(&mut Escaping(stdout.lock()))?,
        false => write(&mut stdout.lock())?,
    };
    stdout.lock().flush()?;
    Ok(written)
}

/// Replaces the file at `path` by what `write` writes; `None` where the user stopped it. Unless all
/// was written, what was there stays.
pub fn to_file<T>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<T>,
) -> anyhow::Result<Option<T>> {
    let stopped = listen()?;
    let mut written = None;
    let replaced = output::replace_file(path, |file| {
        let stopped = &stopped;
        written = Some(write(&mut Stoppable { file, stopped })?);
        Ok(())
    });
    match replaced {
        Err(_) if stopped.load(Ordering::Relaxed) => Ok(None),
        replaced => replaced.map(|()| written),
    }
}

/// From now on, what asks the program to end (on Unix also SIGTERM and SIGHUP) only sets the flag
/// that is returned; what asks again ends it.
pub fn listen() -> anyhow::Result<Arc<AtomicBool>> {
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stopped);
    let on_signal = move || {
        if flag.swap(true, Ordering::Relaxed) {
            process::exit(Outcome::Interrupted as i32);
        }
    };
    ctrlc::set_handler(on_signal).context("cannot listen for Ctrl-C")?;
    Ok(stopped)
}

/// A file that refuses to be written when the user has had enough.
struct Stoppable<'a, W> {
    file: W,
    stopped: &'a AtomicBool,
}

impl<W: Write> Write for Stoppable<'_, W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        // Not `ErrorKind::Interrupted`, after which `write_all` would try again.
        if self.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("interrupted"));
        }
        self.file.write(piece)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Escapes whole rows of CSV or JSON lines for a terminal.
struct Escaping<W>(W);

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, rows: &[u8]) -> io::Result<usize> {
        let text = escape_rows(&String::from_utf8_lossy(rows));
        self.0.write_all(text.as_bytes())?;
        Ok(rows.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Escapes what could steer a terminal, except the line feeds that end rows: those outside of
/// quotation marks.
fn escape_rows(rows: &str) -> String {
    let mut escaped = String::with_capacity(rows.len());
    let mut is_quoted = false;
    for (index, part) in rows.split('\n').enumerate() {
        if index > 0 {
            escaped.push_str(if is_quoted { "\\n" } else { "\n" });
        }
        is_quoted ^= part.matches('"').count() % 2 == 1;
        escaped.push_str(&escape(part));
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_for_a_terminal_stay_rows() {
        let cases = [
            ("a,1\nb,2\n", "a,1\nb,2\n"),
            ("\x1b[2J,1\n", "\\u{1b}[2J,1\n"),
            (
                "\"two\nlines\"\"\",1\nb,2\n",
                "\"two\\nlines\"\"\",1\nb,2\n",
            ),
        ];
        for (rows, expected) in cases {
            assert_eq!(escape_rows(rows), expected);
        }
    }
}
