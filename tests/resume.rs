//! A training that is killed and resumed, as often as it may be, ends as one that never was.

#![cfg(all(feature = "train", feature = "cli"))]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cnn_tb::data::Dataset;
use cnn_tb::tb::event_file::event_file_names;
use cnn_tb::tb::proto::event::What;
use cnn_tb::tb::proto::session_log::SessionStatus as LogStatus;
use cnn_tb::tb::{EventReader, Logdir, Run, SessionStatus, SummaryWriter};
use cnn_tb::train::{Checkpoint, CheckpointError, LAST, Observer, PREVIOUS, resume};
use prost::Message as _;
use tempfile::TempDir;

/// What a finished command left behind.
#[derive(Debug)]
struct Finished {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Finished {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Holds that it ended with `code`, and shows what it said where it did not.
    #[track_caller]
    fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// A working directory with a small data set in `data`: three kinds of stripes.
struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        let dir = Self(tempfile::tempdir().unwrap());
        dir.write_data("data", 0);
        dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// 240 training and 30 test images of 8 × 8, moved by `phase` pixels.
    fn write_data(&self, name: &str, phase: u32) {
        fs::create_dir_all(self.path(name)).unwrap();
        for (split, count) in [("train", 240_u32), ("t10k", 30)] {
            let pixel = |image: u32, y: u32, x: u32| match image % 3 {
                0 => 255 * ((y + phase) % 2),
                1 => 255 * ((x + phase) % 2),
                _ => (image * 31 + y * 17 + x * 7 + phase) % 256,
            };
            let pixels = (0..count * 64).map(|n| pixel(n / 64, n / 8 % 8, n % 8) as u8);
            let labels = (0..count).map(|image| (image % 3) as u8);
            let images: [u32; 4] = [0x0803, count, 8, 8];
            let kinds = [
                ("images-idx3", &images[..], pixels.collect::<Vec<_>>()),
                ("labels-idx1", &[0x0801, count], labels.collect()),
            ];
            for (kind, header, data) in kinds {
                let header: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
                let path = self.path(name).join(format!("{split}-{kind}-ubyte"));
                fs::write(path, [header, data].concat()).unwrap();
            }
        }
    }

    /// `cnn-tb train` in this directory, with the arguments in `line`, which are parted by spaces.
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cnn-tb"));
        command
            .arg("train")
            .args(line.split_whitespace())
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn train(&self, line: &str) -> Finished {
        Finished::of(self.command(line).output().unwrap())
    }

    /// As [`train`](Self::train), with files of at most so many bytes.
    #[cfg(target_os = "linux")]
    fn limited(&self, line: &str, bytes: u64) -> Finished {
        let train = self.command(line);
        let mut command = Command::new("sh");
        // What is ignored stays ignored, and a write that is too long fails.
        let script = "trap '' XFSZ; exec prlimit --fsize=\"$0\" \"$@\"";
        command
            .args(["-c", script, &bytes.to_string()])
            .arg(train.get_program())
            .args(train.get_args())
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        Finished::of(command.output().unwrap())
    }

    /// Starts a training and kills it `delay` after it has said that so many `epochs` are completed.
    /// Whether it had ended by itself before.
    fn train_and_kill(&self, line: &str, epochs: usize, delay: Duration) -> bool {
        let mut command = self.command(&format!("{line} --json"));
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let wanted = format!("\"epoch\":{epochs},");
        let mut said = String::new();
        while epochs > 0 && !said.contains(&wanted) && stdout.read_line(&mut said).unwrap() > 0 {}
        thread::sleep(delay);
        child.kill().unwrap();
        child.wait().unwrap().success()
    }

    /// The run that a training wrote into `name`.
    fn run(&self, name: &str) -> Run {
        let runs = Logdir::open(self.path(name)).unwrap().runs().unwrap();
        let [run] = <[Run; 1]>::try_from(runs).unwrap();
        run
    }

    /// A copy of the run in `name`, called `copy`.
    fn copy(&self, name: &str, copy: &str) {
        let mut directories = vec![PathBuf::new()];
        while let Some(directory) = directories.pop() {
            fs::create_dir_all(self.path(copy).join(&directory)).unwrap();
            for entry in fs::read_dir(self.path(name).join(&directory)).unwrap() {
                let child = directory.join(entry.unwrap().file_name());
                match self.path(name).join(&child).is_dir() {
                    true => directories.push(child),
                    false => {
                        let [from, to] = [name, copy].map(|run| self.path(run).join(&child));
                        fs::copy(from, to).unwrap();
                    }
                }
            }
        }
    }

    /// Holds that `name` shows what `expected`, which was never cut, does.
    #[track_caller]
    fn expect_equal(&self, name: &str, expected: &str) {
        let weights = |run| self.read(&format!("{run}/weights.safetensors"));
        assert!(weights(name) == weights(expected), "weights of {name}");
        let [found, wanted] = [name, expected].map(|run| scalars(&self.run(run)));
        assert_eq!(found, wanted, "series of {name}");
        let [found, wanted] = [name, expected].map(|run| self.shown(run));
        let keys = |shown: &Shown| shown.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&found), keys(&wanted), "records of {name}");
        for (key, value) in found {
            assert!(value == wanted[&key], "{key:?} of {name}: {}", value.len());
        }
        let session = |run| self.run(run).session().unwrap().status;
        assert_eq!(session(name), Some(SessionStatus::Success), "{name}");
        for file in ["tensors.tsv", "metadata.tsv", "sprite.png"] {
            let newest = |run: &str| {
                let directory = fs::read_dir(self.path(run).join("projector/fc1")).unwrap();
                let steps = directory.map(|entry| entry.unwrap().path());
                fs::read(steps.max().unwrap().join(file)).unwrap()
            };
            assert!(newest(name) == newest(expected), "{file} of {name}");
        }
    }

    /// What is left of the records of a run in `name` when restarts have purged: what each
    /// directory, step and tag holds, once for each time that it is written.
    fn shown(&self, name: &str) -> Shown {
        let mut shown = Shown::new();
        for child in ["", "train", "validation", "batches"] {
            let directory = self.path(name).join(child);
            for file in event_file_names(&directory).unwrap() {
                let bytes = fs::read(directory.join(file)).unwrap();
                // At most the last record of a file is torn.
                for event in EventReader::new(&bytes[..]).map_while(Result::ok) {
                    let key = |tag: &str| (child, event.step, tag.to_owned());
                    match event.what {
                        Some(What::SessionLog(log))
                            if log.status == i32::from(LogStatus::Start) =>
                        {
                            shown.retain(|(directory, step, _), _| {
                                *directory != child || *step < event.step
                            });
                        }
                        Some(What::GraphDef(graph)) => {
                            shown.entry(key("(graph)")).or_default().push(graph);
                        }
                        Some(What::Summary(summary)) => {
                            for mut value in summary.value {
                                value.metadata = None;
                                let depends_on_clock = value.tag.starts_with("performance/")
                                    || value.tag.starts_with("_hparams_/")
                                    || value.tag == "command_line";
                                let bytes = match depends_on_clock {
                                    true => Vec::new(),
                                    false => value.encode_to_vec(),
                                };
                                shown.entry(key(&value.tag)).or_default().push(bytes);
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
        shown
    }
}

/// By directory, step and tag.
type Shown = BTreeMap<(&'static str, i64, String), Vec<Vec<u8>>>;

/// Steps and values of every scalar that does not depend on the clock.
fn scalars(run: &Run) -> Vec<(String, Vec<(i64, f32)>)> {
    run.scalar_series()
        .filter(|(name, _)| !name.starts_with("performance/"))
        .map(|(name, points)| {
            let points = points.iter().map(|point| (point.step, point.value));
            (name, points.collect())
        })
        .collect()
}

/// Moments below 1, the same in every run of the tests.
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> f64 {
        // Knuth's linear congruential generator.
        self.0 = (self.0)
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A network that remembers more than its parameters, and is trained with random numbers.
const NETWORK: &str = r#"
layers = [
    { type = "conv", channels = 4, kernel = 3 },
    { type = "batch_norm" },
    { type = "relu" },
    { type = "avg_pool" },
    { type = "dropout", rate = 0.25 },
    { type = "linear", units = 8 },
    { type = "batch_norm" },
    { type = "relu" },
    { type = "dropout", rate = 0.5 },
    { type = "linear" },
]
"#;

const SMALL: &str = "--data data --batch-size 20 --lr 0.01";

#[test]
fn however_often_it_is_killed_a_training_ends_the_same() {
    const EPOCHS: usize = 8;
    let mut moments = Moments(20);
    for (name, flags) in [
        ("adam", "--lr 0.01"),
        (
            "sgd",
            "--lr 0.01 --optimizer sgd --clip-norm 2 --rotation 10",
        ),
        ("stopped", "--lr 1e-30 --early-stopping 6"),
        ("network", "--config net.toml --lr 0.01"),
    ] {
        let dir = Dir::new();
        fs::write(dir.path("net.toml"), NETWORK).unwrap();
        let flags = format!("--data data --batch-size 20 --epochs {EPOCHS} {flags}");
        let began = Instant::now();
        dir.train(&format!("{flags} --logdir whole")).ended(0);
        let took = began.elapsed();
        let mut kills = 0;
        for number in 0..4 {
            let run = format!("{name}{number}");
            let is_there = || dir.path(&format!("{run}/config.toml")).exists();
            // Killed before there was a run, it is begun anew.
            let line = || match is_there() {
                true => format!("--resume --logdir {run}"),
                false => format!("{flags} --overwrite --logdir {run}"),
            };
            for _ in 0..4 {
                let epochs = (moments.next() * EPOCHS as f64) as usize;
                // About an epoch, or, at the beginning, about the time until the first is over.
                let longest = took.div_f64(if epochs == 0 { 3.0 } else { EPOCHS as f64 });
                let delay = longest.mul_f64(moments.next());
                kills += usize::from(!dir.train_and_kill(&line(), epochs, delay));
            }
            dir.train(&line()).ended(0);
            dir.expect_equal(&run, "whole");
        }
        assert!(kills >= 4, "{kills} of {name}");
    }
}

/// Of a finished training the checkpoint before the last is one of a training that was cut.
#[test]
fn a_damaged_checkpoint_is_told_and_the_one_before_serves() {
    let dir = Dir::new();
    dir.train(&format!("{SMALL} --epochs 4 --logdir whole"))
        .ended(0);
    let last = dir.read(&format!("whole/{LAST}"));
    let mut flipped = last.clone();
    flipped[last.len() / 2] ^= 1;
    let truncated = last[..last.len() - 9].to_vec();
    for (name, bytes) in [
        ("flipped", flipped),
        ("truncated", truncated),
        ("empty", Vec::new()),
    ] {
        dir.copy("whole", name);
        fs::write(dir.path(&format!("{name}/{LAST}")), bytes).unwrap();
        let finished = dir.train(&format!("--resume --logdir {name}")).ended(0);
        let warnings: Vec<&str> = finished.stderr.lines().collect();
        let [damaged, instead] = warnings[..] else {
            panic!("{finished:#?}");
        };
        let beginning = format!("warning: {name}/{LAST}: damaged: ");
        assert!(damaged.starts_with(&beginning), "{damaged}");
        assert_eq!(
            instead, "warning: the one before serves, of epoch 3",
            "{finished:#?}"
        );
        let resumed = "\nresumed after epoch 3 of 4\n";
        assert!(finished.stdout.contains(resumed), "{finished:#?}");
        dir.expect_equal(name, "whole");
    }

    // A kill between the two renames leaves no last one.
    dir.copy("whole", "renamed");
    fs::remove_file(dir.path(&format!("renamed/{LAST}"))).unwrap();
    let finished = dir.train("--resume --quiet --logdir renamed").ended(0);
    assert_eq!(finished.stdout + &finished.stderr, "");
    dir.expect_equal("renamed", "whole");

    dir.copy("whole", "both");
    for file in [LAST, PREVIOUS] {
        fs::write(dir.path(&format!("both/{file}")), "nothing").unwrap();
    }
    let finished = dir.train("--resume --logdir both").ended(0);
    let instead = "warning: both has no checkpoint to go on from: starting from the beginning\n";
    assert!(finished.stderr.ends_with(instead), "{finished:#?}");
    dir.expect_equal("both", "whole");
}

#[test]
fn a_finished_run_is_left_as_it_is() {
    let dir = Dir::new();
    dir.train(&format!("{SMALL} --epochs 2 --logdir a"))
        .ended(0);
    let before = dir.shown("a");
    let finished = dir.train("--resume --logdir a").ended(0);
    assert_eq!(finished.stdout, "");
    assert_eq!(
        finished.stderr,
        "a is finished (2 epochs): there is nothing to resume\n"
    );
    let finished = dir.train("--resume --quiet --logdir a").ended(0);
    assert_eq!(finished.stderr, "");
    assert!(dir.shown("a") == before);
    assert_eq!(event_file_names(&dir.path("a")).unwrap().len(), 1);
}

#[test]
fn a_finished_run_goes_on_if_its_schedule_is_constant() {
    let dir = Dir::new();
    let flags = format!("{SMALL} --schedule constant");
    dir.train(&format!("{flags} --epochs 5 --logdir whole"))
        .ended(0);
    dir.train(&format!("{flags} --epochs 2 --logdir a"))
        .ended(0);
    dir.train("--resume --epochs 5 --threads 1 --logdir a")
        .ended(0);
    assert!(dir.read("a/weights.safetensors") == dir.read("whole/weights.safetensors"));
    for tag in [
        "train/loss",
        "validation/accuracy",
        "batches/train_batch/loss",
    ] {
        let [a, whole] = ["a", "whole"].map(|run| {
            let points = dir.run(run).scalars(tag).unwrap().to_vec();
            points.iter().map(|p| (p.step, p.value)).collect::<Vec<_>>()
        });
        assert_eq!(a, whole, "{tag}");
    }
    let config = String::from_utf8(dir.read("a/config.toml")).unwrap();
    assert!(config.contains("epochs = 5\n"), "{config}");
    let finished = dir.train("--resume --epochs 4 --logdir a").ended(2);
    let expected = "5 epochs are completed, 4 were asked for: nothing is left to train\n";
    assert!(finished.stderr.ends_with(expected), "{finished:#?}");

    dir.train(&format!("{SMALL} --epochs 2 --logdir cycle"))
        .ended(0);
    let finished = dir.train("--resume --epochs 5 --logdir cycle").ended(2);
    let expected = "of a training of 2 epochs; the learning rates of schedule one-cycle depend on";
    assert!(finished.stderr.contains(expected), "{finished:#?}");
}

#[test]
fn other_settings_data_and_places_are_refused() {
    let dir = Dir::new();
    dir.train(&format!("{SMALL} --epochs 3 --logdir a"))
        .ended(0);
    fs::remove_file(dir.path(&format!("a/{LAST}"))).unwrap();
    let before = dir.shown("a");
    for (flags, expected) in [
        (
            "--lr 0.1 --seed 4 --optimizer sgd",
            "a was begun with other settings: learning_rate was 0.01, is now 0.1; optimizer was \
             \"adam\", is now \"sgd\"; seed was 0, is now 4\n",
        ),
        (
            "--clip-norm 2",
            "a was begun with other settings: clip_norm was none, is now 2.0\n",
        ),
        (
            "--rotation 10",
            "a was begun with other settings: rotation was none, is now 10.0\n",
        ),
        ("--preset article", "a was begun with other settings: "),
    ] {
        let finished = dir.train(&format!("--resume --logdir a {flags}")).ended(2);
        let message = finished.stderr.strip_prefix("error: ").unwrap();
        assert!(message.starts_with(expected), "{finished:#?}");
        assert!(message.contains("\n  leave these flags out to resume it"));
    }
    for (line, expected) in [
        (
            "--resume --logdir none",
            "error: none holds no config.toml, so there is no run to resume\n  start it without \
             --resume: cnn-tb train --logdir none\n",
        ),
        ("--resume", "--logdir <DIR>"),
        ("--resume --overwrite --logdir a", "cannot be used with"),
    ] {
        let finished = dir.train(line).ended(2);
        assert!(finished.stderr.contains(expected), "{finished:#?}");
    }
    assert!(!dir.path("none").exists());
    dir.copy("a", "busy");
    let writer = SummaryWriter::append(dir.path("busy"), 100).unwrap();
    let finished = dir.train("--resume --logdir busy").ended(2);
    assert_eq!(
        finished.stderr,
        "error: busy is being written by another training; stop that one first\n"
    );
    drop(writer);

    let config = String::from_utf8(dir.read("a/config.toml")).unwrap();
    let edited = config.replace("seed = 0", "seed = 1");
    fs::write(dir.path("a/config.toml"), edited).unwrap();
    let finished = dir.train("--resume --logdir a").ended(2);
    let expected =
        format!("error: a/{PREVIOUS}: of a training with other settings: seed was 0, is now 1\n");
    assert_eq!(finished.stderr, expected);
    fs::write(dir.path("a/config.toml"), config).unwrap();
    dir.write_data("data", 1);
    let finished = dir.train("--resume --logdir a").ended(2);
    let expected = format!("error: a/{PREVIOUS}: of a training on other images or labels than ");
    assert!(finished.stderr.starts_with(&expected), "{finished:#?}");
    assert!(dir.shown("a") == before);
}

#[cfg(unix)]
#[test]
fn ctrl_c_can_be_resumed_from() {
    let dir = Dir::new();
    let flags = format!("{SMALL} --epochs 60");
    dir.train(&format!("{flags} --logdir whole")).ended(0);
    let mut child = dir
        .command(&format!("{flags} --json --logdir a"))
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("\"epoch\":2,") {
        assert!(stdout.read_line(&mut said).unwrap() > 0, "{said}");
    }
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    stdout.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let finished = dir.train("--resume --json --logdir a").ended(0);
    let start: serde_json::Value =
        serde_json::from_str(finished.stdout.lines().next().unwrap()).unwrap();
    let completed = start["completed_epochs"].as_u64().unwrap();
    assert!((2..60).contains(&completed), "{completed}");
    dir.expect_equal("a", "whole");
}

/// Whatever is in a file, it is refused or read, and a training that starts from it fails or ends.
#[test]
fn no_bytes_make_a_checkpoint_panic() {
    struct Nothing;
    impl Observer for Nothing {}

    let dir = Dir::new();
    dir.train(&format!("{SMALL} --epochs 2 --logdir a"))
        .ended(0);
    let path = dir.path(&format!("a/{PREVIOUS}"));
    let whole = fs::read(&path).unwrap();
    let config = Checkpoint::from_bytes(&path, &whole)
        .unwrap()
        .config()
        .clone();
    let dataset = Dataset::open(&dir.path("data")).unwrap();
    let mut moments = Moments(7);
    let mut below = |limit: usize| (moments.next() * limit as f64) as usize;
    let mut outcomes = [0; 3];
    for round in 0..3000 {
        let mut bytes = whole.clone();
        for _ in 0..=below(3) {
            // Most of the time in the part that is no tensor.
            let limit = if below(4) == 0 {
                bytes.len()
            } else {
                2500.min(bytes.len())
            };
            match below(5) {
                0 => bytes.truncate(below(bytes.len() + 1)),
                1 => bytes.insert(below(limit + 1), below(256) as u8),
                2 if limit > 0 => drop(bytes.remove(below(limit))),
                _ if limit > 0 => bytes[below(limit)] = below(256) as u8,
                _ => {}
            }
        }
        if bytes == whole {
            continue;
        }
        let found = Checkpoint::from_bytes(&path, &bytes);
        assert!(
            matches!(found, Err(CheckpointError::Damaged { .. })),
            "{found:?}"
        );
        // With a right trailer what is in it is looked at.
        let content = bytes.len().saturating_sub(4);
        bytes.truncate(content);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        match Checkpoint::from_bytes(&path, &bytes) {
            Err(_) => outcomes[0] += 1,
            Ok(checkpoint) if round % 10 == 0 => {
                let _ = resume(&config, &dataset, &checkpoint, &mut Nothing);
                outcomes[1] += 1;
            }
            Ok(_) => outcomes[2] += 1,
        }
    }
    assert!(outcomes.iter().all(|count| *count > 5), "{outcomes:?}");
}

/// No file may grow beyond a size: what an event file does not take is in the next one.
#[test]
#[cfg(target_os = "linux")]
fn what_a_file_does_not_take_is_in_the_next_one() {
    let dir = Dir::new();
    let flags = format!("{SMALL} --epochs 12");
    dir.train(&format!("{flags} --logdir whole")).ended(0);
    let events = |run: &str| {
        let names = event_file_names(&dir.path(run)).unwrap();
        let paths = names.iter().map(|name| dir.path(run).join(name));
        paths.collect::<Vec<_>>()
    };
    let bytes = |path: &Path| fs::metadata(path).unwrap().len();
    // Most of an event file; the others fit.
    let limit = bytes(&events("whole")[0]) * 3 / 4;
    assert!(bytes(&dir.path(&format!("whole/{LAST}"))) < limit);

    let finished = dir
        .limited(&format!("{flags} --logdir limited"), limit)
        .ended(0);
    let lines: Vec<_> = finished.stderr.lines().collect();
    assert_eq!(lines, [""; 0]);
    let [first, second] = &events("limited")[..] else {
        panic!("{:?}", events("limited"));
    };
    assert!(bytes(first) <= limit && bytes(second) > limit / 9);
    dir.expect_equal("limited", "whole");
}

/// What cannot be written does not end a training; it is told when it begins and at the end.
#[test]
#[cfg(target_os = "linux")]
fn a_training_whose_files_cannot_be_written_comes_to_its_end() {
    let dir = Dir::new();
    let flags = format!("{SMALL} --epochs 3 --logdir a");
    let finished = dir.limited(&flags, 20_000).ended(2);
    assert!(finished.stdout.contains("\ntest    loss "), "{finished:#?}");
    let lines: Vec<_> = finished.stderr.lines().collect();
    let [log, checkpoint, error] = lines[..] else {
        panic!("{finished:#?}");
    };
    let cause = "File too large (os error 27)";
    assert!(
        log.starts_with(&format!("warning: cannot write a: {cause}; ")),
        "{log}"
    );
    assert!(
        log.ends_with(" records not written; the training goes on"),
        "{log}"
    );
    let expected = format!("cannot write a/{LAST}: {cause}");
    assert_eq!(
        checkpoint,
        format!("warning: {expected}; the training goes on")
    );
    assert!(
        error.starts_with("error: cannot write a/weights.safetensors"),
        "{error}"
    );
    for part in [expected.as_str(), " records not written; "] {
        assert!(error.contains(part), "{error}");
    }
    for entry in fs::read_dir(dir.path("a")).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(!name.to_string_lossy().ends_with("part"), "{name:?}");
    }
}

#[test]
#[cfg(unix)]
fn weights_outlast_a_directory_that_vanishes() {
    let dir = Dir::new();
    let flags = format!("{SMALL} --epochs 40 --logdir a --json");
    let mut child = dir.command(&flags).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("\"epoch\":2,") {
        assert!(stdout.read_line(&mut said).unwrap() > 0, "{said}");
    }
    // A file that comes while the others are removed is in the way.
    let removed = (0..100).find(|_| fs::remove_dir_all(dir.path("a")).is_ok());
    assert!(removed.is_some());
    stdout.read_to_string(&mut said).unwrap();
    let finished = Finished::of(child.wait_with_output().unwrap()).ended(2);
    assert!(said.contains("\"event\":\"result\""), "{said}");
    let lines: Vec<_> = finished.stderr.lines().collect();
    let is_log = |line: &&&str| line.contains(": the file was removed; ");
    let warning = lines.iter().find(is_log).unwrap();
    assert!(warning.starts_with("warning: cannot write a/"), "{warning}");
    let last = lines.last().unwrap();
    assert!(last.starts_with("error: cannot write a/") && last.ends_with(" records lost"));
    let weights = dir.read("a/weights.safetensors");
    assert!(dir.path("a/config.toml").exists());
    // Later epochs are there.
    let points = dir.run("a").scalars("validation/loss").unwrap().to_vec();
    assert_eq!(points.last().unwrap().step, 40);
    dir.train(&format!("{SMALL} --epochs 40 --logdir whole"))
        .ended(0);
    assert!(weights == dir.read("whole/weights.safetensors"));
}
