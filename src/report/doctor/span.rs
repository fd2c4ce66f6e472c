//! When a file was written, and which files of a directory were not written one after the other.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::report::doctor::finding::Cause;
use crate::tb::event_file::secs_in;

/// Two files that overlap by less follow each other.
const TOLERANCE_SECS: f64 = 1.0;

/// A file and the time in which it was written.
#[derive(Debug)]
pub(super) struct Span {
    pub path: PathBuf,
    /// The greatest wall time so far.
    latest: f64,
    /// The least and the greatest wall time of the events with values, those alone that may be a
    /// clock's.
    values: Option<(f64, f64)>,
    /// How many points of other files its points erase.
    pub erased: u64,
}

impl Span {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            latest: f64::NEG_INFINITY,
            values: None,
            erased: 0,
        }
    }

    /// Adds a wall time; the greatest one before it. A clock gives those in `clock`.
    pub(super) fn add(
        &mut self,
        wall_time: f64,
        has_values: bool,
        clock: &RangeInclusive<f64>,
    ) -> f64 {
        if has_values && clock.contains(&wall_time) {
            let (first, last) = self.values.unwrap_or((wall_time, wall_time));
            self.values = Some((first.min(wall_time), last.max(wall_time)));
        }
        let before = self.latest;
        self.latest = before.max(wall_time);
        before
    }

    fn secs_in_name(&self) -> Option<u64> {
        secs_in(&self.path.file_name()?.to_string_lossy())
    }
}

/// What is wrong with the order of `files`, which are in the order of their names: each cause with
/// the number of the later file.
pub(super) fn causes(files: &[Span]) -> Vec<(usize, Cause)> {
    let mut causes = Vec::new();
    // Of the files so far the one that was written the longest, and the last one.
    let mut latest: Option<(&Span, (f64, f64))> = None;
    let mut last: Option<&Span> = None;
    for (number, file) in files.iter().enumerate() {
        let Some(times) = file.values else { continue };
        let erased = file.erased;
        let overlap = latest.filter(|(_, other)| times.0 < other.1 - TOLERANCE_SECS);
        if let Some((other, other_times)) = overlap {
            let other = other.path.clone();
            let cause = match times.1 <= other_times.0 {
                true => Cause::FileOrder { other, erased },
                false => Cause::TwoWriters { other, erased },
            };
            causes.push((number, cause));
        } else if let Some(other) = last
            && file.secs_in_name().is_some()
            && file.secs_in_name() == other.secs_in_name()
        {
            let other = other.path.clone();
            causes.push((number, Cause::SameSecond { other }));
        }
        if latest.is_none_or(|(_, other)| times.1 > other.1) {
            latest = Some((file, times));
        }
        last = Some(file);
    }
    causes
}
