//! The letters of pictures: outlines of Roboto Regular, which `glyphs.py` wrote to `glyphs.txt`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Units of the outlines in an em.
const EM: f64 = 2048.0;
/// Lines that a curve is drawn by.
const FLATNESS: i32 = 5;

struct Glyph {
    advance: f64,
    path: &'static str,
}

/// By code point; at 0 what stands for every other character.
static GLYPHS: LazyLock<BTreeMap<u32, Glyph>> = LazyLock::new(|| {
    let lines = include_str!("glyphs.txt").lines();
    let glyph = |line: &'static str| {
        let mut words = line.splitn(3, ' ');
        let code = u32::from_str_radix(words.next()?, 16).unwrap_or(0);
        let advance = words.next()?.parse().ok()?;
        Some((
            code,
            Glyph {
                advance,
                path: words.next().unwrap_or(""),
            },
        ))
    };
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(glyph)
        .collect()
});

fn glyph(character: char) -> Option<&'static Glyph> {
    GLYPHS.get(&u32::from(character)).or_else(|| GLYPHS.get(&0))
}

/// How wide a text of this size is.
pub(super) fn width(text: &str, size: f64) -> f64 {
    let advances = text.chars().filter_map(glyph).map(|glyph| glyph.advance);
    advances.sum::<f64>() * size / EM
}

/// The closed contours of a text of this size that begins at the origin, y downwards.
pub(super) fn outlines(text: &str, size: f64) -> Vec<Vec<[f64; 2]>> {
    let (mut contours, mut start) = (Vec::new(), 0.0);
    for glyph in text.chars().filter_map(glyph) {
        contours.extend(contours_of(glyph.path).into_iter().map(|contour| {
            let place = |[x, y]: [f64; 2]| [(start + x) * size / EM, -y * size / EM];
            contour.into_iter().map(place).collect()
        }));
        start += glyph.advance;
    }
    contours
}

fn contours_of(path: &str) -> Vec<Vec<[f64; 2]>> {
    let mut contours: Vec<Vec<[f64; 2]>> = Vec::new();
    let mut at = [0.0, 0.0];
    for (start, _) in path.match_indices(['m', 'l', 'q']) {
        let (command, rest) = path[start..].split_at(1);
        let end = rest.find(['m', 'l', 'q']).unwrap_or(rest.len());
        let numbers: Vec<f64> = rest[..end]
            .split(' ')
            .filter_map(|n| n.parse().ok())
            .collect();
        let points: Vec<[f64; 2]> = numbers
            .chunks_exact(2)
            .map(|n| [at[0] + n[0], at[1] + n[1]])
            .collect();
        let Some(&last) = points.last() else { continue };
        if command == "m" {
            contours.push(Vec::new());
        }
        let Some(contour) = contours.last_mut() else {
            continue;
        };
        match points[..] {
            [control, end] => contour.extend((1..=FLATNESS).map(|part| {
                let t = f64::from(part) / f64::from(FLATNESS);
                let mix = |axis: usize| {
                    (1.0 - t).powi(2) * at[axis]
                        + 2.0 * t * (1.0 - t) * control[axis]
                        + t * t * end[axis]
                };
                [mix(0), mix(1)]
            })),
            _ => contour.push(last),
        }
        at = last;
    }
    contours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_widths_and_outlines() {
        // The advances of the letters in the font: 1336 and 1300 would do for no other letters.
        assert!((width("#%", 2048.0) - 2761.0).abs() < 1e-9);
        assert_eq!(width("日", 9.0), width("\u{1}", 9.0));
        assert_eq!(outlines("!", 9.0).len(), 2);
        assert!(outlines(" ", 9.0).is_empty());
        let places = outlines("AB", 2048.0).concat();
        assert!(
            places
                .iter()
                .all(|[x, y]| (0.0..2700.0).contains(x) && (-1500.0..=0.0).contains(y))
        );
    }
}
