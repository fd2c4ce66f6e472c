//! Data sets: IDX files, the embedded MNIST, splits and seeded batches.
//!
//! The text of an error says all; what the system said is in the field `cause`, not in `source()`, so
//! that no report says it twice.

mod batches;
mod dataset;
mod idx;
#[cfg(feature = "mnist")]
mod mnist;
mod split;

pub use batches::Batches;
pub use dataset::{DataError, Dataset};
pub use idx::{IdxError, Images, read_images, read_labels};
pub use split::{Shift, Split};
