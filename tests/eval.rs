//! `cnn-tb eval` from outside: what it prints, and its exit code.

#![cfg(all(feature = "cli", feature = "train"))]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

fn cnn_tb(line: &str, directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cnn-tb"));
    command
        .args(line.split_whitespace())
        .current_dir(directory)
        // candle adds a backtrace to its errors where this is set.
        .env_remove("RUST_BACKTRACE");
    command
}

fn output(line: &str, directory: &Path) -> Output {
    cnn_tb(line, directory).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Four IDX files of `side` × `side` pixels: `classes` kinds of stripes, the last hard to tell from
/// the first.
fn write_data(directory: &Path, side: u32, classes: u32) {
    fs::create_dir_all(directory).unwrap();
    for (split, count) in [("train", 240_u32), ("t10k", 30)] {
        let pixel = |image: u32, y: u32, x: u32| match image % classes {
            0 => 255 * (y % 2),
            1 => 255 * (x % 2),
            _ => 255 * ((y + u32::from(image.is_multiple_of(5))) % 2),
        };
        let places = (0..side).flat_map(|y| (0..side).map(move |x| (y, x)));
        let pixels: Vec<u8> = (0..count)
            .flat_map(|image| places.clone().map(move |(y, x)| pixel(image, y, x) as u8))
            .collect();
        let labels: Vec<u8> = (0..count).map(|image| (image % classes) as u8).collect();
        for (kind, header, data) in [
            ("images-idx3", &[0x0803, count, side, side][..], pixels),
            ("labels-idx1", &[0x0801, count], labels),
        ] {
            let header: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
            let path = directory.join(format!("{split}-{kind}-ubyte"));
            fs::write(path, [header, data].concat()).unwrap();
        }
    }
}

/// A directory with a data set in `data` and a training on it in `run`; and the training's last line.
fn trained() -> (TempDir, Value) {
    let directory = tempfile::tempdir().unwrap();
    write_data(&directory.path().join("data"), 8, 3);
    let train = "train --data data --batch-size 20 --epochs 2 --lr 0.01 --logdir run --json";
    let output = output(train, directory.path());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let last = stdout(&output).lines().last().unwrap();
    (directory, serde_json::from_str(last).unwrap())
}

fn close(a: &Value, b: f64) -> bool {
    (a.as_f64().unwrap() - b).abs() < 1e-6
}

#[test]
fn json_agrees_with_the_training_and_with_itself() {
    let (directory, result) = trained();
    let output = output("eval run --json", directory.path());
    assert_eq!((stderr(&output), output.status.code()), ("", Some(0)));
    assert_eq!(stdout(&output).lines().count(), 1);
    let eval: Value = serde_json::from_str(stdout(&output)).unwrap();
    for key in ["accuracy", "loss"] {
        assert!(
            close(&eval[key], result["test"][key].as_f64().unwrap()),
            "{key}: {eval}"
        );
    }
    assert_eq!(
        (&eval["run"], &eval["dataset"]),
        (&"run".into(), &"data".into())
    );
    assert_eq!(
        (&eval["split"], &eval["images"]),
        (&"test".into(), &30.into())
    );

    let matrix: Vec<Vec<u64>> = serde_json::from_value(eval["confusion"].clone()).unwrap();
    let right: u64 = (0..3).map(|class| matrix[class][class]).sum();
    assert_eq!(eval["wrong"], 30 - right);
    assert!(close(&eval["accuracy"], right as f64 / 30.0));
    for class in 0..3 {
        let of_class: u64 = matrix[class].iter().sum();
        let taken_for: u64 = matrix.iter().map(|row| row[class]).sum();
        let found = &eval["per_class"][class];
        assert_eq!(
            (&found["class"], &found["support"]),
            (&class.into(), &10.into())
        );
        assert_eq!(of_class, 10);
        assert!(close(&found["recall"], matrix[class][class] as f64 / 10.0));
        if taken_for > 0 {
            let precision = matrix[class][class] as f64 / taken_for as f64;
            assert!(close(&found["precision"], precision));
        }
    }
    let mistakes = eval["mistakes"].as_array().unwrap();
    assert_eq!(mistakes.len() as u64, 30 - right);
    assert!(
        right < 30,
        "the third class cannot be told from the first everywhere"
    );
    for mistake in mistakes {
        // The label is what the file says.
        assert_eq!(mistake["label"], mistake["index"].as_u64().unwrap() % 3);
        assert_ne!(mistake["label"], mistake["predicted"]);
    }
    let probabilities = mistakes
        .iter()
        .map(|mistake| mistake["probability"].as_f64().unwrap());
    assert!(probabilities.is_sorted_by(|a, b| a >= b));
}

#[test]
fn the_table_shows_the_same() {
    let (directory, _) = trained();
    let json = output("eval run --split validation --json", directory.path());
    let json: Value = serde_json::from_str(stdout(&json)).unwrap();
    assert_eq!(
        (&json["split"], &json["images"]),
        (&"validation".into(), &20.into())
    );

    let output = output("eval run --split validation", directory.path());
    assert_eq!((stderr(&output), output.status.code()), ("", Some(0)));
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "data, validation: 20 images");
    let summary = format!(
        "loss {:.4}  accuracy {:.2} %  ({} of 20 wrong)",
        json["loss"].as_f64().unwrap(),
        json["accuracy"].as_f64().unwrap() * 100.0,
        json["wrong"]
    );
    assert_eq!(lines[1], summary);
    let start = lines
        .iter()
        .position(|line| *line == "label ↓ taken for →")
        .unwrap()
        + 2;
    for class in 0..3 {
        let cells = lines[start + class].split_whitespace().skip(1);
        let counts: Vec<u64> = cells.map(|cell| cell.parse().unwrap_or(0)).collect();
        assert_eq!(
            json["confusion"][class],
            serde_json::json!(counts),
            "{text}"
        );
    }
    for title in ["\nper class\n", "\nworst mistakes\n"] {
        assert!(text.contains(title), "{text}");
    }
    // Nothing is padded at the ends of lines, and a usual terminal is wide enough.
    assert!(
        lines
            .iter()
            .all(|line| line.trim_end() == *line && line.chars().count() < 80)
    );
}

#[test]
fn what_is_missing_or_does_not_fit_is_named() {
    let (directory, _) = trained();
    let path = directory.path();
    for (name, side, classes) in [("large", 12, 3), ("two", 8, 2)] {
        write_data(&path.join(name), side, classes);
    }
    for (name, from) in [("no-weights", Some("config.toml")), ("no-config", None)] {
        fs::create_dir(path.join(name)).unwrap();
        if let Some(file) = from {
            fs::copy(path.join("run").join(file), path.join(name).join(file)).unwrap();
        }
    }
    let copy_run = |name: &str, file: &str, bytes: &[u8]| {
        fs::create_dir(path.join(name)).unwrap();
        for own in ["config.toml", "weights.safetensors"] {
            fs::copy(path.join("run").join(own), path.join(name).join(own)).unwrap();
        }
        fs::write(path.join(name).join(file), bytes).unwrap();
    };
    copy_run("damaged", "weights.safetensors", b"no weights");
    copy_run("bad-config", "config.toml", b"epochs = 1\nepoch = 2\n");
    copy_run("moved", "config.toml", b"data = \"elsewhere\"\n");

    for (line, expected) in [
        (
            "eval no-weights",
            "error: no-weights: holds no weights.safetensors\n  a training saves",
        ),
        (
            "eval no-config",
            "error: no-config: holds no config.toml\n  name the directory of a training",
        ),
        (
            "eval nowhere",
            "error: nowhere: holds no config.toml\n  name the directory of a training",
        ),
        ("eval damaged", "error: damaged/weights.safetensors: "),
        (
            "eval bad-config",
            "error: bad-config/config.toml, line 2: unknown field `epoch`",
        ),
        (
            "eval moved",
            "error: elsewhere: holds no train-images-idx3-ubyte",
        ),
        (
            "eval run --data large",
            "error: run/weights.safetensors: tensor fc1.weight is F32 of shape [128, 64]; this \
             network needs F32 of [128, 144]",
        ),
        (
            "eval run --data two",
            "error: run/weights.safetensors: tensor fc2.bias is F32 of shape [3]; this network \
             needs F32 of [2]",
        ),
        (
            "eval run --split all",
            "error: invalid value 'all' for '--split <SPLIT>'",
        ),
        (
            "eval",
            "error: the following required arguments were not provided",
        ),
    ] {
        let output = output(line, path);
        assert!(stderr(&output).starts_with(expected), "{line}: {output:?}");
        assert_eq!(
            (stdout(&output), output.status.code()),
            ("", Some(2)),
            "{line}"
        );
    }
    // A data set that was moved can be named.
    let output = output("eval moved --data data", path);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn classes_have_the_names_of_the_data_set() {
    let (directory, _) = trained();
    let names = ["flat", "up\u{202e}", "flat too"];
    fs::write(directory.path().join("data/classes.txt"), names.join("\n")).unwrap();
    let plain = output("eval run", directory.path());
    assert_eq!((stderr(&plain), plain.status.code()), ("", Some(0)));
    for row in ["\n0 flat ", "\n1 up\\u{202e} ", "\n2 flat too "] {
        // In the confusion matrix and among the classes.
        assert_eq!(stdout(&plain).matches(row).count(), 2, "{row}: {plain:?}");
    }
    let json = output("eval run --json", directory.path());
    let eval: Value = serde_json::from_str(stdout(&json)).unwrap();
    for (class, name) in names.iter().enumerate() {
        assert_eq!(eval["per_class"][class]["name"], *name);
    }
    fs::write(directory.path().join("data/classes.txt"), "flat\nup\n").unwrap();
    let output = output("eval run", directory.path());
    let error = "error: data/classes.txt: 2 names, expected 3, one for each label from 0\n";
    assert_eq!((stderr(&output), output.status.code()), (error, Some(2)));
}

#[test]
fn a_closed_pipe_is_fine_and_a_full_disk_is_not() {
    let (directory, _) = trained();
    for line in ["eval run", "eval run --json", "eval --help"] {
        let mut child = cnn_tb(line, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        let mut stderr = child.stderr.take().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        assert_eq!(
            (child.wait().unwrap().code(), said.as_str()),
            (Some(0), ""),
            "{line}"
        );
    }
    if cfg!(target_os = "linux") {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = cnn_tb("eval run", directory.path())
            .stdout(full)
            .output()
            .unwrap();
        assert!(stderr(&output).starts_with("error: "), "{output:?}");
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn another_network_is_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write_data(&path.join("data"), 16, 3);
    let train = "train --data data --batch-size 20 --epochs 2 --log none --json";
    for network in ["lenet5", "sprint", "deep"] {
        let train = format!("{train} --network {network} --logdir {network}");
        let trained = output(&train, path);
        let last = stdout(&trained).lines().last().unwrap();
        let result: Value = serde_json::from_str(last).unwrap();
        let eval = output(&format!("eval {network} --json"), path);
        assert_eq!((stderr(&eval), eval.status.code()), ("", Some(0)));
        let eval: Value = serde_json::from_str(stdout(&eval)).unwrap();
        for key in ["accuracy", "loss"] {
            let expected = result["test"][key].as_f64().unwrap();
            assert!(close(&eval[key], expected), "{network} {key}: {eval}");
        }
    }
    write_data(&path.join("small"), 8, 3);
    let eval = output("eval lenet5 --data small", path);
    let expected =
        "error: lenet5/config.toml: the network does not fit to images of 8x8: layer 4 (conv)";
    assert!(stderr(&eval).starts_with(expected), "{eval:?}");
}
