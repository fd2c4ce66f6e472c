//! The training loop as a library call.

#![cfg(all(feature = "train", feature = "mnist"))]
#![allow(clippy::unwrap_used)]

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use cnn_tb::data::Dataset;
use cnn_tb::nn::Layer;
use cnn_tb::train::{
    Batch, Config, Epoch, Finish, FitError, Observer, OptimizerKind, Schedule, Snapshot, Start,
    Stopped, fit,
};

/// MNIST's first images as IDX files.
fn small_dataset(directory: &Path, train: usize, test: usize) -> Dataset {
    let mnist = Dataset::mnist().unwrap();
    let write = |name: &str, magic: u32, dims: &[u32], bytes: &[u8]| {
        let header = std::iter::once(&magic)
            .chain(dims)
            .flat_map(|n| n.to_be_bytes());
        let file: Vec<u8> = header.chain(bytes.iter().copied()).collect();
        std::fs::write(directory.join(name), file).unwrap();
    };
    for (name, count, split) in [
        ("train", train, mnist.train()),
        ("t10k", test, mnist.test().unwrap()),
    ] {
        let dims = [count as u32, 28, 28];
        let pixels = &split.pixels()[..count * 784];
        write(&format!("{name}-images-idx3-ubyte"), 0x803, &dims, pixels);
        write(
            &format!("{name}-labels-idx1-ubyte"),
            0x801,
            &dims[..1],
            &split.labels()[..count],
        );
    }
    Dataset::open(directory).unwrap()
}

/// Remembers everything, and stops where it is told to.
#[derive(Default)]
struct Record {
    starts: usize,
    batches: Vec<Batch>,
    epochs: Vec<Epoch>,
    test_wrong: Vec<usize>,
    stopped: Option<Stopped>,
    stop_at: Option<usize>,
    fail_at: Option<usize>,
}

impl Observer for Record {
    fn start(&mut self, start: &Start<'_>) -> io::Result<()> {
        self.starts += 1;
        let layers = start.config.layers.is_some();
        assert_eq!(start.parameters, if layers { 2_018 } else { 104_342 });
        Ok(())
    }

    fn batch(&mut self, batch: &Batch) -> io::Result<ControlFlow<()>> {
        self.batches.push(*batch);
        if self.fail_at == Some(batch.update) {
            return Err(io::Error::other("disk full"));
        }
        match self.stop_at == Some(batch.update) {
            true => Ok(ControlFlow::Break(())),
            false => Ok(ControlFlow::Continue(())),
        }
    }

    fn epoch(&mut self, epoch: &Epoch, _: &Snapshot<'_>) -> io::Result<ControlFlow<()>> {
        self.epochs.push(*epoch);
        Ok(ControlFlow::Continue(()))
    }

    fn finish(&mut self, finish: &Finish<'_>) -> io::Result<()> {
        self.test_wrong.push(finish.test_wrong);
        self.stopped = finish.stopped;
        Ok(())
    }
}

fn config() -> Config {
    Config {
        epochs: 2,
        batch_size: 30,
        ..Config::default()
    }
}

/// The weights as bytes, and what the observer saw.
fn train(config: &Config, dataset: &Dataset) -> (Vec<u8>, Record) {
    let mut record = Record::default();
    let outcome = fit(config, dataset, &mut record).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights.safetensors");
    outcome.save_weights(&path).unwrap();
    (std::fs::read(path).unwrap(), record)
}

#[test]
fn observers_see_every_update_and_the_last_short_batch() {
    let directory = tempfile::tempdir().unwrap();
    let dataset = small_dataset(directory.path(), 240, 50);
    let (_, record) = train(&config(), &dataset);
    assert_eq!((record.starts, record.test_wrong.len()), (1, 1));
    let images: Vec<usize> = record.batches.iter().map(|batch| batch.images).collect();
    assert_eq!(
        images,
        [30, 30, 30, 30, 30, 30, 30, 10].repeat(2),
        "220 images, twice"
    );
    assert!(record.batches.iter().map(|batch| batch.update).eq(1..=16));
    assert_eq!(
        record
            .epochs
            .iter()
            .map(|epoch| epoch.epoch)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    for epoch in &record.epochs {
        let batches = || {
            record
                .batches
                .iter()
                .filter(|batch| batch.epoch == epoch.epoch)
        };
        let loss: f64 = batches()
            .map(|b| b.train.loss * b.images as f64)
            .sum::<f64>()
            / 220.0;
        assert!(
            (epoch.train.loss - loss).abs() < 1e-12,
            "the mean over images, not batches"
        );
        let correct: f64 = batches().map(|b| b.train.accuracy * b.images as f64).sum();
        assert!((epoch.train.accuracy - correct / 220.0).abs() < 1e-12);
    }
}

#[test]
fn a_training_learns() {
    let directory = tempfile::tempdir().unwrap();
    let dataset = small_dataset(directory.path(), 2400, 200);
    let (_, record) = train(
        &Config {
            epochs: 3,
            ..config()
        },
        &dataset,
    );
    assert!(
        record.epochs[2].validation.accuracy > 0.85,
        "{:?}",
        record.epochs
    );
    assert!(record.epochs[2].train.loss < record.epochs[0].train.loss);
    assert!(record.test_wrong[0] < 40, "{:?}", record.test_wrong);
}

#[test]
fn the_same_seed_gives_the_same_weights_for_any_number_of_threads() {
    let directory = tempfile::tempdir().unwrap();
    let dataset = small_dataset(directory.path(), 240, 50);
    let layers = [
        Layer::conv(4, 3),
        Layer::BatchNorm {},
        Layer::Relu {},
        Layer::max_pool(4),
        Layer::Dropout { rate: 0.3 },
        Layer::classes(),
    ];
    for (optimizer, clip_norm, layers) in [
        (OptimizerKind::Adam, None, None),
        (OptimizerKind::Adamw, Some(0.5), None),
        (OptimizerKind::Sgd, Some(0.5), None),
        (OptimizerKind::Adam, None, Some(layers.to_vec())),
    ] {
        let with = |threads, seed| {
            let threads = Some(threads);
            train(
                &Config {
                    threads,
                    seed,
                    optimizer,
                    clip_norm,
                    layers: layers.clone(),
                    ..config()
                },
                &dataset,
            )
            .0
        };
        let weights = with(1, 7);
        for threads in [1, 2, 3, 16] {
            assert!(
                weights == with(threads, 7),
                "{optimizer:?}, {layers:?}, {threads} threads"
            );
        }
        assert!(weights != with(1, 8), "another seed");
    }
}

#[test]
fn images_are_turned_and_scaled_alike_for_any_number_of_threads() {
    let directory = tempfile::tempdir().unwrap();
    let dataset = small_dataset(directory.path(), 240, 50);
    let with = |rotation, scaling, threads| {
        let config = Config {
            rotation,
            scaling,
            threads: Some(threads),
            ..config()
        };
        train(&config, &dataset).0
    };
    let both = with(15.0, 0.1, 1);
    for threads in [2, 3] {
        assert!(both == with(15.0, 0.1, threads), "{threads} threads");
    }
    let neither = with(0.0, 0.0, 1);
    let (turned, scaled) = (with(15.0, 0.0, 1), with(0.0, 0.1, 1));
    assert!(both != neither && both != turned && both != scaled);
    assert!(turned != neither && scaled != neither && turned != scaled);
}

#[test]
fn decay_and_clipping_change_the_weights_where_they_have_something_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let dataset = small_dataset(directory.path(), 240, 50);
    let with = |optimizer, weight_decay, clip_norm| {
        let config = Config {
            optimizer,
            weight_decay,
            clip_norm,
            ..config()
        };
        train(&config, &dataset).0
    };
    use OptimizerKind::{Adam, Adamw, Sgd};
    let adam = with(Adam, None, None);
    assert!(with(Adamw, Some(0.0), None) == adam, "AdamW without decay");
    assert!(with(Adamw, None, None) == with(Adamw, Some(0.01), None));
    assert!(with(Adamw, None, None) != adam);
    assert!(with(Sgd, None, None) == with(Sgd, Some(0.0), None));
    assert!(with(Sgd, None, None) != with(Sgd, Some(0.1), None));
    assert!(with(Adam, None, Some(1e6)) == adam, "no norm is so large");
    assert!(with(Adam, None, Some(0.1)) != adam);
}

#[test]
fn early_stopping_ends_after_so_many_epochs_without_a_lower_validation_loss() {
    let directory = tempfile::tempdir().unwrap();
    let dataset = small_dataset(directory.path(), 240, 50);
    let run = |learning_rate, epochs| {
        let mut record = Record::default();
        let config = Config {
            learning_rate,
            epochs,
            early_stopping: Some(3),
            ..config()
        };
        let outcome = fit(&config, &dataset, &mut record).unwrap();
        assert_eq!(record.epochs, outcome.epochs);
        assert_eq!((record.test_wrong.len(), outcome.test.is_some()), (1, true));
        assert_eq!(record.stopped, outcome.stopped);
        let best = Epoch::best(&outcome.epochs).unwrap().epoch;
        (outcome.epochs.len(), best, outcome.stopped)
    };
    // Steps too small for f32: the loss stays what it was after the first epoch.
    let still = 1e-30;
    assert_eq!(run(still, 20), (4, 1, Some(Stopped::EarlyStopping)));
    assert_eq!(run(still, 4), (4, 1, None), "that was the last anyway");
    assert_eq!(run(still, 3), (3, 1, None));
    let learning = run(0.001, 4);
    assert_eq!((learning.0, learning.2), (4, None), "{learning:?}");
    assert!(learning.1 > 1, "{learning:?}");
}

#[test]
fn a_time_limit_ends_the_training_after_a_batch_and_evaluates() {
    let directory = tempfile::tempdir().unwrap();
    let dataset = small_dataset(directory.path(), 240, 50);
    let run = |time_limit_secs, epochs, batch_size| {
        let mut record = Record::default();
        let config = Config {
            time_limit_secs: Some(time_limit_secs),
            epochs,
            batch_size,
            ..config()
        };
        let outcome = fit(&config, &dataset, &mut record).unwrap();
        assert_eq!((record.test_wrong.len(), outcome.test.is_some()), (1, true));
        assert_eq!(record.stopped, outcome.stopped);
        record
    };
    let cut = run(1e-9, 2, 30);
    assert_eq!(cut.stopped, Some(Stopped::TimeLimit));
    assert_eq!((cut.batches.len(), cut.epochs.len()), (1, 1));
    assert_eq!(cut.epochs[0].train, cut.batches[0].train);
    assert!(cut.epochs[0].validation.loss > 0.0 && cut.epochs[0].evaluation_secs > 0.0);
    // The batch that ends the epoch, and the one that ends the training.
    let cut = run(1e-9, 2, 220);
    assert_eq!(
        (cut.epochs.len(), cut.stopped),
        (1, Some(Stopped::TimeLimit))
    );
    assert_eq!(run(1e-9, 1, 220).stopped, None);
    let whole = run(1e6, 2, 30);
    assert_eq!((whole.batches.len(), whole.stopped), (16, None));
}

#[test]
fn an_observer_can_stop_and_its_failure_ends_the_training() {
    let directory = tempfile::tempdir().unwrap();
    let dataset = small_dataset(directory.path(), 240, 50);
    let mut record = Record {
        stop_at: Some(11),
        ..Record::default()
    };
    let outcome = fit(&config(), &dataset, &mut record).unwrap();
    assert_eq!(
        (record.batches.len(), record.epochs.len()),
        (11, 1),
        "no point for the cut epoch"
    );
    assert_eq!((outcome.epochs.len(), outcome.test), (1, None));
    assert_eq!(outcome.stopped, Some(Stopped::Observer));
    assert!(
        record.test_wrong.is_empty(),
        "the test images were not read"
    );
    let mut record = Record {
        fail_at: Some(3),
        ..Record::default()
    };
    let error = fit(&config(), &dataset, &mut record).unwrap_err();
    assert_eq!(error.to_string(), "disk full");
}

#[test]
fn a_diverging_training_says_where() {
    let directory = tempfile::tempdir().unwrap();
    let dataset = small_dataset(directory.path(), 240, 50);
    let config = |seed| Config {
        learning_rate: 100.0,
        optimizer: OptimizerKind::Sgd,
        schedule: Schedule::Constant,
        seed,
        ..config()
    };
    // Most trainings at this rate end with every ReLU at 0 and a large loss; some overflow first.
    let failed = |seed| fit(&config(seed), &dataset, &mut Record::default()).err();
    let error = (0..20).find_map(failed).expect("one of 20 seeds");
    let FitError::NonFinite {
        update,
        learning_rate,
        layer: Some(layer),
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert!((1..=16).contains(update) && *learning_rate == 100.0);
    assert!(
        ["conv1", "conv2", "fc1", "fc2"].contains(&layer.as_str()),
        "{layer}"
    );
    let text = error.to_string();
    for part in [
        format!(", update {update}, learning rate 100; "),
        format!("the first gradient that is not finite is that of {layer}; "),
        "try a smaller learning rate".to_owned(),
    ] {
        assert!(text.contains(&part), "{text}");
    }
}

#[test]
fn settings_out_of_range_are_refused_before_anything_runs() {
    let directory = tempfile::tempdir().unwrap();
    let dataset = small_dataset(directory.path(), 240, 50);
    let mut record = Record::default();
    let error = fit(
        &Config {
            epochs: 0,
            ..config()
        },
        &dataset,
        &mut record,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "epochs is 0; it must be from 1 to 1,000,000"
    );
    assert_eq!(record.starts, 0);
}
