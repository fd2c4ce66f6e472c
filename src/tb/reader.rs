//! Records to events.

use std::io::{self, Read};

use prost::Message;

use crate::tb::decoded_size::{MAX_PARTS_BYTES, too_large_event};
use crate::tb::proto::Event;
use crate::tb::record::{RecordError, RecordReader};

/// Why an event could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file or directory could not be opened. Only [`Logdir`](crate::tb::logdir::Logdir) opens
    /// any.
    #[error("cannot be opened: {cause}")]
    Open {
        /// What the system said.
        cause: io::Error,
    },
    /// The record could not be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The record is whole, but what it holds is not an event. Later events can still be read.
    #[error("the record at byte {offset} does not hold an event: {cause}")]
    Event {
        /// Where the record begins.
        offset: u64,
        /// What the decoder said.
        cause: prost::DecodeError,
    },
    /// The event would take too much memory: it has so many values, strings or dimensions, which
    /// may be a few bytes each in the file and hundreds once decoded. Later events can still be read.
    #[error(
        "the event at byte {offset} has parts that take {found} bytes of memory, above the limit of \
         {limit}; it is left out"
    )]
    TooLarge {
        /// Where the record begins.
        offset: u64,
        /// What the parts of its repeated fields take once decoded, in bytes.
        found: u64,
        /// The most that they may take.
        limit: u64,
    },
    /// The event's wall time is not finite, and neither of TensorBoard's loaders can be trusted
    /// with it. Only [`Logdir`](crate::tb::logdir::Logdir) minds; later events can still be read.
    #[error("the event at byte {offset} has the wall time {found}; it is left out")]
    WallTime {
        /// Where the record begins.
        offset: u64,
        /// The wall time, in seconds.
        found: f64,
    },
}

impl ReadError {
    /// Whether the bytes merely end inside a record, as they do while a writer is at work and
    /// after it was killed.
    pub fn is_truncated(&self) -> bool {
        matches!(self, Self::Record(error) if error.is_truncated())
    }
}

/// The events of one file or any other source of bytes, in order.
///
/// `None` comes at the end of what there is, also after an error behind which nothing can be read.
/// Since files grow, a later call looks again, and goes on with a record that was cut short once
/// the rest of it is there. After a damaged payload the next record is read.
///
/// ```
/// use cnn_tb::tb::{proto::event::What, reader::EventReader};
/// let file = b"\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22\
///     \x09\0\0\0\0\x65\xcd\xcd\x41\x1a\x0dbrain.Event:2\xf4\xeb\x19\x5e";
/// for event in EventReader::new(&file[..]) {
///     let event = event?;
///     assert_eq!(event.wall_time, 1e9);
///     assert_eq!(event.what, Some(What::FileVersion("brain.Event:2".to_owned())));
/// }
/// # Ok::<(), cnn_tb::tb::reader::ReadError>(())
/// ```
#[derive(Debug)]
pub struct EventReader<R> {
    records: RecordReader<R>,
    told: Told,
}

/// The error that was told last, if it would come again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Nothing,
    /// A record cut short, of which so many bytes were there.
    Truncated(u64),
    Final,
}

impl<R: Read> EventReader<R> {
    /// A reader that begins at the source's current place, which must be the start of a record.
    /// The source needs no buffer of its own.
    pub fn new(source: R) -> Self {
        Self::from_records(RecordReader::new(source))
    }

    /// A reader of the events in `records`, which may carry a limit of its own.
    pub fn from_records(records: RecordReader<R>) -> Self {
        Self {
            records,
            told: Told::Nothing,
        }
    }

    /// As `next`, with what `decode` makes of the record's offset and payload.
    pub(crate) fn next_with<T>(
        &mut self,
        decode: impl FnOnce(u64, &[u8]) -> Result<T, ReadError>,
    ) -> Option<Result<T, ReadError>> {
        if self.told == Told::Final {
            return None;
        }
        let offset = self.records.offset();
        match self.records.read() {
            Ok(Some(payload)) => {
                self.told = Told::Nothing;
                Some(decode(offset, payload))
            }
            Ok(None) => None,
            Err(error) => {
                let told = match error {
                    RecordError::Truncated { found, .. } => Told::Truncated(found),
                    _ if error.is_final() => Told::Final,
                    _ => Told::Nothing,
                };
                if told != Told::Nothing && told == self.told {
                    return None;
                }
                self.told = told;
                Some(Err(error.into()))
            }
        }
    }
}

impl<R: Read> Iterator for EventReader<R> {
    type Item = Result<Event, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_with(decode_event)
    }
}

/// The event in the payload of the record at `offset`, whole or as an outline.
pub(crate) fn decode_event<M: Message + Default>(
    offset: u64,
    payload: &[u8],
) -> Result<M, ReadError> {
    if let Some(found) = too_large_event(payload) {
        let limit = MAX_PARTS_BYTES;
        return Err(ReadError::TooLarge {
            offset,
            found,
            limit,
        });
    }
    M::decode(payload).map_err(|cause| ReadError::Event { offset, cause })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::tb::record::append_record;

    fn record(step: i64) -> Vec<u8> {
        let event = Event {
            step,
            ..Event::default()
        };
        let mut bytes = Vec::new();
        append_record(&mut bytes, &event.encode_to_vec());
        bytes
    }

    fn steps(reader: &mut EventReader<impl Read>) -> Vec<Result<i64, String>> {
        reader
            .map(|event| {
                event
                    .map(|event| event.step)
                    .map_err(|error| error.to_string())
            })
            .collect()
    }

    #[test]
    fn iteration_ends_at_every_kind_of_end() {
        let [first, second] = [record(1), record(2)];
        let mut bad_length = second.clone();
        bad_length[0] ^= 1;
        let mut bad_payload = second.clone();
        bad_payload[13] ^= 1;
        let mut no_event = Vec::new();
        append_record(&mut no_event, b"\xff");
        let mut long = Vec::new();
        append_record(&mut long, &[0; 100]);
        let torn = &second[..second.len() - 1];
        let cases: [(&[u8], &str, bool); 5] = [
            (torn, "is cut short: 17 of 18 bytes", false),
            (&bad_length, "has a damaged length", false),
            (&bad_payload, "has a damaged payload", true),
            (&no_event, "does not hold an event", true),
            (&long, "is 100 bytes long, above the limit of 50", false),
        ];
        for (middle, message, goes_on) in cases {
            let last = if middle == torn { &[][..] } else { &first };
            let file = [&first, middle, last].concat();
            let records = RecordReader::new(&file[..]).max_payload_bytes(50);
            let found = steps(&mut EventReader::from_records(records));
            assert_eq!(found[0], Ok(1));
            assert!(
                found[1].as_ref().unwrap_err().contains(message),
                "{found:?}"
            );
            assert_eq!(found[2..], if goes_on { vec![Ok(1)] } else { vec![] });
        }
        assert_eq!(steps(&mut EventReader::new(&[][..])), []);
    }

    #[test]
    fn a_growing_file_is_read_on() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = file.as_file();
        let mut reader = EventReader::new(file.reopen().unwrap());
        let [first, second] = [record(1), record(2)];
        writer.write_all(&first).unwrap();
        assert_eq!(steps(&mut reader), [Ok(1)]);
        for part in [&second[..5], &second[5..15]] {
            writer.write_all(part).unwrap();
            let found = steps(&mut reader);
            assert!(
                matches!(&found[..], [Err(error)] if error.contains("is cut short")),
                "{found:?}"
            );
            assert_eq!(steps(&mut reader), []);
        }
        writer.write_all(&second[15..]).unwrap();
        assert_eq!(steps(&mut reader), [Ok(2)]);
    }
}
