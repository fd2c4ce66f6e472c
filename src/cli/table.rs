//! Text in columns.

use console::measure_text_width;

/// A column: a title and one cell a row.
#[derive(Clone, Debug)]
pub struct Column {
    /// What stands above.
    pub title: String,
    /// One a row, ready to be printed.
    pub cells: Vec<String>,
    /// Spaces before it.
    pub gap: usize,
    /// Whether texts are flush right, as numbers should be.
    pub flush_right: bool,
}

impl Column {
    /// In columns of a terminal, without the gap.
    pub fn width(&self) -> usize {
        let texts = self.cells.iter().chain([&self.title]);
        texts
            .map(|text| measure_text_width(text))
            .max()
            .unwrap_or(0)
    }

    fn padded(&self, text: &str) -> String {
        let missing = " ".repeat(self.width().saturating_sub(measure_text_width(text)));
        let gap = " ".repeat(self.gap);
        match self.flush_right {
            true => format!("{gap}{missing}{text}"),
            false => format!("{gap}{text}{missing}"),
        }
    }
}

/// How many of `columns`, from the left, fit into `width`.
pub fn fitting(columns: &[Column], width: usize) -> usize {
    let mut used = 0;
    let fits = |column: &&Column| {
        used += column.gap + column.width();
        used <= width
    };
    columns.iter().take_while(fits).count()
}

/// The lines of the table, the titles first.
pub fn lines(columns: &[Column]) -> Vec<String> {
    let line = |text: &dyn Fn(&Column) -> String| {
        let line: String = columns.iter().map(text).collect();
        line.trim_end().to_owned()
    };
    let rows = columns.first().map_or(0, |column| column.cells.len());
    let titles = line(&|column| column.padded(&column.title));
    let rows = (0..rows).map(|row| line(&|column| column.padded(&column.cells[row])));
    [titles].into_iter().chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(title: &str, cells: [&str; 2], gap: usize, flush_right: bool) -> Column {
        Column {
            title: title.to_owned(),
            cells: cells.map(String::from).into(),
            gap,
            flush_right,
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_text() {
        let columns = [
            column("run", ["exp1", "精度"], 0, false),
            column("loss ↓", ["0.5", "10.25"], 3, true),
            column("model", ["a", "resnet"], 1, false),
        ];
        assert_eq!(
            lines(&columns),
            [
                "run    loss ↓ model",
                "exp1      0.5 a",
                "精度    10.25 resnet"
            ]
        );
        let fits = [
            (0, 0),
            (3, 0),
            (4, 1),
            (12, 1),
            (13, 2),
            (19, 2),
            (20, 3),
            (99, 3),
        ];
        for (width, expected) in fits {
            assert_eq!(fitting(&columns, width), expected, "{width}");
        }
    }
}
