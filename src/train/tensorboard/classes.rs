//! What each class comes to.

use crate::tb::summary::text::table;
use crate::tb::writer::SummaryWriter;
use crate::train::{Confusion, Predictions};

use super::error::LogError;

/// Logs the accuracy of each class, the share of its images that were recognised, as
/// `per_class/<class>`. A class without images has none.
///
/// # Errors
/// What [`SummaryWriter`] says.
pub fn log_accuracies(
    run: &SummaryWriter,
    predictions: &Predictions,
    step: usize,
) -> Result<(), LogError> {
    let classes = predictions.confusion().per_class();
    let accuracies = classes.iter().filter_map(|metrics| {
        let accuracy = metrics.recall?;
        Some((metrics.class.to_string(), accuracy))
    });
    Ok(run.add_scalars("per_class", accuracies, step)?)
}

/// Logs two tables, as texts: how well each class is recognised, and what it was taken for.
///
/// # Errors
/// What [`SummaryWriter`] says.
pub fn log_tables(
    run: &SummaryWriter,
    predictions: &Predictions,
    step: usize,
) -> Result<(), LogError> {
    let confusion = predictions.confusion();
    let classes = class_table(&confusion)?;
    let about = format!("Over the {} validation images.\n\n", predictions.len());
    run.add_text("per_class", &format!("{about}{classes}"), step)?;
    let counts = confusion_table(&confusion)?;
    Ok(run.add_text("confusion", &format!("{about}{counts}"), step)?)
}

fn class_table(confusion: &Confusion) -> Result<String, LogError> {
    let percent = |share: Option<f64>| {
        share.map_or_else(|| "–".to_owned(), |share| format!("{:.2} %", 100.0 * share))
    };
    let rows = confusion.per_class().into_iter().map(|metrics| {
        [
            metrics.class.to_string(),
            metrics.support.to_string(),
            percent(metrics.recall),
            percent(metrics.precision),
            percent(metrics.f1),
        ]
    });
    let header = ["class", "images", "accuracy (recall)", "precision", "F1"];
    Ok(table(header, rows)?)
}

/// A row for each label, in it how often it was taken for each class.
fn confusion_table(confusion: &Confusion) -> Result<String, LogError> {
    let classes = (0..confusion.classes()).map(|class| class.to_string());
    let header = std::iter::once("label ↓ taken for →".to_owned()).chain(classes);
    let rows = confusion.rows().enumerate().map(|(label, counts)| {
        let counts = counts.iter().map(u64::to_string);
        std::iter::once(label.to_string()).chain(counts)
    });
    Ok(table(header, rows)?)
}
