//! Dropout with masks that are functions of a key: the op.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use crate::nn::composed;
use crate::nn::kernel::dropout;
use crate::nn::kernel::simd::InstructionSet;
use crate::nn::slice::{f32_slice, has_kernel, with_f32};
use crate::nn::tape::{Graph, Tape};
use crate::random::{Purpose, Stream};

/// Sets each element of `input` (N, …) to 0 with probability `rate` and multiplies the others by
/// `1 / (1 − rate)` (Srivastava et al., "Dropout", 2014), for training alone.
///
/// Which elements of a row are set to 0 is a pure function of its key and of `rate`: it depends
/// neither on threads nor on what other rows there are, and the backward pass makes it anew instead of
/// keeping it. [`dropout_keys`] makes keys; equal ones make equal masks.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_tb::nn::{dropout, dropout_keys};
///
/// let activations = Tensor::ones((2, 100), DType::F32, &Device::Cpu)?;
/// let keys = dropout_keys(1, 0, 5, &[17, 4]); // images 17 and 4 in epoch 5
/// let output = dropout(&activations, 0.5, &keys)?;
/// let numbers = output.flatten_all()?.to_vec1::<f32>()?;
/// assert!(numbers.iter().all(|x| *x == 0.0 || *x == 2.0));
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// A rate that is not in `[0, 1)`; another number of keys than of rows.
pub fn dropout(input: &Tensor, rate: f64, keys: &[u64]) -> Result<Tensor> {
    dropout_on(&mut Graph, input, rate, keys)
}

/// As [`dropout`], on a tape.
pub(super) fn dropout_on(
    tape: &mut impl Tape,
    input: &Tensor,
    rate: f64,
    keys: &[u64],
) -> Result<Tensor> {
    if !(0.0..1.0).contains(&rate) {
        bail!("dropout takes a rate from 0 to below 1, not {rate}");
    }
    if keys.len() != input.dim(0)? {
        bail!(
            "dropout: input {:?} needs a key for each of its rows, not {}",
            input.shape(),
            keys.len()
        );
    }
    if rate == 0.0 {
        return Ok(input.clone());
    }
    if !has_kernel(input) {
        return composed::dropout(input, rate, keys);
    }
    let keys = keys.to_vec();
    tape.apply_op1(&input.contiguous()?, DropoutOp { rate, keys })
}

/// The key of each image for one layer in one epoch: a pure function of all that is given. `images`
/// are indices in the data set, not in the batch.
pub fn dropout_keys(seed: u64, layer: u64, epoch: u32, images: &[u32]) -> Vec<u64> {
    let layer_seed = Stream::new(seed, Purpose::Dropout, layer).next_u64();
    let key = |image: &u32| {
        let sample = u64::from(epoch) << 32 | u64::from(*image);
        Stream::new(layer_seed, Purpose::Dropout, sample).next_u64()
    };
    images.iter().map(key).collect()
}

struct DropoutOp {
    rate: f64,
    keys: Vec<u64>,
}

impl DropoutOp {
    fn apply(&self, numbers: &[f32]) -> Vec<f32> {
        dropout::products(InstructionSet::current(), self.rate, &self.keys, numbers)
    }
}

impl CustomOp1 for DropoutOp {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, input: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let output = self.apply(f32_slice(self.name(), input, layout)?);
        Ok((CpuStorage::F32(output), layout.shape().clone()))
    }

    fn bwd(
        &self,
        input: &Tensor,
        _output: &Tensor,
        grad_output: &Tensor,
    ) -> Result<Option<Tensor>> {
        let grad_input = with_f32(self.name(), grad_output, |grad| Ok(self.apply(grad)))?;
        Tensor::from_vec(grad_input, input.shape(), input.device()).map(Some)
    }
}
