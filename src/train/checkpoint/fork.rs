//! Another training that begins where a checkpoint is.

use std::fmt::Display;
use std::time::Duration;

use candle_core::Device;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{Checkpoint, CheckpointError, Head, NOTES, data_crc32, is_memory};
use crate::data::Dataset;
use crate::nn::{Init, InstructionSet, Network, Parameters};
use crate::train::{Config, Difference, OptimizerKind};

impl Checkpoint {
    /// In what a training with `config` on `dataset` is another than this one: settings, the
    /// instructions in use, images and labels. With some of them [`resume`](crate::train::resume)
    /// goes on all the same, as with more epochs: that is what [`check`](Self::check) says.
    pub fn differences(&self, config: &Config, dataset: &Dataset) -> Vec<Difference> {
        let mut differences = self.head.config.differences(config);
        let set = &self.head.instruction_set;
        let now = instruction_set(config).name();
        let [data, data_now] =
            [self.head.data_crc32, data_crc32(dataset)].map(|crc32| format!("{crc32:08x}"));
        for (setting, before, now) in [
            ("instruction_set", format!("{set:?}"), format!("{now:?}")),
            ("data_crc32", data, data_now),
        ] {
            let is_known = differences.iter().any(|known| known.setting == setting);
            if before != now && !is_known {
                differences.push(Difference {
                    setting: setting.to_owned(),
                    before: Some(before),
                    now: Some(now),
                });
            }
        }
        differences
    }

    /// The beginning of another training, with `config` on `dataset`: this one's weights and epochs
    /// and, where the optimizer remembers the same, its state. [`resume`](crate::train::resume) goes
    /// on from it as from any.
    ///
    /// Learning rates are those that `config` has after so many epochs. A time limit counts from here,
    /// and the observer's notes are left out.
    ///
    /// # Errors
    /// [`CheckpointError::OtherShape`] for another network, images of another size or another number of
    /// classes, [`CheckpointError::Network`] where the network does not fit to the images,
    /// [`CheckpointError::Complete`] where no epoch is left to train.
    pub fn fork(&self, config: &Config, dataset: &Dataset) -> Result<Self, CheckpointError> {
        let (completed, asked) = (self.epochs.len(), config.epochs);
        if completed >= asked {
            return Err(CheckpointError::Complete {
                path: self.path.clone(),
                completed,
                asked,
            });
        }
        self.check_shapes(config, dataset)?;
        let is_same_optimizer = remembers_moments(config) == remembers_moments(self.config());
        let updates_per_epoch = dataset.train().len().div_ceil(config.batch_size.max(1));
        let head = Head {
            config: config.clone(),
            instruction_set: instruction_set(config).name().to_owned(),
            data_crc32: data_crc32(dataset),
            update: completed.saturating_mul(updates_per_epoch),
            optimizer_steps: match is_same_optimizer {
                true => self.head.optimizer_steps,
                false => 0,
            },
            elapsed: Duration::ZERO,
            forked_after: Some(completed),
            end: None,
        };
        let tensors = self.tensors_for(&head, is_same_optimizer);
        Ok(Self {
            path: self.path.clone(),
            head,
            epochs: self.epochs.clone(),
            notes: Vec::new(),
            tensors: tensors.map_err(|cause| self.unknown_tensors(&cause))?,
        })
    }

    /// The safetensors file of a fork, without notes and perhaps without the optimizer's state.
    fn tensors_for(
        &self,
        head: &Head,
        keeps_memory: bool,
    ) -> Result<Vec<u8>, safetensors::SafeTensorError> {
        let file = SafeTensors::deserialize(&self.tensors)?;
        let mut tensors = file.tensors();
        tensors.retain(|(name, _)| name != NOTES && (keeps_memory || !is_memory(name)));
        let no_notes = TensorView::new(Dtype::F32, vec![0], &[])?;
        tensors.push((NOTES.to_owned(), no_notes));
        safetensors::serialize(tensors, Some(head.to_fields()))
    }

    /// Holds that the network of `config` for `dataset` has the parameters that are here.
    fn check_shapes(&self, config: &Config, dataset: &Dataset) -> Result<(), CheckpointError> {
        let file = SafeTensors::deserialize(&self.tensors);
        let file = file.map_err(|cause| self.unknown_tensors(&cause))?;
        let (height, width) = (dataset.height(), dataset.width());
        let plan = config.plan(height, width, dataset.classes());
        let plan = plan.map_err(|cause| CheckpointError::Network {
            path: self.path.clone(),
            dataset: dataset.name().to_owned(),
            cause,
        })?;
        let parameters = Parameters::new(0, Init::Layers);
        Network::new(&plan, parameters.builder(&Device::Cpu))
            .map_err(|cause| self.unknown_tensors(&cause))?;
        let buffers = parameters.named_buffers();
        for (parameter, var) in parameters.named().into_iter().chain(buffers) {
            let expected = var.dims().to_vec();
            let found = file.tensor(&parameter).map(|view| view.shape().to_vec());
            let found = found.unwrap_or_default();
            if found != expected {
                return Err(CheckpointError::OtherShape {
                    path: self.path.clone(),
                    parameter,
                    found,
                    expected,
                    dataset: dataset.name().to_owned(),
                });
            }
        }
        Ok(())
    }

    fn unknown_tensors(&self, cause: &dyn Display) -> CheckpointError {
        CheckpointError::Unknown {
            path: self.path.clone(),
            found: format!("tensors of another kind ({cause})"),
        }
    }
}

/// Whether the optimizer remembers what Adam and AdamW do, who can take it from each other.
fn remembers_moments(config: &Config) -> bool {
    match config.optimizer {
        OptimizerKind::Adam | OptimizerKind::Adamw => true,
        OptimizerKind::Sgd => false,
    }
}

/// The set that a training with `config` would use.
fn instruction_set(config: &Config) -> InstructionSet {
    (config.instruction_set).unwrap_or_else(InstructionSet::current)
}
