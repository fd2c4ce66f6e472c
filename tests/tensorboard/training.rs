//! A real training by the program: every point as the training itself said it.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use cnn_tb::data::Dataset;
use cnn_tb::tb::Logdir;
use cnn_tb::train::{Batch, Config, Observer, fit};
use serde_json::{Value, json};

use crate::server::{Loader, Point, Scalars, TensorBoard};

const EPOCHS: usize = 2;
const SEED: u64 = 7;

#[test]
fn a_training_is_shown_as_it_went() {
    let logdir = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let said = train(&logdir.path().join("exp1"));
    let took = began.elapsed().as_secs_f64();

    let mut expected = said_of_epochs(&said);
    // The program does not say each update; the same training in this process does.
    let config = Config {
        epochs: EPOCHS,
        seed: SEED,
        ..Config::default()
    };
    let mut updates = Updates::default();
    fit(&config, &Dataset::mnist().unwrap(), &mut updates).unwrap();
    assert_eq!(updates.0[&batches("loss")].len(), EPOCHS * 550);
    expected.extend(updates.0);
    // Nor does it say what is looked into the network for; `dashboards.rs` does.
    expected.extend(looked_at(logdir.path()));
    // Nor this one, but it can only rise, and not beyond what was measured here.
    let elapsed_secs = elapsed_secs(logdir.path());
    let values = elapsed_secs.iter().map(|point| f64::from(point.value));
    let rising: Vec<_> = [0.0].into_iter().chain(values).chain([took]).collect();
    assert!(rising.is_sorted_by(|a, b| a < b), "{rising:?}");
    expected.insert(series("exp1", "performance/elapsed_secs"), elapsed_secs);

    let runs = ["exp1", "exp1/batches", "exp1/train", "exp1/validation"].map(str::to_owned);
    for loader in Loader::ALL {
        let tensorboard = TensorBoard::start(logdir.path(), loader);
        tensorboard.expect_scalars(&expected);
        assert_eq!(tensorboard.runs(), runs.clone().into(), "{loader:?}");

        let groups = tensorboard.session_groups();
        let hparams = &groups[0]["hparams"];
        assert_eq!(hparams["epochs"], json!(EPOCHS as f64), "{loader:?}");
        assert_eq!(hparams["seed"], json!(SEED as f64), "{loader:?}");
        assert_eq!(hparams["learning_rate"], json!(config.learning_rate));
        let status = &groups[0]["sessions"][0]["status"];
        assert_eq!(*status, json!("STATUS_SUCCESS"), "{loader:?}");
    }
}

/// Trains on the built-in MNIST and gives the lines that the program says.
fn train(run: &Path) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_cnn-tb"))
        .args(["train", "--json", "--epochs", &EPOCHS.to_string()])
        .args(["--seed", &SEED.to_string(), "--logdir"])
        .arg(run)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let lines = stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The points that the lines of the epochs and of the result stand for.
fn said_of_epochs(said: &[Value]) -> Scalars {
    let mut expected = Scalars::new();
    let mut add = |run: &str, tag: &str, step: u64, value: f64| {
        let points: &mut Vec<_> = expected.entry(series(run, tag)).or_default();
        points.push(point(step, value));
    };
    let (mut best_accuracy, mut best_loss) = (0.0_f64, f64::INFINITY);
    for line in said {
        let number = |split: &str, metric: &str| line[split][metric].as_f64().unwrap();
        match line["event"].as_str().unwrap() {
            "epoch" => {
                let step = line["epoch"].as_u64().unwrap();
                for (run, split) in [("exp1/train", "train"), ("exp1/validation", "validation")] {
                    add(run, "accuracy", step, number(split, "accuracy"));
                    add(run, "loss", step, number(split, "loss"));
                }
                for metric in ["accuracy", "loss"] {
                    let tag = format!("validation_curve/{metric}");
                    add("exp1", &tag, step, number("validation", metric));
                }
                best_accuracy = best_accuracy.max(number("validation", "accuracy"));
                best_loss = best_loss.min(number("validation", "loss"));
                add("exp1", "validation_best/accuracy", step, best_accuracy);
                add("exp1", "validation_best/loss", step, best_loss);
                let images_per_sec = line["images_per_sec"].as_f64().unwrap();
                add("exp1", "performance/images_per_sec", step, images_per_sec);
            }
            "result" => {
                let last = EPOCHS as u64;
                add("exp1", "test/accuracy", last, number("test", "accuracy"));
                add("exp1", "test/loss", last, number("test", "loss"));
            }
            other => assert_eq!(other, "start"),
        }
    }
    expected
}

/// What a training tells of each update.
#[derive(Default)]
struct Updates(Scalars);

impl Observer for Updates {
    fn batch(&mut self, batch: &Batch) -> io::Result<ControlFlow<()>> {
        let values = [
            ("loss", batch.train.loss),
            ("learning_rate", batch.learning_rate),
        ];
        for (name, value) in values {
            let points = self.0.entry(batches(name)).or_default();
            points.push(point(batch.update as u64, value));
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// What our own reader finds of each class, of the gradients and of dead units.
fn looked_at(logdir: &Path) -> Scalars {
    let runs = Logdir::open(logdir).unwrap().runs().unwrap();
    let groups = ["per_class/", "optimizer/", "relu_dead/"];
    let all = runs[0].scalar_series();
    let of_groups = all.filter(|(name, _)| groups.iter().any(|group| name.starts_with(group)));
    let found: Scalars = of_groups
        .map(|(name, points)| {
            let points = points.iter().map(|found| Point {
                wall_time: Some(found.wall_time),
                ..point(found.step as u64, f64::from(found.value))
            });
            (series("exp1", &name), points.collect())
        })
        .collect();
    assert_eq!(found.len(), 10 + 1 + 3);
    found
}

/// The seconds of each epoch's end, as our own reader finds them.
fn elapsed_secs(logdir: &Path) -> Vec<Point> {
    let runs = Logdir::open(logdir).unwrap().runs().unwrap();
    let points = runs[0].scalars("performance/elapsed_secs").unwrap();
    assert_eq!(points.len(), EPOCHS);
    let points = points.iter().map(|point| Point {
        step: point.step,
        wall_time: Some(point.wall_time),
        value: point.value,
    });
    points.collect()
}

fn series(run: &str, tag: &str) -> (String, String) {
    (run.to_owned(), tag.to_owned())
}

fn batches(name: &str) -> (String, String) {
    series("exp1/batches", &format!("train_batch/{name}"))
}

/// A point at a time that the training does not say.
fn point(step: u64, value: f64) -> Point {
    Point {
        step: step.try_into().unwrap(),
        wall_time: None,
        value: value as f32,
    }
}
