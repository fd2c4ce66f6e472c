//! A program for `tensorboard-rs` and its port to this crate, `examples/from_tensorboard_rs.rs`: the
//! same values come out of both.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../examples/from_tensorboard_rs.rs"]
mod port;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Cursor;
use std::path::Path;

use cnn_tb::tb::proto::event::What;
use cnn_tb::tb::proto::summary::value;
use cnn_tb::tb::{EventReader, Logdir};

/// Tag → (step, value).
type Series = BTreeMap<String, Vec<(i64, f32)>>;

/// What the port was made from.
fn log_with_tensorboard_rs(logdir: &Path) {
    let mut writer = tensorboard_rs::summary_writer::SummaryWriter::new(logdir);
    for step in 0..port::STEPS {
        let (angle, speed) = (port::angle(step), port::speed(step));
        writer.add_scalar("swing/angle", angle, step);
        writer.add_scalar("swing/speed", speed, step);
        let mut energies = HashMap::new();
        energies.insert("kinetic".to_string(), speed * speed);
        energies.insert("potential".to_string(), angle * angle);
        writer.add_scalars("energy", &energies, step);
    }
    let (limits, counts) = port::angles();
    let angles = (0..port::STEPS).map(|step| f64::from(port::angle(step)));
    let (min, max) = (angles.clone().fold(f64::MAX, f64::min), 1.0);
    let (sum, squares) = (
        angles.clone().sum(),
        angles.map(|angle| angle * angle).sum(),
    );
    let count = port::STEPS as f64;
    writer.add_histogram_raw(
        "swing/angles",
        min,
        max,
        count,
        sum,
        squares,
        &limits,
        &counts,
        port::STEPS,
    );
    let (pixels, width, height) = port::path();
    writer.add_image("swing/path", &pixels, &[3, width, height], port::STEPS);
    writer.flush();
}

/// The scalars below `logdir`. Those of `add_scalars` have the key as their directory in theirs, as
/// the end of their tag in ours; here as there.
fn scalars(logdir: &Path) -> Series {
    let mut series = Series::new();
    for run in Logdir::open(logdir).unwrap().flat_runs().unwrap() {
        assert_eq!(run.problems().count(), 0);
        for tag in run.scalar_tags() {
            let points = run.scalars(tag).unwrap().iter();
            let points = points.map(|point| (point.step, point.value)).collect();
            let name = match run.name().strip_prefix(tag) {
                Some(key) => format!("{tag}{key}"),
                None => tag.to_owned(),
            };
            assert!(series.insert(name, points).is_none());
        }
    }
    series
}

/// Right edges and counts of the histogram, and the pixels of the image, in the run at `directory`.
fn histogram_and_pixels(directory: &Path) -> (Vec<(f64, f64)>, Vec<u8>) {
    let mut entries = directory.read_dir().unwrap().map(Result::unwrap);
    let is_events = |name: &str| name.contains("tfevents");
    let file = entries.find(|entry| is_events(&entry.file_name().to_string_lossy()));
    let (mut buckets, mut pixels) = (Vec::new(), Vec::new());
    for event in EventReader::new(File::open(file.unwrap().path()).unwrap()) {
        let Some(What::Summary(summary)) = event.unwrap().what else {
            continue;
        };
        let [value] = &summary.value[..] else {
            continue;
        };
        match (value.tag.as_str(), value.value.as_ref().unwrap()) {
            ("swing/angles", value::Value::Histo(histogram)) => {
                let edges = histogram.bucket_limit.iter().copied();
                buckets = edges.zip(histogram.bucket.iter().copied()).collect();
            }
            ("swing/angles", value::Value::Tensor(tensor)) => {
                let rows = tensor.double_val.chunks(3);
                buckets = rows.map(|row| (row[1], row[2])).collect();
            }
            ("swing/path", value::Value::Image(image)) => {
                pixels = decode_png(&image.encoded_image_string);
            }
            ("swing/path", value::Value::Tensor(tensor)) => {
                pixels = decode_png(&tensor.string_val[2]);
            }
            _ => {}
        }
    }
    (buckets, pixels)
}

fn decode_png(file: &[u8]) -> Vec<u8> {
    let mut reader = png::Decoder::new(Cursor::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgb);
    pixels
}

#[test]
fn the_port_of_a_program_writes_the_same_values() {
    let logdir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (logdir.path().join("ours"), logdir.path().join("theirs"));
    port::log(&ours).unwrap();
    log_with_tensorboard_rs(&theirs);

    let expected = scalars(&theirs);
    assert_eq!(scalars(&ours), expected);
    let tags: Vec<_> = expected.keys().collect();
    let four = [
        "energy/kinetic",
        "energy/potential",
        "swing/angle",
        "swing/speed",
    ];
    assert_eq!(tags, four);
    assert!(expected.values().all(|points| points.len() == port::STEPS));

    let (buckets, pixels) = histogram_and_pixels(&theirs);
    let (our_buckets, our_pixels) = histogram_and_pixels(&ours);
    assert_eq!(buckets.len(), 8);
    assert_eq!(our_buckets, buckets);
    // Without the thousands of numbers where they differ.
    assert!(our_pixels == pixels && pixels == port::path().0);
}
