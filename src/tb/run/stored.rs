//! Values that are left in their files until somebody asks for them.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::tb::proto::summary::Value;
use crate::tb::proto::{Event, Summary, event, summary::value};
use crate::tb::reader::{ReadError, decode_event};
use crate::tb::record::RecordReader;
use crate::tb::run::{NoSeries, Point};
use crate::tb::summary::{Kind, graph};

/// One image as it lies in an event file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// In pixels, as the event says.
    pub width: u32,
    /// In pixels, as the event says.
    pub height: u32,
    /// The encoded file as it was logged: PNG, JPEG, GIF or BMP.
    pub bytes: Vec<u8>,
}

/// Why the points of a series could not be given.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// There is no such series.
    #[error(transparent)]
    Missing(#[from] NoSeries),
    /// A record cannot be read again.
    #[error("{}: {error}", path.display())]
    Read {
        /// The event file.
        path: PathBuf,
        /// What is wrong with it.
        error: ReadError,
    },
    /// The file has changed since the run was read.
    #[error("{}: the record at byte {offset} has changed since the run was read", path.display())]
    Changed {
        /// The event file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
    },
}

/// Where a value lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Location {
    /// Which of the run's event files it is.
    pub file: u32,
    /// Where in it the record begins.
    pub offset: u64,
}

/// A series whose values stayed in their files.
#[derive(Debug)]
pub(super) struct Stored {
    pub kind: Kind,
    pub points: Vec<Point<Location>>,
}

/// Reads values again. Consecutive ones of one file share its handle.
pub(super) struct StoredReader<'a> {
    files: &'a [PathBuf],
    open: Option<(u32, File)>,
}

impl<'a> StoredReader<'a> {
    pub fn new(files: &'a [PathBuf]) -> Self {
        Self { files, open: None }
    }

    /// The value of `tag` at a point. Its record is checked as at the first reading, and must be of
    /// the same step and time.
    pub fn read(&mut self, tag: &str, point: &Point<Location>) -> Result<Value, SeriesError> {
        let Location { file, offset } = point.value;
        let path = self.files[file as usize].as_path();
        let changed = || SeriesError::Changed {
            path: path.to_owned(),
            offset,
        };
        let event = self.event(path, point.value)?.ok_or_else(changed)?;
        let is_same = event.step == point.step && event.wall_time == point.wall_time;
        let value = if is_same { value_of(event, tag) } else { None };
        value.ok_or_else(changed)
    }

    fn event(&mut self, path: &Path, location: Location) -> Result<Option<Event>, SeriesError> {
        let Location {
            file: index,
            offset,
        } = location;
        let to_error = |error| SeriesError::Read {
            path: path.to_owned(),
            error,
        };
        let open = |cause| to_error(ReadError::Open { cause });
        let file = match &mut self.open {
            Some((is_open, file)) if *is_open == index => file,
            other => &mut other.insert((index, File::open(path).map_err(open)?)).1,
        };
        file.seek(SeekFrom::Start(offset)).map_err(open)?;
        let mut records = RecordReader::new(file).at(offset);
        let payload = records.read().map_err(|error| to_error(error.into()))?;
        let event = payload.map(|payload| decode_event(offset, payload));
        event.transpose().map_err(to_error)
    }
}

/// The value of `tag` in an event; of several the last, which is the one that a series keeps.
fn value_of(event: Event, tag: &str) -> Option<Value> {
    let tensor = |bytes: Vec<u8>| Value {
        tag: tag.to_owned(),
        value: Some(value::Value::Tensor(graph::to_tensor(bytes))),
        ..Value::default()
    };
    match event.what? {
        event::What::Summary(Summary { value }) => {
            value.into_iter().rfind(|value| value.tag == tag)
        }
        event::What::GraphDef(bytes) => Some(tensor(bytes)),
        event::What::TaggedRunMetadata(tagged) => Some(tensor(tagged.run_metadata)),
        _ => None,
    }
}
