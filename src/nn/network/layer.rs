//! One layer of a network, as data.

use std::fmt;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One layer of a network, as a table `[[layers]]` in `config.toml` describes it.
///
/// ```
/// use cnn_tb::nn::{Layer, Padding};
///
/// let layer: Layer = toml::from_str("type = \"conv\"\nchannels = 32\nkernel = 3")?;
/// assert_eq!(layer, Layer::Conv { channels: 32, kernel: 3, stride: 1, padding: Padding::Same });
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Layer {
    /// Convolution with a square kernel, and a bias: (C, H, W) to (`channels`, H', W').
    Conv {
        /// Output channels.
        channels: usize,
        /// Height and width of the kernel.
        kernel: usize,
        /// Pixels from one window to the next.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        stride: usize,
        /// Zeros around the input.
        #[serde(default)]
        padding: Padding,
    },
    /// Batch normalisation of each channel or feature (Ioffe and Szegedy, 2015).
    BatchNorm {},
    /// The rectified linear unit.
    Relu {},
    /// The largest of each window: (C, H, W) to (C, H', W'). A window that would stick out is left
    /// out.
    MaxPool {
        /// Height and width of the windows.
        #[serde(default = "two")]
        size: usize,
        /// Pixels from one window to the next; as many as the windows are wide where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<usize>,
    },
    /// The mean of each window, as with [`MaxPool`](Self::MaxPool).
    AvgPool {
        /// Height and width of the windows.
        #[serde(default = "two")]
        size: usize,
        /// Pixels from one window to the next; as many as the windows are wide where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<usize>,
    },
    /// In training, sets a random share of the numbers to 0 and scales up the others (Srivastava et
    /// al., 2014).
    Dropout {
        /// The share, from 0 to below 1.
        rate: f64,
    },
    /// Fully connected, with a bias; images with channels are flattened.
    Linear {
        /// Outputs; the last layer has none here and one for each class.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        units: Option<usize>,
    },
}

/// Zeros around the input of a convolution, written `"same"` or as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// (kernel − 1) / 2 on each side, so that with stride 1 the size stays the same; for odd
    /// kernels.
    #[default]
    Same,
    /// So many on each side.
    Zeros(usize),
}

impl Padding {
    /// How many zeros that is on each side of the input of a convolution with so large a `kernel`.
    pub fn zeros(self, kernel: usize) -> usize {
        match self {
            Padding::Same => kernel.saturating_sub(1) / 2,
            Padding::Zeros(zeros) => zeros,
        }
    }
}

impl Layer {
    /// A convolution with stride 1 that keeps height and width.
    pub fn conv(channels: usize, kernel: usize) -> Self {
        Self::Conv {
            channels,
            kernel,
            stride: 1,
            padding: Padding::Same,
        }
    }

    /// Max-pooling of windows side by side.
    pub fn max_pool(size: usize) -> Self {
        Self::MaxPool { size, stride: None }
    }

    /// A fully connected layer inside a network.
    pub fn linear(units: usize) -> Self {
        Self::Linear { units: Some(units) }
    }

    /// The last layer of every network: fully connected, with one unit for each class.
    pub fn classes() -> Self {
        Self::Linear { units: None }
    }

    /// Its `type` in `config.toml`.
    pub fn kind(&self) -> &'static str {
        match self {
            Layer::Conv { .. } => "conv",
            Layer::BatchNorm {} => "batch_norm",
            Layer::Relu {} => "relu",
            Layer::MaxPool { .. } => "max_pool",
            Layer::AvgPool { .. } => "avg_pool",
            Layer::Dropout { .. } => "dropout",
            Layer::Linear { .. } => "linear",
        }
    }
}

/// The kind and what is not its default, as `conv 32, 3x3, stride 2`.
impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind())?;
        match self {
            Layer::Conv {
                channels,
                kernel,
                stride,
                padding,
            } => {
                write!(f, " {channels}, {kernel}x{kernel}")?;
                if *stride != 1 {
                    write!(f, ", stride {stride}")?;
                }
                match padding {
                    Padding::Same => Ok(()),
                    Padding::Zeros(zeros) => write!(f, ", padding {zeros}"),
                }
            }
            Layer::MaxPool { size, stride } | Layer::AvgPool { size, stride } => {
                write!(f, " {size}x{size}")?;
                match stride {
                    Some(stride) if stride != size => write!(f, ", stride {stride}"),
                    _ => Ok(()),
                }
            }
            Layer::Dropout { rate } => write!(f, " {rate}"),
            Layer::Linear { units: Some(units) } => write!(f, " {units}"),
            Layer::Linear { units: None } | Layer::BatchNorm {} | Layer::Relu {} => Ok(()),
        }
    }
}

fn one() -> usize {
    1
}

fn two() -> usize {
    2
}

fn is_one(number: &usize) -> bool {
    *number == 1
}

impl Serialize for Padding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Padding::Same => serializer.serialize_str("same"),
            Padding::Zeros(zeros) => zeros.serialize(serializer),
        }
    }
}

/// By hand: serde's own error for "this or that" says neither what was found nor what was expected.
impl<'de> Deserialize<'de> for Padding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PaddingVisitor)
    }
}

struct PaddingVisitor;

impl Visitor<'_> for PaddingVisitor {
    type Value = Padding;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"same\" or a number of zeros on each side")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Padding, E> {
        match text {
            "same" => Ok(Padding::Same),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Padding, E> {
        let zeros = usize::try_from(number);
        let zeros = zeros.map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))?;
        Ok(Padding::Zeros(zeros))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Padding, E> {
        let zeros = usize::try_from(number);
        let zeros = zeros.map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))?;
        Ok(Padding::Zeros(zeros))
    }
}
