//! The kinds of values: what they mean, and how they lie in a summary.
//!
//! One file per kind. Only these files know the names of TensorBoard's plugins. Every kind but
//! scalars is written as a tensor that names its plugin and its data class, so that both of
//! TensorBoard's loaders agree on it. Sources: `dataclass_compat.py` in
//! <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard>, `data_compat.rs` in
//! <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/data/server>.

pub mod audio;
pub mod graph;
pub mod histogram;
pub mod hparams;
pub mod image;
pub mod layout;
pub mod mesh;
mod misfit;
pub mod pr_curve;
pub mod projector;
pub mod scalar;
pub mod text;

use crate::tb::proto::summary::{Value, value};
use crate::tb::proto::summary_metadata::PluginData;
use crate::tb::proto::tensor_shape_proto::Dim;
use crate::tb::proto::{DataClass, SummaryMetadata, TensorProto, TensorShapeProto};

pub use misfit::Misfit;

/// A value in the tensor form, with its metadata.
fn tensor_value(
    tag: &str,
    plugin_name: &str,
    content: Vec<u8>,
    class: DataClass,
    tensor: TensorProto,
) -> Value {
    let metadata = SummaryMetadata {
        plugin_data: Some(PluginData {
            plugin_name: plugin_name.to_owned(),
            content,
        }),
        data_class: class.into(),
        ..SummaryMetadata::default()
    };
    Value {
        tag: tag.to_owned(),
        metadata: Some(metadata),
        value: Some(value::Value::Tensor(tensor)),
        ..Value::default()
    }
}

/// The shape of a tensor that is written.
fn shape<const RANK: usize>(sizes: [usize; RANK]) -> TensorShapeProto {
    let dim = |size| Dim {
        size: size as i64,
        ..Dim::default()
    };
    TensorShapeProto {
        dim: sizes.into_iter().map(dim).collect(),
        ..TensorShapeProto::default()
    }
}

/// The plugin that shows a value that this crate made.
pub(crate) fn plugin_of(value: &Value) -> &str {
    match &value.metadata {
        None => scalar::PLUGIN,
        metadata => plugin_name(metadata.as_ref()),
    }
}

/// The plugin that a value's metadata names; empty where it names none.
fn plugin_name(metadata: Option<&SummaryMetadata>) -> &str {
    metadata
        .and_then(|metadata| metadata.plugin_data.as_ref())
        .map_or("", |plugin| plugin.plugin_name.as_str())
}

/// What a series of the reader holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Scalar,
    Text,
    /// Anything else.
    Other,
}

impl Kind {
    /// What the metadata of a tag's first value makes of the tag.
    pub(crate) fn of(metadata: Option<&SummaryMetadata>) -> Self {
        match plugin_name(metadata) {
            scalar::PLUGIN => Self::Scalar,
            text::PLUGIN => Self::Text,
            _ => Self::Other,
        }
    }
}
