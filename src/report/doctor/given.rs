//! What is asked of a value: which plugin shows it, and whether it can.

use crate::tb::proto::summary::{Value, value};
use crate::tb::proto::{DataType, TensorProto};
use crate::tb::summary::scalar;

/// What is asked of a value.
#[derive(Clone, Debug)]
pub(super) struct Given<'a> {
    /// The plugin that it names or, in the old form, belongs to; empty where there is none.
    pub plugin: &'a str,
    /// Which form it has, for a scalar that is not one 32-bit float.
    pub unfit: Option<String>,
    /// Whether it is anything but a scalar that is NaN or infinite.
    pub is_finite: bool,
}

impl<'a> Given<'a> {
    /// A scalar in the old form.
    pub(super) fn scalar(number: f32) -> Self {
        Self {
            plugin: scalar::PLUGIN,
            unfit: None,
            is_finite: number.is_finite(),
        }
    }

    /// A value of a series that belongs to the plugin `of_series`; `None` where there is nothing in
    /// it.
    pub(super) fn of(value: &'a Value, of_series: Option<&str>) -> Option<Self> {
        let named = value.metadata.as_ref().and_then(|m| m.plugin_data.as_ref());
        let named = named.map_or("", |data| data.plugin_name.as_str());
        let of_plugin = |plugin| Self {
            plugin,
            unfit: None,
            is_finite: true,
        };
        match &value.value {
            None if named.is_empty() => None,
            None => Some(of_plugin(named)),
            Some(value::Value::SimpleValue(number)) => Some(Self::scalar(*number)),
            Some(value::Value::Image(_)) => Some(of_plugin("images")),
            Some(value::Value::Audio(_)) => Some(of_plugin("audio")),
            Some(value::Value::Histo(_)) => Some(of_plugin("histograms")),
            Some(value::Value::Tensor(tensor)) => {
                let is_scalar = match named {
                    "" => of_series == Some(scalar::PLUGIN),
                    _ => named == scalar::PLUGIN,
                };
                let number = scalar::from_tensor(tensor).filter(|_| is_scalar);
                Some(Self {
                    plugin: named,
                    unfit: unfit_form(tensor).filter(|_| is_scalar),
                    is_finite: number.is_none_or(f32::is_finite),
                })
            }
        }
    }
}

/// The form of a tensor that is not one 32-bit float. Source: `data_compat.rs` in
/// <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/data/server>.
fn unfit_form(tensor: &TensorProto) -> Option<String> {
    let sizes = tensor.tensor_shape.iter().flat_map(|shape| &shape.dim);
    let sizes: Vec<String> = sizes.map(|dim| dim.size.to_string()).collect();
    if tensor.dtype == i32::from(DataType::DtFloat) && sizes.is_empty() {
        return None;
    }
    let kind = DataType::try_from(tensor.dtype).map_or("DT_INVALID", |kind| kind.as_str_name());
    Some(match sizes.is_empty() {
        true => kind.to_owned(),
        false => format!("{kind} of shape [{}]", sizes.join(", ")),
    })
}
