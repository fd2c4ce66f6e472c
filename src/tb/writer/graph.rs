//! The run's graph.

use crate::tb::proto::event;
use crate::tb::summary::graph::Graph;
use crate::tb::writer::{SummaryWriter, WriteError};

impl SummaryWriter {
    /// Logs the run's graph, at step 0: the Graphs page draws it. Once a run: the same again does
    /// nothing.
    ///
    /// # Errors
    /// [`WriteError::Value`] for another graph than before, since TensorBoard's two loaders do not
    /// agree which of two they show; and see [`SummaryWriter`].
    pub fn add_graph(&self, graph: &Graph) -> Result<(), WriteError> {
        self.add_once("graph", event::What::GraphDef(graph.to_bytes()))
    }
}
