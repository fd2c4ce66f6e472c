//! Ops, layers, networks as lists of layers, and optimizers, for candle.
//!
//! Everything here works inside anybody's candle network: ops take and give tensors and have
//! gradients, layers are [`candle_nn::Module`]s with candle-nn's signatures, optimizers are
//! [`candle_nn::Optimizer`]s. On the CPU, f32 tensors go through our own kernels, which are
//! several times as fast as candle's and give the same bits for any number of threads.

mod batch_norm;
pub mod composed;
mod conv;
mod conv_pool;
mod dropout;
mod kernel;
mod linear;
mod loss;
mod network;
mod optimizer;
mod parameters;
mod pool;
mod relu;
mod schedule;
mod slice;
mod tape;

pub use batch_norm::{BatchNorm, BatchStats, batch_norm, batch_norm_eval, batch_norm_train};
pub use conv::{Conv2d, conv2d, convolve};
pub use conv_pool::conv_pool_relu;
pub use dropout::{dropout, dropout_keys};
pub use kernel::simd::{InstructionSet, NotAvailable};
pub use linear::{Linear, affine, linear};
pub use loss::{count_correct, cross_entropy};
pub(crate) use network::Gradients;
pub use network::{
    Layer, NamedNetwork, Network, OutputShape, Padding, Plan, PlanError, PlannedLayer,
};
pub use optimizer::{
    Adam, AdamConfig, AdamW, Moments, OptimizerState, Sgd, SgdConfig, StepParts, Velocity,
    add_parts, clip_grad_norm,
};
pub(crate) use parameters::load_vars;
pub use parameters::{Init, Parameters};
pub use pool::{avg_pool2d, max_pool2d};
pub use relu::relu;
pub use schedule::Schedule;
