//! Series as text files that other programs read: every point, none sampled.
//!
//! ```
//! use cnn_tb::report::export::{Format, Layout, Series, write};
//! use cnn_tb::tb::{Logdir, SummaryWriter};
//! # let directory = tempfile::tempdir()?;
//! # let runs = directory.path();
//! let writer = SummaryWriter::create(runs.join("exp1"))?;
//! for (step, loss) in [0.9, 0.5].into_iter().enumerate() {
//!     writer.at(1.7e9).add_scalar("loss", loss, step + 1)?;
//! }
//! writer.finish()?;
//!
//! let runs = Logdir::open(runs)?.runs()?;
//! let series: Vec<_> = runs
//!     .iter()
//!     .flat_map(|run| Series::scalars(run, run.name()))
//!     .filter(|series| series.tag.starts_with("loss"))
//!     .collect();
//! let mut csv = Vec::new();
//! let written = write(&series, Layout::LONG, Format::Csv, &mut csv)?;
//! assert_eq!(written.points, 2);
//! assert_eq!(
//!     String::from_utf8(csv)?,
//!     "run,tag,step,wall_time,value\n\
//!      exp1,loss,1,1700000000.0,0.9\n\
//!      exp1,loss,2,1700000000.0,0.5\n"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod file_name;
mod format;
mod images;
mod rows;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, Write};

use crate::tb::{HParam, Kind, Point, Run};

pub use file_name::FileNames;
pub use format::{Cell, Format};
pub use images::{ImageFile, image_files, image_series};
use rows::Rows;

/// A series to be exported, under the names that the file shall show.
#[derive(Clone, Debug)]
pub struct Series<'a, T = f32> {
    /// What to call the run.
    pub run: String,
    /// The series' name within the run, as [`Run::scalars`] takes it.
    pub tag: String,
    /// Its points, by step, each step once.
    pub points: &'a [Point<T>],
    /// The run's hyper-parameters.
    pub hparams: &'a BTreeMap<String, HParam>,
}

impl<'a> Series<'a> {
    /// The scalars of `run` and its children; the run is called `name`.
    pub fn scalars(run: &'a Run, name: &str) -> Vec<Self> {
        let series = run.scalar_series();
        series
            .map(|(tag, points)| Self::of(run, name, tag, points))
            .collect()
    }
}

impl<'a> Series<'a, String> {
    /// The texts of `run` and its children; the run is called `name`.
    pub fn texts(run: &'a Run, name: &str) -> Vec<Self> {
        let of_tag = |tag: String| {
            let points = run.texts(&tag).ok()?;
            Some(Self::of(run, name, tag, points))
        };
        tags(run, Kind::Text)
            .into_iter()
            .filter_map(of_tag)
            .collect()
    }
}

/// The names of all series of a kind, in order.
fn tags(run: &Run, kind: Kind) -> BTreeSet<String> {
    let series = run.series().filter(|series| series.kind == kind);
    series.map(|series| series.name).collect()
}

impl<'a, T> Series<'a, T> {
    fn of(run: &'a Run, name: &str, tag: String, points: &'a [Point<T>]) -> Self {
        Self {
            run: name.to_owned(),
            tag,
            points,
            hparams: run.hparams(),
        }
    }
}

/// What is a row, and what a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A row for each point, series after series: `run`, `tag`, `step`, `wall_time`, `value`.
    Long {
        /// Whether each hyper-parameter is a column too, after these. One that is called as a
        /// column before it gets a number, as `step (2)`.
        hparams: bool,
    },
    /// A row for each step, by step: `step` and a column for each series, called `run/tag`. Where a
    /// series has no point at a step, nothing is written. Should two series have the same name, the
    /// second gets a number, as `exp1/loss (2)`.
    Wide,
}

impl Layout {
    /// The long form without hyper-parameters.
    pub const LONG: Self = Self::Long { hparams: false };
    /// The columns that every long form begins with.
    pub const LONG_COLUMNS: [&str; 5] = ["run", "tag", "step", "wall_time", "value"];
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// How many runs have a series among those written.
    pub runs: usize,
    /// How many different names the series have.
    pub tags: usize,
    /// How many points they have together.
    pub points: usize,
    /// The names of the columns.
    pub columns: Vec<String>,
    /// How many bytes it came to.
    pub bytes: u64,
}

/// Writes all points of `series` to `out`, a piece at a time; each piece ends with the end of a row.
///
/// Lines end with a line feed. Numbers are the shortest text that gives the same number again when
/// it is read as what it was, `f32` for a value and `f64` for a wall time (seconds since the Unix
/// epoch); [`Format`] says what becomes of those that are not finite.
///
/// # Errors
/// Those of `out`.
pub fn write<T: Cell>(
    series: &[Series<T>],
    layout: Layout,
    format: Format,
    out: &mut dyn Write,
) -> io::Result<Written> {
    let columns = columns(series, layout);
    let mut rows = Rows::start(format, &columns, out)?;
    match layout {
        Layout::Long { hparams: false } => write_long(series, &BTreeSet::new(), &mut rows)?,
        Layout::Long { hparams: true } => write_long(series, &hparams(series), &mut rows)?,
        Layout::Wide => write_wide(series, &mut rows)?,
    }
    let runs: BTreeSet<&str> = series.iter().map(|series| &series.run[..]).collect();
    let tags: BTreeSet<&str> = series.iter().map(|series| &series.tag[..]).collect();
    Ok(Written {
        runs: runs.len(),
        tags: tags.len(),
        points: series.iter().map(|series| series.points.len()).sum(),
        bytes: rows.finish()?,
        columns,
    })
}

fn columns<T>(series: &[Series<T>], layout: Layout) -> Vec<String> {
    let long = Layout::LONG_COLUMNS.iter().copied().map(str::to_owned);
    match layout {
        Layout::Long { hparams: false } => long.collect(),
        Layout::Long { hparams: true } => {
            let hparams = hparams(series).into_iter().map(str::to_owned);
            unique(long.chain(hparams))
        }
        Layout::Wide => {
            let name = |series: &Series<T>| format!("{}/{}", series.run, series.tag);
            unique(
                ["step".to_owned()]
                    .into_iter()
                    .chain(series.iter().map(name)),
            )
        }
    }
}

/// The names of all hyper-parameters, in order.
fn hparams<'a, T>(series: &'a [Series<T>]) -> BTreeSet<&'a str> {
    let names = series.iter().flat_map(|series| series.hparams.keys());
    names.map(String::as_str).collect()
}

/// The names, with a number behind those that were there before.
fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut unique = Vec::new();
    for name in names {
        let numbered = (2_u64..).map(|number| format!("{name} ({number})"));
        let mut candidates = [name.clone()].into_iter().chain(numbered);
        unique.extend(candidates.find(|candidate| taken.insert(candidate.clone())));
    }
    unique
}

fn write_long<T: Cell>(
    series: &[Series<T>],
    hparams: &BTreeSet<&str>,
    rows: &mut Rows,
) -> io::Result<()> {
    for series in series {
        let (run, tag) = (rows.ready(&series.run), rows.ready(&series.tag));
        let settings = hparams.iter().map(|&name| series.hparams.get(name));
        let settings: Vec<Option<Vec<u8>>> =
            settings.map(|setting| Some(rows.ready(setting?))).collect();
        for point in series.points {
            rows.ready_cell(0, &run);
            rows.ready_cell(1, &tag);
            rows.cell(2, &point.step);
            rows.cell(3, &point.wall_time);
            rows.cell(4, &point.value);
            for (column, setting) in (Layout::LONG_COLUMNS.len()..).zip(&settings) {
                match setting {
                    Some(setting) => rows.ready_cell(column, setting),
                    None => rows.no_cell(column),
                }
            }
            rows.end_row()?;
        }
    }
    Ok(())
}

fn write_wide<T: Cell>(series: &[Series<T>], rows: &mut Rows) -> io::Result<()> {
    let mut left: Vec<&[Point<T>]> = series.iter().map(|series| series.points).collect();
    loop {
        let next = left.iter().filter_map(|points| points.first());
        let Some(step) = next.map(|point| point.step).min() else {
            return Ok(());
        };
        rows.cell(0, &step);
        for (column, points) in (1..).zip(&mut left) {
            match *points {
                [point, rest @ ..] if point.step == step => {
                    rows.cell(column, &point.value);
                    *points = rest;
                }
                _ => rows.no_cell(column),
            }
        }
        rows.end_row()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[(i64, f32)]) -> Vec<Point> {
        let point = |&(step, value)| Point {
            step,
            wall_time: 1e9 + step as f64 / 8.0,
            value,
        };
        values.iter().map(point).collect()
    }

    fn series<'a>(
        run: &str,
        tag: &str,
        points: &'a [Point],
        hparams: &'a BTreeMap<String, HParam>,
    ) -> Series<'a> {
        Series {
            run: run.to_owned(),
            tag: tag.to_owned(),
            points,
            hparams,
        }
    }

    fn written(series: &[Series], layout: Layout, format: Format) -> (String, Written) {
        let mut file = Vec::new();
        let written = write(series, layout, format, &mut file).unwrap();
        assert_eq!(written.bytes, file.len() as u64);
        (String::from_utf8(file).unwrap(), written)
    }

    #[test]
    fn the_long_form_has_a_row_for_each_point() {
        let (first, second) = (points(&[(1, 0.5), (2, f32::NAN)]), points(&[(-3, 1e-7)]));
        let adam = BTreeMap::from([
            ("step".to_owned(), 2.into()),
            ("opt".to_owned(), "a".into()),
        ]);
        let sgd = BTreeMap::from([("lr".to_owned(), 0.1_f32.into())]);
        let series = [
            series("a", "loss", &first, &adam),
            series("b,c", "loss", &second, &sgd),
        ];
        let hparams = Layout::Long { hparams: true };
        let cases = [
            (
                Layout::LONG,
                Format::Csv,
                "run,tag,step,wall_time,value\n\
                 a,loss,1,1000000000.125,0.5\n\
                 a,loss,2,1000000000.25,nan\n\
                 \"b,c\",loss,-3,999999999.625,1e-7\n",
            ),
            (
                hparams,
                Format::Csv,
                "run,tag,step,wall_time,value,lr,opt,step (2)\n\
                 a,loss,1,1000000000.125,0.5,,a,2\n\
                 a,loss,2,1000000000.25,nan,,a,2\n\
                 \"b,c\",loss,-3,999999999.625,1e-7,0.1,,\n",
            ),
            (
                hparams,
                Format::JsonLines,
                r#"{"run":"a","tag":"loss","step":1,"wall_time":1000000000.125,"value":0.5,"opt":"a","step (2)":2}
{"run":"a","tag":"loss","step":2,"wall_time":1000000000.25,"value":null,"opt":"a","step (2)":2}
{"run":"b,c","tag":"loss","step":-3,"wall_time":999999999.625,"value":1e-7,"lr":0.1}
"#,
            ),
        ];
        for (layout, format, expected) in cases {
            let (file, written) = written(&series, layout, format);
            assert_eq!(file, expected);
            assert_eq!((written.runs, written.tags, written.points), (2, 1, 3));
        }
    }

    #[test]
    fn the_wide_form_has_a_row_for_each_step() {
        let (first, second) = (
            points(&[(1, 0.5), (3, 0.25)]),
            points(&[(2, 8.0), (3, 4.0)]),
        );
        let none = BTreeMap::new();
        let series = [
            series("a", "b/loss", &first, &none),
            series("a/b", "loss", &second, &none),
            series("c", "loss", &[], &none),
        ];
        let (file, written_csv) = written(&series, Layout::Wide, Format::Csv);
        assert_eq!(
            file,
            "step,a/b/loss,a/b/loss (2),c/loss\n\
             1,0.5,,\n\
             2,,8.0,\n\
             3,0.25,4.0,\n"
        );
        assert_eq!((written_csv.tags, written_csv.columns.len()), (2, 4));
        let (file, _) = written(&series, Layout::Wide, Format::JsonLines);
        assert_eq!(
            file,
            r#"{"step":1,"a/b/loss":0.5}
{"step":2,"a/b/loss (2)":8.0}
{"step":3,"a/b/loss":0.25,"a/b/loss (2)":4.0}
"#
        );
    }

    #[test]
    fn pieces_end_with_rows() {
        struct Pieces(Vec<usize>);
        impl Write for Pieces {
            fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
                assert!(piece.ends_with(b"\n"));
                self.0.push(piece.len());
                Ok(piece.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let many: Vec<(i64, f32)> = (0..10_000).map(|step| (step, 0.5)).collect();
        let (many, none) = (points(&many), BTreeMap::new());
        let series = [series("run", "loss", &many, &none)];
        let mut pieces = Pieces(Vec::new());
        let written = write(&series, Layout::LONG, Format::Csv, &mut pieces).unwrap();
        assert!(pieces.0.len() > 3);
        assert_eq!(pieces.0.iter().sum::<usize>() as u64, written.bytes);
    }
}
