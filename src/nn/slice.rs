//! From candle's tensors to the slices that kernels work on.

use candle_core::{CpuStorage, DType, Device, Layout, Result, Storage, Tensor, bail};

/// The numbers of a tensor inside a custom op, which must lie one after the other on the CPU.
pub fn f32_slice<'a>(op: &str, storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let CpuStorage::F32(numbers) = storage else {
        bail!("{op} takes f32 tensors, not {:?}", storage_dtype(storage));
    };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&numbers[start..end]),
        None => bail!(
            "{op} takes contiguous tensors, not strides {:?}",
            layout.stride()
        ),
    }
}

/// As [`f32_slice`], to be changed.
pub fn f32_slice_mut<'a>(
    op: &str,
    storage: &'a mut CpuStorage,
    layout: &Layout,
) -> Result<&'a mut [f32]> {
    let dtype = storage_dtype(storage);
    let CpuStorage::F32(numbers) = storage else {
        bail!("{op} takes f32 tensors, not {dtype:?}");
    };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&mut numbers[start..end]),
        None => bail!(
            "{op} takes contiguous tensors, not strides {:?}",
            layout.stride()
        ),
    }
}

/// Calls `read` with the numbers of an f32 tensor on the CPU, copied only if they lie scattered.
pub fn with_f32<T>(op: &str, tensor: &Tensor, read: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => read(f32_slice(op, storage, layout)?),
        _ => bail!("{op} runs on the CPU"),
    }
}

/// As [`with_f32`], for several tensors.
pub fn with_f32s<T>(
    op: &str,
    tensors: &[&Tensor],
    read: impl FnOnce(&[&[f32]]) -> Result<T>,
) -> Result<T> {
    let tensors = tensors.iter().map(|tensor| tensor.contiguous());
    let tensors = tensors.collect::<Result<Vec<_>>>()?;
    let locked: Vec<_> = tensors.iter().map(Tensor::storage_and_layout).collect();
    let slices = locked.iter().map(|(storage, layout)| match &**storage {
        Storage::Cpu(storage) => f32_slice(op, storage, layout),
        _ => bail!("{op} runs on the CPU"),
    });
    read(&slices.collect::<Result<Vec<_>>>()?)
}

/// The tensors, those that lie scattered copied.
pub fn contiguous(tensors: [&Tensor; 3]) -> Result<[Tensor; 3]> {
    let [input, weight, bias] = tensors.map(Tensor::contiguous);
    Ok([input?, weight?, bias?])
}

/// The gradients of a layer's input, weight and bias as tensors of their shapes: what `bwd` of a
/// [`candle_core::CustomOp3`] gives.
pub fn to_grads(
    [input, weight, bias]: [&Tensor; 3],
    (grad_input, grad_weight, grad_bias): (Option<Vec<f32>>, Vec<f32>, Vec<f32>),
) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
    let like = |tensor: &Tensor, grad| Tensor::from_vec(grad, tensor.shape(), tensor.device());
    Ok((
        grad_input.map(|grad| like(input, grad)).transpose()?,
        Some(like(weight, grad_weight)?),
        Some(like(bias, grad_bias)?),
    ))
}

/// Whether a tensor can go through our own kernels: f32 on the CPU. Others take candle's ops.
pub fn has_kernel(tensor: &Tensor) -> bool {
    matches!(tensor.device(), Device::Cpu) && tensor.dtype() == DType::F32
}

fn storage_dtype(storage: &CpuStorage) -> DType {
    use candle_core::backend::BackendStorage as _;
    storage.dtype()
}
