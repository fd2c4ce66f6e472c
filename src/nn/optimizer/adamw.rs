//! AdamW under its own name.

use super::{Adam, AdamConfig};

/// Adam with decoupled weight decay (Loshchilov and Hutter, 2019): [`Adam`] with the settings of
/// [`AdamConfig::adamw`].
///
/// ```
/// use candle_core::{Device, Var};
/// use candle_nn::Optimizer;
/// use cnn_tb::nn::{AdamConfig, AdamW};
///
/// let x = Var::new(&[1f32, -2.0], &Device::Cpu)?;
/// let mut adamw = AdamW::new(vec![x.clone()], AdamConfig::adamw())?;
/// adamw.backward_step(&x.as_tensor().sqr()?.sum_all()?)?;
/// # Ok::<(), candle_core::Error>(())
/// ```
pub type AdamW = Adam;

impl AdamConfig {
    /// The defaults of PyTorch's `AdamW`: Adam's, with weight decay 0.01.
    pub fn adamw() -> Self {
        Self {
            weight_decay: 0.01,
            ..Self::default()
        }
    }
}
