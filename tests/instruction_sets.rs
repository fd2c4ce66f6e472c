//! The whole network on every instruction set of this machine. Ops choose theirs for the whole
//! process, so this test has one to itself.

#![cfg(all(feature = "train", feature = "mnist"))]
#![allow(clippy::unwrap_used)]

use candle_core::{Device, Module, Tensor};
use candle_nn::Optimizer;
use cnn_tb::data::Dataset;
use cnn_tb::nn::{
    Adam, AdamConfig, Init, InstructionSet, NamedNetwork, Network, Parameters, Plan, StepParts,
    cross_entropy,
};

/// By how much weights may differ after [`STEPS`] steps, as stated in docs/architecture.md: sums
/// are taken in another order, and a winner that changes with it changes more.
const TOLERANCE: f32 = 1e-4;
const STEPS: usize = 20;

/// Losses and weights of a training on real digits.
fn train(set: InstructionSet) -> (Vec<f32>, Vec<f32>) {
    set.select().unwrap();
    assert_eq!(InstructionSet::current(), set);
    let mnist = Dataset::mnist().unwrap();
    let parameters = Parameters::new(1, Init::Article);
    let plan = Plan::new(&NamedNetwork::Article.layers(), [1, 28, 28], 10).unwrap();
    let network = Network::new(&plan, parameters.builder(&Device::Cpu)).unwrap();
    let mut adam = Adam::new(parameters.vars_in_order(), AdamConfig::default()).unwrap();
    let mut losses = Vec::new();
    for step in 0..STEPS {
        let part = |first: usize, count: usize| {
            let images = step * 20 + first..step * 20 + first + count;
            let pixels = &mnist.train().pixels()[images.start * 784..images.end * 784];
            let pixels: Vec<f32> = pixels.iter().map(|p| f32::from(*p) / 255.0).collect();
            let labels = mnist.train().labels()[images].iter();
            let labels: Vec<u32> = labels.map(|label| u32::from(*label)).collect();
            let images = Tensor::from_vec(pixels, (count, 1, 28, 28), &Device::Cpu).unwrap();
            let labels = Tensor::from_vec(labels, count, &Device::Cpu).unwrap();
            let loss = cross_entropy(&network.forward(&images).unwrap(), &labels).unwrap();
            (&loss * 0.5).unwrap()
        };
        let (left, right) = (part(0, 10), part(10, 10));
        let loss = |part: &Tensor| part.to_scalar::<f32>().unwrap();
        losses.push(loss(&left) + loss(&right));
        let parts = [left.backward().unwrap(), right.backward().unwrap()];
        adam.step_parts(&parts).unwrap();
    }
    let weights = parameters.vars_in_order().into_iter().flat_map(|var| {
        let numbers = var.as_tensor().flatten_all().unwrap();
        numbers.to_vec1::<f32>().unwrap()
    });
    (losses, weights.collect())
}

#[test]
fn all_instruction_sets_train_alike_and_each_repeats_itself() {
    let (losses, weights) = train(InstructionSet::Portable);
    assert!(losses[STEPS - 1] < losses[0], "{losses:?}");
    for set in InstructionSet::available() {
        let (found_losses, found_weights) = train(set);
        for (found, expected) in found_losses.iter().zip(&losses) {
            assert!(
                (found - expected).abs() <= TOLERANCE,
                "{set:?}: {found}, {expected}"
            );
        }
        let apart = found_weights.iter().zip(&weights);
        let apart = apart.map(|(found, expected)| (found - expected).abs());
        let apart = apart.fold(0.0, f32::max);
        assert!(apart <= TOLERANCE, "{set:?}: weights are {apart} apart");
        assert_eq!(train(set), (found_losses, found_weights), "{set:?}");
    }
    let lacking = InstructionSet::ALL.into_iter();
    for set in lacking.filter(|set| !InstructionSet::available().contains(set)) {
        let error = set.select().unwrap_err().to_string();
        assert!(
            error.contains(set.name()) && error.contains("portable"),
            "{error}"
        );
    }
}
