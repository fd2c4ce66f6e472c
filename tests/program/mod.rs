//! The program, run in a directory of its own on a small data set, and what it left there.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use cnn_tb::tb::event_file::event_file_names;
use cnn_tb::tb::proto::event::What;
use cnn_tb::tb::proto::session_log::SessionStatus as LogStatus;
use cnn_tb::tb::{EventReader, Logdir, Run, SessionStatus};
use prost::Message as _;
use tempfile::TempDir;

/// What a finished command left behind.
#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Holds that it ended with `code`, and shows what it said where it did not.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// A working directory with a small data set in `data`: three kinds of stripes.
pub struct Dir {
    root: TempDir,
    program: PathBuf,
}

impl Dir {
    /// Where `program` is run.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let dir = Self {
            root: tempfile::tempdir().unwrap(),
            program: program.into(),
        };
        dir.write_data("data", 0);
        dir
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// 240 training and 30 test images of 8 × 8, moved by `phase` pixels.
    pub fn write_data(&self, name: &str, phase: u32) {
        self.write_images(name, 8, phase);
    }

    /// As [`write_data`](Self::write_data), `size` pixels wide and high.
    pub fn write_images(&self, name: &str, size: u32, phase: u32) {
        fs::create_dir_all(self.path(name)).unwrap();
        let area = size * size;
        for (split, count) in [("train", 240_u32), ("t10k", 30)] {
            let pixel = |image: u32, y: u32, x: u32| match image % 3 {
                0 => 255 * ((y + phase) % 2),
                1 => 255 * ((x + phase) % 2),
                _ => (image * 31 + y * 17 + x * 7 + phase) % 256,
            };
            let pixels =
                (0..count * area).map(|n| pixel(n / area, n / size % size, n % size) as u8);
            let labels = (0..count).map(|image| (image % 3) as u8);
            let images: [u32; 4] = [0x0803, count, size, size];
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
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("train")
            .args(line.split_whitespace())
            .current_dir(self.root.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn train(&self, line: &str) -> Finished {
        Finished::of(self.command(line).output().unwrap())
    }

    /// As [`train`](Self::train), with files of at most so many bytes.
    #[cfg(target_os = "linux")]
    pub fn limited(&self, line: &str, bytes: u64) -> Finished {
        let train = self.command(line);
        let mut command = Command::new("sh");
        // What is ignored stays ignored, and a write that is too long fails.
        let script = "trap '' XFSZ; exec prlimit --fsize=\"$0\" \"$@\"";
        command
            .args(["-c", script, &bytes.to_string()])
            .arg(train.get_program())
            .args(train.get_args())
            .current_dir(self.root.path())
            .stdin(Stdio::null());
        Finished::of(command.output().unwrap())
    }

    /// Starts a training and kills it `delay` after it has said that so many `epochs` are completed.
    /// Whether it had ended by itself before.
    pub fn train_and_kill(&self, line: &str, epochs: usize, delay: Duration) -> bool {
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
    pub fn run(&self, name: &str) -> Run {
        let runs = Logdir::open(self.path(name)).unwrap().runs().unwrap();
        let [run] = <[Run; 1]>::try_from(runs).unwrap();
        run
    }

    /// A copy of the run in `name`, called `copy`.
    pub fn copy(&self, name: &str, copy: &str) {
        for (child, bytes) in self.files(name) {
            let path = self.path(copy).join(child);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    /// Every file below `name`, by its path there.
    pub fn files(&self, name: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut directories = vec![PathBuf::new()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(self.path(name).join(&directory)).unwrap() {
                let child = directory.join(entry.unwrap().file_name());
                let path = self.path(name).join(&child);
                match path.is_dir() {
                    true => directories.push(child),
                    false => drop(files.insert(child, fs::read(path).unwrap())),
                }
            }
        }
        files
    }

    /// Holds that `name` shows what `expected`, which was never cut, does.
    #[track_caller]
    pub fn expect_equal(&self, name: &str, expected: &str) {
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
    pub fn shown(&self, name: &str) -> Shown {
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
pub type Shown = BTreeMap<(&'static str, i64, String), Vec<Vec<u8>>>;

/// Steps and values of every scalar that does not depend on the clock.
pub fn scalars(run: &Run) -> Vec<(String, Vec<(i64, f32)>)> {
    run.scalar_series()
        .filter(|(name, _)| !name.starts_with("performance/"))
        .map(|(name, points)| {
            let points = points.iter().map(|point| (point.step, point.value));
            (name, points.collect())
        })
        .collect()
}

/// Moments below 1, the same in every run of the tests.
pub struct Moments(pub u64);

impl Moments {
    pub fn next(&mut self) -> f64 {
        // Knuth's linear congruential generator.
        self.0 = (self.0)
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Sends the signal of this name, as `INT`.
#[cfg(unix)]
pub fn send_signal(child: &Child, name: &str) {
    let mut command = Command::new("kill");
    let status = command
        .args([format!("-{name}"), child.id().to_string()])
        .status();
    assert!(status.unwrap().success());
}
