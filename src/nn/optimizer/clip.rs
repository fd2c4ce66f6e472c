//! Gradient clipping.

use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor, Var};

use crate::nn::slice::{has_kernel, with_f32};

/// Sums that are taken side by side: with one, each addition would wait for the last.
const LANES: usize = 8;

/// Scales the gradients of `parameters` so that their norm, all of them taken as one vector, is at
/// most `max_norm`; gives the norm that they had. Call it between `backward()` and the optimizer's
/// `step`.
///
/// The formula is PyTorch's (`torch.nn.utils.clip_grad_norm_`): every gradient is multiplied by
/// `max_norm / (norm + 1e-6)` where that is below 1. Sums are taken in f64 and in the order of
/// `parameters`, so that equal gradients give equal bits. A norm that is not finite leaves the
/// gradients as they are (PyTorch multiplies them by 0 or NaN): no factor mends them, and the
/// caller can still see which was the bad one.
///
/// ```
/// use candle_core::{Device, Var};
/// use cnn_tb::nn::clip_grad_norm;
///
/// let x = Var::new(&[3f32, 4.0], &Device::Cpu)?;
/// let mut grads = x.as_tensor().sqr()?.sum_all()?.backward()?; // 2 x = [6, 8]
/// assert_eq!(clip_grad_norm(&mut grads, &[x.clone()], 1.0)?, 10.0);
/// let clipped = clip_grad_norm(&mut grads, &[x], 1.0)?;
/// assert!((clipped - 1.0).abs() < 1e-6);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// What the device says.
pub fn clip_grad_norm(grads: &mut GradStore, parameters: &[Var], max_norm: f64) -> Result<f64> {
    let mut squares = 0.0;
    for parameter in parameters {
        if let Some(grad) = grads.get(parameter) {
            squares += sum_of_squares(grad)?;
        }
    }
    let norm = squares.sqrt();
    let factor = max_norm / (norm + 1e-6);
    if norm.is_finite() && factor < 1.0 {
        for parameter in parameters {
            if let Some(grad) = grads.get(parameter) {
                let scaled = (grad * factor)?;
                grads.insert(parameter, scaled);
            }
        }
    }
    Ok(norm)
}

fn sum_of_squares(grad: &Tensor) -> Result<f64> {
    if !has_kernel(grad) {
        return grad.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar();
    }
    with_f32("clip_grad_norm", grad, |numbers| {
        let mut sums = [0.0; LANES];
        for chunk in numbers.chunks(LANES) {
            for (sum, &number) in sums.iter_mut().zip(chunk) {
                *sum += f64::from(number) * f64::from(number);
            }
        }
        Ok(sums.iter().sum())
    })
}
