//! A training with burn whose curves TensorBoard draws:
//! `cargo run --release --manifest-path examples/burn/Cargo.toml`, then `tensorboard --logdir runs`.

use std::error::Error;

use burn::data::dataloader::DataLoaderBuilder;
use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::InMemDataset;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig, Relu};
use burn::optim::AdamConfig;
use burn::optim::lr_scheduler::constant::ConstantLr;
use burn::prelude::*;
use burn::train::metric::store::{Aggregate, Direction, Split};
use burn::train::metric::{AccuracyMetric, LossMetric};
use burn::train::{
    ClassificationOutput, InferenceStep, Learner, MetricEarlyStoppingStrategy, StoppingCondition,
    SupervisedTraining, TrainOutput, TrainStep,
};
use burn_example::TensorBoard;
use cnn_tb::tb::SummaryWriter;

/// Points with coordinates from -1 to 1.
type Point = [f32; 2];

#[derive(Clone, Debug)]
struct Points {
    /// (N, 2).
    points: Tensor<2>,
    /// 1 for a point of the ring: (N,).
    labels: Tensor<1, Int>,
}

struct Batches;

impl Batcher<Point, Points> for Batches {
    fn batch(&self, points: Vec<Point>, device: &Device) -> Points {
        let in_ring = |[x, y]: &Point| i32::from((0.4..0.8).contains(&x.hypot(*y)));
        let labels: Vec<i32> = points.iter().map(in_ring).collect();
        let numbers = TensorData::new(points.concat(), [points.len(), 2]);
        Points {
            points: Tensor::from_data(numbers, device),
            labels: Tensor::from_data(labels.as_slice(), device),
        }
    }
}

/// A grid of `side` × `side` points.
fn grid(side: usize) -> Vec<Point> {
    let at = |index: usize| 2.0 * (index as f32 + 0.5) / side as f32 - 1.0;
    (0..side * side)
        .map(|index| [at(index % side), at(index / side)])
        .collect()
}

#[derive(Module, Debug)]
struct Mlp {
    hidden: Linear,
    relu: Relu,
    output: Linear,
}

impl Mlp {
    fn new(device: &Device) -> Self {
        Self {
            hidden: LinearConfig::new(2, 128).init(device),
            relu: Relu::new(),
            output: LinearConfig::new(128, 2).init(device),
        }
    }
}

impl InferenceStep for Mlp {
    type Input = Points;
    type Output = ClassificationOutput;

    fn step(&self, Points { points, labels }: Points) -> ClassificationOutput {
        let hidden = self.relu.forward(self.hidden.forward(points));
        let logits = self.output.forward(hidden);
        let loss = CrossEntropyLossConfig::new().init(&logits.device());
        let loss = loss.forward(logits.clone(), labels.clone());
        ClassificationOutput::new(loss, logits, labels)
    }
}

impl TrainStep for Mlp {
    type Input = Points;
    type Output = ClassificationOutput;

    fn step(&self, points: Points) -> TrainOutput<ClassificationOutput> {
        let output = InferenceStep::step(self, points);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let run = SummaryWriter::create("runs/burn")?;
    run.add_hparams([("learning_rate", 3e-3.into()), ("width", 128.into())])?;

    let loader = || DataLoaderBuilder::new(Batches).batch_size(64).shuffle(7);
    let train = loader().build(InMemDataset::new(grid(64)));
    let validation = loader().build(InMemDataset::new(grid(31)));
    let device = Device::flex().autodiff();
    let optimizer = AdamConfig::new().init();
    let learner = Learner::new(Mlp::new(&device), optimizer, ConstantLr::new(3e-3));
    let patience = MetricEarlyStoppingStrategy::new(
        &LossMetric::new(),
        Aggregate::Mean,
        Direction::Lowest,
        Split::Valid,
        StoppingCondition::NoImprovementSince { n_epochs: 5 },
    );
    let trained = SupervisedTraining::new("runs/burn", train, validation)
        .metrics((LossMetric::new(), AccuracyMetric::new()))
        .with_metric_logger(TensorBoard::new(run.clone()))
        .early_stopping(patience)
        .num_epochs(30)
        .launch(learner);
    if let Some(error) = trained.error {
        return Err(error.to_string().into());
    }
    run.finish()?;
    Ok(())
}
