//! Why something could not be logged.

use crate::tb::image::ImageError;
use crate::tb::writer::WriteError;
use crate::tb::{GraphError, Misfit};

/// Why something could not be logged.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A picture could not be drawn.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The network makes no graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Rows make no table.
    #[error(transparent)]
    Table(#[from] Misfit),
    /// A computation failed.
    #[error(transparent)]
    Compute(#[from] candle_core::Error),
}
