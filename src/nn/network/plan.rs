//! What the layers of a network make of an image, worked out before anything is computed.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use super::layer::{Layer, Padding};

/// How many layers a network may have.
const MAX_LAYERS: usize = 1_000;
/// How many parameters. With what Adam remembers of each, a checkpoint then has 1.2 GB.
const MAX_PARAMETERS: usize = 100_000_000;
/// How many numbers a layer may give for one image: 64 MB.
const MAX_OUTPUTS: usize = 1 << 24;
/// How many outputs a layer may be given.
const UNITS: RangeInclusive<usize> = 1..=65_536;
const KERNEL: RangeInclusive<usize> = 1..=255;
const STRIDE: RangeInclusive<usize> = 1..=255;
/// Windows of pooling: what [`max_pool2d`](crate::nn::max_pool2d) takes.
const WINDOW: RangeInclusive<usize> = 1..=16;

/// The layers of a network with their names, shapes and parameters, for images of one size.
///
/// ```
/// use cnn_tb::nn::{NamedNetwork, Plan};
///
/// let plan = Plan::new(&NamedNetwork::Article.layers(), [1, 28, 28], 10)?;
/// let shapes: Vec<_> = plan.layers().iter().map(|layer| layer.output.to_string()).collect();
/// assert_eq!(shapes[..3], ["6x28x28", "6x14x14", "6x14x14"]);
/// assert_eq!(plan.parameters(), 104_342);
/// # Ok::<(), cnn_tb::nn::PlanError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    input: OutputShape,
    layers: Vec<PlannedLayer>,
}

/// A layer at its place in a network.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedLayer {
    /// What it is.
    pub layer: Layer,
    /// What it is called: its kind and its number among those of its kind, as `conv1`, `bn1`, `fc2`.
    /// Its parameters are named below it, as `conv1.weight`.
    pub name: String,
    /// The name of the convolution or fully connected layer that it is or follows; `input` before
    /// the first of them.
    pub stage: String,
    /// What it takes, for one image.
    pub input: OutputShape,
    /// What it gives, for one image.
    pub output: OutputShape,
    /// Trainable numbers.
    pub parameters: usize,
    /// Products of two numbers that a convolution or fully connected layer adds up for one image.
    pub multiply_adds: u64,
}

/// The shape of what a layer gives for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputShape {
    /// Channels, height and width.
    Maps([usize; 3]),
    /// So many numbers.
    Features(usize),
}

impl OutputShape {
    /// The sizes, from the outermost on.
    pub fn sizes(&self) -> &[usize] {
        match self {
            OutputShape::Maps(sizes) => sizes,
            OutputShape::Features(count) => std::slice::from_ref(count),
        }
    }

    /// How many numbers there are.
    pub fn count(&self) -> usize {
        let sizes = self.sizes().iter();
        sizes.fold(1, |product, size| product.saturating_mul(*size))
    }
}

/// As `6x28x28`.
impl fmt::Display for OutputShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<String> = self.sizes().iter().map(usize::to_string).collect();
        write!(f, "{}", sizes.join("x"))
    }
}

/// Why layers make no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is nothing to begin with.
    #[error("a network needs images and classes; there are {classes} classes of {image} images")]
    Data {
        /// Channels, height and width.
        image: OutputShape,
        /// Classes.
        classes: usize,
    },
    /// No layers, or more than can be meant.
    #[error("the network has {found} layers; it must have from 1 to 1,000")]
    Count {
        /// How many there are.
        found: usize,
    },
    /// A layer that cannot be where it is.
    #[error("layer {number} ({kind}): {problem}")]
    Layer {
        /// Its place: the first is 1.
        number: usize,
        /// Its `type` in `config.toml`.
        kind: &'static str,
        /// What was found, what was expected, and what to do.
        problem: String,
    },
}

impl Plan {
    /// Plans `layers` for images of `image` (channels, height and width) of `classes` kinds.
    ///
    /// # Errors
    /// The first layer that does not fit to the one before, or has a setting that is out of range;
    /// a last layer that is not a fully connected one without `units`; sizes beyond any machine.
    pub fn new(layers: &[Layer], image: [usize; 3], classes: usize) -> Result<Self, PlanError> {
        let input = OutputShape::Maps(image);
        if !(1..=MAX_OUTPUTS).contains(&input.count()) || !UNITS.contains(&classes) {
            let image = input;
            return Err(PlanError::Data { image, classes });
        }
        let found = layers.len();
        if !(1..=MAX_LAYERS).contains(&found) {
            return Err(PlanError::Count { found });
        }
        let mut plan = Self {
            input,
            layers: Vec::with_capacity(found),
        };
        let mut counts = BTreeMap::new();
        for (index, layer) in layers.iter().enumerate() {
            let is_last = index + 1 == found;
            let planned = plan.next(layer, is_last, classes, &mut counts);
            let planned = planned.map_err(|problem| PlanError::Layer {
                number: index + 1,
                kind: layer.kind(),
                problem,
            })?;
            plan.layers.push(planned);
        }
        Ok(plan)
    }

    /// What comes in: an image.
    pub fn input(&self) -> OutputShape {
        self.input
    }

    /// The layers, in order.
    pub fn layers(&self) -> &[PlannedLayer] {
        &self.layers
    }

    /// Trainable numbers.
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(|layer| layer.parameters).sum()
    }

    /// Whether a batch of one image has no variance that it could be normalised by: there is a batch
    /// normalisation of single numbers.
    pub fn needs_two_images(&self) -> bool {
        self.layers.iter().any(|layer| {
            layer.layer == Layer::BatchNorm {} && layer.input.count() == layer.input.sizes()[0]
        })
    }

    /// Products that convolutions and fully connected layers add up for one image.
    pub fn multiply_adds(&self) -> u64 {
        let layers = self.layers.iter();
        layers.fold(0, |sum, layer| sum.saturating_add(layer.multiply_adds))
    }

    /// Plans the layer after those that are there.
    fn next(
        &self,
        layer: &Layer,
        is_last: bool,
        classes: usize,
        counts: &mut BTreeMap<&'static str, usize>,
    ) -> Result<PlannedLayer, String> {
        let before = self.layers.last();
        let input = before.map_or(self.input, |before| before.output);
        let output = output(layer, input, is_last, classes)?;
        if output.count() > MAX_OUTPUTS {
            return Err(format!(
                "it gives {output} numbers for an image; it may give {MAX_OUTPUTS}: take fewer \
                 channels or a larger stride"
            ));
        }
        let (parameters, multiply_adds) = cost(layer, input, output);
        let all = parameters.saturating_add(self.parameters());
        if all > MAX_PARAMETERS {
            return Err(format!(
                "with it the network has {all} parameters; it may have {MAX_PARAMETERS}: take \
                 fewer units or channels, or pool more before"
            ));
        }
        let stem = match layer {
            Layer::Linear { .. } => "fc",
            Layer::BatchNorm {} => "bn",
            other => other.kind(),
        };
        let count = counts.entry(stem).or_insert(0);
        *count += 1;
        let name = format!("{stem}{count}");
        let stage = match (layer, before) {
            (Layer::Conv { .. } | Layer::Linear { .. }, _) => name.clone(),
            (_, Some(before)) => before.stage.clone(),
            (_, None) => "input".to_owned(),
        };
        Ok(PlannedLayer {
            layer: layer.clone(),
            name,
            stage,
            input,
            output,
            parameters,
            multiply_adds,
        })
    }
}

/// What a layer gives.
fn output(
    layer: &Layer,
    input: OutputShape,
    is_last: bool,
    classes: usize,
) -> Result<OutputShape, String> {
    if is_last && !matches!(layer, Layer::Linear { .. }) {
        return Err(
            "it is the last layer, which must be a linear one without units, with a number for \
             each class; add one"
                .to_owned(),
        );
    }
    match *layer {
        Layer::Conv {
            channels,
            kernel,
            stride,
            padding,
        } => {
            let [_, height, width] = maps(input)?;
            within("channels", channels, UNITS)?;
            within("kernel", kernel, KERNEL)?;
            check_padding(padding, kernel)?;
            let padding = padding.zeros(kernel);
            let [height, width] = windows([height, width], kernel, stride, padding)?;
            Ok(OutputShape::Maps([channels, height, width]))
        }
        Layer::MaxPool { size, stride } | Layer::AvgPool { size, stride } => {
            let [channels, height, width] = maps(input)?;
            within("size", size, WINDOW)?;
            let stride = stride.unwrap_or(size);
            let [height, width] = windows([height, width], size, stride, 0)?;
            Ok(OutputShape::Maps([channels, height, width]))
        }
        Layer::Dropout { rate } if !(0.0..1.0).contains(&rate) => Err(format!(
            "rate is {rate}; it must be a share from 0 to below 1"
        )),
        Layer::Dropout { .. } | Layer::BatchNorm {} | Layer::Relu {} => Ok(input),
        Layer::Linear { units } => match (units, is_last) {
            (None, true) => Ok(OutputShape::Features(classes)),
            (Some(units), true) => Err(format!(
                "it is the last layer, which has a unit for each class; leave units = {units} out"
            )),
            (None, false) => Err(
                "it has no units, as only the last layer may, which has one for each class; say \
                 how many"
                    .to_owned(),
            ),
            (Some(units), false) => {
                within("units", units, UNITS)?;
                Ok(OutputShape::Features(units))
            }
        },
    }
}

/// Parameters and multiply-adds of a layer whose shapes fit.
fn cost(layer: &Layer, input: OutputShape, output: OutputShape) -> (usize, u64) {
    // Of a weight's row, whose products an output adds up.
    let (rows, row) = match (layer, input) {
        (Layer::Conv { kernel, .. }, OutputShape::Maps([channels, ..])) => {
            (output.sizes()[0], channels * kernel * kernel)
        }
        (Layer::Linear { .. }, _) => (output.count(), input.count()),
        (Layer::BatchNorm {}, _) => return (2 * input.sizes()[0], 0),
        _ => return (0, 0),
    };
    let multiply_adds = (output.count() as u64).saturating_mul(row as u64);
    (rows.saturating_mul(row).saturating_add(rows), multiply_adds)
}

/// Channels, height and width of what comes in.
fn maps(input: OutputShape) -> Result<[usize; 3], String> {
    match input {
        OutputShape::Maps(sizes) => Ok(sizes),
        OutputShape::Features(count) => Err(format!(
            "it takes maps with height and width, but gets {count} numbers; put it before the \
             first linear layer"
        )),
    }
}

fn within(setting: &str, number: usize, range: RangeInclusive<usize>) -> Result<(), String> {
    match range.contains(&number) {
        true => Ok(()),
        false => Err(format!(
            "{setting} is {number}; it must be from {} to {}",
            range.start(),
            range.end()
        )),
    }
}

fn check_padding(padding: Padding, kernel: usize) -> Result<(), String> {
    match padding {
        Padding::Same if kernel.is_multiple_of(2) => Err(format!(
            "padding \"same\" takes an odd kernel, not {kernel}; take another kernel, or give the \
             padding as a number"
        )),
        Padding::Zeros(zeros) if zeros >= kernel => Err(format!(
            "padding is {zeros}; it must be less than the kernel, {kernel}, or windows hold \
             nothing but zeros"
        )),
        _ => Ok(()),
    }
}

/// How many windows fit below and beside each other.
fn windows(
    [height, width]: [usize; 2],
    size: usize,
    stride: usize,
    padding: usize,
) -> Result<[usize; 2], String> {
    within("stride", stride, STRIDE)?;
    if height.min(width) + 2 * padding < size {
        let padded = match padding {
            0 => String::new(),
            zeros => format!(" with padding {zeros}"),
        };
        return Err(format!(
            "windows of {size}x{size} do not fit into maps of {height}x{width}{padded}; take \
             smaller ones, or pool less before"
        ));
    }
    let count = |side: usize| (side + 2 * padding - size) / stride + 1;
    Ok([count(height), count(width)])
}
