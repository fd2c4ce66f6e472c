//! Scalar events by hand: the fast path for the commonest event.
//!
//! Encoding gives the bytes that the generated code gives; decoding takes exactly the shape that
//! writers of scalars write and leaves everything else to the generated code. The generated code
//! is the oracle in this file's tests. Field numbers: `proto/event.proto`, `proto/summary.proto`.

/// An event with one scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScalarEvent<'a> {
    /// Seconds since the Unix epoch.
    pub wall_time: f64,
    /// The step.
    pub step: i64,
    /// The series.
    pub tag: &'a str,
    /// The value.
    pub value: f32,
}

// Keys on the wire: field number · 8 + wire type (0 varint, 1 eight bytes, 2 length, 5 four bytes).
const EVENT_WALL_TIME: u8 = 1 << 3 | 1;
const EVENT_STEP: u8 = 2 << 3;
const EVENT_SUMMARY: u8 = 5 << 3 | 2;
const SUMMARY_VALUE: u8 = 1 << 3 | 2;
const VALUE_TAG: u8 = 1 << 3 | 2;
const VALUE_SIMPLE_VALUE: u8 = 2 << 3 | 5;

impl<'a> ScalarEvent<'a> {
    /// Appends the event's payload to `buffer`: an `Event` whose summary has one `simple_value`.
    #[inline]
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        let tag_bytes = match self.tag.len() {
            0 => 0,
            length => 1 + varint_len(length as u64) + length,
        };
        let value_bytes = tag_bytes + 5;
        let summary_bytes = 1 + varint_len(value_bytes as u64) + value_bytes;
        if self.wall_time != 0.0 {
            buffer.push(EVENT_WALL_TIME);
            buffer.extend_from_slice(&self.wall_time.to_le_bytes());
        }
        if self.step != 0 {
            buffer.push(EVENT_STEP);
            append_varint(buffer, self.step as u64);
        }
        buffer.push(EVENT_SUMMARY);
        append_varint(buffer, summary_bytes as u64);
        buffer.push(SUMMARY_VALUE);
        append_varint(buffer, value_bytes as u64);
        if tag_bytes > 0 {
            buffer.push(VALUE_TAG);
            append_varint(buffer, self.tag.len() as u64);
            buffer.extend_from_slice(self.tag.as_bytes());
        }
        buffer.push(VALUE_SIMPLE_VALUE);
        buffer.extend_from_slice(&self.value.to_le_bytes());
    }

    /// The event in `payload`, or `None` where the payload is anything but wall time, step and one
    /// value made of a tag and a `simple_value`, in this order.
    pub fn decode(payload: &'a [u8]) -> Option<Self> {
        let mut event = Wire(payload);
        let wall_time = match event.key(EVENT_WALL_TIME) {
            true => f64::from_le_bytes(event.array()?),
            false => 0.0,
        };
        let step = match event.key(EVENT_STEP) {
            true => event.varint()? as i64,
            false => 0,
        };
        let mut summary = event.message(EVENT_SUMMARY)?;
        let mut value = summary.message(SUMMARY_VALUE)?;
        let tag = value.message(VALUE_TAG)?.0;
        if !value.key(VALUE_SIMPLE_VALUE) {
            return None;
        }
        let number = f32::from_le_bytes(value.array()?);
        let all_read = event.0.is_empty() && summary.0.is_empty() && value.0.is_empty();
        all_read.then_some(Self {
            wall_time,
            step,
            tag: str::from_utf8(tag).ok()?,
            value: number,
        })
    }
}

/// Bytes yet to be decoded.
struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    /// Steps over `key` if it is next.
    fn key(&mut self, key: u8) -> bool {
        match self.0.split_first() {
            Some((&first, rest)) if first == key => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for position in 0..10 {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << (7 * position);
            if byte < 0x80 {
                // The tenth byte has room for one bit alone.
                return (position < 9 || byte < 2).then_some(number);
            }
        }
        None
    }

    /// The bytes of the field `key`, which must be next.
    fn message(&mut self, key: u8) -> Option<Self> {
        if !self.key(key) {
            return None;
        }
        let length = usize::try_from(self.varint()?).ok()?;
        let (message, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Self(message))
    }
}

fn append_varint(buffer: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        buffer.push(number as u8 | 0x80);
        number >>= 7;
    }
    buffer.push(number as u8);
}

fn varint_len(number: u64) -> usize {
    (number | 1).ilog2() as usize / 7 + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::tb::proto::{Event, Summary, event, summary};

    fn through_prost(event: &ScalarEvent) -> Event {
        let value = summary::Value {
            tag: event.tag.to_owned(),
            value: Some(summary::value::Value::SimpleValue(event.value)),
            ..summary::Value::default()
        };
        Event {
            wall_time: event.wall_time,
            step: event.step,
            what: Some(event::What::Summary(Summary { value: vec![value] })),
            ..Event::default()
        }
    }

    fn encode(event: &ScalarEvent) -> Vec<u8> {
        let mut buffer = Vec::new();
        event.encode(&mut buffer);
        buffer
    }

    /// Equal to the last bit, so that NaNs compare too.
    fn assert_same(event: &ScalarEvent, oracle: &Event) {
        let Some(event::What::Summary(summary)) = &oracle.what else {
            panic!("not a summary: {oracle:?}");
        };
        let [value] = &summary.value[..] else {
            panic!("not one value: {oracle:?}");
        };
        let Some(summary::value::Value::SimpleValue(number)) = value.value else {
            panic!("not a scalar: {oracle:?}");
        };
        assert_eq!(event.wall_time.to_bits(), oracle.wall_time.to_bits());
        assert_eq!((event.step, event.tag), (oracle.step, value.tag.as_str()));
        assert_eq!(event.value.to_bits(), number.to_bits());
        assert!(value.metadata.is_none() && value.node_name.is_empty());
        assert!(oracle.source_metadata.is_none());
    }

    #[test]
    fn a_known_point_has_known_bytes() {
        let event = ScalarEvent {
            wall_time: 1e9,
            step: 7,
            tag: "loss",
            value: 0.5,
        };
        let expected = b"\x09\x00\x00\x00\x00\x65\xcd\xcd\x41\x10\x07\x2a\x0d\x0a\x0b\x0a\x04loss\
                         \x15\x00\x00\x00\x3f";
        assert_eq!(encode(&event), expected);
        assert_eq!(ScalarEvent::decode(expected), Some(event));
    }

    #[test]
    fn the_tensor_form_is_left_to_the_generated_code() {
        let payload = b"\x09\x00\x00\x00\x00\x65\xcd\xcd\x41\x10\x07\x2a\x23\x0a\x21\x0a\x04loss\
                        \x42\x0a\x08\x01\x12\x00\x2a\x04\x00\x00\x00\x3f\
                        \x4a\x0d\x0a\x0b\x0a\x07scalars\x20\x01";
        assert_eq!(ScalarEvent::decode(payload), None);
    }

    proptest! {
        #[test]
        fn bytes_equal_those_of_the_generated_code(
            wall_time in any::<f64>(), step in any::<i64>(), tag in ".{0,200}", value in any::<f32>()
        ) {
            for (wall_time, step) in [(wall_time, step), (0.0, step), (-0.0, 0), (wall_time, 0)] {
                let event = ScalarEvent { wall_time, step, tag: &tag, value };
                let bytes = encode(&event);
                prop_assert_eq!(&bytes, &through_prost(&event).encode_to_vec());
                if let Some(decoded) = ScalarEvent::decode(&bytes) {
                    assert_same(&decoded, &Event::decode(&bytes[..])?);
                } else {
                    prop_assert!(tag.is_empty());
                }
            }
        }

        #[test]
        fn what_is_decoded_from_changed_bytes_is_what_the_generated_code_decodes(
            step in any::<i64>(), tag in ".{0,20}", changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(), is_cut in any::<bool>(),
        ) {
            let mut bytes = encode(&ScalarEvent { wall_time: 1e9, step, tag: &tag, value: 0.5 });
            for (at, to) in changes {
                let at = at.index(bytes.len());
                bytes[at] = to;
            }
            if is_cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Some(decoded) = ScalarEvent::decode(&bytes) {
                assert_same(&decoded, &Event::decode(&bytes[..])?);
            }
        }
    }
}
