//! Precision-recall curves.

use crate::tb::writer::SummaryWriter;
use crate::train::Predictions;

use super::error::LogError;

/// Logs how well each class is told from all others at each threshold, as
/// `precision_recall/<class>`.
///
/// # Errors
/// What [`SummaryWriter`] says.
pub fn log_curves(
    run: &SummaryWriter,
    predictions: &Predictions,
    step: usize,
) -> Result<(), LogError> {
    if predictions.is_empty() {
        return Ok(());
    }
    for class in 0..predictions.classes() {
        let (is_class, scores) = predictions.one_against_rest(class);
        let tag = format!("precision_recall/{class}");
        run.add_pr_curve(&tag, &is_class, &scores, step)?;
    }
    Ok(())
}
