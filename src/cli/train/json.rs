//! The report for programs: one JSON object a line.

use std::io;

use cnn_tb::train::{Batch, Config, Epoch, Metrics, Start, Stopped};
use serde::Serialize;

use super::{End, Report, Times};
use crate::cli::output::print;

/// Writes a line for the start, for each epoch and for the end.
#[derive(Default)]
pub struct Json {
    /// Held back until the first training step was made, so that its time says when that was.
    start: Option<StartLine>,
}

/// A line, which begins with the kind of its event.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    Start(&'a StartLine),
    Epoch {
        epoch: usize,
        train: MetricsObject,
        validation: MetricsObject,
        images_per_sec: f64,
        evaluation_secs: f64,
        logging_secs: f64,
        elapsed_secs: f64,
    },
    Result {
        test: MetricsObject,
        stopped: Option<&'static str>,
        best_epoch: Option<usize>,
        #[serde(flatten)]
        end: EndFields,
    },
    Interrupted(EndFields),
}

#[derive(Serialize)]
struct StartLine {
    elapsed_secs: f64,
    dataset: String,
    train_images: usize,
    validation_images: usize,
    test_images: usize,
    parameters: usize,
    threads: usize,
    updates_per_epoch: usize,
    completed_epochs: usize,
    config: Config,
}

/// Numbers that JSON cannot hold (an infinite validation loss) become `null`.
#[derive(Serialize)]
struct MetricsObject {
    loss: f64,
    accuracy: f64,
}

#[derive(Serialize)]
struct EndFields {
    epochs: usize,
    logdir: String,
    weights: String,
    elapsed_secs: f64,
}

impl From<Metrics> for MetricsObject {
    fn from(Metrics { loss, accuracy }: Metrics) -> Self {
        Self { loss, accuracy }
    }
}

impl Line<'_> {
    fn print(&self) -> io::Result<()> {
        let text = serde_json::to_string(self).map_err(io::Error::other)?;
        print(&format!("{text}\n"))
    }
}

impl Report for Json {
    fn start(&mut self, start: &Start<'_>) -> io::Result<()> {
        self.start = Some(StartLine {
            elapsed_secs: 0.0,
            dataset: start.dataset.to_owned(),
            train_images: start.train_images,
            validation_images: start.validation_images,
            test_images: start.test_images,
            parameters: start.parameters,
            threads: start.threads,
            updates_per_epoch: start.updates_per_epoch,
            completed_epochs: start.completed.len(),
            config: start.config.clone(),
        });
        Ok(())
    }

    fn batch(&mut self, _batch: &Batch, times: Times) -> io::Result<()> {
        let Some(mut start) = self.start.take() else {
            return Ok(());
        };
        start.elapsed_secs = times.elapsed.as_secs_f64();
        Line::Start(&start).print()
    }

    fn epoch(&mut self, epoch: &Epoch, times: Times) -> io::Result<()> {
        let line = Line::Epoch {
            epoch: epoch.epoch,
            train: epoch.train.into(),
            validation: epoch.validation.into(),
            images_per_sec: epoch.images_per_sec,
            evaluation_secs: epoch.evaluation_secs,
            logging_secs: times.logging.as_secs_f64(),
            elapsed_secs: times.elapsed.as_secs_f64(),
        };
        line.print()
    }

    fn end(&mut self, end: &End<'_>) -> io::Result<()> {
        let fields = EndFields {
            epochs: end.epochs.len(),
            logdir: end.run_dir.path().to_string_lossy().into_owned(),
            weights: end.run_dir.weights().to_string_lossy().into_owned(),
            elapsed_secs: end.elapsed.as_secs_f64(),
        };
        let line = match end.test {
            Some(test) => Line::Result {
                test: test.metrics.into(),
                stopped: end.stopped.map(Stopped::name),
                best_epoch: Epoch::best(end.epochs).map(|best| best.epoch),
                end: fields,
            },
            None => Line::Interrupted(fields),
        };
        line.print()
    }
}
