//! The article's network.

use candle_core::{Result, Tensor, bail};
use candle_nn::{Conv2dConfig, Module, VarBuilder};

use crate::nn::{Conv2d, Linear, conv_pool_relu, conv2d, linear, relu};

/// The network of "Convolutional Neural Network with TensorFlow Implementation" (2017):
///
/// | layer | output for 28×28 | parameters |
/// |---|---|---|
/// | convolution 5×5, 6 channels, SAME | 6×28×28 | 156 |
/// | max-pooling 2×2, then ReLU | 6×14×14 | |
/// | convolution 5×5, 16 channels, SAME | 16×14×14 | 2,416 |
/// | max-pooling 2×2, then ReLU | 16×7×7 | |
/// | fully connected, 128, then ReLU | 128 | 100,480 |
/// | fully connected, one for each class | 10 | 1,290 |
///
/// It takes images (N, 1, H, W), numbers from 0 to 1, and gives logits (N, classes). Its
/// parameters are named `conv1.weight`, `conv1.bias`, `conv2.…`, `fc1.…` and `fc2.…` and have
/// PyTorch's shapes.
#[derive(Clone, Debug)]
pub struct Article {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
}

impl Article {
    /// The network for `height`×`width` images of `classes` kinds.
    ///
    /// # Errors
    /// Images of less than 4×4, of which pooling twice leaves nothing; what `vb` refuses.
    pub fn new(height: usize, width: usize, classes: usize, vb: VarBuilder<'_>) -> Result<Self> {
        if height.min(width) < 4 {
            bail!("the article's network needs images of at least 4x4, not {height}x{width}");
        }
        let same = Conv2dConfig {
            padding: 2,
            ..Conv2dConfig::default()
        };
        Ok(Self {
            conv1: conv2d(1, 6, 5, same, vb.pp("conv1"))?,
            conv2: conv2d(6, 16, 5, same, vb.pp("conv2"))?,
            fc1: linear(16 * (height / 2 / 2) * (width / 2 / 2), 128, vb.pp("fc1"))?,
            fc2: linear(128, classes, vb.pp("fc2"))?,
        })
    }
}

impl Module for Article {
    fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let x = conv_pool_relu(images, self.conv1.weight(), self.conv1.bias())?; // (N, 6, 14, 14)
        let x = conv_pool_relu(&x, self.conv2.weight(), self.conv2.bias())?; // (N, 16, 7, 7)
        let x = relu(&self.fc1.forward(&x)?)?; // (N, 128)
        self.fc2.forward(&x) // (N, classes)
    }
}
