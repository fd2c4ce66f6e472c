//! The report for people: a table of epochs on standard output, a progress bar on standard error.

use std::io;
use std::time::{Duration, Instant};

use cnn_tb::train::{Batch, Config, Epoch, OptimizerKind, Preset, Schedule, Start, Stopped};
use console::Term;
use indicatif::{ProgressBar, ProgressStyle};

use super::run_dir::argument;
use super::{End, Report, Times};
use crate::cli::output::{escape, print, warn};
use crate::cli::units::{duration, loss, percent, rough_duration, thousands};

/// How often the bar's numbers are written anew.
const REFRESH: Duration = Duration::from_millis(100);
/// Narrower terminals have no room for a bar: a line that wraps could not be drawn over.
const BAR_COLUMNS: u16 = 72;

/// A line an epoch, and below it, where standard error is a terminal, how the present epoch goes.
pub struct Terminal {
    epochs: usize,
    bar: ProgressBar,
    /// When the bar's numbers were last written.
    refreshed: Instant,
    present: Present,
}

/// The epoch that is being trained.
struct Present {
    began: Instant,
    images: usize,
    loss_sum: f64,
    accuracy_sum: f64,
}

impl Present {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            images: 0,
            loss_sum: 0.0,
            accuracy_sum: 0.0,
        }
    }
}

impl Terminal {
    /// Nothing is printed before [`Report::start`].
    pub fn new() -> Self {
        Self {
            epochs: 0,
            bar: ProgressBar::hidden(),
            refreshed: Instant::now(),
            present: Present::new(),
        }
    }

    /// Prints above the bar.
    fn print(&self, text: &str) -> io::Result<()> {
        self.bar.suspend(|| print(text))
    }

    /// The epoch's number among all of them, right-aligned below `epoch`.
    fn count(&self, epoch: usize) -> String {
        let width = (2 * self.epochs.to_string().len() + 1).max(5);
        format!("{:>width$}", format!("{epoch}/{}", self.epochs))
    }
}

impl Report for Terminal {
    fn start(&mut self, start: &Start<'_>) -> io::Result<()> {
        self.epochs = start.config.epochs;
        let width = self.count(0).len();
        let completed = start.completed.len();
        let resumed = match completed {
            0 => String::new(),
            count => format!(
                "resumed after epoch {} of {}\n",
                thousands(count),
                thousands(self.epochs)
            ),
        };
        let header = format!(
            "{}: {} training, {} validation, {} test images\n{}\n\
             {}{:>width$}{:>13}{:>10}{:>18}{:>10}{:>9}\n",
            escape(start.dataset),
            thousands(start.train_images),
            thousands(start.validation_images),
            thousands(start.test_images),
            recipe(start),
            resumed,
            "epoch",
            "train loss",
            "accuracy",
            "validation loss",
            "accuracy",
            "time",
        );
        self.print(&header)?;

        let updates = (start.updates_per_epoch * self.epochs) as u64;
        self.bar = ProgressBar::new(updates);
        self.bar
            .set_position((start.updates_per_epoch * completed) as u64);
        self.bar.reset_eta();
        let (_, columns) = Term::stderr().size();
        let template = match columns {
            0..BAR_COLUMNS => "{prefix}  {eta} left  {wide_msg}",
            _ => "{prefix} {wide_bar} {msg}  {eta} left",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_prefix(self.count(completed + 1));
        self.present = Present::new();
        Ok(())
    }

    fn batch(&mut self, batch: &Batch, _times: Times) -> io::Result<()> {
        let present = &mut self.present;
        present.images += batch.images;
        present.loss_sum += batch.train.loss * batch.images as f64;
        present.accuracy_sum += batch.train.accuracy * batch.images as f64;
        if !self.bar.is_hidden() && self.refreshed.elapsed() >= REFRESH {
            self.refreshed = Instant::now();
            let images = present.images as f64;
            let images_per_sec = images / present.began.elapsed().as_secs_f64();
            self.bar.set_position(batch.update as u64);
            self.bar.set_message(format!(
                "loss {}  accuracy {}  {} images/s",
                loss(present.loss_sum / images),
                percent(present.accuracy_sum / images),
                thousands(images_per_sec as usize),
            ));
        }
        Ok(())
    }

    fn epoch(&mut self, epoch: &Epoch, times: Times) -> io::Result<()> {
        self.print(&format!(
            "{}{:>13}{:>10}{:>18}{:>10} {:>8}\n",
            self.count(epoch.epoch),
            loss(epoch.train.loss),
            percent(epoch.train.accuracy),
            loss(epoch.validation.loss),
            percent(epoch.validation.accuracy),
            duration(times.elapsed.as_secs_f64()),
        ))?;
        self.bar
            .set_prefix(self.count((epoch.epoch + 1).min(self.epochs)));
        self.present = Present::new();
        Ok(())
    }

    fn warn(&mut self, text: &str) {
        self.bar.suspend(|| warn(text));
    }

    fn end(&mut self, end: &End<'_>) -> io::Result<()> {
        self.bar.finish_and_clear();
        print(&closing(end))
    }
}

/// How long an epoch of the article's recipe takes, in epochs of the default one: from its initial weights
/// ReLU lets nearly everything through, and the backward pass visits it (docs/benchmarks.md, "What the
/// recipes reach").
const ARTICLE_EPOCH: f64 = 1.4;

/// What came out, where it is and what could be done next.
fn closing(end: &End<'_>) -> String {
    let first = match end.test {
        Some(test) => format!(
            "test    loss {}  accuracy {}  ({} of {} wrong)",
            loss(test.metrics.loss),
            percent(test.metrics.accuracy),
            thousands(test.wrong),
            thousands(test.images),
        ),
        None => format!(
            "stopped after {} of {} epochs",
            thousands(end.epochs.len()),
            thousands(end.config.epochs)
        ),
    };
    let stopped = stopped_early(end).unwrap_or_default();
    let weights = escape(&end.run_dir.weights().display().to_string());
    let logdir = argument(end.run_dir.logdir());
    let mut text = format!(
        "{first}\n\
         {stopped}\
         saved   {weights}, config.toml\n\
         view    tensorboard --logdir {logdir}       (not installed? make tensorboard)\n"
    );
    if end.test.is_none() {
        let run = argument(end.run_dir.path());
        text.push_str(&format!("resume  cnn-tb train --resume --logdir {run}\n"));
    }
    if end.test.is_some() && *end.config == Preset::Default.config() {
        let article = Preset::Article.config();
        let trained = end.epochs.len() - end.completed_before;
        let secs_per_epoch = end.elapsed.as_secs_f64() / trained.max(1) as f64;
        text.push_str(&format!(
            "next    cnn-tb train --preset article --logdir {}      the article's {} epochs, about {}\n",
            argument(&end.run_dir.next()),
            article.epochs,
            rough_duration(ARTICLE_EPOCH * secs_per_epoch * article.epochs as f64),
        ));
    }
    text
}

/// Why the training ended before its last epoch, and which one was the best.
fn stopped_early(end: &End<'_>) -> Option<String> {
    let epoch = thousands(end.epochs.len());
    let epochs = thousands(end.config.epochs);
    let reason = match end.stopped? {
        Stopped::EarlyStopping => {
            let patience = match end.config.early_stopping {
                Some(1) | None => "the last epoch".to_owned(),
                Some(count) => format!("the last {} epochs", thousands(count)),
            };
            format!("after epoch {epoch} of {epochs}: no lower validation loss in {patience}")
        }
        Stopped::TimeLimit => {
            let limit = duration(end.config.time_limit_secs.unwrap_or_default());
            format!("in epoch {epoch} of {epochs}, at the time limit of {limit}")
        }
        Stopped::Observer => return None,
    };
    let best = Epoch::best(end.epochs).map_or_else(String::new, |best| {
        format!(
            "\n        best validation loss {} after epoch {}; the weights saved are the last ones",
            loss(best.validation.loss),
            thousands(best.epoch)
        )
    });
    Some(format!("stopped {reason}{best}\n"))
}

/// `article network, 104,342 parameters · Adam, one-cycle to 0.006 · batch 100, shift 1 · seed 0 · 2 threads`
fn recipe(start: &Start<'_>) -> String {
    let Config {
        optimizer,
        weight_decay,
        clip_norm,
        schedule,
        learning_rate,
        batch_size,
        seed,
        device,
        instruction_set,
        ..
    } = start.config;
    let optimizer = match optimizer {
        OptimizerKind::Adam => "Adam",
        OptimizerKind::Adamw => "AdamW",
        OptimizerKind::Sgd => "SGD",
    };
    let schedule = match schedule {
        Schedule::Constant => format!("constant {learning_rate}"),
        Schedule::Step => format!("step from {learning_rate}"),
        Schedule::Cosine => format!("cosine from {learning_rate}"),
        Schedule::OneCycle => format!("one-cycle to {learning_rate}"),
    };
    let mut optimizer = format!("{optimizer}, {schedule}");
    for (name, setting) in [("weight decay", weight_decay), ("clip norm", clip_norm)] {
        if let Some(number) = setting {
            optimizer.push_str(&format!(", {name} {number}"));
        }
    }
    let parameters = thousands(start.parameters);
    let threads = match start.threads {
        1 => "1 thread".to_owned(),
        threads => format!("{threads} threads"),
    };
    let augmentation = augmentation(start.config);
    let network = start.config.network_name();
    let mut text = format!(
        "{network} network, {parameters} parameters · {optimizer} · batch {batch_size}{augmentation} · \
         seed {seed} · {threads}"
    );
    if *device != Default::default() {
        text.push_str(&format!(" · {device}"));
    }
    if let Some(set) = instruction_set {
        text.push_str(&format!(" · {}", set.name()));
    }
    text
}

/// `, shift 1, rotation 10°, scaling 0.1`, without what is 0.
fn augmentation(config: &Config) -> String {
    let mut text = String::new();
    for (name, most, unit) in [
        ("shift", f64::from(config.shift), ""),
        ("rotation", config.rotation, "°"),
        ("scaling", config.scaling, ""),
    ] {
        if most != 0.0 {
            text.push_str(&format!(", {name} {most}{unit}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use cnn_tb::train::Metrics;

    use super::*;
    use crate::cli::train::Test;
    use crate::cli::train::run_dir::RunDir;

    #[test]
    fn the_end_says_what_came_out_where_it_is_and_what_is_next() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = RunDir::choose(Some(&dir.path().join("exp1")), false).unwrap();
        let default = Config::default();
        let test = Test {
            metrics: Metrics {
                loss: 0.0312,
                accuracy: 0.9907,
            },
            wrong: 93,
            images: 10_000,
        };
        let metrics = |loss| Metrics {
            loss,
            accuracy: 0.99,
        };
        let epochs: Vec<Epoch> = [0.5, 0.4, 0.025, 0.03, 0.035, 0.04]
            .into_iter()
            .zip(1..)
            .map(|(validation_loss, epoch)| Epoch {
                epoch,
                train: metrics(0.1),
                validation: metrics(validation_loss),
                images_per_sec: 1e5,
                evaluation_secs: 0.1,
            })
            .collect();
        let stopped_text = |config: &Config, test, stopped| {
            let text = closing(&End {
                config,
                run_dir: &run_dir,
                epochs: &epochs,
                completed_before: 0,
                stopped,
                test,
                elapsed: Duration::from_secs_f64(4.6),
            });
            let text = text.replace(dir.path().to_str().unwrap(), "runs");
            text.replace('\\', "/")
        };
        let text = |config: &Config, test| stopped_text(config, test, None);
        let result = "test    loss 0.0312  accuracy 99.07 %  (93 of 10,000 wrong)\n";
        let places = "saved   runs/exp1/weights.safetensors, config.toml\n\
                      view    tensorboard --logdir runs       (not installed? make tensorboard)\n";
        let next = "next    cnn-tb train --preset article --logdir runs/exp2      \
                    the article's 100 epochs, about 2 min\n";
        assert_eq!(
            text(&default, Some(test)),
            format!("{result}{places}{next}")
        );
        // Whoever has other settings knows the flags already.
        let other = Config {
            seed: 1,
            ..default.clone()
        };
        assert_eq!(text(&other, Some(test)), format!("{result}{places}"));
        assert_eq!(
            text(&default, None),
            format!(
                "stopped after 6 of 6 epochs\n{places}resume  cnn-tb train --resume --logdir runs/exp1\n"
            )
        );

        let limited = Config {
            epochs: 20,
            early_stopping: Some(3),
            time_limit_secs: Some(90.0),
            ..default
        };
        let best = "        best validation loss 0.0250 after epoch 3; the weights saved are the last ones\n";
        for (stopped, reason) in [
            (
                Stopped::EarlyStopping,
                "after epoch 6 of 20: no lower validation loss in the last 3 epochs",
            ),
            (
                Stopped::TimeLimit,
                "in epoch 6 of 20, at the time limit of 1 min 30 s",
            ),
        ] {
            assert_eq!(
                stopped_text(&limited, Some(test), Some(stopped)),
                format!("{result}stopped {reason}\n{best}{places}")
            );
        }
    }
}
