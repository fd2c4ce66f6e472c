//! What a classifier says of images whose labels are known.
//!
//! Plain slices go in and plain numbers come out: this works for any network.

use crate::train::{Confusion, Metrics};

/// The probabilities that a classifier gives to every class of every image, beside the labels.
///
/// ```
/// use cnn_tb::train::Predictions;
///
/// let logits = [2.0, 0.0, 0.0, 1.0, 3.0, 0.0]; // three images, two classes
/// let predictions = Predictions::from_logits(&logits, 2, &[0, 1, 1])?;
/// assert_eq!(predictions.metrics().accuracy, 2.0 / 3.0);
/// let worst = predictions.mistakes()[0];
/// assert_eq!((worst.index, worst.label, worst.predicted), (2, 1, 0));
/// # Ok::<(), cnn_tb::train::PredictionsError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// `labels.len() * classes`, image by image; each image's add up to 1.
    probabilities: Vec<f32>,
    classes: usize,
    labels: Vec<u8>,
    /// The class of each image's largest logit, the first of equal ones.
    predicted: Vec<usize>,
    /// The sum of each image's −ln p(label).
    loss_sum: f64,
}

/// An image that was taken for another class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mistake {
    /// Where it is in its split: the first image is 0.
    pub index: usize,
    /// What it is.
    pub label: usize,
    /// What it was taken for.
    pub predicted: usize,
    /// The probability that was given to what it was taken for.
    pub probability: f32,
}

/// Why there are no predictions.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PredictionsError {
    /// Logits and labels disagree in number.
    #[error("{found} logits, expected {images} × {classes}, one for each image and class")]
    Count {
        /// Logits.
        found: usize,
        /// Labels.
        images: usize,
        /// Classes.
        classes: usize,
    },
    /// A label is of no class.
    #[error("image {index} is labelled {label}, expected a label below {classes}")]
    Label {
        /// The image: the first is 0.
        index: usize,
        /// Its label.
        label: u8,
        /// Classes.
        classes: usize,
    },
    /// A logit is infinite or NaN, so the weights are damaged.
    #[error(
        "the network gives {logit} for class {class} of image {index}, expected a finite number"
    )]
    NonFinite {
        /// The image: the first is 0.
        index: usize,
        /// The class.
        class: usize,
        /// What it gives.
        logit: f32,
    },
}

impl Predictions {
    /// Predictions from the scores before softmax: `logits` has one for each of `classes` classes,
    /// image by image, `labels` one label for each image.
    ///
    /// # Errors
    /// Numbers that disagree, a label that is no class, a logit that is not finite.
    pub fn from_logits(
        logits: &[f32],
        classes: usize,
        labels: &[u8],
    ) -> Result<Self, PredictionsError> {
        if labels.len().checked_mul(classes) != Some(logits.len()) {
            return Err(PredictionsError::Count {
                found: logits.len(),
                images: labels.len(),
                classes,
            });
        }
        let mut numbered = labels.iter().copied().enumerate();
        if let Some((index, label)) = numbered.find(|(_, label)| usize::from(*label) >= classes) {
            return Err(PredictionsError::Label {
                index,
                label,
                classes,
            });
        }
        let mut probabilities = Vec::with_capacity(logits.len());
        let mut predicted = Vec::with_capacity(labels.len());
        let mut loss_sum = 0.0;
        let rows = logits.chunks_exact(classes.max(1));
        for (index, (row, &label)) in rows.zip(labels).enumerate() {
            let infinite = row.iter().position(|logit| !logit.is_finite());
            if let Some(class) = infinite {
                let logit = row[class];
                return Err(PredictionsError::NonFinite {
                    index,
                    class,
                    logit,
                });
            }
            predicted.push(largest(row));
            loss_sum += log_sum_exp(row) - f64::from(row[usize::from(label)]);
            probabilities.extend(softmax(row));
        }
        Ok(Self {
            probabilities,
            classes,
            labels: labels.to_vec(),
            predicted,
            loss_sum,
        })
    }

    /// Images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The probabilities of one image, one a class; `None` for an image that is not there.
    pub fn probabilities(&self, index: usize) -> Option<&[f32]> {
        self.probabilities
            .chunks_exact(self.classes.max(1))
            .nth(index)
    }

    /// What one image was taken for: the class of its largest logit, the first of equal ones; `None`
    /// for an image that is not there.
    pub fn predicted(&self, index: usize) -> Option<usize> {
        self.predicted.get(index).copied()
    }

    /// The mean loss (softmax cross-entropy) and the share of right answers; 0 for no images.
    pub fn metrics(&self) -> Metrics {
        let images = self.len().max(1) as f64;
        let right = self.pairs().filter(|(label, predicted)| label == predicted);
        Metrics {
            loss: self.loss_sum / images,
            accuracy: right.count() as f64 / images,
        }
    }

    /// How often each class was taken for each.
    pub fn confusion(&self) -> Confusion {
        let mut confusion = Confusion::new(self.classes);
        for (label, predicted) in self.pairs() {
            confusion.add(label, predicted);
        }
        confusion
    }

    /// Every image that was taken for another class, the most certain first: what was given the
    /// highest probability.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let rows = self.rows().zip(self.pairs()).enumerate();
        let mut mistakes: Vec<Mistake> = rows
            .filter(|(_, (_, (label, predicted)))| label != predicted)
            .map(|(index, (row, (label, predicted)))| Mistake {
                index,
                label,
                predicted,
                probability: row[predicted],
            })
            .collect();
        // It is stable: of equal ones the first image is first.
        mistakes.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        mistakes
    }

    /// Whether each image is of `class`, and the probability that it was given: what a
    /// precision-recall curve is drawn from. Both are empty for a class that is not there.
    pub fn one_against_rest(&self, class: usize) -> (Vec<bool>, Vec<f32>) {
        let rows = self.rows().zip(&self.labels);
        rows.filter_map(|(row, label)| Some((usize::from(*label) == class, *row.get(class)?)))
            .unzip()
    }

    /// Each image's label and what it was taken for.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let labels = self.labels.iter().map(|label| usize::from(*label));
        labels.zip(self.predicted.iter().copied())
    }

    fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.probabilities.chunks_exact(self.classes.max(1))
    }
}

/// The class with the largest number, the first of equal ones.
fn largest(row: &[f32]) -> usize {
    let mut best = 0;
    for (class, number) in row.iter().enumerate() {
        if *number > row[best] {
            best = class;
        }
    }
    best
}

/// The probability of each class, given the logits of one image: exp(logit) / Σ exp(logit).
///
/// ```
/// assert_eq!(cnn_tb::train::softmax(&[2.0, 2.0]), [0.5, 0.5]);
/// ```
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let log_sum = log_sum_exp(logits);
    let probability = |logit: &f32| (f64::from(*logit) - log_sum).exp() as f32;
    logits.iter().map(probability).collect()
}

/// ln Σ exp(logit), with the largest taken out so that nothing overflows.
fn log_sum_exp(logits: &[f32]) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp = |logit: &f32| (f64::from(*logit) - f64::from(largest)).exp();
    f64::from(largest) + logits.iter().map(exp).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits of these probabilities.
    fn logits(probabilities: &[f32]) -> Vec<f32> {
        probabilities.iter().map(|p| p.ln() + 3.0).collect()
    }

    /// Four images of three classes: right, wrong, wrong and more certain, right.
    fn four() -> Predictions {
        let rows = [
            0.5, 0.25, 0.25, //
            0.125, 0.5, 0.375, //
            0.125, 0.75, 0.125, //
            0.25, 0.5, 0.25,
        ];
        Predictions::from_logits(&logits(&rows), 3, &[0, 2, 0, 1]).unwrap()
    }

    #[test]
    fn probabilities_come_back_and_so_does_their_loss() {
        let predictions = four();
        assert_eq!((predictions.len(), predictions.classes()), (4, 3));
        let row = predictions.probabilities(1).unwrap();
        for (found, expected) in row.iter().zip([0.125, 0.5, 0.375]) {
            assert!((found - expected).abs() < 1e-6, "{row:?}");
        }
        assert_eq!(predictions.probabilities(4), None);
        let metrics = predictions.metrics();
        let expected = -(0.5f64.ln() + 0.375f64.ln() + 0.125f64.ln() + 0.5f64.ln()) / 4.0;
        assert!((metrics.loss - expected).abs() < 1e-6, "{metrics:?}");
        assert_eq!(metrics.accuracy, 0.5);
    }

    #[test]
    fn mistakes_come_with_the_most_certain_first() {
        let found = four().mistakes();
        let found: Vec<_> = (found.iter())
            .map(|m| (m.index, m.label, m.predicted, (m.probability * 1e4).round()))
            .collect();
        assert_eq!(found, [(2, 0, 1, 7500.0), (1, 2, 1, 5000.0)]);
    }

    #[test]
    fn confusion_and_curves_are_of_the_same_images() {
        let predictions = four();
        let confusion = predictions.confusion();
        let rows: Vec<&[u64]> = confusion.rows().collect();
        assert_eq!(rows, [&[1, 1, 0], &[0, 1, 0], &[0, 1, 0]]);
        let (is_class, probabilities) = predictions.one_against_rest(1);
        assert_eq!(is_class, [false, false, false, true]);
        let expected = [0.25, 0.5, 0.75, 0.5];
        let pairs = probabilities.iter().zip(expected);
        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-6));
        assert_eq!(predictions.one_against_rest(3), (vec![], vec![]));
    }

    #[test]
    fn large_logits_stay_finite_and_equal_ones_give_the_first() {
        let predictions = Predictions::from_logits(&[1e4, -1e4, 7.0, 7.0], 2, &[1, 1]).unwrap();
        let metrics = predictions.metrics();
        assert!(
            (metrics.loss - (2e4 + 2f64.ln()) / 2.0).abs() < 1e-6,
            "{metrics:?}"
        );
        assert_eq!(metrics.accuracy, 0.0);
        assert_eq!(predictions.probabilities(1), Some(&[0.5, 0.5][..]));
        // No images: nothing is divided by 0.
        let none = Predictions::from_logits(&[], 2, &[]).unwrap();
        assert!(none.is_empty() && none.mistakes().is_empty());
        assert_eq!((none.metrics().loss, none.metrics().accuracy), (0.0, 0.0));
    }

    #[test]
    fn errors_say_which_image() {
        for (logits, labels, expected) in [
            (
                &[0.0; 3][..],
                &[0, 1][..],
                "3 logits, expected 2 × 2, one for each image and class",
            ),
            (
                &[0.0; 4],
                &[0, 2],
                "image 1 is labelled 2, expected a label below 2",
            ),
            (
                &[0.0, 0.0, f32::NAN, 0.0],
                &[0, 1],
                "the network gives NaN for class 0 of image 1, expected a finite number",
            ),
        ] {
            let error = Predictions::from_logits(logits, 2, labels).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        assert!(Predictions::from_logits(&[], 0, &[0]).is_err());
    }
}
