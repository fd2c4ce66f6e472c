//! Event files of other programs, held against what TensorBoard's `EventAccumulator` reads from them:
//! `tests/golden/writers.py` and `tests/golden/crates/` wrote both.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cnn_tb::tb::crc::masked_crc32c;
use cnn_tb::tb::proto::{DataType, TensorProto};
use cnn_tb::tb::{HParam, Histogram, Kind, Logdir, Point, Run, Session};
use serde_json::{Value, json};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/writers")
}

/// What the script says of each run: under a kind's and a series' name its points (step, wall time,
/// value), and under `session` the settings and times.
fn expected() -> BTreeMap<String, Value> {
    let json = fs::read_to_string(golden().join("expected.json")).unwrap();
    serde_json::from_str(&json).unwrap()
}

/// The same of what we read.
fn summary(run: &Run) -> Value {
    let kinds = ["scalars", "images", "audio", "histograms", "text", "others"];
    let mut summary: BTreeMap<_, _> = kinds.map(|kind| (kind, json!({}))).into();
    for series in run.series() {
        let tag = &series.name;
        let (kind, points) = match series.kind {
            Kind::Scalar => {
                let points = run.scalars(tag).unwrap().to_vec();
                ("scalars", to_json(points, number_to_json))
            }
            Kind::Image => {
                let points = run.images(tag).unwrap();
                let files = |images: Vec<cnn_tb::tb::StoredImage>| {
                    let sums = images.iter().map(|image| masked_crc32c(&image.bytes));
                    json!([images[0].width, images[0].height, sums.collect::<Value>()])
                };
                ("images", to_json(points, files))
            }
            Kind::Audio => {
                let points = run.audio(tag).unwrap();
                let clips =
                    |clips: Vec<Vec<u8>>| clips.iter().map(|clip| masked_crc32c(clip)).collect();
                ("audio", to_json(points, clips))
            }
            Kind::Histogram => {
                let points = run.histograms(tag).unwrap();
                ("histograms", to_json(points, histogram_to_json))
            }
            Kind::Text => {
                let points = run.texts(tag).unwrap().to_vec();
                ("text", to_json(points, Value::from))
            }
            kind => {
                let points = run.tensors(kind, tag).unwrap();
                ("others", to_json(points, tensor_to_json))
            }
        };
        summary.get_mut(kind).unwrap()[tag] = points;
    }
    summary.insert(
        "session",
        run.session().map_or(Value::Null, session_to_json),
    );
    json!(summary)
}

fn to_json<T>(points: Vec<Point<T>>, value: impl Fn(T) -> Value) -> Value {
    let point = |p: Point<T>| json!([p.step, p.wall_time, value(p.value)]);
    points.into_iter().map(point).collect()
}

/// Python gives the 32 bits of a number as 64.
fn number_to_json(number: f32) -> Value {
    json!(f64::from(number))
}

/// With the 32 bits to which TensorBoard rounds a histogram of the old form.
fn histogram_to_json(histogram: Histogram) -> Value {
    let rows = histogram.buckets.iter();
    let row = rows.map(|row| [row.left, row.right, row.count]);
    row.map(|row| row.map(|number| number_to_json(number as f32)))
        .map(Value::from)
        .collect()
}

fn tensor_to_json(tensor: TensorProto) -> Value {
    let content = tensor.tensor_content.as_chunks().0.iter();
    match tensor.dtype() {
        DataType::DtFloat => {
            let numbers = tensor.float_val.iter().copied();
            let content = content.map(|&bytes| f32::from_le_bytes(bytes));
            numbers.chain(content).map(number_to_json).collect()
        }
        DataType::DtDouble => tensor.double_val.iter().copied().map(Value::from).collect(),
        other => panic!("a tensor of type {other:?}"),
    }
}

fn session_to_json(session: &Session) -> Value {
    let hparams = session.hparams.iter().map(|(name, value)| {
        let value = match value {
            HParam::Number(number) => json!(number),
            HParam::Text(text) => json!(text),
            HParam::Bool(flag) => json!(flag),
        };
        (name.clone(), value)
    });
    json!({
        "hparams": hparams.collect::<Value>(),
        "start_time_secs": session.start_time_secs,
        "end_time_secs": session.end_time_secs,
    })
}

/// Takes out the points that a later one of the same or a smaller step replaces, in the order in
/// which they are replaced. The `EventAccumulator` keeps those; TensorBoard's other loader does not,
/// and neither do we.
fn take_replaced(points: &mut Vec<Value>) -> Vec<Value> {
    let step = |point: &Value| point[0].as_i64().unwrap();
    let (mut kept, mut replaced) = (Vec::new(), Vec::new());
    for point in points.drain(..) {
        let first = kept.partition_point(|other| step(other) < step(&point));
        replaced.extend(kept.drain(first..));
        kept.push(point);
    }
    *points = kept;
    replaced
}

#[test]
fn files_of_other_writers_are_read_as_tensorboard_reads_them() {
    let expected = expected();
    let runs = Logdir::open(golden()).unwrap().flat_runs().unwrap();
    assert!(runs.iter().map(Run::name).eq(expected.keys()));
    let mut replaced = 0;
    for run in runs {
        let mut expected = expected[run.name()].clone();
        for (tag, points) in expected["scalars"].as_object_mut().unwrap() {
            let dropped = take_replaced(points.as_array_mut().unwrap());
            replaced += dropped.len();
            let found = to_json(run.dropped_points(tag).to_vec(), number_to_json);
            assert_eq!(found, Value::from(dropped), "{} {tag}", run.name());
        }
        assert_eq!(run.problems().count(), 0, "{}", run.name());
        assert_eq!(summary(&run), expected, "{}", run.name());
    }
    // Lightning logs the epoch twice at a validation; one is `again`, of TensorBoard's own writer.
    assert_eq!(replaced, 5);
}

/// Each kind of value comes from several programs, so that the comparison above compares something.
#[test]
fn every_kind_is_there() {
    let expected = expected();
    let with = |kind: &str| {
        let runs = expected.values().map(|run| &run[kind]);
        runs.filter(|series| series.as_object().is_some_and(|series| !series.is_empty()))
            .count()
    };
    let kinds = [
        "scalars",
        "images",
        "audio",
        "histograms",
        "text",
        "others",
        "session",
    ];
    assert_eq!(kinds.map(with), [15, 6, 3, 6, 4, 4, 5]);
}

/// `add_hparams` writes settings into a directory below the run; Lightning writes them beside it.
#[test]
fn settings_belong_to_the_run_that_they_were_logged_for() {
    let runs = Logdir::open(golden()).unwrap().runs().unwrap();
    let hparams = |name: &str| {
        let run = runs.iter().find(|run| run.name() == name).unwrap();
        let settings = run.hparams().iter();
        settings
            .map(|(name, value)| format!("{name} {value}"))
            .collect::<Vec<_>>()
    };
    let settings = ["batch_size 64", "lr 0.01", "model resnet18"];
    for name in [
        "pytorch",
        "tensorboardx",
        "tensorboard",
        "lightning/version_0",
        "lightning/version_1",
    ] {
        let mut found = hparams(name);
        found.retain(|setting| !setting.starts_with("augment") && !setting.starts_with("layers"));
        assert_eq!(found, settings, "{name}");
    }
    assert!(!runs.iter().any(|run| run.name().ends_with("trial")));
}
