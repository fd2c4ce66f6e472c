//! What the earlier files of a continued directory hold at step 0.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use crate::tb::outline::EventOutline;
use crate::tb::proto::event;
use crate::tb::proto::summary::Value;
use crate::tb::reader::decode_event;
use crate::tb::record::RecordReader;

/// What no purge drops, since purge steps are 1 or more, and so is not to be written again: twice
/// there, TensorBoard's Python loader would show it twice.
#[derive(Default)]
pub(super) struct StepZero {
    tags: BTreeSet<String>,
    has_graph: bool,
}

impl StepZero {
    /// What is in `files`, each as far as it can be read: TensorBoard reads no further either.
    pub(super) fn read(files: impl Iterator<Item = PathBuf>) -> Self {
        let mut step_zero = Self::default();
        for file in files.filter_map(|path| File::open(path).ok()) {
            let mut records = RecordReader::new(BufReader::new(file));
            while let Ok(Some(record)) = records.read() {
                if let Ok(event) = decode_event::<EventOutline>(0, record) {
                    step_zero.add(event);
                }
            }
        }
        step_zero
    }

    fn add(&mut self, event: EventOutline) {
        self.has_graph |= event.graph_def.is_some();
        if let Some(summary) = event.summary.filter(|_| event.step == 0) {
            let tags = summary.value.into_iter().map(|value| value.tag);
            self.tags.extend(tags);
        }
    }

    /// Whether a value of `tag` at `step` is there.
    #[inline]
    pub(super) fn holds(&self, tag: &str, step: i64) -> bool {
        step == 0 && self.tags.contains(tag)
    }

    /// Whether all that `what` says is there, at step 0.
    pub(super) fn holds_all(&self, what: &event::What) -> bool {
        let is_there = |value: &Value| self.tags.contains(&value.tag);
        match what {
            event::What::GraphDef(_) => self.has_graph,
            event::What::Summary(summary) => summary.value.iter().all(is_there),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use prost::Message as _;

    use crate::tb::event_file::event_file_names;
    use crate::tb::proto::Event;
    use crate::tb::{Graph, Node, SummaryWriter};

    use super::*;

    #[test]
    fn what_is_at_step_0_is_written_once_however_often_a_run_goes_on() {
        let logdir = tempfile::tempdir().unwrap();
        let log = |writer: &SummaryWriter, tags: &[&str]| {
            let graph = Graph::new([Node::new("input", "Placeholder")]).unwrap();
            writer.add_graph(&graph).unwrap();
            writer.add_hparams([("seed", 1.into())]).unwrap();
            for tag in tags {
                writer.add_text(tag, "text", 0).unwrap();
                writer.add_scalar(&format!("{tag}/loss"), 0.5, 0).unwrap();
                writer.add_scalar(&format!("{tag}/loss"), 0.5, 1).unwrap();
            }
            writer.finish().unwrap();
        };
        log(&SummaryWriter::create(logdir.path()).unwrap(), &["a"]);
        for _ in 0..2 {
            let writer = SummaryWriter::append(logdir.path(), 1).unwrap();
            log(&writer, &["a", "b"]);
        }
        let names = event_file_names(logdir.path()).unwrap();
        let paths = names.iter().map(|name| logdir.path().join(name));
        let mut written = Vec::new();
        for path in paths {
            let bytes = fs::read(path).unwrap();
            let mut records = RecordReader::new(&bytes[..]);
            while let Some(record) = records.read().unwrap() {
                let event = Event::decode(record).unwrap();
                match event.what {
                    Some(event::What::GraphDef(_)) => written.push("graph".to_owned()),
                    Some(event::What::Summary(summary)) if event.step == 0 => {
                        written.extend(summary.value.into_iter().map(|value| value.tag));
                    }
                    _ => {}
                }
            }
        }
        written.sort();
        let session = ["_hparams_/session_end_info", "_hparams_/session_start_info"];
        let expected = [&session[..], &["a", "a/loss", "b", "b/loss", "graph"]].concat();
        assert_eq!(written, expected);
    }
}
