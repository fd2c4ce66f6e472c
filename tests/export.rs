//! `cnn-tb export` from outside: what it writes, where, and its exit code.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cnn_tb::tb::image::Image;
use cnn_tb::tb::{Durability, HParam, SummaryWriter, WriterOptions};
use serde_json::{Value, json};

fn export(arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cnn-tb"));
    command.arg("export").args(arguments).current_dir(directory);
    command
}

fn output(arguments: &[&str], directory: &Path) -> Output {
    export(arguments, directory).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn json_lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Python with its standard library, of the environment that the tests against TensorBoard have.
fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python")
}

/// Runs that PyTorch's SummaryWriter wrote; `golden/pytorch.py` made them.
fn golden() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

const LENET: &str = "\
run,tag,step,wall_time,value
lenet,test_accuracy,0,1700000210.0,59.0
lenet,test_accuracy,1,1700000300.0,89.5
lenet,val_acc,0,1700000210.0,60.0
lenet,val_acc,1,1700000300.0,90.5
lenet,val_loss,0,1700000210.0,1.5
lenet,val_loss,1,1700000300.0,0.75
";

#[test]
fn every_point_is_a_row() {
    let output = output(&["pytorch/lenet"], golden());
    assert_eq!(stdout(&output), LENET);
    assert_eq!((stderr(&output), output.status.code()), ("", Some(0)));
}

#[test]
fn hyper_parameters_are_columns_and_runs_without_the_tag_are_counted() {
    let output = output(
        &[
            "pytorch",
            "--tag",
            "Loss/v*",
            "--tag",
            "Accuracy",
            "--hparams",
        ],
        golden(),
    );
    let expected = "\
run,tag,step,wall_time,value,augment,batch_size,dropout,lr,model
resnet,Loss/val,0,1700000030.0,1.2,1,64,,0.01,resnet18
resnet,Loss/val,1,1700000060.0,0.375,1,64,,0.01,resnet18
resnet,Loss/val,2,1700000090.0,0.25,1,64,,0.01,resnet18
vgg,Loss/val,0,1700000120.0,2.0,,64,0.5,0.001,vgg11
vgg,Loss/val,1,1700000150.0,1.0,,64,0.5,0.001,vgg11
vgg,Loss/val,2,1700000180.0,0.5,,64,0.5,0.001,vgg11
";
    assert_eq!(stdout(&output), expected);
    assert_eq!(
        stderr(&output),
        "warning: 1 of 3 runs had no scalar that fits\n"
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn wide_has_a_row_for_each_step() {
    let arguments = [
        "pytorch", "--tag", "*[Ll]oss", "--tag", "Loss/val", "--wide",
    ];
    let expected = "\
step,lenet/val_loss,resnet/Loss/val,vgg/Loss/val
0,1.5,1.2,2.0
1,0.75,0.375,1.0
2,,0.25,0.5
";
    let wide = output(&arguments, golden());
    assert_eq!(stdout(&wide), expected);
    let wide = output(&[&arguments[..], &["--json"]].concat(), golden());
    assert_eq!(
        json_lines(stdout(&wide))[2],
        json!({"step": 2, "resnet/Loss/val": 0.25, "vgg/Loss/val": 0.5})
    );
}

#[test]
fn json_lines_say_null_where_there_is_no_number() {
    let directory = tempfile::tempdir().unwrap();
    let writer = SummaryWriter::create(directory.path().join("a")).unwrap();
    for (step, value) in [0.1, f32::NAN, f32::INFINITY, f32::NEG_INFINITY]
        .into_iter()
        .enumerate()
    {
        writer.at(1e9).add_scalar("loss", value, step).unwrap();
    }
    writer.finish().unwrap();
    for arguments in [&["a", "--json"][..], &["a", "--format", "jsonl"]] {
        let output = output(arguments, directory.path());
        let rows = json_lines(stdout(&output));
        assert_eq!(
            rows[0],
            json!({"run": "a", "tag": "loss", "step": 0, "wall_time": 1e9, "value": 0.1})
        );
        assert!(rows[1..].iter().all(|row| row["value"] == Value::Null));
        assert_eq!(rows.len(), 4);
    }
    let values: Vec<String> = stdout(&output(&["a"], directory.path()))
        .lines()
        .filter_map(|line| Some(line.rsplit_once(',')?.1.to_owned()))
        .collect();
    assert_eq!(values, ["value", "0.1", "nan", "inf", "-inf"]);
}

#[test]
fn texts_are_exported_too() {
    let directory = tempfile::tempdir().unwrap();
    let run = SummaryWriter::create(directory.path().join("a")).unwrap();
    run.add_hparams([("seed", HParam::from(1))]).unwrap();
    let text = "# Title\n\n| \"a\" | b, c |\n";
    run.at(1e9).add_text("notes", text, 0).unwrap();
    let child = run.child("validation").unwrap();
    child.at(1e9).add_text("notes", "second", 1).unwrap();
    run.finish().unwrap();
    let csv = output(&["a", "--kind", "text"], directory.path());
    assert_eq!(
        stdout(&csv),
        "run,tag,step,wall_time,value\n\
         a,notes,0,1000000000.0,\"# Title\n\n| \"\"a\"\" | b, c |\n\"\n\
         a,validation/notes,1,1000000000.0,second\n"
    );
    let rows = output(&["a", "--kind", "text", "--json"], directory.path());
    assert_eq!(json_lines(stdout(&rows))[0]["value"], text);
    let none = output(&["pytorch", "--kind", "text"], golden());
    assert_eq!(
        (stdout(&none), stderr(&none), none.status.code()),
        ("", "warning: there is no text in 3 runs\n", Some(1))
    );
}

#[test]
fn a_file_is_replaced_and_what_it_holds_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let lenet = golden().join("pytorch/lenet");
    let cases: [(&str, &[&str], &str); 4] = [
        ("all.csv", &[], "run,tag,step,wall_time,value"),
        ("all.CSV", &["--wide"], "step and 3 columns"),
        ("all.jsonl", &[], "run,tag,step,wall_time,value"),
        (
            "all.txt",
            &["--format", "csv", "--hparams"],
            "run,tag,step,wall_time,value and 0 hyper-parameters",
        ),
    ];
    for (name, arguments, columns) in cases {
        let file = directory.path().join(name);
        fs::write(&file, "what was there").unwrap();
        let arguments = [&[lenet.to_str().unwrap(), "-o", name], arguments].concat();
        let output = output(&arguments, directory.path());
        let written = fs::read_to_string(&file).unwrap();
        let said = stderr(&output);
        let start = format!(
            "1 run, 3 tags, 6 points, none sampled → {name} ({} B, {columns}) in ",
            written.len()
        );
        assert!(said.starts_with(&start), "{said}");
        assert_eq!(said.lines().count(), 1);
        assert_eq!((stdout(&output), output.status.code()), ("", Some(0)));
    }
    assert_eq!(
        fs::read_to_string(directory.path().join("all.csv")).unwrap(),
        LENET
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), cases.len());
}

#[test]
fn a_format_that_is_not_there_is_an_error_that_lists_those_that_are() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["all.xlsx", "all", ".csv"] {
        let output = output(&[golden().to_str().unwrap(), "-o", name], directory.path());
        assert_eq!(
            stderr(&output),
            format!(
                "error: {name} says no format by its extension\n  \
                 there are .csv and .jsonl; or say it: --format csv, jsonl or, for images, png\n"
            )
        );
        assert_eq!(output.status.code(), Some(2));
    }
    let output = output(&["pytorch", "--format", "xlsx"], golden());
    assert!(
        stderr(&output).contains("[possible values: csv, jsonl"),
        "{output:?}"
    );
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn where_nothing_fits_the_file_stays_and_the_answer_is_no() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("all.csv"), "what was there").unwrap();
    let pytorch = golden().join("pytorch");
    let output = output(
        &[pytorch.to_str().unwrap(), "--tag", "los", "-o", "all.csv"],
        directory.path(),
    );
    assert_eq!(
        stderr(&output),
        "warning: no scalar in 3 runs fits --tag; there are Accuracy/val, Loss/train, Loss/val, \
         hparam/accuracy, test_accuracy, val_acc, val_loss\n"
    );
    assert_eq!((stdout(&output), output.status.code()), ("", Some(1)));
    let file = fs::read_to_string(directory.path().join("all.csv")).unwrap();
    assert_eq!(file, "what was there");
}

#[test]
fn where_a_file_cannot_be_written_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let pytorch = golden().join("pytorch");
    for name in ["nowhere/all.csv", "."] {
        let output = output(
            &[pytorch.to_str().unwrap(), "-o", name, "--format", "csv"],
            directory.path(),
        );
        let start = format!("error: cannot write {name}: ");
        assert!(stderr(&output).starts_with(&start), "{output:?}");
        assert_eq!(output.status.code(), Some(2));
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// Names that are hard to keep, or to show.
fn hostile_names() -> Vec<String> {
    let names = [
        "a,b",
        "\"quoted\"",
        "two\nlines",
        "carriage\rreturn",
        "\u{1b}]0;title\u{7}\u{1b}[2J",
        "\u{202e}gnp.exe",
        "<script>alert(1)</script>",
        "=1+1",
        " spaces ",
        "精度/ü🎯",
        "C:\\runs",
        "nan",
    ];
    let mut names: Vec<String> = names.map(str::to_owned).into();
    names.push("long".repeat(2_500));
    names
}

fn write_hostile_run(logdir: &Path) {
    let run = "a\u{1b}[31m,\n\"\u{202e}b";
    let writer = SummaryWriter::create(logdir.join(run)).unwrap();
    for name in hostile_names() {
        writer.add_scalar(&name, 0.5, 1).unwrap();
    }
    writer
        .add_hparams([("x\u{1b}[2J,", HParam::from("y\n\u{202e}"))])
        .unwrap();
    writer.add_text("text", "\u{1b}[2J\n\"\u{202e}", 1).unwrap();
    writer.finish().unwrap();
}

/// Reads CSV as people do and prints a line for each row: its texts, and the bits of its numbers.
const READ_CSV: &str = r#"
import csv, json, struct, sys
csv.field_size_limit(1 << 30)
with open(sys.argv[1], newline="", encoding="utf-8") as file:
    for row in csv.DictReader(file):
        value, wall_time = float(row["value"]), float(row["wall_time"])
        bits = struct.unpack("<I", struct.pack("<f", value))[0]
        wall_bits = struct.unpack("<Q", struct.pack("<d", wall_time))[0]
        print(json.dumps([row["run"], row["tag"], int(row["step"]), wall_bits, bits]))
"#;

#[cfg(unix)]
#[test]
fn python_reads_what_was_logged_to_the_bit() {
    let directory = tempfile::tempdir().unwrap();
    write_hostile_run(directory.path());
    // Numbers from all over the range, by a linear congruential generator.
    let mut state = 1_u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 32) as u32
    };
    let writer = SummaryWriter::create(directory.path().join("numbers")).unwrap();
    let mut expected = Vec::new();
    for step in 0..10_000_i64 {
        let value = f32::from_bits(random());
        let wall_time = 1.7e9 + f64::from(random()) * 1e-9 + f64::from(random());
        writer
            .at(wall_time)
            .add_scalar("bits", value, step)
            .unwrap();
        expected.push((step, wall_time.to_bits(), value));
    }
    writer.finish().unwrap();

    let export = output(&[".", "-o", "all.csv"], directory.path());
    assert_eq!(export.status.code(), Some(0), "{export:?}");
    let read = Command::new(python())
        .args(["-c", READ_CSV, "all.csv"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", stderr(&read));
    let rows = json_lines(stdout(&read));
    let (hostile, numbers) = rows.split_at(hostile_names().len());

    let mut names = hostile_names();
    names.sort();
    for (row, name) in hostile.iter().zip(names) {
        assert_eq!(row[0], "a\u{1b}[31m,\n\"\u{202e}b");
        assert_eq!(row[1], name);
    }
    assert_eq!(numbers.len(), expected.len());
    for (row, (step, wall_bits, value)) in numbers.iter().zip(expected) {
        assert_eq!((&row[2], &row[3]), (&json!(step), &json!(wall_bits)));
        let read = f32::from_bits(u32::try_from(row[4].as_u64().unwrap()).unwrap());
        assert!(
            read.to_bits() == value.to_bits() || (read.is_nan() && value.is_nan()),
            "{read:?} is not {value:?}"
        );
    }
}

#[cfg(unix)]
#[test]
fn json_lines_keep_every_name_and_steer_no_terminal() {
    let directory = tempfile::tempdir().unwrap();
    write_hostile_run(directory.path());
    for kind in ["scalar", "text"] {
        let output = output(
            &[".", "--json", "--hparams", "--kind", kind],
            directory.path(),
        );
        let is_hostile = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!stdout(&output).contains(is_hostile));
        let rows = json_lines(stdout(&output));
        let tags: Vec<&str> = rows.iter().filter_map(|row| row["tag"].as_str()).collect();
        let mut names = match kind {
            "text" => vec!["text".to_owned()],
            _ => hostile_names(),
        };
        names.sort();
        assert_eq!(tags, names);
        assert_eq!(rows[0]["x\u{1b}[2J,"], "y\n\u{202e}");
        if kind == "text" {
            assert_eq!(rows[0]["value"], "\u{1b}[2J\n\"\u{202e}");
        }
    }
}

#[cfg(unix)]
#[test]
fn names_cannot_steer_a_terminal() {
    let directory = tempfile::tempdir().unwrap();
    write_hostile_run(directory.path());
    for arguments in [
        &["."][..],
        &[".", "--hparams"],
        &[".", "--wide"],
        &[".", "--json"],
        &[".", "--kind", "text"],
        &[".", "--tag", "nope"],
        &[".", "-o", "all\u{1b}.csv", "--format", "csv"],
    ] {
        // Python's pty module gives the program a terminal.
        let shown = Command::new(python())
            .args(["-c", "import pty, sys; pty.spawn(sys.argv[1:])"])
            .arg(env!("CARGO_BIN_EXE_cnn-tb"))
            .arg("export")
            .args(arguments)
            .env("NO_COLOR", "1")
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = stdout(&shown).replace("\r\n", "\n");
        assert!(text.contains("tags") || text.contains("u001b") || text.contains("u{1b}"));
        let is_hostile = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(is_hostile), "{arguments:?}: {text:?}");
        assert!(!arguments.contains(&"nope") || text.len() < 400, "{text:?}");
    }
}

#[test]
fn a_closed_pipe_is_fine() {
    let directory = tempfile::tempdir().unwrap();
    write_many(directory.path());
    for arguments in [&["."][..], &[".", "--json"], &[".", "--wide"], &["--help"]] {
        let mut child = export(arguments, directory.path())
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
    let to_stdout = export(&["pytorch"], golden())
        .stdout(full)
        .output()
        .unwrap();
    let to_file = output(&["pytorch", "-o", "/dev/full", "--format", "csv"], golden());
    for output in [to_stdout, to_file] {
        assert!(stderr(&output).starts_with("error: "), "{output:?}");
        assert_eq!(output.status.code(), Some(2));
    }
}

/// A million points, some 50 MB of CSV.
fn write_many(logdir: &Path) {
    let buffered = Durability::Buffered {
        bytes: 1 << 16,
        interval: std::time::Duration::from_secs(60),
    };
    let writer = WriterOptions::new()
        .durability(buffered)
        .create(logdir.join("many"))
        .unwrap();
    for step in 0..1_000_000_i64 {
        writer.add_scalar("loss", step as f32 / 7.0, step).unwrap();
    }
    writer.finish().unwrap();
}

#[cfg(unix)]
#[test]
fn an_interrupted_export_leaves_what_was_there() {
    let directory = tempfile::tempdir().unwrap();
    write_many(directory.path());
    let files = directory.path().join("files");
    fs::create_dir(&files).unwrap();
    let file = files.join("all.csv");
    // On a busy machine an export may be done before the signal comes.
    for _ in 0..20 {
        fs::write(&file, "what was there").unwrap();
        let mut child = export(&[".", "-o", "files/all.csv"], directory.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while fs::read_dir(&files).unwrap().count() == 1 && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let kill = Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status();
        let code = child.wait().unwrap().code();
        assert!(kill.is_ok());
        assert_eq!(fs::read_dir(&files).unwrap().count(), 1);
        if code == Some(130) {
            assert_eq!(fs::read_to_string(&file).unwrap(), "what was there");
            return;
        }
        assert_eq!(code, Some(0));
        assert_eq!(
            fs::read_to_string(&file).unwrap().lines().count(),
            1_000_001
        );
    }
    panic!("no export was interrupted");
}

/// One picture for each grey value, all different.
fn picture(grey: u8) -> Image {
    Image::from_u8_hwc(&[grey; 12], [4, 3, 1]).unwrap()
}

/// The paths of all files below `directory`, relative to it, in order.
fn files_below(directory: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(path) = left.pop() {
        match fs::read_dir(&path) {
            Ok(entries) => left.extend(entries.map(|entry| entry.unwrap().path())),
            Err(_) => files.push(path.strip_prefix(directory).unwrap().to_owned()),
        }
    }
    let mut files: Vec<String> = files
        .iter()
        .map(|path| path.to_str().unwrap().replace('\\', "/"))
        .collect();
    files.sort();
    files
}

#[test]
fn images_become_files() {
    let directory = tempfile::tempdir().unwrap();
    let run = SummaryWriter::create(directory.path().join("runs/a")).unwrap();
    run.add_hparams([("seed", HParam::from(1))]).unwrap();
    run.add_image("digit", &picture(1), 0).unwrap();
    run.add_image("digit", &picture(2), 1_000).unwrap();
    run.add_images("samples/batch", &[picture(3), picture(4)], 7)
        .unwrap();
    let delay = std::time::Duration::from_millis(100);
    run.add_video("film", &[picture(5), picture(6)], delay, 0)
        .unwrap();
    run.add_scalar("loss", 0.5, 0).unwrap();
    let child = run.child("validation").unwrap();
    child.add_image("digit", &picture(7), 0).unwrap();
    run.finish().unwrap();

    let all = [
        ("a/digit/00000000.png", Some(1)),
        ("a/digit/00001000.png", Some(2)),
        ("a/film/00000000.gif", None),
        ("a/samples_batch/00000007_0.png", Some(3)),
        ("a/samples_batch/00000007_1.png", Some(4)),
        ("a/validation_digit/00000000.png", Some(7)),
    ];
    for (arguments, tags, files) in [
        (&["--format", "png"][..], "4 tags", &all[..]),
        (&["--kind", "image"], "4 tags", &all[..]),
        (&["--kind", "image", "--tag", "digit"], "1 tag", &all[..2]),
    ] {
        let target = directory.path().join("images");
        let arguments = [&["runs", "-o", "images"], arguments].concat();
        let output = output(&arguments, directory.path());
        assert_eq!(
            (stdout(&output), output.status.code()),
            ("", Some(0)),
            "{output:?}"
        );
        let start = format!(
            "1 run, {tags}, {} images, none sampled → images (",
            files.len()
        );
        assert!(stderr(&output).starts_with(&start), "{output:?}");
        assert_eq!(
            files_below(&target),
            files.iter().map(|(path, _)| *path).collect::<Vec<_>>()
        );
        for (path, grey) in files {
            let file = fs::read(target.join(path)).unwrap();
            match grey {
                Some(grey) => assert_eq!(file, picture(*grey).to_png().unwrap()),
                None => assert!(file.starts_with(b"GIF89a")),
            }
        }
        fs::remove_dir_all(target).unwrap();
    }
}

#[test]
fn another_image_is_only_replaced_when_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let writer = SummaryWriter::create(directory.path().join("runs/a")).unwrap();
    for step in 0..3_u8 {
        writer.add_image("digit", &picture(step), step).unwrap();
    }
    writer.finish().unwrap();
    let export = |arguments: &[&str]| {
        let arguments = [&["runs", "--format", "png", "-o", "images"], arguments].concat();
        output(&arguments, directory.path())
    };
    let path = directory.path().join("images/a/digit/00000001.png");
    assert_eq!(export(&[]).status.code(), Some(0));
    // What is there is what would be written.
    assert_eq!(export(&[]).status.code(), Some(0));
    fs::write(&path, "another").unwrap();
    let refused = export(&[]);
    assert!(
        stderr(&refused).starts_with("1 run, 1 tag, 2 images, "),
        "{refused:?}"
    );
    assert!(
        stderr(&refused).ends_with(
            "warning: 1 image not written where another file is already; \
             --overwrite replaces those\n"
        ),
        "{refused:?}"
    );
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(fs::read(&path).unwrap(), b"another");
    assert_eq!(export(&["--overwrite"]).status.code(), Some(0));
    assert_eq!(fs::read(&path).unwrap(), picture(1).to_png().unwrap());
}

#[cfg(unix)]
#[test]
fn images_of_any_name_stay_in_their_directory() {
    let directory = tempfile::tempdir().unwrap();
    let writer = SummaryWriter::create(directory.path().join("runs/a\u{1b}[2J")).unwrap();
    let mut tags = hostile_names();
    let more = [
        "../../escape",
        "/escape",
        "..",
        ".",
        "",
        "a/b",
        "a_b",
        "A_B",
        "nul",
        "-rf",
    ];
    tags.extend(more.map(str::to_owned));
    for tag in &tags {
        writer.add_image(tag, &picture(1), 0).unwrap();
    }
    writer.finish().unwrap();
    let output = output(
        &["runs", "--format", "png", "-o", "images"],
        directory.path(),
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let files = files_below(&directory.path().join("images"));
    assert_eq!(files.len(), tags.len());
    let mut folded: Vec<String> = files.iter().map(|path| path.to_lowercase()).collect();
    folded.sort();
    folded.dedup();
    assert_eq!(folded.len(), tags.len());
    for path in files {
        let parts: Vec<&str> = path.split('/').collect();
        assert_eq!(
            (parts.len(), parts[0], parts[2]),
            (3, "a_[2J", "00000000.png")
        );
        assert!(
            parts[1].len() <= 100 && !parts[1].contains(char::is_control),
            "{path:?}"
        );
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[test]
fn images_are_no_table() {
    for arguments in [
        &["--kind", "image"][..],
        &["--kind", "image", "-o", "images", "--json"],
        &["--kind", "text", "-o", "images", "--format", "png"],
        &["--format", "png", "-o", "images", "--wide"],
    ] {
        let output = output(&[&["pytorch"], arguments].concat(), golden());
        assert_eq!(
            stderr(&output),
            "error: images become files in a directory, and nothing else does\n  \
             export them by --format png -o DIR, without --wide and --hparams\n"
        );
        assert_eq!(output.status.code(), Some(2));
    }
    let none = output(&["pytorch", "--format", "png", "-o", "images"], golden());
    assert_eq!(
        (stderr(&none), none.status.code()),
        ("warning: there is no image in 3 runs\n", Some(1))
    );
    assert!(!golden().join("images").exists());
}
