//! A colour and a marker for each run, which stay with its name.

use std::collections::BTreeSet;

/// What a run's curves look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Red, green, blue.
    pub colour: [u8; 3],
    /// The nearest of a terminal's 256 colours that reads on black and on white.
    pub(super) terminal_colour: u8,
    /// Which of the [`MARKERS`] stands on its curves.
    pub(super) marker: usize,
    pub(super) is_hollow: bool,
}

/// Okabe and Ito's colours, which people of every colour vision tell apart, without their yellow,
/// which is too light on white, and black, in place of which are Paul Tol's wine and a grey.
/// Each with its terminal colour.
const COLOURS: [([u8; 3], u8); 8] = [
    ([0x00, 0x72, 0xb2], 32),
    ([0xd5, 0x5e, 0x00], 166),
    ([0x00, 0x9e, 0x73], 36),
    ([0xcc, 0x79, 0xa7], 175),
    ([0xe6, 0x9f, 0x00], 178),
    ([0x56, 0xb4, 0xe9], 74),
    ([0x88, 0x22, 0x55], 132),
    ([0x66, 0x66, 0x66], 244),
];

/// How many shapes markers have.
pub(super) const MARKERS: usize = 5;

/// A style for each of the names, in their order.
///
/// A name's hash says which colour it would like; of several that like the same, the first in the
/// alphabet gets it, and the others the next free one. So a name keeps its colour whatever else is
/// drawn, unless one before it in the alphabet likes the same. When all are taken, they are given
/// again with other markers.
///
/// ```
/// use cnn_tb::report::plot::styles;
/// let (alone, together) = (styles(&["adam"]), styles(&["sgd", "adam"]));
/// assert_eq!(alone[0], together[1]);
/// assert_ne!(together[0].colour, together[1].colour);
/// ```
pub fn styles(names: &[&str]) -> Vec<Style> {
    let count = COLOURS.len();
    let mut waiting: Vec<&str> = names
        .iter()
        .copied()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let mut given: Vec<(&str, Style)> = Vec::new();
    for round in 0.. {
        if waiting.is_empty() {
            break;
        }
        let mut free = [true; COLOURS.len()];
        for only_liked in [true, false] {
            waiting.retain(|name| {
                let liked = liked(name);
                let tries = if only_liked { 1 } else { count };
                let mut tried = (0..tries).map(|offset| (liked + offset) % count);
                let Some(colour) = tried.find(|&colour| free[colour]) else {
                    return true;
                };
                free[colour] = false;
                given.push((name, style(colour, round)));
                false
            });
        }
    }
    given.sort_by_key(|(name, _)| *name);
    let of = |name: &&str| given.binary_search_by_key(name, |(name, _)| *name).ok();
    let styles = names
        .iter()
        .filter_map(|name| of(name).map(|at| given[at].1));
    styles.collect()
}

fn style(colour: usize, round: usize) -> Style {
    let (rgb, terminal_colour) = COLOURS[colour];
    Style {
        colour: rgb,
        terminal_colour,
        marker: (colour + round / 2) % MARKERS,
        is_hollow: (colour >= MARKERS) != (round % 2 == 1),
    }
}

/// By FNV-1a, <http://www.isthe.com/chongo/tech/comp/fnv/>.
fn liked(name: &str) -> usize {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    (hash >> 32) as usize % COLOURS.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_style_and_no_two_share_one() {
        let names: Vec<String> = (0..16).map(|index| format!("run-{index}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let all = styles(&names);
        for (index, style) in all.iter().enumerate() {
            assert!(!all[..index].contains(style), "{index}");
        }
        let mut reversed = names.clone();
        reversed.reverse();
        assert!(styles(&reversed).iter().rev().eq(&all));
        assert_eq!(styles(&["a", "a"])[0], styles(&["a", "a"])[1]);
        // Names that like different colours do not disturb each other.
        let other = names.iter().find(|name| liked(name) != liked("a")).unwrap();
        assert_eq!(styles(&["a"])[0], styles(&[other, "a"])[1]);
        assert_eq!(styles(&["x"; 3]).len(), 3);
    }
}
