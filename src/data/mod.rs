//! Data sets: IDX files, the embedded MNIST, splits and seeded batches.

mod batches;
mod dataset;
mod idx;
#[cfg(feature = "mnist")]
mod mnist;
mod split;

pub use batches::Batches;
pub use dataset::{DataError, Dataset};
pub use idx::{IdxError, Images, read_images, read_labels};
pub use split::Split;
