//! Seconds for an epoch of the article's network in stock candle, its own ops and optimizer, as one
//! JSON line.
//!
//! ```text
//! cargo run --release --example candle-peer -- EPOCHS BATCHES
//! ```
//!
//! Random images and labels in batches of 100, softmax cross-entropy, Adam. Of each epoch's 550 batches
//! `BATCHES` are trained and their time is scaled to all; the first epoch warms up and does not count.
//! The allocator is mimalloc, as in our program.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::Instant;

use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::{
    AdamW, Conv2d, Conv2dConfig, Linear, Optimizer, ParamsAdamW, VarBuilder, VarMap, conv2d,
    linear, loss::cross_entropy,
};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH_SIZE: usize = 100;
const BATCHES_PER_EPOCH: usize = 550;

struct Article {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
}

impl Article {
    fn new(vb: VarBuilder<'_>) -> Result<Self> {
        let same = Conv2dConfig {
            padding: 2,
            ..Conv2dConfig::default()
        };
        Ok(Self {
            conv1: conv2d(1, 6, 5, same, vb.pp("conv1"))?,
            conv2: conv2d(6, 16, 5, same, vb.pp("conv2"))?,
            fc1: linear(16 * 7 * 7, 128, vb.pp("fc1"))?,
            fc2: linear(128, 10, vb.pp("fc2"))?,
        })
    }
}

impl Module for Article {
    fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let x = self.conv1.forward(images)?.max_pool2d(2)?.relu()?;
        let x = self.conv2.forward(&x)?.max_pool2d(2)?.relu()?;
        let x = self.fc1.forward(&x.flatten_from(1)?)?.relu()?;
        self.fc2.forward(&x)
    }
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(epochs), Some(batches)) = (arguments.next(), arguments.next()) else {
        return Err("usage: candle-peer EPOCHS BATCHES".into());
    };
    let (epochs, batches): (usize, usize) = (epochs.parse()?, batches.parse()?);

    let device = Device::Cpu;
    let varmap = VarMap::new();
    let network = Article::new(VarBuilder::from_varmap(&varmap, DType::F32, &device))?;
    // Without weight decay AdamW is Adam.
    let adam = ParamsAdamW {
        lr: 1e-4,
        weight_decay: 0.0,
        ..ParamsAdamW::default()
    };
    let mut optimizer = AdamW::new(varmap.all_vars(), adam)?;
    let images = Tensor::rand(0f32, 1.0, (BATCH_SIZE * batches, 1, 28, 28), &device)?;
    let labels = Tensor::rand(0f32, 10.0, BATCH_SIZE * batches, &device)?.to_dtype(DType::U32)?;

    let mut epoch_secs = Vec::new();
    for _ in 0..=epochs {
        let began = Instant::now();
        for first in (0..BATCH_SIZE * batches).step_by(BATCH_SIZE) {
            let logits = network.forward(&images.narrow(0, first, BATCH_SIZE)?)?;
            let loss = cross_entropy(&logits, &labels.narrow(0, first, BATCH_SIZE)?)?;
            optimizer.backward_step(&loss)?;
        }
        let scale = BATCHES_PER_EPOCH as f64 / batches as f64;
        epoch_secs.push(began.elapsed().as_secs_f64() * scale);
    }
    println!("{}", json!({ "epoch_secs": &epoch_secs[1..] }));
    Ok(())
}
