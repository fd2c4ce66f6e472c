//! The epochs after which pictures and histograms are logged.

/// TensorBoard keeps ten images of a tag, drawn by chance where there are more. One is of the
/// untrained network.
const AFTER_EPOCHS: usize = 9;

/// At most ten moments of a training that is to have so many epochs: before the first update, and
/// after epochs that lie evenly up to the last.
#[derive(Clone, Copy, Debug)]
pub struct Milestones {
    epochs: usize,
}

impl Milestones {
    /// Those of a training of `epochs`.
    pub fn new(epochs: usize) -> Self {
        Self { epochs }
    }

    /// Whether `epoch` epochs completed are such a moment; 0 is.
    pub fn contains(&self, epoch: usize) -> bool {
        epoch == 0 || self.after_epochs().any(|milestone| milestone == epoch)
    }

    fn after_epochs(&self) -> impl Iterator<Item = usize> {
        (1..=AFTER_EPOCHS).map(|part| (part * self.epochs).div_ceil(AFTER_EPOCHS))
    }

    /// Says, in Markdown, which they are and how to see more.
    pub fn describe(&self) -> String {
        let mut epochs: Vec<usize> = self.after_epochs().collect();
        epochs.dedup();
        let epochs: Vec<String> = epochs.iter().map(usize::to_string).collect();
        format!(
            "Images and histograms show the untrained network (step 0) and the network after epochs \
             {}; where a training ends earlier, also as it was then. TensorBoard keeps 10 images of \
             each tag, so these are all there are, unless it is started with \
             `--samples_per_plugin images=…` for a smaller or larger number.\n\n\
             For more epochs in pictures log a training of fewer epochs, or call the logger from an \
             observer of your own: it takes any number. `--samples_per_plugin scalars=100000` \
             shows every optimizer update, of which TensorBoard otherwise keeps 1,000.\n",
            epochs.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_at_most_ten_and_the_last_epoch_is_one() {
        for (epochs, expected) in [
            (1, &[0, 1][..]),
            (6, &[0, 1, 2, 3, 4, 5, 6]),
            (9, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
            (10, &[0, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
            (100, &[0, 12, 23, 34, 45, 56, 67, 78, 89, 100]),
        ] {
            let milestones = Milestones::new(epochs);
            let found: Vec<_> = (0..=epochs).filter(|&n| milestones.contains(n)).collect();
            assert_eq!(found, expected);
        }
        assert!(
            Milestones::new(10)
                .describe()
                .contains("2, 3, 4, 5, 6, 7, 8, 9, 10;")
        );
    }
}
