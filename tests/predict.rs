//! `cnn-tb predict` from outside: what it prints, and its exit code.

#![cfg(all(feature = "cli", feature = "mnist", feature = "train"))]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use cnn_tb::data::Dataset;
use png::{BitDepth, ColorType, Encoder};
use serde_json::Value;
use tempfile::TempDir;

const SIDE: u32 = 28;
const SCALE: u32 = 4;

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

/// A directory with a training on MNIST in `run`; pictures are written into directories of tests.
fn trained() -> &'static Path {
    static DIRECTORY: OnceLock<TempDir> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let output = output("train --epochs 1 --logdir run --quiet", directory.path());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        directory
    });
    directory.path()
}

fn write_png(path: &Path, color_type: ColorType, depth: BitDepth, width: u32, data: &[u8]) {
    let mut encoder = Encoder::new(fs::File::create(path).unwrap(), width, SIDE * SCALE);
    encoder.set_color(color_type);
    encoder.set_depth(depth);
    if color_type == ColorType::Indexed {
        // Paper and blue ink.
        encoder.set_palette(vec![250, 248, 230, 20, 30, 120]);
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(data).unwrap();
    writer.finish().unwrap();
}

/// Whether there is ink at each pixel of a test image of MNIST, enlarged, with paper on the right.
fn enlarged(index: usize, width: u32) -> Vec<bool> {
    let mnist = Dataset::mnist().unwrap();
    let length = (SIDE * SIDE) as usize;
    let digit = &mnist.test().unwrap().pixels()[index * length..][..length];
    let is_inked =
        |y: u32, x: u32| x / SCALE < SIDE && digit[(y / SCALE * SIDE + x / SCALE) as usize] > 100;
    let places = (0..SIDE * SCALE).flat_map(|y| (0..width).map(move |x| (y, x)));
    places.map(|(y, x)| is_inked(y, x)).collect()
}

/// The first test images of MNIST, which are 7, 2, 1, 0, 4 and 1, each in another kind of PNG file.
fn write_digits(directory: &Path) {
    let width = SIDE * SCALE + 48;
    let write = |name: &str, color_type, depth, data: Vec<u8>| {
        write_png(&directory.join(name), color_type, depth, width, &data);
    };
    let pixels = |index, ink: &[u8], paper: &[u8]| -> Vec<u8> {
        let inked = enlarged(index, width).into_iter();
        inked
            .flat_map(|inked| if inked { ink } else { paper }.to_vec())
            .collect()
    };
    let bits = |index| -> Vec<u8> {
        let inked = enlarged(index, width);
        let byte = |bits: &[bool]| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
        inked.chunks_exact(8).map(byte).collect()
    };
    write(
        "7.png",
        ColorType::Grayscale,
        BitDepth::Eight,
        pixels(0, &[30], &[240]),
    );
    write(
        "2.png",
        ColorType::Rgb,
        BitDepth::Eight,
        pixels(1, &[255, 255, 0], &[0, 40, 0]),
    );
    write(
        "1.png",
        ColorType::Grayscale,
        BitDepth::Sixteen,
        pixels(2, &[0, 9], &[255, 255]),
    );
    write(
        "0.png",
        ColorType::Rgba,
        BitDepth::Eight,
        pixels(3, &[0, 0, 0, 255], &[0; 4]),
    );
    write("4.png", ColorType::Indexed, BitDepth::One, bits(4));
    write(
        "1b.png",
        ColorType::GrayscaleAlpha,
        BitDepth::Eight,
        pixels(5, &[255, 255], &[0, 0]),
    );
    write("7b.png", ColorType::Grayscale, BitDepth::One, bits(0));
}

/// The pictures as arguments, and what they show.
const DIGITS: [(&str, usize); 7] = [
    ("7.png", 7),
    ("2.png", 2),
    ("1.png", 1),
    ("0.png", 0),
    ("4.png", 4),
    ("1b.png", 1),
    ("7b.png", 7),
];

/// A directory with pictures of digits, and a command for them all.
fn drawn() -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    write_digits(directory.path());
    let names = DIGITS.map(|(name, _)| name).join(" ");
    (directory, format!("predict {} {names}", run().display()))
}

fn run() -> PathBuf {
    trained().join("run")
}

#[test]
fn every_kind_of_picture_is_one_line() {
    let (directory, line) = drawn();
    let output = output(&line, directory.path());
    assert_eq!((stderr(&output), output.status.code()), ("", Some(0)));
    let lines: Vec<&str> = stdout(&output).lines().collect();
    assert_eq!(lines.len(), DIGITS.len(), "{lines:#?}");
    for (line, (name, class)) in lines.iter().zip(DIGITS) {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[..2], [name, &class.to_string()], "{line}");
        let probability: f64 = words[2].parse().unwrap();
        assert!((50.0..=100.0).contains(&probability), "{line}");
        assert_eq!(
            (words[3], words[4], words.len()),
            ("%", "then", 11),
            "{line}"
        );
    }
}

/// The pictures that README.md shows: blue pen, chalk with dust, black on nothing.
#[test]
fn the_drawings_among_the_examples_are_known() {
    let drawings = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/drawings"));
    let line = format!("predict {} two.png five.png seven.png", run().display());
    let output = output(&line, drawings);
    let classes: Vec<&str> = (stdout(&output).lines())
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(classes, ["2", "5", "7"], "{output:?}");
}

#[test]
fn json_has_every_probability() {
    let (directory, line) = drawn();
    let output = output(&format!("{line} --json"), directory.path());
    assert_eq!((stderr(&output), output.status.code()), ("", Some(0)));
    assert_eq!(stdout(&output).lines().count(), DIGITS.len());
    for (line, (name, class)) in stdout(&output).lines().zip(DIGITS) {
        let object: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&object["image"], &object["class"]),
            (&name.into(), &class.into())
        );
        let probabilities: Vec<f64> =
            serde_json::from_value(object["probabilities"].clone()).unwrap();
        assert_eq!(probabilities.len(), 10);
        assert!(
            (probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5,
            "{line}"
        );
        assert_eq!(object["probability"], probabilities[class]);
        assert!(
            probabilities
                .iter()
                .all(|other| *other <= probabilities[class])
        );
    }
}

#[test]
fn what_cannot_be_read_is_named_and_the_others_are_looked_at() {
    let (directory, _) = drawn();
    let path = directory.path();
    let whole = fs::read(path.join("7.png")).unwrap();
    fs::write(path.join("cut.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(path.join("photo.jpg"), b"\xff\xd8\xff\xe0JFIF").unwrap();
    fs::create_dir(path.join("folder")).unwrap();
    let white = vec![255; (SIDE * SCALE * 9) as usize];
    write_png(
        &path.join("blank.png"),
        ColorType::Grayscale,
        BitDepth::Eight,
        9,
        &white,
    );

    let run = run();
    let names = "cut.png photo.jpg 7.png missing.png folder blank.png 0.png";
    let output = output(&format!("predict {} {names}", run.display()), path);
    let lines: Vec<&str> = stdout(&output).lines().collect();
    assert_eq!(lines.len(), 2, "{output:?}");
    assert!(lines[0].starts_with("7.png         7 "), "{}", lines[0]);
    assert!(lines[1].starts_with("0.png         0 "), "{}", lines[1]);
    let errors: Vec<&str> = stderr(&output).lines().collect();
    let expected = [
        "error: cut.png: is a damaged PNG file: ",
        "error: photo.jpg: is no PNG file: it starts with 0xffd8ffe04a464946, expected 0x89504e47",
        "error: cannot read missing.png: ",
        "error: folder: cannot be read: ",
        "error: blank.png: is blank: its pixels differ from the background by at most 0 of 255",
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.starts_with(expected), "{error}");
    }
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_run_without_what_is_needed_is_an_error() {
    let (directory, _) = drawn();
    let path = directory.path();
    fs::create_dir(path.join("moved")).unwrap();
    fs::write(path.join("moved/config.toml"), "data = \"elsewhere\"\n").unwrap();
    let weights = run().join("weights.safetensors");
    fs::copy(&weights, path.join("moved/weights.safetensors")).unwrap();
    fs::create_dir(path.join("damaged")).unwrap();
    fs::write(path.join("damaged/config.toml"), "").unwrap();
    let bytes = fs::read(&weights).unwrap();
    fs::write(
        path.join("damaged/weights.safetensors"),
        &bytes[..bytes.len() / 2],
    )
    .unwrap();
    for (line, expected) in [
        (
            "predict nowhere 7.png",
            "error: nowhere: holds no config.toml\n  name the directory",
        ),
        (
            "predict damaged 7.png",
            "error: damaged/weights.safetensors: ",
        ),
        (
            "predict moved 7.png",
            "error: elsewhere: holds no train-images-idx3-ubyte (nor train-images-idx3-ubyte.gz)",
        ),
        (
            "predict moved",
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
}

/// It takes no file of the data set to know what its classes are called.
#[test]
fn classes_have_the_names_of_the_data_set() {
    let (directory, _) = drawn();
    let path = directory.path();
    fs::create_dir(path.join("own")).unwrap();
    fs::write(path.join("own/config.toml"), "data = \"kmnist\"\n").unwrap();
    let weights = run().join("weights.safetensors");
    fs::copy(&weights, path.join("own/weights.safetensors")).unwrap();
    let plain = output("predict own 7.png 0.png", path);
    assert_eq!((stderr(&plain), plain.status.code()), ("", Some(0)));
    let lines: Vec<&str> = stdout(&plain).lines().collect();
    assert!(lines[0].starts_with("7.png   ya    "), "{}", lines[0]);
    assert!(lines[1].starts_with("0.png   o     "), "{}", lines[1]);
    let json = output("predict own --json 7.png", path);
    let object: Value = serde_json::from_str(stdout(&json)).unwrap();
    assert_eq!(
        (&object["class"], &object["name"]),
        (&7.into(), &"ya".into())
    );
    // A flag wins; its data set has to be one of as many classes.
    let fashion = output("predict own --data fashion-mnist 7.png", path);
    assert!(
        stdout(&fashion).starts_with("7.png   Sneaker       "),
        "{fashion:?}"
    );
    fs::create_dir(path.join("empty")).unwrap();
    let output = output("predict own --data empty 7.png", path);
    let expected = "error: empty: holds no train-images-idx3-ubyte";
    assert!(stderr(&output).starts_with(expected), "{output:?}");
    let advice =
        "  name a directory with four IDX files, or fashion-mnist or kmnist: --data NAME|DIR\n";
    assert!(stderr(&output).ends_with(advice), "{output:?}");
}

/// A network for images of another size reads the same pictures.
#[test]
fn the_size_of_the_images_is_that_of_the_data_set() {
    let (directory, _) = drawn();
    let path = directory.path();
    fs::create_dir(path.join("data")).unwrap();
    for split in ["train", "t10k"] {
        // A zero is a ring, a one is a bar.
        let pixel = |image: u32, y: u32, x: u32| match image % 2 {
            0 => 255 * u32::from(!(4..8).contains(&x) || !(4..8).contains(&y)),
            _ => 255 * u32::from((5..7).contains(&x)),
        };
        let is_inside = |y: u32, x: u32| (2..10).contains(&y) && (2..10).contains(&x);
        let places = (0..12).flat_map(|y| (0..12).map(move |x| (y, x)));
        let pixels: Vec<u8> = (0..240)
            .flat_map(|image| {
                let pixels = places.clone();
                pixels.map(move |(y, x)| (pixel(image, y, x) * u32::from(is_inside(y, x))) as u8)
            })
            .collect();
        let labels: Vec<u8> = (0..240).map(|image| (image % 2) as u8).collect();
        for (kind, header, data) in [
            ("images-idx3", &[0x0803_u32, 240, 12, 12][..], pixels),
            ("labels-idx1", &[0x0801, 240], labels),
        ] {
            let header: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
            let file = path.join(format!("data/{split}-{kind}-ubyte"));
            fs::write(file, [header, data].concat()).unwrap();
        }
    }
    let train = "train --data data --epochs 4 --batch-size 20 --logdir small --quiet";
    assert_eq!(output(train, path).status.code(), Some(0));
    let output = output("predict small 0.png 1.png", path);
    assert_eq!((stderr(&output), output.status.code()), ("", Some(0)));
    let classes: Vec<&str> = (stdout(&output).lines())
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(classes, ["0", "1"], "{output:?}");
}

#[cfg(unix)]
#[test]
fn names_cannot_steer_the_terminal() {
    let (directory, _) = drawn();
    let hostile = "a\u{1b}]0;title\u{7}\u{202e}b.png";
    fs::rename(
        directory.path().join("7.png"),
        directory.path().join(hostile),
    )
    .unwrap();
    for (arguments, is_json) in [
        (&[hostile, "missing\u{1b}[2J"][..], false),
        (&[hostile, "--json"], true),
    ] {
        let mut command = cnn_tb("predict", directory.path());
        let output = command.arg(run()).args(arguments).output().unwrap();
        let text = format!("{}{}", stdout(&output), stderr(&output));
        let is_hostile = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(
            text.contains("title") && !text.contains(is_hostile),
            "{text:?}"
        );
        if is_json {
            let object: Value = serde_json::from_str(stdout(&output)).unwrap();
            assert_eq!(object["image"], hostile);
        }
    }
}

#[test]
fn a_closed_pipe_is_fine() {
    let (directory, line) = drawn();
    for line in [line.as_str(), &format!("{line} --json"), "predict --help"] {
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
}
