//! A network built from a list of layers.

mod layer;
mod named;
mod plan;

use std::ops::Range;

use candle_core::{Result, Tensor, bail};
use candle_nn::{BatchNormConfig, Conv2dConfig, Module, ModuleT as _, VarBuilder};

use crate::nn::{
    BatchNorm, BatchStats, Conv2d, Linear, avg_pool2d, batch_norm, conv_pool_relu, conv2d, dropout,
    linear, max_pool2d, relu,
};

pub use layer::{Layer, Padding};
pub use named::NamedNetwork;
pub use plan::{OutputShape, Plan, PlanError, PlannedLayer};

/// A network: layers one after the other, with their parameters.
///
/// It takes images (N, C, H, W), numbers from 0 to 1, and gives logits (N, classes). As a [`Module`] it
/// evaluates; training goes through [`forward_train`](Self::forward_train). Its parameters
/// are named after the layers of its [`Plan`], as `conv1.weight`, and have PyTorch's shapes.
/// Convolution of stride 1, max-pooling by 2 and ReLU, in either order, go through [`conv_pool_relu`]; batch
/// normalization and ReLU are computed at once too.
///
/// ```
/// use candle_core::{Device, Module, Tensor};
/// use cnn_tb::nn::{Init, Layer, Network, Parameters, Plan};
///
/// let layers = [Layer::conv(8, 3), Layer::max_pool(2), Layer::Relu {}, Layer::classes()];
/// let plan = Plan::new(&layers, [1, 28, 28], 10)?;
/// let parameters = Parameters::new(7, Init::Layers);
/// let network = Network::new(&plan, parameters.builder(&Device::Cpu))?;
/// let images = Tensor::zeros((2, 1, 28, 28), candle_core::DType::F32, &Device::Cpu)?;
/// assert_eq!(network.forward(&images)?.dims(), [2, 10]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Network {
    plan: Plan,
    /// One for each layer.
    ops: Vec<Op>,
    /// The layers that are computed at once.
    steps: Vec<Range<usize>>,
}

/// What a layer computes.
#[derive(Clone, Debug)]
enum Op {
    Conv(Conv2d),
    BatchNorm(BatchNorm),
    Relu,
    MaxPool { size: usize, stride: usize },
    AvgPool { size: usize, stride: usize },
    Dropout { rate: f64 },
    Linear(Linear),
}

impl Network {
    /// The network of `plan`, with parameters from `vb`.
    ///
    /// # Errors
    /// What `vb` refuses.
    pub fn new(plan: &Plan, vb: VarBuilder<'_>) -> Result<Self> {
        let ops = plan.layers().iter().map(|layer| Op::new(layer, &vb));
        Ok(Self {
            ops: ops.collect::<Result<_>>()?,
            steps: steps(plan),
            plan: plan.clone(),
        })
    }

    /// Its layers.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// A forward pass in training: the logits, and the statistics of each batch normalisation, for
    /// [`update`](Self::update). Nothing is changed, so that parts of a batch may run side by side.
    ///
    /// `keys` gives one key for each image of the batch, for the dropout that is the layer of this
    /// index: see [`dropout_keys`](crate::nn::dropout_keys).
    ///
    /// # Errors
    /// Images of other sizes than the plan's; a single image, where a batch normalisation has but one
    /// number of each feature then; what the device says.
    pub fn forward_train(
        &self,
        images: &Tensor,
        keys: impl Fn(usize) -> Vec<u64>,
    ) -> Result<(Tensor, Vec<BatchStats>)> {
        let mut statistics = Vec::new();
        let mut x = images.clone();
        for step in &self.steps {
            x = match &self.ops[step.clone()] {
                [Op::Dropout { rate }] => dropout(&x, *rate, &keys(step.start))?,
                [Op::BatchNorm(layer), rest @ ..] => {
                    let layer = with_relu(layer, rest);
                    let (output, of_batch) = layer.forward_with_stats(&x)?;
                    statistics.push(of_batch);
                    output
                }
                _ => self.step(step, &x)?,
            };
        }
        Ok((x, statistics))
    }

    /// Moves the running statistics of each batch normalisation towards those of a batch, as
    /// [`forward_train`](Self::forward_train) gives them.
    ///
    /// # Errors
    /// Statistics of another network.
    pub fn update(&self, statistics: &[BatchStats]) -> Result<()> {
        let layers = self.ops.iter().filter_map(|op| match op {
            Op::BatchNorm(layer) => Some(layer),
            _ => None,
        });
        let mut pairs = layers.zip(statistics);
        pairs.try_for_each(|(layer, of_batch)| layer.update(of_batch))
    }

    /// What the layers give for `images` in evaluation, in order: those that are computed at once, and what comes
    /// out of the last of them.
    ///
    /// # Errors
    /// Images of other sizes than the plan's; what the device says.
    pub fn outputs(&self, images: &Tensor) -> Result<Vec<(Range<usize>, Tensor)>> {
        self.walk(&self.steps, images)
    }

    /// As [`outputs`](Self::outputs), each layer by itself.
    ///
    /// # Errors
    /// As [`outputs`](Self::outputs).
    pub fn outputs_one_by_one(&self, images: &Tensor) -> Result<Vec<(Range<usize>, Tensor)>> {
        let layers: Vec<_> = (0..self.ops.len()).map(|layer| layer..layer + 1).collect();
        self.walk(&layers, images)
    }

    fn walk(&self, steps: &[Range<usize>], images: &Tensor) -> Result<Vec<(Range<usize>, Tensor)>> {
        let mut outputs = Vec::new();
        let mut x = images.clone();
        for step in steps {
            x = self.step(step, &x)?;
            outputs.push((step.clone(), x.clone()));
        }
        Ok(outputs)
    }

    fn step(&self, layers: &Range<usize>, x: &Tensor) -> Result<Tensor> {
        match &self.ops[layers.clone()] {
            [op] => op.forward(x),
            [Op::BatchNorm(layer), rest @ ..] => with_relu(layer, rest).forward_t(x, false),
            [Op::Conv(conv), ..] => {
                conv_pool_relu(x, conv.weight(), conv.bias(), conv.config().padding)
            }
            _ => bail!("layers {layers:?} are not computed at once"),
        }
    }
}

impl Module for Network {
    fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let mut steps = self.steps.iter();
        steps.try_fold(images.clone(), |x, step| self.step(step, &x))
    }
}

impl Op {
    fn new(planned: &PlannedLayer, vb: &VarBuilder<'_>) -> Result<Self> {
        let vb = vb.pp(&planned.name);
        let channels = planned.input.sizes()[0];
        Ok(match planned.layer {
            Layer::Conv {
                channels: out,
                kernel,
                stride,
                padding,
            } => {
                let config = Conv2dConfig {
                    padding: padding.zeros(kernel),
                    stride,
                    ..Conv2dConfig::default()
                };
                Op::Conv(conv2d(channels, out, kernel, config, vb)?)
            }
            Layer::BatchNorm {} => {
                Op::BatchNorm(batch_norm(channels, BatchNormConfig::default(), vb)?)
            }
            Layer::Relu {} => Op::Relu,
            Layer::MaxPool { size, stride } => Op::MaxPool {
                size,
                stride: stride.unwrap_or(size),
            },
            Layer::AvgPool { size, stride } => Op::AvgPool {
                size,
                stride: stride.unwrap_or(size),
            },
            Layer::Dropout { rate } => Op::Dropout { rate },
            Layer::Linear { .. } => {
                let (features, units) = (planned.input.count(), planned.output.count());
                Op::Linear(linear(features, units, vb)?)
            }
        })
    }

    /// In evaluation.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Op::Conv(conv) => conv.forward(x),
            Op::BatchNorm(layer) => layer.forward_t(x, false),
            Op::Relu => relu(x),
            Op::MaxPool { size, stride } => max_pool2d(x, *size, *stride),
            Op::AvgPool { size, stride } => avg_pool2d(x, *size, *stride),
            Op::Dropout { .. } => Ok(x.clone()),
            Op::Linear(linear) => linear.forward(x),
        }
    }
}

/// A batch normalization with what is computed at once with it, if anything is.
fn with_relu(layer: &BatchNorm, rest: &[Op]) -> BatchNorm {
    match rest {
        [] => layer.clone(),
        _ => layer.with_relu(),
    }
}

/// The layers, those together that one op computes.
fn steps(plan: &Plan) -> Vec<Range<usize>> {
    let layers: Vec<&Layer> = plan.layers().iter().map(|layer| &layer.layer).collect();
    let mut steps = Vec::new();
    let mut start = 0;
    while start < layers.len() {
        let count = match layers[start..] {
            [conv, a, b, ..] if goes_step_by_step(conv) && is_pool_relu(a, b) => 3,
            [Layer::BatchNorm {}, Layer::Relu {}, ..] => 2,
            _ => 1,
        };
        steps.push(start..start + count);
        start += count;
    }
    steps
}

/// Whether it is a convolution of the kind that [`conv_pool_relu`] computes.
fn goes_step_by_step(layer: &Layer) -> bool {
    matches!(layer, Layer::Conv { stride: 1, .. })
}

/// Whether they are max-pooling by 2 and ReLU. The order is the same to both outputs and gradients:
/// the largest number of a window stays the largest, and where that is not above 0, no gradient goes
/// through.
fn is_pool_relu(a: &Layer, b: &Layer) -> bool {
    let halves = |layer: &Layer| match *layer {
        Layer::MaxPool { size, stride } => size == 2 && stride.unwrap_or(size) == 2,
        _ => false,
    };
    let is_relu = |layer: &Layer| *layer == Layer::Relu {};
    (halves(a) && is_relu(b)) || (is_relu(a) && halves(b))
}
