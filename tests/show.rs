//! `cnn-tb show` from outside: what it prints, and its exit code.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

use cnn_tb::tb::SummaryWriter;
use serde_json::{Value, json};

fn show(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cnn-tb"));
    command.arg("show").args(arguments).current_dir(directory);
    command.output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn write_run(directory: &Path) {
    let run = SummaryWriter::create(directory.join("exp1")).unwrap();
    run.add_hparams([("lr", 0.003.into()), ("model", "lenet".into())])
        .unwrap();
    let validation = run.child("validation").unwrap();
    for (step, loss) in [0.5, 0.125, 0.25].into_iter().enumerate() {
        validation.add_scalar("loss", loss, step).unwrap();
    }
    run.add_scalar("speed", 1200.0, 0).unwrap();
    let note = "**bold**\n".repeat(9);
    run.add_text("note", &note, 2).unwrap();
    run.finish().unwrap();
}

#[test]
fn a_run_is_shown_with_its_series_settings_and_texts() {
    let directory = tempfile::tempdir().unwrap();
    write_run(directory.path());
    let output = show(&["exp1"], directory.path());
    assert_eq!(output.status.code(), Some(0));
    let shown = stdout(&output);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], "exp1");
    assert!(
        lines[1].starts_with("finished, 3 series, 5 points, "),
        "{shown}"
    );
    let words: Vec<Vec<&str>> = lines[3..7]
        .iter()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        words[0],
        [
            "series", "curve", "last", "best", "at", "step", "first", "points", "kind"
        ]
    );
    assert_eq!(
        words[1],
        [
            "speed", "▄", "1200.0", "1200.0", "↑", "0", "1200.0", "1", "scalar"
        ]
    );
    let loss = [
        "validation/loss",
        "█▁▃",
        "0.2500",
        "0.1250",
        "↓",
        "1",
        "0.5000",
        "3",
        "scalar",
    ];
    assert_eq!(words[2], ["note", "1", "text"]);
    assert_eq!(words[3], loss);
    assert_eq!(lines[7..11], ["", "hparams", "  lr 0.003", "  model lenet"]);
    assert_eq!(lines[11..14], ["", "note, step 2", "  **bold**"]);
    assert_eq!(lines.last(), Some(&"  … 3 more lines"));
}

#[test]
fn tags_choose_series_and_texts() {
    let directory = tempfile::tempdir().unwrap();
    write_run(directory.path());
    let output = show(&["exp1", "--tag", "validation/*"], directory.path());
    let shown = stdout(&output);
    assert!(
        shown.contains("validation/loss") && !shown.contains("speed"),
        "{shown}"
    );
    assert!(!shown.contains("note"));
    let output = show(&["exp1", "--tag", "nothing"], directory.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stderr.is_empty());
}

#[test]
fn json_has_all_of_it() {
    let directory = tempfile::tempdir().unwrap();
    write_run(directory.path());
    let output = show(&[".", "--json"], directory.path());
    let found: Value = serde_json::from_str(stdout(&output)).unwrap();
    let run = &found[0];
    assert_eq!(
        (&run["run"], &run["status"]),
        (&json!("exp1"), &json!("finished"))
    );
    assert_eq!(run["hparams"], json!({"lr": 0.003, "model": "lenet"}));
    let loss = json!({
        "name": "validation/loss",
        "kind": "scalar",
        "points": 3,
        "last_step": 2,
        "first": {"step": 0, "value": 0.5},
        "last": {"step": 2, "value": 0.25},
        "best": {"step": 1, "value": 0.125},
    });
    assert_eq!(run["series"][1]["kind"], json!("text"));
    assert_eq!(run["series"][2], loss);
    assert_eq!(run["dropped"], json!(0));
    assert_eq!(run["texts"][0]["step"], json!(2));
    assert_eq!(run["problems"], json!([]));
}
