//! Every parser of bytes that come from outside, as a function of those bytes: the one list that the
//! replay in `tests/fuzz/` and the fuzz targets in `fuzz/` share.
//!
//! A parse asks for everything that the library gives of such bytes, holds what it gets against what
//! its documentation promises, and says by name which errors came.

mod dataset;
mod event_file;
pub mod format;
pub mod training;
pub mod variants;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use format::Format;

/// The errors that came, by the names in [`variants`]; none where all is sound.
pub type Errors = BTreeSet<&'static str>;

/// Something that takes bytes from outside.
pub struct Parser {
    /// The test's and the fuzz target's name.
    pub name: &'static str,
    /// Where its corpus is, below `tests/corpus/`.
    pub corpus: &'static str,
    /// Reads `bytes` as far as the library can.
    pub parse: fn(bytes: &[u8]) -> Errors,
    /// What is in the bytes behind lengths and checksums, in which damage goes deeper.
    pub format: Format,
}

/// All of them.
pub const PARSERS: [Parser; 10] = [
    Parser {
        name: "event",
        corpus: "event",
        parse: event_file::parse_event,
        format: Format::Plain,
    },
    Parser {
        name: "event_file",
        corpus: "event_file",
        parse: event_file::parse,
        format: Format::Records,
    },
    Parser {
        name: "doctor",
        corpus: "event_file",
        parse: event_file::examine_and_repair,
        format: Format::Records,
    },
    Parser {
        name: "hparams_yaml",
        corpus: "hparams_yaml",
        parse: event_file::parse_yaml,
        format: Format::Plain,
    },
    Parser {
        name: "idx",
        corpus: "idx",
        parse: dataset::parse_idx,
        format: Format::Gzip,
    },
    Parser {
        name: "dataset",
        corpus: "dataset",
        parse: dataset::parse,
        format: Format::Bundle,
    },
    Parser {
        name: "picture",
        corpus: "picture",
        parse: dataset::parse_picture,
        format: Format::Png,
    },
    Parser {
        name: "config",
        corpus: "config",
        parse: training::parse_config,
        format: Format::Plain,
    },
    Parser {
        name: "weights",
        corpus: "weights",
        parse: training::parse_weights,
        format: Format::Safetensors,
    },
    Parser {
        name: "checkpoint",
        corpus: "checkpoint",
        parse: training::parse_checkpoint,
        format: Format::Checkpoint,
    },
];

/// The parser of this name.
pub fn parser(name: &str) -> &'static Parser {
    let found = PARSERS.iter().find(|parser| parser.name == name);
    found.unwrap_or_else(|| panic!("there is no parser {name}"))
}

/// Calls `read` with a directory that holds `files`, by name.
fn with_files<T>(files: &[(&str, &[u8])], read: impl FnOnce(&Path) -> T) -> T {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(directory.path().join(name), bytes).unwrap();
    }
    read(directory.path())
}
