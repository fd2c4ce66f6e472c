//! The settings as hyperparameters.

use crate::nn::{Layer, NamedNetwork};
use crate::tb::writer::HParam;
use crate::train::Config;

/// The settings as hyperparameters: each one that a result can depend on and that is set.
pub fn hparams(config: &Config) -> Vec<(&'static str, HParam)> {
    let data = config.data.as_ref().map(|path| path.display().to_string());
    let mut hparams = vec![
        (
            "data",
            data.unwrap_or_else(|| "mnist".to_owned()).as_str().into(),
        ),
        ("epochs", HParam::Number(config.epochs as f64)),
        ("batch_size", HParam::Number(config.batch_size as f64)),
        ("learning_rate", config.learning_rate.into()),
        ("optimizer", config.optimizer.name().into()),
        ("schedule", config.schedule.name().into()),
        ("shift", HParam::Number(f64::from(config.shift))),
        ("init", config.init.name().into()),
        ("seed", HParam::Number(config.seed as f64)),
    ];
    let network = match &config.layers {
        Some(layers) => Some(listing(layers)),
        None => config.network.map(|network| network.name().to_owned()),
    };
    if let Some(network) = network.filter(|name| name != NamedNetwork::Article.name()) {
        hparams.push(("network", network.as_str().into()));
    }
    let early_stopping = config.early_stopping.map(|epochs| epochs as f64);
    let unless_zero = |number| Some(number).filter(|number| *number != 0.0);
    for (name, setting) in [
        ("rotation", unless_zero(config.rotation)),
        ("scaling", unless_zero(config.scaling)),
        ("weight_decay", config.weight_decay),
        ("clip_norm", config.clip_norm),
        ("early_stopping", early_stopping),
        ("time_limit_secs", config.time_limit_secs),
    ] {
        hparams.extend(setting.map(|number| (name, HParam::Number(number))));
    }
    hparams
}

/// `conv 6, 5x5; max_pool 2x2; …`
fn listing(layers: &[Layer]) -> String {
    let layers: Vec<String> = layers.iter().map(ToString::to_string).collect();
    layers.join("; ")
}
