//! Scalars: one 32-bit float a step.

use crate::tb::proto::summary::{Value, value};
use crate::tb::proto::{DataType, TensorProto};

pub(crate) const PLUGIN: &str = "scalars";

/// A number that [`SummaryWriter`](crate::tb::writer::SummaryWriter) takes: `f32` or `f64`.
///
/// Event files hold scalars with 32 bits: an `f64` is rounded to the nearest `f32`, and to an
/// infinity where it lies outside that type's range.
pub trait Number: Copy + sealed::Sealed {
    /// With 32 bits.
    fn to_f32(self) -> f32;
    /// With 64 bits.
    fn to_f64(self) -> f64;
}

impl Number for f32 {
    fn to_f32(self) -> f32 {
        self
    }
    fn to_f64(self) -> f64 {
        self.into()
    }
}

impl Number for f64 {
    fn to_f32(self) -> f32 {
        self as f32
    }
    fn to_f64(self) -> f64 {
        self
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A scalar in the form that is smallest and that every reader knows.
pub fn to_value(tag: &str, number: f32) -> Value {
    Value {
        tag: tag.to_owned(),
        value: Some(value::Value::SimpleValue(number)),
        ..Value::default()
    }
}

/// The number in a scalar's tensor: of type float or double, with one element, as PyTorch's
/// `new_style` and TensorFlow 2 write it.
pub fn from_tensor(tensor: &TensorProto) -> Option<f32> {
    let content = &tensor.tensor_content[..];
    match DataType::try_from(tensor.dtype) {
        Ok(DataType::DtFloat) => match (&tensor.float_val[..], content) {
            ([number], []) => Some(*number),
            ([], bytes) => bytes.try_into().ok().map(f32::from_le_bytes),
            _ => None,
        },
        Ok(DataType::DtDouble) => match (&tensor.double_val[..], content) {
            ([number], []) => Some(number.to_f32()),
            ([], bytes) => {
                let bytes = bytes.try_into().ok()?;
                Some(f64::from_le_bytes(bytes).to_f32())
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_every_form_of_tensor() {
        let float = |float_val: &[f32], content: &[u8]| TensorProto {
            dtype: DataType::DtFloat.into(),
            float_val: float_val.to_vec(),
            tensor_content: content.to_vec(),
            ..TensorProto::default()
        };
        let double = |double_val: &[f64], content: &[u8]| TensorProto {
            dtype: DataType::DtDouble.into(),
            double_val: double_val.to_vec(),
            tensor_content: content.to_vec(),
            ..TensorProto::default()
        };
        let cases = [
            (float(&[0.5], &[]), Some(0.5)),
            (float(&[], &0.5_f32.to_le_bytes()), Some(0.5)),
            (double(&[0.1], &[]), Some(0.1)),
            (double(&[1e300], &[]), Some(f32::INFINITY)),
            (double(&[], &0.1_f64.to_le_bytes()), Some(0.1)),
            (float(&[], &[]), None),
            (float(&[1.0, 2.0], &[]), None),
            (float(&[], &[0; 8]), None),
            (double(&[], &[0; 4]), None),
            (TensorProto::default(), None),
        ];
        for (tensor, expected) in cases {
            assert_eq!(from_tensor(&tensor), expected, "{tensor:?}");
        }
    }
}
