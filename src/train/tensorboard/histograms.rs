//! How numbers inside the network are distributed.

use candle_core::Tensor;

use crate::tb::writer::SummaryWriter;
use crate::train::Snapshot;

use super::error::LogError;
use super::pass::Pass;

/// Logs the distributions of each parameter (`weights/…`), of its gradient in the last update
/// (`weight_gradients/…`), and of what the convolutions and fully connected layers with what follows
/// them give (`outputs/…`); and which share of the units of each ReLU is dead (`relu_dead/…`).
///
/// # Errors
/// What [`SummaryWriter`] and the device say.
pub fn log_histograms(
    run: &SummaryWriter,
    snapshot: &Snapshot<'_>,
    pass: &Pass,
    step: usize,
) -> Result<(), LogError> {
    for (name, var) in snapshot.parameters.named() {
        let tag = format!("weights/{name}");
        run.add_histogram(&tag, &numbers(var.as_tensor())?, step)?;
    }
    for (name, gradient) in snapshot.gradients()? {
        let tag = format!("weight_gradients/{name}");
        run.add_histogram(&tag, &numbers(&gradient)?, step)?;
    }
    for op in &pass.outputs {
        if op.ends_stage {
            let tag = format!("outputs/{}", op.name);
            run.add_histogram(&tag, &numbers(&op.output)?, step)?;
        }
        if let Some(relu) = &op.relu {
            let dead = dead_share(&op.output)?;
            let layer = relu.strip_suffix("/relu").unwrap_or(relu);
            run.add_scalar(&format!("relu_dead/{layer}"), dead, step)?;
        }
    }
    Ok(())
}

/// The share of the units that are 0 for every image. A unit is a channel of a convolution or a
/// neuron, the second dimension of `output`.
fn dead_share(output: &Tensor) -> Result<f64, LogError> {
    let units = output.dim(1)?;
    let numbers = numbers(output)?;
    let image_len: usize = output.dims()[1..].iter().product();
    let unit_len = (image_len / units.max(1)).max(1);
    let mut is_alive = vec![false; units];
    for image in numbers.chunks_exact(image_len.max(1)) {
        for (unit, alive) in image.chunks_exact(unit_len).zip(&mut is_alive) {
            *alive |= unit.iter().any(|number| *number != 0.0);
        }
    }
    let dead = is_alive.iter().filter(|alive| !**alive).count();
    Ok(dead as f64 / units.max(1) as f64)
}

/// The numbers of a tensor, wherever it is.
pub fn numbers(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_unit_is_dead_if_no_image_wakes_it() {
        let share = |numbers: &[f32], shape: &[usize]| {
            dead_share(&Tensor::from_slice(numbers, shape, &Device::Cpu).unwrap()).unwrap()
        };
        // Two images, three neurons: the second never fires.
        assert_eq!(share(&[1.0, 0.0, 0.0, 0.0, 0.0, 2.0], &[2, 3]), 1.0 / 3.0);
        // One image, two channels of 1×2.
        assert_eq!(share(&[0.0, 0.0, 0.0, 3.0], &[1, 2, 1, 2]), 0.5);
        assert_eq!(share(&[0.0, 0.0, 0.0, f32::NAN], &[1, 2, 1, 2]), 0.5);
        assert_eq!(share(&[], &[0, 2]), 1.0);
    }
}
