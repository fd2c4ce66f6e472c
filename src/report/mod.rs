//! Analysis of runs: pure functions from runs to tables of values with a meaning.

pub mod compare;
pub mod condition;
pub mod doctor;
pub mod escape;
pub mod export;
pub mod groups;
pub mod list;
pub mod measure;
pub mod metric;
pub mod nearest;
pub mod plot;
pub mod show;
