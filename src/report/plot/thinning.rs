//! Fewer points for the same picture.

/// Of each column of `width` the first and last point and those highest and lowest, so that a line
/// through them covers the same pixels: M4, Jugel et al., "M4: A Visualization-Oriented Time Series
/// Data Aggregation", VLDB 2014. Points are in the order of x, and finite.
pub(super) fn thinned(points: &[[f64; 2]], width: f64) -> Vec<[f64; 2]> {
    let column = |point: &[f64; 2]| (point[0] / width).floor();
    let mut kept = Vec::new();
    for group in points.chunk_by(|one, other| column(one) == column(other)) {
        let by_height = |a: &usize, b: &usize| group[*a][1].total_cmp(&group[*b][1]);
        let low = (0..group.len()).min_by(by_height);
        let high = (0..group.len()).max_by(by_height);
        let mut chosen = [Some(0), low, high, group.len().checked_sub(1)];
        chosen.sort_unstable();
        let mut before = None;
        for index in chosen.into_iter().flatten() {
            if before.replace(index) != Some(index) {
                kept.push(group[index]);
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_and_ends_of_a_column_stay() {
        let heights = [1.0, 5.0, 2.0, 0.0, 3.0];
        let points: Vec<_> = (0..5)
            .map(|x| [f64::from(x) / 10.0, heights[x as usize]])
            .collect();
        let kept: Vec<f64> = thinned(&points, 1.0).iter().map(|point| point[1]).collect();
        assert_eq!(kept, [1.0, 5.0, 0.0, 3.0]);
        assert_eq!(thinned(&points, 0.1), points);
        let many: Vec<_> = (0..100_000)
            .map(|x| [f64::from(x) / 1e3, f64::from(x % 7)])
            .collect();
        // Four of each of the 100 columns, but where an end is an extreme too.
        let kept = thinned(&many, 1.0);
        assert!((200..=400).contains(&kept.len()), "{}", kept.len());
        let of_height = |height: f64| kept.iter().filter(|point| point[1] == height).count();
        assert!(of_height(0.0) >= 100 && of_height(6.0) >= 100);
        assert_eq!(thinned(&[], 1.0), [[0.0; 2]; 0]);
    }
}
