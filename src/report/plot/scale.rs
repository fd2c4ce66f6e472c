//! From values to places along an axis, and the round values that are written there.

/// An axis' range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    is_log: bool,
}

/// A place that is marked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub value: f64,
    pub label: String,
}

impl Scale {
    /// The range of all finite `values` (positive ones on a logarithmic axis), and at both ends the
    /// share `margin` of it more.
    pub fn of(values: impl Iterator<Item = f64>, is_log: bool, margin: f64) -> Self {
        // So far that the differences of these are finite, too.
        const FARTHEST: f64 = 1e300;
        let usable = values.filter(|&value| is_usable(value, is_log));
        let usable = usable.map(|value| value.clamp(-FARTHEST, FARTHEST));
        let range = usable.fold(None, |range: Option<(f64, f64)>, value| {
            let (low, high) = range.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        });
        let (mut low, mut high) = range.unwrap_or((1.0, 2.0));
        if low == high {
            let by = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
            (low, high) = (low - by, high + by);
        }
        if is_log {
            let by = (high.log10() - low.log10()) * margin;
            (low, high) = (
                10_f64.powf(low.log10() - by),
                10_f64.powf(high.log10() + by),
            );
            (low, high) = (low.max(f64::MIN_POSITIVE), high.min(f64::MAX));
        } else {
            let by = (high - low) * margin;
            (low, high) = (low - by, high + by);
        }
        Self { low, high, is_log }
    }

    /// 0 at the low end, 1 at the high one.
    pub fn place(&self, value: f64) -> f64 {
        match self.is_log {
            true => (value.log10() - self.low.log10()) / (self.high.log10() - self.low.log10()),
            false => (value - self.low) / (self.high - self.low),
        }
    }

    /// At most so many round values, labelled; whole ones where `whole`.
    pub fn ticks(&self, most: usize, whole: bool) -> Vec<Tick> {
        let most = most.max(2);
        if self.is_log {
            for mantissas in [&[1.0, 2.0, 3.0, 5.0, 7.0][..], &[1.0, 2.0, 5.0], &[1.0]] {
                let ticks = self.log_ticks(mantissas, 1);
                if (2..=most).contains(&ticks.len()) {
                    return ticks;
                }
            }
            let decades = self.log_ticks(&[1.0], 1).len();
            if decades > most {
                return self.log_ticks(&[1.0], decades.div_ceil(most) as i32);
            }
        }
        self.linear_ticks(most, whole)
    }

    fn log_ticks(&self, mantissas: &[f64], stride: i32) -> Vec<Tick> {
        let (first, last) = (
            self.low.log10().floor() as i32,
            self.high.log10().ceil() as i32,
        );
        let decades = (first..=last).filter(|decade| decade.rem_euclid(stride) == 0);
        let values = decades.flat_map(|decade| mantissas.iter().map(move |m| (*m, decade)));
        let ticks = values.map(|(mantissa, decade)| Tick {
            value: mantissa * 10_f64.powi(decade),
            label: match decade {
                0..=3 => format!("{}", mantissa * 10_f64.powi(decade)),
                -4..0 => format!("{mantissa}e{decade}")
                    .parse()
                    .map_or_else(|_| String::new(), |v: f64| format!("{v}")),
                _ => format!("{mantissa}e{decade}").replace('-', "−"),
            },
        });
        // An end that is round itself may have been rounded past it.
        let (low, high) = (self.low * (1.0 - 1e-9), self.high * (1.0 + 1e-9));
        let is_inside = |tick: &Tick| (low..=high).contains(&tick.value);
        ticks.filter(is_inside).collect()
    }

    fn linear_ticks(&self, most: usize, whole: bool) -> Vec<Tick> {
        let step = round_step((self.high - self.low) / most as f64, whole);
        let first = (self.low / step).ceil();
        let values = (0..most).map(|index| (first + index as f64) * step);
        let values: Vec<f64> = values.take_while(|value| *value <= self.high).collect();
        let largest = values
            .iter()
            .fold(0.0_f64, |all, value| all.max(value.abs()));
        let tick = |&value: &f64| Tick {
            value,
            label: label(value, step, largest),
        };
        values.iter().map(tick).collect()
    }
}

/// Whether a value has a place on such an axis.
pub(super) fn is_usable(value: f64, is_log: bool) -> bool {
    value.is_finite() && (!is_log || value > 0.0)
}

/// The smallest of 1, 2, 5 times a power of ten that is more than `least`.
fn round_step(least: f64, whole: bool) -> f64 {
    let decade = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * decade);
    let step = steps.into_iter().find(|step| *step > least * 1.000_001);
    let step = step.unwrap_or(decade * 10.0);
    if whole { step.max(1.0) } else { step }
}

/// With the digits that tell ticks of this `step` apart.
fn label(value: f64, step: f64, largest: f64) -> String {
    let (unit, name) = match largest {
        0.0..1e4 => (1.0, ""),
        1e4..1e6 => (1e3, "k"),
        1e6..1e9 => (1e6, "M"),
        1e9..1e12 => (1e9, "G"),
        _ => (1.0, ""),
    };
    let text = if value == 0.0 {
        "0".to_owned()
    } else if !(1e-4..1e12).contains(&largest) {
        let digits =
            (largest.log10().floor() - (step * 1.000_001).log10().floor()).clamp(0.0, 17.0);
        format!("{value:.*e}", digits as usize)
    } else {
        let digits = (-(step / unit * 1.000_001).log10().floor()).clamp(0.0, 17.0);
        format!("{:.*}{name}", digits as usize, value / unit)
    };
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: [f64; 2], is_log: bool, most: usize, whole: bool) -> String {
        let scale = Scale::of(values.into_iter(), is_log, 0.0);
        let ticks = scale.ticks(most, whole);
        assert!(
            ticks.len() <= most
                && ticks
                    .iter()
                    .all(|t| (-0.001..=1.001).contains(&scale.place(t.value)))
        );
        ticks
            .into_iter()
            .map(|tick| tick.label)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn ticks_are_round_and_no_more_than_asked() {
        let cases = [
            ([0.0, 1.0], false, 6, false, "0 0.2 0.4 0.6 0.8 1.0"),
            ([97.13, 99.2], false, 5, false, "97.5 98.0 98.5 99.0"),
            ([1.0, 3.0], false, 8, true, "1 2 3"),
            ([0.0, 55_000.0], false, 4, true, "0 20k 40k"),
            ([-1.0, 1.0], false, 3, false, "−1 0 1"),
            ([0.0, 4e-6], false, 3, false, "0 2e−6 4e−6"),
            ([1.0, 100.0], true, 4, true, "1 10 100"),
            ([1.0, 100.0], true, 7, true, "1 2 5 10 20 50 100"),
            ([0.02, 0.09], true, 5, false, "0.02 0.03 0.05 0.07"),
            ([1e-9, 1.0], true, 4, false, "1e−9 1e−6 0.001 1"),
        ];
        for (values, is_log, most, whole, expected) in cases {
            assert_eq!(labels(values, is_log, most, whole), expected);
        }
    }

    #[test]
    fn any_range_is_borne() {
        let odd = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            f64::NAN,
            f64::INFINITY,
            f64::MAX,
            f64::MIN_POSITIVE,
            1e-45,
            9.2e18,
            3.4e38,
        ];
        for one in odd {
            for other in odd {
                for is_log in [false, true] {
                    let scale = Scale::of([one, other].into_iter(), is_log, 0.04);
                    assert!(scale.ticks(6, true).len() <= 6 && scale.ticks(6, false).len() <= 6);
                }
            }
        }
    }
}
