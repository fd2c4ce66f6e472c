//! `hparams.yaml`, where PyTorch Lightning's loggers write settings beside the event files.
//!
//! Only lines `name: value` are read; lists, nested settings and objects are passed over, since they
//! are no hyper-parameters to TensorBoard either. Source: `save_hparams_to_yaml` in `saving.py`,
//! <https://github.com/Lightning-AI/pytorch-lightning/tree/02fe3706/src/lightning/pytorch/core>.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::tb::run::HParam;

const NAME: &str = "hparams.yaml";
/// No more of the file is read.
const MAX_BYTES: u64 = 1024 * 1024;

/// The settings of the directory; none where it has no such file, or one that cannot be read.
pub(super) fn read(directory: &Path) -> BTreeMap<String, HParam> {
    let path = directory.join(NAME);
    let mut text = String::new();
    // A pipe of this name might never end.
    let is_read = path.is_file()
        && File::open(path)
            .is_ok_and(|file| file.take(MAX_BYTES).read_to_string(&mut text).is_ok());
    if is_read {
        parse(&text)
    } else {
        BTreeMap::new()
    }
}

fn parse(yaml: &str) -> BTreeMap<String, HParam> {
    yaml.lines().filter_map(setting).collect()
}

fn setting(line: &str) -> Option<(String, HParam)> {
    let is_nested = line.starts_with([' ', '\t', '-', '#', '%', '}', ']']);
    let (name, value) = line.split_once(": ").filter(|_| !is_nested)?;
    let name = unquoted(name).unwrap_or(name.trim_end());
    Some((name.to_owned(), scalar(value.trim())?))
}

/// `None` for what is not one plain value.
fn scalar(text: &str) -> Option<HParam> {
    if let Some(text) = unquoted(text) {
        return Some(HParam::Text(text.to_owned()));
    }
    match text {
        "true" => Some(HParam::Bool(true)),
        "false" => Some(HParam::Bool(false)),
        "" | "null" | "~" => None,
        _ if text.starts_with(['!', '&', '*', '[', '{', '|', '>', '\'', '"']) => None,
        _ => Some(number(text).map_or_else(|| HParam::Text(text.to_owned()), HParam::Number)),
    }
}

/// YAML's `.inf` and `.nan`, or a number in decimal digits.
fn number(text: &str) -> Option<f64> {
    match text {
        ".inf" => Some(f64::INFINITY),
        "-.inf" => Some(f64::NEG_INFINITY),
        ".nan" => Some(f64::NAN),
        _ if text.contains(|c: char| c.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

/// What stands between quotes; `None` where there are none, or something in them is escaped.
fn unquoted(text: &str) -> Option<&str> {
    let inside = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    let inside = inside('\'').or_else(|| inside('"'))?;
    (!inside.contains(['\'', '"', '\\'])).then_some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_settings_are_read_and_all_else_is_passed_over() {
        let yaml = "batch_size: 64\nlr: 1.0e-3\nname: resnet18\nquoted: '10'\naugment: true\n\
                    optimizer:\n  momentum: 0.9\nlayers:\n- 1\n- 2\nnothing: null\n\
                    object: !!python/object:__main__.A\nlist: [1, 2]\nurl: http://a:1\n";
        let text = |text: &str| HParam::Text(text.to_owned());
        let expected = [
            ("augment", HParam::Bool(true)),
            ("batch_size", HParam::Number(64.0)),
            ("lr", HParam::Number(0.001)),
            ("name", text("resnet18")),
            ("quoted", text("10")),
            ("url", text("http://a:1")),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(parse(yaml), BTreeMap::from(expected));
        assert_eq!(parse("{}\n"), BTreeMap::new());
    }

    #[test]
    fn a_directory_without_such_a_file_has_no_settings() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read(directory.path()).is_empty());
        std::fs::write(directory.path().join(NAME), b"\xff: 1\n").unwrap();
        assert!(read(directory.path()).is_empty());
        std::fs::write(directory.path().join(NAME), "seed: 1\n").unwrap();
        assert_eq!(read(directory.path())["seed"], HParam::Number(1.0));
    }
}
