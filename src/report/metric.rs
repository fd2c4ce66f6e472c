//! What a series measures, as far as its name tells.
//!
//! Names are free text, and every program has its own: `validation/accuracy`, `Accuracy/val`,
//! `val_acc`, `eval/top1 Acc`. A name is taken as words, cut where letters and digits end and where
//! a capital follows a small letter, whatever their case.

use std::cmp::Ordering;

/// Which values of a series are the better ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// As for an accuracy.
    Higher,
    /// As for a loss.
    Lower,
}

impl Direction {
    /// Lower is better for what is named a loss, an error or one of their kin, or a time; higher for
    /// the rest.
    ///
    /// ```
    /// use cnn_tb::report::metric::Direction;
    /// assert_eq!(Direction::of("Loss/val"), Direction::Lower);
    /// assert_eq!(Direction::of("validation/accuracy"), Direction::Higher);
    /// ```
    pub fn of(series: &str) -> Self {
        if words(series)
            .iter()
            .any(|word| is_loss(word) || is_time(word))
        {
            Self::Lower
        } else {
            Self::Higher
        }
    }

    /// Puts the better of two values first. A NaN comes after every number.
    pub fn best_first(self, one: f64, other: f64) -> Ordering {
        let order = match self {
            Self::Higher => other.partial_cmp(&one),
            Self::Lower => one.partial_cmp(&other),
        };
        order.unwrap_or_else(|| one.is_nan().cmp(&other.is_nan()))
    }

    /// Whether `value` is better than `baseline` by at least `by`; where `by` is negative, whether it
    /// is worse by no more than that. Never where one of them is NaN.
    ///
    /// Both are taken for numbers that were rounded to 32 bits when they were logged. What that can
    /// hide is granted, so that 0.99 beats 0.98 by 0.01.
    ///
    /// ```
    /// use cnn_tb::report::metric::Direction;
    /// let [value, baseline] = [0.99_f32, 0.98].map(f64::from);
    /// assert!(value - baseline < 0.01);
    /// assert!(Direction::Higher.beats(value, baseline, 0.01));
    /// assert!(!Direction::Higher.beats(value, baseline, 0.011));
    /// assert!(!Direction::Lower.beats(value, baseline, 0.0));
    /// ```
    pub fn beats(self, value: f64, baseline: f64, by: f64) -> bool {
        let gain = match self {
            Self::Higher => value - baseline,
            Self::Lower => baseline - value,
        };
        // The nearest number of 32 bits is at most half a unit in the last place away.
        let rounding = (value.abs() + baseline.abs()) * f64::from(f32::EPSILON) / 2.0;
        gain >= by || gain + rounding >= by
    }
}

/// Which value of a series stands for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Best {
    /// The lowest; lower is better.
    Min,
    /// The highest; higher is better.
    Max,
    /// The last, by step. Which of two is better, the name tells.
    Last,
}

/// What a series is looked for as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The accuracy that runs are compared by.
    ValidationAccuracy,
    /// The loss that runs are compared by.
    ValidationLoss,
    /// The accuracy on data that was kept for the end.
    TestAccuracy,
}

impl Role {
    /// The series among `names` that fits this role best.
    ///
    /// An accuracy has the word `accuracy` or `acc`. A loss has `loss`, else one such as `error`,
    /// `mse` or `perplexity`. What belongs to the training (`train`, `training`) is never taken. A
    /// validation series has `validation`, `valid` or `val`, else `eval`, `evaluation` or `dev`,
    /// else `test`, else none of these. Among equals the name of fewest words wins, then the
    /// shortest, then the first in the alphabet.
    ///
    /// ```
    /// use cnn_tb::report::metric::Role;
    /// let names = ["train/accuracy", "val_acc_top5", "val_acc", "val_loss"];
    /// assert_eq!(Role::ValidationAccuracy.find(names), Some("val_acc"));
    /// assert_eq!(Role::TestAccuracy.find(names), None);
    /// ```
    pub fn find<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        let ranked = names.into_iter().filter_map(|name| {
            let words = words(name);
            let rank = self.rank(&words)?;
            Some((rank, words.len(), name.len(), name))
        });
        ranked.min().map(|(.., name)| name)
    }

    /// How well a name fits, 0 best: by its split, then by its measure.
    fn rank(self, words: &[String]) -> Option<(usize, usize)> {
        let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
        let split = if has(TRAIN) {
            return None;
        } else {
            let splits = [VALIDATION, EVALUATION, TEST];
            splits
                .iter()
                .position(|split| has(split))
                .unwrap_or(splits.len())
        };
        let measure = match self {
            Self::ValidationLoss if has(&["loss"]) => 0,
            Self::ValidationLoss if words.iter().any(|word| is_loss(word)) => 1,
            Self::ValidationAccuracy if is_accuracy(words) => 0,
            Self::TestAccuracy if is_accuracy(words) && has(TEST) => 0,
            _ => return None,
        };
        Some((split, measure))
    }
}

/// Whether the name is that of an accuracy, which is a fraction wherever it stays within 0 and 1.
pub fn names_accuracy(series: &str) -> bool {
    is_accuracy(&words(series))
}

const TRAIN: &[&str] = &["train", "training"];
const VALIDATION: &[&str] = &["validation", "valid", "val"];
const EVALUATION: &[&str] = &["eval", "evaluation", "dev"];
const TEST: &[&str] = &["test"];

fn is_accuracy(words: &[String]) -> bool {
    words.iter().any(|word| word == "accuracy" || word == "acc")
}

fn is_loss(word: &str) -> bool {
    const LOSSES: &[&str] = &[
        "loss",
        "losses",
        "error",
        "errors",
        "err",
        "entropy",
        "nll",
        "mse",
        "rmse",
        "mae",
        "perplexity",
        "ppl",
        "wer",
        "cer",
    ];
    LOSSES.contains(&word)
}

fn is_time(word: &str) -> bool {
    ["time", "secs", "seconds", "duration", "latency"].contains(&word)
}

fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for character in name.chars() {
        let starts = character.is_uppercase() && after_small;
        if starts || !character.is_alphanumeric() {
            words.push(String::new());
        }
        if character.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(character.to_lowercase());
        }
        after_small = character.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_into_words() {
        let cases: [(&str, &[&str]); 6] = [
            ("validation/accuracy", &["validation", "accuracy"]),
            ("valAcc", &["val", "acc"]),
            ("Loss/VAL", &["loss", "val"]),
            ("eval.top1 (Acc@1)", &["eval", "top1", "acc", "1"]),
            ("Überlänge_ß", &["überlänge", "ß"]),
            ("//", &[]),
        ];
        for (name, expected) in cases {
            assert_eq!(words(name), expected, "{name}");
        }
    }

    #[test]
    fn roles_are_found_under_the_names_that_programs_give() {
        use Role::{TestAccuracy, ValidationAccuracy, ValidationLoss};
        let ours = [
            "batches/train_batch/loss",
            "test/accuracy",
            "test/loss",
            "train/accuracy",
            "train/loss",
            "validation/accuracy",
            "validation/loss",
            "validation_best/accuracy",
        ];
        let cases: [(Role, &[&str], Option<&str>); 14] = [
            (ValidationAccuracy, &ours, Some("validation/accuracy")),
            (ValidationLoss, &ours, Some("validation/loss")),
            (TestAccuracy, &ours, Some("test/accuracy")),
            (
                ValidationAccuracy,
                &["Accuracy/train", "Accuracy/val"],
                Some("Accuracy/val"),
            ),
            (
                ValidationAccuracy,
                &["epoch_acc", "EvalAccuracy"],
                Some("EvalAccuracy"),
            ),
            (
                ValidationAccuracy,
                &["accuracy", "test_acc"],
                Some("test_acc"),
            ),
            (
                ValidationAccuracy,
                &["train/epoch_accuracy", "accuracy"],
                Some("accuracy"),
            ),
            (
                ValidationAccuracy,
                &["train/accuracy", "val/vaccine", "account"],
                None,
            ),
            (
                ValidationLoss,
                &["val/mse", "val/total_loss"],
                Some("val/total_loss"),
            ),
            (ValidationLoss, &["val/mse", "train/loss"], Some("val/mse")),
            (
                ValidationLoss,
                &["val/box_loss", "val/loss"],
                Some("val/loss"),
            ),
            (
                ValidationLoss,
                &["val/b_loss", "val/a_loss"],
                Some("val/a_loss"),
            ),
            (
                TestAccuracy,
                &["accuracy", "test/loss", "test_accuracy"],
                Some("test_accuracy"),
            ),
            (TestAccuracy, &["accuracy", "latest/acc", "test/loss"], None),
        ];
        for (role, names, expected) in cases {
            assert_eq!(
                role.find(names.iter().copied()),
                expected,
                "{role:?} {names:?}"
            );
        }
    }

    #[test]
    fn direction_follows_the_name_and_puts_nan_last() {
        let lower = [
            "loss",
            "valLoss",
            "error_rate",
            "val/MSE",
            "perplexity",
            "cross entropy",
            "elapsed_secs",
        ];
        assert!(
            lower
                .iter()
                .all(|name| Direction::of(name) == Direction::Lower)
        );
        let higher = ["accuracy", "f1", "lossless_ratio", "images_per_sec"];
        assert!(
            higher
                .iter()
                .all(|name| Direction::of(name) == Direction::Higher)
        );

        for (direction, better, worse) in [
            (Direction::Higher, 2.0, 1.0),
            (Direction::Lower, 1.0, 2.0),
            (Direction::Higher, f64::NEG_INFINITY, f64::NAN),
            (Direction::Lower, f64::INFINITY, f64::NAN),
        ] {
            assert_eq!(direction.best_first(better, worse), Ordering::Less);
            assert_eq!(direction.best_first(worse, better), Ordering::Greater);
            assert_eq!(direction.best_first(worse, worse), Ordering::Equal);
        }
    }

    #[test]
    fn a_baseline_is_beaten_by_what_was_logged() {
        use Direction::{Higher, Lower};
        let cases = [
            (Higher, 0.99, 0.98, 0.01, true),
            (Lower, 0.2, 0.3, 0.1, true),
            (Lower, 0.3, 0.2, 0.0, false),
            (Lower, 0.3, 0.2, -0.1, true),
            (Lower, 0.3, 0.2, -0.09, false),
            (Higher, 0.5, 0.5, 0.0, true),
            (Higher, 0.5, 0.5, 1e-6, false),
            (Higher, f32::NAN, 0.5, -1.0, false),
            (Lower, f32::NAN, 0.5, -1.0, false),
            (Lower, 0.5, f32::NAN, 0.0, false),
            (Higher, f32::INFINITY, 0.5, 1.0, true),
            (Lower, f32::INFINITY, 0.5, 1.0, false),
        ];
        for (direction, value, baseline, by, expected) in cases {
            assert_eq!(
                direction.beats(f64::from(value), f64::from(baseline), by),
                expected,
                "{direction:?} {value} {baseline} {by}"
            );
        }
    }
}
