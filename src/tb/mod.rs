//! The event file: writing and reading what stock TensorBoard reads.
