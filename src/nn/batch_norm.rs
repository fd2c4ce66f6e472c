//! Batch normalization: the ops and the layer.

use std::sync::{Arc, Mutex, MutexGuard};

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, Var, bail};
use candle_nn::{BatchNormConfig, Init, ModuleT, VarBuilder};

use crate::nn::composed;
use crate::nn::kernel::batch_norm::{BatchNorm as Kernel, Normal, Slope};
use crate::nn::kernel::simd::InstructionSet;
use crate::nn::slice::{contiguous, f32_slice, has_kernel, to_grads, with_f32, with_f32s};
use crate::nn::tape::{Graph, Tape};

/// What the numbers of each channel of a batch are like.
#[derive(Clone, Debug)]
pub struct BatchStats {
    mean: Tensor,
    variance: Tensor,
    count: usize,
}

impl BatchStats {
    pub(super) fn new(mean: Tensor, variance: Tensor, count: usize) -> Self {
        Self {
            mean,
            variance,
            count,
        }
    }

    /// The mean of each channel, (C,).
    pub fn mean(&self) -> &Tensor {
        &self.mean
    }

    /// The variance of each channel, (C,): the mean square of the deviations, which is what the batch
    /// was divided by.
    pub fn variance(&self) -> &Tensor {
        &self.variance
    }

    /// How many numbers a channel has.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// Normalizes each channel of `input` (N, C) or (N, C, H, W) by its own mean and variance over the
/// batch, multiplies it by `weight` (C) and adds `bias` (C) (Ioffe and Szegedy, "Batch Normalization",
/// 2015). Gives the output, and the statistics, which have no gradient.
///
/// The gradients are those through mean and variance too, forward and backward a pass or two over the
/// input each: candle's composed form takes a dozen.
///
/// # Errors
/// Shapes that do not fit; a negative `eps`; channels of one number, which have no variance.
pub fn batch_norm_train(
    input: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
) -> Result<(Tensor, BatchStats)> {
    train(&mut Graph, [input, weight, bias], eps, false)
}

/// As [`batch_norm_train`], with a ReLU after it if `relu`.
fn train(
    tape: &mut impl Tape,
    [input, weight, bias]: [&Tensor; 3],
    eps: f64,
    relu: bool,
) -> Result<(Tensor, BatchStats)> {
    let kernel = check("batch_norm_train", input, [weight, bias], eps, relu)?;
    let count = input.elem_count() / kernel.channels.max(1);
    if count < 2 {
        bail!(
            "batch_norm_train: input {:?} has {count} numbers in a channel, of which there is no \
             variance; two are needed",
            input.shape()
        );
    }
    if !has_kernel(input) {
        let (output, stats) = composed::batch_norm_train(input, weight, bias, eps)?;
        return Ok((composed_relu(output, relu)?, stats));
    }
    let input = input.contiguous()?;
    let statistics = with_f32("batch_norm_train", &input, |input| {
        Ok(kernel.statistics(input))
    })?;
    let variances = statistics
        .iter()
        .map(|channel| channel.squares / channel.count);
    let op = BatchNormOp {
        kernel,
        means: statistics
            .iter()
            .map(|channel| channel.mean as f32)
            .collect(),
        rates: variances
            .clone()
            .map(|variance| rate(variance, eps))
            .collect(),
        of_batch: true,
    };
    let stats = BatchStats {
        mean: Tensor::new(&op.means[..], input.device())?,
        variance: Tensor::from_iter(variances.map(|variance| variance as f32), input.device())?,
        count,
    };
    let output = tape.apply_op3(contiguous([&input, weight, bias])?.each_ref(), op)?;
    Ok((output, stats))
}

/// Normalizes each channel of `input` (N, C) or (N, C, H, W) by the given `mean` (C) and `variance`
/// (C), which get no gradient, multiplies it by `weight` (C) and adds `bias` (C).
///
/// # Errors
/// Shapes that do not fit; a negative `eps`.
pub fn batch_norm_eval(
    input: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    evaluate(input, [weight, bias], [mean, variance], eps, false)
}

/// As [`batch_norm_eval`], with a ReLU after it if `relu`.
fn evaluate(
    input: &Tensor,
    [weight, bias]: [&Tensor; 2],
    [mean, variance]: [&Tensor; 2],
    eps: f64,
    relu: bool,
) -> Result<Tensor> {
    let kernel = check("batch_norm_eval", input, [weight, bias], eps, relu)?;
    check("batch_norm_eval", input, [mean, variance], eps, relu)?;
    if !has_kernel(input) {
        let output = composed::batch_norm_eval(input, weight, bias, mean, variance, eps)?;
        return composed_relu(output, relu);
    }
    let variances = variance.to_dtype(DType::F32)?.to_vec1::<f32>()?.into_iter();
    let op = BatchNormOp {
        kernel,
        means: mean.to_dtype(DType::F32)?.to_vec1()?,
        rates: variances
            .map(|variance| rate(variance.into(), eps))
            .collect(),
        of_batch: false,
    };
    input
        .contiguous()?
        .apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

fn composed_relu(output: Tensor, relu: bool) -> Result<Tensor> {
    if relu {
        composed::relu(&output)
    } else {
        Ok(output)
    }
}

/// One by the standard deviation.
fn rate(variance: f64, eps: f64) -> f32 {
    (1.0 / (variance + eps).sqrt()) as f32
}

fn check(
    op: &str,
    input: &Tensor,
    of_channels: [&Tensor; 2],
    eps: f64,
    relu: bool,
) -> Result<Kernel> {
    let (channels, pixels) = match *input.dims() {
        [_, channels] => (channels, 1),
        [_, channels, height, width] => (channels, height * width),
        _ => bail!(
            "{op} takes an input (N, C) or (N, C, H, W), not {:?}",
            input.shape()
        ),
    };
    if let Some(other) = of_channels.iter().find(|x| x.dims() != [channels]) {
        bail!(
            "{op}: input {:?} needs weight, bias, mean and variance of shape ({channels},), not {:?}",
            input.shape(),
            other.shape()
        );
    }
    if eps.is_nan() || eps < 0.0 {
        bail!("{op}: eps is {eps}; 0 or more is needed");
    }
    Ok(Kernel {
        channels,
        pixels,
        relu,
        instruction_set: InstructionSet::current(),
    })
}

struct BatchNormOp {
    kernel: Kernel,
    /// What is subtracted from each channel.
    means: Vec<f32>,
    /// What it is then multiplied by, the weight apart.
    rates: Vec<f32>,
    /// Whether these are the batch's own, so that they change with the input.
    of_batch: bool,
}

impl CustomOp3 for BatchNormOp {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn cpu_fwd(
        &self,
        input: &CpuStorage,
        input_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let weight = f32_slice(self.name(), weight, weight_layout)?;
        let bias = f32_slice(self.name(), bias, bias_layout)?;
        let channels = self.normals(weight, bias);
        let mut output = vec![0.0; input_layout.shape().elem_count()];
        let input = f32_slice(self.name(), input, input_layout)?;
        self.kernel.normalize(input, &channels, &mut output);
        Ok((CpuStorage::F32(output), input_layout.shape().clone()))
    }

    fn bwd(
        &self,
        input: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _output: &Tensor,
        grad_output: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut grad_input = input.track_op().then(|| vec![0.0; input.elem_count()]);
        let tensors = [input, weight, bias, grad_output];
        let sums = with_f32s(self.name(), &tensors, |slices| {
            let [input, weight, bias, grad_output] = *slices else {
                return Ok(Vec::new());
            };
            let kernel = &self.kernel;
            let normals = self.normals(weight, bias);
            let sums = kernel.gradient_sums(input, grad_output, &normals);
            if let Some(grad_input) = &mut grad_input {
                let count = input.len() / kernel.channels.max(1);
                let slopes = self.slopes(&normals, &sums, count);
                kernel.input_gradient(input, grad_output, &slopes, grad_input);
            }
            Ok(sums)
        })?;
        let rates = self.rates.iter().map(|rate| f64::from(*rate));
        let grad_weight = sums
            .iter()
            .zip(rates)
            .map(|(sums, rate)| (sums[1] * rate) as f32);
        let grad_bias = sums.iter().map(|sums| sums[0] as f32).collect();
        to_grads(
            [input, weight, bias],
            (grad_input, grad_weight.collect(), grad_bias),
        )
    }
}

impl BatchNormOp {
    fn normals(&self, weight: &[f32], bias: &[f32]) -> Vec<Normal> {
        let normal = |i: usize| Normal {
            mean: self.means[i],
            scale: weight[i] * self.rates[i],
            bias: bias[i],
        };
        (0..self.kernel.channels).map(normal).collect()
    }

    fn slopes(&self, normals: &[Normal], sums: &[[f64; 2]], count: usize) -> Vec<Slope> {
        // The input moves no statistics that come from elsewhere.
        let share = match self.of_batch {
            true => 1.0 / count as f64,
            false => 0.0,
        };
        let channels = sums.iter().enumerate();
        let slope = |(i, sums): (usize, &[f64; 2])| {
            let rate = f64::from(self.rates[i]);
            Slope {
                normal: normals[i],
                offset: (sums[0] * share) as f32,
                slope: (sums[1] * share * rate * rate) as f32,
            }
        };
        channels.map(slope).collect()
    }
}

/// A batch normalization that goes through [`batch_norm_train`] and [`batch_norm_eval`].
///
/// In training it normalizes by the statistics of the batch and moves its running statistics towards
/// them, as PyTorch does: `running = (1 − momentum) · running + momentum · batch`, with the variance
/// divided by n − 1. In evaluation it normalizes by the running statistics.
///
/// [`ModuleT::forward_t`] does both. Whoever runs parts of a batch side by side calls
/// [`forward_with_stats`](Self::forward_with_stats) for each and then [`update`](Self::update) in a
/// fixed order, since the running statistics depend on it. Clones share them.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    running_mean: Var,
    running_var: Var,
    weight_and_bias: Option<(Tensor, Tensor)>,
    eps: f64,
    momentum: f64,
    /// Whether a ReLU follows.
    relu: bool,
    /// Held while the two running statistics are read or changed: they belong together.
    running: Arc<Mutex<()>>,
}

impl BatchNorm {
    /// The running mean of each channel, (C,).
    pub fn running_mean(&self) -> &Tensor {
        self.running_mean.as_tensor()
    }

    /// The running variance of each channel, (C,), divided by n − 1.
    pub fn running_var(&self) -> &Tensor {
        self.running_var.as_tensor()
    }

    /// What is added to variances.
    pub fn eps(&self) -> f64 {
        self.eps
    }

    /// Weight and bias, (C,) each, if there are any.
    pub fn weight_and_bias(&self) -> Option<(&Tensor, &Tensor)> {
        let both = self.weight_and_bias.as_ref();
        both.map(|(weight, bias)| (weight, bias))
    }

    /// The part that a batch has in the new running statistics.
    pub fn momentum(&self) -> f64 {
        self.momentum
    }

    /// The same layer with a ReLU after it, in the same passes over memory.
    pub fn with_relu(&self) -> Self {
        Self {
            relu: true,
            ..self.clone()
        }
    }

    /// Normalizes a batch by its own statistics, and leaves the running ones alone.
    ///
    /// # Errors
    /// As [`batch_norm_train`].
    pub fn forward_with_stats(&self, input: &Tensor) -> Result<(Tensor, BatchStats)> {
        self.forward_on(&mut Graph, input)
    }

    /// As [`forward_with_stats`](Self::forward_with_stats), on a tape.
    pub(super) fn forward_on(
        &self,
        tape: &mut impl Tape,
        input: &Tensor,
    ) -> Result<(Tensor, BatchStats)> {
        let (weight, bias) = self.weight_and_bias_for(input)?;
        train(tape, [input, &weight, &bias], self.eps, self.relu)
    }

    /// Moves the running statistics towards those of a batch.
    ///
    /// # Errors
    /// Statistics of another number of channels.
    pub fn update(&self, stats: &BatchStats) -> Result<()> {
        let count = stats.count as f64;
        let unbiased = (stats.variance() * (count / (count - 1.0)))?;
        let _held = self.hold();
        for (running, batch) in [
            (&self.running_mean, stats.mean()),
            (&self.running_var, &unbiased),
        ] {
            let batch = batch.to_dtype(running.dtype())?;
            let kept = (running.as_detached_tensor() * (1.0 - self.momentum))?;
            running.set(&(kept + (batch * self.momentum)?)?)?;
        }
        Ok(())
    }

    fn forward_eval(&self, input: &Tensor) -> Result<Tensor> {
        let (weight, bias) = self.weight_and_bias_for(input)?;
        let _held = self.hold();
        let mean = self.running_mean.as_detached_tensor();
        let variance = self.running_var.as_detached_tensor();
        evaluate(
            input,
            [&weight, &bias],
            [&mean, &variance],
            self.eps,
            self.relu,
        )
    }

    /// Weight and bias, which without any are 1 and 0.
    fn weight_and_bias_for(&self, input: &Tensor) -> Result<(Tensor, Tensor)> {
        if let Some(both) = &self.weight_and_bias {
            return Ok(both.clone());
        }
        let zeros = self.running_mean.as_detached_tensor().zeros_like()?;
        let zeros = zeros.to_dtype(input.dtype())?;
        Ok((zeros.ones_like()?, zeros))
    }

    fn hold(&self) -> MutexGuard<'_, ()> {
        self.running.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl ModuleT for BatchNorm {
    fn forward_t(&self, input: &Tensor, train: bool) -> Result<Tensor> {
        if !train {
            return self.forward_eval(input);
        }
        let (output, stats) = self.forward_with_stats(input)?;
        self.update(&stats)?;
        Ok(output)
    }
}

/// A batch normalization with `candle_nn::batch_norm`'s signature, names (`weight`, `bias`,
/// `running_mean`, `running_var`) and initial values.
///
/// From [`Parameters`](crate::nn::Parameters) the running statistics come as buffers, which are saved
/// and not trained. From candle's `VarMap` they come as variables; an optimizer that is given all of
/// them finds no gradient for these.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_nn::{BatchNormConfig, ModuleT};
/// use cnn_tb::nn::{Init, Parameters, batch_norm};
///
/// let parameters = Parameters::new(7, Init::Layers);
/// let layer = batch_norm(1, BatchNormConfig::default(), parameters.builder(&Device::Cpu))?;
/// let output = layer.forward_t(&Tensor::new(&[[1f32], [3.0]], &Device::Cpu)?, true)?;
/// assert!(output.flatten_all()?.to_vec1::<f32>()?[1] > 0.999);
/// assert_eq!(layer.running_mean().to_vec1::<f32>()?, [0.2]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// A negative `eps`; a `momentum` that is not between 0 and 1; `remove_mean: false`, which PyTorch
/// does not know either; what `vb` refuses.
pub fn batch_norm(
    num_features: usize,
    config: impl Into<BatchNormConfig>,
    vb: VarBuilder<'_>,
) -> Result<BatchNorm> {
    let config = config.into();
    if config.eps.is_nan() || config.eps < 0.0 || !(0.0..=1.0).contains(&config.momentum) {
        bail!(
            "batch_norm takes an eps of 0 or more and a momentum from 0 to 1, not {} and {}",
            config.eps,
            config.momentum
        );
    }
    if !config.remove_mean {
        bail!("batch_norm always removes the mean; remove_mean: false is candle-nn's alone");
    }
    let get = |name, value| vb.get_with_hints(num_features, name, Init::Const(value));
    let weight_and_bias = match config.affine {
        true => Some((get("weight", 1.0)?, get("bias", 0.0)?)),
        false => None,
    };
    Ok(BatchNorm {
        running_mean: Var::from_tensor(&get("running_mean", 0.0)?)?,
        running_var: Var::from_tensor(&get("running_var", 1.0)?)?,
        weight_and_bias,
        eps: config.eps,
        momentum: config.momentum,
        relu: false,
        running: Arc::default(),
    })
}
