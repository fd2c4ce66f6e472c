//! Kernels, ops, layers and optimisers.
