//! The event files of one directory, which is one run of TensorBoard's, read once and in order.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::path::Path;

use crate::report::doctor::columns::Trial;
use crate::report::doctor::file::{self, Span};
use crate::report::doctor::finding::{Cause, Finding, Kept};
use crate::report::doctor::series::{Given, Series, kept};
use crate::report::doctor::walk::Found;
use crate::tb::event_file::secs_in;
use crate::tb::proto::session_log::SessionStatus;
use crate::tb::proto::summary::{Value, value};
use crate::tb::proto::{DataType, SessionLog, TensorProto, event};
use crate::tb::reader::{ReadError, decode_event};
use crate::tb::scalar_event::ScalarEvent;
use crate::tb::summary::{hparams, scalar};

/// Wall times that go back by less are the work of several threads.
const CLOCK_TOLERANCE_SECS: f64 = 10.0;
/// Clocks of different machines differ by less.
const FUTURE_TOLERANCE_SECS: f64 = 3600.0;
/// The end of 1970: earlier wall times are no clock's.
const UNSET_SECS: f64 = 365.0 * 86_400.0;
/// Two files that overlap by less follow each other.
const OVERLAP_TOLERANCE_SECS: f64 = 1.0;

/// Looks at the files of `found`; `now_secs` is the time in seconds since the Unix epoch.
pub(super) fn examine(found: &Found, now_secs: f64) -> (Vec<Finding>, Trial) {
    let mut directory = Directory {
        now_secs,
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

    /// Notes a finding; of some causes a file is noted once, with the count of cases.
    pub(super) fn report(&mut self, path: &Path, cause: Cause) {
        let of_this_file = &mut self.findings[self.of_this_file..];
        let is_same = |finding: &&mut Finding| {
            finding.path == path && mem::discriminant(&finding.cause) == mem::discriminant(&cause)
        };
        let same = of_this_file.iter_mut().find(is_same);
        match same.and_then(|finding| finding.cause.more_mut()) {
            Some(more) => *more += 1,
            None => self.findings.push(Finding {
                run: self.trial.run.clone(),
                path: path.to_owned(),
                cause,
            }),
        }
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
            let given = Given {
                plugin: scalar::PLUGIN,
                unfit: None,
                is_finite: event.value.is_finite(),
            };
            self.add_value(event.tag, event.step, given);
            return Ok(());
        }
        let event = decode_event(offset, payload)?;
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
        if found > self.now_secs + FUTURE_TOLERANCE_SECS {
            self.report_here(Cause::ClockAhead {
                offset,
                found,
                more: 0,
            });
        }
        if found < UNSET_SECS {
            self.report_here(Cause::ClockUnset {
                offset,
                found,
                more: 0,
            });
        }
        let Some(file) = self.files.last_mut() else {
            return Ok(());
        };
        let from = file.add(found, has_values);
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
        let named = metadata.and_then(|metadata| metadata.plugin_data.as_ref());
        let named = named.map_or("", |data| data.plugin_name.as_str());
        let plugin = match value.value {
            Some(value::Value::SimpleValue(_)) => scalar::PLUGIN,
            Some(value::Value::Image(_)) => "images",
            Some(value::Value::Audio(_)) => "audio",
            Some(value::Value::Histo(_)) => "histograms",
            Some(value::Value::Tensor(_)) | None => named,
        };
        if value.value.is_none() && plugin.is_empty() {
            return;
        }
        let is_scalar = match plugin {
            "" => self.plugin_of(&value.tag) == Some(scalar::PLUGIN),
            plugin => plugin == scalar::PLUGIN,
        };
        let (mut unfit, mut is_finite) = (None, true);
        match &value.value {
            Some(value::Value::SimpleValue(number)) => is_finite = number.is_finite(),
            Some(value::Value::Tensor(tensor)) if is_scalar => {
                unfit = unfit_form(tensor);
                is_finite = scalar::from_tensor(tensor).is_none_or(f32::is_finite);
            }
            _ => {}
        }
        let unfit = unfit.as_deref();
        self.add_value(
            &value.tag,
            step,
            Given {
                plugin,
                unfit,
                is_finite,
            },
        );
    }

    fn plugin_of(&self, tag: &str) -> Option<&str> {
        let index = *self.tags.get(tag)?;
        Some(&self.series[index].plugin)
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

    fn finish(mut self) -> (Vec<Finding>, Trial) {
        self.of_this_file = self.findings.len();
        let explained = self.compare_files();
        self.report_samples();
        let mut series: Vec<Option<Series>> = self.series.drain(..).map(Some).collect();
        for (tag, index) in mem::take(&mut self.tags) {
            let Some(series) = series[index].take() else {
                continue;
            };
            if series.plugin == scalar::PLUGIN {
                self.trial.scalars.insert(tag.clone());
            }
            for (file, cause) in series.causes(&tag, |file| explained.contains(&file)) {
                let run = self.trial.run.clone();
                let path = self.files[file].path.clone();
                self.findings.push(Finding { run, path, cause });
            }
        }
        (self.findings, self.trial)
    }

    /// Notes files that were not written one after the other, in the order of their names; the
    /// later one of each pair, by its number.
    fn compare_files(&mut self) -> BTreeSet<usize> {
        let mut explained = BTreeSet::new();
        let files = mem::take(&mut self.files);
        let with_values = files
            .iter()
            .enumerate()
            .filter_map(|(number, file)| Some((number, file, file.values?)));
        // Of the files so far the one that was written the longest, and the last one.
        let mut latest: Option<(&Span, (f64, f64))> = None;
        let mut last: Option<&Span> = None;
        for (number, file, times) in with_values {
            let overlap = latest.filter(|(_, other)| times.0 < other.1 - OVERLAP_TOLERANCE_SECS);
            if let Some((other, other_times)) = overlap {
                let (other, erased) = (other.path.clone(), file.erased);
                let cause = match times.1 <= other_times.0 {
                    true => Cause::FileOrder { other, erased },
                    false => Cause::TwoWriters { other, erased },
                };
                self.report(&file.path, cause);
                explained.insert(number);
            } else if let Some(other) = last.filter(|other| has_same_second(file, other)) {
                let other = other.path.clone();
                self.report(&file.path, Cause::SameSecond { other });
            }
            if latest.is_none_or(|(_, other)| times.1 > other.1) {
                latest = Some((file, times));
            }
            last = Some(file);
        }
        self.files = files;
        explained
    }

    /// Notes, once for each plugin, series of more points than are kept.
    fn report_samples(&mut self) {
        let mut sampled: BTreeMap<&str, (&str, u64, u64, Kept)> = BTreeMap::new();
        for (tag, &index) in &self.tags {
            let series = &self.series[index];
            let points = series.points();
            let Some(kept) = kept(&series.plugin) else {
                continue;
            };
            if points > kept.server.min(kept.python) {
                let first = (tag.as_str(), 0, 0, kept);
                let (longest, most, count, _) = sampled.entry(&series.plugin).or_insert(first);
                *count += 1;
                if points > *most {
                    (*longest, *most) = (tag, points);
                }
            }
        }
        let cause =
            |(plugin, (tag, points, series, kept)): (&str, (&str, _, _, _))| Cause::Sampled {
                plugin: plugin.to_owned(),
                tag: tag.to_owned(),
                points,
                kept,
                series,
            };
        let causes: Vec<Cause> = sampled.into_iter().map(cause).collect();
        let path = self.trial.path.clone();
        for cause in causes {
            let run = self.trial.run.clone();
            let path = path.clone();
            self.findings.push(Finding { run, path, cause });
        }
    }
}

fn has_same_second(one: &Span, other: &Span) -> bool {
    let secs = |span: &Span| secs_in(&span.path.file_name()?.to_string_lossy());
    secs(one).is_some_and(|one| secs(other) == Some(one))
}

/// The form of a scalar's tensor, where that is not one 32-bit float. Source: `data_compat.rs` in
/// <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/data/server>.
fn unfit_form(tensor: &TensorProto) -> Option<String> {
    let sizes = tensor.tensor_shape.iter().flat_map(|shape| &shape.dim);
    let sizes: Vec<String> = sizes.map(|dim| dim.size.to_string()).collect();
    if tensor.dtype == i32::from(DataType::DtFloat) && sizes.is_empty() {
        return None;
    }
    let kind = DataType::try_from(tensor.dtype).map_or("DT_INVALID", |kind| kind.as_str_name());
    Some(match sizes.is_empty() {
        true => kind.to_owned(),
        false => format!("{kind} of shape [{}]", sizes.join(", ")),
    })
}
