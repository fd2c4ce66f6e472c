//! The steps of a series that TensorBoard's data server still has.

/// Rising steps, kept as stretches of even distance, so that a million of them take no memory.
///
/// A step that is added drops those at or after it. Source: `reservoir.rs` in
/// <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/data/server>.
#[derive(Debug, Default)]
pub(super) struct Steps {
    stretches: Vec<Stretch>,
}

/// `first`, `first + stride`, … `last`.
#[derive(Debug)]
struct Stretch {
    first: i64,
    last: i64,
    /// 0 where there is only one step.
    stride: i64,
}

/// What became of a step that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It is behind all others.
    Forward,
    /// It is the last one once more, and took its place.
    Repeated,
    /// It is before the last one, and dropped so many points.
    Back { last: i64, erased: u64 },
}

impl Steps {
    /// Adds a step.
    pub(super) fn add(&mut self, step: i64) -> Added {
        let added = match self.last() {
            Some(last) if step == last => return Added::Repeated,
            Some(last) if step < last => Added::Back {
                last,
                erased: self.drop_from(step),
            },
            _ => Added::Forward,
        };
        let stretch = self.stretches.last_mut();
        match stretch.filter(|stretch| stretch.takes(step)) {
            Some(stretch) => {
                stretch.stride = step - stretch.last;
                stretch.last = step;
            }
            None => self.stretches.push(Stretch {
                first: step,
                last: step,
                stride: 0,
            }),
        }
        added
    }

    /// Drops the steps at or after `step`, and counts them.
    pub(super) fn drop_from(&mut self, step: i64) -> u64 {
        let mut dropped = 0;
        while let Some(stretch) = self.stretches.last_mut() {
            let before = stretch.count();
            if stretch.first >= step {
                self.stretches.pop();
                dropped += before;
                continue;
            }
            if stretch.last >= step {
                // A stretch of one step was dropped above, so there is a stride.
                let distance = i128::from(step) - 1 - i128::from(stretch.first);
                let kept = distance / i128::from(stretch.stride);
                let last = i128::from(stretch.first) + kept * i128::from(stretch.stride);
                stretch.last = last as i64;
                if stretch.first == stretch.last {
                    stretch.stride = 0;
                }
                dropped += before - stretch.count();
            }
            break;
        }
        dropped
    }

    /// The greatest step.
    pub(super) fn last(&self) -> Option<i64> {
        self.stretches.last().map(|stretch| stretch.last)
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.stretches.iter().map(Stretch::count).sum()
    }
}

impl Stretch {
    fn count(&self) -> u64 {
        match self.stride {
            0 => 1,
            stride => {
                let distance = i128::from(self.last) - i128::from(self.first);
                (distance / i128::from(stride)) as u64 + 1
            }
        }
    }

    /// Whether the stretch goes on with `step`, which is greater than all of its steps.
    fn takes(&self, step: i64) -> bool {
        let distance = step.checked_sub(self.last);
        distance.is_some_and(|distance| self.stride == 0 || self.stride == distance)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The oracle keeps every step.
        #[test]
        fn stretches_are_what_a_list_is(
            steps in prop::collection::vec(prop_oneof![-20_i64..20, any::<i64>()], 0..60),
            drops in prop::collection::vec((any::<prop::sample::Index>(), -20_i64..20), 0..3),
        ) {
            let (mut list, mut stretches) = (Vec::new(), Steps::default());
            let drop_at = |at: usize| drops.iter().filter(move |(index, _)| index.index(60) == at);
            for (at, step) in steps.into_iter().enumerate() {
                let last = list.last().copied();
                let before = list.len();
                list.retain(|other| *other < step);
                let erased = (before - list.len()) as u64;
                list.push(step);
                let expected = match last {
                    Some(last) if last == step => Added::Repeated,
                    Some(last) if last > step => Added::Back { last, erased },
                    _ => Added::Forward,
                };
                prop_assert_eq!(stretches.add(step), expected);
                for (_, from) in drop_at(at) {
                    let before = list.len();
                    list.retain(|other| other < from);
                    prop_assert_eq!(stretches.drop_from(*from), (before - list.len()) as u64);
                }
                prop_assert_eq!(stretches.last(), list.last().copied());
                prop_assert_eq!(stretches.count(), list.len() as u64);
            }
        }
    }

    #[test]
    fn a_million_even_steps_are_one_stretch() {
        let mut steps = Steps::default();
        for step in 0..1_000_000 {
            steps.add(step * 10);
        }
        assert_eq!((steps.count(), steps.stretches.len()), (1_000_000, 1));
    }
}
