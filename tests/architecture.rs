//! Holds the imports in `src/` against the tables of docs/architecture.md.
//!
//! Paths are compared as `tb/reader`: modules, then perhaps the name of an item.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const DOCUMENT: &str = "docs/architecture.md";

/// Module → what it may import.
type Rows = BTreeMap<String, Vec<String>>;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The table below the header line that begins with `header`: one list of backticked words a cell.
fn table(document: &str, header: &str) -> Vec<Vec<Vec<String>>> {
    let lines = document
        .lines()
        .skip_while(|line| !line.starts_with(header));
    let rows: Vec<_> = lines
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(backticked).collect())
        .collect();
    assert!(!rows.is_empty(), "{DOCUMENT} has no table `{header}`");
    rows
}

fn backticked(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(String::from)
        .collect()
}

fn rows(document: &str) -> Rows {
    table(document, "| module |")
        .into_iter()
        .map(|cells| (cells[0][0].clone(), cells[2].clone()))
        .collect()
}

/// Every Rust file below `src/` but the two roots: its module path and its text without tests.
fn sources() -> Vec<(String, String)> {
    let mut sources = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = module_of(path.strip_prefix(root().join("src")).unwrap());
                let text = fs::read_to_string(&path).unwrap();
                sources.push((module, without_comments_and_tests(&text)));
            }
        }
    }
    sources.retain(|(module, _)| module != "lib" && module != "main");
    sources.sort();
    sources
}

fn module_of(file: &Path) -> String {
    let module = file.with_extension("").to_str().unwrap().replace('\\', "/");
    module
        .strip_suffix("/mod")
        .map(String::from)
        .unwrap_or(module)
}

fn without_comments_and_tests(text: &str) -> String {
    let mut parts = text.split("#[cfg(test)]\nmod ");
    let mut code = parts.next().unwrap().to_owned();
    for part in parts {
        // A test module ends where a brace stands at the head of a line.
        code.push_str(part.split_once("\n}").map_or("", |(_, rest)| rest));
    }
    let lines = code.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths in `text`, a file of `module`, that lead to our own modules.
fn imports(module: &str, text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for start in ["crate::", "cnn_tb::", "super::"] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || "_:".contains(c)) {
                continue;
            }
            let mut base = Vec::new();
            if start == "super::" {
                base.extend(module.split('/'));
                base.extend(inline_modules(&text[..at]));
                base.pop();
            }
            use_tree(&base, &text[at + start.len()..], &mut found);
        }
    }
    found
}

/// The modules with a body of their own (`mod name { … }`) that are open at the end of `text`.
fn inline_modules(text: &str) -> Vec<&str> {
    let mut braces = Vec::new();
    for (at, brace) in text.match_indices(['{', '}']) {
        if brace == "}" {
            braces.pop();
            continue;
        }
        let mut words = text[..at].split_whitespace().rev();
        let name = words.next();
        braces.push(name.filter(|_| words.next() == Some("mod")));
    }
    braces.into_iter().flatten().collect()
}

/// Reads one use tree at the head of `text` and adds its paths; returns what follows it.
fn use_tree<'a>(base: &[&str], text: &'a str, found: &mut BTreeSet<String>) -> &'a str {
    let mut path = base.to_vec();
    let mut rest = text.trim_start();
    loop {
        if let Some(mut group) = rest.strip_prefix('{') {
            loop {
                group = use_tree(&path, group, found).trim_start();
                match group.strip_prefix(',') {
                    Some(next) => group = next,
                    None => return group.strip_prefix('}').unwrap_or(group),
                }
            }
        }
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        match &rest[..end] {
            "" | "self" => {}
            "super" => drop(path.pop()),
            name => path.push(name),
        }
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(next) => rest = next.trim_start(),
            None => break,
        }
    }
    if !path.is_empty() {
        found.insert(path.join("/"));
    }
    // What an `as` renames, and a glob's star, end the branch.
    let end = rest.find([',', '}', ';']).unwrap_or(rest.len());
    &rest[end..]
}

/// The row that stands for `path`: the longest one that leads to it.
fn row_of<'a>(rows: &'a Rows, path: &str) -> Option<&'a str> {
    let rows = rows.keys().map(String::as_str);
    rows.filter(|row| leads_to(row, path))
        .max_by_key(|row| row.len())
}

fn leads_to(module: &str, path: &str) -> bool {
    path.strip_prefix(module)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn document() -> String {
    fs::read_to_string(root().join(DOCUMENT)).unwrap()
}

#[test]
fn every_import_is_in_the_table() {
    let rows = rows(&document());
    let mut wrong = Vec::new();
    for (module, text) in sources() {
        let Some(row) = row_of(&rows, &module) else {
            wrong.push(format!("src/{module} has no row in {DOCUMENT}"));
            continue;
        };
        for import in imports(&module, &text) {
            let inside = row_of(&rows, &import) == Some(row);
            if !inside && !rows[row].iter().any(|allowed| leads_to(allowed, &import)) {
                wrong.push(format!(
                    "`{row}` imports {import}, which {DOCUMENT} does not allow"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_row_is_a_module() {
    let sources = sources();
    for row in rows(&document()).keys() {
        let found = sources.iter().any(|(module, _)| leads_to(row, module));
        assert!(found, "{DOCUMENT} names `{row}`, which is not in src/");
    }
}

#[test]
fn no_cycle_is_allowed() {
    let mut left = rows(&document());
    // Again and again take away what imports nothing that is left.
    while !left.is_empty() {
        let leaf = left.iter().find(|(row, allowed)| {
            let others = left.keys().filter(|other| other != row);
            let mut reached = others.filter(|other| allowed.iter().any(|a| leads_to(a, other)));
            reached.next().is_none()
        });
        let leaf = leaf.map(|(row, _)| row.clone());
        let leaf = leaf.unwrap_or_else(|| panic!("{DOCUMENT} allows a cycle among {left:?}"));
        left.remove(&leaf);
    }
}

#[test]
fn names_stay_in_their_place() {
    let mut wrong = Vec::new();
    let sources = sources();
    for cells in table(&document(), "| name |") {
        for name in &cells[0] {
            for (module, text) in &sources {
                let used = match name.strip_prefix("crate::") {
                    Some(ours) => {
                        let path = ours.replace("::", "/");
                        imports(module, text)
                            .iter()
                            .any(|import| leads_to(&path, import))
                    }
                    None => names_crate(text, name),
                };
                if used && !cells[1].iter().any(|place| leads_to(place, module)) {
                    wrong.push(format!(
                        "src/{module} uses {name}, which {DOCUMENT} keeps apart"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether `text` has a path that begins with the crate `name`.
fn names_crate(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].trim_start();
        !before.is_some_and(|c| c.is_alphanumeric() || "_:.\"".contains(c))
            && after.starts_with("::")
    })
}

/// Files move, and texts that name them stay behind.
#[test]
fn files_that_documents_name_are_there() {
    let mut documents: Vec<_> = [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "runs/README.md",
    ]
    .map(|name| root().join(name))
    .into();
    let pages = fs::read_dir(root().join("docs")).unwrap();
    let pages = pages.map(|entry| entry.unwrap().path());
    documents.extend(pages.filter(|path| path.extension().is_some_and(|x| x == "md")));
    let (mut named, mut missing) = (0, Vec::new());
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        // Outside of blocks, whose fences hold backticks too.
        let prose = text.split("```").step_by(2);
        for word in prose.flat_map(backticked) {
            let folder = word.split('/').next().unwrap();
            let is_path = ["src", "tests", "benches", "examples", "proto"].contains(&folder);
            if is_path && word.contains('/') && !word.contains(['*', '<', ' ', '{']) {
                named += 1;
                if !root().join(&word).exists() {
                    missing.push(format!("{}: {word}", document.display()));
                }
            }
        }
    }
    assert!(named > 20, "only {named} names were found");
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn imports_are_found_in_every_form() {
    let cases: [(&str, &str, &[&str]); 10] = [
        ("tb/writer", "use crate::tb::record;", &["tb/record"]),
        (
            "tb/writer",
            "use super::record::Frame as F;",
            &["tb/record/Frame"],
        ),
        ("tb/summary/text", "use super::super::proto;", &["tb/proto"]),
        ("report", "let x = crate::tb::f(1);", &["tb/f"]),
        (
            "tb",
            "pub mod a { mod b { use super::super::c; } use super::d; }",
            &["tb/c", "tb/d"],
        ),
        ("cli", "use cnn_tb::tb::*;", &["tb"]),
        (
            "cli",
            "use cnn_tb::{tb::{A, reader::{self, B}}, report as r};\nuse x::y;",
            &["report", "tb/A", "tb/reader", "tb/reader/B"],
        ),
        (
            "train",
            "pub(crate) use crate::{\n    nn::\n    Net,\n};",
            &["nn/Net"],
        ),
        (
            "nn",
            "use notcrate::x; my::crate_::y; other::super_::z",
            &[],
        ),
        ("nn", "use candle_nn::Module;", &[]),
    ];
    for (module, text, expected) in cases {
        let found = imports(module, text);
        assert!(found.iter().eq(expected), "{text}: {found:?}");
    }
    let code = "a // crate::b\n#[cfg(test)]\nmod tests {\n    use crate::c;\n}\nd\n";
    assert_eq!(without_comments_and_tests(code), "a \n\nd");
}
