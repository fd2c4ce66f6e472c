//! Analysis of runs: pure functions from runs to tables of values with a meaning.

pub mod compare;
pub mod metric;
pub mod plot;
