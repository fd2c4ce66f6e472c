//! The logits of the first 100 test images of MNIST for the weights of a run, one JSON object a line:
//! what `tests/interop/logits.py` holds against PyTorch.
//!
//! ```text
//! cargo run --release --example logits -- runs/exp1/weights.safetensors
//! ```

#![allow(clippy::print_stdout)]

use std::error::Error;

use candle_core::{Device, Module, Tensor};
use cnn_tb::data::Dataset;
use cnn_tb::nn::{Init, NamedNetwork, Network, Parameters, Plan};
use serde_json::json;

const IMAGES: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("which weights?")?;
    let dataset = Dataset::mnist()?;
    let (height, width) = (dataset.height(), dataset.width());

    let parameters = Parameters::new(0, Init::Layers);
    let builder = parameters.builder(&Device::Cpu);
    let layers = NamedNetwork::Article.layers();
    let plan = Plan::new(&layers, [1, height, width], dataset.classes())?;
    let network = Network::new(&plan, builder)?;
    parameters.load(&std::fs::read(path)?)?;

    let test = dataset.test()?;
    for image in test.pixels().chunks(height * width).take(IMAGES) {
        let input = image.iter().map(|&byte| f32::from(byte) / 255.0);
        let input = Tensor::from_iter(input, &Device::Cpu)?;
        let logits = network.forward(&input.reshape((1, 1, height, width))?)?;
        let logits = logits.flatten_all()?.to_vec1::<f32>()?;
        println!("{}", json!({ "image": image, "logits": logits }));
    }
    Ok(())
}
