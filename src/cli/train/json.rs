//! The report for programs: one JSON object a line.

use std::io;

use cnn_tb::train::{Batch, Config, Epoch, Metrics, Start};
use serde_json::{Value, json};

use super::{End, Report, Times};
use crate::cli::output::print;

/// Writes a line for the start, for each epoch and for the end.
#[derive(Default)]
pub struct Json {
    /// Held back until the first training step was made, so that its time says when that was.
    start: Option<Value>,
}

impl Report for Json {
    fn start(&mut self, start: &Start<'_>) -> io::Result<()> {
        self.start = Some(json!({
            "event": "start",
            "dataset": start.dataset,
            "train_images": start.train_images,
            "validation_images": start.validation_images,
            "test_images": start.test_images,
            "parameters": start.parameters,
            "threads": start.threads,
            "updates_per_epoch": start.updates_per_epoch,
            "config": config(start.config)?,
        }));
        Ok(())
    }

    fn batch(&mut self, _batch: &Batch, times: Times) -> io::Result<()> {
        let Some(mut start) = self.start.take() else {
            return Ok(());
        };
        start["elapsed_secs"] = times.elapsed.as_secs_f64().into();
        line(&start)
    }

    fn epoch(&mut self, epoch: &Epoch, times: Times) -> io::Result<()> {
        line(&json!({
            "event": "epoch",
            "epoch": epoch.epoch,
            "train": metrics(epoch.train),
            "validation": metrics(epoch.validation),
            "images_per_sec": epoch.images_per_sec,
            "logging_secs": times.logging.as_secs_f64(),
            "elapsed_secs": times.elapsed.as_secs_f64(),
        }))
    }

    fn end(&mut self, end: &End<'_>) -> io::Result<()> {
        let mut object = match end.test {
            Some(test) => json!({ "event": "result", "test": metrics(test.metrics) }),
            None => json!({ "event": "interrupted" }),
        };
        object["epochs"] = end.epochs.into();
        object["logdir"] = end.run_dir.path().to_string_lossy().into();
        object["weights"] = end.run_dir.weights().to_string_lossy().into();
        object["elapsed_secs"] = end.elapsed.as_secs_f64().into();
        line(&object)
    }
}

fn config(config: &Config) -> io::Result<Value> {
    serde_json::to_value(config).map_err(io::Error::other)
}

/// Numbers that JSON cannot hold (an infinite validation loss) become `null`.
fn metrics(metrics: Metrics) -> Value {
    json!({ "loss": metrics.loss, "accuracy": metrics.accuracy })
}

fn line(object: &Value) -> io::Result<()> {
    print(&format!("{object}\n"))
}
