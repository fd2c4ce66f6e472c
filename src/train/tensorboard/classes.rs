//! What each class comes to.

use crate::tb::summary::text::table;
use crate::tb::writer::SummaryWriter;
use crate::train::{Confusion, Predictions};

use super::class_names::tag;
use super::error::LogError;

/// Logs the accuracy of each class, the share of its images that were recognised, as
/// `per_class/<name of the class>`. A class without images has none.
///
/// # Errors
/// What [`SummaryWriter`] says.
pub fn log_accuracies(
    run: &SummaryWriter,
    names: &[String],
    predictions: &Predictions,
    step: usize,
) -> Result<(), LogError> {
    let classes = predictions.confusion().per_class();
    let accuracies = (classes.iter().zip(names))
        .filter_map(|(metrics, name)| Some((tag(name), metrics.recall?)));
    Ok(run.add_scalars("per_class", accuracies, step)?)
}

/// Logs two tables, as texts: how well each class is recognised, and what it was taken for.
///
/// # Errors
/// What [`SummaryWriter`] says.
pub fn log_tables(
    run: &SummaryWriter,
    names: &[String],
    predictions: &Predictions,
    step: usize,
) -> Result<(), LogError> {
    let confusion = predictions.confusion();
    let classes = class_table(&confusion, names)?;
    let about = format!("Over the {} validation images.\n\n", predictions.len());
    run.add_text("per_class", &format!("{about}{classes}"), step)?;
    let counts = confusion_table(&confusion, names)?;
    Ok(run.add_text("confusion", &format!("{about}{counts}"), step)?)
}

fn class_table(confusion: &Confusion, names: &[String]) -> Result<String, LogError> {
    let percent = |share: Option<f64>| {
        share.map_or_else(|| "–".to_owned(), |share| format!("{:.2} %", 100.0 * share))
    };
    let rows = confusion
        .per_class()
        .into_iter()
        .zip(names)
        .map(|(metrics, name)| {
            [
                name.clone(),
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
fn confusion_table(confusion: &Confusion, names: &[String]) -> Result<String, LogError> {
    let header = std::iter::once("label ↓ taken for →").chain(names.iter().map(String::as_str));
    let rows = confusion.rows().zip(names).map(|(counts, name)| {
        let counts = counts.iter().map(u64::to_string);
        std::iter::once(name.clone()).chain(counts)
    });
    Ok(table(header, rows)?)
}
