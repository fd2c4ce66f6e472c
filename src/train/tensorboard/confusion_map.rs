//! The confusion matrix as a picture.

use crate::tb::image::{BLACK, Colour, Image, ImageError, WHITE};
use crate::train::Confusion;

use super::class_names::{drawn, longest};

/// Of a cell with its count in it, in pixels.
const CELL: usize = 34;
/// The most classes whose counts are written out; with more, cells are small.
const MAX_WRITTEN: usize = 30;
/// Left of the rows and above the columns, at least: room for the numbers of the classes.
const MARGIN: usize = 24;
/// Between a name and the cells.
const GAP: usize = 5;
/// Of a letter, the gap to the next included.
const LETTER: usize = 6;

/// A row for each label, a column for what it was taken for, in each cell how often; beside the rows
/// and above the columns the `names` of the classes, as far as they can be drawn. The darker a cell, the larger its share of the row; the scale is a square root's, so that a single mistake in
/// five hundred is seen.
///
/// # Errors
/// Never for the classes that a data set can have.
pub fn confusion_map(confusion: &Confusion, names: &[String]) -> Result<Image, ImageError> {
    let classes = confusion.classes().max(1);
    let is_written = classes <= MAX_WRITTEN;
    let cell = if is_written {
        CELL
    } else {
        (900 / classes).max(2)
    };
    let names = drawn(names);
    let margin = margin(&names);
    let side = margin + classes * cell;
    let mut map = Image::from_u8_hwc(&vec![255; 3 * side * side], [side, side, 3])?;
    for (label, row) in confusion.rows().enumerate() {
        let total: u64 = row.iter().sum();
        for (predicted, count) in row.iter().enumerate() {
            let share = *count as f64 / total.max(1) as f64;
            let (x, y) = (margin + predicted * cell, margin + label * cell);
            let (x, y, size) = (x as i64, y as i64, cell as i64);
            map.fill_rectangle(x, y, size - 1, size - 1, shade(share));
            if is_written {
                let ink = if share > 0.4 { WHITE } else { BLACK };
                let text = match count {
                    0 => "·".to_owned(),
                    count => count.to_string(),
                };
                write_centred(&mut map, [x, y], cell, &text, ink);
            }
        }
    }
    if is_written {
        write_names(&mut map, &names, margin);
    }
    map.caption("row: what it is, column: what it was taken for")
}

/// The room for the longest name, in pixels.
fn margin(names: &[String]) -> usize {
    MARGIN.max(longest(names) * LETTER + 2 * GAP)
}

/// Writes the names beside the rows and above the columns: there upwards, unless all are short.
fn write_names(map: &mut Image, names: &[String], margin: usize) {
    for (class, name) in names.iter().enumerate() {
        let (start, width) = (
            (margin + class * CELL) as i64,
            name.chars().count() * LETTER,
        );
        let middle = start + (CELL as i64 - 9) / 2;
        if margin == MARGIN {
            write_centred(map, [start, -5], CELL, name, BLACK);
            write_centred(map, [-5, start], CELL, name, BLACK);
        } else {
            let end = (margin - GAP) as i64;
            map.draw_text_upward(middle, end, name, BLACK);
            map.draw_text(end - width as i64, middle, name, BLACK, 1);
        }
    }
}

/// From white to blue.
fn shade(share: f64) -> Colour {
    let depth = share.clamp(0.0, 1.0).sqrt();
    [(8, 247.0), (48, 207.0), (107, 148.0)]
        .map(|(darkest, range)| darkest + (range * (1.0 - depth)).round() as u8)
}

fn write_centred(map: &mut Image, [x, y]: [i64; 2], cell: usize, text: &str, ink: Colour) {
    let width = text.chars().count() * LETTER;
    let left = x + (cell.saturating_sub(width) / 2) as i64;
    map.draw_text(left, y + (cell as i64 - 9) / 2, text, ink, 1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::class_numbers;

    #[test]
    fn cells_are_as_dark_as_their_share() {
        let mut confusion = Confusion::new(2);
        for (label, predicted, count) in [(0, 0, 3), (0, 1, 1), (1, 1, 5)] {
            (0..count).for_each(|_| confusion.add(label, predicted));
        }
        let map = confusion_map(&confusion, &class_numbers(2)).unwrap();
        let corner = |label: usize, predicted: usize| {
            let (x, y) = (MARGIN + predicted * CELL, MARGIN + label * CELL);
            let first = 3 * (y * map.width() + x);
            map.pixels()[first..first + 3].to_vec()
        };
        assert_eq!(corner(1, 0), WHITE);
        assert_eq!(corner(1, 1), [8, 48, 107]);
        assert_eq!(corner(0, 0), shade(0.75));
        assert_eq!(corner(0, 1), shade(0.25));
        assert!(shade(0.25)[0] > shade(0.75)[0]);
    }

    #[test]
    fn many_classes_make_a_picture_too() {
        for classes in [0, 1, 30, 31, 256] {
            let map = confusion_map(&Confusion::new(classes), &class_numbers(classes)).unwrap();
            assert!(map.width() < 1100, "{classes}");
        }
    }

    /// Nothing is cut off at the border: the outermost pixels of the margins are white.
    #[test]
    fn long_names_get_the_room_that_they_take() {
        let numbers = confusion_map(&Confusion::new(2), &class_numbers(2)).unwrap();
        let names = ["T-shirt/top", "W".repeat(40).as_str()].map(String::from);
        let map = confusion_map(&Confusion::new(2), &names).unwrap();
        let margin = 16 * LETTER + 2 * GAP;
        assert_eq!(map.width() - numbers.width(), margin - MARGIN);
        let is_inked = |x: usize, y: usize| {
            let first = 3 * (y * map.width() + x);
            map.pixels()[first..first + 3] == BLACK
        };
        let (left, above): (Vec<_>, Vec<_>) = (0..margin)
            .flat_map(|across| (margin..margin + 2 * CELL).map(move |along| (across, along)))
            .map(|(across, along)| (is_inked(across, along), is_inked(along, across)))
            .unzip();
        for inked in [&left, &above] {
            let (edge, rest) = inked.split_at(2 * CELL);
            assert!(!edge.contains(&true) && rest.contains(&true));
        }
        // The same letters on both sides.
        let count = |inked: &[bool]| inked.iter().filter(|inked| **inked).count();
        assert_eq!(count(&left), count(&above));
    }
}
