//! Between planes of channels and pixels of channels side by side.

/// Writes the rows of a matrix as columns, each number as `map` gives it. Rows of `from` begin `from.1`
/// numbers after each other and have `columns` numbers; rows of `to` begin `to.1` after each other.
///
/// Eight rows are read at a time, of those that are left six, four or two: fewer, wider writes.
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
    let mut row = 0;
    while row < rows {
        let from = (&from.0[row * from.1..], from.1);
        let to = (&mut to.0[row..], to.1);
        row += match rows - row {
            8.. => block::<8, _, _>(columns, from, to, &map),
            6.. => block::<6, _, _>(columns, from, to, &map),
            4.. => block::<4, _, _>(columns, from, to, &map),
            2.. => block::<2, _, _>(columns, from, to, &map),
            _ => block::<1, _, _>(columns, from, to, &map),
        };
    }
}

/// The first `ROWS` rows; gives how many that are.
#[inline(always)]
fn block<const ROWS: usize, From: Copy, To>(
    columns: usize,
    from: (&[From], usize),
    to: (&mut [To], usize),
    map: impl Fn(From) -> To,
) -> usize {
    let mut rows = [from.0; ROWS];
    for i in 0..ROWS {
        rows[i] = &from.0[i * from.1..][..columns];
    }
    for column in 0..columns {
        let target = to.0.get_mut(column * to.1..);
        let Some(target) = target.and_then(<[_]>::first_chunk_mut::<ROWS>) else {
            break;
        };
        for i in 0..ROWS {
            target[i] = map(rows[i][column]);
        }
    }
    ROWS
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
