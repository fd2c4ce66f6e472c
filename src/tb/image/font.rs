//! A font of 5×9 pixels: printable ASCII, and `→`, `×` and `·`.

/// The glyphs as pictures: 16 side by side, one column between them.
const CHART: &[u8] = include_bytes!("font.txt");
const GLYPHS_PER_LINE: usize = 16;
const CHART_WIDTH: usize = GLYPHS_PER_LINE * ADVANCE;
/// The glyphs after ASCII's, in their order in the chart; the one after them, a box, stands for
/// every other character.
const MORE: [char; 3] = ['→', '×', '·'];

/// Of a glyph, in pixels.
pub(super) const WIDTH: usize = 5;
/// Of a glyph, in pixels: seven rows above the baseline, two below.
pub(super) const HEIGHT: usize = 9;
/// From one glyph to the next, in pixels.
pub(super) const ADVANCE: usize = WIDTH + 1;
/// From one line to the next, in pixels.
pub(super) const LINE: usize = HEIGHT + 2;

/// The pixels (x, y) that `character` blackens.
pub(super) fn ink(character: char) -> impl Iterator<Item = (usize, usize)> {
    let index = match character {
        ' '..='~' => character as usize - ' ' as usize,
        _ => {
            let after_ascii = '~' as usize - ' ' as usize + 1;
            let known = MORE.iter().position(|&known| known == character);
            after_ascii + known.unwrap_or(MORE.len())
        }
    };
    let (line, column) = (index / GLYPHS_PER_LINE, index % GLYPHS_PER_LINE);
    let first = line * HEIGHT * CHART_WIDTH + column * ADVANCE;
    (0..HEIGHT)
        .flat_map(|y| (0..WIDTH).map(move |x| (x, y)))
        .filter(move |(x, y)| CHART.get(first + y * CHART_WIDTH + x) == Some(&b'#'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_character_has_a_picture_of_its_own() {
        let characters = (' '..='~').chain(MORE).chain(['\n']);
        let glyphs: Vec<Vec<_>> = characters
            .map(|character| ink(character).collect())
            .collect();
        assert_eq!(glyphs.len(), 99);
        assert!(glyphs[0].is_empty() && glyphs[1..].iter().all(|glyph| glyph.len() >= 3));
        let different: BTreeSet<_> = glyphs.iter().collect();
        assert_eq!(different.len(), glyphs.len());
        assert!(ink('日').eq(ink('\n')));
    }

    #[test]
    fn the_chart_is_a_grid() {
        let lines: Vec<_> = CHART.split_inclusive(|&byte| byte == b'\n').collect();
        assert_eq!(lines.len(), 99_usize.div_ceil(GLYPHS_PER_LINE) * HEIGHT);
        for line in lines {
            assert_eq!(line.len(), CHART_WIDTH);
            let between = line.iter().skip(WIDTH).step_by(ADVANCE);
            assert!(between.clone().all(u8::is_ascii_whitespace));
        }
    }
}
