//! What can be wrong with event files: what was found, what TensorBoard makes of it, what to do.

use std::fmt;
use std::path::PathBuf;

/// One thing that TensorBoard does not show, or not as it was meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The run: the directory relative to the logdir, `.` for the logdir itself.
    pub run: String,
    /// The file or directory.
    pub path: PathBuf,
    /// What was found there.
    pub cause: Cause,
}

/// `path: what was found`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.cause)
    }
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something that was logged is lost or is not shown.
    Problem,
    /// All is shown, though perhaps not as it was meant.
    Hint,
}

/// What was found. Offsets are bytes from the start of the file, times seconds since the Unix
/// epoch; `more` counts further cases in the same file.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each field's name says what it is")]
pub enum Cause {
    /// There is no event file in the logdir or below.
    NoEvents,
    /// The system does not let the file or directory be read.
    Unreadable { cause: String },
    /// A file holds events, but its name lacks `tfevents`.
    UnreadName,
    /// An event file without a byte in it.
    EmptyFile,
    /// The first event does not say which version of the format the file has.
    NoFileVersion,
    /// The payload of a record does not fit its checksum.
    DamagedPayload { offset: u64, more: u64 },
    /// The length of a record does not fit its checksum; so many bytes follow.
    DamagedLength { offset: u64, unread: u64 },
    /// From a record's place on there are only zeros.
    ZeroTail { offset: u64, zeros: u64 },
    /// The file ends inside a record, and nobody seems to be writing it.
    TornTail {
        offset: u64,
        found: u64,
        expected: u64,
    },
    /// The file ends inside a record that somebody may be writing at this moment.
    GrowingTail {
        offset: u64,
        found: u64,
        expected: u64,
    },
    /// A record is longer than a reader should take.
    TooLong { offset: u64, found: u64 },
    /// A record is whole, but holds something else than an event.
    NotAnEvent { offset: u64, more: u64 },
    /// An event whose values, strings or dimensions take so many bytes once decoded, too many.
    TooLarge { offset: u64, found: u64, more: u64 },
    /// An event's wall time is not a number, or is infinite.
    NonFiniteTime { offset: u64, found: f64, more: u64 },
    /// A series goes on at an earlier step, so many times; so many points are erased by that.
    StepsGoBack {
        tag: String,
        from: i64,
        to: i64,
        times: u64,
        erased: u64,
    },
    /// As `StepsGoBack`, behind the first mark of a session's start, which does not purge yet.
    LoneStart {
        tag: String,
        from: i64,
        to: i64,
        times: u64,
        erased: u64,
    },
    /// A series has several points at one step; so many are erased by that.
    RepeatedSteps { tag: String, step: i64, erased: u64 },
    /// So many values of a tag, the first at `step`, are of another kind than its first value.
    KindChanged {
        tag: String,
        step: i64,
        from: String,
        to: String,
        times: u64,
    },
    /// The values of a tag are tensors that name no plugin.
    NoPlugin { tag: String, step: i64, times: u64 },
    /// So many scalars, the first at `step`, are not one 32-bit float.
    UnfitScalar {
        tag: String,
        step: i64,
        found: String,
        times: u64,
    },
    /// So many values of a scalar, the first at `step`, are NaN or infinite.
    NonFiniteValues { tag: String, step: i64, times: u64 },
    /// So many series of a plugin have more points than TensorBoard keeps: `tag` the most, `points`.
    Sampled {
        plugin: String,
        tag: String,
        points: u64,
        kept: Kept,
        series: u64,
    },
    /// Two files of a directory grew at the same time; `erased` points of common tags.
    TwoWriters { other: PathBuf, erased: u64 },
    /// A file that was written later has a name that sorts earlier.
    FileOrder { other: PathBuf, erased: u64 },
    /// Two files of a directory were begun in the same second.
    SameSecond { other: PathBuf },
    /// Wall times go back inside a file, by more than ten seconds.
    ClockBack {
        offset: u64,
        from: f64,
        to: f64,
        more: u64,
    },
    /// Wall times lie in the future, by more than an hour.
    ClockAhead { offset: u64, found: f64, more: u64 },
    /// Wall times lie in 1970 or before, as where the clock is not set or a step was given.
    ClockUnset { offset: u64, found: f64, more: u64 },
    /// Settings and metrics that some experiment summary of the logdir does not list.
    HiddenColumns {
        hparams: Vec<String>,
        metrics: Vec<String>,
        experiments: u64,
    },
    /// A session has none of the series that would be its metrics.
    NoMetrics,
}

/// How many points of a series each of TensorBoard's loaders keeps by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The data server, which is the default.
    pub server: u64,
    /// The Python loader.
    pub python: u64,
}

impl Cause {
    /// Its name in JSON and in the documentation, as `damaged_payload`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoEvents => "no_events",
            Self::Unreadable { .. } => "unreadable",
            Self::UnreadName => "unread_name",
            Self::EmptyFile => "empty_file",
            Self::NoFileVersion => "no_file_version",
            Self::DamagedPayload { .. } => "damaged_payload",
            Self::DamagedLength { .. } => "damaged_length",
            Self::ZeroTail { .. } => "zero_tail",
            Self::TornTail { .. } => "torn_tail",
            Self::GrowingTail { .. } => "growing_tail",
            Self::TooLong { .. } => "too_long",
            Self::NotAnEvent { .. } => "not_an_event",
            Self::TooLarge { .. } => "too_large",
            Self::NonFiniteTime { .. } => "non_finite_time",
            Self::StepsGoBack { .. } => "steps_go_back",
            Self::LoneStart { .. } => "lone_start",
            Self::RepeatedSteps { .. } => "repeated_steps",
            Self::KindChanged { .. } => "kind_changed",
            Self::NoPlugin { .. } => "no_plugin",
            Self::UnfitScalar { .. } => "unfit_scalar",
            Self::NonFiniteValues { .. } => "non_finite_values",
            Self::Sampled { .. } => "sampled",
            Self::TwoWriters { .. } => "two_writers",
            Self::FileOrder { .. } => "file_order",
            Self::SameSecond { .. } => "same_second",
            Self::ClockBack { .. } => "clock_back",
            Self::ClockAhead { .. } => "clock_ahead",
            Self::ClockUnset { .. } => "clock_unset",
            Self::HiddenColumns { .. } => "hidden_columns",
            Self::NoMetrics => "no_metrics",
        }
    }

    /// Whether something is lost or not shown.
    pub fn severity(&self) -> Severity {
        match self {
            Self::EmptyFile
            | Self::NoFileVersion
            | Self::GrowingTail { .. }
            | Self::NonFiniteValues { .. }
            | Self::Sampled { .. }
            | Self::SameSecond { .. }
            | Self::ClockBack { .. }
            | Self::ClockAhead { .. }
            | Self::ClockUnset { .. }
            | Self::NoMetrics => Severity::Hint,
            _ => Severity::Problem,
        }
    }

    /// Where in the file it is.
    pub fn offset(&self) -> Option<u64> {
        match *self {
            Self::DamagedPayload { offset, .. }
            | Self::DamagedLength { offset, .. }
            | Self::ZeroTail { offset, .. }
            | Self::TornTail { offset, .. }
            | Self::GrowingTail { offset, .. }
            | Self::TooLong { offset, .. }
            | Self::NotAnEvent { offset, .. }
            | Self::TooLarge { offset, .. }
            | Self::NonFiniteTime { offset, .. }
            | Self::ClockBack { offset, .. }
            | Self::ClockAhead { offset, .. }
            | Self::ClockUnset { offset, .. } => Some(offset),
            _ => None,
        }
    }

    /// Which series it is about.
    pub fn tag(&self) -> Option<&str> {
        match self {
            Self::StepsGoBack { tag, .. }
            | Self::LoneStart { tag, .. }
            | Self::RepeatedSteps { tag, .. }
            | Self::KindChanged { tag, .. }
            | Self::NoPlugin { tag, .. }
            | Self::UnfitScalar { tag, .. }
            | Self::NonFiniteValues { tag, .. }
            | Self::Sampled { tag, .. } => Some(tag),
            _ => None,
        }
    }

    /// The step at which it was first met.
    pub fn step(&self) -> Option<i64> {
        match *self {
            Self::StepsGoBack { to: step, .. }
            | Self::LoneStart { to: step, .. }
            | Self::RepeatedSteps { step, .. }
            | Self::KindChanged { step, .. }
            | Self::NoPlugin { step, .. }
            | Self::UnfitScalar { step, .. }
            | Self::NonFiniteValues { step, .. } => Some(step),
            _ => None,
        }
    }

    /// The count of further cases in the same file, where they are counted.
    pub(super) fn more_mut(&mut self) -> Option<&mut u64> {
        match self {
            Self::DamagedPayload { more, .. }
            | Self::NotAnEvent { more, .. }
            | Self::TooLarge { more, .. }
            | Self::NonFiniteTime { more, .. }
            | Self::ClockBack { more, .. }
            | Self::ClockAhead { more, .. }
            | Self::ClockUnset { more, .. } => Some(more),
            _ => None,
        }
    }
}

/// What was found, in one line.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let and_more = |more: u64| match more {
            0 => String::new(),
            _ => format!(", and {more} more"),
        };
        match self {
            Self::NoEvents => write!(f, "no event file here or below"),
            Self::Unreadable { cause } => write!(f, "cannot be read: {cause}"),
            Self::UnreadName => write!(f, "holds events, but its name lacks `tfevents`"),
            Self::EmptyFile => write!(f, "has no bytes"),
            Self::NoFileVersion => write!(f, "does not begin with the version of its format"),
            Self::DamagedPayload { offset, more } => {
                write!(
                    f,
                    "the record at byte {offset} has a damaged payload{}",
                    and_more(*more)
                )
            }
            Self::DamagedLength { offset, unread } => write!(
                f,
                "the record at byte {offset} has a damaged length; {unread} bytes from there on \
                 cannot be read"
            ),
            Self::ZeroTail { offset, zeros } => {
                write!(
                    f,
                    "from byte {offset} on there are {zeros} zeros and nothing else"
                )
            }
            Self::TornTail {
                offset,
                found,
                expected,
            } => {
                write!(
                    f,
                    "ends inside the record at byte {offset}: {found} of {expected} bytes"
                )
            }
            Self::GrowingTail {
                offset,
                found,
                expected,
            } => write!(
                f,
                "{found} of {expected} bytes of the record at byte {offset} are there; a writer \
                 seems to be at it"
            ),
            Self::TooLong { offset, found } => {
                write!(f, "the record at byte {offset} is {found} bytes long")
            }
            Self::NotAnEvent { offset, more } => write!(
                f,
                "the record at byte {offset} is whole, but does not hold an event{}",
                and_more(*more)
            ),
            Self::TooLarge {
                offset,
                found,
                more,
            } => write!(
                f,
                "the event at byte {offset} has parts that take {found} bytes once decoded{}",
                and_more(*more)
            ),
            Self::NonFiniteTime {
                offset,
                found,
                more,
            } => write!(
                f,
                "the event at byte {offset} has the wall time {found}{}",
                and_more(*more)
            ),
            Self::StepsGoBack {
                tag,
                from,
                to,
                times,
                erased,
            }
            | Self::LoneStart {
                tag,
                from,
                to,
                times,
                erased,
            } => write!(
                f,
                "{tag}: the step goes back from {from} to {to}{}; {erased} points erased",
                and_more(times.saturating_sub(1))
            ),
            Self::RepeatedSteps { tag, step, erased } => {
                write!(
                    f,
                    "{tag}: several points at step {step}; {erased} points erased"
                )
            }
            Self::KindChanged {
                tag,
                step,
                from,
                to,
                times,
            } => write!(
                f,
                "{tag}: a series of {from}, in which {times} values from step {step} on are {to}"
            ),
            Self::NoPlugin { tag, step, times } => write!(
                f,
                "{tag}: {times} tensors from step {step} on, for which no plugin is named"
            ),
            Self::UnfitScalar {
                tag,
                step,
                found,
                times,
            } => {
                write!(f, "{tag}: {times} scalars from step {step} on are {found}")
            }
            Self::NonFiniteValues { tag, step, times } => {
                write!(
                    f,
                    "{tag}: {times} values from step {step} on are NaN or infinite"
                )
            }
            Self::Sampled {
                plugin,
                tag,
                points,
                kept,
                series,
            } => write!(
                f,
                "{plugin}: {series} series with up to {points} points ({tag}); {} are kept{}",
                kept.server,
                match kept.python == kept.server {
                    true => String::new(),
                    false => format!(", {} by the Python loader", kept.python),
                }
            ),
            Self::TwoWriters { other, erased } => write!(
                f,
                "written at the same time as {}; {erased} points erased",
                other.display()
            ),
            Self::FileOrder { other, erased } => write!(
                f,
                "written before {}, but read after it; {erased} points erased",
                other.display()
            ),
            Self::SameSecond { other } => {
                write!(f, "its name has the same second as {}", other.display())
            }
            Self::ClockBack {
                offset,
                from,
                to,
                more,
            } => write!(
                f,
                "at byte {offset} the wall time goes back by {:.0} s{}",
                from - to,
                and_more(*more)
            ),
            Self::ClockAhead {
                offset,
                found,
                more,
            } => write!(
                f,
                "the event at byte {offset} has the wall time {found:.0}, which is to come{}",
                and_more(*more)
            ),
            Self::ClockUnset {
                offset,
                found,
                more,
            } => write!(
                f,
                "the event at byte {offset} has the wall time {found}, which is in 1970 or \
                 before{}",
                and_more(*more)
            ),
            Self::HiddenColumns {
                hparams,
                metrics,
                experiments,
            } => write!(
                f,
                "{experiments} experiment summaries, not all of which list {}",
                listing(hparams, metrics)
            ),
            Self::NoMetrics => write!(f, "a session without a metric"),
        }
    }
}

/// The first few names of either kind.
fn listing(hparams: &[String], metrics: &[String]) -> String {
    const SHOWN: usize = 6;
    let some = |kind: &str, names: &[String]| {
        let shown = names
            .iter()
            .take(SHOWN)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        match names.len() {
            0 => None,
            1..=SHOWN => Some(format!("the {kind} {shown}")),
            count => Some(format!("the {kind} {shown} and {} more", count - SHOWN)),
        }
    };
    let kinds = [some("settings", hparams), some("metrics", metrics)];
    kinds
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", and ")
}
