//! The parts of an event that series are made of.
//!
//! Decoding an outline skips images, audio, graphs and tensors, which may be large. Fields are
//! numbered as in `proto/event.proto` and `proto/summary.proto`.

use crate::tb::proto::{SessionLog, SummaryMetadata};

/// An event without what its values hold.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct EventOutline {
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    #[prost(int64, tag = "2")]
    pub step: i64,
    #[prost(string, tag = "3")]
    pub file_version: String,
    #[prost(message, optional, tag = "5")]
    pub summary: Option<SummaryOutline>,
    #[prost(message, optional, tag = "7")]
    pub session_log: Option<SessionLog>,
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
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<SummaryMetadata>,
}
