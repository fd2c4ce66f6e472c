//! Images: pictures of one size, each an encoded file.

use crate::tb::proto::summary::{Value, value};
use crate::tb::proto::{
    DataClass, DataType, TensorProto, TensorShapeProto, tensor_shape_proto::Dim,
};
use crate::tb::summary::tensor_value;

pub(super) const PLUGIN: &str = "images";

/// The images of one value. TensorBoard shows each as a sample of its own, next to the size that is
/// said here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// A PNG, JPEG, GIF or BMP file for each.
    pub files: Vec<Vec<u8>>,
}

impl Images {
    /// A string tensor of rank 1: width and height as decimal digits, then the files. Source:
    /// `summary_v2.py` in
    /// <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/plugins/image>.
    pub fn into_value(self, tag: &str) -> Value {
        let mut strings = vec![
            self.width.to_string().into_bytes(),
            self.height.to_string().into_bytes(),
        ];
        strings.extend(self.files);
        let tensor = TensorProto {
            dtype: DataType::DtString.into(),
            tensor_shape: Some(TensorShapeProto {
                dim: vec![Dim {
                    size: strings.len() as i64,
                    ..Dim::default()
                }],
                ..TensorShapeProto::default()
            }),
            string_val: strings,
            ..TensorProto::default()
        };
        tensor_value(tag, PLUGIN, Vec::new(), DataClass::BlobSequence, tensor)
    }

    /// The images in a string tensor; `None` for a tensor that holds none.
    pub fn from_tensor(tensor: &TensorProto) -> Option<Self> {
        let [width, height, files @ ..] = tensor.string_val.as_slice() else {
            return None;
        };
        let number = |digits: &[u8]| str::from_utf8(digits).ok()?.parse().ok();
        let is_string = tensor.dtype == i32::from(DataType::DtString);
        is_string.then_some(Self {
            width: number(width)?,
            height: number(height)?,
            files: files.to_vec(),
        })
    }

    /// The images in a value of either form; `None` where there are none.
    pub(crate) fn from_value(value: Value) -> Option<Self> {
        match value.value? {
            value::Value::Tensor(tensor) => Self::from_tensor(&tensor),
            value::Value::Image(image) => Some(Self {
                width: image.width.try_into().ok()?,
                height: image.height.try_into().ok()?,
                files: vec![image.encoded_image_string],
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_come_back_and_other_tensors_do_not() {
        let images = Images {
            width: 28,
            height: 2,
            files: vec![b"one".to_vec(), b"\xff\x00".to_vec()],
        };
        let value = images.clone().into_value("digits");
        let metadata = value.metadata.clone().unwrap();
        assert_eq!(metadata.data_class, i32::from(DataClass::BlobSequence));
        assert_eq!(metadata.plugin_data.unwrap().plugin_name, "images");
        let Some(value::Value::Tensor(mut tensor)) = value.value else {
            panic!("not a tensor");
        };
        assert_eq!(tensor.string_val[..2], [b"28".to_vec(), b"2".to_vec()]);
        assert_eq!(tensor.tensor_shape.clone().unwrap().dim[0].size, 4);
        assert_eq!(Images::from_tensor(&tensor), Some(images));
        tensor.string_val[1] = b"high".to_vec();
        assert_eq!(Images::from_tensor(&tensor), None);
        assert_eq!(Images::from_tensor(&TensorProto::default()), None);
    }
}
