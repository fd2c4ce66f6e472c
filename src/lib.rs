//! A TensorBoard logger for Rust, and a CNN trainer on candle that uses it.

#![forbid(unsafe_code)]

#[cfg(feature = "candle")]
mod candle;
#[cfg(feature = "train")]
pub mod data;
#[cfg(feature = "train")]
pub mod nn;
#[cfg(feature = "train")]
pub mod random;
pub mod report;
pub mod tb;
#[cfg(feature = "train")]
pub mod train;

/// The examples in README.md, compiled and, where they leave nothing behind, run.
#[cfg(all(doctest, feature = "train"))]
#[doc = include_str!("../README.md")]
struct Readme;
