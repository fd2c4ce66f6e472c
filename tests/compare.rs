//! `cnn-tb compare` from outside: what it prints, and its exit code.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use cnn_tb::tb::{HParam, SummaryWriter};
use serde_json::{Value, json};

fn compare(arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cnn-tb"));
    command
        .arg("compare")
        .args(arguments)
        .current_dir(directory);
    command
}

fn output(arguments: &[&str], directory: &Path) -> Output {
    compare(arguments, directory).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Runs that PyTorch's SummaryWriter wrote; `golden/pytorch.py` made them.
fn golden() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

/// A run as `cnn-tb train` lays it out.
struct Training {
    name: &'static str,
    /// Validation accuracy and loss, by epoch.
    epochs: [(f32, f32); 6],
    test_accuracy: f32,
    elapsed_secs: f32,
    learning_rate: f64,
}

impl Training {
    fn write(&self, logdir: &Path) {
        let run = SummaryWriter::create(logdir.join(self.name)).unwrap();
        run.add_hparams([
            ("learning_rate", HParam::from(self.learning_rate)),
            ("epochs", 6.into()),
            ("optimizer", "adam".into()),
        ])
        .unwrap();
        let (train, validation) = (
            run.child("train").unwrap(),
            run.child("validation").unwrap(),
        );
        for (epoch, (accuracy, loss)) in (1..).zip(self.epochs) {
            train.add_scalar("accuracy", 1.0, epoch).unwrap();
            validation.add_scalar("accuracy", accuracy, epoch).unwrap();
            validation.add_scalar("loss", loss, epoch).unwrap();
        }
        run.add_scalar("test/accuracy", self.test_accuracy, 6)
            .unwrap();
        run.add_scalar("performance/elapsed_secs", self.elapsed_secs, 6)
            .unwrap();
        run.finish().unwrap();
    }
}

fn write_trainings(logdir: &Path) {
    let trainings = [
        Training {
            name: "exp1",
            epochs: [
                (0.97, 0.09),
                (0.98, 0.06),
                (0.985, 0.05),
                (0.99, 0.04),
                (0.9904, 0.0375),
                (0.9902, 0.0371),
            ],
            test_accuracy: 0.9907,
            elapsed_secs: 4.9,
            learning_rate: 0.003,
        },
        Training {
            name: "exp2",
            epochs: [
                (0.9, 0.3),
                (0.94, 0.2),
                (0.96, 0.12),
                (0.97, 0.1),
                (0.975, 0.08),
                (0.978, 0.0745),
            ],
            test_accuracy: 0.9795,
            elapsed_secs: 4.8,
            learning_rate: 0.0001,
        },
    ];
    for training in trainings {
        training.write(logdir);
    }
}

const TABLE: &str = "\
run    validation/accuracy ↑  at epoch   validation/loss ↓      test    time   learning_rate
exp1                 99.04 %         5              0.0371   99.07 %   4.9 s           0.003
exp2                 97.80 %         6              0.0745   97.95 %   4.8 s          0.0001
";

#[test]
fn trainings_stand_side_by_side_best_first() {
    let directory = tempfile::tempdir().unwrap();
    write_trainings(&directory.path().join("runs"));
    for arguments in [
        &["runs"][..],
        &["runs/exp2", "runs/exp1"],
        &["runs/exp2/", "runs", "runs/../runs/exp1"],
    ] {
        let output = output(arguments, directory.path());
        assert_eq!(stdout(&output), TABLE, "{arguments:?}");
        assert_eq!(stderr(&output), "");
        assert_eq!(output.status.code(), Some(0));
    }
    // The run is the working directory.
    let output = output(&["."], &directory.path().join("runs/exp1"));
    assert!(stdout(&output).contains("\nexp1 "), "{output:?}");
}

#[test]
fn names_that_are_not_clear_become_paths() {
    let directory = tempfile::tempdir().unwrap();
    write_trainings(&directory.path().join("a"));
    write_trainings(&directory.path().join("b"));
    let output = output(&["a", "b/exp1"], directory.path());
    let names: Vec<&str> = stdout(&output)
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(names, ["run", "a/exp1", "b/exp1", "exp2"]);
}

#[test]
fn a_series_that_is_asked_for_decides() {
    let directory = tempfile::tempdir().unwrap();
    write_trainings(directory.path());
    let time = [
        "--metric",
        "performance/elapsed_secs",
        "--metric",
        "validation/loss",
        ".",
    ];
    let output = output(&time, directory.path());
    let expected = "\
run    performance/elapsed_secs ↓  at step   validation/loss ↓      test    time   learning_rate
exp2                       4.8000        6              0.0745   97.95 %   4.8 s          0.0001
exp1                       4.9000        6              0.0371   99.07 %   4.9 s           0.003
";
    assert_eq!(stdout(&output), expected);
}

#[test]
fn runs_of_pytorch_are_understood() {
    let output = output(&["pytorch"], golden());
    let expected = "\
run      validation accuracy ↑  at step   validation loss ↓      test         time   augment   dropout      lr      model
lenet                  90.5000        1              0.7500   89.5000   1 min 30 s         –         –       –          –
resnet                 87.50 %        1              0.2500         –   1 min 30 s         1         –    0.01   resnet18
vgg                    81.25 %        2              0.5000         –   1 min 30 s         –       0.5   0.001      vgg11
";
    assert_eq!(stdout(&output), expected);
    assert_eq!(stderr(&output), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn json_has_every_run_with_every_key() {
    let output = output(&["--json", "pytorch"], golden());
    let runs: Value = serde_json::from_str(stdout(&output)).unwrap();
    let expected = json!([
        {
            "run": "lenet",
            "path": "pytorch/lenet",
            "metrics": {
                "validation_accuracy": {"series": "val_acc", "best": 90.5, "step": 1},
                "validation_loss": {"series": "val_loss", "best": 0.75, "step": 1}
            },
            "test_accuracy": 89.5,
            "elapsed_secs": 90.0,
            "settings": {}
        },
        {
            "run": "resnet",
            "path": "pytorch/resnet",
            "metrics": {
                "validation_accuracy": {"series": "Accuracy/val", "best": 0.875, "step": 1},
                "validation_loss": {"series": "Loss/val", "best": 0.25, "step": 2}
            },
            "test_accuracy": null,
            "elapsed_secs": 90.0,
            "settings": {"augment": 1, "batch_size": 64, "lr": 0.01, "model": "resnet18"}
        },
        {
            "run": "vgg",
            "path": "pytorch/vgg",
            "metrics": {
                "validation_accuracy": {"series": "Accuracy/val", "best": 0.8125, "step": 2},
                "validation_loss": {"series": "Loss/val", "best": 0.5, "step": 2}
            },
            "test_accuracy": null,
            "elapsed_secs": 90.0,
            "settings": {"batch_size": 64, "dropout": 0.5, "lr": 0.001, "model": "vgg11"}
        }
    ]);
    assert_eq!(runs, expected);
    // One run a line, as it is easily searched.
    assert_eq!(stdout(&output).lines().count(), 5);
}

#[test]
fn json_keeps_the_digits_of_fractions_and_gives_null_for_nan() {
    let directory = tempfile::tempdir().unwrap();
    let writer = SummaryWriter::create(directory.path().join("a")).unwrap();
    writer.add_scalar("val/accuracy", 0.9904_f32, 1).unwrap();
    writer.add_scalar("val/loss", f32::NAN, 1).unwrap();
    writer.finish().unwrap();
    let output = output(&["--json", "."], directory.path());
    let runs: Value = serde_json::from_str(stdout(&output)).unwrap();
    let metrics = &runs[0]["metrics"];
    assert!(stdout(&output).contains(r#""best":0.9904,"#));
    assert_eq!(
        metrics["validation_loss"],
        json!({"series": "val/loss", "best": null, "step": 1})
    );
}

#[test]
fn a_path_that_is_not_there_is_an_error_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    for path in ["nowhere", "file"] {
        let output = output(&[path], directory.path());
        let expected = format!(
            "error: there is no directory {path}\n  \
             name the directory of a run, or one that holds runs: cnn-tb compare runs\n"
        );
        assert_eq!(stderr(&output), expected);
        assert_eq!((stdout(&output), output.status.code()), ("", Some(2)));
    }
    // What clap finds wrong has the same exit code.
    assert_eq!(output(&[], directory.path()).status.code(), Some(2));
}

#[test]
fn finding_nothing_is_the_answer_no() {
    let directory = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &str, &str); 3] = [
        (&["."], "", "warning: no event files in . or below\n"),
        (
            &["--json", "."],
            "[]\n",
            "warning: no event files in . or below\n",
        ),
        (
            &[
                "--metric",
                "nope",
                concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/pytorch/lenet"),
            ],
            "",
            "warning: run . has no scalar \"nope\"; it has test_accuracy, val_acc, val_loss\n",
        ),
    ];
    for (arguments, expected_stdout, expected_stderr) in cases {
        let output = output(arguments, directory.path());
        assert_eq!(stdout(&output), expected_stdout);
        assert_eq!(stderr(&output), expected_stderr);
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn runs_without_a_known_metric_say_how_to_name_one() {
    let directory = tempfile::tempdir().unwrap();
    let writer = SummaryWriter::create(directory.path().join("a")).unwrap();
    writer.at(1e9).add_scalar("train/reward", 1.0, 1).unwrap();
    writer.finish().unwrap();
    let output = output(&["."], directory.path());
    assert!(stdout(&output).starts_with("run"), "{output:?}");
    assert_eq!(
        stderr(&output),
        "warning: no series is named a validation accuracy or loss; choose others: \
         --metric train/reward\n"
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_damaged_file_is_a_warning_and_what_was_read_counts() {
    let directory = tempfile::tempdir().unwrap();
    let source = golden().join("pytorch/lenet/events.out.tfevents.1700000210.host.1.4");
    let bytes = fs::read(source).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() - 1] ^= 1;
    for (name, bytes) in [("torn", &bytes[..bytes.len() - 3]), ("flipped", &flipped)] {
        let run = directory.path().join(name);
        fs::create_dir(&run).unwrap();
        fs::write(run.join("events.tfevents"), bytes).unwrap();
        let output = output(&[name], directory.path());
        assert!(stdout(&output).contains("90.5000"), "{output:?}");
        assert_eq!(output.status.code(), Some(0));
        let warning = stderr(&output);
        assert!(
            warning.starts_with(&format!("warning: {name}/events.tfevents: ")),
            "{warning}"
        );
        assert_eq!(warning.lines().count(), 1, "{warning}");
    }
}

#[cfg(unix)]
#[test]
fn names_cannot_steer_the_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let hostile = "a\u{1b}]0;title\u{7}\u{202e}b";
    let writer = SummaryWriter::create(directory.path().join(hostile)).unwrap();
    let tag = "val/\u{1b}[2J\u{9b}acc\n";
    writer.add_scalar(tag, 0.5, 1).unwrap();
    writer
        .add_hparams([(hostile, HParam::from(hostile))])
        .unwrap();
    writer.finish().unwrap();
    let other = SummaryWriter::create(directory.path().join("other")).unwrap();
    other.add_hparams([("seed", HParam::from(1))]).unwrap();
    other.add_scalar("val/acc", 0.25, 1).unwrap();
    other.finish().unwrap();

    let missing = format!("{hostile}/missing");
    for arguments in [
        &["."][..],
        &["--json", "."],
        &["--metric", tag, "."],
        &["--metric", hostile, "."],
        &[missing.as_str()],
    ] {
        let output = output(arguments, directory.path());
        let text = format!("{}{}", stdout(&output), stderr(&output));
        assert!(text.contains("title"), "{text:?}");
        let is_hostile = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(is_hostile), "{text:?}");
    }
    let output = output(&["--json", "."], directory.path());
    let runs: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(runs[0]["run"], hostile);
    assert_eq!(runs[0]["settings"][hostile], hostile);
}

#[test]
fn a_closed_pipe_is_fine() {
    for arguments in [&["pytorch"][..], &["--json", "pytorch"], &["--help"]] {
        let mut child = compare(arguments, golden())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(
            (child.wait().unwrap().code(), said.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = compare(&["pytorch"], golden())
        .stdout(full)
        .output()
        .unwrap();
    assert!(stderr(&output).starts_with("error: "), "{output:?}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_program_alone_prints_its_help() {
    let output = Command::new(env!("CARGO_BIN_EXE_cnn-tb")).output().unwrap();
    assert!(stdout(&output).contains("Usage: cnn-tb"), "{output:?}");
    assert_eq!((stderr(&output), output.status.code()), ("", Some(0)));
}
