//! The tags of a run that is written, and what is odd about their next values.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::mem;

use crate::tb::writer::Warning;

/// Warnings that are kept; a program that makes tags without end shall not fill the memory.
const MAX_WARNINGS: usize = 1_000;

/// The tags that were logged.
#[derive(Default)]
pub(super) struct Tags {
    known: HashMap<Box<str>, Tag, BuildHasherDefault<TagHasher>>,
    warnings: Vec<Warning>,
    /// Those that nobody was told of.
    fresh: Vec<Warning>,
}

struct Tag {
    /// The plugin that shows the tag's first value.
    plugin: Box<str>,
    last_step: i64,
    went_back: bool,
    changed_kind: bool,
}

impl Tags {
    /// Notes a value that is about to be written. One look-up for a tag that is known.
    #[inline]
    pub(super) fn note(&mut self, tag: &str, plugin: &str, step: i64) {
        let Some(known) = self.known.get_mut(tag) else {
            self.add(tag, plugin, step);
            return;
        };
        let went_back = step < known.last_step;
        let changed_kind = *known.plugin != *plugin;
        if went_back && !mem::replace(&mut known.went_back, true) {
            self.fresh.push(Warning::StepWentBack {
                tag: tag.to_owned(),
                from: known.last_step,
                to: step,
            });
        }
        if changed_kind && !mem::replace(&mut known.changed_kind, true) {
            self.fresh.push(Warning::KindChanged {
                tag: tag.to_owned(),
                from: known.plugin.clone().into(),
                to: plugin.to_owned(),
            });
        }
        known.last_step = step;
    }

    /// The warnings since the last call.
    #[inline]
    pub(super) fn take_fresh(&mut self) -> Vec<Warning> {
        if self.fresh.is_empty() {
            return Vec::new();
        }
        let room = MAX_WARNINGS - self.warnings.len();
        self.warnings.extend(self.fresh.iter().take(room).cloned());
        mem::take(&mut self.fresh)
    }

    /// The first warnings, at most a thousand.
    pub(super) fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    #[cold]
    fn add(&mut self, tag: &str, plugin: &str, step: i64) {
        let new = Tag {
            plugin: plugin.into(),
            last_step: step,
            went_back: false,
            changed_kind: false,
        };
        self.known.insert(tag.into(), new);
    }
}

/// A quick hash of short texts that nobody chooses to make collide: a multiplication for every eight
/// bytes. The standard one takes longer than encoding a scalar.
#[derive(Default)]
struct TagHasher(u64);

/// An odd number with well mixed bits: 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl TagHasher {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(MULTIPLIER);
    }
}

impl Hasher for TagHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let last = rest
                .iter()
                .rev()
                .fold(0, |word, &byte| word << 8 | u64::from(byte));
            self.add(last);
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.add(byte.into());
    }

    fn finish(&self) -> u64 {
        // A product's best mixed bits are the highest; a table takes its places from the lowest.
        (self.0 ^ self.0 >> 32)
            .wrapping_mul(MULTIPLIER)
            .rotate_left(32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::{BuildHasher as _, BuildHasherDefault};

    use super::*;

    #[test]
    fn each_tag_and_cause_gives_one_warning() {
        let mut tags = Tags::default();
        for step in [-3, 5, 5, 6] {
            tags.note("loss", "scalars", step);
        }
        assert_eq!(tags.take_fresh(), []);
        for step in [4, 7, 1] {
            tags.note("loss", "scalars", step);
            tags.note("other", "scalars", step.max(5));
        }
        let back = |tag: &str, from, to| Warning::StepWentBack {
            tag: tag.to_owned(),
            from,
            to,
        };
        let expected = [back("loss", 6, 4), back("other", 7, 5)];
        assert_eq!(tags.take_fresh(), expected);
        tags.note("loss", "histograms", 9);
        tags.note("loss", "text", 9);
        let fresh = tags.take_fresh();
        assert_eq!(fresh.len(), 1);
        assert!(
            fresh[0]
                .to_string()
                .starts_with("loss: one of histograms in a series of scalars")
        );
        assert_eq!(tags.warnings().len(), 3);
    }

    #[test]
    fn warnings_are_bounded() {
        let mut tags = Tags::default();
        for index in 0..2 * MAX_WARNINGS {
            let tag = index.to_string();
            tags.note(&tag, "scalars", 1);
            tags.note(&tag, "scalars", 0);
            assert_eq!(tags.take_fresh().len(), 1);
        }
        assert_eq!(tags.warnings().len(), MAX_WARNINGS);
    }

    #[test]
    fn tags_that_differ_a_little_hash_apart() {
        let hasher = BuildHasherDefault::<TagHasher>::default();
        let tags = (0..10_000).map(|index| format!("layer{index}/weight"));
        let hashes: HashSet<_> = tags
            .map(|tag| hasher.hash_one(tag.as_str()) % 65_536)
            .collect();
        // As many as 10,000 random places of 65,536 would be.
        assert!(hashes.len() > 9_000, "{}", hashes.len());
    }
}
