//! What a training is watched by: the log, then the report; and Ctrl-C, which it answers.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cnn_tb::train::{
    Batch, Config, Epoch, Finish, Groups, Observer, Outcome, Progress, Snapshot, Start, TensorBoard,
};

use super::run_dir::RunDir;
use super::surroundings;
use super::{End, Report, Test, Times};
use crate::cli::output;

/// A checkpoint is waited for until the disk has it at most so often, as that takes as long as
/// several batches: so much a power failure may undo. What is only written outlasts a kill.
const SYNC_INTERVAL: Duration = Duration::from_secs(10);

/// Logs to TensorBoard, then reports, and stops the training when the user asks for it.
pub struct Watch {
    run_dir: RunDir,
    groups: Groups,
    quiet: bool,
    report: Box<dyn Report>,
    began: Instant,
    interrupted: Arc<AtomicBool>,
    /// `None` until the training starts: before, nothing is created.
    log: Option<TensorBoard>,
    /// Spent on event files in this epoch.
    logging: Duration,
    test: Option<Test>,
    /// Epochs that were completed before.
    completed_before: usize,
    /// When the last checkpoint was known to be on the disk.
    synced: Instant,
}

impl Watch {
    /// Nothing happens before [`Observer::start`].
    pub fn new(
        run_dir: RunDir,
        groups: Groups,
        quiet: bool,
        report: Box<dyn Report>,
        began: Instant,
        interrupted: Arc<AtomicBool>,
    ) -> Self {
        Self {
            run_dir,
            groups,
            quiet,
            report,
            began,
            interrupted,
            log: None,
            logging: Duration::ZERO,
            test: None,
            completed_before: 0,
            synced: began,
        }
    }

    /// The directory that is written.
    pub fn run_dir(&self) -> &RunDir {
        &self.run_dir
    }

    /// Ends the log of a training that failed for good. The reason is told elsewhere; a log that
    /// cannot be ended either has nothing to add to it.
    pub fn fail(self) {
        self.warn_of_left_out();
        if let Some(log) = self.log {
            let _ = log.fail();
        }
    }

    /// Reports the end, after the weights were saved. Returns the test result, if the training
    /// came that far.
    pub fn end(mut self, config: &Config, outcome: &Outcome) -> io::Result<Option<Test>> {
        unless_closed(self.report.end(&End {
            config,
            run_dir: &self.run_dir,
            epochs: &outcome.epochs,
            completed_before: self.completed_before,
            stopped: outcome.stopped,
            test: self.test,
            elapsed: self.began.elapsed(),
        }))?;
        self.warn_of_left_out();
        Ok(self.test)
    }

    /// Says what could not be logged, which TensorBoard does not show by itself.
    fn warn_of_left_out(&self) {
        let left_out = self.log.iter().flat_map(TensorBoard::left_out);
        left_out.for_each(|text| output::warn(text));
    }

    /// Has the log told, and counts the time that takes.
    fn log<T>(
        &mut self,
        tell: impl FnOnce(&mut TensorBoard) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        let began = Instant::now();
        let told = self.log.as_mut().map(tell).transpose();
        self.logging += began.elapsed();
        told
    }

    fn times(&self) -> Times {
        Times {
            elapsed: self.began.elapsed(),
            logging: self.logging,
        }
    }

    fn answer(&self) -> ControlFlow<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// A training goes on when nobody reads its output any more (`cnn-tb train | head`): what it is for
/// lies in the run directory.
fn unless_closed(reported: io::Result<()>) -> io::Result<()> {
    reported.or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        kind => {
            let message = format!("cannot write to standard output: {error}");
            Err(io::Error::new(kind, message))
        }
    })
}

impl Observer for Watch {
    fn start(&mut self, start: &Start<'_>) -> io::Result<()> {
        self.run_dir.clear(self.quiet)?;
        // First the log: it refuses a directory whose name or state does not suit it.
        self.completed_before = start.completed.len();
        let (path, groups) = (self.run_dir.path(), self.groups);
        let log = match self.run_dir.is_resumed() {
            false => TensorBoard::create(path, groups),
            true => {
                let completed = self.completed_before;
                TensorBoard::append(path, groups, completed, start.updates_per_epoch)
            }
        };
        self.log = Some(log.map_err(io::Error::other)?);
        self.run_dir.write_config(start.config)?;
        if self.groups.settings {
            self.log(|log| surroundings::log(log))?;
            if let Some((log, text)) = self.log.as_ref().zip(self.run_dir.forked_from()) {
                log.add_text("forked_from", text)
                    .map_err(io::Error::other)?;
            }
        }
        self.log(|log| log.start(start))?;
        unless_closed(self.report.start(start))
    }

    fn batch(&mut self, batch: &Batch) -> io::Result<ControlFlow<()>> {
        let _ = self.log(|log| log.batch(batch))?;
        unless_closed(self.report.batch(batch, self.times()))?;
        Ok(self.answer())
    }

    fn epoch(&mut self, epoch: &Epoch, snapshot: &Snapshot<'_>) -> io::Result<ControlFlow<()>> {
        let _ = self.log(|log| log.epoch(epoch, snapshot))?;
        unless_closed(self.report.epoch(epoch, self.times()))?;
        self.logging = Duration::ZERO;
        Ok(self.answer())
    }

    fn finish(&mut self, finish: &Finish<'_>) -> io::Result<()> {
        self.log(|log| log.finish(finish))?;
        self.test = Some(finish.into());
        // Before the checkpoint that says that all is done.
        let saved = self
            .run_dir
            .save_weights(|path| finish.snapshot.parameters.save(path));
        saved.map_err(|error| io::Error::other(format!("{error:#}")))
    }

    fn checkpoint(&mut self, progress: &Progress<'_>) -> io::Result<()> {
        let sync = progress.is_finished() || self.synced.elapsed() >= SYNC_INTERVAL;
        let notes = self.log.as_ref().map_or(&[][..], TensorBoard::notes);
        progress.save(self.run_dir.path(), notes, sync)?;
        if sync {
            self.synced = Instant::now();
        }
        Ok(())
    }
}
