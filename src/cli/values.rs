//! How values of runs are shown to people and given to programs.

use cnn_tb::report::compare::Reading;
use cnn_tb::report::groups::Spread;
use cnn_tb::report::metric::Direction;
use cnn_tb::tb::HParam;
use console::truncate_str;
use serde_json::Value;

use crate::cli::output::{escape, escape_json};
use crate::cli::units::{percent, thousands};

/// The arrow points to the better values.
pub fn arrow(direction: Direction) -> char {
    match direction {
        Direction::Higher => '↑',
        Direction::Lower => '↓',
    }
}

/// `99.04 %`, `0.0371`
pub fn value(reading: &Reading) -> String {
    amount(reading.value.into(), reading.is_fraction)
}

/// A number with what can be read of it, a share of 1 in per cent.
pub fn amount(value: f64, is_share: bool) -> String {
    let size = value.abs();
    if is_share && value.is_finite() {
        percent(value)
    } else if value == 0.0 || (0.001..1000.0).contains(&size) {
        format!("{value:.4}")
    } else if (1000.0..1e6).contains(&size) {
        format!("{value:.1}")
    } else {
        format!("{value:.3e}")
    }
}

/// A difference: `+0.0059`, and of shares `-1.24 pp`, in points of per cent.
pub fn delta(delta: f64, is_share: bool) -> String {
    if delta.is_nan() {
        "NaN".to_owned()
    } else if is_share {
        format!("{:+.2} pp", delta * 100.0)
    } else if shows_with_four_digits(delta) {
        format!("{delta:+.4}")
    } else {
        format!("{delta:+.3e}")
    }
}

/// `0.2043 ± 0.0021`, `99.04 ± 0.12 %`; a single value stands alone.
pub fn mean(spread: &Spread, is_share: bool) -> String {
    let Some(deviation) = spread.deviation else {
        return amount(spread.mean, is_share);
    };
    if is_share && spread.mean.is_finite() {
        return format!("{:.2} ± {:.2} %", spread.mean * 100.0, deviation * 100.0);
    }
    let deviation = match shows_with_four_digits(deviation) || deviation.is_nan() {
        true => format!("{deviation:.4}"),
        false => format!("{deviation:.3e}"),
    };
    format!("{} ± {deviation}", amount(spread.mean, false))
}

/// `0.2011 … 0.2070`
pub fn range(spread: &Spread, is_share: bool) -> String {
    let [min, max] = [spread.min, spread.max].map(|value| amount(value, is_share));
    format!("{} … {max}", min.strip_suffix(" %").unwrap_or(&min))
}

/// `48,000`
pub fn step(step: i64) -> String {
    let digits = thousands(usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX));
    if step < 0 {
        format!("-{digits}")
    } else {
        digits
    }
}

/// `812 B`, `1.3 GB`: powers of ten, as disks are sold.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1000.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while size >= 999.5
        && let Some(next) = units.next()
    {
        size /= 1000.0;
        unit = Some(next);
    }
    let unit = unit.unwrap_or(&"");
    if size < 9.95 {
        format!("{size:.1} {unit}")
    } else {
        format!("{size:.0} {unit}")
    }
}

/// A name as far as a title has room for it.
pub fn short(name: &str) -> String {
    truncate_str(&escape(name), 40, "…").into_owned()
}

/// Whether four digits behind the point say something and no more than that.
fn shows_with_four_digits(value: f64) -> bool {
    value == 0.0 || (0.00005..1000.0).contains(&value.abs())
}

/// A setting, cut where it is long.
pub fn setting(value: &HParam) -> String {
    const WIDTH: usize = 32;
    let text = match value {
        HParam::Number(number) => number_text(*number),
        other => escape(&other.to_string()),
    };
    truncate_str(&text, WIDTH, "…").into_owned()
}

/// The shortest text that names the number. A 32-bit number that was stored with 64 bits is shown
/// with the digits that it had: `0.003`, not `0.003000000026077032`.
pub fn number_text(number: f64) -> String {
    let narrow = number as f32;
    let text = if number.fract() != 0.0 && f64::from(narrow) == number {
        format!("{narrow:?}")
    } else {
        format!("{number:?}")
    };
    text.strip_suffix(".0").map(String::from).unwrap_or(text)
}

/// As JSON has it.
pub fn json_setting(value: &HParam) -> Value {
    match value {
        // A whole number without a point; up to here `f64` has them all.
        HParam::Number(number) if number.fract() == 0.0 && number.abs() < 2_f64.powi(53) => {
            Value::from(*number as i64)
        }
        HParam::Number(number) => Value::from(*number),
        HParam::Text(text) => Value::from(text.as_str()),
        HParam::Bool(flag) => Value::from(*flag),
    }
}

/// A JSON array with an object a line.
pub fn json_lines(objects: impl IntoIterator<Item = Value>) -> String {
    let lines: Vec<String> = objects
        .into_iter()
        .map(|object| escape_json(&object.to_string()))
        .collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_with_what_can_be_read() {
        let cases = [
            (0.9904, true, "99.04 %"),
            (1.0, true, "100.00 %"),
            (f32::NAN, true, "NaN"),
            (0.0371, false, "0.0371"),
            (0.0, false, "0.0000"),
            (-2.5, false, "-2.5000"),
            (87.5, false, "87.5000"),
            (12345.678, false, "12345.7"),
            (3.14e-7, false, "3.140e-7"),
            (2e9, false, "2.000e9"),
            (f32::INFINITY, false, "inf"),
        ];
        for (number, is_fraction, expected) in cases {
            let reading = Reading {
                series: "accuracy".to_owned(),
                step: 1,
                counts_epochs: false,
                value: number,
                is_fraction,
            };
            assert_eq!(value(&reading), expected);
        }
    }

    #[test]
    fn settings_are_shown_and_given_in_their_shortest_form() {
        let cases: [(HParam, &str, &str); 9] = [
            (0.003.into(), "0.003", "0.003"),
            (0.003_f32.into(), "0.003", "0.003000000026077032"),
            (1e-7.into(), "1e-7", "1e-7"),
            (100.into(), "100", "100"),
            (HParam::Number(1e300), "1e300", "1e+300"),
            (HParam::Number(f64::NAN), "NaN", "null"),
            (true.into(), "true", "true"),
            ("adam\x1b".into(), r"adam\u{1b}", r#""adam\u001b""#),
            (
                "0123456789".repeat(4).into(),
                "0123456789012345678901234567890…",
                r#""0123456789012345678901234567890123456789""#,
            ),
        ];
        for (value, shown, given) in cases {
            assert_eq!(setting(&value), shown);
            assert_eq!(json_setting(&value).to_string(), given);
        }
    }

    #[test]
    fn sizes_and_steps_are_short() {
        let cases = [
            (size(0), "0 B"),
            (size(999), "999 B"),
            (size(1_000), "1.0 kB"),
            (size(9_949), "9.9 kB"),
            (size(9_950), "10 kB"),
            (size(999_600), "1.0 MB"),
            (size(1_300_000_000), "1.3 GB"),
            (size(u64::MAX), "18447 PB"),
            (step(-48_000), "-48,000"),
            (step(i64::MIN), "-9,223,372,036,854,775,808"),
        ];
        for (text, expected) in cases {
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn differences_and_spreads_are_shown_with_what_can_be_read() {
        let differences = [
            (0.0059, false, "+0.0059"),
            (-0.0004, false, "-0.0004"),
            (0.0, false, "+0.0000"),
            (-3e-7, false, "-3.000e-7"),
            (12345.0, false, "+1.234e4"),
            (-0.0124, true, "-1.24 pp"),
            (f64::NAN, true, "NaN"),
            (f64::INFINITY, false, "+inf"),
        ];
        for (difference, is_share, expected) in differences {
            assert_eq!(delta(difference, is_share), expected);
        }
        let spreads: [(&[f64], bool, &str, &str); 5] = [
            (&[0.25, 0.75], false, "0.5000 ± 0.3536", "0.2500 … 0.7500"),
            (&[0.25, 0.75], true, "50.00 ± 35.36 %", "25.00 … 75.00 %"),
            (&[0.5], false, "0.5000", "0.5000 … 0.5000"),
            (&[0.5], true, "50.00 %", "50.00 … 50.00 %"),
            (&[0.5, f64::NAN], true, "NaN ± NaN", "NaN … NaN"),
        ];
        for (values, is_share, expected_mean, expected_range) in spreads {
            let spread = Spread::of(values).unwrap();
            assert_eq!(mean(&spread, is_share), expected_mean);
            assert_eq!(range(&spread, is_share), expected_range);
        }
    }
}
