//! Tensors where the logger takes slices. The only file that knows both candle and the logger.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! # let logdir = tempfile::tempdir()?;
//! # let writer = cnn_tb::tb::SummaryWriter::create(logdir.path())?;
//! let weights = Tensor::new(&[[0.1_f32, -0.2], [0.4, 0.0]], &Device::Cpu)?;
//! writer.add_histogram("conv1/weight", &weights, 1)?;
//! writer.add_histogram("conv1/weight", &weights.to_dtype(DType::BF16)?, 2)?;
//!
//! let images = Tensor::rand(0_f32, 1.0, (8, 3, 28, 28), &Device::Cpu)?;
//! let image = cnn_tb::tb::image::Image::try_from(&images.get(0)?)?;
//! writer.add_image("samples/first", &image.scale(4)?, 1)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use candle_core::{DType, Tensor};

use crate::tb::image::{Image, MAX_BYTES};
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
        histogram(self).map_err(unreadable)
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

/// From a tensor of shape (C, H, W) with 1 (grey), 3 (RGB) or 4 (RGBA) channels, or (H, W), which is
/// grey; of any device. Floats count from 0 to 1, as [`Image::from_f32_chw`] takes them, and a `u8`
/// from 0 to 255.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_tb::tb::image::Image;
/// let grey = Tensor::new(&[[0.0_f32, 0.5], [1.0, f32::INFINITY]], &Device::Cpu)?;
/// assert_eq!(Image::try_from(&grey)?.pixels(), [0, 128, 255, 255]);
/// let bytes = Tensor::new(&[[0_u8, 128], [255, 255]], &Device::Cpu)?;
/// assert_eq!(Image::try_from(&bytes)?, Image::try_from(&grey)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl TryFrom<&Tensor> for Image {
    type Error = Misfit;

    /// # Errors
    /// Another shape, another element type, a tensor that cannot be copied from its device.
    fn try_from(tensor: &Tensor) -> Result<Self, Misfit> {
        let shape = match *tensor.dims() {
            [height, width] => [1, height, width],
            [channels, height, width] => [channels, height, width],
            _ => return Err(no_image(tensor)),
        };
        let [channels, height, width] = shape;
        let tensor = tensor.detach().reshape(&shape[..]).map_err(unreadable)?;
        let image = if tensor.dtype() == DType::U8 {
            let pixels = bytes_hwc(&tensor).map_err(unreadable)?;
            Self::from_u8_hwc(&pixels, [height, width, channels])
        } else if tensor.dtype().is_float() {
            Self::from_f32_chw(&floats(&tensor).map_err(unreadable)?, shape)
        } else {
            let found = format!("a tensor of type {}", tensor.dtype().as_str());
            return Err(Misfit::new(found, "one of floats or of u8"));
        };
        image.map_err(|_| no_image(&tensor))
    }
}

/// The elements in the layout (height, width, channel), of a tensor (channel, height, width).
fn bytes_hwc(tensor: &Tensor) -> candle_core::Result<Vec<u8>> {
    tensor.permute((1, 2, 0))?.flatten_all()?.to_vec1()
}

fn floats(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

fn no_image(tensor: &Tensor) -> Misfit {
    let expected = format!(
        "(C, H, W) with 1, 3 or 4 channels or (H, W), with at least one pixel and at most \
         {MAX_BYTES} elements"
    );
    Misfit::new(format!("a tensor of shape {:?}", tensor.dims()), expected)
}

fn unreadable(error: candle_core::Error) -> Misfit {
    let found = format!("a tensor that cannot be read ({error})");
    Misfit::new(found, "one that can be copied to the processor's memory")
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

    #[test]
    fn a_tensor_is_drawn_as_its_numbers() {
        let numbers = [0.0_f32, 1.0, 0.25, -3.0, 0.5, f32::NAN];
        let flat = Tensor::new(&numbers, &Device::Cpu).unwrap();
        for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
            let rgb = flat.reshape((3, 1, 2)).unwrap().to_dtype(dtype).unwrap();
            let expected = Image::from_f32_chw(&numbers, [3, 1, 2]).unwrap();
            assert_eq!(Image::try_from(&rgb).unwrap(), expected, "{dtype:?}");
            // Rows and columns exchanged: elements that do not lie in order.
            let tall = flat.reshape((2, 3)).unwrap().to_dtype(dtype).unwrap();
            let turned = [0.0, -3.0, 1.0, 0.5, 0.25, f32::NAN];
            let expected = Image::from_f32_hw(&turned, [3, 2]).unwrap();
            assert_eq!(Image::try_from(&tall.t().unwrap()).unwrap(), expected);
        }
        let planes = Tensor::new(&[[[1_u8, 2]], [[3, 4]], [[5, 6]]], &Device::Cpu).unwrap();
        let expected = Image::from_u8_hwc(&[1, 3, 5, 2, 4, 6], [1, 2, 3]).unwrap();
        assert_eq!(Image::try_from(&planes).unwrap(), expected);
    }

    #[test]
    fn a_tensor_that_is_no_image_is_refused_with_what_fits() {
        let zeros = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
        for shape in [&[4][..], &[2, 4, 4], &[1, 1, 4, 4], &[3, 0, 4], &[0, 4]] {
            for dtype in [DType::F32, DType::U8] {
                let error = Image::try_from(&zeros(shape, dtype)).unwrap_err();
                let text = error.to_string();
                assert!(
                    text.contains("; expected (C, H, W) with 1, 3 or 4"),
                    "{text}"
                );
            }
        }
        let labels = Image::try_from(&zeros(&[4, 4], DType::U32)).unwrap_err();
        let expected = "a tensor of type u32; expected one of floats or of u8";
        assert_eq!(labels.to_string(), expected);
    }
}
