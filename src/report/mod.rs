//! Analysis of runs: pure functions from runs to tables.
