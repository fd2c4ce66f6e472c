//! Seconds for an epoch of the article's network in burn on its CPU backend Flex, as one JSON line.
//!
//! usage: burn-peer EPOCHS BATCHES
//!
//! Random images and labels in batches of 100, softmax cross-entropy, Adam. Of each epoch's 550 batches
//! `BATCHES` are trained and their time is scaled to all; the first epoch warms up and does not count.

use std::time::Instant;

use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d, Relu};
use burn::optim::{AdamConfig, GradientsParams};
use burn::prelude::*;
use burn::tensor::Distribution;

const BATCH_SIZE: usize = 100;
const BATCHES_PER_EPOCH: usize = 550;

#[derive(Module, Debug)]
struct Article {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    pool: MaxPool2d,
    relu: Relu,
}

impl Article {
    fn new(device: &Device) -> Self {
        let conv = |channels| {
            let padding = PaddingConfig2d::Explicit(2, 2, 2, 2);
            Conv2dConfig::new(channels, [5, 5])
                .with_padding(padding)
                .init(device)
        };
        Self {
            conv1: conv([1, 6]),
            conv2: conv([6, 16]),
            fc1: LinearConfig::new(16 * 7 * 7, 128).init(device),
            fc2: LinearConfig::new(128, 10).init(device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            relu: Relu::new(),
        }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self
            .relu
            .forward(self.pool.forward(self.conv1.forward(images)));
        let x = self.relu.forward(self.pool.forward(self.conv2.forward(x)));
        let x = self.relu.forward(self.fc1.forward(x.flatten(1, 3)));
        self.fc2.forward(x)
    }
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|text| text.parse().expect("a number"));
    let mut argument = || arguments.next().expect("usage: burn-peer EPOCHS BATCHES");
    let (epochs, batches): (usize, usize) = (argument(), argument());

    let device = Device::flex();
    let training = device.clone().autodiff();
    let mut network = Article::new(&training);
    let mut optimizer = AdamConfig::new().init();
    let loss = CrossEntropyLossConfig::new().init(&training);
    let images = Tensor::<4>::random(
        [BATCH_SIZE * batches, 1, 28, 28],
        Distribution::Default,
        &training,
    );
    let labels = Tensor::<1, Int>::random(
        [BATCH_SIZE * batches],
        Distribution::Uniform(0.0, 9.99),
        &training,
    );

    let mut epoch_secs = Vec::new();
    for _ in 0..=epochs {
        let began = Instant::now();
        for batch in 0..batches {
            let range = batch * BATCH_SIZE..(batch + 1) * BATCH_SIZE;
            let images = images.clone().slice([range.clone()]);
            let labels = labels.clone().slice([range]);
            let loss = loss.forward(network.forward(images), labels);
            let grads = GradientsParams::from_grads(loss.backward(), &network);
            network = optimizer.step(1e-4, network, grads);
        }
        let scale = BATCHES_PER_EPOCH as f64 / batches as f64;
        epoch_secs.push(began.elapsed().as_secs_f64() * scale);
    }
    println!(
        "{{\"version\": \"0.22.1\", \"epoch_secs\": {:?}}}",
        &epoch_secs[1..]
    );
}
