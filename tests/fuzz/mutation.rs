//! Damaged copies of files: each a function of the files and of a case's number.

use std::ops::Range;

use super::parsers::format::Format;

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// A number below `count`; 0 where that is 0.
    fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }

    /// A range of at least one of `length` bytes, if there are any.
    fn range(&mut self, length: usize) -> Range<usize> {
        let (one, other) = (self.below(length), self.below(length));
        one.min(other)..(one.max(other) + 1).min(length)
    }
}

/// Numbers that lengths, counts and sizes go wrong at.
const EDGES: [u64; 8] = [0, 1, 0x7f, 0x80, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];

/// The input of case `case`: the files themselves first, then damaged ones, two of three behind
/// lengths and checksums that are right.
pub fn input(files: &[Vec<u8>], format: Format, case: u64) -> Vec<u8> {
    if let Some(file) = usize::try_from(case).ok().and_then(|case| files.get(case)) {
        return file.clone();
    }
    let mut random = Random(case);
    let mut pick = || random.pick(files).cloned().unwrap_or_default();
    let (mut file, other) = (pick(), pick());
    let parts = match random.below(3) {
        0 => Vec::new(),
        _ => format.split(&file),
    };
    if parts.is_empty() {
        for _ in 0..=random.below(3) {
            damage(&mut file, &other, &mut random);
        }
        return file;
    }
    format.join(&damaged(parts, &format.split(&other), &mut random))
}

/// Damages one of the parts, or puts them together otherwise.
fn damaged(mut parts: Vec<Vec<u8>>, others: &[Vec<u8>], random: &mut Random) -> Vec<Vec<u8>> {
    let (at, to) = (random.below(parts.len()), random.below(parts.len()));
    let other = random.pick(others).cloned().unwrap_or_default();
    match random.below(8) {
        0 => drop(parts.remove(at)),
        1 => parts.swap(at, to),
        2 => parts.insert(to, parts[at].clone()),
        3 => parts.insert(at, other),
        _ => {
            for _ in 0..=random.below(3) {
                damage(&mut parts[at], &other, random);
            }
        }
    }
    parts
}

/// One thing that goes wrong with bytes.
fn damage(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let length = bytes.len();
    let range = random.range(length);
    match random.below(8) {
        // A part of another file comes in between, or in place of the rest.
        0 => drop(bytes.splice(
            range.start..range.start,
            other[random.range(other.len())].iter().copied(),
        )),
        1 => drop(bytes.splice(
            range.start..,
            other[random.range(other.len())].iter().copied(),
        )),
        2 => bytes.truncate(range.start),
        3 => bytes[range].fill(0),
        4 => drop(bytes.splice(range.end..range.end, bytes[range.clone()].to_vec())),
        5 => put_number(&mut bytes[range.start..], random),
        _ => {
            if let Some(byte) = bytes.get_mut(range.start) {
                *byte ^= 1 << random.below(8);
            }
        }
    }
}

/// Writes a number of 1 to 8 bytes, in either order of bytes.
fn put_number(place: &mut [u8], random: &mut Random) {
    let edge = EDGES[random.below(EDGES.len())];
    let count = (1 << random.below(4)).min(place.len());
    let mut number = edge.to_le_bytes();
    if random.below(2) == 0 {
        number[..count].reverse();
    }
    place[..count].copy_from_slice(&number[..count]);
}

#[test]
fn inputs_repeat_and_differ() {
    let files = [b"one file".to_vec(), b"another one".to_vec()];
    let inputs = |cases: Range<u64>| -> Vec<Vec<u8>> {
        cases
            .map(|case| input(&files, Format::Plain, case))
            .collect()
    };
    assert_eq!(inputs(0..500), inputs(0..500));
    assert_eq!(inputs(0..2), files);
    let mut distinct = inputs(0..500);
    distinct.sort();
    distinct.dedup();
    assert!(distinct.len() > 250, "{}", distinct.len());
}

/// What is damaged behind checksums passes them.
#[test]
fn joined_parts_are_as_they_were_split() {
    let parts = [b"IHDRfirst".to_vec(), b"IDATsecond".to_vec()];
    for format in [
        Format::Records,
        Format::Bundle,
        Format::Png,
        Format::Safetensors,
        Format::Checkpoint,
    ] {
        assert_eq!(format.split(&format.join(&parts)), parts, "{format:?}");
    }
    assert_eq!(
        Format::Gzip.split(&Format::Gzip.join(&parts)),
        [parts.concat()]
    );
}
