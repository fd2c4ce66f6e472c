//! The frame of a record (TFRecord), in both directions.
//!
//! A record is the payload's length (8 bytes, little-endian), the masked CRC-32C of those 8 bytes,
//! the payload, and the masked CRC-32C of the payload. Nothing comes before, between or after
//! records. Source: `tf_record.rs` in
//! <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/data/server>.

use std::io::{self, Read};

use crate::tb::crc::masked_crc32c;

/// Bytes of a length and its checksum.
const HEADER_BYTES: usize = 12;
/// Bytes of the checksum behind the payload.
const FOOTER_BYTES: usize = 4;
/// Headers that the reader remembers.
const CHECKED_HEADERS: usize = 32;
/// How much the reader asks for at a time.
const CHUNK_BYTES: usize = 64 * 1024;
/// The longest payload that a reader takes unless told otherwise: 256 MiB, which is also the most
/// that TensorBoard's Rust loader hands on in one reply.
pub const DEFAULT_MAX_PAYLOAD_BYTES: u64 = 256 * 1024 * 1024;

/// Appends one record to `buffer`, in one piece, so that one `write` call hands it over whole.
///
/// ```
/// use cnn_tb::tb::record::{RecordReader, append_record};
/// let mut file = Vec::new();
/// append_record(&mut file, b"first");
/// append_record(&mut file, b"second");
/// let mut records = RecordReader::new(&file[..]);
/// assert_eq!(records.read()?, Some(&b"first"[..]));
/// assert_eq!(records.read()?, Some(&b"second"[..]));
/// assert_eq!(records.read()?, None);
/// # Ok::<(), cnn_tb::tb::record::RecordError>(())
/// ```
pub fn append_record(buffer: &mut Vec<u8>, payload: &[u8]) {
    append_record_with(buffer, |buffer| buffer.extend_from_slice(payload));
}

/// [`append_record`] without a copy of the payload: `append_payload` appends it to the buffer, and
/// nothing else.
#[inline]
pub(crate) fn append_record_with(buffer: &mut Vec<u8>, append_payload: impl FnOnce(&mut Vec<u8>)) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEADER_BYTES]);
    append_payload(buffer);
    let payload = &buffer[start + HEADER_BYTES..];
    let length = (payload.len() as u64).to_le_bytes();
    let payload_crc = masked_crc32c(payload).to_le_bytes();
    buffer[start..start + 8].copy_from_slice(&length);
    buffer[start + 8..start + HEADER_BYTES].copy_from_slice(&masked_crc32c(&length).to_le_bytes());
    buffer.extend_from_slice(&payload_crc);
}

/// Where each of `records`, whole and sound ones, ends.
pub(crate) fn record_ends(records: &[u8]) -> impl Iterator<Item = usize> {
    let mut end = 0;
    std::iter::from_fn(move || {
        let length = records.get(end..)?.first_chunk().copied()?;
        let length = usize::try_from(u64::from_le_bytes(length)).ok()?;
        end += HEADER_BYTES + length + FOOTER_BYTES;
        Some(end)
    })
}

/// Why a record could not be read. Every offset counts bytes from where the reader began.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The bytes end inside a record. A writer may be about to complete it: what was read is kept,
    /// and a later call goes on.
    #[error("the record at byte {offset} is cut short: {found} of {expected} bytes")]
    Truncated {
        /// Where the record begins.
        offset: u64,
        /// Bytes of it that are there.
        found: u64,
        /// Bytes that it needs; where even the length is cut short, the least it can need.
        expected: u64,
    },
    /// The length of a record does not fit its checksum. Where the next record begins is lost:
    /// every later call gives this error again.
    #[error(
        "the record at byte {offset} has a damaged length: \
         checksum {found:08x} found, {expected:08x} expected; what follows cannot be read"
    )]
    LengthChecksum {
        /// Where the record begins.
        offset: u64,
        /// The checksum in the file.
        found: u32,
        /// The checksum of the bytes.
        expected: u32,
    },
    /// The payload of a record does not fit its checksum. A later call goes on with the next
    /// record.
    #[error(
        "the record at byte {offset} has a damaged payload: \
         checksum {found:08x} found, {expected:08x} expected"
    )]
    PayloadChecksum {
        /// Where the record begins.
        offset: u64,
        /// The checksum in the file.
        found: u32,
        /// The checksum of the bytes.
        expected: u32,
    },
    /// A record is longer than the reader takes. Every later call gives this error again.
    #[error(
        "the record at byte {offset} is {found} bytes long, above the limit of {limit}; \
         raise the limit to read it"
    )]
    TooLong {
        /// Where the record begins.
        offset: u64,
        /// Bytes of its payload.
        found: u64,
        /// The most that the reader takes.
        limit: u64,
    },
    /// The source could not be read. Nothing is lost; a later call tries again.
    #[error("cannot read the record at byte {offset}: {cause}")]
    Io {
        /// Where the record begins.
        offset: u64,
        /// What the source said.
        cause: io::Error,
    },
}

impl RecordError {
    /// Where the record begins that could not be read.
    pub fn offset(&self) -> u64 {
        match *self {
            Self::Truncated { offset, .. }
            | Self::LengthChecksum { offset, .. }
            | Self::PayloadChecksum { offset, .. }
            | Self::TooLong { offset, .. }
            | Self::Io { offset, .. } => offset,
        }
    }

    /// Whether the bytes merely end inside a record, as they do while a writer is at work and
    /// after it was killed.
    pub fn is_truncated(&self) -> bool {
        matches!(self, Self::Truncated { .. })
    }

    /// Whether no later record of this source can be read.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::LengthChecksum { .. } | Self::TooLong { .. })
    }
}

/// Reads records from any source of bytes.
///
/// The source needs no buffer of its own. Memory grows with the bytes that arrive, never on a
/// length's word alone.
#[derive(Debug)]
pub struct RecordReader<R> {
    source: R,
    max_payload_bytes: u64,
    /// Where the current record begins in the source.
    offset: u64,
    /// `buffer[start..end]` holds what was read from `offset` on; the rest is room.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Headers whose checksum was right, by their lengths: records of scalars have few lengths, and
    /// equal bytes need not be checked again.
    checked: [Option<[u8; HEADER_BYTES]>; CHECKED_HEADERS],
}

impl<R: Read> RecordReader<R> {
    /// A reader that begins at the source's current place, which must be the start of a record.
    pub fn new(source: R) -> Self {
        Self {
            source,
            max_payload_bytes: DEFAULT_MAX_PAYLOAD_BYTES,
            offset: 0,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            checked: [None; CHECKED_HEADERS],
        }
    }

    /// Counts the offset from `offset`, for a source that stands there.
    pub(crate) fn at(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// Sets the longest payload that is read, in bytes; [`DEFAULT_MAX_PAYLOAD_BYTES`] at first.
    pub fn max_payload_bytes(mut self, bytes: u64) -> Self {
        self.max_payload_bytes = bytes;
        self
    }

    /// Where the next record begins, in bytes from where the reader began.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The payload of the next record; `None` at a clean end, between two records. A later call
    /// looks again, since files grow.
    ///
    /// # Errors
    /// See [`RecordError`], which says for each variant what a later call does.
    pub fn read(&mut self) -> Result<Option<&[u8]>, RecordError> {
        let offset = self.offset;
        if !self.fill(HEADER_BYTES)? {
            return match self.end - self.start {
                0 => Ok(None),
                found => Err(RecordError::Truncated {
                    offset,
                    found: found as u64,
                    expected: (HEADER_BYTES + FOOTER_BYTES) as u64,
                }),
            };
        }
        let payload_bytes = self.checked_length()?;
        let record_bytes = HEADER_BYTES + payload_bytes + FOOTER_BYTES;
        if !self.fill(record_bytes)? {
            return Err(RecordError::Truncated {
                offset,
                found: (self.end - self.start) as u64,
                expected: record_bytes as u64,
            });
        }
        let begin = self.start + HEADER_BYTES;
        self.start += record_bytes;
        self.offset += record_bytes as u64;
        let payload = &self.buffer[begin..begin + payload_bytes];
        let found = u32_at(&self.buffer, begin + payload_bytes);
        let expected = masked_crc32c(payload);
        if found != expected {
            return Err(RecordError::PayloadChecksum {
                offset,
                found,
                expected,
            });
        }
        Ok(Some(payload))
    }

    /// The payload's length, from a header that lies in the buffer.
    fn checked_length(&mut self) -> Result<usize, RecordError> {
        let offset = self.offset;
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&self.buffer[self.start..self.start + HEADER_BYTES]);
        let checked = &mut self.checked[usize::from(header[0]) % CHECKED_HEADERS];
        if *checked != Some(header) {
            let expected = masked_crc32c(&header[..8]);
            let found = u32_at(&header, 8);
            if found != expected {
                return Err(RecordError::LengthChecksum {
                    offset,
                    found,
                    expected,
                });
            }
            *checked = Some(header);
        }
        let low = u64::from(u32_at(&self.buffer, self.start));
        let high = u64::from(u32_at(&self.buffer, self.start + 4));
        let length = high << 32 | low;
        let fits = length <= self.max_payload_bytes;
        match usize::try_from(length) {
            // Half the address space leaves room for the frame and for growth by doubling.
            Ok(length) if fits && length <= usize::MAX / 4 => Ok(length),
            _ => Err(RecordError::TooLong {
                offset,
                found: length,
                limit: self.max_payload_bytes.min(usize::MAX as u64 / 4),
            }),
        }
    }

    /// Reads until `needed` bytes of the current record lie in the buffer; false where the source
    /// ends before.
    fn fill(&mut self, needed: usize) -> Result<bool, RecordError> {
        if self.end - self.start >= needed {
            return Ok(true);
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < needed {
            if self.end == self.buffer.len() {
                // Twice what has arrived, but no more than the record needs and a chunk ahead.
                let length = (self.end * 2).min(needed) + CHUNK_BYTES;
                self.buffer.resize(length, 0);
            }
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(bytes) => self.end += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => {
                    let offset = self.offset;
                    return Err(RecordError::Io { offset, cause });
                }
            }
        }
        Ok(true)
    }
}

/// The little-endian number at `index`; the caller has checked that it is there.
fn u32_at(bytes: &[u8], index: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[index..index + 4]);
    u32::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives at most so many bytes a call, in turn; an `Interrupted` in place of a 0.
    struct Split<'a> {
        bytes: &'a [u8],
        sizes: Vec<usize>,
        calls: usize,
    }

    impl Read for Split<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let size = self.sizes[self.calls % self.sizes.len()];
            self.calls += 1;
            if size == 0 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let count = size.min(into.len()).min(self.bytes.len());
            let (given, left) = self.bytes.split_at(count);
            into[..count].copy_from_slice(given);
            self.bytes = left;
            Ok(count)
        }
    }

    fn record(payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        append_record(&mut bytes, payload);
        bytes
    }

    /// Everything that a reader says, up to its end or a final error.
    fn transcript(mut reader: RecordReader<impl Read>) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match reader.read() {
                Ok(Some(payload)) => lines.push(format!("{} {payload:02x?}", payload.len())),
                Ok(None) => return lines,
                Err(error) => {
                    lines.push(error.to_string());
                    if error.is_final() || error.is_truncated() {
                        return lines;
                    }
                }
            }
        }
    }

    #[test]
    fn first_record_of_a_file_has_known_bytes() {
        let payload = b"\x09\x00\x00\x00\x00\x65\xcd\xcd\x41\x1a\x0dbrain.Event:2";
        let mut expected = vec![0x18, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22];
        expected.extend_from_slice(payload);
        expected.extend_from_slice(&[0xf4, 0xeb, 0x19, 0x5e]);
        assert_eq!(record(payload), expected);
    }

    #[test]
    fn any_split_of_reads_gives_the_same_result() {
        let long: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
        let mut bytes = [record(b""), record(b"one"), record(&long), record(b"two")].concat();
        bytes[17] ^= 1; // The length of "one".
        let damaged_length = bytes.clone();
        bytes[17] ^= 1;
        bytes[29] ^= 1; // The payload of "one".
        let damaged_payload = bytes.clone();
        bytes[29] ^= 1;
        let torn = bytes[..bytes.len() - 3].to_vec();
        for file in [bytes, damaged_length, damaged_payload, torn] {
            let whole = transcript(RecordReader::new(&file[..]));
            for sizes in [vec![1], vec![7], vec![0, 4095, 2], vec![65_536, 1, 0]] {
                let split = Split {
                    bytes: &file,
                    sizes,
                    calls: 0,
                };
                assert_eq!(transcript(RecordReader::new(split)), whole);
            }
        }
    }

    #[test]
    fn every_cut_is_a_torn_tail_or_a_clean_end() {
        let bytes = [record(b"one"), record(b"")].concat();
        for cut in 0..=bytes.len() {
            let mut reader = RecordReader::new(&bytes[..cut]);
            let whole = match cut {
                0..19 => 0,
                19..35 => 1,
                _ => 2,
            };
            for _ in 0..whole {
                assert!(reader.read().unwrap().is_some());
            }
            match reader.read() {
                Ok(None) => assert!([0, 19, 35].contains(&cut)),
                Err(RecordError::Truncated { offset, found, .. }) => {
                    assert_eq!(offset, [0, 19][whole]);
                    assert_eq!(offset + found, cut as u64);
                }
                other => panic!("cut at {cut}: {other:?}"),
            }
        }
    }

    /// A file that grows between the calls, through a shared cursor.
    #[test]
    fn a_torn_record_is_read_once_the_rest_is_there() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes = [record(b"one"), record(b"two")].concat();
        let mut reader = RecordReader::new(file.reopen().unwrap());
        let mut writer = file.as_file();
        for (from, to) in [(0, 5), (5, 18), (18, 18)] {
            io::Write::write_all(&mut writer, &bytes[from..to]).unwrap();
            assert!(reader.read().unwrap_err().is_truncated());
        }
        io::Write::write_all(&mut writer, &bytes[18..]).unwrap();
        assert_eq!(reader.read().unwrap(), Some(&b"one"[..]));
        assert_eq!(reader.offset(), 19);
        assert_eq!(reader.read().unwrap(), Some(&b"two"[..]));
        assert_eq!(reader.read().unwrap(), None);
    }

    #[test]
    fn damage_is_told_with_its_place() {
        let bytes = [record(b"one"), record(b"two"), record(b"three")].concat();
        let cases = [
            (
                19,
                true,
                "the record at byte 19 has a damaged length: checksum",
            ),
            (
                28,
                true,
                "the record at byte 19 has a damaged length: checksum",
            ),
            (
                31,
                false,
                "the record at byte 19 has a damaged payload: checksum",
            ),
            (
                37,
                false,
                "the record at byte 19 has a damaged payload: checksum",
            ),
        ];
        for (at, is_final, message) in cases {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x40;
            let mut reader = RecordReader::new(&bytes[..]);
            assert_eq!(reader.read().unwrap(), Some(&b"one"[..]));
            let error = reader.read().unwrap_err();
            assert!(error.to_string().starts_with(message), "{error}");
            assert_eq!(error.is_final(), is_final);
            match is_final {
                true => assert!(reader.read().unwrap_err().is_final()),
                false => assert_eq!(reader.read().unwrap(), Some(&b"three"[..])),
            }
        }
    }

    #[test]
    fn a_length_is_held_against_the_limit_and_never_believed() {
        let frame = |length: u64| {
            let length = length.to_le_bytes();
            [&length[..], &masked_crc32c(&length).to_le_bytes(), &[0; 40]].concat()
        };
        for length in [
            u64::MAX,
            u64::MAX - 15,
            1 << 63,
            DEFAULT_MAX_PAYLOAD_BYTES + 1,
        ] {
            let error = RecordReader::new(&frame(length)[..]).read().unwrap_err();
            assert!(matches!(error, RecordError::TooLong { found, .. } if found == length));
        }
        let bytes = frame(DEFAULT_MAX_PAYLOAD_BYTES);
        let mut reader = RecordReader::new(&bytes[..]);
        assert!(reader.read().unwrap_err().is_truncated());
        assert!(reader.buffer.capacity() <= 4 * CHUNK_BYTES);
        let mut reader = RecordReader::new(&bytes[..]).max_payload_bytes(1000);
        assert!(matches!(
            reader.read(),
            Err(RecordError::TooLong { limit: 1000, .. })
        ));
    }

    #[test]
    fn an_error_of_the_source_is_passed_on_and_tried_again() {
        struct Once<'a>(bool, &'a [u8]);
        impl Read for Once<'_> {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                if std::mem::take(&mut self.0) {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                self.1.read(into)
            }
        }
        let bytes = record(b"one");
        let mut reader = RecordReader::new(Once(true, &bytes));
        assert!(matches!(
            reader.read(),
            Err(RecordError::Io { offset: 0, .. })
        ));
        assert_eq!(reader.read().unwrap(), Some(&b"one"[..]));
    }
}
