//! What the network says of single images.

use std::time::Duration;

use crate::data::Split;
use crate::tb::image::{GREEN, Image, RED};
use crate::tb::writer::SummaryWriter;
use crate::train::Predictions;

use super::error::LogError;
use super::thumbnail::thumbnail;

/// Images in a grid, and side by side in it.
const COUNT: usize = 20;
const COLUMNS: usize = 5;
/// Of a letter, the gap to the next included.
const LETTER: usize = 6;
const FRAME: usize = 4;
const PADDING: usize = 4;
/// How long each picture of the animation stands.
const DELAY: Duration = Duration::from_millis(700);

/// Logs what the network makes of the first validation images, and of those that it gets most wrong.
#[derive(Debug, Default)]
pub struct Samples {
    /// One for each moment that was logged.
    frames: Vec<Image>,
    /// The logits that they show, but for those of the untrained network, which any training can
    /// tell anew.
    notes: Vec<f32>,
}

impl Samples {
    /// Logs the first images of `split` with what `predictions` say of them: in a green frame what
    /// is right, in a red one what is wrong.
    ///
    /// # Errors
    /// What [`SummaryWriter`] says.
    pub fn log_predictions(
        &mut self,
        run: &SummaryWriter,
        split: &Split,
        predictions: &Predictions,
        step: usize,
    ) -> Result<(), LogError> {
        if let Some(grid) = grid(split, predictions)? {
            run.add_image("samples/predictions", &grid, step)?;
            self.frames.push(grid);
        }
        Ok(())
    }

    /// Notes what was shown last: the logits of `split`, of which the first images are shown.
    pub fn note(&mut self, split: &Split, classes: usize, logits: &[f32]) {
        let count = split.len().min(COUNT) * classes;
        self.notes.extend(logits.iter().take(count));
    }

    /// What has to be remembered of what was shown.
    pub fn notes(&self) -> &[f32] {
        &self.notes
    }

    /// Has shown what is in the `notes` of an earlier log.
    ///
    /// # Errors
    /// Images that make no picture.
    pub fn restore(
        &mut self,
        split: &Split,
        classes: usize,
        notes: &[f32],
    ) -> Result<(), LogError> {
        let count = split.len().min(COUNT);
        let labels = &split.labels()[..count];
        for logits in notes.chunks_exact((count * classes).max(1)) {
            if let Ok(predictions) = Predictions::from_logits(logits, classes, labels) {
                self.frames.extend(grid(split, &predictions)?);
            }
        }
        self.notes = notes.to_vec();
        Ok(())
    }

    /// Logs all that [`log_predictions`](Self::log_predictions) has shown, one after the other.
    ///
    /// # Errors
    /// What [`SummaryWriter`] says.
    pub fn log_animation(&self, run: &SummaryWriter, step: usize) -> Result<(), LogError> {
        match self.frames.is_empty() {
            true => Ok(()),
            false => Ok(run.add_video("samples/animation", &self.frames, DELAY, step)?),
        }
    }
}

/// Logs the images that were taken for another class with the most certainty.
///
/// # Errors
/// What [`SummaryWriter`] says.
pub fn log_worst_mistakes(
    run: &SummaryWriter,
    split: &Split,
    predictions: &Predictions,
    step: usize,
) -> Result<(), LogError> {
    let mistakes = predictions.mistakes();
    let tiles: Result<Vec<_>, _> = (mistakes.iter().take(COUNT))
        .map(|mistake| tile(split, predictions, mistake.index))
        .collect();
    let tiles = tiles?;
    if tiles.is_empty() {
        return Ok(());
    }
    let grid = Image::grid(&tiles, COLUMNS, PADDING)?;
    Ok(run.add_image("samples/worst_mistakes", &grid, step)?)
}

/// The first images; `None` where there are none.
fn grid(split: &Split, predictions: &Predictions) -> Result<Option<Image>, LogError> {
    let count = predictions.len().min(COUNT);
    let tiles: Result<Vec<_>, _> = (0..count)
        .map(|index| tile(split, predictions, index))
        .collect();
    let tiles = tiles?;
    match tiles.is_empty() {
        true => Ok(None),
        false => Ok(Some(Image::grid(&tiles, COLUMNS, PADDING)?)),
    }
}

/// An image with what was said of it.
fn tile(split: &Split, predictions: &Predictions, index: usize) -> Result<Image, LogError> {
    let (height, width) = (split.height(), split.width());
    let start = index * height * width;
    let pixels = &split.pixels()[start..start + height * width];
    let numbers: Vec<f32> = pixels.iter().map(|p| f32::from(*p) / 255.0).collect();
    let label = usize::from(split.labels()[index]);
    let predicted = predictions.predicted(index).unwrap_or_default();
    let (text, colour) = if predicted == label {
        (label.to_string(), GREEN)
    } else {
        let row = predictions.probabilities(index).unwrap_or_default();
        let percent = 100.0 * row.get(predicted).copied().unwrap_or_default();
        (format!("{label} → {predicted} ({percent:.0} %)"), RED)
    };
    let image = thumbnail(&numbers, [height, width], width_for(predictions.classes()))?;
    Ok(image.caption(&text)?.frame(colour, FRAME)?)
}

/// The width that the longest caption fits into, as `9 → 9 (100 %)`: so all have one line, and the
/// pictures of an animation are of one size.
fn width_for(classes: usize) -> usize {
    let digits = classes.saturating_sub(1).to_string().len();
    LETTER * (2 * digits + " →  (100 %)".chars().count()) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_and_wrong_make_pictures_of_one_size() {
        for (side, classes) in [(28, 10), (4, 10), (28, 101), (300, 256), (1, 3)] {
            let pixels = vec![0; 2 * side * side];
            let label = (classes - 1) as u8;
            let split = Split::new(side, side, pixels, vec![label, label]).unwrap();
            let mut logits = vec![0.0; 2 * classes];
            logits[classes - 1] = 99.0;
            logits[2 * classes - 2] = 99.0;
            let predictions = Predictions::from_logits(&logits, classes, &[label; 2]).unwrap();
            let [right, wrong] = [0, 1].map(|index| tile(&split, &predictions, index).unwrap());
            let size = |tile: &Image| (tile.width(), tile.height());
            assert_eq!(size(&right), size(&wrong), "{side}, {classes}");
            assert_eq!([&right.pixels()[..3], &wrong.pixels()[..3]], [GREEN, RED]);
        }
    }
}
