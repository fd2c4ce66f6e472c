//! Pooling: the ops.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use crate::nn::composed;
use crate::nn::kernel::pool::Pool;
use crate::nn::kernel::simd::InstructionSet;
use crate::nn::slice::{f32_slice, has_kernel, with_f32};
use crate::nn::tape::{Graph, Tape};

/// The largest value of each `kernel_size` × `kernel_size` window of `input` (N, C, H, W), windows
/// `stride` apart; a window that would stick out is left out. The output is
/// (N, C, (H − K) / stride + 1, …).
///
/// The gradient of a window goes to its largest value, the first in row-major order among equal
/// ones, and NaN wins over numbers: all as in PyTorch. (candle-core 0.11 spreads a quarter of it.)
///
/// Tensors that are not f32 on the CPU go through candle's own ops; these need
/// `kernel_size == stride`.
///
/// # Errors
/// A window that does not fit into the input or is larger than 16; a stride of 0.
pub fn max_pool2d(input: &Tensor, kernel_size: usize, stride: usize) -> Result<Tensor> {
    max_pool2d_on(&mut Graph, input, kernel_size, stride)
}

/// As [`max_pool2d`], on a tape.
pub(super) fn max_pool2d_on(
    tape: &mut impl Tape,
    input: &Tensor,
    kernel_size: usize,
    stride: usize,
) -> Result<Tensor> {
    let (_, _, height, width) = input.dims4()?;
    if !(1..=16).contains(&kernel_size) || stride == 0 || height.min(width) < kernel_size {
        bail!(
            "max_pool2d: windows of {kernel_size} (1 to 16) with stride {stride} do not fit into \
             {height}x{width}"
        );
    }
    if !has_kernel(input) {
        return composed::max_pool2d(input, kernel_size, stride);
    }
    let pool = Pool {
        height,
        width,
        kernel_size,
        stride,
        instruction_set: InstructionSet::current(),
    };
    let op = MaxPoolOp {
        pool,
        winners: Mutex::default(),
    };
    tape.apply_op1(&input.contiguous()?, op)
}

struct MaxPoolOp {
    pool: Pool,
    /// Where in its window each output's value stood: written forward, read backward.
    winners: Mutex<Vec<u8>>,
}

impl CustomOp1 for MaxPoolOp {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn cpu_fwd(&self, input: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let shape = pooled(&self.pool, layout)?;
        let mut output = vec![0.0; shape.elem_count()];
        let mut winners = vec![0; shape.elem_count()];
        let input = f32_slice(self.name(), input, layout)?;
        self.pool.forward_max(input, &mut output, &mut winners);
        *self.winners.lock().unwrap_or_else(|e| e.into_inner()) = winners;
        Ok((CpuStorage::F32(output), shape))
    }

    fn bwd(
        &self,
        input: &Tensor,
        _output: &Tensor,
        grad_output: &Tensor,
    ) -> Result<Option<Tensor>> {
        let mut grad_input = vec![0.0; input.elem_count()];
        let winners = self.winners.lock().unwrap_or_else(|e| e.into_inner());
        with_f32(self.name(), grad_output, |grad_output| {
            self.pool
                .backward_max(grad_output, &winners, &mut grad_input);
            Ok(())
        })?;
        Tensor::from_vec(grad_input, input.shape(), input.device()).map(Some)
    }
}

/// The shape that pooling gives.
fn pooled(pool: &Pool, layout: &Layout) -> Result<Shape> {
    let (images, channels, _, _) = layout.shape().dims4()?;
    Ok((images, channels, pool.out_height(), pool.out_width()).into())
}

/// The mean of each `kernel_size` × `kernel_size` window of `input` (N, C, H, W), windows `stride`
/// apart; a window that would stick out is left out. The output is (N, C, (H − K) / stride + 1, …).
///
/// A window as large as the image makes global average pooling. (candle-core 0.11 has no gradient
/// for windows that overlap, and a wrong one where a window was left out.)
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_tb::nn::avg_pool2d;
///
/// let image = Tensor::new(&[[[[1f32, 2.0], [3.0, 6.0]]]], &Device::Cpu)?;
/// assert_eq!(avg_pool2d(&image, 2, 2)?.flatten_all()?.to_vec1::<f32>()?, [3.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// A window that does not fit into the input; a stride of 0.
pub fn avg_pool2d(input: &Tensor, kernel_size: usize, stride: usize) -> Result<Tensor> {
    avg_pool2d_on(&mut Graph, input, kernel_size, stride)
}

/// As [`avg_pool2d`], on a tape.
pub(super) fn avg_pool2d_on(
    tape: &mut impl Tape,
    input: &Tensor,
    kernel_size: usize,
    stride: usize,
) -> Result<Tensor> {
    let (_, _, height, width) = input.dims4()?;
    if kernel_size == 0 || stride == 0 || height.min(width) < kernel_size {
        bail!(
            "avg_pool2d: windows of {kernel_size} (1 or more) with stride {stride} do not fit into \
             {height}x{width}"
        );
    }
    if !has_kernel(input) {
        return composed::avg_pool2d(input, kernel_size, stride);
    }
    let pool = Pool {
        height,
        width,
        kernel_size,
        stride,
        instruction_set: InstructionSet::current(),
    };
    tape.apply_op1(&input.contiguous()?, AvgPoolOp(pool))
}

struct AvgPoolOp(Pool);

impl CustomOp1 for AvgPoolOp {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn cpu_fwd(&self, input: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let shape = pooled(&self.0, layout)?;
        let mut output = vec![0.0; shape.elem_count()];
        let input = f32_slice(self.name(), input, layout)?;
        self.0.forward_avg(input, &mut output);
        Ok((CpuStorage::F32(output), shape))
    }

    fn bwd(
        &self,
        input: &Tensor,
        _output: &Tensor,
        grad_output: &Tensor,
    ) -> Result<Option<Tensor>> {
        let mut grad_input = vec![0.0; input.elem_count()];
        with_f32(self.name(), grad_output, |grad_output| {
            self.0.backward_avg(grad_output, &mut grad_input);
            Ok(())
        })?;
        Tensor::from_vec(grad_input, input.shape(), input.device()).map(Some)
    }
}
