//! Data sets: IDX files, the embedded MNIST, splits and seeded batches.
