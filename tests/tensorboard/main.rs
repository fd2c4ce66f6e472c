//! What stock TensorBoard, with either of its loaders, shows of what we log.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(all(feature = "cli", feature = "train"))]
mod dashboards;
mod doctor;
mod kinds;
mod logger;
mod pictures;
#[cfg(all(feature = "cli", feature = "train"))]
mod resume;
mod server;
#[cfg(all(feature = "cli", feature = "mnist", feature = "train"))]
mod training;
