//! Event files of other programs, held against what TensorBoard's `EventAccumulator` reads from them
//! (`tests/golden/writers.py`).

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cnn_tb::tb::{Kind, Logdir, Run};
use serde_json::{Value, json};

/// What the script says of a run, of what we read.
fn summary(run: &Run) -> Value {
    let mut scalars = BTreeMap::new();
    let mut images = BTreeMap::new();
    let mut histograms = BTreeMap::new();
    let mut others = BTreeMap::new();
    for series in run.series() {
        let tag = series.name;
        match series.kind {
            Kind::Scalar => {
                let points = run.scalars(&tag).unwrap().iter();
                // Python gives the 32 bits of a scalar as 64.
                let point = points.map(|p| json!([p.step, p.wall_time, f64::from(p.value)]));
                scalars.insert(tag, point.collect::<Value>());
            }
            Kind::Image => {
                let points = run.images(&tag).unwrap().into_iter();
                let point = points.map(|p| json!([p.step, p.value[0].width, p.value[0].height]));
                images.insert(tag, point.collect::<Value>());
            }
            Kind::Histogram => {
                let points = run.histograms(&tag).unwrap().into_iter();
                let count = |p: cnn_tb::tb::Point<cnn_tb::tb::Histogram>| {
                    let buckets = p.value.buckets.iter();
                    json!([p.step, buckets.map(|bucket| bucket.count).sum::<f64>()])
                };
                histograms.insert(tag, points.map(count).collect::<Value>());
            }
            Kind::Text => {
                let points = run.texts(&tag).unwrap().iter();
                others.insert(tag, points.map(|p| p.step).collect::<Value>());
            }
            kind => {
                let points = run.tensors(kind, &tag).unwrap().into_iter();
                others.insert(tag, points.map(|p| p.step).collect::<Value>());
            }
        }
    }
    json!({"scalars": scalars, "images": images, "histograms": histograms, "others": others})
}

#[test]
fn files_of_other_writers_are_read_as_tensorboard_reads_them() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/writers");
    let expected = fs::read_to_string(golden.join("expected.json")).unwrap();
    let expected: BTreeMap<String, Value> = serde_json::from_str(&expected).unwrap();
    let runs = Logdir::open(golden).unwrap().flat_runs().unwrap();
    assert!(runs.iter().map(Run::name).eq(expected.keys()));
    for run in runs {
        assert_eq!(run.problems().count(), 0, "{}", run.name());
        assert_eq!(summary(&run), expected[run.name()], "{}", run.name());
    }
}

#[test]
fn texts_of_other_writers_are_whole() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/writers");
    let runs = Logdir::open(golden).unwrap().flat_runs().unwrap();
    let texts = runs.iter().flat_map(|run| {
        let tags = run.text_tags().filter(|tag| tag.starts_with("note"));
        tags.map(|tag| run.texts(tag).unwrap()[0].value.as_str())
    });
    assert_eq!(texts.collect::<Vec<_>>(), ["**bold** ü"; 3]);
}
