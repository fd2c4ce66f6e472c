//! A training between two epochs, as a file: what it takes to go on as if nothing had happened.
//!
//! `docs/checkpoint.md` describes the file.

mod fork;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use candle_core::{Device, Tensor, Var};
use safetensors::SafeTensors;

use crate::data::Dataset;
use crate::nn::{InstructionSet, OptimizerState, Parameters, PlanError, load_vars};
use crate::train::{Config, Difference, Epoch, Metrics, Stopped};

/// The checkpoint after the last epoch that was completed.
pub const LAST: &str = "last.checkpoint";
/// The one before it.
pub const PREVIOUS: &str = "previous.checkpoint";
/// What a checkpoint is called until it is whole.
pub const PART: &str = "last.checkpoint.part";

/// The first bytes of a checkpoint; the last of them is the version of the format.
const MAGIC: &[u8; 8] = b"cnn-tb\0\x01";
/// CRC-32 (IEEE) of all that comes before it, little-endian.
const TRAILER: usize = 4;
/// The largest file that is read: one of this network has less than a thousandth of it.
const MAX_BYTES: u64 = 1 << 32;
/// The most steps of an optimizer that are believed: Adam takes them as an `f64`.
const MAX_STEPS: u64 = 1 << f64::MANTISSA_DIGITS;
/// The tensor with a row for each epoch, and its columns.
const EPOCHS: &str = "epochs";
const COLUMNS: usize = 6;
/// The tensor with an observer's notes.
const NOTES: &str = "notes";

/// A training between two epochs.
///
/// ```
/// use std::{io, path::PathBuf};
/// use cnn_tb::data::Dataset;
/// use cnn_tb::train::{Checkpoint, Config, Observer, Progress, fit, resume};
///
/// /// Keeps the last two checkpoints in a directory, and fails at the end of an epoch.
/// struct Watch { directory: PathBuf, fails_after: usize }
///
/// impl Observer for Watch {
///     fn checkpoint(&mut self, progress: &Progress<'_>) -> io::Result<()> {
///         progress.save(&self.directory, &[], false)?;
///         match progress.epochs().len() == self.fails_after {
///             true => Err(io::Error::other("the power went")),
///             false => Ok(()),
///         }
///     }
/// }
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path().to_owned();
/// # let write = |name: &str, head: &[u8], data: Vec<u8>| {
/// #     std::fs::write(directory.join(name), [head, &data].concat())
/// # };
/// # for split in ["train", "t10k"] {
/// #     let images = [0, 0, 8, 3, 0, 0, 0, 60, 0, 0, 0, 8, 0, 0, 0, 8];
/// #     let pixels = (0..60 * 64_u32).map(|n| (n * n % 251) as u8).collect();
/// #     write(&format!("{split}-images-idx3-ubyte"), &images, pixels)?;
/// #     let labels = (0..60).map(|n| n % 3).collect();
/// #     write(&format!("{split}-labels-idx1-ubyte"), &images[..3].iter().copied().chain([1, 0, 0, 0, 60]).collect::<Vec<u8>>(), labels)?;
/// # }
/// let dataset = &Dataset::open(&directory)?;
/// let config = Config { epochs: 3, ..Config::default() };
/// let mut watch = Watch { directory: directory.clone(), fails_after: 2 };
/// assert!(fit(&config, dataset, &mut watch).is_err());
///
/// let checkpoint = Checkpoint::find(&directory)?.checkpoint.expect("two epochs were completed");
/// let outcome = resume(&config, dataset, &checkpoint, &mut Watch { directory, fails_after: 9 })?;
/// assert_eq!(outcome.epochs.len(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Checkpoint {
    path: PathBuf,
    head: Head,
    epochs: Vec<Epoch>,
    notes: Vec<f32>,
    /// A safetensors file.
    tensors: Vec<u8>,
}

/// What is no tensor.
#[derive(Clone, Debug, PartialEq)]
struct Head {
    config: Config,
    instruction_set: String,
    data_crc32: u32,
    update: usize,
    optimizer_steps: usize,
    elapsed: Duration,
    /// The epoch after which the training was forked from another.
    forked_after: Option<usize>,
    end: Option<End>,
}

/// How a training has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
struct End {
    stopped: Option<Stopped>,
}

/// Why a training cannot go on from a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is not what was written: cut short, or changed. The one before may be whole.
    #[error("{}: damaged: {found}, expected {expected}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// The file is whole, but this version of the program does not know all that is in it.
    #[error("{}: {found}, which this version does not know", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// Other settings than the checkpoint's, which would give another result.
    #[error("{}: of a training with other settings: {}", path.display(), listing(differences))]
    OtherSettings {
        /// The file.
        path: PathBuf,
        /// Each setting that differs.
        differences: Vec<Difference>,
    },
    /// More or fewer epochs than before, with a schedule that stretches over all of them.
    #[error(
        "{}: of a training of {planned} epochs; the learning rates of schedule {schedule} depend on \
         their number, so with {asked} the epochs before would have been others", path.display()
    )]
    Schedule {
        /// The file.
        path: PathBuf,
        /// Epochs that were planned.
        planned: usize,
        /// Epochs that are asked for.
        asked: usize,
        /// The schedule.
        schedule: &'static str,
    },
    /// Nothing is left to train.
    #[error("{}: {completed} epochs are completed, {asked} were asked for: nothing is left to train", path.display())]
    Complete {
        /// The file.
        path: PathBuf,
        /// Epochs that were completed.
        completed: usize,
        /// Epochs that are asked for.
        asked: usize,
    },
    /// Other instructions than the checkpoint's: results would differ by rounding.
    #[error(
        "{}: of a training with the instruction set {expected}; this one has {found}, and results \
         would differ by rounding", path.display()
    )]
    OtherInstructions {
        /// The file.
        path: PathBuf,
        /// The set in use.
        found: String,
        /// The checkpoint's.
        expected: String,
    },
    /// The data set has changed.
    #[error("{}: of a training on other images or labels than {dataset}", path.display())]
    OtherData {
        /// The file.
        path: PathBuf,
        /// What the data set calls itself.
        dataset: String,
    },
    /// The network cannot be made for this data set.
    #[error("{}: the network does not fit to the images of {dataset}: {cause}", path.display())]
    Network {
        /// The file.
        path: PathBuf,
        /// What the data set calls itself.
        dataset: String,
        /// The layer, and what is wrong with it.
        cause: PlanError,
    },
    /// The network for this data set has parameters of other shapes.
    #[error(
        "{}: {parameter} is of shape {found:?}, but the network for {dataset} needs {expected:?}; only the \
         same network, with images of the same size and as many classes, can go on from it", path.display()
    )]
    OtherShape {
        /// The file.
        path: PathBuf,
        /// The parameter's name.
        parameter: String,
        /// Its shape in the file; empty where it is not there.
        found: Vec<usize>,
        /// The shape that is needed.
        expected: Vec<usize>,
        /// What the data set calls itself.
        dataset: String,
    },
}

fn listing(differences: &[Difference]) -> String {
    let lines: Vec<_> = differences.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

/// What [`Checkpoint::find`] found.
#[derive(Debug)]
pub struct Found {
    /// The newest that is whole; `None` where there is none, and a training starts anew.
    pub checkpoint: Option<Checkpoint>,
    /// Newer ones that are not, each a [`CheckpointError::Damaged`] or [`CheckpointError::Io`].
    pub damaged: Vec<CheckpointError>,
}

impl Checkpoint {
    /// Looks for a checkpoint in the run directory `directory`: the last one, or, where that is
    /// damaged, the one before.
    ///
    /// # Errors
    /// [`CheckpointError::Unknown`] for one of another version.
    pub fn find(directory: &Path) -> Result<Found, CheckpointError> {
        let mut damaged = Vec::new();
        for name in [LAST, PREVIOUS] {
            let path = directory.join(name);
            let bytes = match read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(cause) => {
                    damaged.push(CheckpointError::Io { path, cause });
                    continue;
                }
            };
            match Self::from_bytes(&path, &bytes) {
                Ok(checkpoint) => {
                    return Ok(Found {
                        checkpoint: Some(checkpoint),
                        damaged,
                    });
                }
                Err(error @ CheckpointError::Damaged { .. }) => damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(Found {
            checkpoint: None,
            damaged,
        })
    }

    /// Reads a checkpoint from the bytes of the file `path`.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`], [`CheckpointError::Unknown`].
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let damaged = |found: String, expected: &str| CheckpointError::Damaged {
            path: path.to_owned(),
            found,
            expected: expected.to_owned(),
        };
        let unknown = |found: String| CheckpointError::Unknown {
            path: path.to_owned(),
            found,
        };
        let Some((content, trailer)) = bytes.split_last_chunk::<TRAILER>() else {
            return Err(damaged(format!("{} bytes", bytes.len()), "more"));
        };
        let (found, expected) = (crc32fast::hash(content), u32::from_le_bytes(*trailer));
        if found != expected {
            let expected = format!("{expected:08x}");
            return Err(damaged(format!("CRC-32 {found:08x}"), &expected));
        }
        let tensors = match content.split_first_chunk() {
            Some((magic, tensors)) if magic == MAGIC => tensors,
            Some((magic, _)) if magic[..7] == MAGIC[..7] => {
                return Err(unknown(format!("version {} of the format", magic[7])));
            }
            _ => return Err(damaged("another beginning".to_owned(), "a checkpoint's")),
        };
        // From here on the file is as it was written.
        let (_, metadata) = SafeTensors::read_metadata(tensors)
            .map_err(|cause| unknown(format!("tensors of another kind ({cause})")))?;
        let fields = metadata.metadata().clone().unwrap_or_default();
        let head = Head::from_fields(&fields).map_err(|name| unknown(format!("field {name}")))?;
        let epochs = read_epochs(tensors).ok_or_else(|| unknown(format!("tensor {EPOCHS}")))?;
        let notes = read_notes(tensors).ok_or_else(|| unknown(format!("tensor {NOTES}")))?;
        Ok(Self {
            path: path.to_owned(),
            head,
            epochs,
            notes,
            tensors: tensors.to_vec(),
        })
    }

    /// The settings of the training.
    pub fn config(&self) -> &Config {
        &self.head.config
    }

    /// Every epoch that was completed.
    pub fn epochs(&self) -> &[Epoch] {
        &self.epochs
    }

    /// Whether the training has come to its end: its results are written.
    pub fn is_finished(&self) -> bool {
        self.head.end.is_some()
    }

    /// Why it ended before its last epoch, if it did.
    pub fn stopped(&self) -> Option<Stopped> {
        self.head.end.and_then(|end| end.stopped)
    }

    /// How long the training took so far.
    pub fn elapsed(&self) -> Duration {
        self.head.elapsed
    }

    /// What the observer wanted to remember.
    pub fn notes(&self) -> &[f32] {
        &self.notes
    }

    /// The epoch after which the training was [forked](Self::fork) from another.
    pub fn forked_after(&self) -> Option<usize> {
        self.head.forked_after
    }

    /// Optimizer updates so far.
    pub(super) fn update(&self) -> usize {
        self.head.update
    }

    /// Holds that a training with `config` on `dataset` goes on from here as if it had never
    /// stopped.
    ///
    /// # Errors
    /// [`CheckpointError`], whatever stands in the way first.
    pub fn check(&self, config: &Config, dataset: &Dataset) -> Result<(), CheckpointError> {
        let path = self.path.clone();
        let planned = self.head.config.epochs;
        let (completed, asked) = (self.epochs.len(), config.epochs);
        let with_asked = Config {
            epochs: asked,
            ..self.head.config.clone()
        };
        let differences = with_asked.differences(config);
        if !differences.is_empty() {
            return Err(CheckpointError::OtherSettings { path, differences });
        }
        if asked != planned && config.schedule.depends_on_updates() {
            let schedule = config.schedule.name();
            return Err(CheckpointError::Schedule {
                path,
                planned,
                asked,
                schedule,
            });
        }
        if completed >= asked || self.stopped().is_some() {
            return Err(CheckpointError::Complete {
                path,
                completed,
                asked,
            });
        }
        let (found, expected) = (InstructionSet::current().name(), &self.head.instruction_set);
        if found != expected {
            return Err(CheckpointError::OtherInstructions {
                path,
                found: found.to_owned(),
                expected: expected.clone(),
            });
        }
        if data_crc32(dataset) != self.head.data_crc32 {
            let dataset = dataset.name().to_owned();
            return Err(CheckpointError::OtherData { path, dataset });
        }
        let updates_per_epoch = dataset.train().len().div_ceil(config.batch_size.max(1));
        let update = completed.checked_mul(updates_per_epoch);
        let (found, steps) = (self.head.update, self.head.optimizer_steps);
        if update != Some(found) || steps as u64 > MAX_STEPS {
            let found = format!("update {found}, step {steps} after epoch {completed}");
            return Err(CheckpointError::Unknown { path, found });
        }
        Ok(())
    }

    /// Writes it into the run directory `directory`, as [`Progress::save`] does, and waits until the
    /// disk has it.
    ///
    /// # Errors
    /// What the file system says, with the path.
    pub fn save(&self, directory: &Path) -> io::Result<()> {
        write(directory, &sealed(&self.tensors), true)
    }

    /// Sets the weights and the optimizer's state; what the file has none of begins anew, as where a
    /// fork has another optimizer.
    pub(super) fn restore(
        &self,
        parameters: &Parameters,
        optimizer: &mut dyn OptimizerState,
    ) -> candle_core::Result<()> {
        let file = SafeTensors::deserialize(&self.tensors)?;
        let mut state = named_state(parameters, optimizer);
        state.retain(|(name, _)| !is_memory(name) || file.tensor(name).is_ok());
        load_vars(&self.tensors, state)?;
        optimizer.set_steps(self.head.optimizer_steps);
        Ok(())
    }
}

/// How far a training has come, at the end of an epoch: what a checkpoint is made of.
pub struct Progress<'a> {
    pub(super) config: &'a Config,
    pub(super) dataset: &'a Dataset,
    pub(super) parameters: &'a Parameters,
    pub(super) optimizer: &'a dyn OptimizerState,
    pub(super) epochs: &'a [Epoch],
    pub(super) update: usize,
    pub(super) elapsed: Duration,
    pub(super) forked_after: Option<usize>,
    pub(super) is_finished: bool,
    pub(super) stopped: Option<Stopped>,
}

impl Progress<'_> {
    /// The settings of the training.
    pub fn config(&self) -> &Config {
        self.config
    }

    /// Every epoch that was completed.
    pub fn epochs(&self) -> &[Epoch] {
        self.epochs
    }

    /// Whether the training has come to its end.
    pub fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// The bytes of a checkpoint with the observer's `notes`.
    ///
    /// # Errors
    /// What the device says.
    pub fn to_bytes(&self, notes: &[f32]) -> candle_core::Result<Vec<u8>> {
        let state = named_state(self.parameters, self.optimizer);
        let mut tensors: Vec<(String, Tensor)> = (state.into_iter())
            .map(|(name, var)| (name, var.as_detached_tensor()))
            .collect();
        tensors.push((EPOCHS.to_owned(), epochs_tensor(self.epochs)?));
        let notes = Tensor::from_slice(notes, notes.len(), &Device::Cpu)?;
        tensors.push((NOTES.to_owned(), notes));
        let head = Head {
            config: self.config.clone(),
            instruction_set: InstructionSet::current().name().to_owned(),
            data_crc32: data_crc32(self.dataset),
            update: self.update,
            optimizer_steps: self.optimizer.steps(),
            elapsed: self.elapsed,
            forked_after: self.forked_after,
            end: self.is_finished.then_some(End {
                stopped: self.stopped,
            }),
        };
        let tensors = safetensors::serialize(tensors, Some(head.to_fields()))?;
        Ok(sealed(&tensors))
    }

    /// Writes a checkpoint into the run directory `directory`, under a temporary name first; the
    /// last one becomes the one before. `notes` are numbers that the observer wants to remember: it
    /// finds them in [`Start`](crate::train::Start) when the training goes on. With `sync` it waits until the disk has it, so that it
    /// outlasts a power failure; a process that is killed loses none either way.
    ///
    /// # Errors
    /// What the file system says, with the path.
    pub fn save(&self, directory: &Path, notes: &[f32], sync: bool) -> io::Result<()> {
        let bytes = self.to_bytes(notes).map_err(io::Error::other)?;
        write(directory, &bytes, sync)
    }
}

/// A checkpoint's bytes around its safetensors file.
fn sealed(tensors: &[u8]) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], tensors].concat();
    let trailer = crc32fast::hash(&bytes);
    bytes.extend(trailer.to_le_bytes());
    bytes
}

/// Writes a checkpoint under a temporary name first; the last one becomes the one before.
fn write(directory: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
    let [part, last, previous] = [PART, LAST, PREVIOUS].map(|name| directory.join(name));
    let named = |error: io::Error| {
        let message = format!("cannot write {}: {error}", last.display());
        io::Error::new(error.kind(), message)
    };
    let write = || {
        let mut file = File::create(&part)?;
        file.write_all(bytes)?;
        if sync {
            file.sync_all()?;
        }
        match fs::rename(&last, &previous) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::rename(&part, &last)?,
        }
        // The new names are the directory's, which only Unix opens as a file.
        match sync && cfg!(unix) {
            true => File::open(directory)?.sync_all(),
            false => Ok(()),
        }
    };
    write().map_err(|error| {
        // On a full disk half a checkpoint would be in the way.
        let _ = fs::remove_file(&part);
        named(error)
    })
}

/// Whether the tensor `name` of a checkpoint is what an optimizer remembers.
fn is_memory(name: &str) -> bool {
    name.contains('/')
}

/// Every tensor of a training, with the name that it has in a checkpoint.
fn named_state(parameters: &Parameters, optimizer: &dyn OptimizerState) -> Vec<(String, Var)> {
    let mut state = parameters.named();
    let names: Vec<String> = state.iter().map(|(name, _)| name.clone()).collect();
    for (kind, vars) in optimizer.memory() {
        let named = names.iter().zip(vars);
        state.extend(named.map(|(name, var)| (format!("{kind}/{name}"), var)));
    }
    state.extend(parameters.named_buffers());
    state
}

/// A row for each epoch, whose number is that of the row.
fn epochs_tensor(epochs: &[Epoch]) -> candle_core::Result<Tensor> {
    let numbers = epochs.iter().flat_map(|epoch| {
        [
            epoch.train.loss,
            epoch.train.accuracy,
            epoch.validation.loss,
            epoch.validation.accuracy,
            epoch.images_per_sec,
            epoch.evaluation_secs,
        ]
    });
    let numbers: Vec<f64> = numbers.collect();
    Tensor::from_vec(numbers, (epochs.len(), COLUMNS), &Device::Cpu)
}

fn read_epochs(tensors: &[u8]) -> Option<Vec<Epoch>> {
    let file = SafeTensors::deserialize(tensors).ok()?;
    let view = file.tensor(EPOCHS).ok()?;
    if view.dtype() != safetensors::Dtype::F64 || view.shape().get(1) != Some(&COLUMNS) {
        return None;
    }
    let (numbers, _) = view.data().as_chunks::<8>();
    let numbers: Vec<f64> = numbers.iter().map(|b| f64::from_le_bytes(*b)).collect();
    let (rows, _) = numbers.as_chunks::<COLUMNS>();
    let epochs = (1..).zip(rows).map(|(epoch, row)| Epoch {
        epoch,
        train: Metrics {
            loss: row[0],
            accuracy: row[1],
        },
        validation: Metrics {
            loss: row[2],
            accuracy: row[3],
        },
        images_per_sec: row[4],
        evaluation_secs: row[5],
    });
    Some(epochs.collect())
}

fn read_notes(tensors: &[u8]) -> Option<Vec<f32>> {
    let file = SafeTensors::deserialize(tensors).ok()?;
    let view = file.tensor(NOTES).ok()?;
    let (numbers, _) = view.data().as_chunks::<4>();
    let is_f32 = view.dtype() == safetensors::Dtype::F32;
    is_f32.then(|| numbers.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

impl Head {
    fn to_fields(&self) -> HashMap<String, String> {
        let config = self.config.to_toml();
        let hash = format!("{:08x}", crc32fast::hash(config.as_bytes()));
        let mut fields = vec![
            ("config", config),
            ("config_crc32", hash),
            ("data_crc32", format!("{:08x}", self.data_crc32)),
            ("instruction_set", self.instruction_set.clone()),
            ("update", self.update.to_string()),
            ("optimizer_steps", self.optimizer_steps.to_string()),
            ("elapsed_nanos", self.elapsed.as_nanos().to_string()),
        ];
        if let Some(epoch) = self.forked_after {
            fields.push(("forked_after", epoch.to_string()));
        }
        if let Some(end) = self.end {
            let end = end.stopped.map_or("last_epoch", Stopped::name);
            fields.push(("end", end.to_owned()));
        }
        let fields = fields.into_iter();
        fields.map(|(name, text)| (name.to_owned(), text)).collect()
    }

    /// The name of the first field that is missing or not understood, where one is.
    fn from_fields(fields: &HashMap<String, String>) -> Result<Self, &'static str> {
        let text = |name: &'static str| fields.get(name).ok_or(name);
        let hash = |name| u32::from_str_radix(text(name)?, 16).map_err(|_| name);
        let count = |name| text(name)?.parse::<usize>().map_err(|_| name);
        let elapsed = text("elapsed_nanos")?.parse();
        let config = Config::from_toml(text("config")?).map_err(|_| "config")?;
        // A version with other settings or defaults would read the same text as something else.
        if hash("config_crc32")? != crc32fast::hash(config.to_toml().as_bytes()) {
            return Err("config");
        }
        let end = match fields.get("end").map(String::as_str) {
            None => None,
            Some("last_epoch") => Some(None),
            Some("early_stopping") => Some(Some(Stopped::EarlyStopping)),
            Some("time_limit") => Some(Some(Stopped::TimeLimit)),
            Some(_) => return Err("end"),
        };
        Ok(Self {
            config,
            instruction_set: text("instruction_set")?.clone(),
            data_crc32: hash("data_crc32")?,
            update: count("update")?,
            optimizer_steps: count("optimizer_steps")?,
            elapsed: Duration::from_nanos(elapsed.map_err(|_| "elapsed_nanos")?),
            forked_after: match fields.contains_key("forked_after") {
                true => Some(count("forked_after")?),
                false => None,
            },
            end: end.map(|stopped| End { stopped }),
        })
    }
}

/// A hash of what shows that a data set is another: all labels that are trained and validated with,
/// and the validation images. Every training image would cost more than it tells.
fn data_crc32(dataset: &Dataset) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let (train, validation) = (dataset.train(), dataset.validation());
    for bytes in [train.labels(), validation.labels(), validation.pixels()] {
        hasher.update(bytes);
    }
    hasher.finalize()
}

/// Reads a file of a size that can be believed.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
