//! `cnn-tb ls` from outside: what it prints, and its exit code.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use cnn_tb::tb::{HParam, SummaryWriter};
use serde_json::{Value, json};

fn cnn_tb(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cnn-tb"));
    command.args(arguments).current_dir(directory);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The standard output of an `ls` that finds something.
fn ls(arguments: &[&str], directory: &Path) -> String {
    let output = cnn_tb(&[&["ls"], arguments].concat(), directory);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

/// The first words of the rows, which are the names of the runs.
fn names(table: &str) -> Vec<&str> {
    let rows = table.lines().skip(2).filter(|line| !line.starts_with('…'));
    let rows = rows.filter(|line| !line.contains(" no "));
    rows.filter_map(|line| line.split_whitespace().next())
        .collect()
}

fn write(path: &Path, losses: &[f32], hparams: &[(&str, HParam)]) {
    let writer = SummaryWriter::create(path).unwrap();
    writer.add_hparams(hparams.iter().cloned()).unwrap();
    for (step, &loss) in losses.iter().enumerate() {
        writer.add_scalar("Loss/val", loss, step).unwrap();
    }
    writer.finish().unwrap();
}

/// Three runs with a loss and one without.
fn write_runs(directory: &Path) {
    let runs = directory.join("runs");
    let adam = || ("optimizer", HParam::from("adam"));
    write(&runs.join("a"), &[0.5, 0.3], &[("lr", 0.1.into()), adam()]);
    write(
        &runs.join("b"),
        &[0.4, 0.2, 0.9],
        &[("lr", 0.01.into()), adam()],
    );
    write(&runs.join("c"), &[0.6], &[("lr", 0.001.into()), adam()]);
    write(&runs.join("d"), &[], &[("lr", 0.0001.into()), adam()]);
}

#[test]
fn runs_are_listed_best_first_with_what_tells_them_apart() {
    let directory = tempfile::tempdir().unwrap();
    write_runs(directory.path());
    let table = ls(&["--top", "2"], directory.path());
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("4 runs, "), "{table}");
    let metric = "; best Loss/val (lower is better, from its name; --best max to change)";
    assert!(lines[0].ends_with(metric), "{table}");
    assert!(lines[1].starts_with("run   Loss/val ↓   at step   points   last step"));
    let words: Vec<&str> = lines[2].split_whitespace().collect();
    assert_eq!(words[..5], ["b", "0.2000", "1", "3", "2"]);
    assert_eq!(words[words.len() - 3..], ["finished", "lr", "0.01"]);
    assert_eq!(lines[4..], ["… 2 more; 1 run has no Loss/val"]);
}

#[test]
fn order_rows_and_columns_can_be_chosen() {
    let directory = tempfile::tempdir().unwrap();
    write_runs(directory.path());
    let cases: [(&[&str], &[&str]); 10] = [
        (&[], &["b", "a", "c", "d"]),
        (&["--best", "max"], &["b", "c", "a", "d"]),
        (&["--best", "last"], &["a", "c", "b", "d"]),
        (&["--sort", "run"], &["a", "b", "c", "d"]),
        (&["--sort", "points", "--top", "2"], &["b", "a"]),
        (&["--sort", "lr"], &["d", "c", "b", "a"]),
        (&["--where", "lr<1e-1", "--where", "lr>=1e-3"], &["b", "c"]),
        (
            &["--where", "optimizer=adam", "--runs", "[ad]"],
            &["a", "d"],
        ),
        (&["--where", "lr!=0.1"], &["b", "c", "d"]),
        (&["runs/c", "runs/a"], &["a", "c"]),
    ];
    for (arguments, expected) in cases {
        let table = ls(arguments, directory.path());
        assert_eq!(names(&table), expected, "{arguments:?}\n{table}");
    }
    let table = ls(&["--columns", "lr,points", "--top", "1"], directory.path());
    let lines: Vec<&str> = table.lines().skip(1).take(2).collect();
    assert_eq!(lines, ["run     lr   points", "b     0.01        3"]);
}

#[test]
fn flat_takes_directories_as_tensorboard_does() {
    let directory = tempfile::tempdir().unwrap();
    let run = SummaryWriter::create(directory.path().join("runs/exp1")).unwrap();
    run.add_hparams([("lr", 0.1.into())]).unwrap();
    let child = run.child("validation").unwrap();
    child.add_scalar("accuracy", 0.5, 1).unwrap();
    run.finish().unwrap();
    let table = ls(&[], directory.path());
    assert_eq!(names(&table), ["exp1"]);
    assert!(table.contains("50.00 %"), "{table}");
    let table = ls(&["--flat"], directory.path());
    assert_eq!(names(&table), ["exp1/validation", "exp1"]);
}

#[test]
fn names_that_are_not_there_are_answered_with_the_nearest() {
    let directory = tempfile::tempdir().unwrap();
    write_runs(directory.path());
    let cases: [(&[&str], &str, &str); 5] = [
        (&["--metric", "loss/vla"], "scalar \"loss/vla\"", "Loss/val"),
        (&["--where", "rl<1"], "hyper-parameter \"rl\"", "lr"),
        (&["--sort", "ponits"], "column \"ponits\"", "points"),
        (&["--columns", "lr,sizes"], "column \"sizes\"", "size"),
        (&["--where", "lr<fast"], "no number", "lr<=0.01"),
    ];
    for (arguments, wrong, near) in cases {
        let output = cnn_tb(&[&["ls"], arguments].concat(), directory.path());
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(wrong) && error.contains(near), "{error}");
        assert!(output.stdout.is_empty());
    }
    let output = cnn_tb(&["ls", "--where", "lr>5"], directory.path());
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert_eq!(error, "warning: none of the 4 runs in runs fits lr>5\n");
}

#[test]
fn the_status_is_what_a_run_says() {
    let directory = tempfile::tempdir().unwrap();
    let runs = directory.path().join("runs");
    write(&runs.join("done"), &[0.5], &[("lr", 0.1.into())]);
    let running = SummaryWriter::create(runs.join("open")).unwrap();
    running.add_hparams([("lr", 0.1.into())]).unwrap();
    running.flush().unwrap();
    let silent = SummaryWriter::create(runs.join("silent")).unwrap();
    silent.add_scalar("loss", 0.5, 1).unwrap();
    silent.finish().unwrap();
    // As a killed writer leaves it: events and a lock that nobody holds.
    fs::create_dir(runs.join("killed")).unwrap();
    for entry in fs::read_dir(runs.join("open")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, runs.join("killed").join(path.file_name().unwrap())).unwrap();
    }
    let found: Value =
        serde_json::from_str(&ls(&["--json", "--sort", "run"], directory.path())).unwrap();
    let statuses: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|run| (run["run"].as_str().unwrap(), run["status"].clone()))
        .collect();
    let expected = [
        ("done", json!("finished")),
        ("killed", json!("unfinished")),
        ("open", json!("running")),
        ("silent", Value::Null),
    ];
    assert_eq!(statuses, expected);
    running.finish().unwrap();
}

#[test]
fn json_has_the_full_numbers() {
    let directory = tempfile::tempdir().unwrap();
    write_runs(directory.path());
    let found: Value = serde_json::from_str(&ls(&["--json"], directory.path())).unwrap();
    let [best, .., last] = &found.as_array().unwrap()[..] else {
        panic!("{found}");
    };
    let metric = json!({"series": "Loss/val", "value": f64::from(0.2_f32), "step": 1});
    assert_eq!(best["metric"], metric);
    assert_eq!(best["hparams"], json!({"lr": 0.01, "optimizer": "adam"}));
    let file = fs::read_dir(directory.path().join("runs/b")).unwrap();
    let bytes: u64 = file
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(best["bytes"], json!(bytes));
    assert_eq!(
        (&last["metric"], &last["last_step"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn damage_is_summed_up_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    write_runs(directory.path());
    for run in ["a", "b"] {
        let file = fs::read_dir(directory.path().join("runs").join(run)).unwrap();
        let path = file.map(|file| file.unwrap().path()).next().unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    }
    let output = cnn_tb(&["ls"], directory.path());
    assert_eq!(output.status.code(), Some(0));
    let warning = text(&output.stderr);
    assert_eq!(warning.lines().count(), 1, "{warning}");
    assert!(warning.starts_with("warning: 2 runs read in part, the first: runs/a/"));
    assert!(warning.ends_with("more: cnn-tb doctor runs\n"), "{warning}");
}

/// Names that steer a terminal, break out of HTML or a line, turn the direction or have no end.
#[test]
#[cfg(unix)]
fn hostile_names_do_no_harm() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let directory = tempfile::tempdir().unwrap();
    let runs = directory.path().join("runs");
    let long = "x".repeat(10_000);
    let tags = [
        "\x1b[2J\x1b]0;t\x07loss",
        "<script>loss",
        "a\nb\u{202e}loss",
        &long,
    ];
    let name = OsStr::from_bytes(b"\x1b[31m\xff\n<b>\xe2\x80\xae");
    let writer = SummaryWriter::create(runs.join(name)).unwrap();
    let hparams = tags.map(|tag| (tag, HParam::from(tag)));
    writer.add_hparams(hparams).unwrap();
    for tag in tags {
        writer.add_scalar(tag, 0.5, 1).unwrap();
        writer.add_text(&format!("text {tag}"), tag, 1).unwrap();
    }
    writer.finish().unwrap();
    let mut calls: Vec<Vec<&str>> = vec![
        vec!["ls"],
        vec!["ls", "--json"],
        vec!["show"],
        vec!["show", "--json"],
        vec!["ls", "--metric", "\x1b[2J"],
        vec!["ls", "--where", "\x1b[2J=1"],
        vec!["show", "--tag", "\x1b"],
    ];
    for tag in tags {
        calls.push(vec!["ls", "--metric", tag, "--columns", tag, "--sort", tag]);
    }
    for arguments in calls {
        let output = cnn_tb(&arguments, directory.path());
        assert!(output.status.code().is_some_and(|code| code <= 2));
        let shown = [text(&output.stdout), text(&output.stderr)].concat();
        let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!shown.contains(steers), "{arguments:?}\n{shown:?}");
        if !arguments.contains(&"--json") {
            let widest = shown.lines().map(|line| line.chars().count()).max();
            assert!(
                arguments[0] == "show" || widest < Some(1_000),
                "{arguments:?}"
            );
        }
    }
}

#[test]
fn completions_and_manual_pages_know_every_subcommand() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = cnn_tb(&["completions", shell], directory.path());
        let script = text(&output.stdout);
        for word in ["compare", "show", "ls", "where"] {
            assert!(script.contains(word), "{shell} {word}");
        }
    }
    let output = cnn_tb(&["man", "-o", "man1"], directory.path());
    assert_eq!(output.status.code(), Some(0));
    let page = fs::read_to_string(directory.path().join("man1/cnn-tb-ls.1")).unwrap();
    assert!(
        page.contains(r"\-\-where") && page.contains(".TH cnn-tb-ls 1"),
        "{page}"
    );
    let output = cnn_tb(&["man"], directory.path());
    assert!(text(&output.stdout).contains("cnn\\-tb\\-show(1)"));
}
