//! What the network says of single images.

use std::time::Duration;

use crate::data::{Dataset, Split};
use crate::tb::image::{GREEN, Image, RED};
use crate::tb::writer::SummaryWriter;
use crate::train::Predictions;

use super::class_names::{drawn, longest};
use super::error::LogError;
use super::thumbnail::thumbnail;

/// Images in a grid, and side by side in it.
const COUNT: usize = 20;
const COLUMNS: usize = 5;
/// Of a letter, the gap to the next included.
const LETTER: usize = 6;
const FRAME: usize = 4;
const PADDING: usize = 4;
/// Names of classes that are longer, in letters, make captions of two lines.
const MAX_SHORT: usize = 3;
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
    /// Logs the first validation images with what `predictions` say of them: in a green frame what is
    /// right, in a red one what is wrong.
    ///
    /// # Errors
    /// What [`SummaryWriter`] says.
    pub fn log_predictions(
        &mut self,
        run: &SummaryWriter,
        dataset: &Dataset,
        predictions: &Predictions,
        step: usize,
    ) -> Result<(), LogError> {
        if let Some(grid) = grid(dataset, predictions)? {
            run.add_image("samples/predictions", &grid, step)?;
            self.frames.push(grid);
        }
        Ok(())
    }

    /// Notes what was shown last: the logits of the validation images, of which the first are shown.
    pub fn note(&mut self, dataset: &Dataset, logits: &[f32]) {
        let count = dataset.validation().len().min(COUNT) * dataset.classes();
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
    pub fn restore(&mut self, dataset: &Dataset, notes: &[f32]) -> Result<(), LogError> {
        let (labels, classes) = (dataset.validation().labels(), dataset.classes());
        let count = labels.len().min(COUNT);
        let labels = &labels[..count];
        for logits in notes.chunks_exact((count * classes).max(1)) {
            if let Ok(predictions) = Predictions::from_logits(logits, classes, labels) {
                self.frames.extend(grid(dataset, &predictions)?);
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
    dataset: &Dataset,
    predictions: &Predictions,
    step: usize,
) -> Result<(), LogError> {
    let mistakes = predictions.mistakes();
    let worst = mistakes.iter().map(|mistake| mistake.index);
    if let Some(grid) = tiles(dataset, predictions, worst)? {
        run.add_image("samples/worst_mistakes", &grid, step)?;
    }
    Ok(())
}

/// The first images; `None` where there are none.
fn grid(dataset: &Dataset, predictions: &Predictions) -> Result<Option<Image>, LogError> {
    tiles(dataset, predictions, 0..predictions.len())
}

/// The first of these images, side by side.
fn tiles(
    dataset: &Dataset,
    predictions: &Predictions,
    images: impl Iterator<Item = usize>,
) -> Result<Option<Image>, LogError> {
    let (split, names) = (dataset.validation(), drawn(dataset.class_names()));
    let tiles: Result<Vec<_>, _> = (images.take(COUNT))
        .map(|index| tile(split, &names, predictions, index))
        .collect();
    let tiles = tiles?;
    match tiles.is_empty() {
        true => Ok(None),
        false => Ok(Some(Image::grid(&tiles, COLUMNS, PADDING)?)),
    }
}

/// An image with what was said of it.
fn tile(
    split: &Split,
    names: &[String],
    predictions: &Predictions,
    index: usize,
) -> Result<Image, LogError> {
    let (height, width) = (split.height(), split.width());
    let start = index * height * width;
    let pixels = &split.pixels()[start..start + height * width];
    let numbers: Vec<f32> = pixels.iter().map(|p| f32::from(*p) / 255.0).collect();
    let label = usize::from(split.labels()[index]);
    let predicted = predictions.predicted(index).unwrap_or_default();
    let name = |class: usize| names.get(class).map_or("", String::as_str);
    let has_two_lines = longest(names) > MAX_SHORT;
    let (more, colour) = if predicted == label {
        (if has_two_lines { "\n " } else { "" }.to_owned(), GREEN)
    } else {
        let row = predictions.probabilities(index).unwrap_or_default();
        let percent = 100.0 * row.get(predicted).copied().unwrap_or_default();
        let between = if has_two_lines { "\n" } else { " " };
        let predicted = name(predicted);
        (format!("{between}→ {predicted} ({percent:.0} %)"), RED)
    };
    let text = name(label).to_owned() + &more;
    let image = thumbnail(&numbers, [height, width], width_for(names))?;
    Ok(image.caption(&text)?.frame(colour, FRAME)?)
}

/// The width that the longest line fits into, as `9 → 9 (100 %)` or, below the label, `→ Sneaker
/// (100 %)`: so all captions have as many lines, and the pictures of an animation are of one size.
fn width_for(names: &[String]) -> usize {
    let longest = longest(names);
    let letters = match longest > MAX_SHORT {
        true => longest + "→  (100 %)".chars().count(),
        false => 2 * longest + " →  (100 %)".chars().count(),
    };
    LETTER * letters + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::class_numbers;

    #[test]
    fn right_and_wrong_make_pictures_of_one_size() {
        let named = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        for (side, names) in [
            (28, class_numbers(10)),
            (4, class_numbers(10)),
            (28, class_numbers(101)),
            (300, class_numbers(256)),
            (1, class_numbers(3)),
            (28, named(&["cat", "dog"])),
            (28, named(&["T-shirt/top", "Trouser", "Ankle boot of the"])),
            (2, named(&["a b c d e f g h i", "W", "sixteen letters."])),
        ] {
            let names = drawn(&names);
            let classes = names.len();
            let pixels = vec![0; 2 * side * side];
            let label = (classes - 1) as u8;
            let split = Split::new(side, side, pixels, vec![label, label]).unwrap();
            let mut logits = vec![0.0; 2 * classes];
            logits[classes - 1] = 99.0;
            logits[2 * classes - 2] = 99.0;
            let predictions = Predictions::from_logits(&logits, classes, &[label; 2]).unwrap();
            let tile = |index| tile(&split, &names, &predictions, index).unwrap();
            let [right, wrong] = [0, 1].map(tile);
            let size = |tile: &Image| (tile.width(), tile.height());
            assert_eq!(size(&right), size(&wrong), "{side}, {names:?}");
            assert_eq!([&right.pixels()[..3], &wrong.pixels()[..3]], [GREEN, RED]);
        }
    }
}
