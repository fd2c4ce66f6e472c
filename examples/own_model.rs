//! A network and a loop of one's own on our layers: `cargo run --release --example own_model`
#![allow(clippy::print_stdout)]

use candle_core::{Device, Module, Result, Tensor};
use candle_nn::{Conv2dConfig, Optimizer, seq};
use cnn_tb::data::{Batches, Dataset, Split};
use cnn_tb::nn::{self, Adam, AdamConfig, Init, Parameters};

/// Images (N, 1, 28, 28) with numbers from 0 to 1, and labels (N,).
fn batch(split: &Split, indices: &[u32]) -> Result<(Tensor, Tensor)> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    split.gather(indices, &mut pixels, &mut labels);
    let images = Tensor::from_iter(pixels.iter().map(|&p| f32::from(p) / 255.0), &Device::Cpu)?;
    let images = images.reshape((indices.len(), 1, 28, 28))?;
    Ok((images, Tensor::new(labels, &Device::Cpu)?))
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (data, parameters) = (Dataset::mnist()?, Parameters::new(0, Init::Layers));
    let (vb, conv) = (parameters.builder(&Device::Cpu), Conv2dConfig::default());
    let network = seq() // (N, 1, 28, 28)
        .add(nn::conv2d(1, 8, 5, conv, vb.pp("conv1"))?) // (N, 8, 24, 24)
        .add_fn(|x| nn::relu(&nn::max_pool2d(x, 2, 2)?)) // (N, 8, 12, 12)
        .add(nn::conv2d(8, 16, 3, conv, vb.pp("conv2"))?) // (N, 16, 10, 10)
        .add_fn(|x| nn::relu(&nn::max_pool2d(x, 2, 2)?)?.flatten_from(1)) // (N, 400)
        .add(nn::linear(400, 10, vb.pp("fc"))?); // (N, 10)
    let mut adam = Adam::new(parameters.vars_in_order(), AdamConfig::default())?;
    adam.set_learning_rate(0.004);
    for indices in &Batches::shuffled(data.train().len() as u32, 100, 0, 0) {
        let (images, labels) = batch(data.train(), indices)?;
        adam.backward_step(&nn::cross_entropy(&network.forward(&images)?, &labels)?)?;
    }
    let mut correct = 0;
    for indices in &Batches::sequential(data.test_len() as u32, 500) {
        let (images, labels) = batch(data.test()?, indices)?;
        correct += nn::count_correct(&network.forward(&images)?, &labels)?;
    }
    println!("{correct} of {} test images right", data.test_len());
    Ok(())
}
