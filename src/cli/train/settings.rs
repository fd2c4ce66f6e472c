//! The settings of a training: a preset or a file, and the flags beside it, which win.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::ValueEnum;
use cnn_tb::nn::{InstructionSet, NotAvailable};
use cnn_tb::train::{Config, DeviceKind, NumberRange, OptimizerKind, Preset, Schedule, WholeRange};

use crate::cli::network::NetworkName;

/// The flags that set something the result depends on, and how fast it comes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Settings (a flag beside a preset or a file wins)")]
pub struct Flags {
    /// A named recipe [default: default]
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    preset: Option<PresetName>,
    /// Settings from a file, as another run's config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A data set in place of the built-in MNIST: fashion-mnist, kmnist, or a directory with four IDX
    /// files, raw or .gz; one that has such a name is written ./kmnist
    #[arg(long, value_name = "NAME|DIR")]
    data: Option<PathBuf>,
    /// A network that has a name; one of your own is written in a file, as [[layers]] [default:
    /// article]
    #[arg(long, value_name = "NAME")]
    network: Option<NetworkName>,
    /// Passes over the training images, from 1
    #[arg(long, value_name = "N", value_parser = whole::<usize>(Config::EPOCHS), allow_negative_numbers = true)]
    epochs: Option<usize>,
    /// Images per optimizer update, from 1
    #[arg(long, value_name = "N", value_parser = whole::<usize>(Config::BATCH_SIZE), allow_negative_numbers = true)]
    batch_size: Option<usize>,
    /// The learning rate, above 0; the largest one where a schedule varies it
    #[arg(
        long,
        value_name = "RATE",
        visible_alias = "lr",
        value_parser = number(Config::LEARNING_RATE),
        allow_negative_numbers = true
    )]
    learning_rate: Option<f64>,
    /// How gradients become updates
    #[arg(long, value_name = "NAME")]
    optimizer: Option<OptimizerName>,
    /// How much of each weight is taken away at an update, times the learning rate (adamw, sgd)
    /// [default: 0.01 with adamw, 0 with sgd]
    #[arg(long, value_name = "X", value_parser = number(Config::WEIGHT_DECAY), allow_negative_numbers = true)]
    weight_decay: Option<f64>,
    /// The largest norm of all gradients of an update; larger ones are scaled down [default: none]
    #[arg(long, value_name = "X", value_parser = number(Config::CLIP_NORM), allow_negative_numbers = true)]
    clip_norm: Option<f64>,
    /// How the learning rate varies over the training
    #[arg(long, value_name = "NAME")]
    schedule: Option<ScheduleName>,
    /// Pixels by which each training image is moved at random, up to, in each direction; 0 for none
    #[arg(long, value_name = "N", value_parser = whole::<u32>(Config::SHIFT), allow_negative_numbers = true)]
    shift: Option<u32>,
    /// Degrees by which each training image is turned at random, up to, either way; 0 for none
    #[arg(long, value_name = "DEGREES", value_parser = number(Config::ROTATION), allow_negative_numbers = true)]
    rotation: Option<f64>,
    /// How much larger or smaller each training image becomes at random, up to: 0.1 for 0.9 to 1.1
    /// times its size; 0 for none
    #[arg(long, value_name = "FRACTION", value_parser = number(Config::SCALING), allow_negative_numbers = true)]
    scaling: Option<f64>,
    /// End after N epochs in a row without a lower validation loss; the weights saved are the last
    /// ones, not those of the best epoch
    #[arg(long, value_name = "N", value_parser = whole::<usize>(Config::EARLY_STOPPING), allow_negative_numbers = true)]
    early_stopping: Option<usize>,
    /// End with the first batch after this time, in seconds or as 90s, 2m, 1h; the epoch that is cut
    /// counts as the last, and the test images are read as always
    #[arg(long, value_name = "SECS", value_parser = seconds, allow_hyphen_values = true)]
    time_limit: Option<f64>,
    /// Seed of the initial weights, of the order of the images and of how they are changed
    #[arg(long, value_name = "N", value_parser = whole::<u64>(Config::SEED), allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Threads that compute; the result does not depend on it [default: all]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(Config::THREADS), allow_negative_numbers = true)]
    threads: Option<usize>,
    /// Where it is computed: cpu, cuda:N or metal:N [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceKind>,
    /// The instructions of our kernels, for measuring: portable, neon, avx2 or avx512 [default: the
    /// widest of this machine]
    #[arg(long, value_name = "NAME", value_parser = instruction_set)]
    instruction_set: Option<InstructionSet>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PresetName {
    /// 99 % in seconds
    Default,
    /// The article's own: Adam at 0.0001, 100 epochs, its initial weights
    Article,
    /// The shortest way to 99 %: one epoch of the network sprint
    Sprint,
    /// The most accurate, in minutes: the network deep, on images that are moved, turned and scaled
    Deep,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OptimizerName {
    /// Adam
    Adam,
    /// Adam with decoupled weight decay
    Adamw,
    /// Stochastic gradient descent with momentum 0.9
    Sgd,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScheduleName {
    /// Always the same
    Constant,
    /// A tenth after 60 % of the updates, a hundredth after 85 %
    Step,
    /// Half a cosine down to 0
    Cosine,
    /// Up over the first 30 % of the updates, then down to nearly nothing
    OneCycle,
}

/// Reads a whole number within `range`, which the error names.
fn whole<T: TryFrom<u64>>(range: WholeRange) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok();
        number
            .filter(|number| (range.min..=range.max).contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("it must be a whole number {}", range.text))
    }
}

/// Reads a number, which [`Config::validate`] holds against `range`.
fn number(range: NumberRange) -> impl Fn(&str) -> Result<f64, String> + Clone {
    move |text| {
        let to_error = |_| format!("it must be a number {}", range.text);
        text.parse().map_err(to_error)
    }
}

/// Reads a time, which [`Config::validate`] holds against its range.
fn seconds(text: &str) -> Result<f64, String> {
    let units = [("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let with_unit = units
        .into_iter()
        .find_map(|(unit, secs)| Some((text.strip_suffix(unit)?, secs)));
    let (count, secs) = with_unit.unwrap_or((text, 1.0));
    let to_error = |_| {
        let range = Config::TIME_LIMIT_SECS.text;
        format!("it must be a time {range}, written as 90, 90s, 2m or 1h")
    };
    count
        .parse()
        .map(|count: f64| count * secs)
        .map_err(to_error)
}

/// An instruction set of this machine.
fn instruction_set(name: &str) -> Result<InstructionSet, String> {
    let set = InstructionSet::ALL
        .into_iter()
        .find(|set| set.name() == name);
    let Some(set) = set else {
        let names: Vec<_> = InstructionSet::ALL.map(InstructionSet::name).into();
        return Err(format!("it must be one of {}", names.join(", ")));
    };
    match InstructionSet::available().contains(&set) {
        true => Ok(set),
        false => Err(NotAvailable { asked: set }.to_string()),
    }
}

impl Flags {
    /// The settings that these flags ask for, all within their ranges.
    pub fn config(&self) -> anyhow::Result<Config> {
        self.config_over(Config::default())
    }

    /// As [`config`](Self::config), with `base` in place of the default where no preset and no file
    /// is named.
    pub fn config_over(&self, base: Config) -> anyhow::Result<Config> {
        let mut config = self.base(base)?;
        if let Some(data) = &self.data {
            config.data = Some(data.clone());
        }
        if let Some(network) = self.network {
            config.network = Some(network.network());
            config.layers = None;
        }
        config.epochs = self.epochs.unwrap_or(config.epochs);
        config.batch_size = self.batch_size.unwrap_or(config.batch_size);
        config.learning_rate = self.learning_rate.unwrap_or(config.learning_rate);
        config.optimizer = self.optimizer.map_or(config.optimizer, OptimizerName::kind);
        config.weight_decay = self.weight_decay.or(config.weight_decay);
        config.clip_norm = self.clip_norm.or(config.clip_norm);
        config.schedule = self
            .schedule
            .map_or(config.schedule, ScheduleName::schedule);
        config.shift = self.shift.unwrap_or(config.shift);
        config.rotation = self.rotation.unwrap_or(config.rotation);
        config.scaling = self.scaling.unwrap_or(config.scaling);
        config.early_stopping = self.early_stopping.or(config.early_stopping);
        config.time_limit_secs = self.time_limit.or(config.time_limit_secs);
        config.seed = self.seed.unwrap_or(config.seed);
        config.threads = self.threads.or(config.threads);
        config.device = self.device.unwrap_or(config.device);
        config.instruction_set = self.instruction_set.or(config.instruction_set);
        config.validate()?;
        if let Some(data) = &config.data
            && data.to_str().is_none()
        {
            let data = data.display();
            anyhow::bail!(
                "the name of {data} is not Unicode, which config.toml cannot hold; rename it"
            );
        }
        config
            .device
            .open()
            .with_context(|| format!("device {}", config.device))?;
        Ok(config)
    }

    /// What the flags are laid over.
    fn base(&self, base: Config) -> anyhow::Result<Config> {
        let Some(path) = &self.config else {
            return Ok(self.preset.map_or(base, |name| name.preset().config()));
        };
        read(path)
    }
}

/// The settings in the file `path`.
pub fn read(path: &Path) -> anyhow::Result<Config> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(path, &text)
}

/// The settings in the `text` of the file `path`.
pub fn parse(path: &Path, text: &str) -> anyhow::Result<Config> {
    Config::from_toml(text).map_err(|error| {
        // TOML's own text draws the place over several lines.
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.unwrap_or_default().matches('\n').count() + 1;
        anyhow!("{}, line {line}: {}", path.display(), error.message())
    })
}

impl PresetName {
    fn preset(self) -> Preset {
        match self {
            PresetName::Default => Preset::Default,
            PresetName::Article => Preset::Article,
            PresetName::Sprint => Preset::Sprint,
            PresetName::Deep => Preset::Deep,
        }
    }
}

impl OptimizerName {
    fn kind(self) -> OptimizerKind {
        match self {
            OptimizerName::Adam => OptimizerKind::Adam,
            OptimizerName::Adamw => OptimizerKind::Adamw,
            OptimizerName::Sgd => OptimizerKind::Sgd,
        }
    }
}

impl ScheduleName {
    fn schedule(self) -> Schedule {
        match self {
            ScheduleName::Constant => Schedule::Constant,
            ScheduleName::Step => Schedule::Step,
            ScheduleName::Cosine => Schedule::Cosine,
            ScheduleName::OneCycle => Schedule::OneCycle,
        }
    }
}
