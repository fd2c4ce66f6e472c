//! Names that come from files, shown without harm.

use std::fmt::Write as _;

/// Whether a character could steer a terminal that it is shown in: the control characters (escape
/// codes begin with one), the line and paragraph separators, and the marks that turn the direction of
/// writing (Unicode Standard Annex #9, "Explicit Directional Formatting Characters").
///
/// ```
/// use cnn_tb::report::escape::steers_terminal;
/// assert!(steers_terminal('\x1b') && steers_terminal('\u{202e}'));
/// assert!(!"Genauigkeit ü 精度 🎯".chars().any(steers_terminal));
/// ```
pub fn steers_terminal(character: char) -> bool {
    let turns_direction = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    character.is_control() || turns_direction
}

/// `text` with each character that [`steers_terminal`] written as Rust writes it: `\u{1b}`, `\n`.
///
/// ```
/// use cnn_tb::report::escape::escape;
/// assert_eq!(escape("loss\n\x1b[31m"), r"loss\n\u{1b}[31m");
/// ```
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if steers_terminal(character) {
            // A string takes everything.
            let _ = write!(escaped, "{}", character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}
