//! Names of runs and tags as names of files.

use std::collections::HashMap;

use crate::report::escape::steers_terminal;

/// No component of a path is longer, in bytes; file systems take 255, and programs add to them.
const LONGEST: usize = 100;

/// Makes names for files of one directory, or for directories, that every common file system takes.
///
/// - What is no part of a file's name on some system, or not visible, becomes `_`: control
///   characters, marks that turn the direction of writing, any of `/ \ : * ? " < > |`, a dot, hyphen
///   or space in front, a dot or space at the end.
/// - The names of devices on Windows (`nul`, `COM1`) get `_` in front.
/// - At most 100 bytes are kept.
/// - No two are equal, upper and lower case taken for the same: the second gets `~2` at its end.
///
/// ```
/// use cnn_tb::report::export::FileNames;
///
/// let mut names = FileNames::default();
/// assert_eq!(names.add("samples/predictions"), "samples_predictions");
/// assert_eq!(names.add("Samples_Predictions"), "Samples_Predictions~2");
/// assert_eq!(names.add("../../etc"), "_._.._etc");
/// ```
#[derive(Debug, Default)]
pub struct FileNames {
    /// In lower case, each with the last number that was put behind it.
    taken: HashMap<String, u64>,
}

impl FileNames {
    /// The file's name for `name`, which is not to be added twice.
    pub fn add(&mut self, name: &str) -> String {
        let name = portable(name);
        let mut number = self.taken.get(&name.to_lowercase()).copied().unwrap_or(0);
        loop {
            number += 1;
            let candidate = match number {
                1 => name.clone(),
                _ => format!("{}~{number}", cut(&name, LONGEST - 1 - digits(number))),
            };
            let key = candidate.to_lowercase();
            if !self.taken.contains_key(&key) {
                self.taken.insert(key, 1);
                self.taken.insert(name.to_lowercase(), number);
                return candidate;
            }
        }
    }
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// `name` with what is not allowed everywhere replaced.
fn portable(name: &str) -> String {
    let replaced: String = name
        .chars()
        .map(|character| {
            if is_portable(character) {
                character
            } else {
                '_'
            }
        })
        .collect();
    // One byte is left for what may come in front.
    let mut name = cut(&replaced, LONGEST - 1).to_owned();
    if name.is_empty() || name.starts_with(['.', '-', ' ']) {
        name.replace_range(..name.len().min(1), "_");
    }
    if name.ends_with(['.', ' ']) {
        name.pop();
        name.push('_');
    }
    if is_device(&name) {
        name.insert(0, '_');
    }
    name
}

fn is_portable(character: char) -> bool {
    const RESERVED: [char; 9] = ['/', '\\', ':', '*', '?', '"', '<', '>', '|'];
    !RESERVED.contains(&character) && !steers_terminal(character)
}

/// Names that Windows keeps for devices, whatever extension they have. Source: "Naming Files, Paths,
/// and Namespaces", <https://learn.microsoft.com/windows/win32/fileio/naming-a-file>.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    let stem = stem.to_ascii_uppercase();
    let is_port = |device| {
        let number = stem.strip_prefix(device).map(|rest| rest.parse::<char>());
        matches!(number, Some(Ok('0'..='9' | '¹' | '²' | '³')))
    };
    matches!(&stem[..], "CON" | "PRN" | "AUX" | "NUL") || is_port("COM") || is_port("LPT")
}

/// As many whole characters as fit into `longest` bytes.
fn cut(text: &str, longest: usize) -> &str {
    let mut lengths = (0..=longest.min(text.len())).rev();
    let length = lengths.find(|&length| text.is_char_boundary(length));
    &text[..length.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within_their_directory() {
        let cases = [
            ("loss", "loss"),
            ("Genauigkeit ü 精度 🎯", "Genauigkeit ü 精度 🎯"),
            ("exp1/train", "exp1_train"),
            ("", "_"),
            (".", "_"),
            ("..", "__"),
            ("../../etc/passwd", "_._.._etc_passwd"),
            ("/etc/passwd", "_etc_passwd"),
            (r"C:\runs", "C__runs"),
            (".bashrc", "_bashrc"),
            ("-rf", "_rf"),
            ("a. ", "a._"),
            ("two\nlines\0", "two_lines_"),
            ("\u{1b}[2J\u{202e}", "_[2J_"),
            ("nul", "_nul"),
            ("Com1.png", "_Com1.png"),
            ("COM¹", "_COM¹"),
            ("com10", "com10"),
            ("console", "console"),
        ];
        for (name, expected) in cases {
            assert_eq!(FileNames::default().add(name), expected, "{name:?}");
        }
    }

    #[test]
    fn no_two_names_are_equal_on_any_file_system() {
        let mut names = FileNames::default();
        let long = "ü".repeat(5_000);
        let cases = [
            ("a/b", "a_b".to_owned()),
            ("a_b", "a_b~2".to_owned()),
            ("A_B", "A_B~3".to_owned()),
            ("a_b~4", "a_b~4".to_owned()),
            ("a\\b", "a_b~5".to_owned()),
            (&long, "ü".repeat(49)),
            (&format!("{long}!"), format!("{}~2", "ü".repeat(49))),
        ];
        for (name, expected) in cases {
            assert_eq!(names.add(name), expected);
        }
    }
}
