//! Between planes of channels and pixels of channels side by side.

/// Writes the rows of a matrix as columns, each number as `map` gives it. Rows of `from` begin `from.1`
/// numbers after each other and have `columns` numbers; rows of `to` begin `to.1` after each other.
///
/// Four rows are read at a time: fewer, wider writes.
///
/// # Panics
/// If `from` has fewer numbers; what `to` has no room for is left out.
#[inline(always)]
pub fn transpose<From: Copy, To>(
    (rows, columns): (usize, usize),
    from: (&[From], usize),
    to: (&mut [To], usize),
    map: impl Fn(From) -> To,
) {
    let row = |i: usize| &from.0[i * from.1..][..columns];
    let quads = rows / 4 * 4;
    for i in (0..quads).step_by(4) {
        let pairs = [
            row(i).iter().zip(row(i + 1)),
            row(i + 2).iter().zip(row(i + 3)),
        ];
        let [first, second] = pairs;
        let targets = to.0[i..].chunks_mut(to.1);
        for (((a, b), (c, d)), target) in first.zip(second).zip(targets) {
            if let Some(target) = target.first_chunk_mut() {
                *target = [map(*a), map(*b), map(*c), map(*d)];
            }
        }
    }
    for i in quads..rows {
        let targets = to.0[i..].iter_mut().step_by(to.1);
        for (number, target) in row(i).iter().zip(targets) {
            *target = map(*number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns_and_what_is_beside_them_stays() {
        for (rows, columns, stride, to_stride) in [(1, 1, 1, 1), (6, 3, 5, 6), (9, 14, 14, 16)] {
            let from: Vec<usize> = (0..rows * stride).collect();
            let len = (columns - 1) * to_stride + rows;
            let mut to = vec![usize::MAX; len];
            let double = |number| 2 * number;
            transpose(
                (rows, columns),
                (&from, stride),
                (&mut to, to_stride),
                double,
            );
            for (i, found) in to.iter().enumerate() {
                let (column, row) = (i / to_stride, i % to_stride);
                let number = 2 * (row * stride + column);
                let expected = if row < rows { number } else { usize::MAX };
                assert_eq!(*found, expected, "{rows} {columns}: {i}");
            }
        }
    }
}
