//! Our ops, optimizers and batches against candle's own, at the shapes of the article's network and
//! of deeper ones, and batches of 100 images.
//!
//! `make bench` runs this twice, since the number of threads that candle adds gradients on is fixed
//! for a process: ours as the program runs them, candle's with candle's defaults.

use std::time::Duration;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Module, Result, Tensor, Var};
use candle_nn::{
    AdamW, Conv2d, Conv2dConfig, Linear, ModuleT, Optimizer, ParamsAdamW, SGD, VarBuilder, VarMap,
};
use cnn_tb::data::{Augmentation, Batches, Split};
use cnn_tb::nn::{
    Adam, AdamConfig, Init, NamedNetwork, Network, Parameters, Plan, Sgd, SgdConfig, affine,
    avg_pool2d, batch_norm, conv_pool_relu, convolve, cross_entropy, dropout, dropout_keys,
    max_pool2d,
};
use criterion::{BenchmarkId, Criterion};

/// The program's allocator, for both sides: the library leaves the choice to its user.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH_SIZE: usize = 100;
const TRAIN_IMAGES: usize = 55_000;
const CLASSES: usize = 10;

/// Each benchmark is named `op/pass/whose`.
const OURS: &str = "cnn-tb";
const CANDLE: &str = "candle";

fn main() -> Result<()> {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    conv_pool(&mut criterion, "conv1", [1, 6], 28)?;
    conv_pool(&mut criterion, "conv2", [6, 16], 14)?;
    linear(&mut criterion, "fc1", [784, 128])?;
    linear(&mut criterion, "fc2", [128, CLASSES])?;
    conv(&mut criterion, "conv3x3 1-32", [1, 32], 28)?;
    conv(&mut criterion, "conv3x3 32-32", [32, 32], 28)?;
    conv(&mut criterion, "conv3x3 32-64", [32, 64], 14)?;
    conv(&mut criterion, "conv3x3 64-64", [64, 64], 14)?;
    normalization(&mut criterion, [32, 28])?;
    pools(&mut criterion, [32, 28])?;
    dropouts(&mut criterion, [BATCH_SIZE, 128])?;
    loss(&mut criterion)?;
    optimizers(&mut criterion)?;
    batches(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

/// A layer of the network: convolution with as much padding as keeps the size, pooling, ReLU.
fn conv_pool(
    criterion: &mut Criterion,
    name: &str,
    [from, to]: [usize; 2],
    size: usize,
) -> Result<()> {
    let images = normal(&[BATCH_SIZE, from, size, size])?;
    let weight = Var::from_tensor(&normal(&[to, from, 5, 5])?)?;
    let bias = Var::from_tensor(&normal(&[to])?)?;
    // The first layer's input is data, and nobody asks for its gradient.
    let input = match from {
        1 => images,
        _ => Var::from_tensor(&images)?.into_inner(),
    };
    let config = Conv2dConfig {
        padding: 2,
        ..Conv2dConfig::default()
    };
    let conv = Conv2d::new(
        weight.as_tensor().clone(),
        Some(bias.as_tensor().clone()),
        config,
    );
    passes(criterion, name, OURS, || {
        conv_pool_relu(&input, &weight, &bias, 2)
    });
    passes(criterion, name, CANDLE, || {
        conv.forward(&input)?.max_pool2d(2)?.relu()
    });
    Ok(())
}

/// A convolution alone, with as much padding as keeps the size.
fn conv(criterion: &mut Criterion, name: &str, [from, to]: [usize; 2], size: usize) -> Result<()> {
    let images = normal(&[BATCH_SIZE, from, size, size])?;
    let weight = Var::from_tensor(&normal(&[to, from, 3, 3])?)?;
    let bias = Var::from_tensor(&normal(&[to])?)?;
    let input = match from {
        1 => images,
        _ => Var::from_tensor(&images)?.into_inner(),
    };
    let config = Conv2dConfig {
        padding: 1,
        ..Conv2dConfig::default()
    };
    let bias_of_candle = Some(bias.as_tensor().clone());
    let conv = Conv2d::new(weight.as_tensor().clone(), bias_of_candle, config);
    passes(criterion, name, OURS, || {
        convolve(&input, &weight, &bias, 1, 1)
    });
    passes(criterion, name, CANDLE, || conv.forward(&input));
    Ok(())
}

/// A batch normalization while it is trained.
fn normalization(criterion: &mut Criterion, [channels, size]: [usize; 2]) -> Result<()> {
    let input = Var::from_tensor(&normal(&[BATCH_SIZE, channels, size, size])?)?;
    let parameters = Parameters::new(0, Init::Layers);
    let ours = batch_norm(channels, 1e-5, parameters.builder(&Device::Cpu))?;
    let map = VarMap::new();
    let builder = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    let theirs = candle_nn::batch_norm(channels, 1e-5, builder)?;
    passes(criterion, "batch_norm", OURS, || {
        ours.forward_t(&input, true)
    });
    passes(criterion, "batch_norm", CANDLE, || {
        theirs.forward_t(&input, true)
    });
    Ok(())
}

/// Pooling alone. The gradients of candle's max-pooling are a quarter of the true ones.
fn pools(criterion: &mut Criterion, [channels, size]: [usize; 2]) -> Result<()> {
    let input = Var::from_tensor(&normal(&[BATCH_SIZE, channels, size, size])?)?;
    passes(criterion, "max_pool2d", OURS, || max_pool2d(&input, 2, 2));
    passes(criterion, "max_pool2d", CANDLE, || input.max_pool2d(2));
    passes(criterion, "avg_pool2d", OURS, || avg_pool2d(&input, 2, 2));
    passes(criterion, "avg_pool2d", CANDLE, || input.avg_pool2d(2));
    Ok(())
}

/// Dropout; candle's draws from a generator that cannot be seeded.
fn dropouts(criterion: &mut Criterion, shape: [usize; 2]) -> Result<()> {
    let input = Var::from_tensor(&normal(&shape)?)?;
    let images: Vec<u32> = (0..BATCH_SIZE as u32).collect();
    let keys = dropout_keys(0, 0, 0, &images);
    passes(criterion, "dropout", OURS, || dropout(&input, 0.5, &keys));
    passes(criterion, "dropout", CANDLE, || {
        candle_nn::ops::dropout(&input, 0.5)
    });
    Ok(())
}

/// A fully connected layer.
fn linear(criterion: &mut Criterion, name: &str, [from, to]: [usize; 2]) -> Result<()> {
    let input = Var::from_tensor(&normal(&[BATCH_SIZE, from])?)?;
    let weight = Var::from_tensor(&normal(&[to, from])?)?;
    let bias = Var::from_tensor(&normal(&[to])?)?;
    let layer = Linear::new(weight.as_tensor().clone(), Some(bias.as_tensor().clone()));
    passes(criterion, name, OURS, || affine(&input, &weight, &bias));
    passes(criterion, name, CANDLE, || layer.forward(&input));
    Ok(())
}

fn loss(criterion: &mut Criterion) -> Result<()> {
    let logits = Var::from_tensor(&normal(&[BATCH_SIZE, CLASSES])?)?;
    let labels = labels()?;
    let name = "cross_entropy";
    passes(criterion, name, OURS, || cross_entropy(&logits, &labels));
    passes(criterion, name, CANDLE, || {
        candle_nn::loss::cross_entropy(&logits, &labels)
    });
    Ok(())
}

/// Times an op alone, and with its gradients.
fn passes(criterion: &mut Criterion, op: &str, whose: &str, forward: impl Fn() -> Result<Tensor>) {
    run(criterion, &format!("{op}/forward"), whose, &forward);
    run(criterion, &format!("{op}/forward+backward"), whose, || {
        forward()?.backward()
    });
}

/// One step over the network's 104,342 parameters. candle's SGD has no momentum, ours has.
fn optimizers(criterion: &mut Criterion) -> Result<()> {
    let (vars, grads) = network_grads()?;
    let adam = Adam::new(vars.clone(), AdamConfig::default())?;
    step(criterion, "adam", OURS, adam, &grads);
    let adam = AdamW::new(
        vars.clone(),
        ParamsAdamW {
            weight_decay: 0.0,
            ..ParamsAdamW::default()
        },
    )?;
    step(criterion, "adam", CANDLE, adam, &grads);
    step(
        criterion,
        "sgd",
        OURS,
        Sgd::new(vars.clone(), SgdConfig::default())?,
        &grads,
    );
    step(criterion, "sgd", CANDLE, SGD::new(vars, 1e-2)?, &grads);
    Ok(())
}

fn step(
    criterion: &mut Criterion,
    name: &str,
    whose: &str,
    mut optimizer: impl Optimizer,
    grads: &GradStore,
) {
    // So small that a million steps leave the parameters finite.
    optimizer.set_learning_rate(1e-9);
    run(criterion, &format!("{name}/step"), whose, || {
        optimizer.step(grads)
    });
}

/// The article's network's parameters with their gradients.
fn network_grads() -> Result<(Vec<Var>, GradStore)> {
    let parameters = Parameters::new(0, Init::Layers);
    let plan = Plan::new(&NamedNetwork::Article.layers(), [1, 28, 28], CLASSES);
    let plan = plan.map_err(candle_core::Error::wrap)?;
    let network = Network::new(&plan, parameters.builder(&Device::Cpu))?;
    let logits = network.forward(&normal(&[BATCH_SIZE, 1, 28, 28])?)?;
    let grads = cross_entropy(&logits, &labels()?)?.backward()?;
    Ok((parameters.vars_in_order(), grads))
}

/// Gathering a batch from 55,000 images in random order. candle's reads f32, ours bytes.
fn batches(criterion: &mut Criterion) -> Result<()> {
    let pixels: Vec<u8> = (0..TRAIN_IMAGES * 784)
        .map(|at| (at * 31 % 251) as u8)
        .collect();
    let images =
        Tensor::from_slice(&pixels, (TRAIN_IMAGES, 784), &Device::Cpu)?.to_dtype(DType::F32)?;
    let Some(split) = Split::new(28, 28, pixels, vec![0; TRAIN_IMAGES]) else {
        candle_core::bail!("images and labels disagree in number");
    };
    let batches = Batches::shuffled(TRAIN_IMAGES as u32, BATCH_SIZE, 0, 1);
    let shifted = Augmentation {
        shift: 1,
        rotation: 0.0,
        scaling: 0.0,
        seed: 0,
        epoch: 1,
    };
    let turned = Augmentation {
        rotation: 10.0,
        scaling: 0.1,
        ..shifted
    };
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());

    let mut order = batches.iter().cycle();
    let mut next = || order.next().unwrap_or_default();
    run(criterion, "batch/gather", OURS, || {
        split.gather(next(), &mut pixels, &mut labels);
        Ok(())
    });
    for (name, augmentation) in [("shifted", shifted), ("turned", turned)] {
        run(criterion, &format!("batch/gather {name}"), OURS, || {
            split.gather_augmented(next(), &augmentation, &mut pixels, &mut labels);
            Ok(())
        });
    }
    run(criterion, "batch/gather", CANDLE, || {
        images.index_select(&Tensor::new(next(), &Device::Cpu)?, 0)
    });
    Ok(())
}

fn run<T>(
    criterion: &mut Criterion,
    name: &str,
    whose: &str,
    mut measured: impl FnMut() -> Result<T>,
) {
    let id = BenchmarkId::new(name, whose);
    criterion.bench_with_input(id, &(), |bencher, ()| {
        bencher.iter(|| match measured() {
            Ok(result) => result,
            Err(error) => panic!("{name}, {whose}: {error}"),
        });
    });
}

fn normal(shape: &[usize]) -> Result<Tensor> {
    Tensor::randn(0f32, 0.1, shape, &Device::Cpu)
}

fn labels() -> Result<Tensor> {
    let labels = (0..BATCH_SIZE).map(|at| (at % CLASSES) as u32);
    Tensor::from_iter(labels, &Device::Cpu)
}
