//! The event files of one directory, which is one run of TensorBoard's, read once and in order.

use std::collections::BTreeMap;
use std::mem;
use std::ops::RangeInclusive;
use std::path::Path;

use crate::report::doctor::columns::Trial;
use crate::report::doctor::file;
use crate::report::doctor::finding::{Cause, Finding};
use crate::report::doctor::given::Given;
use crate::report::doctor::samples;
use crate::report::doctor::series::Series;
use crate::report::doctor::span::{self, Span};
use crate::report::doctor::walk::Found;
use crate::tb::proto::session_log::SessionStatus;
use crate::tb::proto::summary::Value;
use crate::tb::proto::{Event, SessionLog, event};
use crate::tb::reader::{ReadError, decode_event};
use crate::tb::scalar_event::ScalarEvent;
use crate::tb::summary::{hparams, scalar};

/// Wall times that go back by less are the work of several threads.
const CLOCK_TOLERANCE_SECS: f64 = 10.0;
/// Clocks of different machines differ by less.
const FUTURE_TOLERANCE_SECS: f64 = 3600.0;
/// The end of 1970: earlier wall times are no clock's.
const UNSET_SECS: f64 = 365.0 * 86_400.0;

/// Looks at the files of `found`; `now_secs` is the time in seconds since the Unix epoch.
pub(super) fn examine(found: &Found, now_secs: f64) -> (Vec<Finding>, Trial) {
    let mut directory = Directory {
        now_secs,
        clock: UNSET_SECS..=now_secs + FUTURE_TOLERANCE_SECS,
        findings: Vec::new(),
        of_this_file: 0,
        trial: Trial {
            run: found.run.clone(),
            path: found.path.clone(),
            ..Trial::default()
        },
        tags: BTreeMap::new(),
        series: Vec::new(),
        files: Vec::new(),
        starts_purge: false,
        is_armed: false,
        lone_start: None,
    };
    if let Some(error) = &found.error {
        let cause = error.to_string();
        directory.report(&found.path, Cause::Unreadable { cause });
    }
    for path in &found.event_files {
        file::examine(path, &mut directory);
    }
    for path in found.others.iter().filter(|path| file::holds_events(path)) {
        directory.report(path, Cause::UnreadName);
    }
    directory.finish()
}

/// One run while its files are read, in the order of their names.
pub(super) struct Directory {
    pub now_secs: f64,
    /// The wall times that a clock may give.
    clock: RangeInclusive<f64>,
    findings: Vec<Finding>,
    /// Where in `findings` those of the file that is read begin.
    of_this_file: usize,
    trial: Trial,
    /// Where in `series` each tag is.
    tags: BTreeMap<String, usize>,
    series: Vec<Series>,
    /// The files so far; the last one is being read.
    files: Vec<Span>,
    /// Whether the last file version was one in which starts of sessions purge.
    starts_purge: bool,
    /// Whether a start was seen: the first one of a run only arms.
    is_armed: bool,
    /// The file with the run's first start, where it came after points of other files.
    lone_start: Option<usize>,
}

impl Directory {
    /// Begins with the next file.
    pub(super) fn begin_file(&mut self, path: &Path) {
        self.of_this_file = self.findings.len();
        self.files.push(Span::new(path));
    }

    /// Notes a finding; of causes that are counted only the first one in a file.
    pub(super) fn report(&mut self, path: &Path, mut cause: Cause) {
        if cause.more_mut().is_some() {
            let of_this_file = &mut self.findings[self.of_this_file..];
            let kind = mem::discriminant(&cause);
            let is_same = |finding: &&mut Finding| mem::discriminant(&finding.cause) == kind;
            let same = of_this_file.iter_mut().find(is_same);
            if let Some(more) = same.and_then(|finding| finding.cause.more_mut()) {
                *more += 1;
                return;
            }
        }
        self.findings.push(Finding {
            run: self.trial.run.clone(),
            path: path.to_owned(),
            cause,
        });
    }

    fn report_here(&mut self, cause: Cause) {
        if let Some(path) = self.files.last().map(|file| file.path.clone()) {
            self.report(&path, cause);
        }
    }

    /// Takes the event in the record at `offset`.
    pub(super) fn add(&mut self, offset: u64, payload: &[u8]) -> Result<(), ReadError> {
        if let Some(event) = ScalarEvent::decode(payload) {
            if offset == 0 {
                self.report_here(Cause::NoFileVersion);
            }
            self.add_time(offset, event.wall_time, true)?;
            self.add_value(event.tag, event.step, Given::scalar(event.value));
            return Ok(());
        }
        let event: Event = decode_event(offset, payload)?;
        let has_values = matches!(event.what, Some(event::What::Summary(_)));
        if offset == 0 && !matches!(event.what, Some(event::What::FileVersion(_))) {
            self.report_here(Cause::NoFileVersion);
        }
        self.add_time(offset, event.wall_time, has_values)?;
        match event.what {
            Some(event::What::FileVersion(version)) => {
                let number = version.strip_prefix("brain.Event:");
                let number = number.and_then(|number| number.parse::<f64>().ok());
                self.starts_purge = number.is_some_and(|number| number >= 2.0);
            }
            Some(event::What::SessionLog(log)) => self.add_log(event.step, &log),
            Some(event::What::Summary(summary)) => {
                for value in summary.value {
                    self.add_summary(event.step, &value);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add_time(&mut self, offset: u64, found: f64, has_values: bool) -> Result<(), ReadError> {
        if !found.is_finite() {
            return Err(ReadError::WallTime { offset, found });
        }
        if found > *self.clock.end() {
            self.report_here(Cause::ClockAhead {
                offset,
                found,
                more: 0,
            });
        }
        if found < *self.clock.start() {
            self.report_here(Cause::ClockUnset {
                offset,
                found,
                more: 0,
            });
        }
        let Some(file) = self.files.last_mut() else {
            return Ok(());
        };
        let from = file.add(found, has_values, &self.clock);
        if found < from - CLOCK_TOLERANCE_SECS {
            self.report_here(Cause::ClockBack {
                offset,
                from,
                to: found,
                more: 0,
            });
        }
        Ok(())
    }

    /// The start of a session. Source: `plugin_event_accumulator.py` in
    /// <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/backend/event_processing>.
    fn add_log(&mut self, step: i64, log: &SessionLog) {
        if log.status() != SessionStatus::Start || !self.starts_purge {
            return;
        }
        if self.is_armed {
            self.series.iter_mut().for_each(|series| series.start(step));
            self.lone_start = None;
        } else if !self.series.is_empty() {
            self.lone_start = self.files.len().checked_sub(1);
        }
        self.is_armed = true;
    }

    fn add_summary(&mut self, step: i64, value: &Value) {
        let metadata = value.metadata.as_ref();
        if let Some(hparams::SessionInfo::Start { hparams, .. }) =
            hparams::from_metadata(&value.tag, metadata)
        {
            // The first one holds for ever.
            let names = || hparams.into_keys().collect();
            self.trial.session.get_or_insert_with(names);
        }
        if let Some(experiment) = hparams::experiment(&value.tag, metadata) {
            self.trial.columns.get_or_insert(experiment.into());
        }
        let series = self.tags.get(&value.tag).map(|&index| &self.series[index]);
        if let Some(given) = Given::of(value, series.map(|series| series.plugin.as_str())) {
            self.add_value(&value.tag, step, given);
        }
    }

    fn add_value(&mut self, tag: &str, step: i64, given: Given) {
        let index = match self.tags.get(tag) {
            Some(&index) => index,
            None => {
                self.tags.insert(tag.to_owned(), self.series.len());
                self.series.push(Series::new(given.plugin));
                self.series.len() - 1
            }
        };
        let Some(number) = self.files.len().checked_sub(1) else {
            return;
        };
        let is_after_lone_start = self.lone_start == Some(number);
        let erased = self.series[index].add((number, is_after_lone_start), step, given);
        self.files[number].erased += erased;
    }

    /// Says what can be said once all files are read.
    fn finish(mut self) -> (Vec<Finding>, Trial) {
        self.of_this_file = self.findings.len();
        let files = mem::take(&mut self.files);
        let mut explained = Vec::new();
        for (number, cause) in span::causes(&files) {
            if !matches!(cause, Cause::SameSecond { .. }) {
                explained.push(number);
            }
            self.report(&files[number].path, cause);
        }
        let of_tags = self
            .tags
            .iter()
            .map(|(tag, &index)| (tag.as_str(), &self.series[index]));
        let lengths = of_tags.map(|(tag, series)| (tag, series.plugin.as_str(), series.points()));
        let directory = self.trial.path.clone();
        for cause in samples::causes(lengths) {
            self.report(&directory, cause);
        }
        for (tag, index) in mem::take(&mut self.tags) {
            let causes = self.series[index].causes(&tag, |file| explained.contains(&file));
            for (number, cause) in causes {
                self.report(&files[number].path, cause);
            }
            if self.series[index].plugin == scalar::PLUGIN {
                self.trial.scalars.insert(tag);
            }
        }
        (self.findings, self.trial)
    }
}
