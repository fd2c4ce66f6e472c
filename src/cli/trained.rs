//! A training's directory as `predict` and `eval` take it.

use std::path::Path;

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
