//! The parameters of a network, and its other state: named, ordered, and with seeded initial values.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::{fs, io};

use candle_core::{DType, Device, Result, Shape, Tensor, Var, bail};
use candle_nn::init::NormalOrUniform;
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init as Hint, VarBuilder};
use safetensors::SafeTensors;

use crate::random::{Purpose, Stream, index_of};

/// Where initial values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// What each layer asks for; candle-nn's and our layers ask for Kaiming's normal weights (He
    /// et al., 2015) and small uniform biases.
    Layers,
    /// The article's: weights from a normal of σ 0.05 truncated at 2 σ, biases 0.05. What a layer asks
    /// to start at a constant does so: a batch normalization's weights would else be 0.05.
    Article,
}

/// Named parameters, created as layers ask for them.
///
/// A network built from [`Parameters::builder`] has the same initial values for the same seed on
/// every machine, and its parameters come in the order of their names; candle's `VarMap` promises
/// neither.
///
/// What a layer asks for as `running_mean` or `running_var`, the names of PyTorch and of candle-nn, is
/// a buffer: saved and loaded with the parameters, but nothing to train.
///
/// ```
/// use candle_core::Device;
/// use cnn_tb::nn::{Init, Parameters, linear};
///
/// let parameters = Parameters::new(7, Init::Layers);
/// let layer = linear(3, 2, parameters.builder(&Device::Cpu).pp("fc"))?;
/// let names: Vec<_> = parameters.named().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["fc.bias", "fc.weight"]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Parameters {
    seed: u64,
    init: Init,
    vars: Named,
    buffers: Named,
}

type Named = Arc<Mutex<BTreeMap<String, Var>>>;

impl Parameters {
    /// No parameters yet; they will start as `seed` and `init` say.
    pub fn new(seed: u64, init: Init) -> Self {
        Self {
            seed,
            init,
            vars: Named::default(),
            buffers: Named::default(),
        }
    }

    /// What layers ask for their parameters; they are f32.
    pub fn builder(&self, device: &Device) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(self.clone()), DType::F32, device.clone())
    }

    /// Every parameter with its name, in the order of the names.
    pub fn named(&self) -> Vec<(String, Var)> {
        lock(&self.vars).clone().into_iter().collect()
    }

    /// Every buffer with its name, in the order of the names: state that layers keep by themselves.
    pub fn named_buffers(&self) -> Vec<(String, Var)> {
        lock(&self.buffers).clone().into_iter().collect()
    }

    /// Every parameter, in the order of the names: what an optimizer takes.
    pub fn vars_in_order(&self) -> Vec<Var> {
        lock(&self.vars).values().cloned().collect()
    }

    /// How many numbers there are to train.
    pub fn count(&self) -> usize {
        lock(&self.vars).values().map(|var| var.elem_count()).sum()
    }

    /// Writes parameters and buffers as a safetensors file: tensors only, no metadata.
    ///
    /// A file of this name is written over; whoever wants the old one until the new one is whole
    /// gives another name and renames it.
    ///
    /// # Errors
    /// What the file system says, with the path.
    pub fn save(&self, path: &Path) -> Result<()> {
        let tensors = self.all().into_iter();
        let tensors = tensors.map(|(name, var)| (name, var.into_inner()));
        let bytes = safetensors::serialize(tensors, None)?;
        fs::write(path, bytes).map_err(|cause| {
            let message = format!("cannot write {}: {cause}", path.display());
            io::Error::new(cause.kind(), message).into()
        })
    }

    /// Sets every parameter and buffer to its value in the bytes of a safetensors file.
    ///
    /// # Errors
    /// Bytes that are no safetensors file; one that is missing there or has another shape or
    /// type. Nothing is changed then.
    pub fn load(&self, bytes: &[u8]) -> Result<()> {
        load_vars(bytes, self.all())
    }

    fn all(&self) -> Vec<(String, Var)> {
        let mut all = self.named();
        all.extend(self.named_buffers());
        all
    }

    /// Where what has this name is kept, or will be.
    fn place_of(&self, name: &str) -> &Named {
        match name.rsplit('.').next() {
            Some("running_mean" | "running_var") => &self.buffers,
            _ => &self.vars,
        }
    }

    fn initial(&self, name: &str, shape: &Shape, hint: Hint) -> Vec<f32> {
        let mut stream = Stream::new(self.seed, Purpose::Init, index_of(name));
        let count = shape.elem_count();
        if self.init == Init::Article && !matches!(hint, Hint::Const(_)) {
            return match shape.rank() {
                0 | 1 => vec![0.05; count],
                _ => (0..count)
                    .map(|_| 0.05 * stream.truncated_normal())
                    .collect(),
            };
        }
        let mut uniform = |lo: f64, up: f64| {
            (0..count)
                .map(|_| (lo + (up - lo) * f64::from(stream.uniform())) as f32)
                .collect()
        };
        let (mean, stdev) = match hint {
            Hint::Const(value) => return vec![value as f32; count],
            Hint::Uniform { lo, up } => return uniform(lo, up),
            Hint::Randn { mean, stdev } => (mean, stdev),
            Hint::Kaiming {
                dist,
                fan,
                non_linearity,
            } => {
                let stdev = non_linearity.gain() / (fan.for_shape(shape) as f64).sqrt();
                if let NormalOrUniform::Uniform = dist {
                    let bound = 3f64.sqrt() * stdev;
                    return uniform(-bound, bound);
                }
                (0.0, stdev)
            }
        };
        (0..count)
            .map(|_| (mean + stdev * f64::from(stream.normal())) as f32)
            .collect()
    }
}

fn lock(named: &Named) -> MutexGuard<'_, BTreeMap<String, Var>> {
    named.lock().unwrap_or_else(|e| e.into_inner())
}

/// Sets every variable to what stands under its name in the bytes of a safetensors file.
///
/// # Errors
/// As [`Parameters::load`].
pub(crate) fn load_vars(bytes: &[u8], vars: Vec<(String, Var)>) -> Result<()> {
    let file = SafeTensors::deserialize(bytes)?;
    let mut values = Vec::new();
    for (name, var) in vars {
        let Ok(view) = file.tensor(&name) else {
            let mut names = file.names();
            names.sort();
            bail!("no tensor named {name}; there are {names:?}");
        };
        if view.dtype() != safetensors::Dtype::F32 || view.shape() != var.dims() {
            bail!(
                "tensor {name} is {:?} of shape {:?}; this network needs F32 of {:?}",
                view.dtype(),
                view.shape(),
                var.dims()
            );
        }
        let bytes = view.data().chunks_exact(4);
        let numbers = bytes
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        values.push((
            Tensor::from_vec::<_, f32>(numbers, var.shape(), var.device())?,
            var,
        ));
    }
    values
        .into_iter()
        .try_for_each(|(value, var)| var.set(&value))
}

impl SimpleBackend for Parameters {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        hint: Hint,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let mut place = lock(self.place_of(name));
        if let Some(var) = place.get(name) {
            if var.shape() != &shape {
                bail!(
                    "parameter {name} has shape {:?}, not {shape:?}",
                    var.shape()
                );
            }
            return Ok(var.as_tensor().clone());
        }
        let values = Tensor::from_vec(self.initial(name, &shape, hint), shape, device)?;
        let var = Var::from_tensor(&values.to_dtype(dtype)?)?;
        let tensor = var.as_tensor().clone();
        place.insert(name.to_owned(), var);
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _dtype: DType, _device: &Device) -> Result<Tensor> {
        match lock(self.place_of(name)).get(name) {
            Some(var) => Ok(var.as_tensor().clone()),
            None => bail!("no parameter named {name}"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        lock(self.place_of(name)).contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::linear;

    /// A layer's weights of 3 × 2 and biases of 3.
    fn parameters(seed: u64) -> Parameters {
        let parameters = Parameters::new(seed, Init::Layers);
        linear(2, 3, parameters.builder(&Device::Cpu).pp("fc")).unwrap();
        parameters
    }

    fn numbers(parameters: &Parameters) -> Vec<Vec<f32>> {
        let vars = parameters.vars_in_order();
        vars.iter()
            .map(|var| var.flatten_all().unwrap().to_vec1().unwrap())
            .collect()
    }

    #[test]
    fn a_file_brings_every_parameter_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weights.safetensors");
        let saved = parameters(1);
        saved.save(&path).unwrap();
        let loaded = parameters(2);
        assert_ne!(numbers(&loaded), numbers(&saved));
        loaded.load(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(numbers(&loaded), numbers(&saved));

        let error = saved
            .save(&directory.path().join("no/weights"))
            .unwrap_err();
        assert!(error.to_string().contains("no/weights: "), "{error}");
    }

    /// Others may read weights as they may read any file that the user writes.
    #[cfg(unix)]
    #[test]
    fn a_file_has_the_permissions_that_the_user_gives_to_files() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let mode = |name: &str| {
            let metadata = fs::metadata(directory.path().join(name)).unwrap();
            metadata.permissions().mode()
        };
        parameters(1)
            .save(&directory.path().join("weights"))
            .unwrap();
        fs::write(directory.path().join("plain"), "").unwrap();
        assert_eq!(mode("weights"), mode("plain"));
    }

    #[test]
    fn a_file_that_does_not_fit_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weights.safetensors");
        let other = Parameters::new(1, Init::Layers);
        let builder = other.builder(&Device::Cpu);
        linear(2, 4, builder.pp("fc")).unwrap();
        other.save(&path).unwrap();
        let shape = fs::read(&path).unwrap();
        let other = Parameters::new(1, Init::Layers);
        linear(2, 3, other.builder(&Device::Cpu).pp("fc2")).unwrap();
        other.save(&path).unwrap();
        let name = fs::read(&path).unwrap();

        let parameters = parameters(2);
        let before = numbers(&parameters);
        for (bytes, expected) in [
            (
                &shape[..],
                "tensor fc.bias is F32 of shape [4]; this network needs F32 of [3]",
            ),
            (
                &name,
                "no tensor named fc.bias; there are [\"fc2.bias\", \"fc2.weight\"]",
            ),
            (&shape[..shape.len() - 1], ""),
            (b"no safetensors", ""),
        ] {
            let error = parameters.load(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(numbers(&parameters), before);
        }
    }
}
