//! Compute loops over plain slices: no tensors, no allocation that outlives a call.
//!
//! Work is always split into the same shards, whatever the number of threads, and sums over
//! shards are taken in order: so the result does not depend on the threads.

// Loops by index over several arrays: the compiler keeps an array in registers only if it knows every
// index into it.
#![allow(clippy::needless_range_loop)]

pub mod batch_norm;
mod channels;
pub mod conv;
pub mod conv_pool;
pub mod dropout;
pub mod linear;
pub mod pool;
pub mod shard;
pub mod simd;
mod sum;
mod transpose;
pub mod update;
mod winograd;
