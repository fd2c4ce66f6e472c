//! Writing: events to any sink, and a run directory that stock TensorBoard shows.

mod error;
mod event_writer;
mod lock;
mod options;
mod step;
mod summary_writer;

pub use error::WriteError;
pub use event_writer::EventWriter;
pub use lock::LOCK_NAME;
pub use options::{Durability, WriterOptions};
pub use step::Step;
pub use summary_writer::SummaryWriter;

pub use crate::tb::summary::hparams::HParam;
pub use crate::tb::summary::scalar::Number;
