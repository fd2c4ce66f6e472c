//! `cnn-tb train`, from its flags to the files that it leaves.

#![cfg(all(feature = "train", feature = "cli"))]
#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::io::{BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use cnn_tb::data::Published;
use cnn_tb::nn::InstructionSet;
use cnn_tb::tb::event_file::event_file_names;
use cnn_tb::tb::proto::event::What;
use cnn_tb::tb::proto::h_params_plugin_data::Data;
use cnn_tb::tb::proto::summary::value;
use cnn_tb::tb::proto::{Event, HParamsPluginData};
use cnn_tb::tb::{EventReader, HParam, Kind, Logdir, Run, SessionStatus, SummaryWriter};
use cnn_tb::train::{Config, OptimizerKind, Preset, Schedule};
use prost::Message as _;
use serde_json::Value;
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
        dir.write_data("data", 8, 240);
        dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// `count` training and 30 test images of `side` × `side`.
    fn write_data(&self, name: &str, side: u32, count: u32) {
        for (split, count) in [("train", count), ("t10k", 30)] {
            let pixel = |image: u32, y: u32, x: u32| match image % 3 {
                0 => 255 * (y % 2),
                1 => 255 * (x % 2),
                _ => (image * 31 + y * 17 + x * 7) % 256,
            };
            let places = (0..side).flat_map(|y| (0..side).map(move |x| (y, x)));
            let pixels: Vec<u8> = (0..count)
                .flat_map(|image| places.clone().map(move |(y, x)| pixel(image, y, x) as u8))
                .collect();
            let labels: Vec<u8> = (0..count).map(|image| (image % 3) as u8).collect();
            self.write_split(name, split, side, &pixels, &labels);
        }
    }

    /// Two IDX files.
    fn write_split(&self, name: &str, split: &str, side: u32, pixels: &[u8], labels: &[u8]) {
        let directory = self.path(name);
        fs::create_dir_all(&directory).unwrap();
        let count = labels.len() as u32;
        for (kind, dimensions, data) in [
            ("images-idx3", &[count, side, side][..], pixels),
            ("labels-idx1", &[count], labels),
        ] {
            let magic = 0x0800 + dimensions.len() as u32;
            let words = [&[magic], dimensions].concat();
            let header: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            fs::write(
                directory.join(format!("{split}-{kind}-ubyte")),
                [&header, data].concat(),
            )
            .unwrap();
        }
    }

    /// `cnn-tb train` in this directory.
    fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cnn-tb"));
        command
            .arg("train")
            .args(arguments)
            .current_dir(self.0.path())
            // candle adds a backtrace to its errors where this is set.
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs `cnn-tb train` with the arguments in `line`, which are parted by spaces.
    fn train(&self, line: &str) -> Finished {
        self.train_with(&line.split_whitespace().collect::<Vec<_>>())
    }

    fn train_with<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Finished {
        let output = self.command(arguments).output().unwrap();
        Finished {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The run that a training wrote into `name`.
    fn run(&self, name: &str) -> Run {
        let runs = Logdir::open(self.path(name)).unwrap().runs().unwrap();
        let [run] = <[Run; 1]>::try_from(runs).unwrap();
        assert_eq!(run.problems().count(), 0);
        run
    }

    /// Every file below, with its path relative to this directory.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut directories = vec![self.0.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => directories.push(path),
                    false => files.push(
                        path.strip_prefix(self.0.path())
                            .unwrap()
                            .display()
                            .to_string(),
                    ),
                }
            }
        }
        files.sort();
        files
    }
}

/// Steps and values of every scalar that does not depend on the clock.
fn scalars(run: &Run) -> Vec<(String, Vec<(i64, f32)>)> {
    run.scalar_series()
        .filter(|(name, _)| !name.starts_with("performance/"))
        .map(|(name, points)| {
            (
                name,
                points
                    .iter()
                    .map(|point| (point.step, point.value))
                    .collect(),
            )
        })
        .collect()
}

/// Every event file of a run in `name`: its directory, its length in bytes and its events, with
/// what the clock decides set to 0.
fn timeless_files(dir: &Dir, name: &str) -> Vec<(&'static str, Vec<Event>)> {
    let mut files = Vec::new();
    for child in ["", "train", "validation", "batches"] {
        let directory = dir.path(name).join(child);
        for file in event_file_names(&directory).unwrap() {
            let bytes = fs::read(directory.join(file)).unwrap();
            let events = EventReader::new(&bytes[..]).map(|event| timeless(event.unwrap()));
            let events = events.filter(|event| !is_command_line(event));
            files.push((child, events.collect()));
        }
    }
    files
}

fn is_command_line(event: &Event) -> bool {
    let Some(What::Summary(summary)) = &event.what else {
        return false;
    };
    summary
        .value
        .iter()
        .any(|value| value.tag == "command_line")
}

fn timeless(mut event: Event) -> Event {
    event.wall_time = 0.0;
    let Some(What::Summary(summary)) = &mut event.what else {
        return event;
    };
    for value in &mut summary.value {
        if value.tag.starts_with("performance/") {
            value.value = Some(value::Value::SimpleValue(0.0));
        }
        let metadata = value.metadata.as_mut();
        let plugin = metadata.and_then(|metadata| metadata.plugin_data.as_mut());
        if let Some(plugin) = plugin.filter(|plugin| plugin.plugin_name == "hparams") {
            let mut session = HParamsPluginData::decode(&plugin.content[..]).unwrap();
            match session.data.as_mut().unwrap() {
                Data::SessionStartInfo(start) => start.start_time_secs = 0.0,
                Data::SessionEndInfo(end) => end.end_time_secs = 0.0,
                Data::Experiment(_) => {}
            }
            plugin.content = session.encode_to_vec();
        }
    }
    event
}

const SMALL: &str = "--data data --batch-size 20 --epochs 2 --lr 0.01";

#[test]
fn a_training_prints_a_table_and_leaves_a_run() {
    let dir = Dir::new();
    let finished = dir
        .train(&format!("{SMALL} --threads 2 --logdir runs/exp1"))
        .ended(0);
    assert_eq!(finished.stderr, "");

    let lines: Vec<&str> = finished.stdout.lines().collect();
    let [data, network, header, first, second, test, saved, view] = lines[..] else {
        panic!("{finished:#?}");
    };
    assert_eq!(data, "data: 220 training, 20 validation, 30 test images");
    assert!(network.starts_with("article network, "), "{network}");
    assert!(
        network.ends_with(
            " parameters · Adam, one-cycle to 0.01 · batch 20, shift 1 · seed 0 · 2 threads"
        ),
        "{network}"
    );
    assert_eq!(
        header,
        "epoch   train loss  accuracy   validation loss  accuracy     time"
    );
    let width = header.chars().count();
    for (line, count) in [(first, "  1/2 "), (second, "  2/2 ")] {
        assert!(line.starts_with(count) && line.ends_with(" s"), "{line}");
        assert_eq!(line.chars().count(), width, "{line}");
    }
    assert!(
        test.starts_with("test    loss ") && test.ends_with(" of 30 wrong)"),
        "{test}"
    );
    assert_eq!(saved, "saved   runs/exp1/weights.safetensors, config.toml");
    assert_eq!(
        view,
        "view    tensorboard --logdir runs       (not installed? make tensorboard)"
    );

    let run = dir.run("runs/exp1");
    assert_eq!(run.session().unwrap().status, Some(SessionStatus::Success));
    let printed =
        |line: &str, column: usize| line.split_whitespace().nth(column).unwrap().to_owned();
    for (tag, column) in [("train/loss", 1), ("validation/loss", 4)] {
        let points = run.scalars(tag).unwrap();
        assert_eq!(points.len(), 2);
        for (point, line) in points.iter().zip([first, second]) {
            assert_eq!(
                format!("{:.4}", point.value),
                printed(line, column),
                "{tag}"
            );
        }
    }
    let names: Vec<String> = dir
        .files()
        .into_iter()
        .filter(|name| !name.starts_with("data/"))
        .collect();
    let (events, others): (Vec<_>, Vec<_>) = names
        .into_iter()
        .partition(|name| name.contains("tfevents"));
    assert_eq!(events.len(), 4, "{events:#?}");
    assert_eq!(
        others,
        [
            "runs/exp1/config.toml",
            "runs/exp1/last.checkpoint",
            "runs/exp1/previous.checkpoint",
            "runs/exp1/projector/fc1/00002/metadata.tsv",
            "runs/exp1/projector/fc1/00002/sprite.png",
            "runs/exp1/projector/fc1/00002/tensors.tsv",
            "runs/exp1/projector_config.pbtxt",
            "runs/exp1/weights.safetensors",
        ]
    );
}

#[test]
fn the_same_settings_give_the_same_weights_and_event_files() {
    let dir = Dir::new();
    dir.train(&format!("{SMALL} --seed 5 --threads 1 --logdir a"))
        .ended(0);
    dir.train(&format!("{SMALL} --seed 5 --threads 3 --logdir b --json"))
        .ended(0);
    dir.train("--config a/config.toml --logdir c --quiet")
        .ended(0);
    dir.train(&format!("{SMALL} --seed 6 --logdir other"))
        .ended(0);
    let weights = dir.read("a/weights.safetensors");
    let expected = scalars(&dir.run("a"));
    assert!(
        expected
            .iter()
            .any(|(name, points)| name == "batches/train_batch/loss" && points.len() == 22)
    );
    for name in ["b", "c"] {
        assert!(
            dir.read(&format!("{name}/weights.safetensors")) == weights,
            "{name}"
        );
        assert_eq!(scalars(&dir.run(name)), expected, "{name}");
    }
    assert!(dir.read("other/weights.safetensors") != weights);
    // With the same number of threads nothing at all differs but the times.
    assert_eq!(dir.read("c/config.toml"), dir.read("a/config.toml"));
    let files = timeless_files(&dir, "a");
    assert_eq!(files.len(), 4);
    assert!(files.iter().all(|(_, events)| events.len() >= 5));
    assert_eq!(timeless_files(&dir, "c"), files);
    for file in ["tensors.tsv", "metadata.tsv", "sprite.png"] {
        let [a, c] = ["a", "c"].map(|run| dir.read(&format!("{run}/projector/fc1/00002/{file}")));
        assert!(a == c, "{file}");
    }
    assert_ne!(timeless_files(&dir, "other"), files);
}

#[test]
fn a_flag_beside_a_preset_or_a_file_wins() {
    let dir = Dir::new();
    let config =
        |name: &str| Config::from_toml(&String::from_utf8(dir.read(name)).unwrap()).unwrap();
    dir.train(&format!("--preset article {SMALL} --seed 3 --logdir a"))
        .ended(0);
    let expected = Config {
        data: Some("data".into()),
        batch_size: 20,
        epochs: 2,
        learning_rate: 0.01,
        seed: 3,
        ..Preset::Article.config()
    };
    assert_eq!(config("a/config.toml"), expected);
    dir.train("--config a/config.toml --epochs 1 --optimizer sgd --schedule cosine --threads 1 --logdir b")
        .ended(0);
    let expected = Config {
        epochs: 1,
        optimizer: OptimizerKind::Sgd,
        schedule: Schedule::Cosine,
        threads: Some(1),
        ..expected
    };
    assert_eq!(config("b/config.toml"), expected);
}

#[test]
fn json_is_one_object_a_line() {
    let dir = Dir::new();
    let finished = dir
        .train(&format!("{SMALL} --json --logdir runs/exp1"))
        .ended(0);
    assert_eq!(finished.stderr, "");
    let lines: Vec<Value> = finished
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [start, first, second, result] = &lines[..] else {
        panic!("{finished:#?}");
    };
    let beginnings = [
        "start\",\"elapsed_secs\":",
        "epoch\",\"epoch\":1,",
        "epoch\",\"epoch\":2,",
        "result\",\"test\":{",
    ];
    for (line, beginning) in finished.stdout.lines().zip(beginnings) {
        assert!(
            line.starts_with(&format!("{{\"event\":\"{beginning}")),
            "{line}"
        );
    }
    assert_eq!(start["train_images"], 220);
    assert_eq!(start["config"]["learning_rate"], 0.01);
    assert_eq!(start["updates_per_epoch"], 11);
    let run = dir.run("runs/exp1");
    for (index, epoch) in [first, second].into_iter().enumerate() {
        assert_eq!(epoch["epoch"], index + 1);
        for tag in [
            "train/loss",
            "train/accuracy",
            "validation/loss",
            "validation/accuracy",
        ] {
            let (split, metric) = tag.split_once('/').unwrap();
            let logged = run.scalars(tag).unwrap()[index].value;
            assert_eq!(
                epoch[split][metric].as_f64().unwrap() as f32,
                logged,
                "{tag}"
            );
        }
        assert!(epoch["images_per_sec"].as_f64().unwrap() > 0.0);
        assert!(epoch["logging_secs"].as_f64().unwrap() > 0.0);
        assert!(epoch["evaluation_secs"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(result["epochs"], 2);
    assert_eq!(result["stopped"], Value::Null);
    assert!((1..=2).contains(&result["best_epoch"].as_u64().unwrap()));
    let accuracy = result["test"]["accuracy"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&accuracy));
    assert_eq!(
        run.scalars("test/accuracy").unwrap()[0].value,
        accuracy as f32
    );
    assert_eq!(result["logdir"], "runs/exp1");
    assert_eq!(result["weights"], "runs/exp1/weights.safetensors");
    let elapsed: Vec<f64> = lines
        .iter()
        .map(|line| line["elapsed_secs"].as_f64().unwrap())
        .collect();
    assert!(elapsed.is_sorted(), "{elapsed:?}");
}

/// The text `stopped` in the run's own event file, with its step.
fn stopped_text(dir: &Dir, name: &str) -> Option<(i64, String)> {
    let files = timeless_files(dir, name).into_iter();
    let mut events = files.flat_map(|(_, events)| events);
    events.find_map(|event| {
        let Some(What::Summary(summary)) = event.what else {
            return None;
        };
        let value = summary.value.into_iter().find(|v| v.tag == "stopped")?;
        let Some(value::Value::Tensor(tensor)) = value.value else {
            return None;
        };
        let text = String::from_utf8(tensor.string_val[0].clone()).unwrap();
        Some((event.step, text))
    })
}

#[test]
fn early_stopping_is_a_success_that_says_why_it_ended() {
    let dir = Dir::new();
    // Steps too small for f32: the loss stays what it was after the first epoch.
    let flags = "--data data --batch-size 20 --epochs 9 --lr 1e-30 --early-stopping 2";
    let finished = dir.train(&format!("{flags} --logdir a")).ended(0);
    let lines: Vec<&str> = finished.stdout.lines().collect();
    let [third, test, stopped, best, saved, _] = lines[lines.len() - 6..] else {
        panic!("{finished:#?}");
    };
    assert!(third.starts_with("  3/9 "), "{third}");
    assert!(test.starts_with("test    loss "), "{test}");
    assert_eq!(
        stopped,
        "stopped after epoch 3 of 9: no lower validation loss in the last 2 epochs"
    );
    assert!(
        best.starts_with("        best validation loss ")
            && best.ends_with(" after epoch 1; the weights saved are the last ones"),
        "{best}"
    );
    assert!(saved.starts_with("saved   "), "{saved}");
    let run = dir.run("a");
    assert_eq!(run.session().unwrap().status, Some(SessionStatus::Success));
    assert_eq!(run.scalars("validation/loss").unwrap().len(), 3);
    assert_eq!(run.scalars("test/loss").unwrap()[0].step, 3);
    assert!(run.hparams().contains_key("early_stopping"));
    let expected = "`early_stopping` in epoch 3. The validation loss was lowest after epoch 1; \
                    weights and test result are those of the end.";
    assert_eq!(stopped_text(&dir, "a"), Some((3, expected.to_owned())));

    let finished = dir.train(&format!("{flags} --logdir b --json")).ended(0);
    let result: Value = serde_json::from_str(finished.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(result["event"], "result");
    assert_eq!(result["stopped"], "early_stopping");
    assert_eq!(
        (&result["epochs"], &result["best_epoch"]),
        (&3.into(), &1.into())
    );
}

#[test]
fn a_time_limit_is_a_success_that_says_why_it_ended() {
    let dir = Dir::new();
    let flags = "--data data --batch-size 20 --epochs 100000 --time-limit";
    let finished = dir.train(&format!("{flags} 0.001s --logdir a")).ended(0);
    for part in [
        "\ntest    loss ",
        "\nstopped in epoch 1 of 100,000, at the time limit of 0.0 s\n        best validation loss ",
        "\nsaved   a/weights.safetensors, config.toml\n",
    ] {
        assert!(finished.stdout.contains(part), "{part}: {finished:#?}");
    }
    let run = dir.run("a");
    assert_eq!(run.session().unwrap().status, Some(SessionStatus::Success));
    assert_eq!(run.scalars("validation/loss").unwrap().len(), 1);
    assert!(
        stopped_text(&dir, "a")
            .unwrap()
            .1
            .starts_with("`time_limit` in epoch 1.")
    );
    let updates = run.scalars("batches/train_batch/loss").unwrap().len();
    assert!((1..11).contains(&updates), "{updates}");

    let finished = dir
        .train(&format!("{flags} 0.0001m --logdir b --json"))
        .ended(0);
    let lines: Vec<Value> = (finished.stdout.lines())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["config"]["time_limit_secs"], 0.006);
    assert_eq!(lines.last().unwrap()["stopped"], "time_limit");
    dir.train(&format!("{SMALL} --time-limit 1h --logdir c"))
        .ended(0);
    assert_eq!(stopped_text(&dir, "c"), None);
}

#[test]
fn the_recipe_names_decay_and_clipping() {
    let dir = Dir::new();
    let flags = "--optimizer adamw --weight-decay 0.05 --clip-norm 2";
    let finished = dir.train(&format!("{SMALL} {flags} --logdir a")).ended(0);
    let recipe = " · AdamW, one-cycle to 0.01, weight decay 0.05, clip norm 2 · batch 20";
    assert!(finished.stdout.contains(recipe), "{}", finished.stdout);
    let config = Config::from_toml(&String::from_utf8(dir.read("a/config.toml")).unwrap()).unwrap();
    assert_eq!(config.optimizer, OptimizerKind::Adamw);
    assert_eq!(
        (config.weight_decay, config.clip_norm),
        (Some(0.05), Some(2.0))
    );
}

#[test]
fn what_changes_images_is_named_kept_and_shown() {
    let dir = Dir::new();
    for (name, flags, said, written) in [
        ("a", "", ", shift 1 · seed", ""),
        ("b", "--preset article --epochs 1", "batch 20 · seed", ""),
        (
            "c",
            "--shift 0 --rotation 12.5 --scaling 0.1",
            "batch 20, rotation 12.5°, scaling 0.1 · seed",
            "rotation = 12.5\nscaling = 0.1\n",
        ),
    ] {
        let line = format!("--data data {flags} --batch-size 20 --logdir {name}");
        let finished = dir.train(&line).ended(0);
        assert!(finished.stdout.contains(said), "{}", finished.stdout);
        let toml = String::from_utf8(dir.read(&format!("{name}/config.toml"))).unwrap();
        let settings = ["rotation = ", "scaling = "];
        let lines = toml.split_inclusive('\n');
        let lines = lines.filter(|line| settings.iter().any(|name| line.starts_with(name)));
        assert_eq!(lines.collect::<String>(), written);
        let run = dir.run(name);
        for (setting, value) in [("rotation", 12.5), ("scaling", 0.1)] {
            let expected = (name == "c").then_some(HParam::Number(value));
            assert_eq!(run.hparams().get(setting), expected.as_ref());
        }
        let steps = run.images("samples/augmented").ok();
        let steps = steps.map(|points| points.iter().map(|p| p.step).collect::<Vec<_>>());
        assert_eq!(steps, (name != "b").then(|| vec![0]), "{name}");
    }
}

#[test]
fn the_instruction_set_is_chosen_said_and_kept() {
    let dir = Dir::new();
    let flags = "--instruction-set portable --logdir a";
    let finished = dir.train(&format!("{SMALL} {flags}")).ended(0);
    assert!(
        finished.stdout.contains(" · portable\n"),
        "{}",
        finished.stdout
    );
    let config = Config::from_toml(&String::from_utf8(dir.read("a/config.toml")).unwrap()).unwrap();
    assert_eq!(config.instruction_set, Some(InstructionSet::Portable));
}

#[test]
fn quiet_prints_nothing() {
    let dir = Dir::new();
    for _ in 0..2 {
        let finished = dir
            .train(&format!("{SMALL} --quiet --overwrite --logdir a"))
            .ended(0);
        assert_eq!(
            (finished.stdout.as_str(), finished.stderr.as_str()),
            ("", "")
        );
    }
    let finished = dir.train(&format!("{SMALL} --quiet --logdir a")).ended(2);
    assert!(
        finished
            .stderr
            .starts_with("error: a already holds a run (2 epochs, finished ")
    );
}

#[test]
fn log_chooses_what_is_logged() {
    let dir = Dir::new();
    dir.train(&format!("{SMALL} --log epochs --logdir a"))
        .ended(0);
    let run = dir.run("a");
    assert!(run.scalars("validation/loss").is_ok());
    assert!(run.scalars("batches/train_batch/loss").is_err());
    assert!(run.hparams().is_empty());
    dir.train(&format!("{SMALL} --log batches,settings --logdir b"))
        .ended(0);
    let run = dir.run("b");
    assert!(run.scalars("validation/loss").is_err());
    assert_eq!(run.scalars("batches/train_batch/loss").unwrap().len(), 22);
    assert!(run.hparams().contains_key("learning_rate"));
    assert!(run.scalars("per_class/0").is_err());
    assert!(!dir.exists("b/projector_config.pbtxt"));
    dir.train(&format!(
        "{SMALL} --log classes,gradients,histograms --logdir c"
    ))
    .ended(0);
    let run = dir.run("c");
    for tag in ["per_class/2", "optimizer/gradient_norm"] {
        let steps = run.scalars(tag).unwrap().iter().map(|point| point.step);
        assert_eq!(steps.collect::<Vec<_>>(), [1, 2], "{tag}");
    }
    let dead = run.scalars("relu_dead/conv2").unwrap();
    assert!(dead.iter().all(|point| (0.0..=1.0).contains(&point.value)));
    assert_eq!(dead.len(), 3);
    assert!(run.scalars("validation/loss").is_err());
    dir.train(&format!("{SMALL} --log none --logdir d"))
        .ended(0);
    assert_eq!(dir.run("d").scalar_series().count(), 0);
    assert!(!dir.exists("d/train") && !dir.exists("d/batches"));
    dir.train(&format!("{SMALL} --log all --logdir e")).ended(0);
    dir.train(&format!("{SMALL} --logdir f")).ended(0);
    assert_eq!(scalars(&dir.run("e")).len(), scalars(&dir.run("f")).len());
}

/// Pictures and distributions of a training that ends early show its end, whatever epochs were
/// planned to be shown.
#[test]
fn the_last_epoch_is_looked_at_however_early_it_comes() {
    let dir = Dir::new();
    let flags = "--data data --batch-size 20 --epochs 100 --lr 1e-30 --early-stopping 2";
    dir.train(&format!("{flags} --log histograms --logdir a"))
        .ended(0);
    let run = dir.run("a");
    let points = run.scalars("relu_dead/fc1").unwrap();
    let steps: Vec<_> = points.iter().map(|point| point.step).collect();
    assert_eq!(steps, [0, 3]);
}

#[test]
fn without_logdir_the_next_free_name_is_taken() {
    let dir = Dir::new();
    fs::create_dir_all(dir.path("runs/exp4")).unwrap();
    for expected in ["runs/exp5", "runs/exp6"] {
        let finished = dir.train(SMALL).ended(0);
        assert!(finished.stdout.contains(&format!(
            "saved   {expected}/weights.safetensors, config.toml\n"
        )));
        assert!(dir.exists(&format!("{expected}/weights.safetensors")));
    }
}

#[test]
fn what_cannot_be_trained_with_is_said_before_anything_is_created() {
    let dir = Dir::new();
    fs::write(dir.path("file"), "text").unwrap();
    fs::write(dir.path("bad.toml"), "epochs = 3\nepoch_size = 1\n").unwrap();
    fs::write(dir.path("zero.toml"), "epochs = 0").unwrap();
    let conv = "epochs = 3\n\n[[layers]]\ntype = \"conv\"\nchannels = 3\n";
    fs::write(dir.path("net.toml"), conv).unwrap();
    let two = "network = \"deep\"\n[[layers]]\ntype = \"linear\"\n";
    fs::write(dir.path("two.toml"), two).unwrap();
    dir.write_data("tiny", 3, 60);
    dir.write_data("damaged", 8, 60);
    let labels = dir.path("damaged/t10k-labels-idx1-ubyte");
    fs::write(labels, b"\x1f\x8b and nothing that gzip knows").unwrap();
    let before = dir.files();
    let cases = [
        (
            "--epochs 0",
            "it must be a whole number from 1 to 1,000,000\n",
        ),
        (
            "--epochs -3",
            "it must be a whole number from 1 to 1,000,000\n",
        ),
        (
            "--epochs 9999999",
            "it must be a whole number from 1 to 1,000,000\n",
        ),
        (
            "--config zero.toml",
            "epochs is 0; it must be from 1 to 1,000,000\n",
        ),
        (
            "--instruction-set sse",
            "it must be one of portable, neon, avx2, avx512\n",
        ),
        ("--threads 0", "it must be a whole number from 1 to 1,024\n"),
        (
            "--threads 5000",
            "it must be a whole number from 1 to 1,024\n",
        ),
        (
            "--batch-size 0",
            "it must be a whole number from 1 to 65,536\n",
        ),
        (
            "--lr -0.1",
            "learning_rate is -0.1; it must be above 0 and at most 100",
        ),
        (
            "--learning-rate nan",
            "learning_rate is NaN; it must be above 0 and at most 100\n",
        ),
        ("--lr fast", "it must be a number above 0 and at most 100\n"),
        (
            "--seed -1",
            "it must be a whole number from 0 to 9,223,372,036,854,775,807\n",
        ),
        (
            "--seed 18446744073709551615",
            "it must be a whole number from 0 to 9,223,372,036,854,775,807\n",
        ),
        ("--optimizer rmsprop", "[possible values: adam, adamw, sgd]"),
        (
            "--rotation 181",
            "rotation is 181; it must be from 0 to 180 degrees\n",
        ),
        (
            "--rotation -1",
            "rotation is -1; it must be from 0 to 180 degrees\n",
        ),
        (
            "--rotation wild",
            "it must be a number from 0 to 180 degrees\n",
        ),
        (
            "--scaling 0.6",
            "scaling is 0.6; it must be from 0 to 0.5\n",
        ),
        (
            "--clip-norm 0",
            "clip_norm is 0; it must be above 0 and at most 1,000,000\n",
        ),
        (
            "--clip-norm tight",
            "it must be a number above 0 and at most 1,000,000\n",
        ),
        (
            "--optimizer sgd --weight-decay -0.1",
            "weight_decay is -0.1; it must be from 0 to 1\n",
        ),
        (
            "--weight-decay 0.1",
            "weight_decay is 0.1; it must be left out with optimizer adam; adamw and sgd have one\n",
        ),
        (
            "--early-stopping 0",
            "it must be a whole number from 1 to 1,000,000\n",
        ),
        (
            "--time-limit 0",
            "time_limit_secs is 0; it must be above 0 and at most 31,536,000 seconds\n",
        ),
        (
            "--time-limit -2m",
            "time_limit_secs is -120; it must be above 0 and at most 31,536,000 seconds\n",
        ),
        (
            "--time-limit soon",
            "31,536,000 seconds, written as 90, 90s, 2m or 1h\n",
        ),
        (
            "--preset none",
            "[possible values: default, article, sprint, deep]",
        ),
        (
            "--network vgg",
            "[possible values: article, lenet5, sprint, deep]",
        ),
        (
            "--network lenet5",
            "error: the network (lenet5) does not fit to images of 8x8: layer 4 (conv): windows of 5x5 \
             do not fit into maps of 4x4; take smaller ones, or pool less before\n",
        ),
        (
            "--config net.toml",
            "error: net.toml, line 3: missing field `kernel`\n",
        ),
        (
            "--config two.toml",
            "error: network is deep; it must be left out beside [[layers]], which are a network of \
             their own\n",
        ),
        (
            "--network deep --batch-size 73",
            "error: batch_size is 73; it must be one that leaves no batch with a single image, which \
             has no variance to normalise by (batch_norm after a linear layer)\n",
        ),
        (
            "--log everything",
            "[possible values: epochs, batches, settings, classes, gradients, images, ",
        ),
        ("--device gpu", "it must be cpu, cuda:N or metal:N"),
        ("--config none.toml", "cannot read none.toml"),
        (
            "--config bad.toml",
            "error: bad.toml, line 2: unknown field `epoch_size`, expected one of `data`, ",
        ),
        ("--config bad.toml --preset article", "cannot be used with"),
        ("--json --quiet", "cannot be used with"),
        ("--data none", "none: holds no train-images-idx3-ubyte"),
        (
            "--data tiny",
            "error: the network (article) does not fit to images of 3x3: layer 5 (max_pool): windows \
             of 2x2 do not fit into maps of 1x1; take smaller ones, or pool less before\n",
        ),
        (
            "--data damaged",
            "error: damaged/t10k-labels-idx1-ubyte: cannot be read: invalid gzip header\n",
        ),
        (
            "--logdir file",
            "file is a file; --logdir takes a directory",
        ),
        ("--logdir file/exp1", "file/exp1"),
        (
            "--logdir runs/tfevents",
            "\"tfevents\" cannot name a run directory; expected a name without `tfevents`",
        ),
    ];
    for (flags, expected) in cases {
        let data = if flags.contains("--data") {
            ""
        } else {
            "--data data"
        };
        let logdir = if flags.contains("--logdir") {
            ""
        } else {
            "--logdir runs/exp1"
        };
        let finished = dir.train(&format!("{flags} {data} {logdir}")).ended(2);
        assert!(
            finished.stderr.starts_with("error: "),
            "{flags}: {}",
            finished.stderr
        );
        assert!(
            finished.stderr.contains(expected),
            "{flags}: {}",
            finished.stderr
        );
        assert_eq!(finished.stdout, "", "{flags}");
        assert_eq!(dir.files(), before, "{flags}");
        assert!(!dir.exists("runs"), "{flags}");
    }
}

/// Nothing is fetched in a build that cannot: what to fetch is said.
#[cfg(not(feature = "download"))]
#[test]
fn a_published_set_that_is_not_there_can_be_put_there() {
    let dir = Dir::new();
    let mut command = dir.command(&["--data", "fashion-mnist", "--logdir", "a"]);
    command.env("XDG_CACHE_HOME", dir.path("caches"));
    let output = command.output().unwrap();
    let caches = dir
        .path("caches/cnn-tb/fashion-mnist")
        .display()
        .to_string();
    let stderr = String::from_utf8(output.stderr)
        .unwrap()
        .replace(&caches, "DIR");
    let expected = "\
error: DIR: holds no train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, \
t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz of Fashion-MNIST
  fetch them into this directory, or build cnn-tb with --features download, which does:
  https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/train-images-idx3-ubyte.gz
  https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/train-labels-idx1-ubyte.gz
  https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/t10k-images-idx3-ubyte.gz
  https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/t10k-labels-idx1-ubyte.gz
";
    assert_eq!((stderr.as_str(), output.status.code()), (expected, Some(2)));
    assert!(!dir.exists("caches") && !dir.exists("a"));
}

#[test]
fn a_published_set_is_held_against_its_checksums() {
    let dir = Dir::new();
    let set = Published::by_name("kmnist").unwrap();
    let place = dir.path("caches/cnn-tb/kmnist");
    fs::create_dir_all(&place).unwrap();
    for file in &set.files {
        // Of the right size and nothing else.
        let path = place.join(file.name);
        fs::File::create(path).unwrap().set_len(file.bytes).unwrap();
    }
    let train = || {
        let mut command = dir.command(&["--data", "kmnist", "--logdir", "a"]);
        command.env("XDG_CACHE_HOME", dir.path("caches"));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let images = &set.files[0];
    let shown = place.join(images.name).display().to_string();
    let advice = "this is not the file that was published; remove it\n";
    let error = train();
    assert!(
        error.starts_with(&format!("error: {shown}: SHA-256 ")),
        "{error}"
    );
    assert!(
        error.ends_with(&format!(", expected SHA-256 {}: {advice}", images.sha256)),
        "{error}"
    );
    fs::write(place.join(images.name), "short").unwrap();
    let bytes = images.bytes;
    let expected = format!("error: {shown}: 5 bytes, expected {bytes} bytes: {advice}");
    assert_eq!(train(), expected);
    // They may be somebody's work.
    assert_eq!(fs::read_dir(&place).unwrap().count(), 4);
    assert!(!dir.exists("a"));
}

/// A name means the same everywhere; that another was perhaps meant is said.
#[test]
fn a_directory_with_the_name_of_a_published_set_is_written_as_one() {
    let dir = Dir::new();
    dir.write_data("kmnist", 8, 240);
    let flags = "--batch-size 20 --epochs 1";
    let finished = dir
        .train(&format!("--data ./kmnist {flags} --logdir a"))
        .ended(0);
    assert!(!finished.stderr.contains("warning"), "{finished:#?}");
    let mut command = dir.command(&["--data", "kmnist", "--logdir", "b"]);
    command.env("XDG_CACHE_HOME", dir.path("caches"));
    // All are there and none is right, so that nothing is fetched.
    let place = dir.path("caches/cnn-tb/kmnist");
    fs::create_dir_all(&place).unwrap();
    for file in &Published::by_name("kmnist").unwrap().files {
        fs::write(place.join(file.name), "").unwrap();
    }
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = stderr.lines().collect();
    let warning = "warning: kmnist is Kuzushiji-MNIST, not the directory here: that is ./kmnist";
    assert_eq!((lines.len(), lines[0]), (2, warning), "{stderr}");
    assert!(
        lines[1].contains(": 0 bytes, expected 18165135 bytes: "),
        "{stderr}"
    );
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn classes_have_their_names_in_all_that_is_logged() {
    let dir = Dir::new();
    let names = ["flat", "up/right", "näher"];
    fs::write(dir.path("data/classes.txt"), names.join("\n")).unwrap();
    dir.train(&format!("{SMALL} --logdir a --quiet")).ended(0);
    let run = dir.run("a");
    let tags: Vec<String> = scalars(&run).into_iter().map(|(tag, _)| tag).collect();
    for tag in ["per_class/flat", "per_class/up_right", "per_class/näher"] {
        assert!(tags.iter().any(|logged| logged == tag), "{tag}: {tags:?}");
    }
    assert!(!tags.iter().any(|tag| tag == "per_class/0"));
    for (tag, row) in [
        ("per_class", "| up/right | "),
        (
            "confusion",
            "| label ↓ taken for → | flat | up/right | näher |\n",
        ),
    ] {
        let text = &run.texts(tag).unwrap()[0].value;
        assert!(text.contains(row), "{tag}: {text}");
    }
    let metadata = dir
        .files()
        .into_iter()
        .find(|file| file.ends_with("metadata.tsv"));
    let metadata = String::from_utf8(dir.read(&metadata.unwrap())).unwrap();
    let labels: Vec<&str> = metadata
        .lines()
        .skip(1)
        .map(|line| line.split('\t').next().unwrap())
        .collect();
    assert_eq!((labels.len(), &labels[..3]), (30, &names[..]));
}

#[test]
fn a_run_is_not_overwritten_unasked() {
    let dir = Dir::new();
    dir.train(&format!("{SMALL} --logdir runs/exp1")).ended(0);
    fs::create_dir(dir.path("runs/exp2")).unwrap();
    let before = dir.files();
    let finished = dir.train(&format!("{SMALL} --logdir runs/exp1")).ended(2);
    let (first, second) = finished.stderr.split_once('\n').unwrap();
    assert!(
        first.starts_with("error: runs/exp1 already holds a run (2 epochs, finished "),
        "{first}"
    );
    assert!(first.ends_with(" s ago)"), "{first}");
    assert_eq!(
        second,
        "  new name: --logdir runs/exp3     replace it: --overwrite\n"
    );

    dir.train(&format!("{SMALL} --logdir runs/default-1"))
        .ended(0);
    let finished = dir
        .train(&format!("{SMALL} --logdir runs --overwrite"))
        .ended(2);
    assert_eq!(
        finished.stderr,
        "error: runs holds other runs (default-1, exp1); name one inside it: --logdir runs/exp3\n"
    );
    assert_eq!(finished.stdout, "");
    assert!(before.iter().all(|file| dir.exists(file)));
    assert!(!dir.exists("runs/config.toml"));
}

#[test]
fn overwrite_removes_only_what_cnn_tb_wrote_and_lists_it() {
    let dir = Dir::new();
    dir.train(&format!("{SMALL} --logdir runs/exp1")).ended(0);
    let old: Vec<String> = dir
        .files()
        .into_iter()
        .filter(|file| file.starts_with("runs/"))
        .collect();
    let kept = [
        "runs/exp1/notes.md",
        "runs/exp1/train/plot.png",
        "runs/exp1/mine/config.toml",
    ];
    fs::create_dir(dir.path("runs/exp1/mine")).unwrap();
    for file in kept {
        fs::write(dir.path(file), "mine").unwrap();
    }
    let finished = dir
        .train(&format!("{SMALL} --seed 1 --logdir runs/exp1 --overwrite"))
        .ended(0);
    let mut listed: Vec<String> = finished
        .stderr
        .lines()
        .skip(1)
        .map(|line| line.trim().to_owned())
        .collect();
    listed.sort();
    assert_eq!(
        finished.stderr.lines().next(),
        Some("replacing the run in runs/exp1; removing")
    );
    assert_eq!(listed, old);
    for file in kept {
        assert_eq!(dir.read(file), b"mine", "{file}");
    }
    let remaining: Vec<&String> = old.iter().filter(|file| dir.exists(file)).collect();
    assert_eq!(
        remaining,
        [
            "runs/exp1/config.toml",
            "runs/exp1/last.checkpoint",
            "runs/exp1/previous.checkpoint",
            "runs/exp1/projector/fc1/00002/metadata.tsv",
            "runs/exp1/projector/fc1/00002/sprite.png",
            "runs/exp1/projector/fc1/00002/tensors.tsv",
            "runs/exp1/projector_config.pbtxt",
            "runs/exp1/weights.safetensors",
        ]
    );
    assert_eq!(
        dir.run("runs/exp1")
            .scalars("validation/loss")
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn overwrite_refuses_what_is_not_a_run_of_its_own() {
    let make = |spoil: &dyn Fn(&Dir)| {
        let dir = Dir::new();
        dir.train(&format!("{SMALL} --logdir runs/exp1")).ended(0);
        spoil(&dir);
        dir
    };
    let log = |path: PathBuf| SummaryWriter::create(path).unwrap().finish().unwrap();
    let only = |dir: &Dir, name: &str| {
        fs::remove_dir_all(dir.path("runs/exp1")).unwrap();
        fs::create_dir(dir.path("runs/exp1")).unwrap();
        fs::write(dir.path("runs/exp1").join(name), "mine").unwrap();
    };
    type Spoil<'a> = &'a dyn Fn(&Dir);
    let cases: [(Spoil, &str); 6] = [
        (
            &|dir| log(dir.path("runs/exp1/fold/exp2")),
            "runs/exp1 holds other runs beside its own (fold/exp2)\n  --overwrite replaces a single run; move the others away\n",
        ),
        (
            &|dir| fs::write(dir.path("runs/exp1/events.out.tfevents.1.other"), "text").unwrap(),
            "runs/exp1/events.out.tfevents.1.other was not written by cnn-tb, so --overwrite leaves it alone",
        ),
        (
            &|dir| fs::write(dir.path("runs/exp1/validation/x.tfevents"), "text").unwrap(),
            "runs/exp1/validation/x.tfevents was not written by cnn-tb",
        ),
        (
            &|dir| only(dir, "config.toml"),
            "runs/exp1/config.toml was not written by cnn-tb",
        ),
        (
            &|dir| only(dir, "weights.safetensors"),
            "runs/exp1/weights.safetensors was not written by cnn-tb",
        ),
        (
            &|dir| only(dir, "my.tfevents"),
            "runs/exp1/my.tfevents was not written by cnn-tb",
        ),
    ];
    for (spoil, expected) in cases {
        let dir = make(spoil);
        let before = dir.files();
        let finished = dir
            .train(&format!("{SMALL} --logdir runs/exp1 --overwrite"))
            .ended(2);
        assert!(
            finished.stderr.starts_with(&format!("error: {expected}")),
            "{}",
            finished.stderr
        );
        assert_eq!(dir.files(), before, "{expected}");
    }
}

#[cfg(unix)]
#[test]
fn overwrite_does_not_reach_through_links() {
    let dir = Dir::new();
    dir.train(&format!("{SMALL} --logdir elsewhere")).ended(0);
    dir.train(&format!("{SMALL} --logdir runs/exp1")).ended(0);
    fs::remove_dir_all(dir.path("runs/exp1/train")).unwrap();
    std::os::unix::fs::symlink(dir.path("elsewhere/train"), dir.path("runs/exp1/train")).unwrap();
    let before = scalars(&dir.run("elsewhere"));
    // The log of the new run cannot be put where the link leads, since there is one already.
    dir.train(&format!("{SMALL} --logdir runs/exp1 --overwrite"))
        .ended(2);
    assert_eq!(scalars(&dir.run("elsewhere")), before);
}

#[test]
fn a_broken_setting_does_not_cost_the_earlier_run() {
    let dir = Dir::new();
    dir.train(&format!("{SMALL} --logdir a")).ended(0);
    let before = dir.files();
    dir.write_data("tiny", 3, 60);
    for flags in [
        "--data none",
        "--data tiny",
        "--data data --lr 0",
        "--data data --device cuda:77",
    ] {
        dir.train(&format!("{flags} --logdir a --overwrite"))
            .ended(2);
        assert!(before.iter().all(|file| dir.exists(file)), "{flags}");
    }
}

#[cfg(feature = "mnist")]
#[test]
fn a_loss_that_diverges_is_an_error_and_a_failed_session() {
    let dir = Dir::new();
    let mnist = cnn_tb::data::Dataset::mnist().unwrap();
    for (name, split, count) in [
        ("train", mnist.train(), 240),
        ("t10k", mnist.validation(), 30),
    ] {
        dir.write_split(
            "mnist",
            name,
            28,
            &split.pixels()[..count * 784],
            &split.labels()[..count],
        );
    }
    // Which seeds diverge depends on how the processor rounds; most do not, as every ReLU dies.
    let flags =
        "--data mnist --batch-size 30 --epochs 2 --lr 100 --schedule constant --optimizer sgd";
    let finished = (0..20)
        .map(|seed| dir.train(&format!("{flags} --seed {seed} --logdir a --overwrite")))
        .find(|finished| finished.code != 0)
        .unwrap()
        .ended(2);
    assert!(
        finished.stderr.contains("error: the loss is "),
        "{}",
        finished.stderr
    );
    for part in [
        "learning rate 100; from the loss back, the first gradient that is not finite is that of ",
        "; try a smaller learning rate",
    ] {
        assert!(finished.stderr.contains(part), "{}", finished.stderr);
    }
    assert_eq!(
        dir.run("a").session().unwrap().status,
        Some(SessionStatus::Failure)
    );
    let finished = dir.train(&format!("{SMALL} --logdir a")).ended(2);
    assert!(
        finished.stderr.contains("epoch") && finished.stderr.contains(", failed "),
        "{}",
        finished.stderr
    );
}

#[test]
fn what_a_diverging_network_cannot_show_is_said() {
    let dir = Dir::new();
    dir.write_data("mnist", 8, 36);
    // The decay alone turns the weights around and makes them 99 times as large, update by update.
    let flags = "--data mnist --batch-size 60 --epochs 20 --lr 100 --schedule constant \
                 --optimizer sgd --weight-decay 1 --clip-norm 1 --quiet --logdir a";
    let finished = dir.train(flags).ended(2);
    let warning = "warning: no predictions after epoch ";
    assert!(finished.stderr.starts_with(warning), "{}", finished.stderr);
    let run = dir.run("a");
    let text = &run.texts("left_out/predictions").unwrap()[0].value;
    assert!(finished.stderr.contains(text), "{text}");
}

#[test]
fn names_do_not_steer_the_terminal() {
    let dir = Dir::new();
    dir.write_data("my \x1b[31mdata", 8, 60);
    let logdir = "my runs/\u{202e}exp\x1b]0;x\x07";
    let arguments = [
        "--data",
        "my \x1b[31mdata",
        "--epochs",
        "1",
        "--logdir",
        logdir,
    ];
    let finished = dir.train_with(&arguments).ended(0);
    assert!(
        finished
            .stdout
            .contains("view    tensorboard --logdir 'my runs'"),
        "{}",
        finished.stdout
    );
    assert!(dir.path(logdir).join("weights.safetensors").exists());
    let again = dir.train_with(&arguments).ended(2);
    let overwritten = dir
        .train_with(&[&arguments[..], &["--overwrite"]].concat())
        .ended(0);
    for text in [finished.stdout, again.stderr, overwritten.stderr] {
        assert!(!text.contains(['\x1b', '\x07', '\u{202e}']), "{text:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_logdir_need_not_be_unicode_but_data_must() {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = Dir::new();
    let name = OsStr::from_bytes(b"run\xff");
    let flags = ["--data", "data", "--epochs", "1", "--logdir"].map(OsStr::new);
    dir.train_with(&[&flags[..], &[name]].concat()).ended(0);
    assert!(dir.0.path().join(name).join("weights.safetensors").exists());
    let flags = ["--logdir", "a", "--data"].map(OsStr::new);
    let finished = dir.train_with(&[&flags[..], &[name]].concat()).ended(2);
    assert!(
        finished.stderr.contains("is not Unicode"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_training_goes_on_when_nobody_reads_its_output() {
    let dir = Dir::new();
    let arguments: Vec<&str> = SMALL.split(' ').chain(["--logdir", "a"]).collect();
    let mut child = dir.command(&arguments).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(dir.exists("a/weights.safetensors"));
    assert_eq!(
        dir.run("a").session().unwrap().status,
        Some(SessionStatus::Success)
    );
}

/// A disk that is full for the output alone.
#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error_but_no_failure_of_the_training() {
    let dir = Dir::new();
    let arguments: Vec<&str> = SMALL.split(' ').chain(["--logdir", "a"]).collect();
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = dir.command(&arguments).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "warning: cannot write to standard output: No space left on device (os error 28); the training \
         goes on\n\
         error: cannot write to standard output: No space left on device (os error 28)\n"
    );
    let status = dir.run("a").session().unwrap().status;
    assert_eq!(status, Some(SessionStatus::Success));
}

#[cfg(unix)]
fn interrupt(child: &Child) {
    let status = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Reads lines until one contains `text`.
#[cfg(unix)]
#[track_caller]
fn wait_for(lines: &mut impl std::io::BufRead, text: &str) {
    let mut seen = String::new();
    while !seen.contains(text) {
        assert!(
            lines.read_line(&mut seen).unwrap() > 0,
            "no {text:?} in {seen:?}"
        );
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_the_logs_and_saves_the_weights() {
    let dir = Dir::new();
    let arguments = "--data data --batch-size 20 --epochs 100000 --logdir runs/exp1";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let mut child = dir.command(&arguments).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    wait_for(&mut stdout, "3/100000");
    let while_it_runs = dir
        .train(&format!("{SMALL} --logdir runs/exp1 --overwrite"))
        .ended(2);
    assert_eq!(
        while_it_runs.stderr,
        "error: runs/exp1 is being written by another training; stop that one first\n"
    );
    interrupt(&child);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(
        rest.contains(" of 100,000 epochs\nsaved   runs/exp1/weights.safetensors, config.toml\n"),
        "{rest}"
    );
    assert!(!rest.contains("test    loss"), "{rest}");

    let run = dir.run("runs/exp1");
    let epochs = run.scalars("validation/loss").unwrap().len();
    let printed = rest
        .rsplit_once("stopped after ")
        .unwrap()
        .1
        .split_once(" of ")
        .unwrap()
        .0;
    assert_eq!(printed.replace(',', ""), epochs.to_string());
    assert_eq!(run.scalars("train/loss").unwrap().len(), epochs);
    // The cut epoch has updates, but no point of its own.
    let updates = run.scalars("batches/train_batch/loss").unwrap().len();
    assert!(
        (epochs * 11..=(epochs + 1) * 11).contains(&updates),
        "{epochs} epochs, {updates} updates"
    );
    assert_eq!(run.session().unwrap().status, None);
    assert!(!dir.read("runs/exp1/weights.safetensors").is_empty());

    let finished = dir.train(&format!("{SMALL} --logdir runs/exp1")).ended(2);
    assert!(
        finished.stderr.contains(" epochs, interrupted "),
        "{}",
        finished.stderr
    );
}

#[cfg(unix)]
#[test]
fn a_second_ctrl_c_stops_at_once() {
    let dir = Dir::new();
    // One batch of these takes a second or more.
    dir.write_data("large", 160, 300);
    let arguments = "--data large --batch-size 300 --threads 1 --epochs 100 --logdir a";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let mut child = dir.command(&arguments).spawn().unwrap();
    wait_for(
        &mut BufReader::new(child.stdout.take().unwrap()),
        "epoch   train loss",
    );
    interrupt(&child);
    wait_for(
        &mut BufReader::new(child.stderr.take().unwrap()),
        "stopping after this batch",
    );
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!dir.exists("a/weights.safetensors"));
}

/// A network of one's own, with a layer of every kind.
const NETWORK: &str = r#"epochs = 2

[[layers]]
type = "conv"
channels = 4
kernel = 3
padding = 0

[[layers]]
type = "batch_norm"

[[layers]]
type = "relu"

[[layers]]
type = "max_pool"
size = 2
stride = 1

[[layers]]
type = "conv"
channels = 3
kernel = 3
stride = 2

[[layers]]
type = "relu"

[[layers]]
type = "avg_pool"

[[layers]]
type = "dropout"
rate = 0.2

[[layers]]
type = "linear"
"#;

#[test]
fn a_network_of_ones_own_is_trained_and_shown() {
    let dir = Dir::new();
    fs::write(dir.path("net.toml"), NETWORK).unwrap();
    let flags = "--config net.toml --data data --batch-size 20 --lr 0.01 --logdir own";
    let finished = dir.train(flags).ended(0);
    let expected = "own network, 171 parameters · Adam";
    assert!(finished.stdout.contains(expected), "{}", finished.stdout);
    let config = String::from_utf8(dir.read("own/config.toml")).unwrap();
    let (_, layers) = NETWORK.split_once("\n\n").unwrap();
    let layers = layers.replace("stride = 2\n", "stride = 2\npadding = \"same\"\n");
    let layers = layers.replace("\"avg_pool\"\n", "\"avg_pool\"\nsize = 2\n");
    assert!(config.ends_with(&layers), "{config}");

    let run = dir.run("own");
    let tags = |kind: Kind| -> Vec<String> {
        let series = run.series().filter(|series| series.kind == kind);
        series.map(|series| series.name).collect()
    };
    let mut dead = tags(Kind::Scalar);
    dead.retain(|tag| tag.starts_with("relu_dead/"));
    assert_eq!(dead, ["relu_dead/conv1", "relu_dead/conv2"]);
    let mut histograms = tags(Kind::Histogram);
    histograms.retain(|tag| !tag.starts_with("weight_gradients/"));
    assert_eq!(
        histograms,
        [
            "outputs/conv1/max_pool",
            "outputs/conv2/avg_pool",
            "outputs/fc1/logits",
            "weights/bn1.bias",
            "weights/bn1.weight",
            "weights/conv1.bias",
            "weights/conv1.weight",
            "weights/conv2.bias",
            "weights/conv2.weight",
            "weights/fc1.bias",
            "weights/fc1.weight",
        ]
    );
    assert!(dir.exists("own/projector/conv2/00002/tensors.tsv"));

    // The same network by flag is not the same run; replaced, nothing of the first one is left.
    let finished = dir
        .train(&format!("{flags} --network article --overwrite"))
        .ended(0);
    assert!(finished.stdout.contains("article network, "));
    assert!(!dir.exists("own/projector/conv2"));
    assert!(dir.exists("own/projector/fc1/00002/tensors.tsv"));
}

#[test]
fn batches_of_two_and_three_images_are_normalised() {
    let dir = Dir::new();
    // Of 220 training images.
    for size in [2, 7] {
        let flags = format!("--data data --epochs 1 --batch-size {size} --network deep");
        dir.train(&format!("{flags} --quiet --log none --logdir of{size}"))
            .ended(0);
    }
}
