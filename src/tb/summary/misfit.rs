//! Why something given cannot be made a value.

/// What was given, and what fits: a shape, a length or a range that TensorBoard could not show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found}; expected {expected}")]
pub struct Misfit {
    /// What was given.
    pub found: String,
    /// What fits.
    pub expected: String,
}

impl Misfit {
    pub(crate) fn new(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            found: found.into(),
            expected: expected.into(),
        }
    }
}

impl<F: Into<String>, E: Into<String>> From<(F, E)> for Misfit {
    fn from((found, expected): (F, E)) -> Self {
        Self::new(found, expected)
    }
}
