//! Networks that have a name.

use serde::{Deserialize, Serialize};

use super::layer::{Layer, Padding};

/// A network that has a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamedNetwork {
    /// That of "Convolutional Neural Network with TensorFlow Implementation" (2017). For 28×28
    /// images of ten classes:
    ///
    /// | layer | output | parameters |
    /// |---|---|---|
    /// | convolution 5×5, 6 channels, SAME | 6×28×28 | 156 |
    /// | max-pooling 2×2, then ReLU | 6×14×14 | |
    /// | convolution 5×5, 16 channels, SAME | 16×14×14 | 2,416 |
    /// | max-pooling 2×2, then ReLU | 16×7×7 | |
    /// | fully connected, 128, then ReLU | 128 | 100,480 |
    /// | fully connected, one for each class | 10 | 1,290 |
    #[default]
    Article,
    /// LeNet-5 (LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document
    /// Recognition", 1998) as it is usually written today: ReLU for the sigmoid, max-pooling for the
    /// trained averages, every map joined with every other.
    Lenet5,
    /// Three small convolutions and two fully connected layers with batch normalization: less work than
    /// the article's, but it learns more from one epoch. Without padding the first one gives 24×24
    /// pixels, which halve to 12, 6 and 3.
    Sprint,
    /// Five 3×3 convolutions and two fully connected layers with batch normalization and a little
    /// dropout: better than the others, at 24 times the work of the article's. Where it pools, it pools
    /// first: that is one op with convolution and ReLU, and three quarters less to normalize.
    Deep,
}

impl NamedNetwork {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Article, Self::Lenet5, Self::Sprint, Self::Deep];

    /// As in `config.toml` and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            NamedNetwork::Article => "article",
            NamedNetwork::Lenet5 => "lenet5",
            NamedNetwork::Sprint => "sprint",
            NamedNetwork::Deep => "deep",
        }
    }

    /// What it consists of.
    pub fn layers(self) -> Vec<Layer> {
        match self {
            NamedNetwork::Article => article(),
            NamedNetwork::Lenet5 => lenet5(),
            NamedNetwork::Sprint => sprint(),
            NamedNetwork::Deep => deep(),
        }
    }
}

fn article() -> Vec<Layer> {
    vec![
        Layer::conv(6, 5),
        Layer::max_pool(2),
        Layer::Relu {},
        Layer::conv(16, 5),
        Layer::max_pool(2),
        Layer::Relu {},
        Layer::linear(128),
        Layer::Relu {},
        Layer::classes(),
    ]
}

fn lenet5() -> Vec<Layer> {
    vec![
        Layer::conv(6, 5),
        Layer::Relu {},
        Layer::max_pool(2),
        unpadded_conv(16, 5),
        Layer::Relu {},
        Layer::max_pool(2),
        Layer::linear(120),
        Layer::Relu {},
        Layer::linear(84),
        Layer::Relu {},
        Layer::classes(),
    ]
}

fn unpadded_conv(channels: usize, kernel: usize) -> Layer {
    Layer::Conv {
        channels,
        kernel,
        stride: 1,
        padding: Padding::Zeros(0),
    }
}

fn sprint() -> Vec<Layer> {
    vec![
        unpadded_conv(8, 5),
        Layer::max_pool(2),
        Layer::Relu {},
        Layer::conv(16, 3),
        Layer::max_pool(2),
        Layer::Relu {},
        Layer::BatchNorm {},
        Layer::conv(32, 3),
        Layer::max_pool(2),
        Layer::Relu {},
        Layer::BatchNorm {},
        Layer::linear(128),
        Layer::BatchNorm {},
        Layer::Relu {},
        Layer::classes(),
    ]
}

fn deep() -> Vec<Layer> {
    vec![
        Layer::conv(32, 3),
        Layer::BatchNorm {},
        Layer::Relu {},
        Layer::conv(32, 3),
        Layer::max_pool(2),
        Layer::Relu {},
        Layer::BatchNorm {},
        Layer::conv(64, 3),
        Layer::max_pool(2),
        Layer::Relu {},
        Layer::BatchNorm {},
        Layer::conv(64, 3),
        Layer::BatchNorm {},
        Layer::Relu {},
        Layer::conv(128, 3),
        Layer::max_pool(2),
        Layer::Relu {},
        Layer::BatchNorm {},
        Layer::Dropout { rate: 0.1 },
        Layer::linear(128),
        Layer::BatchNorm {},
        Layer::Relu {},
        Layer::Dropout { rate: 0.3 },
        Layer::classes(),
    ]
}
