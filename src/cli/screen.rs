//! Tables on a terminal, whatever its width.

use std::io::{self, IsTerminal as _};

use console::{Term, truncate_str};

use crate::cli::output;
use crate::cli::table::{self, Column};

/// The width of the terminal that standard output is, if it is one.
pub fn width() -> Option<usize> {
    let size = io::stdout()
        .is_terminal()
        .then(|| Term::stdout().size_checked());
    size.flatten().map(|(_, width)| usize::from(width))
}

/// Prints the table, the titles in bold. Columns that the terminal has no room for are left out
/// from the right, all but the first `least`, and named in a warning.
pub fn print_table(columns: &[Column], least: usize) -> io::Result<()> {
    let (columns, omitted) = fit(columns, width(), least);
    let mut lines = table::lines(&columns);
    if let Some(titles) = lines.first_mut() {
        *titles = output::bold(titles);
    }
    output::print(&(lines.join("\n") + "\n"))?;
    if !omitted.is_empty() {
        let omitted = omitted.join(", ");
        output::warn(&format!(
            "left out for want of width, --json has them: {omitted}"
        ));
    }
    Ok(())
}

/// The columns that fit and the titles of those that do not. The first is cut short where the
/// first `least` are too wide.
fn fit(columns: &[Column], width: Option<usize>, least: usize) -> (Vec<Column>, Vec<String>) {
    const LEAST_NAME: usize = 8;
    const LONGEST_NAME: usize = 200;
    let mut columns = columns.to_vec();
    cut(&mut columns, LONGEST_NAME);
    let Some(width) = width else {
        return (columns, Vec::new());
    };
    let others = columns.iter().take(least).skip(1);
    let used: usize = others.map(|column| column.gap + column.width()).sum();
    cut(&mut columns, width.saturating_sub(used).max(LEAST_NAME));
    let count = table::fitting(&columns, width)
        .max(least)
        .min(columns.len());
    let omitted = columns.split_off(count);
    let titles = omitted.into_iter().map(|column| column.title);
    (columns, titles.collect())
}

/// Cuts the cells of the first column.
fn cut(columns: &mut [Column], width: usize) {
    for cell in columns.iter_mut().take(1).flat_map(|name| &mut name.cells) {
        *cell = truncate_str(cell, width, "…").into_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_gets_fewer_columns() {
        let column = |title: &str, cell: &str, gap| Column {
            title: title.to_owned(),
            cells: vec![cell.to_owned()],
            gap,
            flush_right: gap > 0,
        };
        let columns = [
            column("run", "a-rather-long-name", 0),
            column("loss ↓", "0.5", 3),
            column("time", "4.9 s", 3),
        ];
        let cases = [
            (None, "a-rather-long-name      0.5   4.9 s", ""),
            (Some(35), "a-rather-long-name      0.5   4.9 s", ""),
            (Some(34), "a-rather-long-name      0.5", "time"),
            (Some(20), "a-rather-l…      0.5", "time"),
            (Some(1), "a-rathe…      0.5", "time"),
        ];
        for (width, line, omitted) in cases {
            let (columns, left_out) = fit(&columns, width, 2);
            assert_eq!(table::lines(&columns)[1], line, "{width:?}");
            assert_eq!(left_out.join(" "), omitted, "{width:?}");
        }
    }
}
