//! The parts of an event that series are made of.
//!
//! Decoding an outline skips images, audio, graphs and tensors, which may be large. Fields are
//! numbered as in `proto/event.proto` and `proto/summary.proto`.

use crate::tb::proto::{SessionLog, SummaryMetadata};
use crate::tb::summary::Kind;

/// An event without what its values hold.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct EventOutline {
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    #[prost(int64, tag = "2")]
    pub step: i64,
    #[prost(string, tag = "3")]
    pub file_version: String,
    #[prost(message, optional, tag = "4")]
    pub graph_def: Option<Skipped>,
    #[prost(message, optional, tag = "5")]
    pub summary: Option<SummaryOutline>,
    #[prost(message, optional, tag = "7")]
    pub session_log: Option<SessionLog>,
    #[prost(message, optional, tag = "8")]
    pub tagged_run_metadata: Option<TaggedOutline>,
}

/// What was there, and was passed over.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Skipped {}

/// A run's metadata without what it holds.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TaggedOutline {
    #[prost(string, tag = "1")]
    pub tag: String,
}

/// A summary without what its values hold.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SummaryOutline {
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<ValueOutline>,
}

/// A value without what it holds, unless that is a scalar.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ValueOutline {
    #[prost(string, tag = "1")]
    pub tag: String,
    #[prost(float, optional, tag = "2")]
    pub simple_value: Option<f32>,
    #[prost(message, optional, tag = "4")]
    pub image: Option<Skipped>,
    #[prost(message, optional, tag = "5")]
    pub histo: Option<Skipped>,
    #[prost(message, optional, tag = "6")]
    pub audio: Option<Skipped>,
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<SummaryMetadata>,
}

impl ValueOutline {
    /// What the form of the value says of its kind; `None` for a tensor, of which the metadata of
    /// the tag's first value says it.
    pub fn kind_of_form(&self) -> Option<Kind> {
        let forms = [
            (self.simple_value.is_some(), Kind::Scalar),
            (self.image.is_some(), Kind::Image),
            (self.histo.is_some(), Kind::Histogram),
            (self.audio.is_some(), Kind::Audio),
        ];
        forms
            .into_iter()
            .find(|(is_there, _)| *is_there)
            .map(|(_, kind)| kind)
    }
}
