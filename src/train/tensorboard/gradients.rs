//! How long the gradient is.

use crate::tb::writer::SummaryWriter;
use crate::train::Snapshot;

use super::error::LogError;
use super::histograms::numbers;

/// Logs the Euclidean norm of the gradient over all parameters, as the last update of the epoch used
/// it: after clipping, if there is any.
///
/// # Errors
/// What [`SummaryWriter`] and the device say.
pub fn log_norm(run: &SummaryWriter, snapshot: &Snapshot<'_>, step: usize) -> Result<(), LogError> {
    let mut sum = 0.0;
    for (_, gradient) in snapshot.gradients()? {
        let squares = numbers(&gradient)?
            .into_iter()
            .map(|x| f64::from(x).powi(2));
        sum += squares.sum::<f64>();
    }
    Ok(run.add_scalar("optimizer/gradient_norm", sum.sqrt(), step)?)
}
