//! A listing as a table, as Markdown, as CSV or as JSON.

use std::io;

use clap::ValueEnum;
use console::truncate_str;

use crate::cli::compare::listing::{Datum, Field, Listing};
use crate::cli::output::{self, escape};
use crate::cli::screen;
use crate::cli::table::Column;

/// How rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a terminal
    #[default]
    Table,
    /// A table for a README
    Markdown,
    /// For a spreadsheet
    Csv,
}

/// Prints all rows of `listing`.
///
/// # Errors
/// What standard output says.
pub fn print(listing: &Listing, format: Format) -> io::Result<()> {
    match format {
        Format::Table => print_table(&listing.fields),
        Format::Markdown => output::print(&markdown(&listing.fields)),
        Format::Csv => output::print(&csv(&listing.fields, listing.objects.len())),
    }
}

/// A JSON array with one row a line.
pub fn json(listing: &Listing) -> String {
    match listing.objects.is_empty() {
        true => "[]\n".to_owned(),
        false => format!("[\n{}\n]\n", listing.objects.join(",\n")),
    }
}

fn print_table(fields: &[Field]) -> io::Result<()> {
    let columns: Vec<Column> = fields.iter().map(column).collect();
    let essential = fields.iter().rposition(|field| field.is_essential);
    screen::print_table(&columns, essential.map_or(1, |last| last + 1))
}

fn column(field: &Field) -> Column {
    const WIDTH: usize = 64;
    Column {
        title: truncate_str(&escape(&field.title), WIDTH, "…").into_owned(),
        cells: field.cells.iter().map(cell).collect(),
        gap: field.gap,
        flush_right: field.flush_right,
    }
}

fn cell(cell: &Option<String>) -> String {
    cell.clone().unwrap_or_else(|| "–".to_owned())
}

/// A table of GitHub's Markdown: <https://github.github.com/gfm/#tables-extension->.
fn markdown(fields: &[Field]) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let titles = fields.iter().map(|field| literal(&escape(&field.title)));
    let mut text = line(titles.collect());
    let sides = fields.iter().map(|field| match field.flush_right {
        true => "---:".to_owned(),
        false => "---".to_owned(),
    });
    text += &line(sides.collect());
    let rows = fields.first().map_or(0, |field| field.cells.len());
    for row in 0..rows {
        let cells = fields.iter().map(|field| literal(&cell(&field.cells[row])));
        text += &line(cells.collect());
    }
    text
}

/// `text` with a backslash before what Markdown would not show as it is, and without HTML. An
/// underscore within a word is none of that.
fn literal(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let is_in_word = |index: usize| {
        let is_word = |index: usize| characters.get(index).is_some_and(|c| c.is_alphanumeric());
        index > 0 && is_word(index - 1) && is_word(index + 1)
    };
    let mut literal = String::with_capacity(text.len());
    for (index, &character) in characters.iter().enumerate() {
        match character {
            '<' => literal += "&lt;",
            '>' => literal += "&gt;",
            '&' => literal += "&amp;",
            '_' if is_in_word(index) => literal.push('_'),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '~' | '!' | '$' => {
                literal.extend(['\\', character]);
            }
            other => literal.push(other),
        }
    }
    literal
}

/// RFC 4180, but lines end as everywhere else, with a line feed alone.
fn csv(fields: &[Field], rows: usize) -> String {
    let columns: Vec<_> = fields.iter().flat_map(|field| &field.data).collect();
    let line = |cells: Vec<String>| cells.join(",") + "\n";
    let mut text = line(columns.iter().map(|(key, _)| csv_text(key)).collect());
    for row in 0..rows {
        let cells = columns.iter().map(|(_, data)| match &data[row] {
            Some(Datum::Number(_, digits)) => digits.clone(),
            Some(Datum::Text(text)) => csv_text(text),
            None => String::new(),
        });
        text += &line(cells.collect());
    }
    text
}

/// A text, in quotes where it needs them. An apostrophe keeps spreadsheets from taking it for a
/// formula (<https://owasp.org/www-community/attacks/CSV_Injection>), unless it is a number.
fn csv_text(text: &str) -> String {
    let mut text = escape(text);
    if text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
        && text.parse::<f64>().is_err()
    {
        text.insert(0, '\'');
    }
    match text.contains([',', '"', ';']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_shown_as_they_are_in_markdown() {
        let cases = [
            ("learning_rate", "learning_rate"),
            ("_a_", r"\_a\_"),
            ("a|b", r"a\|b"),
            (r"a\|b", r"a\\\|b"),
            ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
            ("![x](y)*`~", r"\!\[x\](y)\*\`\~"),
            ("精度 ↑", "精度 ↑"),
        ];
        for (text, expected) in cases {
            assert_eq!(literal(text), expected);
        }
    }

    #[test]
    fn texts_are_no_formulas_in_csv() {
        let cases = [
            ("adam", "adam"),
            ("a,b", r#""a,b""#),
            (r#"say "x""#, r#""say ""x""""#),
            ("=1+1", "'=1+1"),
            ("=cmd|' /C calc'!A0,1", r#""'=cmd|' /C calc'!A0,1""#),
            ("@sum", "'@sum"),
            ("-x", "'-x"),
            ("-1e-3", "-1e-3"),
            ("+5", "+5"),
            ("a\nb\t", r"a\nb\t"),
            ("\t=1", r"\t=1"),
        ];
        for (text, expected) in cases {
            assert_eq!(csv_text(text), expected);
        }
    }
}
