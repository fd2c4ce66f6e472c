//! Precision-recall curves: what a binary classifier gets right at each threshold.

use prost::Message as _;

use crate::tb::proto::summary::Value;
use crate::tb::proto::{DataClass, DataType, PrCurvePluginData, TensorProto};
use crate::tb::summary::{Misfit, shape, tensor_value};

pub(super) const PLUGIN: &str = "pr_curves";
/// What counts are divided by at least.
const MIN_COUNT: f64 = 1e-7;
/// How far beyond 0 and 1 rounding may take a score.
const ROUNDING: f32 = 1e-5;

/// Thresholds of a curve unless said otherwise, as in PyTorch.
pub const THRESHOLDS: usize = 127;

/// One curve: six numbers for each of n thresholds, which lie evenly on 0 … 1, both included, in
/// rising order. A sample counts as positive at a threshold if its score is at least that.
///
/// TensorBoard draws precision over recall and cuts the end where nothing is taken for positive.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PrCurve {
    /// Positive samples that are taken for positive.
    pub true_positives: Vec<f32>,
    /// Negative samples that are taken for positive.
    pub false_positives: Vec<f32>,
    /// Negative samples that are taken for negative.
    pub true_negatives: Vec<f32>,
    /// Positive samples that are taken for negative.
    pub false_negatives: Vec<f32>,
    /// True positives among what is taken for positive; 0 where nothing is.
    pub precision: Vec<f32>,
    /// True positives among the positive samples; 0 where there are none.
    pub recall: Vec<f32>,
}

impl PrCurve {
    /// The curve of `scores` from 0 to 1, one for each label, at [`THRESHOLDS`] thresholds.
    ///
    /// # Errors
    /// As [`weighted`](Self::weighted).
    pub fn new(labels: &[bool], scores: &[f32]) -> Result<Self, Misfit> {
        Self::weighted(labels, scores, None, THRESHOLDS)
    }

    /// As [`new`](Self::new), each sample counted `weight` times, at `thresholds` thresholds.
    ///
    /// Source: `summary.py` in
    /// <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/plugins/pr_curve>.
    ///
    /// # Errors
    /// Lengths that differ, no samples, a score that is no number from 0 to 1 (what rounding took
    /// beyond by 0.00001 is put back), a weight that is negative or not finite, fewer than two
    /// thresholds.
    ///
    /// ```
    /// use cnn_tb::tb::PrCurve;
    /// let labels = [true, true, false];
    /// let curve = PrCurve::weighted(&labels, &[0.9, 0.4, 0.6], None, 3)?;
    /// // At 0, 0.5 and 1.
    /// assert_eq!(curve.recall, [1.0, 0.5, 0.0]);
    /// assert_eq!(curve.precision, [2.0 / 3.0, 0.5, 0.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn weighted(
        labels: &[bool],
        scores: &[f32],
        weights: Option<&[f32]>,
        thresholds: usize,
    ) -> Result<Self, Misfit> {
        if labels.is_empty() || scores.len() != labels.len() {
            let found = format!("{} labels and {} scores", labels.len(), scores.len());
            return Err(Misfit::new(
                found,
                "at least one label, and a score for each",
            ));
        }
        if let Some(weights) = weights {
            check_weights(weights, labels.len())?;
        }
        check_thresholds(thresholds)?;
        let mut positives = vec![0.0; thresholds];
        let mut negatives = vec![0.0; thresholds];
        for (index, (&label, &score)) in labels.iter().zip(scores).enumerate() {
            if !(-ROUNDING..=1.0 + ROUNDING).contains(&score) {
                let found = format!("a score of {score} at index {index}");
                return Err(Misfit::new(
                    found,
                    "scores from 0 to 1, such as probabilities",
                ));
            }
            // As in the source, with 32 bits.
            let bucket = (score.clamp(0.0, 1.0) * (thresholds - 1) as f32) as usize;
            let side = if label {
                &mut positives
            } else {
                &mut negatives
            };
            side[bucket] += weights.map_or(1.0, |weights| f64::from(weights[index]));
        }
        Ok(Self::from_buckets(&positives, &negatives))
    }

    /// The curves of a classifier: of each class against the others, in the order of the classes.
    /// `scores` has a row of class scores (such as a softmax gives) for each label, row by row.
    ///
    /// # Errors
    /// Scores that are no whole rows, a label beyond the classes, and as [`new`](Self::new).
    pub fn of_classes(labels: &[u32], scores: &[f32]) -> Result<Vec<Self>, Misfit> {
        let rows = labels.len();
        if rows == 0 || scores.is_empty() || !scores.len().is_multiple_of(rows) {
            let found = format!("{rows} labels and {} scores", scores.len());
            let expected = "at least one label, and as many scores for each as there are classes";
            return Err(Misfit::new(found, expected));
        }
        let classes = scores.len() / rows;
        if let Some(label) = labels.iter().find(|&&label| label as usize >= classes) {
            let found = format!("the label {label} with {classes} scores a row");
            let expected = format!("labels from 0 to {}", classes - 1);
            return Err(Misfit::new(found, expected));
        }
        (0..classes)
            .map(|class| {
                let is_class: Vec<_> = labels.iter().map(|&l| l as usize == class).collect();
                let column = scores.iter().skip(class).step_by(classes);
                Self::new(&is_class, &column.copied().collect::<Vec<_>>())
            })
            .collect()
    }

    /// From the sums of weights between each threshold and the next.
    fn from_buckets(positives: &[f64], negatives: &[f64]) -> Self {
        let (true_positives, false_positives) = (sums_from(positives), sums_from(negatives));
        let mut curve = Self::default();
        for (tp, fp) in true_positives.iter().zip(&false_positives) {
            let (tn, fn_) = (false_positives[0] - fp, true_positives[0] - tp);
            curve.true_positives.push(*tp as f32);
            curve.false_positives.push(*fp as f32);
            curve.true_negatives.push(tn as f32);
            curve.false_negatives.push(fn_ as f32);
            curve.precision.push((tp / (tp + fp).max(MIN_COUNT)) as f32);
            curve.recall.push((tp / (tp + fn_).max(MIN_COUNT)) as f32);
        }
        curve
    }

    /// A tensor of 32-bit floats with six rows, and a column for each threshold.
    ///
    /// # Errors
    /// Rows of different lengths, fewer than two thresholds, a number that is negative or not
    /// finite.
    pub fn to_value(&self, tag: &str) -> Result<Value, Misfit> {
        let rows = [
            &self.true_positives,
            &self.false_positives,
            &self.true_negatives,
            &self.false_negatives,
            &self.precision,
            &self.recall,
        ];
        let thresholds = rows[0].len();
        if rows.iter().any(|row| row.len() != thresholds) {
            let found = format!("rows of {:?} numbers", rows.map(Vec::len));
            return Err(Misfit::new(found, "six rows of equal length"));
        }
        check_thresholds(thresholds)?;
        let numbers: Vec<_> = rows.into_iter().flatten().copied().collect();
        if let Some(number) = numbers.iter().find(|n| !n.is_finite() || **n < 0.0) {
            return Err(Misfit::new(format!("{number}"), "finite numbers from 0 on"));
        }
        let tensor = TensorProto {
            dtype: DataType::DtFloat.into(),
            tensor_shape: Some(shape([6, thresholds])),
            float_val: numbers,
            ..TensorProto::default()
        };
        let content = PrCurvePluginData {
            version: 0,
            num_thresholds: u32::try_from(thresholds).unwrap_or(u32::MAX),
        };
        let content = content.encode_to_vec();
        Ok(tensor_value(
            tag,
            PLUGIN,
            content,
            DataClass::Tensor,
            tensor,
        ))
    }
}

/// For each element the sum of it and of all that follow.
fn sums_from(buckets: &[f64]) -> Vec<f64> {
    let mut sums = buckets.to_vec();
    for index in (1..sums.len()).rev() {
        sums[index - 1] += sums[index];
    }
    sums
}

fn check_thresholds(thresholds: usize) -> Result<(), Misfit> {
    match thresholds {
        0 | 1 => Err(Misfit::new(
            format!("{thresholds} thresholds"),
            "two or more",
        )),
        _ => Ok(()),
    }
}

fn check_weights(weights: &[f32], samples: usize) -> Result<(), Misfit> {
    if weights.len() != samples {
        let found = format!("{} weights for {samples} labels", weights.len());
        return Err(Misfit::new(found, "a weight for each label"));
    }
    match weights.iter().position(|w| !w.is_finite() || *w < 0.0) {
        Some(index) => {
            let found = format!("a weight of {} at index {index}", weights[index]);
            Err(Misfit::new(found, "finite weights from 0 on"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [bool; 8] = [true, false, true, true, false, false, true, false];
    const SCORES: [f32; 8] = [0.9, 0.1, 0.25, 1.0, 0.5, 0.75, 0.49, 0.0];

    fn rows(curve: &PrCurve) -> [&[f32]; 6] {
        [
            &curve.true_positives,
            &curve.false_positives,
            &curve.true_negatives,
            &curve.false_negatives,
            &curve.precision,
            &curve.recall,
        ]
    }

    /// The rows that the pinned TensorBoard gives, from
    ///
    /// ```python
    /// # `pb` imports TensorFlow for the message alone, so stand-ins let its numbers out.
    /// import sys, types
    /// import numpy as np
    /// from tensorboard.plugins.pr_curve import summary
    /// for name in ("tensorflow", "tensorflow.compat", "tensorflow.compat.v1"):
    ///     sys.modules[name] = types.ModuleType(name)
    /// KEYS = ["true_positive_counts", "false_positive_counts", "true_negative_counts",
    ///         "false_negative_counts", "precision", "recall"]
    /// summary.raw_data_pb = lambda name, **rows: [np.float32(rows[key]) for key in KEYS]
    /// labels = np.array([1, 0, 1, 1, 0, 0, 1, 0], bool)
    /// scores = np.array([.9, .1, .25, 1, .5, .75, .49, 0], np.float32)
    /// weights = np.array([1, 2, .5, 1, 1, .25, 3, 1], np.float32)
    /// for given in ({}, {"weights": weights}):
    ///     for row in summary.pb("x", labels, scores, num_thresholds=5, **given):
    ///         print(row.tolist())
    /// ```
    #[test]
    fn curves_are_those_of_tensorboards_own_summary() {
        let curve = PrCurve::weighted(&LABELS, &SCORES, None, 5).unwrap();
        let expected: [&[f32]; 6] = [
            &[4.0, 4.0, 2.0, 2.0, 1.0],
            &[4.0, 2.0, 2.0, 1.0, 0.0],
            &[0.0, 2.0, 2.0, 3.0, 4.0],
            &[0.0, 0.0, 2.0, 2.0, 3.0],
            &[0.5, 0.6666667, 0.5, 0.6666667, 1.0],
            &[1.0, 1.0, 0.5, 0.5, 0.25],
        ];
        assert_eq!(rows(&curve), expected);
        let weights = [1.0, 2.0, 0.5, 1.0, 1.0, 0.25, 3.0, 1.0];
        let curve = PrCurve::weighted(&LABELS, &SCORES, Some(&weights), 5).unwrap();
        let expected: [&[f32]; 6] = [
            &[5.5, 5.5, 2.0, 2.0, 1.0],
            &[4.25, 1.25, 1.25, 0.25, 0.0],
            &[0.0, 3.0, 3.0, 4.0, 4.25],
            &[0.0, 0.0, 3.5, 3.5, 4.5],
            &[0.5641026, 0.8148148, 0.61538464, 0.8888889, 1.0],
            &[1.0, 1.0, 0.36363637, 0.36363637, 0.18181819],
        ];
        assert_eq!(rows(&curve), expected);
    }

    #[test]
    fn each_class_is_held_against_the_others() {
        let scores = [0.7, 0.2, 0.1, 0.1, 0.6, 0.3, 0.2, 0.2, 0.6, 0.5, 0.3, 0.2];
        let curves = PrCurve::of_classes(&[0, 1, 2, 1], &scores).unwrap();
        let second = PrCurve::new(&[false, true, false, true], &[0.2, 0.6, 0.2, 0.3]).unwrap();
        assert_eq!((curves.len(), &curves[1]), (3, &second));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let text = |result: Result<PrCurve, Misfit>| result.unwrap_err().to_string();
        let new = |labels: &[bool], scores: &[f32]| text(PrCurve::new(labels, scores));
        assert!(new(&[], &[]).starts_with("0 labels and 0 scores; "));
        assert!(new(&[true], &[0.5, 0.5]).starts_with("1 labels and 2 scores; "));
        assert_eq!(
            new(&[true, true], &[1.000001, 3.5]),
            "a score of 3.5 at index 1; expected scores from 0 to 1, such as probabilities"
        );
        assert!(new(&[true], &[f32::NAN]).starts_with("a score of NaN"));
        let weighted = |weights: &[f32], thresholds| {
            text(PrCurve::weighted(
                &[true],
                &[0.5],
                Some(weights),
                thresholds,
            ))
        };
        assert!(weighted(&[], 2).starts_with("0 weights for 1 labels"));
        assert!(weighted(&[-1.0], 2).starts_with("a weight of -1 at index 0"));
        assert!(weighted(&[1.0], 1).starts_with("1 thresholds"));
        let classes = |labels: &[u32], scores: &[f32]| {
            PrCurve::of_classes(labels, scores).unwrap_err().to_string()
        };
        assert!(classes(&[0, 1], &[0.5; 3]).starts_with("2 labels and 3 scores"));
        assert!(classes(&[], &[]).starts_with("0 labels"));
        assert!(classes(&[2], &[0.5; 2]).ends_with("labels from 0 to 1"));
        let mut curve = PrCurve::new(&[true], &[0.5]).unwrap();
        curve.recall[0] = f32::NAN;
        assert!(curve.to_value("x").is_err());
        curve.recall.pop();
        assert!(curve.to_value("x").unwrap_err().found.contains("126"));
        assert!(PrCurve::default().to_value("x").is_err());
    }
}
