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
    let cases: [(&[&str], &str, &str); 2] = [
        (&["."], "", "warning: no event files in . or below\n"),
        (
            &["--json", "."],
            "[]\n",
            "warning: no event files in . or below\n",
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
fn an_unknown_name_is_an_error_with_the_nearest() {
    let directory = tempfile::tempdir().unwrap();
    write_trainings(directory.path());
    let cases: [(&[&str], &str, &str); 5] = [
        (
            &["--metric", "validation/accurcy"],
            "none of the runs has a scalar \"validation/accurcy\"",
            "validation/accuracy, validation/loss, train/accuracy",
        ),
        (
            &["--metric", "validation/loss", "--metric", "LOSS"],
            "none of the runs has a scalar \"LOSS\"",
            "validation/loss, test/accuracy, train/accuracy",
        ),
        (
            &["--group-by", "learning_rat"],
            "none of the runs has a setting \"learning_rat\"",
            "learning_rate, optimizer, epochs",
        ),
        (
            &["--baseline", "exp3"],
            "the baseline \"exp3\" is not among the runs that are compared",
            "exp1, exp2",
        ),
        (
            &["--sort", "epoch"],
            "there is no column \"epoch\"",
            "epochs, run, step",
        ),
    ];
    for (arguments, error, near) in cases {
        let output = output(&[arguments, &["."]].concat(), directory.path());
        let expected = format!("error: {error}\n  the nearest are {near}\n");
        assert_eq!(stderr(&output), expected);
        assert_eq!((stdout(&output), output.status.code()), ("", Some(2)));
    }
}

/// Runs of two learning rates and several seeds, each with one loss; `None` is none.
fn write_seeds(logdir: &Path) {
    let runs: [(&str, f64, Option<f32>); 6] = [
        ("a0", 0.001, Some(0.25)),
        ("a1", 0.001, Some(0.75)),
        ("a2", 0.001, None),
        ("b0", 0.01, Some(0.5)),
        ("b1", 0.01, Some(1.0)),
        ("c0", 0.1, Some(f32::NAN)),
    ];
    for (seed, (name, lr, loss)) in (0..).zip(runs) {
        let writer = SummaryWriter::create(logdir.join(name)).unwrap();
        writer
            .add_hparams([("lr", HParam::from(lr)), ("seed", seed.into())])
            .unwrap();
        writer.at(1e9).add_scalar("Loss/train", 0.5, 1).unwrap();
        if let Some(loss) = loss {
            writer.at(1e9).add_scalar("Loss/val", loss, 1).unwrap();
        }
        writer.finish().unwrap();
    }
    let writer = SummaryWriter::create(logdir.join("plain")).unwrap();
    writer.at(1e9).add_scalar("Loss/val", 1.5, 1).unwrap();
    writer.finish().unwrap();
}

const GROUPS: &str = "\
lr        runs   best Loss/val ↓   (min … max)             Δ
0.001   2 of 3   0.5000 ± 0.3536   0.2500 … 0.7500         –
0.01         2   0.7500 ± 0.3536   0.5000 … 1.0000   +0.2500
–            1            1.5000   1.5000 … 1.5000   +1.0000
0.1          1               NaN   NaN … NaN             NaN
";

#[test]
fn seeds_are_taken_together() {
    let directory = tempfile::tempdir().unwrap();
    write_seeds(directory.path());
    let group = |arguments: &[&str]| {
        let output = output(
            &[&["--group-by", "lr", "."], arguments].concat(),
            directory.path(),
        );
        assert_eq!((stderr(&output), output.status.code()), ("", Some(0)));
        stdout(&output).to_owned()
    };
    assert_eq!(group(&[]), GROUPS);
    let expected = "\
lr        runs   best Loss/val ↓   (min … max)             Δ
0.001   2 of 3   0.5000 ± 0.3536   0.2500 … 0.7500   -0.2500
0.01         2   0.7500 ± 0.3536   0.5000 … 1.0000         –
";
    assert_eq!(group(&["--baseline", "b1", "--top", "2"]), expected);
    let expected = "\
lr        runs         Δ
0.001   2 of 3         –
0.01         2   +0.2500
0.1          1       NaN
–            1   +1.0000
";
    assert_eq!(group(&["--columns", "runs,Δ", "--sort", "lr"]), expected);
    let expected = "\
lr,runs,mean,deviation,min,max,delta
0.001,2,0.5,0.3535533905932738,0.25,0.75,
0.01,2,0.75,0.3535533905932738,0.5,1,0.25
,1,1.5,,1.5,1.5,1
0.1,1,NaN,,NaN,NaN,NaN
";
    assert_eq!(group(&["--format", "csv"]), expected);

    let groups: Value = serde_json::from_str(&group(&["--json"])).unwrap();
    let expected = json!({
        "settings": {"lr": 0.001},
        "runs": ["a0", "a1", "a2"],
        "metric": "Loss/val",
        "counted": 2,
        "mean": 0.5,
        "deviation": 0.125_f64.sqrt(),
        "min": 0.25,
        "max": 0.75,
        "delta": null
    });
    assert_eq!(groups[0], expected);
    assert_eq!(groups[2]["settings"], json!({"lr": null}));
    assert_eq!(groups[3]["mean"], Value::Null);
    assert_eq!(groups[1]["delta"], 0.25);
    // By two settings each run with its own seed is a group.
    let lines = group(&["--group-by", "seed"]).lines().count();
    assert_eq!(lines, 1 + 7);
}

#[test]
fn one_metric_decides_among_groups() {
    let directory = tempfile::tempdir().unwrap();
    write_seeds(directory.path());
    let two = ["--metric", "Loss/val", "--metric", "Loss/train"];
    let output = output(
        &[&two[..], &["--group-by", "lr", "."]].concat(),
        directory.path(),
    );
    let expected = "error: --group-by compares by one --metric, not by 2\n";
    assert_eq!((stderr(&output), output.status.code()), (expected, Some(2)));
}

#[test]
fn differences_are_those_to_the_baseline() {
    let directory = tempfile::tempdir().unwrap();
    write_trainings(&directory.path().join("runs"));
    let expected = "\
run    validation/accuracy ↑  at epoch          Δ
exp1                 99.04 %         5   +1.24 pp
exp2                 97.80 %         6          –
";
    let columns = ["--columns", "validation/accuracy,step,Δ", "runs"];
    // Named as in the table or by its directory.
    for baseline in ["exp2", "runs/exp2", "./runs/../runs/exp2/"] {
        let arguments = [&["--baseline", baseline], &columns[..]].concat();
        let output = output(&arguments, directory.path());
        assert_eq!((stdout(&output), stderr(&output)), (expected, ""));
    }
    let json = output(&["--baseline", "exp1", "--json", "runs"], directory.path());
    let runs: Value = serde_json::from_str(stdout(&json)).unwrap();
    assert_eq!(runs[0]["delta"], Value::Null);
    assert!((runs[1]["delta"].as_f64().unwrap() + 0.0124).abs() < 1e-6);
}

#[test]
fn a_requirement_is_the_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    write_trainings(directory.path());
    let accuracy = "validation/accuracy ↑";
    let cases: [(&[&str], i32, String); 6] = [
        (
            // 0.9904 - 0.978, of 32 bits each.
            &["--baseline", "exp2", "--require", "0.0124"],
            0,
            format!(
                "passed: exp1 beats the baseline exp2 by at least 0.0124: {accuracy} 99.04 % \
                 against 97.80 % (+1.24 pp)\n"
            ),
        ),
        (
            &["--baseline", "exp2", "--require", "0.0125", "--top", "1"],
            1,
            format!(
                "failed: exp1 does not beat the baseline exp2 by at least 0.0125: {accuracy} \
                 99.04 % against 97.80 % (+1.24 pp)\n"
            ),
        ),
        (
            &["--baseline", "exp1", "--require", "-0.02"],
            0,
            format!(
                "passed: exp2 beats the baseline exp1 by at least -0.02: {accuracy} 97.80 % \
                 against 99.04 % (-1.24 pp)\n"
            ),
        ),
        (
            &[
                "--baseline",
                "exp2",
                "--require",
                "0.03",
                "--metric",
                "validation/loss",
            ],
            0,
            "passed: exp1 beats the baseline exp2 by at least 0.03: validation/loss ↓ 0.0371 \
             against 0.0745 (-0.0374)\n"
                .to_owned(),
        ),
        (
            &["--baseline", "exp1", "--require", "0", "--runs", "exp1"],
            1,
            format!("failed: nothing else has {accuracy} to hold against the baseline exp1\n"),
        ),
        (
            &[
                "--baseline",
                "exp1",
                "--require",
                "0.01",
                "--group-by",
                "learning_rate",
                "--json",
            ],
            1,
            format!(
                "failed: learning_rate 0.0001 (mean of 1 run) does not beat the baseline \
                 learning_rate 0.003 (mean of 1 run) by at least 0.01: {accuracy} 97.80 % against \
                 99.04 % (-1.24 pp)\n"
            ),
        ),
    ];
    for (arguments, code, said) in cases {
        let output = output(&[arguments, &["."]].concat(), directory.path());
        assert_eq!(stderr(&output), said, "{arguments:?}");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(stdout(&output).lines().count() > 1, "{output:?}");
    }
    for wrong in [
        &["--require", "0.1"][..],
        &["--baseline", "exp1", "--require", "nan"],
        &["--baseline", "exp1", "--require", "much"],
    ] {
        let output = output(&[wrong, &["."]].concat(), directory.path());
        assert_eq!((stdout(&output), output.status.code()), ("", Some(2)));
    }
}

#[test]
fn a_run_without_a_number_beats_nothing() {
    let directory = tempfile::tempdir().unwrap();
    write_seeds(directory.path());
    let require = |baseline, runs| {
        let flags = [
            "--baseline",
            baseline,
            "--require",
            "-9",
            "--runs",
            runs,
            ".",
        ];
        output(&flags, directory.path())
    };
    assert_eq!(require("a0", "[ac]0").status.code(), Some(1), "NaN");
    assert_eq!(require("c0", "[ac]0").status.code(), Some(1), "against NaN");
    assert_eq!(require("a0", "a[02]").status.code(), Some(1), "none");
    let none = require("a2", "a[02]");
    assert_eq!(stderr(&none), "error: the baseline a2 has no Loss/val ↓\n");
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn rows_and_columns_are_chosen() {
    let directory = tempfile::tempdir().unwrap();
    write_trainings(directory.path());
    let cases: [(&[&str], &str); 5] = [
        (
            &[
                "--sort",
                "learning_rate",
                "--columns",
                "optimizer,learning_rate",
            ],
            "run    optimizer   learning_rate\nexp2        adam          0.0001\nexp1        adam           0.003\n",
        ),
        (
            &["--sort", "run", "--top", "1", "--columns", "test"],
            "run       test\nexp1   99.07 %\n",
        ),
        (
            &["--best", "min", "--columns", "validation/accuracy,step"],
            "run    validation/accuracy ↓  at epoch\nexp2                 90.00 %         1\nexp1                 97.00 %         1\n",
        ),
        (
            &["--best", "last", "--columns", "validation/accuracy"],
            "run    last validation/accuracy ↑\nexp1                      99.02 %\nexp2                      97.80 %\n",
        ),
        (&["--top", "0", "--columns", "run"], "run\n"),
    ];
    for (arguments, expected) in cases {
        let output = output(&[arguments, &["."]].concat(), directory.path());
        assert_eq!(stdout(&output), expected, "{arguments:?}");
        assert_eq!((stderr(&output), output.status.code()), ("", Some(0)));
    }
}

#[test]
fn tables_go_into_a_readme_or_a_spreadsheet() {
    let markdown = output(&["--format", "markdown", "pytorch"], golden());
    let expected = "\
| run | validation accuracy ↑ | at step | validation loss ↓ | test | time | augment | dropout | lr | model |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| lenet | 90.5000 | 1 | 0.7500 | 89.5000 | 1 min 30 s | – | – | – | – |
| resnet | 87.50 % | 1 | 0.2500 | – | 1 min 30 s | 1 | – | 0.01 | resnet18 |
| vgg | 81.25 % | 2 | 0.5000 | – | 1 min 30 s | – | 0.5 | 0.001 | vgg11 |
";
    assert_eq!(stdout(&markdown), expected);
    let csv = output(
        &["--format", "csv", "--baseline", "vgg", "pytorch"],
        golden(),
    );
    let expected = "\
run,validation_accuracy,step,delta,validation_loss,test_accuracy,elapsed_secs,augment,dropout,lr,model
lenet,90.5,1,0.0925,0.75,89.5,90,,,,
resnet,0.875,1,0.0625,0.25,,90,1,,0.01,resnet18
vgg,0.8125,2,,0.5,,90,,0.5,0.001,vgg11
";
    assert_eq!(stdout(&csv), expected);
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
        &["--format", "csv", "."],
        &["--format", "markdown", "."],
        &["--group-by", hostile, "."],
        &["--group-by", hostile, "--format", "csv", "."],
        &["--group-by", hostile, "--format", "markdown", "."],
        &["--group-by", hostile, "--json", "."],
        &["--baseline", hostile, "--require", "0", "."],
        &[
            "--baseline",
            "other",
            "--require",
            "0",
            "--group-by",
            hostile,
            ".",
        ],
        &["--sort", hostile, "--columns", hostile, "."],
        &["--metric", tag, "--sort", hostile, "."],
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

#[cfg(unix)]
#[test]
fn names_are_text_in_markdown_and_csv() {
    let directory = tempfile::tempdir().unwrap();
    let long = "x".repeat(10_000);
    for (name, model) in [("=1+1,2", "<img src=x>|a"), ("+b", long.as_str())] {
        let writer = SummaryWriter::create(directory.path().join(name)).unwrap();
        writer.add_hparams([("@m", HParam::from(model))]).unwrap();
        writer.at(1e9).add_scalar("val/acc", 0.5, 1).unwrap();
        writer.finish().unwrap();
    }
    let csv = output(
        &["--format", "csv", "--columns", "@m", "."],
        directory.path(),
    );
    let expected = format!("run,'@m\n'+b,{long}\n\"'=1+1,2\",<img src=x>|a\n");
    assert_eq!(stdout(&csv), expected);
    let markdown = output(
        &["--format", "markdown", "--columns", "@m", "."],
        directory.path(),
    );
    let expected = format!(
        "| run | @m |\n| --- | ---: |\n| +b | {}… |\n| =1+1,2 | &lt;img src=x&gt;\\|a |\n",
        &long[..31]
    );
    assert_eq!(stdout(&markdown), expected);
}

#[test]
fn a_closed_pipe_is_fine() {
    for arguments in [
        &["pytorch"][..],
        &["--json", "pytorch"],
        &["--format", "csv", "pytorch"],
        &["--format", "markdown", "pytorch"],
        &["--group-by", "lr", "pytorch"],
        &["--help"],
    ] {
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
