//! How numbers are written for people: thousands, shares, losses, durations.

/// `55,000`
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `99.07 %` for 0.9907.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// `0.0312`, and for what would not fit a column `1.235e9`.
pub fn loss(loss: f64) -> String {
    if loss.abs() < 1e6 {
        format!("{loss:.4}")
    } else {
        format!("{loss:.3e}")
    }
}

/// `4.6 s`, `2 min 03 s`, `1 h 40 min`.
pub fn duration(secs: f64) -> String {
    let whole = secs.round() as u64;
    match whole {
        0..60 => format!("{secs:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A duration that is only an estimate: `20 s`, `1 min`, `3 h`.
pub fn rough_duration(secs: f64) -> String {
    match secs.max(0.0) {
        secs if secs < 55.0 => format!("{} s", ((secs / 10.0).ceil() as u64).max(1) * 10),
        secs if secs < 5400.0 => format!("{} min", (secs / 60.0).round() as u64),
        secs => format!("{} h", (secs / 3600.0).round() as u64),
    }
}

/// How long ago something was: `12 s ago`, `2 min ago`, `5 h ago`, `3 days ago`.
pub fn ago(secs: f64) -> String {
    match secs.max(0.0) as u64 {
        secs @ 0..60 => format!("{secs} s ago"),
        secs @ 60..3600 => format!("{} min ago", secs / 60),
        secs @ 3600..172_800 => format!("{} h ago", secs / 3600),
        secs => format!("{} days ago", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_write_them() {
        let cases = [
            (thousands(0), "0"),
            (thousands(999), "999"),
            (thousands(1_000), "1,000"),
            (thousands(104_342), "104,342"),
            (thousands(12_345_678), "12,345,678"),
            (percent(0.9907), "99.07 %"),
            (percent(1.0), "100.00 %"),
            (loss(0.03124), "0.0312"),
            (loss(1.2345e9), "1.234e9"),
            (loss(f64::INFINITY), "inf"),
            (duration(4.63), "4.6 s"),
            (duration(59.7), "1 min 00 s"),
            (duration(123.0), "2 min 03 s"),
            (duration(6_000.0), "1 h 40 min"),
            (rough_duration(0.2), "10 s"),
            (rough_duration(34.0), "40 s"),
            (rough_duration(77.0), "1 min"),
            (rough_duration(600.0), "10 min"),
            (rough_duration(9_000.0), "3 h"),
            (ago(-3.0), "0 s ago"),
            (ago(59.9), "59 s ago"),
            (ago(120.0), "2 min ago"),
            (ago(7_300.0), "2 h ago"),
            (ago(400_000.0), "4 days ago"),
        ];
        for (text, expected) in cases {
            assert_eq!(text, expected);
        }
    }
}
