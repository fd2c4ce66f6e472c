//! Which classes are taken for which.

/// A confusion matrix: how often images of one class were taken for another.
///
/// ```
/// use cnn_tb::train::Confusion;
///
/// let mut confusion = Confusion::new(2);
/// for (label, predicted) in [(0, 0), (0, 0), (0, 1), (1, 1)] {
///     confusion.add(label, predicted);
/// }
/// let zero = confusion.class(0);
/// assert_eq!((zero.precision, zero.recall, zero.support), (Some(1.0), Some(2.0 / 3.0), 3));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// `classes * classes`: a row for each label, in it a number for each prediction.
    counts: Vec<u64>,
}

/// How well one class is told from all others.
///
/// The names are the usual ones (van Rijsbergen, "Information Retrieval", 1979, chapter 7). A
/// quotient of nothing by nothing is `None`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassMetrics {
    /// The class.
    pub class: usize,
    /// Of the images taken for this class, the share that are of it.
    pub precision: Option<f64>,
    /// Of the images of this class, the share that were taken for it.
    pub recall: Option<f64>,
    /// The harmonic mean of both: 2 · right / (taken for it + are of it).
    pub f1: Option<f64>,
    /// Images of this class.
    pub support: u64,
}

impl Confusion {
    /// A matrix of zeros.
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            counts: vec![0; classes * classes],
        }
    }

    /// Counts an image of class `label` that was taken for `predicted`.
    ///
    /// # Panics
    /// Like a slice, for a class that is not there.
    pub fn add(&mut self, label: usize, predicted: usize) {
        assert!(
            predicted < self.classes,
            "class {predicted} of {}",
            self.classes
        );
        self.counts[label * self.classes + predicted] += 1;
    }

    /// Classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// For each label, how often it was taken for each class.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks_exact(self.classes.max(1))
    }

    /// How well each class is told from the others, in the order of the classes.
    pub fn per_class(&self) -> Vec<ClassMetrics> {
        (0..self.classes).map(|class| self.class(class)).collect()
    }

    /// How well `class` is told from the others.
    ///
    /// # Panics
    /// Like a slice, for a class that is not there.
    pub fn class(&self, class: usize) -> ClassMetrics {
        let row = &self.counts[class * self.classes..(class + 1) * self.classes];
        let right = row[class];
        let support: u64 = row.iter().sum();
        let predicted: u64 = self.rows().map(|row| row[class]).sum();
        let quotient = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        ClassMetrics {
            class,
            precision: quotient(right, predicted),
            recall: quotient(right, support),
            f1: quotient(2 * right, predicted + support),
            support,
        }
    }

    /// Pairs of a label and another class that it was taken for, with how often, the most frequent
    /// first.
    pub fn confused(&self) -> Vec<(usize, usize, u64)> {
        let cells = self.rows().enumerate().flat_map(|(label, row)| {
            let cells = row.iter().enumerate();
            cells.map(move |(predicted, count)| (label, predicted, *count))
        });
        let mut confused: Vec<_> = cells
            .filter(|(label, predicted, count)| label != predicted && *count > 0)
            .collect();
        confused.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
        confused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(classes: usize, counts: &[(usize, usize, u64)]) -> Confusion {
        let mut confusion = Confusion::new(classes);
        for (label, predicted, count) in counts {
            (0..*count).for_each(|_| confusion.add(*label, *predicted));
        }
        confusion
    }

    #[test]
    fn classes_are_measured_one_against_the_rest() {
        // Label 0: 6 right, 2 taken for 1. Label 1: 4 right, 3 taken for 0. Label 2 never occurs.
        let confusion = of(4, &[(0, 0, 6), (0, 1, 2), (1, 1, 4), (1, 0, 3), (3, 1, 1)]);
        let class = |class, precision, recall, f1, support| ClassMetrics {
            class,
            precision,
            recall,
            f1,
            support,
        };
        assert_eq!(
            confusion.per_class(),
            [
                class(0, Some(6.0 / 9.0), Some(6.0 / 8.0), Some(12.0 / 17.0), 8),
                class(1, Some(4.0 / 7.0), Some(4.0 / 7.0), Some(8.0 / 14.0), 7),
                class(2, None, None, None, 0),
                class(3, None, Some(0.0), Some(0.0), 1),
            ]
        );
        assert_eq!(confusion.rows().nth(1), Some(&[3, 4, 0, 0][..]));
        assert_eq!(confusion.confused(), [(1, 0, 3), (0, 1, 2), (3, 1, 1)]);
        assert!(Confusion::new(0).per_class().is_empty());
    }

    #[test]
    #[should_panic(expected = "class 2 of 2")]
    fn a_class_that_is_not_there_is_not_counted_elsewhere() {
        Confusion::new(2).add(0, 2);
    }
}
