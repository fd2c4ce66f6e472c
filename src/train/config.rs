//! The configuration of a training: one flat struct, stored as `config.toml` beside the results.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::data::Augmentation;
use crate::nn::{InstructionSet, Layer, NamedNetwork, Plan, PlanError, Schedule};

/// Every setting that a training's result depends on.
///
/// [`Config::default`] is the default recipe; [`Preset::config`] gives the named ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The data set: the name of a [`Published`](crate::data::Published) one, a directory with the
    /// four IDX files, or the built-in MNIST where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// The network, by its name; where absent the one of [`layers`](Self::layers), or else the
    /// article's.
    #[serde(skip_serializing_if = "is_default_network")]
    pub network: Option<NamedNetwork>,
    /// Passes over the training images.
    pub epochs: usize,
    /// Images per optimizer update; the last batch of an epoch may be shorter.
    pub batch_size: usize,
    /// The learning rate; for a schedule that varies it, its largest value.
    pub learning_rate: f64,
    /// How gradients become updates.
    pub optimizer: OptimizerKind,
    /// Weight decay of `adamw` and `sgd`; where absent PyTorch's defaults, 0.01 and 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// The largest norm of all gradients of an update; larger ones are scaled down to it. No
    /// limit where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// How the learning rate varies over the training.
    pub schedule: Schedule,
    /// Pixels by which a training image is moved at random, up to, in each direction.
    pub shift: u32,
    /// Degrees by which a training image is turned at random, up to, either way.
    #[serde(skip_serializing_if = "is_zero")]
    pub rotation: f64,
    /// How much larger or smaller a training image becomes at random, up to: with 0.1 its sides are
    /// multiplied by 0.9 to 1.1.
    #[serde(skip_serializing_if = "is_zero")]
    pub scaling: f64,
    /// After how many epochs in a row without a lower validation loss the training ends; where
    /// absent it never ends for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<usize>,
    /// Seconds after which the training ends, with the batch that is being trained then; no limit
    /// where absent. How far a training comes in a time depends on the machine. The learning rate
    /// takes its course as if all epochs were to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_limit_secs: Option<f64>,
    /// The distribution of the initial weights.
    pub init: Init,
    /// Seed of the initial weights, of the order of the images and of how they are changed.
    pub seed: u64,
    /// Threads that compute, all of the machine's where absent. The result does not depend on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Where it is computed.
    pub device: DeviceKind,
    /// The instructions that our kernels use, the widest of the machine where absent. Between sets
    /// results differ by rounding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruction_set: Option<InstructionSet>,
    /// The network's layers, where it is none that has a name. (In a TOML file tables come last.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<Layer>>,
}

/// The article's network is not written: trainings that know no other have settings like this.
fn is_default_network(network: &Option<NamedNetwork>) -> bool {
    network.unwrap_or_default() == NamedNetwork::default()
}

/// Whether a setting is left out of `config.toml`, as in those from before there was such a setting.
fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

/// How gradients become updates of the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Adam (Kingma and Ba, 2015).
    Adam,
    /// Adam with decoupled weight decay (Loshchilov and Hutter, 2019).
    Adamw,
    /// Stochastic gradient descent with momentum 0.9.
    Sgd,
}

impl OptimizerKind {
    /// As in `config.toml` and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            OptimizerKind::Adam => "adam",
            OptimizerKind::Adamw => "adamw",
            OptimizerKind::Sgd => "sgd",
        }
    }
}

/// The distribution of the initial weights and biases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Normal with variance 2 / fan-in, small uniform biases (He et al., 2015).
    Kaiming,
    /// The article's: a normal of σ 0.05 truncated at 2 σ, biases 0.05.
    Article,
}

impl Init {
    /// As in `config.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Init::Kaiming => "kaiming",
            Init::Article => "article",
        }
    }
}

/// Where a training is computed; written `cpu`, `cuda:0` or `metal:0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceKind {
    /// The processor, through our own kernels.
    #[default]
    Cpu,
    /// The NVIDIA GPU of this number, through candle's ops (feature `cuda`).
    Cuda(usize),
    /// The Apple GPU of this number, through candle's ops (feature `metal`).
    Metal(usize),
}

impl DeviceKind {
    /// Opens the device.
    ///
    /// # Errors
    /// A device that is not there, or that this build has no feature for.
    pub fn open(self) -> candle_core::Result<Device> {
        match self {
            DeviceKind::Cpu => Ok(Device::Cpu),
            DeviceKind::Cuda(number) => Device::new_cuda(number),
            DeviceKind::Metal(number) => Device::new_metal(number),
        }
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceKind::Cpu => write!(f, "cpu"),
            DeviceKind::Cuda(number) => write!(f, "cuda:{number}"),
            DeviceKind::Metal(number) => write!(f, "metal:{number}"),
        }
    }
}

impl FromStr for DeviceKind {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let (kind, number) = text.split_once(':').unwrap_or((text, "0"));
        match (kind, number.parse()) {
            ("cpu", _) if kind == text => Ok(DeviceKind::Cpu),
            ("cuda", Ok(number)) => Ok(DeviceKind::Cuda(number)),
            ("metal", Ok(number)) => Ok(DeviceKind::Metal(number)),
            _ => Err(ConfigError {
                setting: "device",
                found: text.to_owned(),
                expected: "cpu, cuda:N or metal:N",
            }),
        }
    }
}

impl TryFrom<String> for DeviceKind {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        text.parse()
    }
}

impl From<DeviceKind> for String {
    fn from(device: DeviceKind) -> String {
        device.to_string()
    }
}

/// A named recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// 99 % in seconds.
    Default,
    /// The article's own: Adam at 1e-4, 100 epochs, its initial weights.
    Article,
    /// The shortest way to 99 %: one epoch of a small network with a high learning rate.
    Sprint,
    /// The most accurate, in minutes: a larger network, on images that are moved, turned and scaled.
    Deep,
}

impl Preset {
    /// The settings of this recipe.
    pub fn config(self) -> Config {
        match self {
            Preset::Default => Config {
                data: None,
                network: None,
                epochs: 6,
                batch_size: 100,
                learning_rate: 0.006,
                optimizer: OptimizerKind::Adam,
                weight_decay: None,
                clip_norm: None,
                schedule: Schedule::OneCycle,
                shift: 1,
                rotation: 0.0,
                scaling: 0.0,
                early_stopping: None,
                time_limit_secs: None,
                init: Init::Kaiming,
                seed: 0,
                threads: None,
                device: DeviceKind::Cpu,
                instruction_set: None,
                layers: None,
            },
            Preset::Article => Config {
                epochs: 100,
                learning_rate: 1e-4,
                schedule: Schedule::Constant,
                shift: 0,
                init: Init::Article,
                ..Config::default()
            },
            Preset::Sprint => Config {
                network: Some(NamedNetwork::Sprint),
                epochs: 1,
                learning_rate: 0.045,
                optimizer: OptimizerKind::Adamw,
                weight_decay: Some(0.03),
                ..Config::default()
            },
            Preset::Deep => Config {
                network: Some(NamedNetwork::Deep),
                epochs: 20,
                learning_rate: 0.004,
                optimizer: OptimizerKind::Adamw,
                weight_decay: Some(0.1),
                shift: 1,
                rotation: 10.0,
                scaling: 0.1,
                ..Config::default()
            },
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Preset::Default.config()
    }
}

/// A setting that cannot be trained with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{setting} is {found}; it must be {expected}")]
pub struct ConfigError {
    /// The setting's name, as in `config.toml`.
    pub setting: &'static str,
    /// What it was set to.
    pub found: String,
    /// The range of values that can be trained with.
    pub expected: &'static str,
}

/// A setting that is not the same in two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The setting's name, as in `config.toml`.
    pub setting: String,
    /// Its value before, as in `config.toml`; `None` where it was left out.
    pub before: Option<String>,
    /// Its value now.
    pub now: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, now] =
            [&self.before, &self.now].map(|value| value.as_deref().unwrap_or("none"));
        write!(f, "{} was {before}, is now {now}", self.setting)
    }
}

/// The whole numbers that a setting may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeRange {
    /// The smallest.
    pub min: u64,
    /// The largest.
    pub max: u64,
    /// Both, as errors write them.
    pub text: &'static str,
}

/// The numbers that a setting may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NumberRange {
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Both, as errors write them.
    pub text: &'static str,
}

/// The smallest number above 0.
const ABOVE_0: f64 = f64::from_bits(1);

impl Config {
    /// What [`epochs`](Self::epochs) may be.
    pub const EPOCHS: WholeRange = WholeRange {
        min: 1,
        max: 1_000_000,
        text: "from 1 to 1,000,000",
    };
    /// What [`batch_size`](Self::batch_size) may be.
    pub const BATCH_SIZE: WholeRange = WholeRange {
        min: 1,
        max: 65_536,
        text: "from 1 to 65,536",
    };
    /// What [`shift`](Self::shift) may be.
    pub const SHIFT: WholeRange = WholeRange {
        min: 0,
        max: 100,
        text: "from 0 to 100",
    };
    /// What [`rotation`](Self::rotation) may be.
    pub const ROTATION: NumberRange = NumberRange {
        min: 0.0,
        max: 180.0,
        text: "from 0 to 180 degrees",
    };
    /// What [`scaling`](Self::scaling) may be.
    pub const SCALING: NumberRange = NumberRange {
        min: 0.0,
        max: 0.5,
        text: "from 0 to 0.5",
    };
    /// What [`early_stopping`](Self::early_stopping) may be.
    pub const EARLY_STOPPING: WholeRange = Self::EPOCHS;
    /// What [`threads`](Self::threads) may be.
    pub const THREADS: WholeRange = WholeRange {
        min: 1,
        max: 1_024,
        text: "from 1 to 1,024",
    };
    /// What [`seed`](Self::seed) may be: what a TOML file can hold.
    pub const SEED: WholeRange = WholeRange {
        min: 0,
        max: i64::MAX as u64,
        text: "from 0 to 9,223,372,036,854,775,807",
    };
    /// What [`learning_rate`](Self::learning_rate) may be.
    pub const LEARNING_RATE: NumberRange = NumberRange {
        min: ABOVE_0,
        max: 100.0,
        text: "above 0 and at most 100",
    };
    /// What [`weight_decay`](Self::weight_decay) may be.
    pub const WEIGHT_DECAY: NumberRange = NumberRange {
        min: 0.0,
        max: 1.0,
        text: "from 0 to 1",
    };
    /// What [`clip_norm`](Self::clip_norm) may be.
    pub const CLIP_NORM: NumberRange = NumberRange {
        min: ABOVE_0,
        max: 1_000_000.0,
        text: "above 0 and at most 1,000,000",
    };
    /// What [`time_limit_secs`](Self::time_limit_secs) may be: up to a year.
    pub const TIME_LIMIT_SECS: NumberRange = NumberRange {
        min: ABOVE_0,
        max: 31_536_000.0,
        text: "above 0 and at most 31,536,000 seconds",
    };

    /// Holds every number against its range.
    ///
    /// # Errors
    /// The first setting out of range, with the range; a weight decay for an optimizer that has
    /// none; two networks.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_whole_numbers()?;
        for (setting, number, range) in [
            (
                "learning_rate",
                Some(self.learning_rate),
                Self::LEARNING_RATE,
            ),
            ("rotation", Some(self.rotation), Self::ROTATION),
            ("scaling", Some(self.scaling), Self::SCALING),
            ("weight_decay", self.weight_decay, Self::WEIGHT_DECAY),
            ("clip_norm", self.clip_norm, Self::CLIP_NORM),
            (
                "time_limit_secs",
                self.time_limit_secs,
                Self::TIME_LIMIT_SECS,
            ),
        ] {
            if let Some(number) = number
                && !(range.min..=range.max).contains(&number)
            {
                return Err(ConfigError {
                    setting,
                    found: number.to_string(),
                    expected: range.text,
                });
            }
        }
        if let (Some(network), Some(_)) = (self.network, &self.layers) {
            return Err(ConfigError {
                setting: "network",
                found: network.name().to_owned(),
                expected: "left out beside [[layers]], which are a network of their own",
            });
        }
        match (self.optimizer, self.weight_decay) {
            (OptimizerKind::Adam, Some(decay)) => Err(ConfigError {
                setting: "weight_decay",
                found: decay.to_string(),
                expected: "left out with optimizer adam; adamw and sgd have one",
            }),
            _ => Ok(()),
        }
    }

    fn validate_whole_numbers(&self) -> Result<(), ConfigError> {
        let threads = self.threads.map_or(Self::THREADS.min, |count| count as u64);
        let patience = (self.early_stopping).map_or(Self::EARLY_STOPPING.min, |n| n as u64);
        for (setting, number, range) in [
            ("epochs", self.epochs as u64, Self::EPOCHS),
            ("batch_size", self.batch_size as u64, Self::BATCH_SIZE),
            ("shift", u64::from(self.shift), Self::SHIFT),
            ("early_stopping", patience, Self::EARLY_STOPPING),
            ("threads", threads, Self::THREADS),
            ("seed", self.seed, Self::SEED),
        ] {
            if !(range.min..=range.max).contains(&number) {
                return Err(ConfigError {
                    setting,
                    found: number.to_string(),
                    expected: range.text,
                });
            }
        }
        Ok(())
    }

    /// How the training images of `epoch`, counted from 1, are changed at random.
    pub fn augmentation(&self, epoch: usize) -> Augmentation {
        Augmentation {
            shift: self.shift,
            rotation: self.rotation,
            scaling: self.scaling,
            seed: self.seed,
            epoch: epoch as u32,
        }
    }

    /// What the network is called: its name, or `own` for one of [`layers`](Self::layers).
    pub fn network_name(&self) -> &'static str {
        match &self.layers {
            Some(_) => "own",
            None => self.network.unwrap_or_default().name(),
        }
    }

    /// The network's layers.
    pub fn network_layers(&self) -> Vec<Layer> {
        let named = || self.network.unwrap_or_default().layers();
        self.layers.clone().unwrap_or_else(named)
    }

    /// The network for images of `height` × `width` pixels of `classes` kinds.
    ///
    /// # Errors
    /// The layer that does not fit.
    pub fn plan(&self, height: usize, width: usize, classes: usize) -> Result<Plan, PlanError> {
        Plan::new(&self.network_layers(), [1, height, width], classes)
    }

    /// The settings as the text of a `config.toml`, complete.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// The settings in which `now` differs, in the order of their names, without
    /// [`threads`](Self::threads), which no result depends on.
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let table = |config: &Self| toml::Table::try_from(config).unwrap_or_default();
        let (before, now) = (table(self), table(now));
        let settings: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
        let settings = settings.into_iter().filter(|setting| *setting != "threads");
        let differing = settings.filter(|setting| before.get(*setting) != now.get(*setting));
        let value = |table: &toml::Table, setting| table.get(setting).map(ToString::to_string);
        let differences = differing.map(|setting| Difference {
            setting: setting.clone(),
            before: value(&before, setting),
            now: value(&now, setting),
        });
        differences.collect()
    }

    /// Settings from the text of a `config.toml`; what it leaves out has its default.
    ///
    /// # Errors
    /// A text that is not TOML, an unknown setting, a value of the wrong type; the error names
    /// the line.
    pub fn from_toml(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_comes_back_from_its_toml() {
        let other = Config {
            data: Some("some/where".into()),
            threads: Some(3),
            optimizer: OptimizerKind::Sgd,
            schedule: Schedule::Cosine,
            device: DeviceKind::Cuda(1),
            instruction_set: Some(InstructionSet::Portable),
            seed: i64::MAX as u64,
            ..Preset::Article.config()
        };
        let rest = Config {
            optimizer: OptimizerKind::Adamw,
            weight_decay: Some(0.05),
            clip_norm: Some(1.5),
            rotation: 10.0,
            scaling: 0.1,
            early_stopping: Some(3),
            time_limit_secs: Some(90.0),
            ..Config::default()
        };
        for config in [
            Preset::Default.config(),
            Preset::Article.config(),
            Preset::Sprint.config(),
            Preset::Deep.config(),
            other,
            rest,
        ] {
            assert_eq!(Config::from_toml(&config.to_toml()).unwrap(), config);
            config.validate().unwrap();
            let toml = config.to_toml();
            for name in [
                config.optimizer.name(),
                config.schedule.name(),
                config.init.name(),
            ] {
                assert!(toml.contains(&format!("\"{name}\"")), "{name} in {toml}");
            }
        }
        assert_eq!(Config::from_toml("epochs = 3").unwrap().epochs, 3);
        let error = Config::from_toml("epochs = 3\nepoch_size = 1")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 2") && error.contains("epoch_size"),
            "{error}"
        );
    }

    #[test]
    fn ranges_are_named() {
        let default = Config::default;
        for (setting, config) in [
            (
                "epochs",
                Config {
                    epochs: 0,
                    ..default()
                },
            ),
            (
                "batch_size",
                Config {
                    batch_size: 0,
                    ..default()
                },
            ),
            (
                "batch_size",
                Config {
                    batch_size: usize::MAX,
                    ..default()
                },
            ),
            (
                "learning_rate",
                Config {
                    learning_rate: 0.0,
                    ..default()
                },
            ),
            (
                "learning_rate",
                Config {
                    learning_rate: -1.0,
                    ..default()
                },
            ),
            (
                "learning_rate",
                Config {
                    learning_rate: f64::NAN,
                    ..default()
                },
            ),
            (
                "learning_rate",
                Config {
                    learning_rate: f64::INFINITY,
                    ..default()
                },
            ),
            (
                "threads",
                Config {
                    threads: Some(0),
                    ..default()
                },
            ),
            (
                "early_stopping",
                Config {
                    early_stopping: Some(0),
                    ..default()
                },
            ),
            (
                "clip_norm",
                Config {
                    clip_norm: Some(0.0),
                    ..default()
                },
            ),
            (
                "weight_decay",
                Config {
                    optimizer: OptimizerKind::Sgd,
                    weight_decay: Some(-0.1),
                    ..default()
                },
            ),
            (
                "weight_decay",
                Config {
                    weight_decay: Some(0.1),
                    ..default()
                },
            ),
            (
                "rotation",
                Config {
                    rotation: 180.1,
                    ..default()
                },
            ),
            (
                "scaling",
                Config {
                    scaling: f64::NAN,
                    ..default()
                },
            ),
            (
                "time_limit_secs",
                Config {
                    time_limit_secs: Some(f64::NAN),
                    ..default()
                },
            ),
            (
                "seed",
                Config {
                    seed: u64::MAX,
                    ..default()
                },
            ),
        ] {
            let error = config.validate().unwrap_err();
            assert_eq!(error.setting, setting, "{error}");
            assert!(error.to_string().contains("it must be"), "{error}");
        }
    }

    #[test]
    fn ranges_are_written_as_they_are_held() {
        for range in [
            Config::EPOCHS,
            Config::BATCH_SIZE,
            Config::THREADS,
            Config::SEED,
        ] {
            let (min, max) = (range.min, range.max);
            assert_eq!(range.text.replace(',', ""), format!("from {min} to {max}"));
        }
    }

    #[test]
    fn devices_are_read_as_they_are_written() {
        for text in ["cpu", "cuda:0", "cuda:3", "metal:1"] {
            assert_eq!(text.parse::<DeviceKind>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(DeviceKind::Cuda(0)));
        for text in ["", "gpu", "cpu:0", "cuda:", "cuda:-1", "tpu:0"] {
            assert!(text.parse::<DeviceKind>().is_err(), "{text}");
        }
    }
}
