//! A run directory that is written.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::mem;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::tb::event_file::{self, event_file_names};
use crate::tb::proto::summary::Value;
use crate::tb::proto::{Event, Summary, event};
use crate::tb::scalar_event::ScalarEvent;
use crate::tb::summary::histogram::Values;
use crate::tb::summary::hparams::{self, HParam, SessionStatus};
use crate::tb::summary::scalar::{self, Number};
use crate::tb::summary::{Misfit, plugin_of, text};
use crate::tb::writer::event_log::EventLog;
use crate::tb::writer::lock::DirectoryLock;
use crate::tb::writer::step_zero::StepZero;
use crate::tb::writer::tags::Tags;
use crate::tb::writer::{Step, Warning, WriteError, WriterOptions};

/// Logs to a run directory that stock TensorBoard shows.
///
/// A handle: clones and the writers that [`at`](Self::at) gives log to the same directory, from any
/// thread. All methods take `&self`. Steps may have any integer type, values are `f32` or `f64`.
///
/// Series begin at step 1; step 0 is for what never changes, as texts and hyper-parameters.
///
/// # Errors
/// Every method that logs fails with [`WriteError::Io`] where the file system does, and from then
/// on with the same error; with [`WriteError::Step`] or [`WriteError::WallTime`] for a step or wall
/// time that event files cannot hold; with [`WriteError::Finished`] after the end.
///
/// ```
/// use cnn_tb::tb::writer::SummaryWriter;
/// # let logdir = tempfile::tempdir()?;
/// # let runs = logdir.path();
/// let writer = SummaryWriter::create(runs.join("exp1"))?;
/// writer.add_hparams([("learning_rate", 0.003.into()), ("optimizer", "adam".into())])?;
/// let validation = writer.child("validation")?;
/// for (epoch, loss) in [0.9, 0.5, 0.4].into_iter().enumerate() {
///     writer.add_scalar("loss", loss, epoch + 1)?;
///     validation.add_scalar("loss", loss + 0.1, epoch + 1)?;
/// }
/// writer.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SummaryWriter {
    directory: Arc<Directory>,
    /// In place of the clock's.
    wall_time: Option<f64>,
}

impl SummaryWriter {
    /// Starts a new run in `directory`, which is made where it is missing.
    ///
    /// The directory gets one event file of a name that no other has, and, until the end, a lock
    /// that keeps other writers out.
    ///
    /// # Errors
    /// [`WriteError::HoldsEvents`] where a run is there already, [`WriteError::Locked`] where
    /// another writer is at work, [`WriteError::DirectoryName`], [`WriteError::Io`].
    pub fn create(directory: impl AsRef<Path>) -> Result<Self, WriteError> {
        WriterOptions::new().create(directory)
    }

    /// Continues the run in `directory` from `purge_step` on, in a new file.
    ///
    /// Earlier files are left as they are. TensorBoard and this crate's reader drop the points at
    /// or after `purge_step` that they hold, of every tag of the directory; so log everything from
    /// there on again. What was logged at step 0 stays, and is not written a second time.
    ///
    /// # Errors
    /// [`WriteError::PurgeStep`] for a step below 1, [`WriteError::NoLaterName`] where a file of an
    /// odd name is there, and as [`create`](Self::create) otherwise.
    pub fn append(directory: impl AsRef<Path>, purge_step: impl Step) -> Result<Self, WriteError> {
        WriterOptions::new().append(directory, purge_step)
    }

    /// The writer of the sub-directory `name`, a run of its own to TensorBoard. It is opened in the
    /// way that this one was, a purge step included; asked for again, it is the same.
    ///
    /// # Errors
    /// [`WriteError::DirectoryName`] for a name that leads elsewhere, and those of
    /// [`create`](Self::create) or [`append`](Self::append).
    pub fn child(&self, name: &str) -> Result<Self, WriteError> {
        self.open_child(name, self.directory.purge_step)
    }

    /// As [`child`](Self::child), continued from another purge step: for a sub-directory that
    /// counts its steps in another unit.
    ///
    /// # Errors
    /// Those of [`append`](Self::append).
    pub fn append_child(&self, name: &str, purge_step: impl Step) -> Result<Self, WriteError> {
        self.open_child(name, Some(purge_step.to_i64()?))
    }

    /// A writer to the same directory that stamps `wall_time` (seconds since the Unix epoch) on
    /// all that it logs.
    ///
    /// ```
    /// # let logdir = tempfile::tempdir()?;
    /// let writer = cnn_tb::tb::writer::SummaryWriter::create(logdir.path())?;
    /// writer.at(1.7e9).add_scalar("loss", 0.5, 1)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn at(&self, wall_time: f64) -> Self {
        Self {
            directory: Arc::clone(&self.directory),
            wall_time: Some(wall_time),
        }
    }

    /// The run directory.
    pub fn path(&self) -> &Path {
        &self.directory.path
    }

    /// Logs one point of the series `tag`.
    ///
    /// # Errors
    /// See [`SummaryWriter`].
    pub fn add_scalar(
        &self,
        tag: &str,
        value: impl Number,
        step: impl Step,
    ) -> Result<(), WriteError> {
        self.add_point(tag, value.to_f32(), step.to_i64()?)
    }

    /// Logs one point of each of the series `tag/key`, all in one record.
    ///
    /// They belong to this run: TensorBoard draws one chart each, in the group `tag`. For several
    /// lines in one chart log equal tags in several [`child`](Self::child) directories.
    ///
    /// ```
    /// # let logdir = tempfile::tempdir()?;
    /// # let writer = cnn_tb::tb::writer::SummaryWriter::create(logdir.path())?;
    /// writer.add_scalars("memory", [("used", 3.5), ("free", 0.5)], 1)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`SummaryWriter`].
    pub fn add_scalars<K: AsRef<str>, V: Number>(
        &self,
        tag: &str,
        values: impl IntoIterator<Item = (K, V)>,
        step: impl Step,
    ) -> Result<(), WriteError> {
        let values = values
            .into_iter()
            .map(|(key, value)| {
                let tag = format!("{tag}/{}", key.as_ref());
                scalar::to_value(&tag, value.to_f32())
            })
            .collect();
        self.add_values(values, step)
    }

    /// Logs a text, which TensorBoard shows as Markdown. A single line break is a blank in
    /// Markdown; lines that begin with four blanks are code.
    ///
    /// # Errors
    /// See [`SummaryWriter`].
    pub fn add_text(&self, tag: &str, text: &str, step: impl Step) -> Result<(), WriteError> {
        self.add_values(vec![text::to_value(tag, text)], step)
    }

    /// Logs how `values` (a slice, array or vector of `f32` or `f64`; with the feature `candle` also
    /// a tensor of any float type) are distributed: 30 buckets of equal width over the finite ones,
    /// on the Histograms, Distributions and Time Series pages. Where some are not finite, their
    /// count is logged too, as the scalar `tag/non_finite`, so that a gradient that went wrong is
    /// seen.
    ///
    /// ```
    /// # let logdir = tempfile::tempdir()?;
    /// # let writer = cnn_tb::tb::SummaryWriter::create(logdir.path())?;
    /// let weights = vec![0.1_f32, -0.2, 0.4];
    /// writer.add_histogram("conv1/weight", &weights, 1)?;
    /// writer.add_histogram("conv1/weight", &weights[..2], 2)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`WriteError::Value`] for a tensor of another type; see [`SummaryWriter`].
    pub fn add_histogram<V: Values + ?Sized>(
        &self,
        tag: &str,
        values: &V,
        step: impl Step,
    ) -> Result<(), WriteError> {
        let histogram = values.to_histogram().map_err(WriteError::value(tag))?;
        let mut summary = vec![histogram.to_value(tag)];
        if histogram.non_finite > 0 {
            let tag = format!("{tag}/non_finite");
            summary.push(scalar::to_value(&tag, histogram.non_finite as f32));
        }
        self.add_values(summary, step)
    }

    /// Logs the run's hyper-parameters, at step 0. The run is then a session of TensorBoard's
    /// HParams page, whose columns are these and the last values of all scalars of the run and its
    /// children; [`finish`](Self::finish) says that it ended well.
    ///
    /// Once a run: the same again does nothing.
    ///
    /// # Errors
    /// [`WriteError::OtherHParams`] for others than before, and see [`SummaryWriter`].
    pub fn add_hparams<K: Into<String>>(
        &self,
        hparams: impl IntoIterator<Item = (K, HParam)>,
    ) -> Result<(), WriteError> {
        let hparams: BTreeMap<_, _> = hparams
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect();
        let wall_time = self.wall_time()?;
        let mut state = self.directory.lock();
        if let State::Open(file) = &mut *state {
            match &file.hparams {
                Some(before) if *before == hparams => return Ok(()),
                Some(_) => {
                    let path = self.directory.path.clone();
                    return Err(WriteError::OtherHParams { path });
                }
                None => {}
            }
        }
        state.log(&self.directory.path, |file| {
            let value = hparams::start_value(&hparams, wall_time);
            file.write_values(vec![value], wall_time, 0)?;
            file.hparams = Some(hparams);
            Ok(())
        })
    }

    /// What may be a mistake in what was logged to this directory through this writer, once for each
    /// tag and cause, at most a thousand; [`WriterOptions::on_warning`] tells at once. Empty after
    /// the end.
    ///
    /// ```
    /// # let logdir = tempfile::tempdir()?;
    /// # let writer = cnn_tb::tb::SummaryWriter::create(logdir.path())?;
    /// use cnn_tb::tb::Warning;
    /// for step in [1, 2, 1] {
    ///     writer.add_scalar("loss", 0.5, step)?;
    /// }
    /// let tag = "loss".to_owned();
    /// assert_eq!(writer.warnings(), [Warning::StepWentBack { tag, from: 2, to: 1 }]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn warnings(&self) -> Vec<Warning> {
        match &*self.directory.lock() {
            State::Open(file) => file.tags.warnings().to_vec(),
            State::Failed(_) | State::Finished => Vec::new(),
        }
    }

    /// Hands all that was logged to the system, here and in the children; with
    /// [`Durability::Synced`](crate::tb::writer::Durability::Synced), to the disk.
    ///
    /// # Errors
    /// [`WriteError::Io`], the first of them.
    pub fn flush(&self) -> Result<(), WriteError> {
        let children = self.directory.each_child(Self::flush);
        self.directory.log(|file| file.log.flush()).and(children)
    }

    /// Ends the run and its children: with hyper-parameters, their session has succeeded. To
    /// call it again does nothing.
    ///
    /// A writer that is dropped flushes what it holds and lets go of the directory, but says
    /// nothing about the session, since the run may go on another day: that is
    /// [`close`](Self::close) with its error unheard.
    ///
    /// # Errors
    /// [`WriteError::Io`], the first of them.
    pub fn finish(&self) -> Result<(), WriteError> {
        self.end(Some(SessionStatus::Success))
    }

    /// As [`finish`](Self::finish), for a session that has failed for good.
    ///
    /// # Errors
    /// [`WriteError::Io`], the first of them.
    pub fn finish_with_failure(&self) -> Result<(), WriteError> {
        self.end(Some(SessionStatus::Failure))
    }

    /// Closes the files of the run and its children without a word about the session, which may
    /// be continued with [`append`](Self::append).
    ///
    /// # Errors
    /// [`WriteError::Io`], the first of them.
    pub fn close(&self) -> Result<(), WriteError> {
        self.end(None)
    }

    pub(super) fn open(
        path: &Path,
        options: WriterOptions,
        purge_step: Option<i64>,
    ) -> Result<Self, WriteError> {
        let directory = Directory::open(path, options, purge_step)?;
        Ok(Self {
            directory: Arc::new(directory),
            wall_time: None,
        })
    }

    fn open_child(&self, name: &str, purge_step: Option<i64>) -> Result<Self, WriteError> {
        check_child_name(name)?;
        let directory = &*self.directory;
        let mut children = lock(&directory.children);
        if let Some(child) = children.get(name) {
            return Ok(child.clone());
        }
        if let State::Finished = *directory.lock() {
            let path = directory.path.clone();
            return Err(WriteError::Finished { path });
        }
        let path = directory.path.join(name);
        let child = Self::open(&path, directory.options.clone(), purge_step)?;
        children.insert(name.to_owned(), child.clone());
        Ok(child)
    }

    /// Takes no type of the caller's, so that it is compiled here, with all that it calls, and not
    /// once more in every crate that logs.
    fn add_point(&self, tag: &str, value: f32, step: i64) -> Result<(), WriteError> {
        let event = ScalarEvent {
            wall_time: self.wall_time()?,
            step,
            tag,
            value,
        };
        self.directory.log(|file| file.write_scalar(&event))
    }

    #[inline]
    fn wall_time(&self) -> Result<f64, WriteError> {
        let found = self
            .wall_time
            .unwrap_or_else(|| (self.directory.options.clock)());
        match found.is_finite() {
            true => Ok(found),
            false => Err(WriteError::WallTime { found }),
        }
    }

    /// Logs what a run has once, at step 0. The same again does nothing.
    pub(super) fn add_once(&self, name: &'static str, what: event::What) -> Result<(), WriteError> {
        let wall_time = self.wall_time()?;
        let mut state = self.directory.lock();
        if let State::Open(file) = &*state {
            match file.once.get(name) {
                Some(before) if *before == what => return Ok(()),
                Some(_) => {
                    let misfit = Misfit::new(format!("another {name} than before"), "one a run");
                    return Err(WriteError::value(name)(misfit));
                }
                None => {}
            }
        }
        state.log(&self.directory.path, |file| {
            if !file.step_zero.holds_all(&what) {
                file.log.write(&Event {
                    wall_time,
                    what: Some(what.clone()),
                    ..Event::default()
                })?;
            }
            file.once.insert(name, what);
            Ok(())
        })
    }

    pub(super) fn add_values(&self, values: Vec<Value>, step: impl Step) -> Result<(), WriteError> {
        let (wall_time, step) = (self.wall_time()?, step.to_i64()?);
        if values.is_empty() {
            return Ok(());
        }
        self.directory
            .log(|file| file.write_values(values, wall_time, step))
    }

    /// Lets `write` put files into the run directory while nothing else is logged to it.
    pub(super) fn write_beside(
        &self,
        write: impl FnOnce(&Path) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let mut state = self.directory.lock();
        state.log(&self.directory.path, |_| Ok(()))?;
        let result = write(&self.directory.path);
        if let Err(error @ WriteError::Io { .. }) = &result
            && self.directory.options.max_unwritten_bytes.is_none()
        {
            *state = State::Failed(error.clone());
        }
        result
    }

    fn end(&self, status: Option<SessionStatus>) -> Result<(), WriteError> {
        let children = self.directory.each_child(|child| child.end(status));
        let wall_time = self.wall_time()?;
        let mut state = self.directory.lock();
        if let State::Finished = *state {
            return children;
        }
        let result = state.log(&self.directory.path, |file| {
            if let Some(status) = status
                && file.hparams.is_some()
                && !mem::replace(&mut file.is_ended, true)
            {
                let value = hparams::end_value(status, wall_time);
                file.write_values(vec![value], wall_time, 0)?;
            }
            file.log.finish()
        });
        if let Ok(()) | Err(WriteError::Unwritten { kept: 0, .. }) = result {
            *state = State::Finished;
        }
        result.and(children)
    }
}

impl fmt::Debug for SummaryWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SummaryWriter")
            .field("path", &self.directory.path)
            .field("wall_time", &self.wall_time)
            .finish_non_exhaustive()
    }
}

/// What all handles of one run directory share.
struct Directory {
    path: PathBuf,
    options: WriterOptions,
    /// Where the run is continued; `None` for a new one.
    purge_step: Option<i64>,
    state: Mutex<State>,
    /// Locked before `state` where both are.
    children: Mutex<BTreeMap<String, SummaryWriter>>,
}

enum State {
    Open(Box<OpenRun>),
    /// Nothing more is written; the error is every later call's answer.
    Failed(WriteError),
    Finished,
}

/// A run that is written.
struct OpenRun {
    log: EventLog,
    tags: Tags,
    /// What [`SummaryWriter::add_once`] has written, by name.
    once: BTreeMap<&'static str, event::What>,
    hparams: Option<BTreeMap<String, HParam>>,
    /// What earlier files hold.
    step_zero: StepZero,
    /// Whether the end of the session was logged.
    is_ended: bool,
}

impl Directory {
    fn open(
        path: &Path,
        options: WriterOptions,
        purge_step: Option<i64>,
    ) -> Result<Self, WriteError> {
        if let Some(found) = purge_step
            && found < 1
        {
            return Err(WriteError::PurgeStep { found });
        }
        if let Some(name) = path.file_name() {
            check_directory_name(&name.to_string_lossy())?;
        }
        fs::create_dir_all(path).map_err(WriteError::io(path))?;
        let lock = DirectoryLock::take(path)
            .map_err(WriteError::io(path))?
            .ok_or_else(|| WriteError::Locked {
                path: path.to_owned(),
            })?;
        let existing = event_file_names(path).map_err(WriteError::io(path))?;
        if purge_step.is_none() && !existing.is_empty() {
            let path = path.to_owned();
            return Err(WriteError::HoldsEvents { path });
        }
        let run = OpenRun {
            log: EventLog::create(path, lock, options.clone(), purge_step)?,
            tags: Tags::default(),
            once: BTreeMap::new(),
            hparams: None,
            step_zero: StepZero::read(existing.iter().map(|name| path.join(name))),
            is_ended: false,
        };
        Ok(Self {
            path: path.to_owned(),
            options,
            purge_step,
            state: Mutex::new(State::Open(Box::new(run))),
            children: Mutex::default(),
        })
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn log(
        &self,
        write: impl FnOnce(&mut OpenRun) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let mut state = self.lock();
        let result = state.log(&self.path, write);
        let warnings = match &mut *state {
            State::Open(file) => file.tags.take_fresh(),
            State::Failed(_) | State::Finished => Vec::new(),
        };
        // Whoever is told may use the writer.
        drop(state);
        if let Some(tell) = &self.options.on_warning {
            warnings
                .iter()
                .for_each(|warning| tell(&self.path, warning));
        }
        result
    }

    /// Calls `act` for every child; the first error, after all had their turn.
    fn each_child(
        &self,
        act: impl Fn(&SummaryWriter) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let children = lock(&self.children);
        let results: Vec<_> = children.values().map(act).collect();
        results.into_iter().collect()
    }
}

impl State {
    fn log(
        &mut self,
        directory: &Path,
        write: impl FnOnce(&mut OpenRun) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        match self {
            Self::Open(run) => {
                let result = write(run);
                if let Err(error @ WriteError::Io { .. }) = &result {
                    *self = Self::Failed(error.clone());
                }
                result
            }
            Self::Failed(error) => Err(error.clone()),
            Self::Finished => {
                let path = directory.to_owned();
                Err(WriteError::Finished { path })
            }
        }
    }
}

impl OpenRun {
    #[inline]
    fn write_scalar(&mut self, event: &ScalarEvent<'_>) -> Result<(), WriteError> {
        if self.step_zero.holds(event.tag, event.step) {
            return Ok(());
        }
        self.tags.note(event.tag, scalar::PLUGIN, event.step);
        self.log.write_scalar(event)
    }

    /// One event with all the values, each with its metadata: a record is complete in itself, so any
    /// file may hold it.
    fn write_values(
        &mut self,
        mut values: Vec<Value>,
        wall_time: f64,
        step: i64,
    ) -> Result<(), WriteError> {
        values.retain(|value| !self.step_zero.holds(&value.tag, step));
        if values.is_empty() {
            return Ok(());
        }
        for value in &values {
            self.tags.note(&value.tag, plugin_of(value), step);
        }
        self.log.write(&Event {
            wall_time,
            step,
            what: Some(event::What::Summary(Summary { value: values })),
            ..Event::default()
        })
    }
}

/// Whatever a thread that panicked was about, each record was written whole or not at all.
#[inline]
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check_directory_name(name: &str) -> Result<(), WriteError> {
    match name.contains(event_file::MARK) {
        true => Err(WriteError::DirectoryName {
            name: name.to_owned(),
            expected: "a name without `tfevents`, by which event files are known",
        }),
        false => Ok(()),
    }
}

fn check_child_name(name: &str) -> Result<(), WriteError> {
    let path = Path::new(name);
    let is_below = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || !is_below {
        return Err(WriteError::DirectoryName {
            name: name.to_owned(),
            expected: "a path that lies below its parent",
        });
    }
    path.iter()
        .try_for_each(|part| check_directory_name(&part.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::tb::proto::SessionLog;
    use crate::tb::proto::session_log::SessionStatus as LogStatus;
    use crate::tb::record::RecordReader;
    use crate::tb::writer::Durability;
    use crate::tb::writer::lock::FILES_LEFT;

    fn options() -> WriterOptions {
        WriterOptions::new().clock(|| 1e9).host("host")
    }

    /// The events of the only event file in `directory`, or of its last.
    fn events(directory: &Path) -> Vec<Event> {
        let name = event_file_names(directory).unwrap().pop().unwrap();
        let file = fs::File::open(directory.join(name)).unwrap();
        let mut records = RecordReader::new(file);
        let mut events = Vec::new();
        while let Some(payload) = records.read().unwrap() {
            events.push(Event::decode(payload).unwrap());
        }
        events
    }

    fn values(event: &Event) -> &[Value] {
        match &event.what {
            Some(event::What::Summary(summary)) => &summary.value,
            _ => &[],
        }
    }

    #[test]
    fn a_file_begins_with_its_version_and_holds_what_was_logged() {
        let logdir = tempfile::tempdir().unwrap();
        let writer = options().create(logdir.path().join("a/b")).unwrap();
        writer.add_scalar("loss", 0.5, 7).unwrap();
        let scalars = [("used", 1.0), ("free", 2.0)];
        writer.add_scalars("memory", scalars, 8_usize).unwrap();
        writer.at(2e9).add_text("note", "**ü**", 0).unwrap();
        writer.add_text("note", "again", 1).unwrap();
        // Each record is in the file already, the writer still being open.
        let events = events(writer.path());
        let version = event::What::FileVersion("brain.Event:2".to_owned());
        assert_eq!(events[0].what, Some(version));
        assert_eq!((events[0].wall_time, events[0].step), (1e9, 0));
        let source = events[0].source_metadata.as_ref().unwrap();
        assert!(source.writer.starts_with("cnn-tb "));
        assert_eq!(values(&events[1]), [scalar::to_value("loss", 0.5)]);
        let memory = [
            scalar::to_value("memory/used", 1.0),
            scalar::to_value("memory/free", 2.0),
        ];
        assert_eq!(values(&events[2]), memory);
        assert_eq!((events[2].wall_time, events[2].step), (1e9, 8));
        assert_eq!(values(&events[3]), [text::to_value("note", "**ü**")]);
        assert_eq!(events[3].wall_time, 2e9);
        // Any file may hold the second value of a tag.
        assert!(values(&events[4])[0].metadata.is_some());
        assert_eq!(events.len(), 5);
    }

    #[test]
    fn non_finite_values_of_a_histogram_are_counted_apart() {
        let logdir = tempfile::tempdir().unwrap();
        let writer = options().create(logdir.path()).unwrap();
        writer
            .add_histogram("grad", &[1.0_f32, f32::NAN], 1)
            .unwrap();
        writer.add_histogram("grad", &[1.0_f32, 2.0], 2).unwrap();
        let events = events(logdir.path());
        assert_eq!(
            values(&events[1])[1],
            scalar::to_value("grad/non_finite", 1.0)
        );
        assert_eq!(values(&events[2]).len(), 1);
    }

    #[test]
    fn one_writer_and_one_run_for_each_directory() {
        let logdir = tempfile::tempdir().unwrap();
        let path = logdir.path().join("exp1");
        let writer = options().create(&path).unwrap();
        let text = |result: Result<SummaryWriter, WriteError>| result.unwrap_err().to_string();
        assert!(text(options().create(&path)).starts_with("another writer has "));
        assert!(text(options().append(&path, 1)).starts_with("another writer has "));
        writer.finish().unwrap();
        let error = options().create(&path).unwrap_err();
        assert!(error.to_string().contains("SummaryWriter::append"));
        // What a `main` prints that returns it.
        assert_eq!(format!("{error:?}"), error.to_string());
        let files = fs::read_dir(&path).unwrap();
        assert_eq!(files.count(), 1 + FILES_LEFT);
        options().append(&path, 1).unwrap();
        for purge_step in [0, -1] {
            let message = text(options().append(&path, purge_step));
            assert_eq!(
                message,
                format!("the purge step is {purge_step}; it must be 1 or more")
            );
        }
    }

    #[test]
    fn a_continued_run_gets_a_later_file_that_purges() {
        let logdir = tempfile::tempdir().unwrap();
        // The clock goes back between the sessions.
        for (now, purge_step) in [(2e9, None), (1e9, Some(3)), (1e9, Some(3))] {
            let options = options().clock(move || now);
            let writer = match purge_step {
                None => options.create(logdir.path()),
                Some(step) => options.append(logdir.path(), step),
            };
            let child = writer.unwrap().child("batches").unwrap();
            child.add_scalar("loss", 0.5, 1).unwrap();
        }
        for directory in [logdir.path().to_owned(), logdir.path().join("batches")] {
            let names = event_file_names(&directory).unwrap();
            let secs: Vec<_> = names
                .iter()
                .map(|name| name.to_str().unwrap().split('.').nth(3).unwrap())
                .collect();
            assert_eq!(secs, ["2000000000", "2000000001", "2000000002"]);
            let start = event::What::SessionLog(SessionLog {
                status: LogStatus::Start.into(),
                ..SessionLog::default()
            });
            for event in &events(&directory)[1..3] {
                assert_eq!((event.step, &event.what), (3, &Some(start.clone())));
            }
        }
        let writer = options().append(logdir.path(), 2).unwrap();
        let batches = writer.append_child("batches", 551).unwrap();
        assert_eq!(events(batches.path())[1].step, 551);
    }

    #[test]
    fn hparams_start_and_end_a_session() {
        type End = fn(&SummaryWriter) -> Result<(), WriteError>;
        let ends: [(End, Option<SessionStatus>); 3] = [
            (SummaryWriter::finish, Some(SessionStatus::Success)),
            (
                SummaryWriter::finish_with_failure,
                Some(SessionStatus::Failure),
            ),
            (SummaryWriter::close, None),
        ];
        for (end, status) in ends {
            let logdir = tempfile::tempdir().unwrap();
            let writer = options().create(logdir.path()).unwrap();
            let child = writer.child("train").unwrap();
            for _ in 0..2 {
                let hparams = [("seed", 1.into()), ("optimizer", "adam".into())];
                writer.add_hparams(hparams).unwrap();
            }
            let error = writer.add_hparams([("seed", 2.into())]).unwrap_err();
            assert!(matches!(error, WriteError::OtherHParams { .. }), "{error}");
            end(&writer).unwrap();
            end(&writer).unwrap();
            let hparams = BTreeMap::from([
                ("seed".to_owned(), HParam::Number(1.0)),
                ("optimizer".to_owned(), HParam::Text("adam".to_owned())),
            ]);
            let mut expected = vec![hparams::start_value(&hparams, 1e9)];
            expected.extend(status.map(|status| hparams::end_value(status, 1e9)));
            let found: Vec<_> = events(logdir.path())
                .iter()
                .flat_map(values)
                .cloned()
                .collect();
            assert_eq!(found, expected);
            assert_eq!(events(child.path()).len(), 1);
            for writer in [&writer, &child] {
                let error = writer.add_scalar("loss", 0.5, 1).unwrap_err();
                assert!(matches!(error, WriteError::Finished { .. }), "{error}");
            }
            assert!(matches!(
                writer.child("new"),
                Err(WriteError::Finished { .. })
            ));
        }
    }

    #[test]
    fn a_dropped_writer_says_nothing_about_the_session() {
        let logdir = tempfile::tempdir().unwrap();
        let hour = std::time::Duration::from_secs(3600);
        let durability = Durability::Buffered {
            bytes: 1 << 20,
            interval: hour,
        };
        let writer = options()
            .durability(durability)
            .create(logdir.path())
            .unwrap();
        writer.add_hparams([("seed", 1.into())]).unwrap();
        assert_eq!(events(logdir.path()).len(), 1);
        let clone = writer.clone();
        drop(writer);
        clone.add_scalar("loss", 0.5, 1).unwrap();
        drop(clone);
        assert_eq!(events(logdir.path()).len(), 3);
        let files = fs::read_dir(logdir.path()).unwrap();
        assert_eq!(files.count(), 1 + FILES_LEFT);
    }

    #[test]
    fn names_that_would_mislead_a_reader_are_refused() {
        let logdir = tempfile::tempdir().unwrap();
        assert!(options().create(logdir.path().join("my.tfevents")).is_err());
        let writer = options().create(logdir.path()).unwrap();
        for name in [
            "",
            ".",
            "..",
            "../other",
            "/tmp",
            "a/../..",
            "x.tfevents",
            "tfevents/a",
        ] {
            let error = writer.child(name).unwrap_err();
            assert!(
                matches!(error, WriteError::DirectoryName { .. }),
                "{name}: {error}"
            );
        }
        let child = writer.child("fold1/train").unwrap();
        let again = writer.child("fold1/train").unwrap();
        assert!(Arc::ptr_eq(&child.directory, &again.directory));
    }

    #[test]
    fn numbers_that_a_file_cannot_hold_are_refused_and_nothing_is_written() {
        let logdir = tempfile::tempdir().unwrap();
        let writer = options().create(logdir.path()).unwrap();
        let error = writer.add_scalar("loss", 0.5, u64::MAX).unwrap_err();
        assert!(matches!(error, WriteError::Step { .. }), "{error}");
        let error = writer.at(f64::NAN).add_text("note", "", 1).unwrap_err();
        assert_eq!(error.to_string(), "the wall time is NaN; it must be finite");
        assert_eq!(events(logdir.path()).len(), 1);
        writer.add_scalar("loss", f64::NAN, -1).unwrap();
        assert_eq!(events(logdir.path()).len(), 2);
    }

    #[test]
    fn threads_share_a_writer_and_each_tag_keeps_its_order() {
        let logdir = tempfile::tempdir().unwrap();
        let writer = options().create(logdir.path()).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let writer = &writer;
                scope.spawn(move || {
                    for step in 0..250 {
                        writer
                            .add_scalar(&format!("tag{thread}"), 0.5, step)
                            .unwrap();
                    }
                });
            }
        });
        let events = events(logdir.path());
        assert_eq!(events.len(), 1001);
        for thread in 0..4 {
            let tag = format!("tag{thread}");
            let is_own = |event: &&Event| values(event).iter().any(|value| value.tag == tag);
            let steps = events.iter().filter(is_own).map(|event| event.step);
            assert!(steps.eq(0..250), "{tag}");
        }
    }

    /// A device that is always full.
    #[test]
    #[cfg(target_os = "linux")]
    fn an_error_of_the_file_system_stays() {
        let logdir = tempfile::tempdir().unwrap();
        let writer = options().create(logdir.path()).unwrap();
        match &mut *writer.directory.lock() {
            State::Open(run) => run.log.fill_disk(),
            _ => panic!("not open"),
        }
        let error = writer.add_scalar("loss", 0.5, 1).unwrap_err();
        assert!(std::error::Error::source(&error).is_none());
        let first = error.to_string();
        assert!(
            first.starts_with("cannot write ") && first.contains("space"),
            "{first}"
        );
        for result in [
            writer.add_text("note", "", 0),
            writer.add_hparams([("seed", 1.into())]),
            writer.flush(),
            writer.finish(),
        ] {
            assert_eq!(result.unwrap_err().to_string(), first);
        }
    }
}
