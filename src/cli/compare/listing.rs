//! Rows of fields, which every format is made from.

use std::cmp::Ordering;

use cnn_tb::report::metric::Direction;

use crate::cli::ranking::Ranking;
use crate::cli::selection::unknown;

/// Rows, each as fields and as a JSON object.
#[derive(Debug)]
pub struct Listing {
    /// What is known of the rows, in the order of the columns.
    pub fields: Vec<Field>,
    /// Each row as JSON on one line.
    pub objects: Vec<String>,
}

/// One column of a table, and one or more of a CSV file.
#[derive(Clone, Debug)]
pub struct Field {
    /// What stands above it in a table.
    pub title: String,
    /// Its cells in a table, ready to be printed; `None` where nothing is known.
    pub cells: Vec<Option<String>>,
    /// The same for programs: names and values, the first of which rows are sorted by.
    pub data: Vec<(String, Vec<Option<Datum>>)>,
    /// Spaces before it in a table.
    pub gap: usize,
    /// Whether texts are flush right, as numbers should be.
    pub flush_right: bool,
    /// Which values come first when rows are sorted by it: the lower ones, but of a metric the
    /// better ones.
    pub first: Direction,
    /// Whether it is shown without being asked for.
    pub is_shown: bool,
    /// Whether it stays in the narrowest table.
    pub is_essential: bool,
}

/// A value for programs.
#[derive(Clone, Debug)]
pub enum Datum {
    /// A number, and its digits.
    Number(f64, String),
    /// Anything else.
    Text(String),
}

impl Datum {
    /// A number of 64 bits.
    pub fn number(number: f64) -> Self {
        Self::Number(number, digits(format!("{number:?}")))
    }

    /// A number of 32 bits, with no more digits than it has.
    pub fn narrow(number: f32) -> Self {
        Self::Number(number.into(), digits(format!("{number:?}")))
    }

    fn compare(&self, other: &Self, first: Direction) -> Ordering {
        match (self, other) {
            (Self::Number(one, _), Self::Number(other, _)) => first.best_first(*one, *other),
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (Self::Number(..), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(..)) => Ordering::Greater,
        }
    }
}

fn digits(text: String) -> String {
    text.strip_suffix(".0").map(String::from).unwrap_or(text)
}

impl Field {
    /// A field of numbers or settings: flush right, the lowest first, shown where it has anything
    /// to say.
    pub fn new(
        title: impl Into<String>,
        key: impl Into<String>,
        rows: Vec<Option<(String, Datum)>>,
    ) -> Self {
        let (cells, data): (Vec<_>, Vec<_>) = rows.into_iter().map(Option::unzip).unzip();
        Self {
            title: title.into(),
            is_shown: cells.iter().any(Option::is_some),
            cells,
            data: vec![(key.into(), data)],
            gap: 3,
            flush_right: true,
            first: Direction::Lower,
            is_essential: false,
        }
    }

    /// Whether people who say `name` mean this field.
    pub fn is_named(&self, name: &str) -> bool {
        self.title == name || self.data.iter().any(|(key, _)| key == name)
    }

    /// The rows in the order of this field; those without a value last.
    pub fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.cells.len()).collect();
        if let Some((_, data)) = self.data.first() {
            order.sort_by(|&one, &other| match (&data[one], &data[other]) {
                (Some(one), Some(other)) => one.compare(other, self.first),
                (one, other) => one.is_none().cmp(&other.is_none()),
            });
        }
        order
    }
}

impl Listing {
    /// Keeps these rows, in this order.
    pub fn take(&mut self, rows: &[usize]) {
        for field in &mut self.fields {
            field.cells = rows.iter().map(|&row| field.cells[row].clone()).collect();
            for (_, data) in &mut field.data {
                *data = rows.iter().map(|&row| data[row].clone()).collect();
            }
        }
        self.objects = rows.iter().map(|&row| self.objects[row].clone()).collect();
    }

    /// Leaves what is to be shown. Rows that are sorted by a metric have the best first; by anything
    /// else they ascend.
    ///
    /// # Errors
    /// A column that is not there.
    pub fn rank(&mut self, ranking: &Ranking) -> anyhow::Result<()> {
        let mut rows: Vec<usize> = (0..self.objects.len()).collect();
        if let Some(name) = &ranking.sort {
            rows = self.fields[self.place(name)?].order();
        }
        rows.truncate(ranking.top.unwrap_or(usize::MAX));
        let places = ranking.columns.iter().map(|name| self.place(name));
        let places = places.collect::<anyhow::Result<Vec<usize>>>()?;
        self.take(&rows);
        if places.is_empty() {
            self.fields.retain(|field| field.is_shown);
        } else {
            let chosen = places.into_iter().filter(|&place| place > 0);
            self.fields = [0]
                .into_iter()
                .chain(chosen)
                .filter_map(|place| self.fields.get(place).cloned())
                .collect();
        }
        Ok(())
    }

    /// Where the column of this name is.
    fn place(&self, name: &str) -> anyhow::Result<usize> {
        let mut fields = self.fields.iter();
        let place = fields.position(|field| field.is_named(name));
        place.ok_or_else(|| {
            let keys = self.fields.iter().flat_map(|field| &field.data);
            let keys = keys.map(|(key, _)| key.as_str());
            unknown(format!("there is no column {name:?}"), name, keys)
        })
    }
}
