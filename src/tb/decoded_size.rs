//! How much memory a message takes once it is decoded, told from its bytes before it is.
//!
//! An empty message of a repeated field has two bytes in a file and hundreds in memory, so that no
//! bound on a record's length is one on memory. The parts of repeated fields are therefore counted
//! first. All else grows with the bytes: an integer from one byte to eight, a short string from three
//! to a few words. Field numbers: `proto/`. The form on the wire:
//! <https://protobuf.dev/programming-guides/encoding/>.

use crate::tb::proto::{
    HParamInfo, MetricInfo, Value as HParamValue, summary::Value, tensor_shape_proto::Dim,
};

/// The most that the parts of one message may take: some 35,000 values.
pub(crate) const MAX_PARTS_BYTES: u64 = 16 * 1024 * 1024;
/// The fewest bytes of a part: its key, and its length, which may be 0.
const LEAST_PART: u64 = 2;
/// The most that one part takes, without those in it.
const LARGEST_PART: u64 = size_of::<Value>() as u64;
/// How deep messages are looked into: prost decodes none that lies deeper.
const MAX_DEPTH: u32 = 100;

/// A field that holds messages or strings.
struct Field {
    number: u64,
    /// What each adds to the memory of a repeated field; 0 for a field that is there once.
    part_bytes: usize,
    /// The fields of the message.
    fields: &'static [Field],
}

const fn field(number: u64, part_bytes: usize, fields: &'static [Field]) -> Field {
    Field {
        number,
        part_bytes,
        fields,
    }
}

static EVENT: [Field; 1] = [field(5, 0, &SUMMARY)];
static SUMMARY: [Field; 1] = [field(1, size_of::<Value>(), &VALUE)];
static VALUE: [Field; 1] = [field(8, 0, &TENSOR)];
/// The shape, and strings.
static TENSOR: [Field; 2] = [field(2, 0, &SHAPE), field(8, size_of::<Vec<u8>>(), &[])];
static SHAPE: [Field; 1] = [field(2, size_of::<Dim>(), &[])];

/// The experiment, and the start of a session.
static HPARAMS: [Field; 2] = [field(2, 0, &EXPERIMENT), field(3, 0, &STRUCT)];
static EXPERIMENT: [Field; 2] = [
    field(4, size_of::<HParamInfo>(), &HPARAM_INFO),
    field(5, size_of::<MetricInfo>(), &[]),
];
static HPARAM_INFO: [Field; 1] = [field(5, 0, &LIST)];
/// A map's entries, as messages; the settings of a session have the same form.
static STRUCT: [Field; 1] = [field(1, size_of::<(String, HParamValue)>(), &ENTRY)];
static ENTRY: [Field; 1] = [field(2, 0, &HPARAM_VALUE)];
static HPARAM_VALUE: [Field; 2] = [field(5, 0, &STRUCT), field(6, 0, &LIST)];
static LIST: [Field; 1] = [field(1, size_of::<HParamValue>(), &HPARAM_VALUE)];

/// What the parts of the event in `payload` take in memory, where that is more than
/// [`MAX_PARTS_BYTES`].
pub(crate) fn too_large_event(payload: &[u8]) -> Option<u64> {
    too_large(payload, &EVENT)
}

/// As [`too_large_event`], for the content of the plugin `hparams`.
pub(crate) fn too_large_hparams(content: &[u8]) -> Option<u64> {
    too_large(content, &HPARAMS)
}

fn too_large(message: &[u8], fields: &[Field]) -> Option<u64> {
    // Nearly every message is so short that it need not be looked at.
    let is_short = message.len() as u64 / LEAST_PART * LARGEST_PART <= MAX_PARTS_BYTES;
    let parts = || parts_bytes(message, fields, MAX_DEPTH);
    (!is_short)
        .then(parts)
        .filter(|&bytes| bytes > MAX_PARTS_BYTES)
}

/// What the parts of a message take; of a damaged one, those before the damage, where prost stops too.
/// The fields of a group, which nobody writes, are counted as if they were the message's own.
fn parts_bytes(mut message: &[u8], fields: &[Field], depth: u32) -> u64 {
    let mut bytes = 0;
    while let Some(key) = varint(&mut message) {
        let length = match key % 8 {
            0 => varint(&mut message).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut message),
            5 => Some(4),
            _ => Some(0),
        };
        let length = length.and_then(|length| usize::try_from(length).ok());
        let Some((content, rest)) = length.and_then(|length| message.split_at_checked(length))
        else {
            break;
        };
        message = rest;
        let is_known = |field: &&Field| key == field.number << 3 | 2;
        if let Some(field) = fields.iter().find(is_known) {
            bytes += field.part_bytes as u64;
            if depth > 0 && !field.fields.is_empty() {
                bytes += parts_bytes(content, field.fields, depth - 1);
            }
        }
    }
    bytes
}

/// The number at the head of `bytes`, which is cut off; bits beyond the 64th are lost.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for position in 0..10 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * position);
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::tb::proto::h_params_plugin_data::Data;
    use crate::tb::proto::summary::value;
    use crate::tb::proto::{
        Event, Experiment, HParamsPluginData, ListValue, SessionStartInfo, Struct, Summary,
        TensorProto, TensorShapeProto, event, h_param_info,
    };

    fn event(value: Vec<Value>) -> Vec<u8> {
        let event = Event {
            wall_time: 1e9,
            step: 7,
            what: Some(event::What::Summary(Summary { value })),
            ..Event::default()
        };
        event.encode_to_vec()
    }

    fn tensor(tensor: TensorProto) -> Vec<u8> {
        let value = Value {
            tag: "tensor".to_owned(),
            value: Some(value::Value::Tensor(tensor)),
            ..Value::default()
        };
        event(vec![value])
    }

    fn hparams(data: Data) -> Vec<u8> {
        let content = HParamsPluginData {
            version: 0,
            data: Some(data),
        };
        content.encode_to_vec()
    }

    fn value(kind: crate::tb::proto::value::Kind) -> HParamValue {
        HParamValue { kind: Some(kind) }
    }

    #[test]
    fn no_part_is_larger_than_a_value() {
        let sizes = [
            size_of::<Vec<u8>>(),
            size_of::<Dim>(),
            size_of::<HParamInfo>(),
            size_of::<MetricInfo>(),
            size_of::<(String, HParamValue)>(),
        ];
        assert!(
            sizes.iter().all(|&size| size as u64 <= LARGEST_PART),
            "{sizes:?}"
        );
    }

    #[test]
    fn the_parts_of_every_repeated_field_are_counted() {
        use crate::tb::proto::value::Kind;
        let strings = TensorProto {
            string_val: vec![Vec::new(); 5],
            ..TensorProto::default()
        };
        let dims = TensorProto {
            tensor_shape: Some(TensorShapeProto {
                dim: vec![Dim::default(); 5],
                ..TensorShapeProto::default()
            }),
            ..TensorProto::default()
        };
        let list = || ListValue {
            values: vec![HParamValue::default(); 5],
        };
        let info = HParamInfo {
            domain: Some(h_param_info::Domain::DomainDiscrete(list())),
            ..HParamInfo::default()
        };
        let infos = Experiment {
            hparam_infos: vec![info; 2],
            metric_infos: vec![MetricInfo::default(); 3],
            ..Experiment::default()
        };
        let map = |kind: Kind| [("a".to_owned(), value(kind))].into();
        let start = SessionStartInfo {
            hparams: map(Kind::StructValue(Struct {
                fields: map(Kind::ListValue(list())),
            })),
            ..SessionStartInfo::default()
        };
        let (one, entry) = (size_of::<HParamValue>(), size_of::<(String, HParamValue)>());
        for (message, fields, expected) in [
            (
                event(vec![Value::default(); 5]),
                &EVENT[..],
                5 * size_of::<Value>(),
            ),
            (
                tensor(strings),
                &EVENT,
                size_of::<Value>() + 5 * size_of::<Vec<u8>>(),
            ),
            (
                tensor(dims),
                &EVENT,
                size_of::<Value>() + 5 * size_of::<Dim>(),
            ),
            (
                hparams(Data::Experiment(infos)),
                &HPARAMS,
                2 * (size_of::<HParamInfo>() + 5 * one) + 3 * size_of::<MetricInfo>(),
            ),
            (
                hparams(Data::SessionStartInfo(start)),
                &HPARAMS,
                2 * entry + 5 * one,
            ),
        ] {
            assert_eq!(parts_bytes(&message, fields, MAX_DEPTH), expected as u64);
            // Cut anywhere, it has no more.
            for cut in 0..message.len() {
                assert!(parts_bytes(&message[..cut], fields, MAX_DEPTH) <= expected as u64);
            }
        }
    }

    #[test]
    fn more_than_the_limit_is_told() {
        let most = MAX_PARTS_BYTES as usize / size_of::<Value>();
        assert_eq!(too_large_event(&event(vec![Value::default(); most])), None);
        let found = too_large_event(&event(vec![Value::default(); most + 1]));
        assert_eq!(found, Some((most as u64 + 1) * LARGEST_PART));
        // A large value is none of many parts.
        let floats = TensorProto {
            tensor_content: vec![1; 2 * MAX_PARTS_BYTES as usize],
            ..TensorProto::default()
        };
        assert_eq!(too_large_event(&tensor(floats)), None);
    }

    /// Nested as deep as bytes allow: prost refuses that, and nothing here overflows the stack.
    #[test]
    fn depth_is_bounded() {
        let mut list = ListValue::default();
        for _ in 0..200 {
            let values = vec![value(crate::tb::proto::value::Kind::ListValue(list))];
            list = ListValue { values };
        }
        let bytes = list.encode_to_vec();
        assert!(ListValue::decode(&bytes[..]).is_err());
        let found = parts_bytes(&bytes, &LIST, MAX_DEPTH);
        assert_eq!(found, 51 * size_of::<HParamValue>() as u64);
    }
}
