//! What reads the files of a training.

use std::path::Path;
use std::sync::OnceLock;

use cnn_tb::data::Dataset;
use cnn_tb::nn::InstructionSet;
use cnn_tb::train::{Checkpoint, CheckpointError, Config, Trained, TrainedError};

use super::variants::{CONFIG, TOML, of_checkpoint, of_plan, of_trained};
use super::{Errors, with_files};

/// Height and width of the images: the smallest that the network takes.
pub const SIZE: usize = 4;

/// `config.toml`: as text, and in a run directory; and the network that it describes.
pub fn parse_config(bytes: &[u8]) -> Errors {
    let mut errors = Errors::new();
    let files = [("config.toml", bytes), ("weights.safetensors", &[])];
    let opened = with_files(&files, Trained::open);
    let text = String::from_utf8_lossy(bytes);
    match Config::from_toml(&text) {
        Err(_) => errors.extend([TOML, of_trained(&opened.unwrap_err())]),
        Ok(config) => {
            let trained = opened.unwrap();
            assert_eq!(trained.config().to_toml(), config.to_toml());
            match config.plan(28, 28, 10) {
                Ok(plan) => assert_eq!(plan.layers().len(), config.network_layers().len()),
                Err(error) => {
                    let made = trained.network(28, 28, 10).unwrap_err();
                    assert_eq!(of_trained(&made), of_plan(&error));
                    errors.extend([of_plan(&error)]);
                }
            }
            match config.validate() {
                Err(_) => errors.extend([CONFIG]),
                Ok(()) => {
                    assert_eq!(Config::from_toml(&config.to_toml()).unwrap(), config);
                    assert_eq!(config.differences(&config), []);
                }
            }
            let _ = config.differences(&Config::default());
        }
    }
    errors
}

/// `weights.safetensors`: the network that it makes, and what that says of a picture.
pub fn parse_weights(bytes: &[u8]) -> Errors {
    let files = [("config.toml", &b""[..]), ("weights.safetensors", bytes)];
    let logits = || -> Result<(), TrainedError> {
        let trained = with_files(&files, Trained::open)?;
        let classes = trained.classes()?;
        let network = trained.network(SIZE, SIZE, classes)?;
        let logits = network.logits(&[7; 2 * SIZE * SIZE]).unwrap();
        assert_eq!(logits.len(), 2 * classes);
        Ok(())
    };
    let error = logits().err();
    error.iter().map(of_trained).collect()
}

/// A checkpoint, and whether a training can go on from it: its own, one of another number of epochs,
/// one by the default recipe.
pub fn parse_checkpoint(bytes: &[u8]) -> Errors {
    let checkpoint = match Checkpoint::from_bytes(Path::new(""), bytes) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return [of_checkpoint(&error)].into(),
    };
    let _ = (
        checkpoint.stopped(),
        checkpoint.elapsed(),
        checkpoint.notes(),
    );
    assert!(checkpoint.stopped().is_none() || checkpoint.is_finished());
    let own = checkpoint.config().clone();
    let longer = Config {
        epochs: own.epochs.saturating_add(1),
        ..own.clone()
    };
    let check = |config| checkpoint.check(config, dataset());
    // A sound one goes on either way.
    let results: [Result<(), CheckpointError>; 2] = [check(&own), check(&longer)];
    let errors = results.iter().filter_map(|result| result.as_ref().err());
    errors.map(of_checkpoint).collect()
}

/// The data set of checkpoints, which are held against it with instructions that every machine has.
pub fn dataset() -> &'static Dataset {
    static DATASET: OnceLock<Dataset> = OnceLock::new();
    DATASET.get_or_init(|| {
        InstructionSet::Portable.select().unwrap();
        let sizes = [
            0, 0, 8, 3, 0, 0, 0, 24, 0, 0, 0, SIZE as u8, 0, 0, 0, SIZE as u8,
        ];
        let images: Vec<u8> = sizes.into_iter().chain(0..=255).chain(0..128).collect();
        let labels: Vec<u8> = [0, 0, 8, 1, 0, 0, 0, 24]
            .into_iter()
            .chain((0..24).map(|n| n % 2))
            .collect();
        let files = [
            ("train-images-idx3-ubyte", &images[..]),
            ("train-labels-idx1-ubyte", &labels),
            ("t10k-images-idx3-ubyte", &images),
            ("t10k-labels-idx1-ubyte", &labels),
        ];
        with_files(&files, Dataset::open).unwrap()
    })
}
