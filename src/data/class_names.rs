//! The names of classes: of a directory's, `classes.txt` has one a line.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// The file beside the four of a data set.
const FILE: &str = "classes.txt";
/// The longest name, in characters.
const MAX_CHARS: usize = 64;
/// The largest file that is read: 256 of the longest names, and blanks.
const MAX_BYTES: u64 = 1 << 17;

/// What is wrong with a `classes.txt`.
#[derive(Debug, thiserror::Error)]
pub enum ClassNamesError {
    /// It cannot be read.
    #[error("{}: cannot be read: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A line is no name.
    #[error("{}, line {line}: {found}, expected {expected}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is there.
        found: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// There are more or fewer names than classes.
    #[error("{}: {found} names, expected {expected}, one for each label from 0", path.display())]
    Count {
        /// The file.
        path: PathBuf,
        /// Names in it.
        found: usize,
        /// Classes of the data set.
        expected: usize,
    },
}

/// The names of the `classes` classes of the data set in `directory`: what its `classes.txt` says, one
/// name a line in the order of the labels, or else their numbers, as [`class_numbers`].
///
/// A name has 1 to 64 characters, none of them a control character; blanks around it are taken off.
/// No two are equal, also not with `_` for `/`, which is how tags have them.
///
/// # Errors
/// A `classes.txt` that cannot be read, or is none for so many classes.
pub fn class_names(directory: &Path, classes: usize) -> Result<Vec<String>, ClassNamesError> {
    let path = directory.join(FILE);
    let bytes = match read(&path) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(class_numbers(classes)),
        Err(cause) => return Err(ClassNamesError::Io { path, cause }),
    };
    let names = parse(&path, bytes.trim_ascii_end())?;
    match names.len() == classes {
        true => Ok(names),
        false => Err(ClassNamesError::Count {
            path,
            found: names.len(),
            expected: classes,
        }),
    }
}

/// The names of classes that have none: 0, 1, 2, …
pub fn class_numbers(classes: usize) -> Vec<String> {
    (0..classes).map(|class| class.to_string()).collect()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    match bytes.len() as u64 <= MAX_BYTES {
        true => Ok(bytes),
        false => {
            let text = format!("it is larger than {MAX_BYTES} bytes");
            Err(io::Error::new(ErrorKind::FileTooLarge, text))
        }
    }
}

fn parse(path: &Path, text: &[u8]) -> Result<Vec<String>, ClassNamesError> {
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let mut lines = HashMap::new();
    let mut names = Vec::new();
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let error = |found: String, expected| ClassNamesError::Line {
            path: path.to_owned(),
            line: index + 1,
            found,
            expected,
        };
        let name = name(line).map_err(|(found, expected)| error(found, expected))?;
        if let Some(earlier) = lines.insert(name.replace('/', "_"), index + 1) {
            let found = format!("\"{name}\" is as in line {earlier}");
            return Err(error(found, "another name (tags have _ for /)"));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// The name in a line, or what is there and what would be accepted.
fn name(line: &[u8]) -> Result<&str, (String, &'static str)> {
    let Ok(line) = std::str::from_utf8(line) else {
        return Err(("bytes that are no UTF-8".to_owned(), "UTF-8"));
    };
    let name = line.trim();
    let chars = name.chars().count();
    if name.is_empty() {
        return Err(("a blank line".to_owned(), "a name"));
    }
    if chars > MAX_CHARS {
        return Err((format!("{chars} characters"), "at most 64"));
    }
    match name.chars().any(char::is_control) {
        true => Err((format!("\"{name}\""), "no control characters")),
        false => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The names of three classes where `classes.txt` holds `bytes`; the path is cut off an error's
    /// text.
    fn names(bytes: &[u8]) -> Result<Vec<String>, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        fs::write(&path, bytes).unwrap();
        let prefix = path.display().to_string();
        class_names(directory.path(), 3)
            .map_err(|error| error.to_string().strip_prefix(&prefix).unwrap().to_owned())
    }

    #[test]
    fn a_line_is_a_name() {
        let expected = Ok(["a cat", "dog/wolf", "鳥"].map(String::from).to_vec());
        for text in [
            "a cat\ndog/wolf\n鳥",
            "a cat\r\n dog/wolf\t\r\n鳥\r\n",
            "\u{feff}a cat\ndog/wolf\n鳥\n\n \n",
        ] {
            assert_eq!(names(text.as_bytes()), expected, "{text:?}");
        }
        let longest = "ü".repeat(64);
        assert_eq!(
            names(format!("a\nb\n{longest}").as_bytes()).unwrap()[2],
            longest
        );
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(class_names(directory.path(), 3).unwrap(), ["0", "1", "2"]);
    }

    #[test]
    fn errors_name_the_line_what_was_found_and_expected() {
        let long = format!("a\n{}\nc", "b".repeat(65));
        let large = vec![b'a'; 1 + MAX_BYTES as usize];
        let cases: [(&[u8], &str); 9] = [
            (b"", ", line 1: a blank line, expected a name"),
            (b"a\n\nc", ", line 2: a blank line, expected a name"),
            (b"a\nb", ": 2 names, expected 3, one for each label from 0"),
            (
                b"a\nb\nc\nd",
                ": 4 names, expected 3, one for each label from 0",
            ),
            (
                b"a/b\nc\na_b",
                ", line 3: \"a_b\" is as in line 1, expected another name (tags have _ for /)",
            ),
            (
                b"a\nb\nc\x1b[2J",
                ", line 3: \"c\x1b[2J\", expected no control characters",
            ),
            (
                b"a\n\xff\nc",
                ", line 2: bytes that are no UTF-8, expected UTF-8",
            ),
            (
                long.as_bytes(),
                ", line 2: 65 characters, expected at most 64",
            ),
            (&large, ": cannot be read: it is larger than 131072 bytes"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(names(bytes).unwrap_err(), expected);
        }
    }
}
