//! The charts of the Custom Scalars page.

use crate::tb::{Category, Chart, Layout, exact_tag};

use super::scalars::{VALIDATION_ACCURACY, VALIDATION_LOSS};

/// The article's two figures, each a line for every training; and training against validation.
pub fn layout() -> Layout {
    let chart = |title, tag| Chart::lines(title, [exact_tag(tag)]);
    Layout::new([
        Category::new(
            "Article",
            [
                chart("Validation accuracy", VALIDATION_ACCURACY),
                chart("Validation loss", VALIDATION_LOSS),
            ],
        ),
        Category::new(
            "Train against validation",
            [chart("Accuracy", "accuracy"), chart("Loss", "loss")],
        ),
    ])
}
