//! Writing: events to any sink, and a run directory that stock TensorBoard shows.

mod curves;
mod embedding;
mod error;
mod event_log;
mod event_writer;
mod graph;
mod lock;
mod media;
mod options;
mod pictures;
mod step;
mod step_zero;
mod summary_writer;
mod tags;
mod warning;

pub use embedding::Embedding;
pub use error::WriteError;
pub use event_log::PART_NAME;
pub use event_writer::EventWriter;
pub use lock::{LOCK_NAME, is_being_written};
pub use options::{Durability, WriterOptions};
pub use pictures::{BoundingBox, MAX_VALUE_BYTES};
pub use step::Step;
pub use summary_writer::SummaryWriter;
pub use warning::Warning;

pub use crate::tb::summary::hparams::HParam;
pub use crate::tb::summary::scalar::Number;
