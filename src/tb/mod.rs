//! The event file: writing and reading what stock TensorBoard reads.
//!
//! Bytes on the left, meaning on the right: [`crc`] and [`record`] frame byte strings, [`proto`] has
//! the messages, [`scalar_event`] the fast path for the commonest one, [`summary`] the kinds of
//! values, [`writer`] a run directory that is written.

pub mod crc;
pub mod event_file;
#[rustfmt::skip]
pub mod proto;
pub mod record;
pub mod scalar_event;
pub mod summary;
pub mod writer;
