//! A name for each variant of the errors that bytes can give. A new variant does not compile until it
//! has a name here, and the corpus then needs a file that gives it.

use cnn_tb::data::{ClassNamesError, DataError, IdxError, PictureError};
use cnn_tb::nn::PlanError;
use cnn_tb::tb::ReadError;
use cnn_tb::tb::record::RecordError;
use cnn_tb::train::{CheckpointError, TrainedError};

/// The name of a variant that only the system can give, or only a file too long for the corpus.
pub const SYSTEM: &str = "system";
/// `toml::de::Error`, which has no variants.
pub const TOML: &str = "toml";
/// `ConfigError`, which is a struct.
pub const CONFIG: &str = "config";

/// Defines a function that names an error, and the list of names that the corpus has to give.
/// `within` are variants that hold another of these errors.
macro_rules! variants {
    (
        $function:ident, $list:ident, $error:ty,
        { $($variant:pat => $name:literal,)* }
        within { $($outer:pat => $inner:expr,)* }
        system { $($system:pat,)* }
    ) => {
        pub const $list: &[&str] = &[$($name),*];

        pub fn $function(error: &$error) -> &'static str {
            match error {
                $($variant => $name,)*
                $($outer => $inner,)*
                $($system => SYSTEM,)*
            }
        }
    };
}

variants!(of_record, RECORD, RecordError, {
    RecordError::Truncated { .. } => "record-truncated",
    RecordError::LengthChecksum { .. } => "record-length-checksum",
    RecordError::PayloadChecksum { .. } => "record-payload-checksum",
    RecordError::TooLong { .. } => "record-too-long",
} within {} system { RecordError::Io { .. }, });

variants!(of_read, READ, ReadError, {
    ReadError::Event { .. } => "read-event",
    ReadError::TooLarge { .. } => "read-too-large",
    ReadError::WallTime { .. } => "read-wall-time",
} within { ReadError::Record(error) => of_record(error), } system { ReadError::Open { .. }, });

variants!(of_idx, IDX, IdxError, {
    // What the decompressor says.
    IdxError::Io { .. } => "idx-io",
    IdxError::Magic { .. } => "idx-magic",
    IdxError::Header { .. } => "idx-header",
    IdxError::Dimensions { .. } => "idx-dimensions",
    IdxError::Cut { .. } => "idx-cut",
    IdxError::Trailing { .. } => "idx-trailing",
} within {} system {});

variants!(of_data, DATA, DataError, {
    DataError::Missing { .. } => "data-missing",
    DataError::Count { .. } => "data-count",
    DataError::ImageSize { .. } => "data-image-size",
    DataError::TooFew { .. } => "data-too-few",
    DataError::OneClass { .. } => "data-one-class",
    DataError::Label { .. } => "data-label",
} within {
    DataError::Idx(error) => of_idx(error),
    DataError::ClassNames(error) => of_class_names(error),
} system {
    DataError::Embedded(_),
    // Of published sets, whose files are known by their checksums.
    DataError::NotThere { .. },
    DataError::NotAsPublished { .. },
    DataError::ClassCount { .. },
});

variants!(of_class_names, CLASS_NAMES, ClassNamesError, {
    ClassNamesError::Line { .. } => "class-names-line",
    ClassNamesError::Count { .. } => "class-names-count",
} within {} system { ClassNamesError::Io { .. }, });

variants!(of_plan, PLAN, PlanError, {
    PlanError::Count { .. } => "plan-count",
    PlanError::Layer { .. } => "plan-layer",
} within {} system {
    // Of images and classes, which are not the file's.
    PlanError::Data { .. },
});

variants!(of_picture, PICTURE, PictureError, {
    PictureError::Signature { .. } => "picture-signature",
    PictureError::Damaged(_) => "picture-damaged",
    PictureError::TooLarge { .. } => "picture-too-large",
    PictureError::Blank { .. } => "picture-blank",
} within {} system {
    PictureError::Io(_),
    // It takes a file of 208 MB.
    PictureError::TooLong,
});

variants!(of_trained, TRAINED, TrainedError, {
    TrainedError::Config { .. } => "trained-config",
    TrainedError::Weights { .. } => "trained-weights",
} within {
    TrainedError::Network { cause, .. } => of_plan(cause),
} system { TrainedError::Missing { .. }, TrainedError::Io { .. }, });

variants!(of_checkpoint, CHECKPOINT, CheckpointError, {
    CheckpointError::Damaged { .. } => "checkpoint-damaged",
    CheckpointError::Unknown { .. } => "checkpoint-unknown",
    CheckpointError::OtherSettings { .. } => "checkpoint-other-settings",
    CheckpointError::Schedule { .. } => "checkpoint-schedule",
    CheckpointError::Complete { .. } => "checkpoint-complete",
    CheckpointError::OtherInstructions { .. } => "checkpoint-other-instructions",
    CheckpointError::OtherData { .. } => "checkpoint-other-data",
} within {} system {
    CheckpointError::Io { .. },
    // Of a fork (`tests/resume.rs`).
    CheckpointError::Network { .. },
    CheckpointError::OtherShape { .. },
});
