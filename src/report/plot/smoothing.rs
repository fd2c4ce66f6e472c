//! TensorBoard's smoothing of curves.

/// The debiased exponential moving average that TensorBoard draws for a smoothing of `weight`,
/// which is taken into 0..=1: `classicSmoothing` in
/// `tensorboard/webapp/widgets/line_chart_v2/data_transformer.ts` at commit 412c86e5.
///
/// What is not finite stays as it is and does not count; a constant series stays as it is too.
/// TensorBoard smooths the points that it has kept of a series; here all are there.
///
/// ```
/// use cnn_tb::report::plot::smoothed;
/// assert_eq!(smoothed(&[1.0, 3.0], 0.5), [1.0, (0.25 + 1.5) / 0.75]);
/// ```
pub fn smoothed(values: &[f64], weight: f64) -> Vec<f64> {
    let weight = match weight.is_finite() {
        true => weight.clamp(0.0, 1.0),
        false => 0.0,
    };
    if values.iter().all(|value| Some(value) == values.first()) {
        return values.to_vec();
    }
    let (mut last, mut remaining) = (0.0, 1.0);
    let smooth = |&value: &f64| {
        if !value.is_finite() {
            return value;
        }
        last = last * weight + (1.0 - weight) * value;
        remaining *= weight;
        // The average starts at 0, of which this much is left.
        let bias = if weight == 1.0 { 0.0 } else { remaining };
        last / (1.0 - bias)
    };
    values.iter().map(smooth).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_debiased_average_of_what_is_finite() {
        // By hand: 0.1 / 0.1, (0.09 + 0.2) / 0.19, (0.261 + 0.4) / 0.271.
        let found = smoothed(&[1.0, 2.0, f64::NAN, 4.0], 0.9);
        let expected = [1.0, 0.29 / 0.19, f64::NAN, 0.661 / 0.271];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12 || expected.is_nan() && found.is_nan());
        }
        assert_eq!(smoothed(&[1.0, 2.0], 0.0), [1.0, 2.0]);
        assert_eq!(smoothed(&[1.0, 2.0], f64::NAN), [1.0, 2.0]);
        assert_eq!(smoothed(&[1.0, 2.0], 7.0), [0.0, 0.0]);
        assert_eq!(smoothed(&[3.0, 3.0], 1.0), [3.0, 3.0]);
        assert_eq!(smoothed(&[], 0.5), [0.0; 0]);
    }
}
