//! A training's directory as `predict` and `eval` take it.

use std::path::Path;

use cnn_tb::data::{DataError, Dataset};
use cnn_tb::train::{Trained, TrainedError};

use crate::cli::output::Advised;

/// The training in the directory `run`.
///
/// # Errors
/// What is missing there, with what could be done.
pub fn open(run: &Path) -> anyhow::Result<Trained> {
    Trained::open(run).map_err(|error| {
        let advice = match &error {
            TrainedError::Missing { name, .. } if name.starts_with("weights") => {
                "a training saves them at its end; train again: cnn-tb train --config \
                 RUN/config.toml --logdir ANOTHER"
            }
            TrainedError::Missing { .. } => {
                "name the directory of a training; cnn-tb train makes one"
            }
            _ => return error.into(),
        };
        Advised::new(error.to_string(), advice).into()
    })
}

/// The data set of a training, or the one in `data`.
pub fn dataset(data: Option<&Path>) -> anyhow::Result<Dataset> {
    match data {
        Some(directory) => Dataset::open(directory).map_err(data_error),
        None => built_in(),
    }
}

/// An error about a data set, with what could be done.
pub fn data_error(error: DataError) -> anyhow::Error {
    match error {
        DataError::Missing { .. } => Advised::new(
            error.to_string(),
            "if it was moved since the training, name the directory: --data DIR",
        )
        .into(),
        error => error.into(),
    }
}

#[cfg(feature = "mnist")]
fn built_in() -> anyhow::Result<Dataset> {
    Ok(Dataset::mnist()?)
}

#[cfg(not(feature = "mnist"))]
fn built_in() -> anyhow::Result<Dataset> {
    Err(Advised::new(
        "this cnn-tb was built without MNIST",
        "name a directory with four IDX files: --data DIR",
    )
    .into())
}
