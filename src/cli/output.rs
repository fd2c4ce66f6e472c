//! What reaches the terminal: results on stdout, everything else on stderr, and no control
//! character of a tag, a run's name or a path.

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write as _};
use std::path::Path;

use anyhow::Context as _;
use cnn_tb::report::escape::steers_terminal;

/// Names and paths as they may be printed.
pub use cnn_tb::report::escape::escape;

/// Writes a result to standard output, at once.
///
/// # Errors
/// `BrokenPipe` where the reader has closed its end; [`super::run`] takes that for success.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Makes the file at `path`, or replaces it, by what `write` writes: under another name first, so
/// that what was there stays until all is written. What is no file, as a pipe or `/dev/null`, is
/// written to as it is.
///
/// # Errors
/// What `write` or the file system says; `path` is then as it was.
pub fn replace_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return fill(File::options().write(true).open(path), write).with_context(context);
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    fill(File::create_new(&part), write)
        .and_then(|()| Ok(fs::rename(&part, path)?))
        .inspect_err(|_| drop(fs::remove_file(&part)))
        .with_context(context)
}

fn fill(
    file: io::Result<File>,
    write: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut file = BufWriter::new(file?);
    write(&mut file)?;
    Ok(file.flush()?)
}

/// An error that knows what its reader can do about it.
#[derive(Debug)]
pub struct Advised {
    message: String,
    /// Lines.
    advice: Vec<String>,
}

impl Advised {
    /// `message` says what is wrong, `advice` what to do.
    pub fn new(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            advice: vec![advice.into()],
        }
    }

    /// With one more line of advice.
    #[cfg(feature = "train")]
    pub fn line(mut self, line: String) -> Self {
        self.advice.push(line);
        self
    }
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Advised {}

/// Writes `error: …` to standard error and below it, indented, the advice of an [`Advised`].
pub fn error(error: &anyhow::Error) {
    let mut text = format!(
        "{} {}\n",
        label("error:", RED),
        escape(&format!("{error:#}"))
    );
    if let Some(advised) = error.downcast_ref::<Advised>() {
        for line in &advised.advice {
            let _ = writeln!(text, "  {}", escape(line));
        }
    }
    // Where standard error is closed there is nobody left to tell.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes a line to standard error.
#[cfg(feature = "train")]
pub fn tell(line: &str) {
    let text = format!("{}\n", escape(line));
    // Where standard error is closed there is nobody left to tell.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes `warning: …` to standard error.
pub fn warn(message: &str) {
    let text = format!("{} {}\n", label("warning:", YELLOW), escape(message));
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const BOLD: &str = "\x1b[1m";
const RESET: &str = "\x1b[0m";

fn label(text: &str, style: &str) -> String {
    styled(text, style, takes_colour(&io::stderr()))
}

/// `text` in bold where standard output takes colours.
pub fn bold(text: &str) -> String {
    styled(text, BOLD, takes_colour(&io::stdout()))
}

/// Whether standard output takes colours.
pub fn stdout_takes_colour() -> bool {
    takes_colour(&io::stdout())
}

fn styled(text: &str, style: &str, colour: bool) -> String {
    if colour {
        format!("{style}{text}{RESET}")
    } else {
        text.to_owned()
    }
}

/// Colours are for terminals whose user has not set `NO_COLOR` (<https://no-color.org>).
fn takes_colour(stream: &impl IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    stream.is_terminal() && !refused && !dumb
}

/// A JSON text on one line, with what [`escape`] escapes written as JSON does: it can only be
/// inside of strings.
pub fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if steers_terminal(character) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_disarms_what_steers_a_terminal() {
        let cases = [
            ("validation/accuracy", "validation/accuracy"),
            ("Genauigkeit ü 精度 🎯", "Genauigkeit ü 精度 🎯"),
            (r"C:\runs", r"C:\runs"),
            ("\x1b[31mred", r"\u{1b}[31mred"),
            ("two\nlines\r\t", r"two\nlines\r\t"),
            ("\u{7f}\u{9b}2J", r"\u{7f}\u{9b}2J"),
            ("\u{202e}gnp.exe", r"\u{202e}gnp.exe"),
            (
                "\u{2066}a\u{2069}\u{200f}\u{61c}",
                r"\u{2066}a\u{2069}\u{200f}\u{61c}",
            ),
            ("a\u{2028}b", r"a\u{2028}b"),
        ];
        for (text, expected) in cases {
            assert_eq!(escape(text), expected);
        }
        assert_eq!(
            escape_json("{\"\u{9b}\": \"\u{202e}ü\"}"),
            r#"{"\u009b": "\u202eü"}"#
        );
    }

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("all.csv");
        let write = |text: &'static str| {
            replace_file(&path, |file| Ok(file.write_all(text.as_bytes())?)).unwrap();
        };
        write("first");
        write("second");
        let error = replace_file(&path, |file| {
            file.write_all(b"half")?;
            anyhow::bail!("the disk is full")
        });
        let text = format!("{:#}", error.unwrap_err());
        assert_eq!(
            text,
            format!("cannot write {}: the disk is full", path.display())
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn colour_is_only_added_where_it_is_wanted() {
        assert_eq!(styled("error:", RED, false), "error:");
        assert_eq!(styled("error:", RED, true), "\x1b[1;31merror:\x1b[0m");
    }
}
