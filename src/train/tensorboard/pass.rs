//! What the network gives for some images, inside and at its end.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor, bail};

use crate::nn::{Parameters, affine, conv_pool_relu, convolve, max_pool2d, relu};

/// What the article's network gives for some images.
#[derive(Debug)]
pub struct Pass {
    /// The last op of each layer, as `conv1/relu`, and what it gives for all images: (N, C, H, W) or
    /// (N, features).
    pub layers: Vec<(&'static str, Tensor)>,
    /// Each op of the convolutional layers, as `conv1/convolution`, and what it gives for the first
    /// image: (1, C, H, W). In training convolution, pooling and ReLU are one op, of which nothing
    /// can be seen inside.
    pub maps: Vec<(&'static str, Tensor)>,
    /// What the last layer gives: (N, classes).
    pub logits: Tensor,
}

impl Pass {
    /// Computes `images` (N, 1, H, W), of which there is at least one.
    ///
    /// # Errors
    /// Parameters of another network; what the device says.
    pub fn new(parameters: &Parameters, images: &Tensor) -> Result<Self> {
        let weights = Weights::new(parameters);
        let conv1 = weights.conv_pool_relu("conv1", images)?;
        let conv2 = weights.conv_pool_relu("conv2", &conv1)?;
        let fc1 = relu(&weights.affine("fc1", &conv2)?)?;
        let logits = weights.affine("fc2", &fc1)?;
        Ok(Self {
            maps: weights.maps(&images.narrow(0, 0, 1)?)?,
            layers: vec![
                ("conv1/relu", conv1),
                ("conv2/relu", conv2),
                ("fc1/relu", fc1),
                ("fc2/logits", logits.clone()),
            ],
            logits,
        })
    }
}

/// What the last hidden layer gives for `images`: (N, 128).
///
/// # Errors
/// As [`Pass::new`].
pub fn features(parameters: &Parameters, images: &Tensor) -> Result<Tensor> {
    let weights = Weights::new(parameters);
    let conv1 = weights.conv_pool_relu("conv1", images)?;
    let conv2 = weights.conv_pool_relu("conv2", &conv1)?;
    relu(&weights.affine("fc1", &conv2)?)
}

/// Parameters by name, without the past that a backward pass would follow.
struct Weights(BTreeMap<String, Tensor>);

impl Weights {
    fn new(parameters: &Parameters) -> Self {
        let named = parameters.named().into_iter();
        Self(named.map(|(name, var)| (name, var.detach())).collect())
    }

    /// What each op of both convolutional layers gives, one after the other.
    fn maps(&self, images: &Tensor) -> Result<Vec<(&'static str, Tensor)>> {
        let mut maps = Vec::new();
        let mut x = images.clone();
        for [layer, convolved, pooled, rectified] in [
            ["conv1", "conv1/convolution", "conv1/max_pool", "conv1/relu"],
            ["conv2", "conv2/convolution", "conv2/max_pool", "conv2/relu"],
        ] {
            let (weight, bias) = self.of(layer)?;
            x = convolve(&x, weight, bias, weight.dim(2)? / 2, 1)?;
            maps.push((convolved, x.clone()));
            x = max_pool2d(&x, 2, 2)?;
            maps.push((pooled, x.clone()));
            x = relu(&x)?;
            maps.push((rectified, x.clone()));
        }
        Ok(maps)
    }

    fn conv_pool_relu(&self, layer: &str, images: &Tensor) -> Result<Tensor> {
        let (weight, bias) = self.of(layer)?;
        conv_pool_relu(images, weight, bias)
    }

    fn affine(&self, layer: &str, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = self.of(layer)?;
        affine(x, weight, bias)
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

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::nn::{Article, Init};

    #[test]
    fn the_ops_one_by_one_give_what_the_layers_give() {
        let parameters = Parameters::new(0, Init::Layers);
        Article::new(8, 8, 3, parameters.builder(&Device::Cpu)).unwrap();
        let pixels: Vec<f32> = (0..128).map(|index| index as f32 / 128.0).collect();
        let images = Tensor::from_vec(pixels, (2, 1, 8, 8), &Device::Cpu).unwrap();
        let pass = Pass::new(&parameters, &images).unwrap();
        for (layer, whole) in &pass.layers[..2] {
            let (_, map) = pass.maps.iter().find(|(name, _)| name == layer).unwrap();
            let first = whole.narrow(0, 0, 1).unwrap();
            let furthest = (map - first).unwrap().abs().unwrap().max_all().unwrap();
            assert!(furthest.to_scalar::<f32>().unwrap() < 1e-5, "{layer}");
        }
        assert_eq!(pass.logits.dims(), [2, 3]);
        let none = images.narrow(0, 0, 0).unwrap();
        assert!(Pass::new(&parameters, &none).is_err());
    }
}
