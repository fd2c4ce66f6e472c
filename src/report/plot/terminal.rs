//! Charts in a terminal: lines of braille dots, a letter on each run's line.

use crate::report::plot::figure::{Chart, Curve, Figure};
use crate::report::plot::label::label;
use crate::report::plot::layout::scales;
use crate::report::plot::palette::{Style, styles};
use crate::report::plot::scale::{Scale, is_usable};
use crate::report::plot::thinning::thinned;

/// A field of characters, each of two by four dots.
struct Field {
    columns: usize,
    rows: usize,
    /// The dots of a character, as Unicode's braille block counts them.
    dots: Vec<u8>,
    letters: Vec<Option<char>>,
    /// A terminal colour for each character.
    colours: Vec<Option<u8>>,
}

impl Field {
    fn new(columns: usize, rows: usize) -> Self {
        let count = columns * rows;
        Self {
            columns,
            rows,
            dots: vec![0; count],
            letters: vec![None; count],
            colours: vec![None; count],
        }
    }

    fn dot(&mut self, x: i64, y: i64, colour: u8) {
        const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
            return;
        };
        if x / 2 < self.columns && y / 4 < self.rows {
            let at = y / 4 * self.columns + x / 2;
            self.dots[at] |= BITS[y % 4][x % 2];
            self.colours[at] = Some(colour);
        }
    }

    fn line(&mut self, from: [f64; 2], to: [f64; 2], colour: u8, is_dashed: bool) {
        let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
        let steps = dx.abs().max(dy.abs()).ceil().max(1.0);
        for step in 0..=steps as i64 {
            let part = step as f64 / steps;
            let (x, y) = ((from[0] + dx * part).round(), (from[1] + dy * part).round());
            let along = if dx.abs() >= dy.abs() { x } else { y };
            if !is_dashed || along.rem_euclid(4.0) < 2.0 {
                self.dot(x as i64, y as i64, colour);
            }
        }
    }

    fn row(&self, row: usize, colour: bool) -> String {
        let mut text = String::new();
        for at in row * self.columns..(row + 1) * self.columns {
            let braille = char::from_u32(0x2800 + u32::from(self.dots[at])).unwrap_or(' ');
            let character = match self.letters[at] {
                Some(letter) => letter,
                None if self.dots[at] == 0 => ' ',
                None => braille,
            };
            text.push_str(&painted(&character.to_string(), self.colours[at], colour));
        }
        if colour {
            text
        } else {
            text.trim_end().to_owned()
        }
    }
}

fn painted(text: &str, colour: Option<u8>, takes_colour: bool) -> String {
    match colour.filter(|_| takes_colour) {
        Some(colour) => format!("\x1b[38;5;{colour}m{text}\x1b[0m"),
        None => text.to_owned(),
    }
}

/// All charts below each other, no wider than `columns`, each `rows` high between its axes; the
/// legend below them where there is more than one run.
pub(super) fn text(figure: &Figure, columns: usize, rows: usize, colour: bool) -> String {
    let names = figure.run_names();
    let styles = styles(&names);
    let mut text = String::new();
    for chart in &figure.charts {
        let style = |curve: &Curve| names.iter().position(|name| *name == curve.run);
        for line in chart_lines(chart, columns.max(20), rows.max(3), colour, &styles, style) {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    for line in legend(figure, &names, &styles, columns.max(20), colour) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn chart_lines(
    chart: &Chart,
    columns: usize,
    rows: usize,
    colour: bool,
    styles: &[Style],
    index_of: impl Fn(&Curve) -> Option<usize>,
) -> Vec<String> {
    let (x, y) = scales(chart, 0.0, 0.02);
    let ticks = y.ticks((rows / 2).max(2), false);
    let widest = ticks
        .iter()
        .map(|tick| tick.label.chars().count())
        .max()
        .unwrap_or(0);
    let width = columns.saturating_sub(widest + 3).max(4);
    let mut field = Field::new(width, rows);
    let many = styles.len() > 1;
    for (place, curve) in chart.curves.iter().enumerate() {
        if let Some(index) = index_of(curve) {
            let letter = many.then(|| letter(index));
            draw(
                &mut field,
                chart,
                curve,
                [x, y],
                styles[index].terminal_colour,
                letter,
                place,
            );
        }
    }
    let mut lines = vec![label(
        &format!("{} by {}", chart.title, chart.x_title),
        columns,
    )];
    let row_of = |value: f64| ((1.0 - y.place(value)) * (rows - 1) as f64).round() as usize;
    for row in 0..rows {
        let tick = ticks.iter().find(|tick| row_of(tick.value) == row);
        let (text, line) = tick.map_or(("", '│'), |tick| (tick.label.as_str(), '┤'));
        lines.push(format!("{text:>widest$} {line}{}", field.row(row, colour)));
    }
    lines.extend(horizontal_axis(x, width, widest, chart.has_whole_x()));
    lines
}

fn draw(
    field: &mut Field,
    chart: &Chart,
    curve: &Curve,
    [x, y]: [Scale; 2],
    colour: u8,
    letter: Option<char>,
    place: usize,
) {
    let (width, height) = ((field.columns * 2 - 1) as f64, (field.rows * 4 - 1) as f64);
    let at = |[px, py]: [f64; 2]| [x.place(px) * width, (1.0 - y.place(py)) * height];
    for edge in [1, 2] {
        let places = curve
            .band
            .iter()
            .map(|edges| at([edges[0], edges[edge]]))
            .collect::<Vec<_>>();
        for pair in thinned(&places, 1.0).windows(2) {
            field.line(pair[0], pair[1], colour, true);
        }
    }
    const APART: f64 = 24.0;
    let mut next = APART * (0.25 + 0.29 * place as f64).fract();
    let is_drawn = |p: &[f64; 2]| is_usable(p[0], chart.log_x) && is_usable(p[1], chart.log_y);
    for piece in curve.points.split(|point| !is_drawn(point)) {
        let places = thinned(
            &piece.iter().map(|point| at(*point)).collect::<Vec<_>>(),
            1.0,
        );
        if let [only] = places[..] {
            field.line(only, only, colour, false);
        }
        for pair in places.windows(2) {
            field.line(pair[0], pair[1], colour, curve.is_training);
        }
        for place in &places {
            if let Some(letter) = letter.filter(|_| place[0] >= next) {
                let cell =
                    (place[1].round() as usize / 4) * field.columns + place[0].round() as usize / 2;
                if let Some(free) = field.letters.get_mut(cell) {
                    *free = Some(letter);
                    field.colours[cell] = Some(colour);
                }
                next = place[0] + APART;
            }
        }
    }
}

fn horizontal_axis(x: Scale, width: usize, indent: usize, whole: bool) -> [String; 2] {
    let mut most = (width / 6).max(2);
    loop {
        let mut line = vec!['─'; width];
        let mut numbers = vec![' '; width + indent + 2];
        let (mut end, mut fits) = (0, true);
        for tick in x.ticks(most, whole) {
            let column = (x.place(tick.value) * (width - 1) as f64).round() as usize;
            let length = tick.label.chars().count();
            let start = (column + indent + 2)
                .saturating_sub(length / 2)
                .min(numbers.len().saturating_sub(length));
            fits &= end == 0 || start > end;
            end = start + length;
            line[column.min(width - 1)] = '┬';
            for (place, character) in (start..).zip(tick.label.chars()) {
                if let Some(free) = numbers.get_mut(place) {
                    *free = character;
                }
            }
        }
        if fits || most <= 2 {
            let line: String = line.into_iter().collect();
            return [
                format!("{:indent$} └{line}", ""),
                numbers.into_iter().collect(),
            ];
        }
        most -= 1;
    }
}

fn letter(index: usize) -> char {
    let letters = ('a'..='z').chain('A'..='Z');
    letters.cycle().nth(index % 52).unwrap_or('*')
}

fn legend(
    figure: &Figure,
    names: &[&str],
    styles: &[Style],
    columns: usize,
    colour: bool,
) -> Vec<String> {
    let mut entries: Vec<(String, Option<u8>)> = Vec::new();
    if names.len() > 1 {
        let entry = |(index, (name, style)): (usize, (&&str, &Style))| {
            (
                format!("{} {}", letter(index), label(name, columns - 4)),
                Some(style.terminal_colour),
            )
        };
        entries.extend(names.iter().zip(styles).enumerate().map(entry));
    }
    if figure.has_both_splits() {
        entries.push(("─ validation".to_owned(), None));
        entries.push(("╌ training".to_owned(), None));
    }
    let (mut lines, mut used): (Vec<String>, usize) = (Vec::new(), columns);
    for (text, ink) in entries {
        let width = text
            .chars()
            .map(|c| if c >= '\u{2e80}' { 2 } else { 1 })
            .sum::<usize>();
        if used + 3 + width > columns {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            let gap = if used > 0 { "   " } else { "" };
            line.push_str(&format!("{gap}{}", painted(&text, ink, colour)));
            used += gap.len() + width;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_stand_where_braille_has_them() {
        let mut field = Field::new(2, 1);
        field.line([0.0, 0.0], [3.0, 3.0], 32, false);
        assert_eq!(field.row(0, false), "⠑⢄");
        field.dot(-1, 0, 1);
        field.dot(99, 0, 1);
        assert_eq!(field.row(0, true).matches("\x1b[38;5;32m").count(), 2);
    }
}
