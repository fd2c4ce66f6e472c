//! A finished training, read back from its run directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use candle_nn::Module;
use safetensors::SafeTensors;

use crate::nn::{Init, Layer, Network, Parameters, PlanError};
use crate::train::Config;

/// The settings, complete.
const CONFIG: &str = "config.toml";
/// The last weights.
const WEIGHTS: &str = "weights.safetensors";
/// The most classes that there can be: a label is a byte.
const MAX_CLASSES: usize = 256;
/// The largest weights that are read: a network of this kind has less than a thousandth of it.
const MAX_BYTES: u64 = 1 << 32;

/// What a training left in its run directory: `config.toml` and `weights.safetensors`.
///
/// ```no_run
/// use cnn_tb::train::Trained;
///
/// let trained = Trained::open("runs/exp1".as_ref())?;
/// let network = trained.network(28, 28, trained.classes()?)?;
/// let logits = network.logits(&[0; 28 * 28])?; // of a black image
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Trained {
    config: Config,
    config_path: PathBuf,
    weights_path: PathBuf,
    weights: Vec<u8>,
}

/// Why a run directory gives no network. The text names the file.
#[derive(Debug, thiserror::Error)]
pub enum TrainedError {
    /// The run has no such file.
    #[error("{}: holds no {name}", dir.display())]
    Missing {
        /// The directory.
        dir: PathBuf,
        /// The file that was looked for.
        name: &'static str,
    },
    /// A file cannot be read.
    #[error("{}: cannot be read: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The configuration is none.
    #[error("{}, line {line}: {message}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// The network takes no images of this size.
    #[error("{}: the network does not fit to images of {height}x{width}: {cause}", path.display())]
    Network {
        /// The file that describes it.
        path: PathBuf,
        /// Pixels below each other.
        height: usize,
        /// Pixels beside each other.
        width: usize,
        /// The layer, and what is wrong with it.
        cause: PlanError,
    },
    /// The weights are damaged, or those of another network.
    #[error("{}: {cause}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong: for another network, the first tensor that differs.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Trained {
    /// Reads both files of the run directory `dir`.
    ///
    /// # Errors
    /// A file that is missing, cannot be read, or is no configuration.
    pub fn open(dir: &Path) -> Result<Self, TrainedError> {
        let path = dir.join(CONFIG);
        let text = String::from_utf8_lossy(&read(dir, CONFIG)?).into_owned();
        let config = Config::from_toml(&text).map_err(|error| {
            // TOML's own text draws the place over several lines.
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.unwrap_or_default().matches('\n').count() + 1;
            let message = error.message().to_owned();
            TrainedError::Config {
                path: path.clone(),
                line,
                message,
            }
        })?;
        Ok(Self {
            config,
            config_path: path,
            weights: read(dir, WEIGHTS)?,
            weights_path: dir.join(WEIGHTS),
        })
    }

    /// The settings of the training.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How many classes the network tells apart, as its last layer says.
    ///
    /// # Errors
    /// Weights that are damaged, have no such layer, or more classes than labels can tell apart.
    pub fn classes(&self) -> Result<usize, TrainedError> {
        let file = SafeTensors::deserialize(&self.weights);
        let file = file.map_err(|cause| self.error(cause))?;
        let layers = self.config.network_layers();
        let is_linear = |layer: &&Layer| matches!(layer, Layer::Linear { .. });
        // The last layer has a bias for each class.
        let name = format!("fc{}.bias", layers.iter().filter(is_linear).count());
        let bias = file.tensor(&name).map_err(|cause| self.error(cause))?;
        match bias.shape() {
            // A network is made before its weights are looked at, so this number has to be sound.
            &[classes @ 1..=MAX_CLASSES] => Ok(classes),
            found => Err(TrainedError::Weights {
                path: self.weights_path.clone(),
                cause: format!(
                    "tensor {name} has the shape {found:?}, expected one number for each of 1 to \
                     {MAX_CLASSES} classes"
                )
                .into(),
            }),
        }
    }

    /// The network with these weights, on the CPU, for images of `height` × `width` pixels
    /// of `classes` kinds.
    ///
    /// # Errors
    /// A layer that does not fit to the images; weights that are damaged, or of another network: the
    /// error names the first tensor that differs, its shape and the one that is expected.
    pub fn network(
        &self,
        height: usize,
        width: usize,
        classes: usize,
    ) -> Result<TrainedNetwork, TrainedError> {
        let parameters = Parameters::new(0, Init::Layers);
        let plan = self.config.plan(height, width, classes);
        let plan = plan.map_err(|cause| TrainedError::Network {
            path: self.config_path.clone(),
            height,
            width,
            cause,
        })?;
        let network = Network::new(&plan, parameters.builder(&Device::Cpu));
        let network = network.map_err(|cause| self.error(cause))?;
        let loaded = parameters.load(&self.weights);
        loaded.map_err(|cause| self.error(cause))?;
        Ok(TrainedNetwork {
            network,
            height,
            width,
        })
    }

    fn error(&self, cause: impl std::error::Error + Send + Sync + 'static) -> TrainedError {
        TrainedError::Weights {
            path: self.weights_path.clone(),
            cause: cause.into(),
        }
    }
}

/// Images that are computed at a time.
const BATCH: usize = 500;

/// A network with its trained weights.
#[derive(Clone, Debug)]
pub struct TrainedNetwork {
    network: Network,
    height: usize,
    width: usize,
}

impl TrainedNetwork {
    /// The logits of images: N × classes numbers for N × height × width `pixels`, from 0 to 255, image
    /// by image. What is left over at the end is no image.
    ///
    /// # Errors
    /// What candle says.
    pub fn logits(&self, pixels: &[u8]) -> candle_core::Result<Vec<f32>> {
        let image_len = self.height * self.width;
        let images = pixels.len() / image_len;
        let mut logits = Vec::new();
        for batch in pixels[..images * image_len].chunks(BATCH * image_len) {
            let shape = (batch.len() / image_len, 1, self.height, self.width);
            let numbers = batch.iter().map(|pixel| f32::from(*pixel) / 255.0);
            let images = Tensor::from_vec(numbers.collect(), shape, &Device::Cpu)?;
            logits.extend(
                self.network
                    .forward(&images)?
                    .flatten_all()?
                    .to_vec1::<f32>()?,
            );
        }
        Ok(logits)
    }
}

fn read(dir: &Path, name: &'static str) -> Result<Vec<u8>, TrainedError> {
    let path = dir.join(name);
    let is_small = |metadata: &fs::Metadata| metadata.len() <= MAX_BYTES;
    match fs::metadata(&path) {
        Ok(metadata) if !is_small(&metadata) => {
            let cause = io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("{} bytes, expected at most {MAX_BYTES}", metadata.len()),
            );
            Err(TrainedError::Io { path, cause })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(TrainedError::Missing {
            dir: dir.to_owned(),
            name,
        }),
        _ => fs::read(&path).map_err(|cause| TrainedError::Io { path, cause }),
    }
}
