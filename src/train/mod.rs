//! Training: the configuration, the loop and what watches it.

pub mod config;
mod fit;
pub mod observer;
