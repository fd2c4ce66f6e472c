//! How a cell is written in each format.

use std::fmt::Debug;
use std::io::Write as _;

use crate::report::escape::steers_terminal;
use crate::tb::HParam;

/// The format of a file. Names and texts are kept exactly: reading the file gives them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with the names of the columns in the first line, quoted as RFC 4180
    /// says (<https://www.rfc-editor.org/rfc/rfc4180>). Numbers that are not finite are `nan`,
    /// `inf` and `-inf`, as Python and pandas write and read them.
    Csv,
    /// A JSON object for each row, one a line, with the names of the columns as keys. A number that
    /// is not finite is `null`, since JSON has no other way to say it; a key that has no value is
    /// left out.
    JsonLines,
}

/// What can stand in a column: values of series, and what identifies them.
pub trait Cell: sealed::Sealed {
    /// Appends this to a row of the format.
    fn write(&self, format: Format, row: &mut Vec<u8>);
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for i64 {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    impl Sealed for String {}
    impl Sealed for crate::tb::HParam {}
}

impl Cell for i64 {
    fn write(&self, _: Format, row: &mut Vec<u8>) {
        append(row, self);
    }
}

impl Cell for f32 {
    fn write(&self, format: Format, row: &mut Vec<u8>) {
        match self.is_finite() {
            true => append(row, self),
            false => format.write_not_finite((*self).into(), row),
        }
    }
}

impl Cell for f64 {
    fn write(&self, format: Format, row: &mut Vec<u8>) {
        match self.is_finite() {
            true => append(row, self),
            false => format.write_not_finite(*self, row),
        }
    }
}

impl Cell for String {
    fn write(&self, format: Format, row: &mut Vec<u8>) {
        match format {
            Format::Csv => write_csv_text(self, row),
            Format::JsonLines => write_json_text(self, row),
        }
    }
}

/// Whole numbers have no point. A 32-bit number that was stored with 64 bits has the digits that it
/// had: `0.003`, not `0.003000000026077032`.
impl Cell for HParam {
    fn write(&self, format: Format, row: &mut Vec<u8>) {
        match self {
            Self::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
                append(row, &(*number as i64));
            }
            Self::Number(number) if f64::from(*number as f32) == *number => {
                (*number as f32).write(format, row);
            }
            Self::Number(number) => number.write(format, row),
            Self::Text(text) => text.write(format, row),
            Self::Bool(flag) => append(row, flag),
        }
    }
}

impl Format {
    fn write_not_finite(self, number: f64, row: &mut Vec<u8>) {
        let text = match self {
            Self::JsonLines => "null",
            Self::Csv if number.is_nan() => "nan",
            Self::Csv if number > 0.0 => "inf",
            Self::Csv => "-inf",
        };
        row.extend_from_slice(text.as_bytes());
    }
}

/// Appends what `{:?}` makes of it, which for floating-point numbers is the shortest text that gives
/// the same number again.
fn append(row: &mut Vec<u8>, number: &impl Debug) {
    // A vector takes everything.
    let _ = write!(row, "{number:?}");
}

fn write_csv_text(text: &str, row: &mut Vec<u8>) {
    let is_plain = |byte: &u8| !matches!(byte, b',' | b'"' | b'\n' | b'\r');
    if text.as_bytes().iter().all(is_plain) {
        row.extend_from_slice(text.as_bytes());
        return;
    }
    row.push(b'"');
    for &byte in text.as_bytes() {
        if byte == b'"' {
            row.push(b'"');
        }
        row.push(byte);
    }
    row.push(b'"');
}

/// Writes a JSON string. What could steer a terminal that the file is shown in is escaped, as well
/// as what JSON demands.
fn write_json_text(text: &str, row: &mut Vec<u8>) {
    row.push(b'"');
    for character in text.chars() {
        match character {
            '"' | '\\' => row.extend([b'\\', character as u8]),
            '\n' => row.extend(b"\\n"),
            character if steers_terminal(character) => {
                let _ = write!(row, "\\u{:04x}", u32::from(character));
            }
            plain => row.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    row.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(cell: &impl Cell) -> [String; 2] {
        [Format::Csv, Format::JsonLines].map(|format| {
            let mut row = Vec::new();
            cell.write(format, &mut row);
            String::from_utf8(row).unwrap()
        })
    }

    #[test]
    fn numbers_have_the_digits_that_they_need() {
        let cases: [(f32, &str, &str); 10] = [
            (0.1, "0.1", "0.1"),
            (1.0, "1.0", "1.0"),
            (-0.0, "-0.0", "-0.0"),
            (16_777_216.0, "16777216.0", "16777216.0"),
            (1e-7, "1e-7", "1e-7"),
            (f32::MAX, "3.4028235e38", "3.4028235e38"),
            (f32::from_bits(1), "1e-45", "1e-45"),
            (f32::NAN, "nan", "null"),
            (f32::INFINITY, "inf", "null"),
            (f32::NEG_INFINITY, "-inf", "null"),
        ];
        for (number, csv, json) in cases {
            assert_eq!(both(&number), [csv, json]);
        }
        assert_eq!(both(&1_700_000_000.123_456_7_f64)[0], "1700000000.1234567");
        assert_eq!(both(&f64::NAN), ["nan", "null"]);
        assert_eq!(both(&i64::MIN)[0], "-9223372036854775808");
    }

    #[test]
    fn texts_are_quoted_where_they_must_be() {
        let cases = [
            ("loss", "loss", r#""loss""#),
            ("", "", r#""""#),
            (" a ", " a ", r#"" a ""#),
            ("a,b", r#""a,b""#, r#""a,b""#),
            (r#"5" nail"#, r#""5"" nail""#, r#""5\" nail""#),
            (r"C:\runs", r"C:\runs", r#""C:\\runs""#),
            ("a\nb\r", "\"a\nb\r\"", r#""a\nb\u000d""#),
            ("\x1b[2J\u{9b}", "\x1b[2J\u{9b}", r#""\u001b[2J\u009b""#),
            ("\u{202e}精度 ü", "\u{202e}精度 ü", r#""\u202e精度 ü""#),
        ];
        for (text, csv, json) in cases {
            assert_eq!(both(&text.to_owned()), [csv, json]);
        }
    }

    #[test]
    fn hyper_parameters_are_short() {
        let cases: [(HParam, &str, &str); 8] = [
            (64.into(), "64", "64"),
            (0.003.into(), "0.003", "0.003"),
            (0.003_f32.into(), "0.003", "0.003"),
            (1e300.into(), "1e300", "1e300"),
            (f64::NAN.into(), "nan", "null"),
            (f64::NEG_INFINITY.into(), "-inf", "null"),
            (true.into(), "true", "true"),
            ("adam,w".into(), r#""adam,w""#, r#""adam,w""#),
        ];
        for (value, csv, json) in cases {
            assert_eq!(both(&value), [csv, json]);
        }
    }
}
