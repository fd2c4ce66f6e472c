//! What a training is watched by: the log, then the report; and Ctrl-C, which it answers.

use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cnn_tb::train::{
    Batch, Config, Epoch, Finish, Groups, Observer, Outcome, Progress, Snapshot, Start, TensorBoard,
};

use super::mishap::Mishap;
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
    /// Writing event files, and checkpoints.
    logging_mishap: Mishap,
    checkpoint_mishap: Mishap,
    /// What is wrong for good.
    failures: Vec<String>,
    output_failed: bool,
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
            logging_mishap: Mishap::default(),
            checkpoint_mishap: Mishap::default(),
            failures: Vec::new(),
            output_failed: false,
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
    ///
    /// # Errors
    /// What could not be written in the end, as the log on a full disk.
    pub fn end(mut self, config: &Config, outcome: &Outcome) -> anyhow::Result<Option<Test>> {
        if let Some(log) = &self.log
            && outcome.test.is_none()
        {
            self.logging_mishap.note(log.close());
        }
        let reported = self.report.end(&End {
            config,
            run_dir: &self.run_dir,
            epochs: &outcome.epochs,
            completed_before: self.completed_before,
            stopped: outcome.stopped,
            test: self.test,
            elapsed: self.began.elapsed(),
        });
        self.note_report(reported);
        self.warn_of_left_out();
        let mishaps = [&self.logging_mishap, &self.checkpoint_mishap];
        let present = mishaps.into_iter().filter_map(Mishap::present);
        self.failures.extend(present.map(str::to_owned));
        match &self.failures[..] {
            [] => Ok(self.test),
            failures => anyhow::bail!("{}", failures.join("; ")),
        }
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

    /// Takes note of whether all that was logged is in the event files.
    fn note_logging(&mut self) {
        let failure = self.log.as_ref().and_then(TensorBoard::failure);
        let news = self.logging_mishap.note(failure.map_or(Ok(()), Err));
        self.warn(news);
    }

    /// Takes note of how a report went. A training goes on when nobody reads its output any more
    /// (`cnn-tb train | head`), and when it cannot be written: what it is for lies in the run
    /// directory.
    fn note_report(&mut self, reported: io::Result<()>) {
        let Err(error) = reported else { return };
        if error.kind() == ErrorKind::BrokenPipe || self.output_failed {
            return;
        }
        self.output_failed = true;
        let message = format!("cannot write to standard output: {error}");
        self.warn(Some(format!("{message}; the training goes on")));
        self.failures.push(message);
    }

    fn warn(&mut self, text: Option<String>) {
        if let Some(text) = text {
            self.report.warn(&text);
        }
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
        let reported = self.report.start(start);
        self.note_report(reported);
        Ok(())
    }

    fn batch(&mut self, batch: &Batch) -> io::Result<ControlFlow<()>> {
        let _ = self.log(|log| log.batch(batch))?;
        let reported = self.report.batch(batch, self.times());
        self.note_report(reported);
        Ok(self.answer())
    }

    fn epoch(&mut self, epoch: &Epoch, snapshot: &Snapshot<'_>) -> io::Result<ControlFlow<()>> {
        let _ = self.log(|log| log.epoch(epoch, snapshot))?;
        self.note_logging();
        let reported = self.report.epoch(epoch, self.times());
        self.note_report(reported);
        self.logging = Duration::ZERO;
        Ok(self.answer())
    }

    fn finish(&mut self, finish: &Finish<'_>) -> io::Result<()> {
        self.log(|log| log.finish(finish))?;
        self.note_logging();
        self.test = Some(finish.into());
        // Before the checkpoint that says that all is done.
        let parameters = finish.snapshot.parameters;
        if let Err(error) = self.run_dir.save_weights(|path| parameters.save(path)) {
            self.failures.push(format!("{error:#}"));
        }
        Ok(())
    }

    fn checkpoint(&mut self, progress: &Progress<'_>) -> io::Result<()> {
        let sync = progress.is_finished() || self.synced.elapsed() >= SYNC_INTERVAL;
        let notes = self.log.as_ref().map_or(&[][..], TensorBoard::notes);
        let saved = (self.run_dir.restore_config(progress.config()))
            .and_then(|()| progress.save(self.run_dir.path(), notes, sync));
        if sync && saved.is_ok() {
            self.synced = Instant::now();
        }
        let news = self.checkpoint_mishap.note(saved);
        self.warn(news);
        Ok(())
    }
}
