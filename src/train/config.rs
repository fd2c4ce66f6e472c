//! The configuration of a training: one flat struct, stored as `config.toml` beside the results.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::nn::Schedule;

/// Every setting that a training's result depends on.
///
/// [`Config::default`] is the default recipe; [`Preset::config`] gives the named ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The data set: a directory with the four IDX files, or the built-in MNIST where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// Passes over the training images.
    pub epochs: usize,
    /// Images per optimizer update; the last batch of an epoch may be shorter.
    pub batch_size: usize,
    /// The learning rate; for a schedule that varies it, its largest value.
    pub learning_rate: f64,
    /// How gradients become updates.
    pub optimizer: OptimizerKind,
    /// How the learning rate varies over the training.
    pub schedule: Schedule,
    /// Pixels by which a training image is moved at random, up to, in each direction.
    pub shift: u32,
    /// The distribution of the initial weights.
    pub init: Init,
    /// Seed of the initial weights and of the order of the images.
    pub seed: u64,
    /// Threads that compute, all of the machine's where absent. The result does not depend on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Where it is computed.
    pub device: DeviceKind,
}

/// How gradients become updates of the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Adam (Kingma and Ba, 2015).
    Adam,
    /// Stochastic gradient descent with momentum 0.9.
    Sgd,
}

impl OptimizerKind {
    /// As in `config.toml` and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            OptimizerKind::Adam => "adam",
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
}

impl Preset {
    /// The settings of this recipe.
    pub fn config(self) -> Config {
        match self {
            Preset::Default => Config {
                data: None,
                epochs: 6,
                batch_size: 100,
                learning_rate: 0.006,
                optimizer: OptimizerKind::Adam,
                schedule: Schedule::OneCycle,
                shift: 1,
                init: Init::Kaiming,
                seed: 0,
                threads: None,
                device: DeviceKind::Cpu,
            },
            Preset::Article => Config {
                epochs: 100,
                learning_rate: 1e-4,
                schedule: Schedule::Constant,
                shift: 0,
                init: Init::Article,
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
    /// What [`learning_rate`](Self::learning_rate) may be, as errors write it.
    pub const LEARNING_RATE: &str = "above 0 and at most 100";

    /// Holds every number against its range.
    ///
    /// # Errors
    /// The first setting out of range, with the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let threads = self.threads.map_or(Self::THREADS.min, |count| count as u64);
        for (setting, number, range) in [
            ("epochs", self.epochs as u64, Self::EPOCHS),
            ("batch_size", self.batch_size as u64, Self::BATCH_SIZE),
            ("shift", u64::from(self.shift), Self::SHIFT),
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
        if !(self.learning_rate > 0.0 && self.learning_rate <= 100.0) {
            return Err(ConfigError {
                setting: "learning_rate",
                found: self.learning_rate.to_string(),
                expected: Self::LEARNING_RATE,
            });
        }
        Ok(())
    }

    /// The settings as the text of a `config.toml`, complete.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
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
            seed: i64::MAX as u64,
            ..Preset::Article.config()
        };
        for config in [Preset::Default.config(), Preset::Article.config(), other] {
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
