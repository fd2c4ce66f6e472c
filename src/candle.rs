//! Tensors where the logger takes slices. The only file that knows both candle and the logger.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! # let logdir = tempfile::tempdir()?;
//! # let writer = cnn_tb::tb::SummaryWriter::create(logdir.path())?;
//! let weights = Tensor::new(&[[0.1_f32, -0.2], [0.4, 0.0]], &Device::Cpu)?;
//! writer.add_histogram("conv1/weight", &weights, 1)?;
//! writer.add_histogram("conv1/weight", &weights.to_dtype(DType::BF16)?, 2)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use candle_core::{DType, Tensor};

use crate::tb::summary::Misfit;
use crate::tb::summary::histogram::{Histogram, Values, sealed};

impl sealed::Sealed for Tensor {}

/// Of any shape and device. `f32` and `f64` are taken as they are, other float types as `f32`.
impl Values for Tensor {
    fn to_histogram(&self) -> Result<Histogram, Misfit> {
        if !self.dtype().is_float() {
            let found = format!("a tensor of type {}", self.dtype().as_str());
            return Err(Misfit::new(found, "one of floats"));
        }
        histogram(self).map_err(|error| {
            let found = format!("a tensor that cannot be read ({error})");
            Misfit::new(found, "one that can be copied to the processor's memory")
        })
    }
}

fn histogram(tensor: &Tensor) -> candle_core::Result<Histogram> {
    let flat = tensor.detach().flatten_all()?;
    Ok(match flat.dtype() {
        DType::F64 => Histogram::new(&flat.to_vec1::<f64>()?),
        DType::F32 => Histogram::new(&flat.to_vec1::<f32>()?),
        _ => Histogram::new(&flat.to_dtype(DType::F32)?.to_vec1::<f32>()?),
    })
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn a_tensor_of_floats_is_as_its_numbers() {
        let numbers = [0.5_f32, -1.5, f32::NAN, 2.0, 0.25, 8.0];
        let tensor = Tensor::new(&numbers, &Device::Cpu).unwrap();
        let tensor = tensor.reshape((2, 3)).unwrap();
        let expected = Histogram::new(&numbers);
        assert_eq!(expected.non_finite, 1);
        for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
            let tensor = tensor.to_dtype(dtype).unwrap();
            assert_eq!(tensor.to_histogram().unwrap(), expected, "{dtype:?}");
            let transposed = tensor.t().unwrap();
            assert_eq!(transposed.to_histogram().unwrap(), expected, "{dtype:?}");
        }
        let labels = Tensor::new(&[1_u32, 2], &Device::Cpu).unwrap();
        let error = labels.to_histogram().unwrap_err();
        assert_eq!(
            error.to_string(),
            "a tensor of type u32; expected one of floats"
        );
        let empty = Tensor::zeros((0, 3), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(empty.to_histogram().unwrap(), Histogram::new::<f32>(&[]));
    }
}
