//! `cnn-tb plot` from outside: what it draws, and its exit code.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use cnn_tb::tb::SummaryWriter;
use serde_json::Value;

fn plot(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cnn-tb"));
    command.arg("plot").args(arguments).current_dir(directory);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn write_run(directory: &Path, name: &str, tag: &str, values: &[f32]) {
    let writer = SummaryWriter::create(directory.join(name)).unwrap();
    for (step, value) in (1..).zip(values) {
        writer.add_scalar(tag, *value, step).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn pictures_are_written_and_the_same_each_time() {
    let directory = tempfile::tempdir().unwrap();
    write_run(directory.path(), "a", "val/loss", &[3.0, 2.0, 1.0]);
    write_run(directory.path(), "b", "val/loss", &[2.0, f32::NAN, 1.0]);
    for name in ["one.svg", "two.svg", "one.png"] {
        let output = plot(&[".", "-o", name], directory.path());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(text(&output.stdout), "");
        let said = "warning: b, val/loss: 1 point is not finite, and left out\n";
        assert_eq!(text(&output.stderr), said);
    }
    let file = |name| fs::read(directory.path().join(name)).unwrap();
    assert_eq!(file("one.svg"), file("two.svg"));
    let svg = String::from_utf8(file("one.svg")).unwrap();
    assert!(
        svg.contains(">val/loss</text>") && svg.contains("<polyline"),
        "{svg}"
    );
    assert!(!svg.contains("NaN"));
    assert!(file("one.png").starts_with(b"\x89PNG"));
    // 80 mm by 50 mm at 300 dots per inch.
    assert_eq!(file("one.png")[16..24], [0, 0, 3, 177, 0, 0, 2, 79]);
}

#[test]
fn the_terminal_and_json_show_what_is_drawn() {
    let directory = tempfile::tempdir().unwrap();
    write_run(directory.path(), "a", "val/acc", &[0.5, 1.0, 0.75]);
    let shown = plot(&["."], directory.path());
    assert!(
        text(&shown.stdout).starts_with("val/acc (%) by step\n"),
        "{shown:?}"
    );
    assert!(!text(&shown.stdout).contains('\u{1b}'));
    assert!(
        text(&shown.stdout)
            .lines()
            .all(|line| line.chars().count() <= 80)
    );
    let output = plot(&[".", "--json", "--smoothing", "0.5"], directory.path());
    let charts: Value = serde_json::from_slice(&output.stdout).unwrap();
    let curve = &charts[0]["curves"][0];
    assert_eq!((&curve["run"], &curve["points"]), (&"a".into(), &3.into()));
    // By hand: (0.5 / 8 + 1 / 4 + 0.75 / 2) / (1 - 1 / 8).
    let last = curve["last"]["value"].as_f64().unwrap();
    assert!((last - 0.6875 / 0.875).abs() < 1e-9, "{last}");
}

#[test]
fn names_do_no_harm_and_nothing_found_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let tag = format!("<b>\u{1b}[2J\u{202e}{}", "x".repeat(10_000));
    write_run(directory.path(), "a", &tag, &[1.0]);
    let svg = directory.path().join("a.svg");
    for more in [&[][..], &["-o", "a.svg"], &["--json"]] {
        let arguments = [&[".", "--tag", "*"], more].concat();
        let output = plot(&arguments, directory.path());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(!text(&output.stdout).contains(['\u{1b}', '\u{202e}']));
    }
    let svg = fs::read_to_string(svg).unwrap();
    assert!(!svg.contains("<b>") && !svg.contains('\u{1b}') && svg.len() < 20_000);
    for (arguments, code) in [
        (&["."][..], 1),
        (&[".", "--tag", "y"], 1),
        (&[".", "-o", "a.gif"], 2),
    ] {
        let output = plot(arguments, directory.path());
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(!output.stderr.is_empty());
    }
}
