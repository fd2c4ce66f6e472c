//! The event file: writing and reading what stock TensorBoard reads.
//!
//! Bytes on the left, meaning on the right: [`crc`] and [`record`] frame byte strings, [`proto`] has
//! the messages, [`scalar_event`] the fast path for the commonest one, [`summary`] the kinds of
//! values, [`writer`] a run directory that is written. [`reader`] goes the other way, and [`logdir`]
//! finds the [`run`]s of a directory.

pub mod crc;
pub mod event_file;
pub mod logdir;
mod outline;
#[rustfmt::skip]
pub mod proto;
pub mod reader;
pub mod record;
pub mod run;
pub mod scalar_event;
pub mod summary;
pub mod writer;
