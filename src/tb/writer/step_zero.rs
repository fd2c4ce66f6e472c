//! What the earlier files of a continued directory hold at step 0.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use prost::Message as _;

use crate::tb::proto::summary::Value;
use crate::tb::proto::{Event, event};
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
                if let Ok(event) = Event::decode(record) {
                    step_zero.add(event);
                }
            }
        }
        step_zero
    }

    fn add(&mut self, event: Event) {
        match event.what {
            Some(event::What::Summary(summary)) if event.step == 0 => {
                let tags = summary.value.into_iter().map(|value| value.tag);
                self.tags.extend(tags);
            }
            Some(event::What::GraphDef(_)) => self.has_graph = true,
            _ => {}
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
