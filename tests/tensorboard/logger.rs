//! The logger alone: every kind of event, read back over HTTP as it was written.

use std::collections::BTreeSet;
use std::f32;

use cnn_tb::tb::{SummaryWriter, WriterOptions};
use serde_json::{Value, json};

use crate::server::{Loader, Point, Scalars, TensorBoard};

/// Values that are easily lost on the way.
const VALUES: [f32; 10] = [
    0.1,
    -0.0,
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
    // The smallest subnormal number.
    f32::from_bits(1),
    16_777_217.0,
];

/// Tags as people write them, and as nobody should.
const TAGS: [&str; 6] = [
    "loss",
    "group/sub group/accuracy (%)",
    "Genauigkeit/größer als ½ & 日本語 🦀",
    "quotes \"'`/and\\back",
    "a?run=b&tag=c#d%20e+f",
    "<b>bold</b>",
];

/// Logs a series at given times, and notes what TensorBoard must show of it.
fn log(
    writer: &SummaryWriter,
    expected: &mut Scalars,
    run: &str,
    tag: &str,
    points: impl IntoIterator<Item = (i64, f32)>,
) {
    let points = points.into_iter().enumerate();
    let points: Vec<_> = points
        .map(|(index, (step, value))| Point {
            step,
            wall_time: Some(1_700_000_000.1 + index as f64 / 3.0),
            value,
        })
        .collect();
    for point in &points {
        let writer = writer.at(point.wall_time.unwrap());
        writer.add_scalar(tag, point.value, point.step).unwrap();
    }
    expected.insert((run.to_owned(), tag.to_owned()), points);
}

#[test]
fn scalars_are_shown_to_the_last_bit() {
    let logdir = tempfile::tempdir().unwrap();
    let mut expected = Scalars::new();
    let writer = SummaryWriter::create(logdir.path().join("exp1")).unwrap();
    for tag in TAGS {
        log(&writer, &mut expected, "exp1", tag, (1..).zip(VALUES));
    }
    // Beyond the 1,000 points that a loader keeps by default.
    let many = (1..=2_500).map(|step| (step, 1.0 / step as f32));
    log(&writer, &mut expected, "exp1", "many", many);
    // Equal tags in a run and in its children, among them one whose name must be encoded.
    let steps = [-(1 << 40), -7, 0, 1 << 31, 1 << 53];
    for child in ["train", "validation", "größe 2×2"] {
        let writer = writer.child(child).unwrap();
        let points = steps.into_iter().zip(VALUES);
        log(
            &writer,
            &mut expected,
            &format!("exp1/{child}"),
            "loss",
            points,
        );
    }
    let wall_time = 1_700_000_000.5;
    let together = [("used", 3.5), ("free", -0.5)];
    writer
        .at(wall_time)
        .add_scalars("memory", together, 4_u8)
        .unwrap();
    for (key, value) in together {
        let point = Point {
            step: 4,
            wall_time: Some(wall_time),
            value,
        };
        let series = ("exp1".to_owned(), format!("memory/{key}"));
        expected.insert(series, vec![point]);
    }
    writer.finish().unwrap();

    let runs: BTreeSet<_> = expected.keys().map(|(run, _)| run.clone()).collect();
    for loader in Loader::ALL {
        let tensorboard = TensorBoard::start(logdir.path(), loader);
        tensorboard.expect_scalars(&expected);
        assert_eq!(tensorboard.runs(), runs, "{loader:?}");
    }
}

#[test]
fn a_resumed_run_is_one_line() {
    let logdir = tempfile::tempdir().unwrap();
    let run = logdir.path().join("exp1");
    let mut expected = Scalars::new();
    let before = SummaryWriter::create(&run).unwrap();
    log(
        &before,
        &mut expected,
        "exp1",
        "loss",
        (1..=7).map(|step| (step, 0.5)),
    );
    before.close().unwrap();
    let after = SummaryWriter::append(&run, 5).unwrap();
    let again = (5..=9).map(|step| (step, 0.25));
    log(&after, &mut expected, "exp1", "again", again.clone());
    for (step, value) in again {
        after.add_scalar("loss", value, step).unwrap();
    }
    after.finish().unwrap();

    let line = (1..=4)
        .map(|step| (step, 0.5))
        .chain((5..=9).map(|step| (step, 0.25)));
    let line = line.map(|(step, value)| Point {
        step,
        wall_time: None,
        value,
    });
    expected.insert(("exp1".to_owned(), "loss".to_owned()), line.collect());
    for loader in Loader::ALL {
        TensorBoard::start(logdir.path(), loader).expect_scalars(&expected);
    }
}

#[test]
fn texts_histograms_and_hparams_are_shown() {
    expect_all_kinds(&WriterOptions::new());
}

/// With a new file for nearly every record.
#[test]
fn many_files_are_shown_as_one() {
    expect_all_kinds(&WriterOptions::new().max_file_bytes(100));
}

fn expect_all_kinds(options: &WriterOptions) {
    let logdir = tempfile::tempdir().unwrap();
    let text = "# Größe\n\n| a | b |\n|---|---|\n| 1 | 日本 |\n";
    let mut expected = Scalars::new();
    let writer = options.create(logdir.path().join("exp1")).unwrap();
    let hparams = [
        ("learning_rate", 0.003.into()),
        ("batch_size", 100.into()),
        ("optimizer", "adam".into()),
        ("augment", true.into()),
    ];
    writer.add_hparams(hparams).unwrap();
    for step in [1, 2] {
        let writer = writer.at(1_700_000_000.0 + f64::from(step));
        writer.add_text("notes", text, step).unwrap();
        // 0, 1, …, 29, and twice 30: one value a bucket but for the last, which has three.
        let mut values: Vec<_> = (0..=30).map(|value| f64::from(value * step)).collect();
        values.push(f64::from(30 * step));
        writer.add_histogram("weights", &values, step).unwrap();
    }
    log(
        &writer,
        &mut expected,
        "exp1",
        "accuracy",
        [(1, 0.5), (2, 0.75)],
    );
    let validation = writer.child("validation").unwrap();
    log(
        &validation,
        &mut expected,
        "exp1/validation",
        "loss",
        [(1, 0.5), (2, 0.25)],
    );
    writer.finish().unwrap();

    for loader in Loader::ALL {
        let tensorboard = TensorBoard::start(logdir.path(), loader);
        tensorboard.expect_scalars(&expected);
        let series = |tag| [("run", "exp1"), ("tag", tag), ("markdown", "false")];

        let texts = tensorboard.get("/data/plugin/text/text", &series("notes"));
        for (shown, step) in texts.as_array().unwrap().iter().zip([1, 2]) {
            assert_eq!(shown["step"], json!(step), "{loader:?}");
            assert_eq!(shown["text"], json!(text), "{loader:?}");
        }
        assert_eq!(texts.as_array().unwrap().len(), 2, "{loader:?}");

        let route = "/data/plugin/histograms/histograms";
        let histograms = tensorboard.get(route, &series("weights"));
        let bucket = |step: i32, left: i32| {
            let count = if left == 29 { 3.0 } else { 1.0 };
            json!([f64::from(left * step), f64::from((left + 1) * step), count])
        };
        let histogram = |step: i32| {
            let buckets: Vec<_> = (0..30).map(|left| bucket(step, left)).collect();
            json!([1_700_000_000.0 + f64::from(step), step, buckets])
        };
        assert_eq!(
            histograms,
            json!([histogram(1), histogram(2)]),
            "{loader:?}"
        );

        assert_session(&tensorboard, loader);
    }
}

/// The HParams page knows the settings, the end and the last value of every metric.
fn assert_session(tensorboard: &TensorBoard, loader: Loader) {
    let groups = tensorboard.session_groups();
    let group = &groups[0];
    let hparams = json!({
        "learning_rate": 0.003,
        "batch_size": 100.0,
        "optimizer": "adam",
        "augment": true,
    });
    assert_eq!(group["hparams"], hparams, "{loader:?}: {groups}");
    let session = &group["sessions"][0];
    assert_eq!(session["name"], json!("exp1"), "{loader:?}");
    assert_eq!(session["status"], json!("STATUS_SUCCESS"), "{loader:?}");
    let metric = |group: &str, tag: &str| -> &Value {
        let metrics = session["metricValues"].as_array().unwrap();
        let name = json!({ "group": group, "tag": tag });
        let found = metrics.iter().find(|metric| metric["name"] == name);
        &found.unwrap_or_else(|| panic!("{loader:?}: no {name}: {session}"))["value"]
    };
    assert_eq!(*metric("", "accuracy"), json!(0.75), "{loader:?}");
    assert_eq!(*metric("validation", "loss"), json!(0.25), "{loader:?}");
}
