//! Names of runs and series, fit to be drawn.

use crate::report::escape::steers_terminal;

/// `text` with what could steer a terminal or turn the direction of writing escaped, and, where it
/// has more than `most` characters, an ellipsis for its middle: names differ at their ends.
pub(super) fn label(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        match character {
            // No characters at all, which XML does not take.
            '\u{fffe}' | '\u{ffff}' => shown.extend(character.escape_default()),
            character if steers_terminal(character) => shown.extend(character.escape_default()),
            character => shown.push(character),
        }
    }
    let count = shown.chars().count();
    let most = most.max(3);
    if count <= most {
        return shown;
    }
    let (head, tail) = ((most - 1) / 2, most - 1 - (most - 1) / 2);
    let start = shown.chars().take(head);
    start
        .chain(['…'])
        .chain(shown.chars().skip(count - tail))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_disarmed_and_shortened() {
        let cases = [
            ("adam", 8, "adam"),
            ("lr1e-3_bs128_s2", 9, "lr1e…8_s2"),
            ("a\u{1b}[2J\n\u{202e}b", 30, r"a\u{1b}[2J\n\u{202e}b"),
            ("abcdef", 0, "a…f"),
        ];
        for (text, most, expected) in cases {
            assert_eq!(label(text, most), expected);
        }
    }
}
