//! Precision-recall curves.

use crate::tb::writer::SummaryWriter;
use crate::train::Predictions;

use super::class_names::tag;
use super::error::LogError;

/// Logs how well each class is told from all others at each threshold, as
/// `precision_recall/<name of the class>`.
///
/// # Errors
/// What [`SummaryWriter`] says.
pub fn log_curves(
    run: &SummaryWriter,
    names: &[String],
    predictions: &Predictions,
    step: usize,
) -> Result<(), LogError> {
    if predictions.is_empty() {
        return Ok(());
    }
    for (class, name) in names.iter().enumerate().take(predictions.classes()) {
        let (is_class, scores) = predictions.one_against_rest(class);
        let tag = format!("precision_recall/{}", tag(name));
        run.add_pr_curve(&tag, &is_class, &scores, step)?;
    }
    Ok(())
}
