//! What is drawn from numbers: precision-recall curves, charts of several tags, histograms.

use crate::tb::proto::{Summary, event};
use crate::tb::summary::histogram::Histogram;
use crate::tb::summary::layout::Layout;
use crate::tb::summary::pr_curve::PrCurve;
use crate::tb::summary::scalar::Number;
use crate::tb::writer::{Step, SummaryWriter, WriteError};

impl SummaryWriter {
    /// Logs how well `scores` (0 to 1, one for each label) tell the samples labelled `true` from the
    /// others: a curve of precision over recall at 127 thresholds, on the PR Curves page. For
    /// weights or other thresholds see [`PrCurve::weighted`] and
    /// [`add_pr_curve_raw`](Self::add_pr_curve_raw).
    ///
    /// ```
    /// # let logdir = tempfile::tempdir()?;
    /// # let writer = cnn_tb::tb::SummaryWriter::create(logdir.path())?;
    /// writer.add_pr_curve("is_cat", &[true, false, true], &[0.9, 0.2, 0.6], 1)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`WriteError::Value`] as [`PrCurve::new`], and see [`SummaryWriter`].
    pub fn add_pr_curve(
        &self,
        tag: &str,
        labels: &[bool],
        scores: &[f32],
        step: impl Step,
    ) -> Result<(), WriteError> {
        let curve = PrCurve::new(labels, scores).map_err(WriteError::value(tag))?;
        self.add_pr_curve_raw(tag, &curve, step)
    }

    /// Logs a curve that was computed before; see [`add_pr_curve`](Self::add_pr_curve).
    ///
    /// ```
    /// use cnn_tb::tb::PrCurve;
    /// # let logdir = tempfile::tempdir()?;
    /// # let writer = cnn_tb::tb::SummaryWriter::create(logdir.path())?;
    /// let curve = PrCurve::weighted(&[true, false], &[0.9, 0.2], Some(&[1.0, 0.5]), 201)?;
    /// writer.add_pr_curve_raw("is_cat", &curve, 1)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`WriteError::Value`] as [`PrCurve::to_value`], and see [`SummaryWriter`].
    pub fn add_pr_curve_raw(
        &self,
        tag: &str,
        curve: &PrCurve,
        step: impl Step,
    ) -> Result<(), WriteError> {
        let value = curve.to_value(tag).map_err(WriteError::value(tag))?;
        self.add_values(vec![value], step)
    }

    /// Logs a curve for each class against the others, with the tags `tag/0`, `tag/1` and so on.
    /// `labels` are the classes of the samples; `scores` has a row for each label, with a score from
    /// 0 to 1 for each class (as a softmax gives), row by row.
    ///
    /// ```
    /// # let logdir = tempfile::tempdir()?;
    /// # let writer = cnn_tb::tb::SummaryWriter::create(logdir.path())?;
    /// // Two samples, three classes.
    /// writer.add_pr_curves("digits", &[2, 0], &[0.1, 0.2, 0.7, 0.8, 0.1, 0.1], 1)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`WriteError::Value`] as [`PrCurve::of_classes`], and see [`SummaryWriter`].
    pub fn add_pr_curves(
        &self,
        tag: &str,
        labels: &[u32],
        scores: &[f32],
        step: impl Step,
    ) -> Result<(), WriteError> {
        let curves = PrCurve::of_classes(labels, scores).map_err(WriteError::value(tag))?;
        let curves = curves.iter().enumerate();
        let values = curves
            .map(|(class, curve)| curve.to_value(&format!("{tag}/{class}")))
            .collect::<Result<_, _>>()
            .map_err(WriteError::value(tag))?;
        self.add_values(values, step)
    }

    /// Logs a histogram that was counted elsewhere: `counts[i]` values lie between `edges[i]` and
    /// `edges[i + 1]`. Shown as [`add_histogram`](Self::add_histogram)'s.
    ///
    /// ```
    /// # let logdir = tempfile::tempdir()?;
    /// # let writer = cnn_tb::tb::SummaryWriter::create(logdir.path())?;
    /// writer.add_histogram_raw("latency_ms", &[0.0, 1.0, 10.0, 100.0], &[7.0, 12.0, 1.0], 1)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`WriteError::Value`] as [`Histogram::from_buckets`], and see [`SummaryWriter`].
    pub fn add_histogram_raw<E: Number, C: Number>(
        &self,
        tag: &str,
        edges: &[E],
        counts: &[C],
        step: impl Step,
    ) -> Result<(), WriteError> {
        let histogram = Histogram::from_buckets(edges, counts).map_err(WriteError::value(tag))?;
        self.add_values(vec![histogram.to_value(tag)], step)
    }

    /// Logs what the Custom Scalars page shows, at step 0. Once a run: the same again does nothing.
    ///
    /// # Errors
    /// [`WriteError::Value`] for an empty layout, category or chart, and for another layout than
    /// before; and see [`SummaryWriter`].
    pub fn add_custom_scalars(&self, layout: &Layout) -> Result<(), WriteError> {
        let tag = "custom scalars";
        let value = layout.to_value().map_err(WriteError::value(tag))?;
        let summary = Summary { value: vec![value] };
        self.add_once(tag, event::What::Summary(summary))
    }
}
