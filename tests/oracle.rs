//! The crate `tensorboard-rs` as an oracle: what it writes and what we write decode to the same.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::path::Path;

use cnn_tb::tb::proto::Event;
use cnn_tb::tb::{EventReader, SummaryWriter};

/// The events of the only event file in `directory`, without what may differ: the wall times, and
/// who wrote it.
fn events(directory: &Path) -> Vec<Event> {
    let mut entries: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    entries.retain(|entry| entry.file_name().to_string_lossy().contains("tfevents"));
    let [entry] = &entries[..] else {
        panic!("not one file: {entries:?}");
    };
    let file = File::open(entry.path()).unwrap();
    let mut events = EventReader::new(file)
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    for event in &mut events {
        assert!(event.wall_time > 1.7e9, "{event:?}");
        event.wall_time = 0.0;
        event.source_metadata = None;
    }
    events
}

#[test]
fn the_same_scalars_are_equal_events() {
    let logdir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (logdir.path().join("ours"), logdir.path().join("theirs"));
    let writer = SummaryWriter::create(&ours).unwrap();
    let mut oracle = tensorboard_rs::summary_writer::SummaryWriter::new(&theirs);
    let values = [
        0.0,
        -0.0,
        0.1,
        -1.5e-30,
        f32::MAX,
        f32::MIN_POSITIVE,
        f32::INFINITY,
    ];
    let tags = ["loss", "train/accuracy", "with blanks, and ü", ""];
    for step in [0, 1, 127, 128, 1 << 40, i64::MAX as usize] {
        for tag in tags {
            for value in values {
                writer.add_scalar(tag, value, step).unwrap();
                oracle.add_scalar(tag, value, step);
            }
        }
    }
    writer.finish().unwrap();
    oracle.flush();
    drop(oracle);
    let (ours, theirs) = (events(&ours), events(&theirs));
    assert_eq!(ours.len(), 1 + 6 * tags.len() * values.len());
    assert_eq!(ours, theirs);
}
