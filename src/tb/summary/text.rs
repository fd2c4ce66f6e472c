//! Texts, shown as Markdown.

use crate::tb::proto::summary::Value;
use crate::tb::proto::{DataClass, DataType, TensorProto, TensorShapeProto};
use crate::tb::summary::tensor_value;

pub(super) const PLUGIN: &str = "text";

/// One Markdown document: a string tensor of rank 0.
pub fn to_value(tag: &str, text: &str) -> Value {
    let tensor = TensorProto {
        dtype: DataType::DtString.into(),
        tensor_shape: Some(TensorShapeProto::default()),
        string_val: vec![text.as_bytes().to_vec()],
        ..TensorProto::default()
    };
    tensor_value(tag, PLUGIN, Vec::new(), DataClass::Tensor, tensor)
}

/// The text in a string tensor; the elements of a list or table come one a line. Bytes that are
/// not UTF-8 are replaced.
pub fn from_tensor(tensor: &TensorProto) -> Option<String> {
    let lines: Vec<_> = tensor
        .string_val
        .iter()
        .map(|bytes| String::from_utf8_lossy(bytes))
        .collect();
    let is_text = tensor.dtype == i32::from(DataType::DtString);
    is_text.then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tb::proto::summary::value;

    #[test]
    fn a_text_comes_back_and_other_tensors_do_not() {
        let Some(value::Value::Tensor(mut tensor)) = to_value("note", "**ü**").value else {
            panic!("not a tensor");
        };
        assert_eq!(from_tensor(&tensor).as_deref(), Some("**ü**"));
        tensor.string_val.push(b"\xff!".to_vec());
        assert_eq!(from_tensor(&tensor).as_deref(), Some("**ü**\n\u{fffd}!"));
        assert_eq!(from_tensor(&TensorProto::default()), None);
    }
}
