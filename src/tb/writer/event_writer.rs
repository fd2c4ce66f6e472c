//! Events to records to any sink.

use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::time::{Duration, Instant};

use prost::Message as _;

use crate::tb::proto::Event;
use crate::tb::record::{append_record, append_record_with, record_ends};
use crate::tb::scalar_event::ScalarEvent;

/// Writes events as records to any sink.
///
/// Each record goes to the sink in one write of its own, at once, unless
/// [`buffered`](Self::buffered) says otherwise. What is in the buffer when the writer is dropped is
/// written if the sink still takes it; [`flush`](Self::flush) reports whether it did.
///
/// After an error the sink may hold half a record, so nothing more is written: every later call
/// gives an error of the same kind. [`take_unwritten`](Self::take_unwritten) gives what the sink did
/// not take.
///
/// ```
/// use cnn_tb::tb::proto::{Event, event::What};
/// use cnn_tb::tb::writer::EventWriter;
/// let mut file = Vec::new();
/// let mut writer = EventWriter::new(&mut file);
/// writer.write(&Event {
///     wall_time: 1e9,
///     what: Some(What::FileVersion("brain.Event:2".to_owned())),
///     ..Event::default()
/// })?;
/// drop(writer);
/// assert_eq!(file.len(), 40);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct EventWriter<W: Write> {
    sink: W,
    /// Whole records that the sink does not have yet.
    buffer: Vec<u8>,
    /// The buffer is handed over once it holds more than so many bytes …
    max_bytes: usize,
    /// … or at the first record so long after the last time.
    interval: Duration,
    last_write: Instant,
    /// Bytes that were logged, those in the buffer included.
    bytes: u64,
    failed: Option<io::ErrorKind>,
}

impl<W: Write> EventWriter<W> {
    /// A writer that hands each record to `sink` at once.
    pub fn new(sink: W) -> Self {
        Self {
            sink,
            buffer: Vec::new(),
            max_bytes: 0,
            interval: Duration::ZERO,
            last_write: Instant::now(),
            bytes: 0,
            failed: None,
        }
    }

    /// Collects records until they exceed `bytes` or until a record comes `interval` after the
    /// sink last had one. No clock runs in between: a program that logs nothing flushes nothing.
    pub fn buffered(mut self, bytes: usize, interval: Duration) -> Self {
        self.max_bytes = bytes;
        self.interval = interval;
        self
    }

    /// Writes an event.
    ///
    /// # Errors
    /// The sink's.
    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        self.append(|buffer| append_record(buffer, &event.encode_to_vec()))
    }

    /// Writes an event with one scalar.
    ///
    /// # Errors
    /// The sink's.
    #[inline]
    pub fn write_scalar(&mut self, event: &ScalarEvent) -> io::Result<()> {
        self.append(|buffer| append_record_with(buffer, |buffer| event.encode(buffer)))
    }

    /// Writes the record that `append_record` appends to a buffer.
    ///
    /// # Errors
    /// The sink's.
    #[inline]
    pub(super) fn append(&mut self, append_record: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.check()?;
        let before = self.buffer.len();
        append_record(&mut self.buffer);
        self.bytes += (self.buffer.len() - before) as u64;
        self.write_if_due()
    }

    /// Hands over what is in the buffer and flushes the sink.
    ///
    /// # Errors
    /// The sink's.
    pub fn flush(&mut self) -> io::Result<()> {
        self.write_buffer()?;
        let result = self.sink.flush();
        self.remember(result)
    }

    /// The sink.
    pub fn get_ref(&self) -> &W {
        &self.sink
    }

    /// Bytes of all that was logged, be it in the sink or not.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The records that the sink does not have, or only in part: what a new sink is to be given
    /// after an error, as the head of a file first. They are taken from this writer.
    ///
    /// ```
    /// use cnn_tb::tb::proto::Event;
    /// use cnn_tb::tb::writer::EventWriter;
    /// let mut full = [0; 50];
    /// let mut writer = EventWriter::new(&mut full[..]);
    /// writer.write(&Event { wall_time: 1e9, ..Event::default() })?;
    /// let second = Event { wall_time: 2e9, ..Event::default() };
    /// assert!(writer.write(&second).is_ok());
    /// assert!(writer.write(&second).is_err());
    /// assert_eq!(writer.take_unwritten().len(), 25);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_unwritten(&mut self) -> Vec<u8> {
        mem::take(&mut self.buffer)
    }

    #[inline]
    fn write_if_due(&mut self) -> io::Result<()> {
        if self.buffer.len() > self.max_bytes || self.last_write.elapsed() >= self.interval {
            self.write_buffer()?;
        }
        Ok(())
    }

    fn write_buffer(&mut self) -> io::Result<()> {
        self.check()?;
        if self.buffer.is_empty() {
            return Ok(());
        }
        let (written, result) = write_all(&mut self.sink, &self.buffer);
        let whole = match result {
            Ok(()) => written,
            Err(_) => whole_records(&self.buffer, written),
        };
        self.buffer.drain(..whole);
        if self.max_bytes > 0 {
            self.last_write = Instant::now();
        }
        self.remember(result)
    }

    #[inline]
    fn check(&self) -> io::Result<()> {
        match self.failed {
            Some(kind) => Err(io::Error::new(kind, "an earlier write failed")),
            None => Ok(()),
        }
    }

    fn remember(&mut self, result: io::Result<()>) -> io::Result<()> {
        self.failed = result.as_ref().err().map(io::Error::kind);
        result
    }
}

/// As [`Write::write_all`], which does not say how much was written when it fails.
fn write_all(sink: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match sink.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// Bytes of those `records` that end within the first `written` bytes.
fn whole_records(records: &[u8], written: usize) -> usize {
    let ends = record_ends(records);
    ends.take_while(|end| *end <= written).last().unwrap_or(0)
}

impl<W: Write> Drop for EventWriter<W> {
    /// Tries to hand over what is in the buffer.
    fn drop(&mut self) {
        // Nobody is left to hear of an error; `flush` is the way to learn of it.
        let _ = self.write_buffer();
    }
}

impl<W: Write> fmt::Debug for EventWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventWriter")
            .field("buffered_bytes", &self.buffer.len())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tb::record::RecordReader;

    /// Keeps what each call wrote, and fails once it has taken so many bytes.
    #[derive(Default)]
    struct Sink {
        writes: Vec<Vec<u8>>,
        room: Option<usize>,
    }

    impl Write for &mut Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = self.room.unwrap_or(usize::MAX);
            if room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let count = bytes.len().min(room);
            self.room = self.room.map(|room| room - count);
            self.writes.push(bytes[..count].to_vec());
            Ok(count)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const POINT: ScalarEvent = ScalarEvent {
        wall_time: 1e9,
        step: 7,
        tag: "loss",
        value: 0.5,
    };

    #[test]
    fn every_record_is_one_write() {
        let mut sink = Sink::default();
        let mut writer = EventWriter::new(&mut sink);
        writer.write_scalar(&POINT).unwrap();
        writer.write(&Event::default()).unwrap();
        writer.write_scalar(&POINT).unwrap();
        drop(writer);
        assert_eq!(sink.writes.len(), 3);
        for write in &sink.writes {
            let mut records = RecordReader::new(&write[..]);
            assert!(records.read().unwrap().is_some());
            assert_eq!(records.read().unwrap(), None);
        }
    }

    #[test]
    fn a_buffer_is_written_when_full_flushed_or_dropped() {
        let hour = Duration::from_secs(3600);
        let record_bytes = 42;
        let mut sink = Sink::default();
        let mut writer = EventWriter::new(&mut sink).buffered(3 * record_bytes, hour);
        for _ in 0..4 {
            writer.write_scalar(&POINT).unwrap();
        }
        assert_eq!(writer.get_ref().writes.len(), 1);
        writer.write_scalar(&POINT).unwrap();
        writer.flush().unwrap();
        assert_eq!(writer.get_ref().writes.len(), 2);
        writer.write_scalar(&POINT).unwrap();
        drop(writer);
        let sizes: Vec<_> = sink.writes.iter().map(Vec::len).collect();
        assert_eq!(sizes, [4 * record_bytes, record_bytes, record_bytes]);
        let mut writer = EventWriter::new(&mut sink).buffered(1 << 20, Duration::ZERO);
        writer.write_scalar(&POINT).unwrap();
        assert_eq!(writer.get_ref().writes.len(), 4);
    }

    /// A sink that fails at every byte in turn has all records that it took whole; the others can be
    /// had.
    #[test]
    fn what_a_sink_does_not_take_can_be_had() {
        for max_bytes in [0, 100, 1000] {
            let write = |room| {
                let mut sink = Sink {
                    room: Some(room),
                    ..Sink::default()
                };
                let mut writer =
                    EventWriter::new(&mut sink).buffered(max_bytes, Duration::from_secs(3600));
                let steps = 1..=5;
                let failed = steps.clone().find(|step| {
                    let point = ScalarEvent {
                        step: *step,
                        ..POINT
                    };
                    writer.write_scalar(&point).is_err()
                });
                let is_whole = writer.flush().is_ok();
                assert_eq!(is_whole, failed.is_none() && writer.buffer.is_empty());
                let unwritten = writer.take_unwritten();
                drop(writer);
                let last = failed.unwrap_or(*steps.end());
                (sink.writes.concat(), unwritten, last)
            };
            let (all, ..) = write(usize::MAX);
            for room in 0..=all.len() {
                let (mut written, unwritten, last) = write(room);
                assert_eq!(written.len(), room.min(all.len()));
                written.truncate(whole_records(&all, written.len()));
                written.extend(unwritten);
                let logged = record_ends(&all).nth(last as usize - 1);
                assert_eq!(Some(written.len()), logged);
                assert_eq!(written, all[..written.len()]);
            }
        }
    }

    #[test]
    fn after_an_error_nothing_more_is_written() {
        let mut sink = Sink {
            room: Some(10),
            ..Sink::default()
        };
        let mut writer = EventWriter::new(&mut sink);
        assert_eq!(
            writer.write_scalar(&POINT).unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
        writer.sink.room = None;
        for result in [
            writer.write_scalar(&POINT),
            writer.write(&Event::default()),
            writer.flush(),
        ] {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
        }
        drop(writer);
        assert_eq!(sink.writes.len(), 1);
    }
}
