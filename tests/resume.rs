//! A training that is killed and resumed, as often as it may be, ends as one that never was.

#![cfg(all(feature = "train", feature = "cli"))]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cnn_tb::tb::event_file::event_file_names;
use cnn_tb::tb::proto::event::What;
use cnn_tb::tb::proto::session_log::SessionStatus as LogStatus;
use cnn_tb::tb::{EventReader, Logdir, Run, SessionStatus};
use cnn_tb::train::{Checkpoint, LAST, PREVIOUS};
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
        let output = self.command(line).output().unwrap();
        Finished {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts a training and kills it after `delay`. Whether it had ended by itself before.
    fn train_and_kill(&self, line: &str, delay: Duration) -> bool {
        let mut command = self.command(line);
        let mut child = (command.stdout(Stdio::null()).stderr(Stdio::null()))
            .spawn()
            .unwrap();
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

    fn epochs_in(&self, checkpoint: &str) -> usize {
        let path = self.path(checkpoint);
        let bytes = fs::read(&path).unwrap();
        Checkpoint::from_bytes(&path, &bytes)
            .unwrap()
            .epochs()
            .len()
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
                        Some(What::SessionLog(log)) if log.status == i32::from(LogStatus::Start) => {
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

const SMALL: &str = "--data data --batch-size 20 --lr 0.01";

#[test]
fn however_often_it_is_killed_a_training_ends_the_same() {
    let mut moments = Moments(20);
    for (name, flags) in [
        ("adam", "--epochs 5"),
        ("sgd", "--epochs 5 --optimizer sgd --clip-norm 2"),
        ("stopped", "--epochs 12 --lr 1e-30 --early-stopping 3"),
    ] {
        let dir = Dir::new();
        let flags = format!("{SMALL} {flags}").replace("--lr 0.01 --epochs 12", "--epochs 12");
        let began = Instant::now();
        dir.train(&format!("{flags} --logdir whole")).ended(0);
        let took = began.elapsed();
        let mut kills = 0;
        for number in 0..4 {
            let run = format!("{name}{number}");
            let resume = format!("--resume --logdir {run}");
            let mut ended = dir.train_and_kill(
                &format!("{flags} --logdir {run}"),
                took.mul_f64(moments.next()),
            );
            kills += usize::from(!ended);
            for _ in 0..3 {
                if ended {
                    break;
                }
                let line = match dir.path(&format!("{run}/config.toml")).exists() {
                    true => resume.clone(),
                    // Killed before there was a run.
                    false => format!("{flags} --overwrite --logdir {run}"),
                };
                ended = dir.train_and_kill(&line, took.mul_f64(moments.next()));
                kills += usize::from(!ended);
            }
            if !dir.path(&format!("{run}/config.toml")).exists() {
                dir.train(&format!("{flags} --overwrite --logdir {run}"))
                    .ended(0);
            }
            dir.train(&resume).ended(0);
            dir.expect_equal(&run, "whole");
        }
        assert!(kills >= 4, "{kills} of {name}");
    }
}
