//! Softmax cross-entropy: the op.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};

use crate::nn::composed;
use crate::nn::slice::{f32_slice, has_kernel, with_f32};
use crate::nn::tape::{Graph, Tape};

/// The mean softmax cross-entropy of `logits` (N, classes) against `labels` (N, u32): a scalar.
///
/// # Errors
/// Shapes that do not fit, an empty batch, a label that is not below `classes`.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    cross_entropy_on(&mut Graph, logits, labels)
}

/// As [`cross_entropy`], on a tape.
pub(super) fn cross_entropy_on(
    tape: &mut impl Tape,
    logits: &Tensor,
    labels: &Tensor,
) -> Result<Tensor> {
    let (rows, classes) = logits.dims2()?;
    if labels.dims() != [rows] || labels.dtype() != DType::U32 || rows == 0 {
        bail!(
            "cross_entropy: logits {:?} need labels of shape ({rows},) and type u32, at least one, \
             not {:?} of {:?}",
            logits.shape(),
            labels.shape(),
            labels.dtype()
        );
    }
    if !has_kernel(logits) {
        return composed::cross_entropy(logits, labels);
    }
    let labels = labels.to_vec1::<u32>()?;
    if let Some(label) = labels.iter().find(|label| **label as usize >= classes) {
        bail!(
            "cross_entropy: label {label} of {classes} classes (0 to {})",
            classes.wrapping_sub(1)
        );
    }
    tape.apply_op1(&logits.contiguous()?, CrossEntropyOp { labels })
}

struct CrossEntropyOp {
    labels: Vec<u32>,
}

impl CrossEntropyOp {
    /// Pairs each row of logits with its label.
    fn rows<'a>(&'a self, logits: &'a [f32]) -> impl Iterator<Item = (&'a [f32], usize)> {
        let classes = logits.len() / self.labels.len();
        let labels = self.labels.iter().map(|label| *label as usize);
        logits.chunks_exact(classes).zip(labels)
    }
}

/// The largest logit and the sum of `exp(logit − largest)`: what keeps the exponentials finite.
fn scale(row: &[f32]) -> (f32, f32) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (largest, row.iter().map(|x| (x - largest).exp()).sum())
}

impl CustomOp1 for CrossEntropyOp {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let logits = f32_slice(self.name(), logits, layout)?;
        let loss = |(row, label): (&[f32], usize)| {
            let (largest, sum) = scale(row);
            f64::from(sum.ln() - (row[label] - largest))
        };
        let mean = self.rows(logits).map(loss).sum::<f64>() / self.labels.len() as f64;
        Ok((CpuStorage::F32(vec![mean as f32]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _loss: &Tensor, grad_loss: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad_loss.to_scalar::<f32>()? / self.labels.len() as f32;
        let grad_logits = with_f32(self.name(), logits, |logits| {
            let mut grad_logits = Vec::with_capacity(logits.len());
            for (row, label) in self.rows(logits) {
                let (largest, sum) = scale(row);
                let start = grad_logits.len();
                grad_logits.extend(row.iter().map(|x| grad * (x - largest).exp() / sum));
                grad_logits[start + label] -= grad;
            }
            Ok(grad_logits)
        })?;
        Tensor::from_vec(grad_logits, logits.shape(), logits.device()).map(Some)
    }
}

/// How many rows of `logits` (N, classes) have their largest number, the first of equal ones, at
/// the label. A row that holds a NaN is wrong.
///
/// # Errors
/// Shapes that do not fit.
pub fn count_correct(logits: &Tensor, labels: &Tensor) -> Result<usize> {
    let (rows, classes) = logits.dims2()?;
    let (logits, labels) = (
        logits.flatten_all()?.to_vec1::<f32>()?,
        labels.to_vec1::<u32>()?,
    );
    if labels.len() != rows {
        bail!(
            "count_correct: {rows} rows of logits and {} labels",
            labels.len()
        );
    }
    let right = |(row, label): &(&[f32], usize)| {
        let Some(&largest) = row.get(*label) else {
            return false;
        };
        row[..*label].iter().all(|x| *x < largest) && row[*label..].iter().all(|x| *x <= largest)
    };
    let labels = labels.iter().map(|label| *label as usize);
    Ok(logits
        .chunks_exact(classes.max(1))
        .zip(labels)
        .filter(right)
        .count())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_first_of_equal_logits_counts_and_nan_never() {
        let rows = [
            [1f32, 2.0, 0.0],
            [2.0, 2.0, 0.0],
            [f32::NAN, 3.0, 0.0],
            [0.0, 3.0, f32::NAN],
        ];
        let logits = Tensor::new(&rows, &Device::Cpu).unwrap();
        for (labels, expected) in [([1u32, 0, 1, 1], 2), ([0, 1, 0, 2], 0), ([9, 0, 0, 0], 1)] {
            let labels = Tensor::new(&labels, &Device::Cpu).unwrap();
            assert_eq!(count_correct(&logits, &labels).unwrap(), expected);
        }
    }
}
