//! What each op of the network gives for some images.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor, bail};

use crate::nn::{Parameters, affine, conv_pool_relu, convolve, max_pool2d, relu};

/// The outputs of every op of the article's network, from the images on. In training convolution,
/// pooling and ReLU are one op, of which nothing can be seen inside.
#[derive(Debug)]
pub struct Pass {
    /// Each op's name, as `conv1/relu`, and what it gives: (N, C, H, W) or (N, features).
    pub outputs: Vec<(&'static str, Tensor)>,
    /// What the last gives: (N, classes).
    pub logits: Tensor,
}

impl Pass {
    /// Computes `images` (N, 1, H, W), op by op.
    ///
    /// # Errors
    /// Parameters of another network; what the device says.
    pub fn new(parameters: &Parameters, images: &Tensor) -> Result<Self> {
        let weights = Weights::new(parameters);
        let mut outputs = Vec::new();
        let mut x = images.clone();
        for [layer, convolved, pooled, rectified] in [
            ["conv1", "conv1/convolution", "conv1/max_pool", "conv1/relu"],
            ["conv2", "conv2/convolution", "conv2/max_pool", "conv2/relu"],
        ] {
            let (weight, bias) = weights.of(layer)?;
            x = convolve(&x, weight, bias, weight.dim(2)? / 2, 1)?;
            outputs.push((convolved, x.clone()));
            x = max_pool2d(&x, 2, 2)?;
            outputs.push((pooled, x.clone()));
            x = relu(&x)?;
            outputs.push((rectified, x.clone()));
        }
        let (weight, bias) = weights.of("fc1")?;
        x = relu(&affine(&x, weight, bias)?)?;
        outputs.push(("fc1/relu", x.clone()));
        let (weight, bias) = weights.of("fc2")?;
        let logits = affine(&x, weight, bias)?;
        outputs.push(("fc2/logits", logits.clone()));
        Ok(Self { outputs, logits })
    }
}

/// What the last hidden layer gives for `images`: (N, 128).
///
/// # Errors
/// As [`Pass::new`].
pub fn features(parameters: &Parameters, images: &Tensor) -> Result<Tensor> {
    let weights = Weights::new(parameters);
    let mut x = images.clone();
    for layer in ["conv1", "conv2"] {
        let (weight, bias) = weights.of(layer)?;
        x = conv_pool_relu(&x, weight, bias)?;
    }
    let (weight, bias) = weights.of("fc1")?;
    relu(&affine(&x, weight, bias)?)
}

/// Parameters by name, without the past that a backward pass would follow.
struct Weights(BTreeMap<String, Tensor>);

impl Weights {
    fn new(parameters: &Parameters) -> Self {
        let named = parameters.named().into_iter();
        Self(named.map(|(name, var)| (name, var.detach())).collect())
    }

    /// Weight and bias of a layer.
    fn of(&self, layer: &str) -> Result<(&Tensor, &Tensor)> {
        let get = |name: &str| self.0.get(&format!("{layer}.{name}"));
        match (get("weight"), get("bias")) {
            (Some(weight), Some(bias)) => Ok((weight, bias)),
            _ => bail!("the network has no layer {layer}"),
        }
    }
}
