//! The event file: writing and reading what stock TensorBoard reads.
//!
//! Bytes on the left, meaning on the right: [`crc`] and [`record`] frame byte strings, [`proto`] has
//! the messages, [`scalar_event`] the fast path for the commonest one, [`summary`] the kinds of
//! values, [`writer`] a run directory that is written. [`reader`] goes the other way, [`run`] makes
//! series of what it reads, and [`logdir`] finds the runs of a directory.
//!
//! The text of an error says all, what the system said included; the system's error is in the field
//! `cause`, not in `source()`, so that no report says it twice.
//!
//! ```
//! use cnn_tb::tb::{Logdir, SummaryWriter};
//! # let directory = tempfile::tempdir()?;
//! # let runs = directory.path();
//! let writer = SummaryWriter::create(Logdir::next(runs, "exp")?)?;
//! for (step, loss) in [0.9, 0.5, 0.4].into_iter().enumerate() {
//!     writer.add_scalar("loss", loss, step + 1)?;
//! }
//! writer.finish()?;
//!
//! for run in Logdir::open(runs)?.runs()? {
//!     let last = run.scalars("loss")?.last();
//!     assert_eq!(last.map(|point| (point.step, point.value)), Some((3, 0.4)));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod crc;
mod decoded_size;
pub mod event_file;
pub mod image;
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

pub use logdir::{Logdir, LogdirError};
pub use reader::{EventReader, ReadError};
pub use run::{
    NoSeries, Point, Problem, Run, Series, SeriesError, Session, SessionStatus, StoredImage,
};
pub use summary::audio::Clip;
pub use summary::graph::{Attribute, Graph, GraphError, Node};
pub use summary::histogram::{Histogram, Values};
pub use summary::layout::{Category, Chart, Layout, Margin, exact_tag};
pub use summary::mesh::Mesh;
pub use summary::pr_curve::PrCurve;
pub use summary::{Kind, Misfit};
pub use writer::{
    Durability, EventWriter, HParam, Number, Step, SummaryWriter, Warning, WriteError,
    WriterOptions,
};
