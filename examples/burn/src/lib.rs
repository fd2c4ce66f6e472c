//! burn's metrics in TensorBoard.

use std::collections::HashMap;

use burn::train::logger::MetricLogger;
use burn::train::metric::store::{EpochSummary, MetricsUpdate, Split};
use burn::train::metric::{MetricDefinition, MetricId, MetricName, NumericEntry};
use cnn_tb::tb::SummaryWriter;

/// Logs each numeric metric under its name: over every epoch into `train` and `valid`, which makes one
/// chart, and over every training batch into `batches`. In `test` the last point is the result.
pub struct TensorBoard {
    run: SummaryWriter,
    names: HashMap<MetricId, MetricName>,
    /// All numbers, in which burn looks for its best epoch.
    numbers: HashMap<(String, usize, Split), Vec<NumericEntry>>,
    batches: HashMap<(MetricId, Split), usize>,
}

impl TensorBoard {
    /// Keep a clone of `run` to finish it: what could not be written is an error then.
    pub fn new(run: SummaryWriter) -> Self {
        let (names, numbers, batches) = Default::default();
        Self {
            run,
            names,
            numbers,
            batches,
        }
    }
}

impl MetricLogger for TensorBoard {
    fn log(&mut self, update: MetricsUpdate, epoch: usize, split: &Split) {
        for metric in update.entries_numeric {
            let id = metric.entry.metric_id;
            let (Some(name), Some(number)) = (self.names.get(&id), metric.numeric_entry) else {
                continue; // a metric of whole epochs has no number for a batch
            };
            let of_epoch = self.numbers.entry((name.to_string(), epoch, split.clone()));
            of_epoch.or_default().push(number.clone());
            let is_batch = !matches!(number, NumericEntry::Final(_));
            let batch = self.batches.entry((id, split.clone())).or_default();
            *batch += usize::from(is_batch);
            let (child, number, step) = match (split, metric.running_entry) {
                (Split::Train, _) if is_batch => ("batches", number, *batch),
                (Split::Train, _) => ("train", number, epoch),
                (Split::Valid, _) if is_batch => continue,
                (Split::Valid, _) => ("valid", number, epoch),
                (Split::Test(_), so_far) => ("test", so_far.unwrap_or(number), *batch),
            };
            let child = self.run.child(child);
            let written = child.and_then(|child| child.add_scalar(name, number.current(), step));
            if let Err(error) = written {
                eprintln!("warning: {error}");
            }
        }
    }

    fn read_numeric(
        &mut self,
        name: &str,
        epoch: usize,
        split: &Split,
    ) -> Result<Vec<NumericEntry>, String> {
        let numbers = self.numbers.get(&(name.to_owned(), epoch, split.clone()));
        Ok(numbers.cloned().unwrap_or_default())
    }

    fn log_metric_definition(&mut self, definition: MetricDefinition) {
        self.names.insert(definition.metric_id, definition.name);
    }

    fn log_epoch_summary(&mut self, _summary: EpochSummary) {}
}
