//! Writes what a PyTorch training needs to start where `cnn-tb train --preset article` starts: the
//! initial weights of a seed as safetensors, and the built-in MNIST as raw bytes.
//!
//! ```text
//! cargo run --release --example initial_weights -- SEED DIR
//! ```
//!
//! `DIR` gets `weights.safetensors`, and for each of `train`, `validation` and `test` the files
//! `SPLIT.images` (a byte a pixel, 28 × 28 an image) and `SPLIT.labels` (a byte a label).

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use candle_core::Device;
use cnn_tb::data::Dataset;
use cnn_tb::nn::{Init, NamedNetwork, Network, Parameters, Plan};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seed, directory] = &arguments[..] else {
        return Err("usage: initial_weights SEED DIR".into());
    };
    let directory = PathBuf::from(directory);
    let dataset = Dataset::mnist()?;

    let parameters = Parameters::new(seed.parse()?, Init::Article);
    let builder = parameters.builder(&Device::Cpu);
    let image = [1, dataset.height(), dataset.width()];
    let plan = Plan::new(&NamedNetwork::Article.layers(), image, dataset.classes())?;
    Network::new(&plan, builder)?;
    parameters.save(&directory.join("weights.safetensors"))?;

    for (name, split) in [
        ("train", dataset.train()),
        ("validation", dataset.validation()),
        ("test", dataset.test()?),
    ] {
        fs::write(directory.join(format!("{name}.images")), split.pixels())?;
        fs::write(directory.join(format!("{name}.labels")), split.labels())?;
    }
    Ok(())
}
