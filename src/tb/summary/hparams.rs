//! Hyper-parameters and the life of a session.
//!
//! A session is one trial: its run directory holds one start info with the hyper-parameters and, at
//! the end, one end info with the status. TensorBoard keeps the first of each that it reads for
//! ever. Without an experiment summary, which this crate does not write, TensorBoard infers the
//! columns from all sessions and the metrics from all scalars at or below them. Source:
//! `metadata.py` and `backend_context.py` in
//! <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/plugins/hparams>.

use std::collections::BTreeMap;
use std::fmt;

use prost::Message as _;

use crate::tb::decoded_size::too_large_hparams;
use crate::tb::proto::h_params_plugin_data::Data;
use crate::tb::proto::summary::Value;
use crate::tb::proto::{
    self, DataClass, DataType, Experiment, HParamsPluginData, SessionEndInfo, SessionStartInfo,
    SummaryMetadata, TensorProto, TensorShapeProto, tensor_shape_proto,
};
use crate::tb::summary::{plugin_name, tensor_value};

const PLUGIN: &str = "hparams";
const EXPERIMENT: &str = "_hparams_/experiment";
const SESSION_START_INFO: &str = "_hparams_/session_start_info";
const SESSION_END_INFO: &str = "_hparams_/session_end_info";

/// The value of a hyper-parameter.
///
/// Made by `.into()` from numbers, texts and truth values. Event files hold numbers as `f64`, so a
/// 64-bit integer beyond 2^53, where an `f64` has gaps, becomes the text of its digits.
#[derive(Clone, Debug, PartialEq)]
pub enum HParam {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// A truth value.
    Bool(bool),
}

/// As TensorBoard's own tables have it: a whole number without a point, texts as they are.
impl fmt::Display for HParam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
            Self::Bool(flag) => flag.fmt(f),
        }
    }
}

macro_rules! number_from {
    ($($exact:ty)*) => {$(
        impl From<$exact> for HParam {
            fn from(number: $exact) -> Self {
                Self::Number(number.into())
            }
        }
    )*};
}
number_from!(f32 f64 i8 i16 i32 u8 u16 u32);

/// The largest number up to which an `f64` holds every integer.
const MAX_EXACT: u64 = 1 << 53;

macro_rules! number_or_text_from {
    ($($wide:ty)*) => {$(
        impl From<$wide> for HParam {
            fn from(number: $wide) -> Self {
                match i64::try_from(number) {
                    Ok(exact) if exact.unsigned_abs() <= MAX_EXACT => Self::Number(exact as f64),
                    _ => Self::Text(number.to_string()),
                }
            }
        }
    )*};
}
number_or_text_from!(i64 u64 isize usize);

impl From<bool> for HParam {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<&str> for HParam {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for HParam {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStatus {
    /// It did all that it was to do.
    Success,
    /// It went wrong, as a training does whose loss is no longer finite.
    Failure,
    /// It said that it was still running: a writer of another library did not wait for the end.
    Running,
}

/// What a summary says about a session.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionInfo {
    /// What to compare over sessions. PyTorch's `add_hparams` writes one into each session.
    Experiment,
    /// A session starts.
    Start {
        /// The hyper-parameters by name. Nulls and lists, which no common writer writes, are left
        /// out.
        hparams: BTreeMap<String, HParam>,
        /// Seconds since the Unix epoch; 0 where not said.
        start_time_secs: f64,
    },
    /// A session ends.
    End {
        /// How it ended, where that is said.
        status: Option<SessionStatus>,
        /// Seconds since the Unix epoch; 0 where not said.
        end_time_secs: f64,
    },
}

/// The value that starts a session.
pub fn start_value(hparams: &BTreeMap<String, HParam>, start_time_secs: f64) -> Value {
    let hparams = hparams
        .iter()
        .map(|(name, value)| (name.clone(), to_proto(value)))
        .collect();
    let info = SessionStartInfo {
        hparams,
        start_time_secs,
        ..SessionStartInfo::default()
    };
    session_value(SESSION_START_INFO, Data::SessionStartInfo(info))
}

/// The value that ends a session.
pub fn end_value(status: SessionStatus, end_time_secs: f64) -> Value {
    let status = match status {
        SessionStatus::Success => proto::Status::Success,
        SessionStatus::Failure => proto::Status::Failure,
        SessionStatus::Running => proto::Status::Running,
    };
    let info = SessionEndInfo {
        status: status.into(),
        end_time_secs,
    };
    session_value(SESSION_END_INFO, Data::SessionEndInfo(info))
}

/// All is in the metadata; the tensor has no elements.
fn session_value(tag: &str, data: Data) -> Value {
    let content = HParamsPluginData {
        version: 0,
        data: Some(data),
    };
    let tensor = TensorProto {
        dtype: DataType::DtFloat.into(),
        tensor_shape: Some(TensorShapeProto {
            dim: vec![tensor_shape_proto::Dim::default()],
            ..TensorShapeProto::default()
        }),
        ..TensorProto::default()
    };
    tensor_value(
        tag,
        PLUGIN,
        content.encode_to_vec(),
        DataClass::Tensor,
        tensor,
    )
}

/// What a value of this tag and metadata says about the session; `None` where it is about
/// something else, is damaged or too large, or has a format version that is not known.
pub fn from_metadata(tag: &str, metadata: Option<&SummaryMetadata>) -> Option<SessionInfo> {
    if ![EXPERIMENT, SESSION_START_INFO, SESSION_END_INFO].contains(&tag)
        || plugin_name(metadata) != PLUGIN
    {
        return None;
    }
    match plugin_data(metadata)? {
        Data::Experiment(_) => Some(SessionInfo::Experiment),
        Data::SessionStartInfo(info) => Some(SessionInfo::Start {
            hparams: info
                .hparams
                .into_iter()
                .filter_map(|(name, value)| Some((name, from_proto(value)?)))
                .collect(),
            start_time_secs: info.start_time_secs,
        }),
        Data::SessionEndInfo(info) => Some(SessionInfo::End {
            status: match info.status() {
                proto::Status::Success => Some(SessionStatus::Success),
                proto::Status::Failure => Some(SessionStatus::Failure),
                proto::Status::Running => Some(SessionStatus::Running),
                proto::Status::Unknown => None,
            },
            end_time_secs: info.end_time_secs,
        }),
    }
}

/// What an experiment's value of this tag and metadata says: the columns of TensorBoard's HParams
/// page. `None` as for [`from_metadata`].
pub(crate) fn experiment(tag: &str, metadata: Option<&SummaryMetadata>) -> Option<Experiment> {
    match plugin_data(metadata)? {
        Data::Experiment(experiment) if tag == EXPERIMENT && plugin_name(metadata) == PLUGIN => {
            Some(experiment)
        }
        _ => None,
    }
}

fn plugin_data(metadata: Option<&SummaryMetadata>) -> Option<Data> {
    let content = &metadata?.plugin_data.as_ref()?.content[..];
    if too_large_hparams(content).is_some() {
        return None;
    }
    let content = HParamsPluginData::decode(content).ok()?;
    (content.version <= 0).then_some(content.data)?
}

fn to_proto(value: &HParam) -> proto::Value {
    use proto::value::Kind;
    let kind = match value {
        HParam::Number(number) => Kind::NumberValue(*number),
        HParam::Text(text) => Kind::StringValue(text.clone()),
        HParam::Bool(flag) => Kind::BoolValue(*flag),
    };
    proto::Value { kind: Some(kind) }
}

fn from_proto(value: proto::Value) -> Option<HParam> {
    use proto::value::Kind;
    match value.kind? {
        Kind::NumberValue(number) => Some(HParam::Number(number)),
        Kind::StringValue(text) => Some(HParam::Text(text)),
        Kind::BoolValue(flag) => Some(HParam::Bool(flag)),
        Kind::NullValue(_) | Kind::StructValue(_) | Kind::ListValue(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_could_lose_digits_become_texts() {
        let cases: [(HParam, HParam); 10] = [
            (0.1.into(), HParam::Number(0.1)),
            (100.into(), HParam::Number(100.0)),
            (0.5_f32.into(), HParam::Number(0.5)),
            (3_usize.into(), HParam::Number(3.0)),
            (MAX_EXACT.into(), HParam::Number(9_007_199_254_740_992.0)),
            (
                (MAX_EXACT + 1).into(),
                HParam::Text("9007199254740993".to_owned()),
            ),
            (
                u64::MAX.into(),
                HParam::Text("18446744073709551615".to_owned()),
            ),
            (
                i64::MIN.into(),
                HParam::Text("-9223372036854775808".to_owned()),
            ),
            (true.into(), HParam::Bool(true)),
            ("adam".into(), HParam::Text("adam".to_owned())),
        ];
        for (found, expected) in cases {
            assert_eq!(found, expected);
        }
        assert_eq!(HParam::from(100).to_string(), "100");
        assert_eq!(HParam::from(1e-4).to_string(), "0.0001");
    }

    #[test]
    fn sessions_come_back() {
        let hparams = BTreeMap::from([
            ("batch_size".to_owned(), HParam::Number(100.0)),
            ("optimizer".to_owned(), HParam::Text("adam".to_owned())),
            ("shuffle".to_owned(), HParam::Bool(true)),
        ]);
        let value = start_value(&hparams, 1e9);
        let start = SessionInfo::Start {
            hparams,
            start_time_secs: 1e9,
        };
        assert_eq!(
            from_metadata(&value.tag, value.metadata.as_ref()),
            Some(start)
        );
        for status in [
            SessionStatus::Success,
            SessionStatus::Failure,
            SessionStatus::Running,
        ] {
            let value = end_value(status, 2e9);
            let end = SessionInfo::End {
                status: Some(status),
                end_time_secs: 2e9,
            };
            assert_eq!(
                from_metadata(&value.tag, value.metadata.as_ref()),
                Some(end)
            );
        }
        assert_eq!(from_metadata("loss", value.metadata.as_ref()), None);
        assert_eq!(from_metadata(SESSION_START_INFO, None), None);
    }
}
