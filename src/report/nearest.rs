//! Names like the one that was asked for.

/// The names nearest to `wanted`, at most three, the nearest first.
///
/// A name that has `wanted` in it, or whose words begin with its letters, as those of
/// `learning_rate` do with `lr`, is nearer than any that has not. Among the others, and among these,
/// the one wins that takes the fewest insertions, deletions and substitutions of a character
/// (Levenshtein's distance), then the first in the alphabet. Case does not count.
///
/// ```
/// use cnn_tb::report::nearest::nearest;
/// let names = ["validation/accuracy", "validation/loss", "train/loss", "lr"];
/// assert_eq!(nearest("los", names), ["train/loss", "validation/loss", "lr"]);
/// assert_eq!(nearest("validaton/acuracy", names)[0], "validation/accuracy");
/// assert_eq!(nearest("bs", ["seed", "batch_size", "data"])[0], "batch_size");
/// ```
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    const AT_MOST: usize = 3;
    let wanted = head(wanted);
    let rank = |name: &str| {
        let name = head(name);
        let is_part = name
            .windows(wanted.len().max(1))
            .any(|part| part == wanted.as_slice());
        (
            !is_part && initials(&name) != wanted,
            distance(&wanted, &name),
        )
    };
    let mut ranked: Vec<_> = names.into_iter().map(|name| (rank(name), name)).collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked
        .into_iter()
        .take(AT_MOST)
        .map(|(_, name)| name)
        .collect()
}

/// The first characters in small letters: a distance takes time by the product of two lengths.
fn head(name: &str) -> Vec<char> {
    const LENGTH: usize = 128;
    name.chars()
        .flat_map(char::to_lowercase)
        .take(LENGTH)
        .collect()
}

/// The first character of each word.
fn initials(name: &[char]) -> Vec<char> {
    let words = name.split(|character| !character.is_alphanumeric());
    words.filter_map(|word| word.first().copied()).collect()
}

/// Wagner and Fischer, "The String-to-String Correction Problem" (1974), one row at a time.
fn distance(one: &[char], other: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, a) in one.iter().enumerate() {
        let mut diagonal = index;
        row[0] = index + 1;
        for (column, b) in other.iter().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        let cases = [
            ("", "", 0),
            ("", "loss", 4),
            ("loss", "loss", 0),
            ("kitten", "sitting", 3),
            ("saturday", "sunday", 3),
            ("flaw", "lawn", 2),
            ("ü", "u", 1),
        ];
        for (one, other, expected) in cases {
            let (one, other) = (head(one), head(other));
            assert_eq!(distance(&one, &other), expected);
            assert_eq!(distance(&other, &one), expected);
        }
    }

    #[test]
    fn the_nearest_come_first() {
        let names = ["Loss/val", "Loss/train", "Accuracy/val", "lr", "lr"];
        assert_eq!(nearest("loss/vl", names)[0], "Loss/val");
        assert_eq!(nearest("LR", names)[0], "lr");
        assert_eq!(
            nearest("val", names),
            ["Loss/val", "Accuracy/val", "lr"],
            "each once"
        );
        assert_eq!(nearest("anything", []), [""; 0]);
        assert_eq!(nearest("", names).len(), 3);
        let long = "a".repeat(1_000_000);
        assert_eq!(nearest(&long, [long.as_str()]).len(), 1);
    }
}
