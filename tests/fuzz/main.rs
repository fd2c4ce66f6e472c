//! Bad input: each parser on a corpus with a file for each error, and on damaged copies of it.
//!
//! `fuzz/` has a fuzz target for each of the same parsers; CONTRIBUTING.md says how to run them.

#![cfg(all(unix, feature = "train"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod corpus;
mod mutation;
mod parsers;
mod replay;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use parsers::format::Format;
use parsers::{Errors, PARSERS, Parser, parser, variants};
use replay::{Limits, replay};

/// A test for each parser, of its name.
macro_rules! replays {
    ($($name:ident: $limits:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let parser = parser(stringify!($name));
                replay(parser, &corpus::inputs(parser), stringify!($name), $limits);
            }
        )*

        #[test]
        fn every_parser_is_tried_here_and_is_a_fuzz_target() {
            let tried = [$(stringify!($name)),*];
            assert_eq!(tried, PARSERS.map(|parser| parser.name));
            let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
            let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
            for name in tried {
                let target = fs::read_to_string(fuzz.join(format!("targets/{name}.rs"))).unwrap();
                assert!(target.contains(&format!("fuzz!(\"{name}\")")), "{target}");
                assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name}");
            }
        }
    };
}

replays! {
    event: Limits::default();
    event_file: Limits::default();
    doctor: Limits::default();
    hparams_yaml: Limits::default();
    idx: Limits::default();
    dataset: Limits::default();
    // A header may claim 25 million pixels of 4 bytes, for which room is made before they come.
    picture: Limits { memory_kib: 160 * 1024, ..Limits::default() };
    config: Limits::default();
    weights: Limits::default();
    checkpoint: Limits::default();
}

#[test]
fn each_corpus_file_gives_the_error_that_it_is_named_for() {
    let mut given = BTreeSet::new();
    for parser in &PARSERS {
        for (name, bytes) in corpus::files(parser) {
            let errors = (parser.parse)(&bytes);
            let expected = name.split('.').next().unwrap();
            match expected {
                "sound" => assert_eq!(errors, Errors::new(), "{}/{name}", parser.corpus),
                error => assert!(
                    errors.contains(error),
                    "{}/{name}: {errors:?}",
                    parser.corpus
                ),
            }
            given.extend(errors);
        }
    }
    let lists = [
        variants::RECORD,
        variants::READ,
        variants::IDX,
        variants::DATA,
        variants::CLASS_NAMES,
        variants::PICTURE,
        variants::TRAINED,
        variants::PLAN,
        variants::CHECKPOINT,
        &[variants::TOML, variants::CONFIG],
    ];
    let all: BTreeSet<&str> = lists.concat().into_iter().collect();
    assert_eq!(given, all);
}

/// `CNN_TB_REGENERATE=1 cargo test --test fuzz corpus` writes the corpus again.
#[test]
fn the_corpus_has_the_files_that_are_made_for_it() {
    if std::env::var_os("CNN_TB_REGENERATE").is_some() {
        corpus::write();
    }
    let made: BTreeSet<String> = corpus::made().into_iter().map(|(path, _)| path).collect();
    let mut found = BTreeSet::new();
    for parser in &PARSERS {
        let files = corpus::files(parser).into_iter();
        found.extend(files.map(|(name, _)| format!("{}/{name}", parser.corpus)));
    }
    assert_eq!(found, made);
}

/// Only the files themselves, of which damaged copies would take minutes.
fn each_once(files: &[Vec<u8>]) -> Limits {
    Limits {
        cases: files.len() as u64,
        ..Limits::default()
    }
}

/// Two megabytes that prost would make hundreds of: empty values, strings, dimensions, settings.
#[test]
fn what_swells_is_left_out() {
    let files = corpus::swelling();
    replay(
        parser("event"),
        &files,
        "what_swells_is_left_out",
        each_once(&files),
    );
}

#[test]
fn a_network_of_a_million_classes_is_not_made() {
    let files = [corpus::many_classes()];
    let test = "a_network_of_a_million_classes_is_not_made";
    replay(parser("weights"), &files, test, each_once(&files));
}

#[test]
fn a_repair_does_not_look_at_a_file_again_and_again() {
    let files = [corpus::overlapping_records()];
    let test = "a_repair_does_not_look_at_a_file_again_and_again";
    replay(parser("doctor"), &files, test, each_once(&files));
}

/// A parser that is none, to hold the replay against.
fn bad(parse: fn(&[u8]) -> Errors) -> Parser {
    Parser {
        name: "bad",
        corpus: "none",
        parse,
        format: Format::Plain,
    }
}

#[test]
#[should_panic(expected = "parser bad, case 1 ended with")]
fn a_panic_is_found() {
    let parser = bad(|bytes| match bytes {
        b"bad" => panic!("as bad as it gets"),
        _ => Errors::new(),
    });
    let files = [b"good".to_vec(), b"bad".to_vec()];
    replay(&parser, &files, "a_panic_is_found", Limits::default());
}

#[test]
#[should_panic(expected = "parser bad, case 0 took more than 1s")]
fn a_hang_is_found() {
    let parser = bad(|_| {
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    let limits = Limits {
        case_time: Duration::from_secs(1),
        ..Limits::default()
    };
    replay(&parser, &[b"good".to_vec()], "a_hang_is_found", limits);
}

/// Other systems than Linux do not hold a process to its limit.
#[test]
#[cfg(target_os = "linux")]
#[should_panic(expected = "memory allocation of 200000000 bytes failed")]
fn too_much_memory_is_found() {
    let parser = bad(|_| {
        std::hint::black_box(vec![1_u8; 200_000_000]);
        Errors::new()
    });
    replay(
        &parser,
        &[b"good".to_vec()],
        "too_much_memory_is_found",
        Limits::default(),
    );
}
