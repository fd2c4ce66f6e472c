//! A network built from a list of layers.

mod layer;
mod named;
mod plan;

use std::ops::Range;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, bail};
use candle_nn::{BatchNormConfig, Conv2dConfig, Module, ModuleT as _, VarBuilder};

use crate::nn::conv::convolve_on;
use crate::nn::conv_pool::conv_pool_relu_on;
use crate::nn::dropout::dropout_on;
use crate::nn::linear::affine_on;
use crate::nn::loss::cross_entropy_on;
use crate::nn::pool::{avg_pool2d_on, max_pool2d_on};
use crate::nn::relu::relu_on;
use crate::nn::slice::has_kernel;
use crate::nn::tape::{Chain, Graph, Tape};
use crate::nn::{BatchNorm, BatchStats, Conv2d, Linear, batch_norm, conv2d, linear};

pub use layer::{Layer, Padding};
pub use named::NamedNetwork;
pub use plan::{OutputShape, Plan, PlanError, PlannedLayer};

/// A network: layers one after the other, with their parameters.
///
/// It takes images (N, C, H, W), numbers from 0 to 1, and gives logits (N, classes). As a [`Module`] it
/// evaluates; training goes through [`forward_train`](Self::forward_train). Its parameters
/// are named after the layers of its [`Plan`], as `conv1.weight`, and have PyTorch's shapes.
/// Convolution of stride 1, max-pooling by 2 and ReLU, in either order, go through
/// [`conv_pool_relu`](crate::nn::conv_pool_relu); batch normalization and ReLU are computed at once too.
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

/// What one batch, or a part of it, says of a network.
pub(crate) struct Gradients {
    /// Of the parameters.
    pub grads: GradStore,
    /// (N, classes).
    pub logits: Tensor,
    /// The mean over the images.
    pub loss: f64,
    /// Of each batch normalisation, for [`Network::update`].
    pub statistics: Vec<BatchStats>,
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
        self.forward_on(&mut Graph, images, keys)
    }

    /// As [`forward_train`](Self::forward_train), on a tape.
    fn forward_on(
        &self,
        tape: &mut impl Tape,
        images: &Tensor,
        keys: impl Fn(usize) -> Vec<u64>,
    ) -> Result<(Tensor, Vec<BatchStats>)> {
        let mut statistics = Vec::new();
        let mut x = images.clone();
        for step in &self.steps {
            x = match &self.ops[step.clone()] {
                [Op::Dropout { rate }] => dropout_on(tape, &x, *rate, &keys(step.start))?,
                [Op::BatchNorm(layer), rest @ ..] => {
                    let layer = with_relu(layer, rest);
                    let (output, of_batch) = layer.forward_on(tape, &x)?;
                    statistics.push(of_batch);
                    output
                }
                _ => self.step(tape, step, &x)?,
            };
        }
        Ok((x, statistics))
    }

    /// The mean cross-entropy loss over a batch, and the gradients of `share` times the loss: what
    /// [`forward_train`](Self::forward_train), [`cross_entropy`](crate::nn::cross_entropy) and
    /// [`Tensor::backward`] give, without candle's graph where every layer has a kernel of ours.
    ///
    /// # Errors
    /// As [`forward_train`](Self::forward_train); labels that are none.
    pub(crate) fn gradients(
        &self,
        images: &Tensor,
        labels: &Tensor,
        share: f64,
        keys: impl Fn(usize) -> Vec<u64>,
    ) -> Result<Gradients> {
        let mut chain = Chain::default();
        let (logits, statistics, loss, grads);
        if has_kernel(images) {
            (logits, statistics) = self.forward_on(&mut chain, images, keys)?;
            loss = cross_entropy_on(&mut chain, &logits, labels)?;
            grads = chain.backward(Tensor::new(share as f32, images.device())?)?;
        } else {
            (logits, statistics) = self.forward_train(images, keys)?;
            loss = cross_entropy_on(&mut Graph, &logits, labels)?;
            grads = (&loss * share)?.backward()?;
        }
        Ok(Gradients {
            grads,
            logits: logits.detach(),
            loss: f64::from(loss.to_scalar::<f32>()?),
            statistics,
        })
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
            x = self.step(&mut Graph, step, &x)?;
            outputs.push((step.clone(), x.clone()));
        }
        Ok(outputs)
    }

    /// What some layers that are computed at once give in evaluation.
    fn step(&self, tape: &mut impl Tape, layers: &Range<usize>, x: &Tensor) -> Result<Tensor> {
        match &self.ops[layers.clone()] {
            [op] => op.forward(tape, x),
            [Op::BatchNorm(layer), rest @ ..] => with_relu(layer, rest).forward_t(x, false),
            [Op::Conv(conv), ..] => {
                let tensors = [x, conv.weight(), conv.bias()];
                conv_pool_relu_on(tape, tensors, conv.config().padding)
            }
            _ => bail!("layers {layers:?} are not computed at once"),
        }
    }
}

impl Module for Network {
    fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let mut steps = self.steps.iter();
        steps.try_fold(images.clone(), |x, step| self.step(&mut Graph, step, &x))
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
    fn forward(&self, tape: &mut impl Tape, x: &Tensor) -> Result<Tensor> {
        match self {
            Op::Conv(conv) => {
                let config = conv.config();
                let tensors = [x, conv.weight(), conv.bias()];
                convolve_on(tape, tensors, config.padding, config.stride)
            }
            Op::BatchNorm(layer) => layer.forward_t(x, false),
            Op::Relu => relu_on(tape, x),
            Op::MaxPool { size, stride } => max_pool2d_on(tape, x, *size, *stride),
            Op::AvgPool { size, stride } => avg_pool2d_on(tape, x, *size, *stride),
            Op::Dropout { .. } => Ok(x.clone()),
            Op::Linear(linear) => affine_on(tape, [x, linear.weight(), linear.bias()]),
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

/// Whether it is a convolution of the kind that [`conv_pool_relu`](crate::nn::conv_pool_relu) computes.
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

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::nn::{Init, Parameters, cross_entropy, dropout_keys};
    use crate::random::{Purpose, Stream};

    /// A layer of each kind, and those together that are computed at once.
    fn layers() -> Vec<Layer> {
        vec![
            Layer::conv(4, 3),
            Layer::BatchNorm {},
            Layer::Relu {},
            Layer::MaxPool {
                size: 3,
                stride: Some(2),
            },
            Layer::conv(8, 3),
            Layer::max_pool(2),
            Layer::Relu {},
            Layer::BatchNorm {},
            Layer::AvgPool {
                size: 2,
                stride: Some(1),
            },
            Layer::Dropout { rate: 0.2 },
            Layer::linear(7),
            Layer::Relu {},
            Layer::classes(),
        ]
    }

    #[test]
    fn gradients_are_those_of_candles_graph() {
        let cpu = &Device::Cpu;
        let labels = Tensor::new(&[3u32, 0, 9, 1, 1], cpu).unwrap();
        let keys = |layer| dropout_keys(1, layer as u64, 2, &[5, 6, 7, 8, 9]);
        let named = NamedNetwork::ALL.map(NamedNetwork::layers);
        for layers in named.into_iter().chain([layers()]) {
            let plan = Plan::new(&layers, [1, 28, 28], 10).unwrap();
            let parameters = Parameters::new(3, Init::Layers);
            let network = Network::new(&plan, parameters.builder(cpu)).unwrap();
            let mut stream = Stream::new(4, Purpose::Init, 0);
            let pixels: Vec<f32> = (0..5 * 28 * 28).map(|_| stream.normal()).collect();
            let images = Tensor::from_vec(pixels, (5, 1, 28, 28), cpu).unwrap();
            let found = network.gradients(&images, &labels, 0.3, keys).unwrap();

            let (logits, statistics) = network.forward_train(&images, keys).unwrap();
            let loss = cross_entropy(&logits, &labels).unwrap();
            let grads = (&loss * 0.3).unwrap().backward().unwrap();
            assert_eq!(found.loss as f32, loss.to_scalar::<f32>().unwrap());
            let numbers = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(numbers(&found.logits), numbers(&logits));
            assert_eq!(found.statistics.len(), statistics.len());
            for (found, expected) in found.statistics.iter().zip(&statistics) {
                assert_eq!(numbers(found.mean()), numbers(expected.mean()));
            }
            let vars = parameters.vars_in_order();
            assert!(!vars.is_empty());
            for var in vars {
                let [found, expected] =
                    [&found.grads, &grads].map(|grads| grads.get(&var).map(numbers));
                assert!(found.is_some());
                assert_eq!(found, expected);
            }
        }
    }
}
