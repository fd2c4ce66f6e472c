//! Data sets: IDX files, the embedded MNIST, published ones by their names, splits, seeded batches and
//! augmentation; and pictures that a person drew, made alike MNIST's.
//!
//! The text of an error says all; what the system said is in the field `cause`, not in `source()`, so
//! that no report says it twice.

mod augmentation;
mod batches;
mod catalog;
mod class_names;
mod dataset;
mod digit;
#[cfg(feature = "download")]
mod download;
mod idx;
#[cfg(feature = "mnist")]
mod mnist;
mod picture;
mod split;

pub use augmentation::Augmentation;
pub use batches::Batches;
pub use catalog::{Published, PublishedFile};
pub use class_names::{ClassNamesError, class_names, class_numbers};
pub use dataset::{DataError, Dataset};
#[cfg(feature = "download")]
pub use download::{DownloadError, DownloadProgress, Patience, download};
pub use idx::{IdxError, Images, read_images, read_labels};
pub use picture::{Picture, PictureError};
pub use split::Split;
