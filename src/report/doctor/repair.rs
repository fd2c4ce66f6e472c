//! What is good in a damaged event file, copied to another one.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::tb::crc::masked_crc32c;
use crate::tb::proto::Event;
use crate::tb::reader::{ReadError, decode_event};
use crate::tb::record::{DEFAULT_MAX_PAYLOAD_BYTES, RecordError, RecordReader, append_record};

/// Bytes of a record's length and its checksum.
const HEADER_BYTES: usize = 12;
/// How much is searched at a time.
const CHUNK_BYTES: usize = 64 * 1024;
/// How often the bytes of a file are looked at in the search, at most: headers made for it may each claim
/// a payload that reaches to the end.
const MAX_LOOKS: u64 = 16;

/// What became of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// How many records were copied.
    pub kept: u64,
    /// What was not, in order.
    pub dropped: Vec<Dropped>,
}

/// A part of a file that was not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// What is wrong with it.
    pub why: String,
}

/// Why a file could not be repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// Nothing is ever overwritten.
    #[error("{} exists; give the name of a new file", path.display())]
    Exists {
        /// The file that was to be written.
        path: PathBuf,
    },
    /// The file system said no.
    #[error("cannot {doing} {}: {cause}", path.display())]
    Io {
        /// What was tried, `read` or `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// Copies the good records of the event file `from` to the new file `to`, byte by byte as they are.
///
/// A record is good if its checksums fit and it holds an event with a finite wall time. Where a
/// length is damaged or a record is torn, the next place is searched at which both checksums of a
/// record fit, so that what follows is saved.
///
/// # Errors
/// `to` exists, or one of the files cannot be read or written; `to` is then not there.
///
/// ```
/// use cnn_tb::report::doctor::repair;
/// use cnn_tb::tb::record::append_record;
/// # let directory = tempfile::tempdir()?;
/// # let file = directory.path().join("events.out.tfevents.1");
/// let mut bytes = Vec::new();
/// for event in [b"\x09\0\0\0\0\x65\xcd\xcd\x41\x10\x01", b"\x09\0\0\0\0\x65\xcd\xcd\x41\x10\x02"] {
///     append_record(&mut bytes, event);
/// }
/// bytes[3] ^= 1; // The length of the first record.
/// std::fs::write(&file, &bytes)?;
/// let repaired = repair(&file, &directory.path().join("repaired.tfevents"))?;
/// assert_eq!((repaired.kept, repaired.dropped[0].offset, repaired.dropped[0].bytes), (1, 0, 27));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn repair(from: &Path, to: &Path) -> Result<Repaired, RepairError> {
    let at = |doing, path: &Path| {
        let path = path.to_owned();
        move |cause| RepairError::Io { doing, path, cause }
    };
    let open = || File::open(from).map_err(at("read", from));
    let (file, probe) = (open()?, open()?);
    let metadata = file.metadata().map_err(at("read", from))?;
    if !metadata.is_file() {
        let cause = io::Error::other("it is not a file");
        return Err(at("read", from)(cause));
    }
    let output = match File::create_new(to) {
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
            return Err(RepairError::Exists {
                path: to.to_owned(),
            });
        }
        result => result.map_err(at("write", to))?,
    };
    let length = metadata.len();
    let salvage = Salvage {
        file,
        search: Search {
            file: probe,
            length,
            left: length.saturating_mul(MAX_LOOKS),
        },
        output: BufWriter::new(output),
        repaired: Repaired::default(),
    };
    salvage.run().map_err(|failure| {
        // Half a file would be taken for the whole one. The first error is the one to tell.
        let _ = fs::remove_file(to);
        match failure {
            Failure::Read(cause) => at("read", from)(cause),
            Failure::Write(cause) => at("write", to)(cause),
        }
    })
}

/// Which of the two files made the error.
enum Failure {
    Read(io::Error),
    Write(io::Error),
}

/// A damaged file while it is copied.
struct Salvage {
    file: File,
    search: Search,
    output: BufWriter<File>,
    repaired: Repaired,
}

impl Salvage {
    fn run(mut self) -> Result<Repaired, Failure> {
        let mut start = 0;
        while let Some((lost, why)) = self.copy_from(start)? {
            let end = self.search.length;
            let next = self
                .search
                .next_record(lost + 1, end)
                .map_err(Failure::Read)?;
            self.repaired.drop_part(lost, next, why);
            start = next;
        }
        self.output.flush().map_err(Failure::Write)?;
        Ok(self.repaired)
    }

    /// Copies records from byte `start` on: up to the end, or to where it is lost where the next
    /// one begins. That place, and what is wrong with it.
    fn copy_from(&mut self, start: u64) -> Result<Option<(u64, String)>, Failure> {
        let mut source = &self.file;
        source.seek(SeekFrom::Start(start)).map_err(Failure::Read)?;
        let source = source.take(self.search.length.saturating_sub(start));
        let mut records = RecordReader::new(source);
        let mut buffer = Vec::new();
        loop {
            let offset = start + records.offset();
            let why = match records.read() {
                Ok(None) => return Ok(None),
                Ok(Some(payload)) => {
                    match what_is_wrong(payload) {
                        Some(why) => {
                            let next = start + records.offset();
                            self.repaired.drop_part(offset, next, why);
                        }
                        None => {
                            buffer.clear();
                            append_record(&mut buffer, payload);
                            self.output.write_all(&buffer).map_err(Failure::Write)?;
                            self.repaired.kept += 1;
                        }
                    }
                    continue;
                }
                Err(RecordError::PayloadChecksum { .. }) => {
                    let why = "a damaged payload".to_owned();
                    let next = start + records.offset();
                    if self.search.follows(offset, next).map_err(Failure::Read)? {
                        self.repaired.drop_part(offset, next, why);
                        continue;
                    }
                    why
                }
                Err(RecordError::LengthChecksum { .. }) => "a damaged length".to_owned(),
                Err(RecordError::Truncated { .. }) => "a record cut short".to_owned(),
                Err(RecordError::TooLong { found, .. }) => format!("a record of {found} bytes"),
                Err(RecordError::Io { cause, .. }) => return Err(Failure::Read(cause)),
            };
            return Ok(Some((offset, why)));
        }
    }
}

impl Repaired {
    fn drop_part(&mut self, offset: u64, end: u64, why: String) {
        let bytes = end - offset;
        self.dropped.push(Dropped { offset, bytes, why });
    }
}

/// Why a record whose checksums fit is not copied all the same.
fn what_is_wrong(payload: &[u8]) -> Option<String> {
    match decode_event::<Event>(0, payload) {
        Err(ReadError::TooLarge { found, .. }) => {
            Some(format!("an event with parts of {found} bytes once decoded"))
        }
        Err(_) => Some("a record that holds no event".to_owned()),
        Ok(event) if !event.wall_time.is_finite() => {
            Some(format!("an event with the wall time {}", event.wall_time))
        }
        Ok(_) => None,
    }
}

/// Looks for records in a file where none is known to begin.
struct Search {
    file: File,
    length: u64,
    /// Bytes of payloads that are still looked at.
    left: u64,
}

impl Search {
    /// Whether behind the damaged record at `offset` all goes on at `next`: the end or another record
    /// is there, and none begins before, as where bytes are missing.
    fn follows(&mut self, offset: u64, next: u64) -> io::Result<bool> {
        if self.next_record(offset + 1, next)? < next {
            return Ok(false);
        }
        let mut header = Vec::new();
        self.file.seek(SeekFrom::Start(next))?;
        let mut source = (&self.file).take(HEADER_BYTES as u64);
        source.read_to_end(&mut header)?;
        Ok(next == self.length || payload_bytes(&header).is_some())
    }

    /// The first place from `start` to before `end` where a good record begins; `end` where there
    /// is none.
    fn next_record(&mut self, mut start: u64, end: u64) -> io::Result<u64> {
        let mut chunk = Vec::new();
        while start < end {
            chunk.clear();
            self.file.seek(SeekFrom::Start(start))?;
            let mut source = (&self.file).take(CHUNK_BYTES as u64);
            source.read_to_end(&mut chunk)?;
            for (offset, window) in (start..end).zip(chunk.windows(HEADER_BYTES)) {
                if let Some(bytes) = payload_bytes(window)
                    && self.is_record(offset, bytes)?
                {
                    return Ok(offset);
                }
            }
            if chunk.len() < CHUNK_BYTES {
                break;
            }
            // A header may lie across two chunks.
            start += (chunk.len() - (HEADER_BYTES - 1)) as u64;
        }
        Ok(end)
    }

    /// Whether the record at `offset`, of whose payload the length is known, is whole and good.
    fn is_record(&mut self, offset: u64, payload_bytes: u64) -> io::Result<bool> {
        let end = offset.saturating_add(payload_bytes + HEADER_BYTES as u64 + 4);
        if end > self.length || payload_bytes > self.left {
            return Ok(false);
        }
        self.left -= payload_bytes;
        self.file.seek(SeekFrom::Start(offset))?;
        match RecordReader::new(&self.file).read() {
            Ok(payload) => Ok(payload.is_some_and(|payload| what_is_wrong(payload).is_none())),
            Err(RecordError::Io { cause, .. }) => Err(cause),
            Err(_) => Ok(false),
        }
    }
}

/// The length in `header`, where it fits its checksum and is one that a reader takes.
fn payload_bytes(header: &[u8]) -> Option<u64> {
    let (length, rest) = header.split_first_chunk::<8>()?;
    let crc = rest.first_chunk::<4>()?;
    let payload_bytes = u64::from_le_bytes(*length);
    let is_taken = payload_bytes <= DEFAULT_MAX_PAYLOAD_BYTES;
    let fits = || masked_crc32c(length) == u32::from_le_bytes(*crc);
    (is_taken && fits()).then_some(payload_bytes)
}
