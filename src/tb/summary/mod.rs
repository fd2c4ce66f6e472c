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

/// What a series holds. The first value of a tag decides it.
///
/// ```
/// use cnn_tb::tb::Kind;
/// assert_eq!(Kind::PrCurve.name(), "pr_curve");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// One number a step.
    Scalar,
    /// Markdown.
    Text,
    /// Encoded pictures.
    Image,
    /// Encoded clips.
    Audio,
    /// Buckets with counts.
    Histogram,
    /// Precision and recall by threshold.
    PrCurve,
    /// Vertices, faces or colours.
    Mesh,
    /// A graph of operations, or what one step of it cost.
    Graph,
    /// How the page of custom scalars is laid out.
    Layout,
    /// Anything else: a tensor without plugin, or of one that is not known here.
    Other,
}

impl Kind {
    /// In lower case, as it stands in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Text => "text",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Histogram => "histogram",
            Self::PrCurve => "pr_curve",
            Self::Mesh => "mesh",
            Self::Graph => "graph",
            Self::Layout => "layout",
            Self::Other => "other",
        }
    }

    /// What the metadata of a tag's first value makes of the tag.
    pub(crate) fn of(metadata: Option<&SummaryMetadata>) -> Self {
        match plugin_name(metadata) {
            scalar::PLUGIN => Self::Scalar,
            text::PLUGIN => Self::Text,
            image::PLUGIN => Self::Image,
            audio::PLUGIN => Self::Audio,
            histogram::PLUGIN => Self::Histogram,
            pr_curve::PLUGIN => Self::PrCurve,
            mesh::PLUGIN => Self::Mesh,
            layout::PLUGIN => Self::Layout,
            name if name.starts_with("graph") => Self::Graph,
            _ => Self::Other,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
