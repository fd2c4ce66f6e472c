//! What may be a mistake, though it can be written.

use std::fmt;

/// Something logged that TensorBoard will not show as it was meant. It is written all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A series goes on at an earlier step than its last. TensorBoard's data server drops the points
    /// from that step on; its Python loader draws a line that doubles back.
    StepWentBack {
        /// The series.
        tag: String,
        /// Its last step.
        from: i64,
        /// The new one.
        to: i64,
    },
    /// A tag that had values of one kind gets one of another. TensorBoard takes a tag for what its
    /// first value was, and shows no other.
    KindChanged {
        /// The tag.
        tag: String,
        /// The plugin that shows its first value, such as `scalars`.
        from: String,
        /// The plugin that would show the new one.
        to: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StepWentBack { tag, from, to } => write!(
                f,
                "{tag}: the step goes back from {from} to {to}, and TensorBoard drops the points \
                 from {to} on"
            ),
            Self::KindChanged { tag, from, to } => write!(
                f,
                "{tag}: one of {to} in a series of {from}, which TensorBoard does not show; give it \
                 a tag of its own"
            ),
        }
    }
}
