//! The event files that one writer makes in a run directory, one after the other.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use prost::Message as _;

use crate::tb::event_file::{self, NameParts, event_file_names};
use crate::tb::proto::session_log::SessionStatus as LogStatus;
use crate::tb::proto::{Event, SessionLog, SourceMetadata, event};
use crate::tb::record::{append_record, append_record_with, record_ends};
use crate::tb::scalar_event::ScalarEvent;
use crate::tb::writer::lock::DirectoryLock;
use crate::tb::writer::{Durability, EventWriter, WriteError, WriterOptions};

/// The format version, in the first record of every file.
const FILE_VERSION: &str = "brain.Event:2";
/// Who wrote the file, for those who look into it.
const WRITER: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));
/// How long a new file is called until its head is written. Its name lacks what makes an event file.
pub const PART_NAME: &str = ".cnn-tb.part";
/// How long a file system that failed is left alone, unless somebody asks.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Event files in a directory, the last of which is written.
///
/// A full file is followed by another. Where the file system fails, records are kept, if the options
/// say so, until a new file takes them; every record is complete in itself, so any file may hold it.
pub(super) struct EventLog {
    directory: PathBuf,
    options: WriterOptions,
    current: Current,
    /// Records that are lost: there were too many to keep, or their file was removed …
    lost: u64,
    /// … how many of them were told of …
    told: u64,
    /// … and what lost the last of them.
    cause: Option<WriteError>,
    lock: DirectoryLock,
}

enum Current {
    Open(LogFile),
    Broken(Backlog),
}

/// A file that is written.
struct LogFile {
    events: EventWriter<File>,
    path: PathBuf,
    /// Records behind its head, those in the writer's buffer included …
    records: u64,
    /// … and those of them that are known to be on the disk.
    synced: u64,
}

/// What waits for a file system that fails.
struct Backlog {
    /// One after the other.
    records: Vec<u8>,
    cause: WriteError,
    last_try: Instant,
}

impl EventLog {
    /// A new file in `directory`, which sorts after those there. With a purge step it says that the
    /// run goes on from there.
    pub(super) fn create(
        directory: &Path,
        lock: DirectoryLock,
        options: WriterOptions,
        purge_step: Option<i64>,
    ) -> Result<Self, WriteError> {
        let file = LogFile::create(directory, &options, purge_step, &[])?;
        Ok(Self {
            directory: directory.to_owned(),
            options,
            current: Current::Open(file),
            lost: 0,
            told: 0,
            cause: None,
            lock,
        })
    }

    /// Writes an event, or keeps it.
    ///
    /// # Errors
    /// [`WriteError::Io`], unless the options say that records are kept.
    pub(super) fn write(&mut self, event: &Event) -> Result<(), WriteError> {
        self.append(|buffer| append_record(buffer, &event.encode_to_vec()))
    }

    /// As [`write`](Self::write), for an event with one scalar.
    #[inline]
    pub(super) fn write_scalar(&mut self, event: &ScalarEvent<'_>) -> Result<(), WriteError> {
        self.append(|buffer| append_record_with(buffer, |buffer| event.encode(buffer)))
    }

    #[inline]
    fn append(&mut self, append_record: impl FnOnce(&mut Vec<u8>)) -> Result<(), WriteError> {
        if self.needs_file() {
            self.next_file()?;
        }
        match &mut self.current {
            Current::Open(file) => match file.append(append_record) {
                Ok(()) => Ok(()),
                Err(cause) => self.fail(cause),
            },
            Current::Broken(backlog) => {
                let room = self.options.max_unwritten_bytes.unwrap_or(0);
                if !backlog.keep(append_record, room) {
                    self.lose(1);
                }
                Ok(())
            }
        }
    }

    /// Whether the next record belongs into a new file.
    #[inline]
    fn needs_file(&self) -> bool {
        match &self.current {
            Current::Open(file) => file.events.bytes() > self.options.max_file_bytes,
            Current::Broken(backlog) => backlog.last_try.elapsed() >= RETRY_INTERVAL,
        }
    }

    /// Hands all that was logged to the system; with [`Durability::Synced`], to the disk.
    ///
    /// # Errors
    /// [`WriteError::Io`]; if records are kept, [`WriteError::Unwritten`] while there are some, and once
    /// after some were lost.
    pub(super) fn flush(&mut self) -> Result<(), WriteError> {
        self.flush_file()?;
        if let Current::Broken(_) = self.current {
            self.next_file()?;
        }
        let has_news = self.lost > self.told;
        self.told = self.lost;
        match (&self.current, &self.cause) {
            (Current::Broken(backlog), _) => Err(self.unwritten(backlog.kept(), &backlog.cause)),
            (Current::Open(_), Some(cause)) if has_news => Err(self.unwritten(0, cause)),
            (Current::Open(_), _) => Ok(()),
        }
    }

    /// Flushes, for the last time.
    ///
    /// # Errors
    /// As [`flush`](Self::flush); [`WriteError::Unwritten`] also if records were lost before.
    pub(super) fn finish(&mut self) -> Result<(), WriteError> {
        self.flush()?;
        match &self.cause {
            Some(cause) if self.lost > 0 => Err(self.unwritten(0, cause)),
            _ => Ok(()),
        }
    }

    fn unwritten(&self, kept: u64, cause: &WriteError) -> WriteError {
        WriteError::Unwritten {
            cause: Box::new(cause.clone()),
            kept,
            lost: self.lost,
        }
    }

    /// Flushes the current file, if there is one.
    fn flush_file(&mut self) -> Result<(), WriteError> {
        if let Current::Open(file) = &mut self.current
            && let Err(FlushError { cause, lost }) = file.flush(self.options.durability)
        {
            self.fail(cause)?;
            self.lose(lost);
        }
        Ok(())
    }

    /// Counts records that are lost to what has just failed.
    fn lose(&mut self, records: u64) {
        self.lost += records;
        if let Current::Broken(backlog) = &self.current
            && records > 0
        {
            self.cause = Some(backlog.cause.clone());
        }
    }

    /// The current file takes no more: what it did not take is kept, or that is an error.
    #[cold]
    fn fail(&mut self, cause: io::Error) -> Result<(), WriteError> {
        let Current::Open(file) = &mut self.current else {
            return Ok(());
        };
        let cause = WriteError::io(&file.path)(cause);
        if self.options.max_unwritten_bytes.is_none() {
            return Err(cause);
        }
        self.current = Current::Broken(Backlog {
            records: file.events.take_unwritten(),
            cause,
            last_try: Instant::now(),
        });
        Ok(())
    }

    /// Goes over to a new file, which first gets what was kept.
    #[cold]
    fn next_file(&mut self) -> Result<(), WriteError> {
        self.flush_file()?;
        let kept = match &self.current {
            Current::Open(_) => &[][..],
            Current::Broken(backlog) => &backlog.records,
        };
        let file = hold(&self.directory, &mut self.lock)
            .and_then(|()| LogFile::create(&self.directory, &self.options, None, kept));
        match (file, &mut self.current) {
            (Ok(file), _) => self.current = Current::Open(file),
            (Err(cause), _) if self.options.max_unwritten_bytes.is_none() => return Err(cause),
            (Err(cause), Current::Broken(backlog)) => {
                backlog.cause = cause;
                backlog.last_try = Instant::now();
            }
            (Err(cause), Current::Open(_)) => {
                self.current = Current::Broken(Backlog {
                    records: Vec::new(),
                    cause,
                    last_try: Instant::now(),
                });
            }
        }
        Ok(())
    }
}

impl Drop for EventLog {
    /// Tries once more to hand over what was kept.
    fn drop(&mut self) {
        if let Current::Broken(_) = self.current {
            // Nobody is left to hear of an error; `finish` is the way to learn of it.
            let _ = self.next_file();
        }
    }
}

/// Makes sure that `directory` is there and that its lock is ours: somebody may have removed it.
fn hold(directory: &Path, lock: &mut DirectoryLock) -> Result<(), WriteError> {
    fs::create_dir_all(directory).map_err(WriteError::io(directory))?;
    if !lock.is_in_place().map_err(WriteError::io(directory))? {
        let taken = DirectoryLock::take(directory).map_err(WriteError::io(directory))?;
        let path = directory.to_owned();
        *lock = taken.ok_or(WriteError::Locked { path })?;
    }
    Ok(())
}

impl Backlog {
    /// Keeps a record if there is room for it.
    fn keep(&mut self, append_record: impl FnOnce(&mut Vec<u8>), room: usize) -> bool {
        let before = self.records.len();
        append_record(&mut self.records);
        let fits = self.records.len() <= room;
        if !fits {
            self.records.truncate(before);
        }
        fits
    }

    fn kept(&self) -> u64 {
        record_ends(&self.records).count() as u64
    }
}

impl LogFile {
    /// A file with the name that comes next in `directory`, its head and `records`. It gets its name
    /// last, so nobody ever sees it without them.
    fn create(
        directory: &Path,
        options: &WriterOptions,
        purge_step: Option<i64>,
        records: &[u8],
    ) -> Result<Self, WriteError> {
        let wall_time = (options.clock)();
        if !wall_time.is_finite() {
            return Err(WriteError::WallTime { found: wall_time });
        }
        let part = directory.join(PART_NAME);
        let head = head(wall_time, purge_step);
        let result = Self::fill(&part, options, &head, records)
            .map_err(WriteError::io(directory))
            .and_then(|mut file| {
                file.path = give_name(&part, directory, options, wall_time as u64)?;
                Ok(file)
            });
        if result.is_err() {
            // All that it holds is kept elsewhere; on a full disk it would be in the way.
            let _ = fs::remove_file(&part);
        }
        result
    }

    fn fill(
        part: &Path,
        options: &WriterOptions,
        head: &[Event],
        records: &[u8],
    ) -> io::Result<Self> {
        // What a killed writer left may be an event file with a second name: never to be written.
        match fs::remove_file(part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let sink = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(part)?;
        let mut events = EventWriter::new(sink);
        if let Durability::Buffered { bytes, interval } = options.durability {
            events = events.buffered(bytes, interval);
        }
        let mut file = Self {
            events,
            path: part.to_owned(),
            records: record_ends(records).count() as u64,
            synced: 0,
        };
        for event in head {
            file.events.write(event)?;
        }
        file.events
            .append(|buffer| buffer.extend_from_slice(records))?;
        match file.flush(options.durability) {
            Ok(()) => Ok(file),
            Err(error) => Err(error.cause),
        }
    }

    #[inline]
    fn append(&mut self, append_record: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.records += 1;
        self.events.append(append_record)
    }

    fn flush(&mut self, durability: Durability) -> Result<(), FlushError> {
        let lose = |lost| move |cause| FlushError { cause, lost };
        self.events.flush().map_err(lose(0))?;
        let file = self.events.get_ref();
        if is_removed(file) && !self.path.exists() {
            let cause = io::Error::new(io::ErrorKind::NotFound, "the file was removed");
            return Err(lose(self.records)(cause));
        }
        if durability == Durability::Synced {
            file.sync_data().map_err(lose(self.records - self.synced))?;
            self.synced = self.records;
        }
        Ok(())
    }
}

/// Why a file could not be flushed.
struct FlushError {
    cause: io::Error,
    /// Records that were taken from us and may be nowhere now.
    lost: u64,
}

/// The records that a file begins with. A continued run's first file also says twice where it goes
/// on, since for TensorBoard's Python loader the first such mark of a run only arms the second.
/// Source: `plugin_event_accumulator.py` in
/// <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/backend/event_processing>.
fn head(wall_time: f64, purge_step: Option<i64>) -> Vec<Event> {
    let mut head = vec![Event {
        wall_time,
        what: Some(event::What::FileVersion(FILE_VERSION.to_owned())),
        source_metadata: Some(SourceMetadata {
            writer: WRITER.to_owned(),
        }),
        ..Event::default()
    }];
    if let Some(step) = purge_step {
        let start = Event {
            wall_time,
            step,
            what: Some(event::What::SessionLog(SessionLog {
                status: LogStatus::Start.into(),
                ..SessionLog::default()
            })),
            ..Event::default()
        };
        head.extend([start.clone(), start]);
    }
    head
}

/// Gives the file `part` the name that comes after all others in `directory`, which it returns.
fn give_name(
    part: &Path,
    directory: &Path,
    options: &WriterOptions,
    now_secs: u64,
) -> Result<PathBuf, WriteError> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    loop {
        let existing = event_file_names(directory).map_err(WriteError::io(directory))?;
        let parts = NameParts {
            now_secs,
            host: &options.host,
            process: process::id(),
            counter: COUNTER.fetch_add(1, Ordering::Relaxed),
        };
        let Some(name) = event_file::later_name(&existing, parts) else {
            let last: OsString = existing.last().cloned().unwrap_or_default();
            let path = directory.join(last);
            return Err(WriteError::NoLaterName { path });
        };
        let path = directory.join(name);
        match link(part, &path) {
            // A writer that does not know our lock was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            result => result.map_err(WriteError::io(&path))?,
        }
        if options.durability == Durability::Synced
            && let Err(cause) = sync_directory(directory)
        {
            // What it holds is kept, and would be there twice with the next file.
            let _ = fs::remove_file(&path);
            return Err(WriteError::io(directory)(cause));
        }
        return Ok(path);
    }
}

/// Renames a file to a name that no other has.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    // Elsewhere a file that is open may keep a name that is removed until it is closed.
    if cfg!(not(unix)) {
        return match to.try_exists()? {
            true => Err(io::ErrorKind::AlreadyExists.into()),
            false => fs::rename(from, to),
        };
    }
    match fs::hard_link(from, to) {
        Ok(()) => {
            // It has its name; under the other one nobody writes into it.
            let _ = fs::remove_file(from);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // Not every file system has links.
        Err(_) => fs::rename(from, to),
    }
}

/// New names are the directory's, which only Unix opens as a file.
fn sync_directory(directory: &Path) -> io::Result<()> {
    match cfg!(unix) {
        true => File::open(directory)?.sync_all(),
        false => Ok(()),
    }
}

/// Whether a file that is open has no name any more. Where that is not known, it has.
#[cfg(unix)]
fn is_removed(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
}

/// Elsewhere a file that is open cannot be removed.
#[cfg(not(unix))]
fn is_removed(_file: &File) -> bool {
    false
}

#[cfg(test)]
#[cfg(target_os = "linux")]
impl EventLog {
    /// From now on the current file lies on a device that is always full.
    pub(super) fn fill_disk(&mut self) {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        match &mut self.current {
            Current::Open(file) => file.events = EventWriter::new(full),
            Current::Broken(_) => panic!("not open"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::tb::reader::EventReader;
    use crate::tb::writer::lock::FILES_LEFT;

    use super::*;

    const POINT: ScalarEvent = ScalarEvent {
        wall_time: 1e9,
        step: 0,
        tag: "loss",
        value: 0.5,
    };

    fn options() -> WriterOptions {
        WriterOptions::new().clock(|| 1e9).host("host")
    }

    fn log(directory: &Path, options: WriterOptions) -> EventLog {
        let lock = DirectoryLock::take(directory).unwrap().unwrap();
        EventLog::create(directory, lock, options, None).unwrap()
    }

    fn write(log: &mut EventLog, steps: std::ops::Range<i64>) {
        for step in steps {
            log.write_scalar(&ScalarEvent { step, ..POINT }).unwrap();
        }
    }

    /// The steps in each event file of a directory, in order.
    fn steps(directory: &Path) -> Vec<Vec<i64>> {
        let names = event_file_names(directory).unwrap();
        let steps = |name| {
            let file = File::open(directory.join(name)).unwrap();
            let events = EventReader::new(file).map_while(Result::ok);
            let events = events.filter(|event| matches!(event.what, Some(event::What::Summary(_))));
            events.map(|event| event.step).collect()
        };
        names.into_iter().map(steps).collect()
    }

    #[test]
    fn a_full_file_is_followed_by_another() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = log(directory.path(), options().max_file_bytes(150));
        write(&mut log, 0..7);
        log.finish().unwrap();
        assert_eq!(
            steps(directory.path()),
            [vec![0, 1, 2], vec![3, 4, 5], vec![6]]
        );
        drop(log);
        let files = fs::read_dir(directory.path()).unwrap();
        assert_eq!(files.count(), 3 + FILES_LEFT);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_a_full_disk_does_not_take_goes_into_a_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = log(directory.path(), options().keep_unwritten(1000));
        write(&mut log, 0..2);
        log.fill_disk();
        write(&mut log, 2..5);
        assert_eq!(steps(directory.path()), [[0, 1]]);
        log.flush().unwrap();
        write(&mut log, 5..6);
        log.finish().unwrap();
        assert_eq!(steps(directory.path()), [vec![0, 1], vec![2, 3, 4, 5]]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_finds_no_room_in_memory_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = log(directory.path(), options().keep_unwritten(100));
        log.fill_disk();
        write(&mut log, 0..5);
        let error = log.flush().unwrap_err().to_string();
        let path = directory.path().display().to_string();
        let beginning = format!("cannot write {path}/events.out.tfevents.1000000000.host.");
        assert!(error.starts_with(&beginning), "{error}");
        assert!(
            error.ends_with("No space left on device (os error 28); 3 records lost"),
            "{error}"
        );
        log.flush().unwrap();
        write(&mut log, 5..6);
        assert_eq!(log.finish().unwrap_err().to_string(), error);
        assert_eq!(steps(directory.path()), [vec![], vec![0, 1, 5]]);
    }

    #[test]
    #[cfg(unix)]
    fn a_directory_that_vanishes_is_made_again() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("exp1");
        fs::create_dir(&directory).unwrap();
        let mut log = log(&directory, options().keep_unwritten(1000));
        write(&mut log, 0..3);
        fs::remove_dir_all(&directory).unwrap();
        let error = log.flush().unwrap_err().to_string();
        assert!(
            error.ends_with("the file was removed; 3 records lost"),
            "{error}"
        );
        write(&mut log, 3..5);
        log.flush().unwrap();
        assert!(log.finish().is_err());
        assert_eq!(steps(&directory), [[3, 4]]);
        assert!(DirectoryLock::take(&directory).unwrap().is_none());

        // While there is something else in its place, all is kept.
        fs::remove_dir_all(&directory).unwrap();
        fs::write(&directory, "").unwrap();
        assert!(log.flush().is_err());
        write(&mut log, 5..7);
        let error = log.flush().unwrap_err().to_string();
        assert!(error.contains("; 2 records not written; "), "{error}");
        fs::remove_file(&directory).unwrap();
        drop(log);
        assert_eq!(steps(&directory), [[5, 6]]);
    }

    #[test]
    #[cfg(unix)]
    fn unless_it_is_kept_the_error_is_returned() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("exp1");
        fs::create_dir(&directory).unwrap();
        let mut log = log(&directory, options());
        fs::remove_dir_all(&directory).unwrap();
        assert!(matches!(log.flush(), Err(WriteError::Io { .. })));
        assert!(!directory.exists());
    }

    /// A kill between the two names leaves a part that is an event file.
    #[test]
    fn a_part_that_was_left_is_never_written_into() {
        let directory = tempfile::tempdir().unwrap();
        let mut first = log(directory.path(), options());
        write(&mut first, 0..3);
        drop(first);
        let name = event_file_names(directory.path()).unwrap().remove(0);
        let part = directory.path().join(PART_NAME);
        fs::hard_link(directory.path().join(name), part).unwrap();
        write(&mut log(directory.path(), options()), 3..4);
        assert_eq!(steps(directory.path()), [vec![0, 1, 2], vec![3]]);
        let files = fs::read_dir(directory.path()).unwrap();
        assert_eq!(files.count(), 2 + FILES_LEFT);
    }

    #[test]
    fn files_of_a_continued_run_say_once_where_it_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::take(directory.path()).unwrap().unwrap();
        let options = options().max_file_bytes(60);
        let mut log = EventLog::create(directory.path(), lock, options, Some(7)).unwrap();
        write(&mut log, 7..9);
        drop(log);
        let names = event_file_names(directory.path()).unwrap();
        let starts = names.iter().map(|name| {
            let file = File::open(directory.path().join(name)).unwrap();
            let events = EventReader::new(file).map(Result::unwrap);
            let is_start = |event: &Event| matches!(event.what, Some(event::What::SessionLog(_)));
            events.filter(is_start).count()
        });
        assert_eq!(starts.collect::<Vec<_>>(), [2, 0, 0]);
    }
}
