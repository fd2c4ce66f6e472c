//! What reads event files, and the settings that lie beside them.

use std::path::Path;

use cnn_tb::report::doctor::{Cause, examine, repair};
use cnn_tb::tb::proto::Event;
use cnn_tb::tb::proto::event::What;
use cnn_tb::tb::proto::summary::value::Value;
use cnn_tb::tb::record::append_record;
use cnn_tb::tb::scalar_event::ScalarEvent;
use cnn_tb::tb::{EventReader, Kind, Logdir, Point, Run, SeriesError};
use prost::Message as _;

use super::variants::of_read;
use super::{Errors, with_files};

/// An event file of a version and five points of `loss`, which sorts before the one that is tried.
const EARLIER: &[u8] =
    include_bytes!("../../golden/doctor/lone_start/exp1/events.out.tfevents.1700000000.host.1.0");
/// The doctor's time, in seconds since the Unix epoch.
const NOW_SECS: f64 = 3e9;

/// One payload: whatever the decoder of scalars takes, prost takes alike; then as a file.
pub fn parse_event(payload: &[u8]) -> Errors {
    if let Some(scalar) = ScalarEvent::decode(payload) {
        assert_scalar(&scalar, &Event::decode(payload).unwrap());
    }
    let mut file = Vec::new();
    append_record(&mut file, payload);
    let errors = parse(&file);
    assert!(examine_and_repair(&file).is_subset(&errors));
    errors
}

fn assert_scalar(scalar: &ScalarEvent, event: &Event) {
    let Some(What::Summary(summary)) = &event.what else {
        panic!("not a summary: {event:?}");
    };
    let [value] = &summary.value[..] else {
        panic!("not one value: {event:?}");
    };
    let Some(Value::SimpleValue(number)) = value.value else {
        panic!("not a scalar: {event:?}");
    };
    assert_eq!(scalar.wall_time.to_bits(), event.wall_time.to_bits());
    assert_eq!((scalar.step, scalar.tag), (event.step, &value.tag[..]));
    assert_eq!(scalar.value.to_bits(), number.to_bits());
}

/// The second event file of a run, of which everything is asked for.
pub fn parse(bytes: &[u8]) -> Errors {
    let mut errors = errors_of_reader(bytes);
    let files = [("tfevents.1", EARLIER), ("tfevents.2", bytes)];
    with_files(&files, |path| {
        for run in Logdir::open(path).unwrap().runs().unwrap() {
            read(&run);
            errors.extend(run.problems().map(|problem| of_read(&problem.error)));
        }
    });
    errors
}

fn errors_of_reader(bytes: &[u8]) -> Errors {
    let events = EventReader::new(bytes);
    let errors = events.filter_map(Result::err);
    errors.map(|error| of_read(&error)).collect()
}

/// Asks for everything that a run says it has.
fn read(run: &Run) {
    let mut points = 0;
    for series in run.series() {
        if let Some(read) = read_series(run, series.kind, &series.name) {
            assert!(read <= series.points, "{series:?} has {read}");
        }
        points += series.points;
        assert!(series.points > 0 && series.first_step <= series.last_step);
        let dropped = run.dropped_points(&series.name).len();
        assert!(dropped as u64 <= run.dropped());
    }
    assert!(points == 0 || run.wall_times().is_some());
    assert!(
        run.problems()
            .all(|problem| !problem.to_string().is_empty())
    );
}

/// The number of points whose value could be understood; `None` where the record is an outline's, but
/// not an event's.
fn read_series(run: &Run, kind: Kind, name: &str) -> Option<usize> {
    match kind {
        Kind::Scalar => Some(checked(run.scalars(name).unwrap())),
        Kind::Text => Some(checked(run.texts(name).unwrap())),
        Kind::Image => stored(run.images(name)),
        Kind::Audio => stored(run.audio(name)),
        Kind::Histogram => stored(run.histograms(name)),
        kind => stored(run.tensors(kind, name)),
    }
}

fn stored<T>(points: Result<Vec<Point<T>>, SeriesError>) -> Option<usize> {
    match points {
        Ok(points) => Some(checked(&points)),
        Err(error @ SeriesError::Missing(_)) => panic!("{error}"),
        Err(SeriesError::Read { .. } | SeriesError::Changed { .. }) => None,
    }
}

/// Points come by step, each once, with times that are numbers.
fn checked<T>(points: &[Point<T>]) -> usize {
    assert!(points.is_sorted_by(|one, other| one.step < other.step));
    assert!(points.iter().all(|point| point.wall_time.is_finite()));
    points.len()
}

/// What the doctor says of a file, and of what is left after its repair.
pub fn examine_and_repair(bytes: &[u8]) -> Errors {
    with_files(&[("tfevents.2", bytes)], |directory| {
        let (file, repaired) = (
            directory.join("tfevents.2"),
            directory.join("repaired.tfevents"),
        );
        let errors = examined(&file);
        let result = repair(&file, &repaired).unwrap();
        let good = std::fs::read(&repaired).unwrap();
        let lost: u64 = result.dropped.iter().map(|part| part.bytes).sum();
        assert_eq!(good.len() as u64 + lost, bytes.len() as u64);
        let events: Result<Vec<_>, _> = EventReader::new(&good[..]).collect();
        assert_eq!(events.unwrap().len() as u64, result.kept);
        assert_eq!(examined(&repaired), Errors::new());
        assert_eq!(result.dropped.is_empty(), errors.is_empty());
        errors
    })
}

/// The findings that are errors of the reader.
fn examined(path: &Path) -> Errors {
    let findings = examine(path, NOW_SECS).unwrap();
    let errors = findings.iter().filter_map(|finding| {
        let cause = &finding.cause;
        assert!(!finding.to_string().is_empty() && !cause.effect().is_empty());
        match cause {
            Cause::DamagedPayload { .. } => Some("record-payload-checksum"),
            Cause::DamagedLength { .. } => Some("record-length-checksum"),
            // A length of zeros has another checksum, and a cut one has none.
            Cause::ZeroTail { zeros, .. } if *zeros < 12 => Some("record-truncated"),
            Cause::ZeroTail { .. } => Some("record-length-checksum"),
            Cause::TornTail { .. } | Cause::GrowingTail { .. } => Some("record-truncated"),
            Cause::TooLong { .. } => Some("record-too-long"),
            Cause::NotAnEvent { .. } => Some("read-event"),
            Cause::TooLarge { .. } => Some("read-too-large"),
            Cause::NonFiniteTime { .. } => Some("read-wall-time"),
            _ => None,
        }
    });
    errors.collect()
}

/// `hparams.yaml` beside an event file. It has no errors: what is no setting is passed over.
pub fn parse_yaml(bytes: &[u8]) -> Errors {
    let files = [("tfevents.1", EARLIER), ("hparams.yaml", bytes)];
    with_files(&files, |path| {
        for run in Logdir::open(path).unwrap().runs().unwrap() {
            let settings = run.session().map(|session| &session.hparams);
            for (name, value) in settings.into_iter().flatten() {
                let text = String::from_utf8_lossy(bytes);
                assert!(text.contains(name.as_str()), "{name}: {value}");
            }
            read(&run);
        }
    });
    Errors::new()
}
