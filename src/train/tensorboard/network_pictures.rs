//! What the network has learned to look for, and what it sees.

use candle_core::Tensor;

use crate::nn::Parameters;
use crate::tb::image::{Image, ImageError};
use crate::tb::writer::SummaryWriter;

use super::error::LogError;
use super::histograms::numbers;
use super::pass::Pass;
use super::thumbnail::thumbnail;

/// Filters and maps are enlarged to at least so many pixels.
const FILTER_WIDTH: usize = 80;
const MAP_WIDTH: usize = 42;
/// Side by side: more would make the page of TensorBoard shrink them.
const MAPS_IN_A_ROW: usize = 8;
const PADDING: usize = 4;
/// More filters, channels of an op and ops than these are not shown: TensorBoard shrinks a tall sheet
/// until nothing can be seen.
const MAX_FILTERS: usize = 36;
const MAX_CHANNELS: usize = 32;
const MAX_OPS: usize = 8;

/// Logs the filters of the first convolution, if there is one: blue is negative, white 0, red positive, the strongest
/// colour the largest weight of all.
///
/// # Errors
/// What [`SummaryWriter`] and the device say.
pub fn log_filters(
    run: &SummaryWriter,
    parameters: &Parameters,
    step: usize,
) -> Result<(), LogError> {
    let named = parameters.named();
    let Some((_, var)) = named.iter().find(|(name, _)| name == "conv1.weight") else {
        return Ok(());
    };
    let (_, _, height, width) = var.dims4()?;
    let weights = numbers(var.as_tensor())?;
    let largest = weights.iter().fold(0.0_f32, |most, w| most.max(w.abs()));
    let scale = FILTER_WIDTH.div_ceil(width.max(1));
    let filters = weights.chunks_exact((height * width).max(1)).enumerate();
    let filters: Result<Vec<_>, ImageError> = filters
        .take(MAX_FILTERS)
        .map(|(index, filter)| {
            let image = signed(filter, largest, [height, width])?;
            image.scale(scale)?.caption(&format!("filter {index}"))
        })
        .collect();
    let grid = Image::grid(&filters?, 6, PADDING)?;
    Ok(run.add_image("network/filters", &grid, step)?)
}

/// Blue to white to red.
fn signed(numbers: &[f32], largest: f32, [height, width]: [usize; 2]) -> Result<Image, ImageError> {
    let shares: Vec<f32> = numbers
        .iter()
        .map(|number| if largest > 0.0 { number / largest } else { 0.0 })
        .collect();
    let red = shares.iter().map(|share| 1.0 + share.min(0.0));
    let green = shares.iter().map(|share| 1.0 - share.abs());
    let blue = shares.iter().map(|share| 1.0 - share.max(0.0));
    let planes: Vec<f32> = red.chain(green).chain(blue).collect();
    Image::from_f32_chw(&planes, [3, height, width])
}

/// Logs what each op before the first fully connected layer makes of the first image of `pass`, of
/// many only the last one of each convolution: for each op a map of each channel, from black for the
/// op's smallest number to white for its largest.
///
/// # Errors
/// What [`SummaryWriter`] and the device say.
pub fn log_feature_maps(
    run: &SummaryWriter,
    images: &Tensor,
    pass: &Pass,
    step: usize,
) -> Result<(), LogError> {
    let mut rows = vec![feature_maps("image", images)?];
    let are_many = pass.maps.len() > MAX_OPS;
    let shown = pass.maps.iter().filter(|op| op.ends_stage || !are_many);
    for op in shown.take(MAX_OPS) {
        rows.push(feature_maps(&op.name, &op.output)?);
    }
    let sheet = Image::grid(&rows, 1, PADDING)?;
    Ok(run.add_image("network/feature_maps", &sheet, step)?)
}

/// The channels of the first image of `output`, with what they are below.
fn feature_maps(name: &str, output: &Tensor) -> Result<Image, LogError> {
    let (_, channels, height, width) = output.dims4()?;
    let numbers = numbers(&output.get(0)?)?;
    let low = numbers.iter().copied().fold(f32::INFINITY, f32::min);
    let high = numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let range = if high > low { high - low } else { 1.0 };
    let shares: Vec<f32> = numbers
        .iter()
        .map(|number| (number - low) / range)
        .collect();
    let maps: Result<Vec<_>, _> = shares
        .chunks_exact((height * width).max(1))
        .take(MAX_CHANNELS)
        .map(|map| thumbnail(map, [height, width], MAP_WIDTH))
        .collect();
    let rows = Image::grid(&maps?, channels.min(MAPS_IN_A_ROW), 1)?;
    Ok(rows.caption(&format!("{name} {channels}×{height}×{width}"))?)
}
