//! What is to be logged.

/// What [`TensorBoard`](crate::train::TensorBoard) logs; everything by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    /// `accuracy` and `loss` of every epoch in `train` and `validation`, the best validation
    /// values, the test result, why the training ended early, the speed; the charts of the Custom
    /// Scalars page.
    pub epochs: bool,
    /// `train_batch/loss` and `train_batch/learning_rate` of every update, in `batches`.
    pub batches: bool,
    /// The settings: as hyperparameters, and `config` as text.
    pub settings: bool,
    /// `per_class/…`, the validation accuracy of each class after every epoch; at the end a table
    /// of them and `confusion`, as texts.
    pub classes: bool,
    /// `optimizer/gradient_norm`, of the last update of every epoch.
    pub gradients: bool,
    /// Pictures of what the network sees and says: `samples/…` and `network/…`.
    pub images: bool,
    /// How weights, gradients and what the layers give are distributed; `relu_dead/…`.
    pub histograms: bool,
    /// The network as a graph.
    pub graph: bool,
    /// A precision-recall curve of each class over the validation images.
    pub curves: bool,
    /// What the last layer is given for test images, for the Projector page.
    pub embedding: bool,
}

impl Groups {
    /// Everything.
    pub const ALL: Self = Self::each(true);
    /// Nothing.
    pub const NONE: Self = Self::each(false);

    const fn each(on: bool) -> Self {
        Self {
            epochs: on,
            batches: on,
            settings: on,
            classes: on,
            gradients: on,
            images: on,
            histograms: on,
            graph: on,
            curves: on,
            embedding: on,
        }
    }
}

impl Default for Groups {
    fn default() -> Self {
        Self::ALL
    }
}
