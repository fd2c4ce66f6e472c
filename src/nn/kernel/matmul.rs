//! Matrix products: the crate `gemm`, behind a safe face.

#![allow(unsafe_code)]

use super::shard::{self, shards};

/// A matrix that lies in a slice, with any strides.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix whose rows lie one after the other in `data`.
    ///
    /// # Panics
    /// If `data` does not hold `rows * columns` numbers.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns, "a {rows}x{columns} matrix");
        Self {
            data,
            rows,
            columns,
            row_stride: columns,
            column_stride: 1,
        }
    }

    /// The same numbers with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    fn row_range(self, rows: std::ops::Range<usize>) -> Self {
        Self {
            data: &self.data[(rows.start * self.row_stride).min(self.data.len())..],
            rows: rows.len(),
            ..self
        }
    }
}

/// `a b`; its rows lie one after the other, and are split over the threads where they are worth it.
///
/// # Panics
/// If the shapes do not fit.
pub fn par_matmul(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    assert_eq!(b.rows, a.columns, "inner dimensions");
    let len = a.rows * b.columns;
    let products = len * a.columns;
    let most = (products / shard::MATRIX_PRODUCTS).clamp(1, shard::MATRIX);
    let mut out = Vec::<f32>::with_capacity(len);
    let mut rest = &mut out.spare_capacity_mut()[..len];
    let mut tasks = Vec::new();
    for rows in shards(a.rows, most) {
        let (part, tail) = rest.split_at_mut(rows.len() * b.columns);
        rest = tail;
        tasks.push((rows, part));
    }
    shard::each(tasks, |(rows, part)| {
        // SAFETY: `part` has room for the product of these rows, which is written and not read.
        unsafe { gemm(part.as_mut_ptr().cast(), a.row_range(rows), b) }
    });
    // SAFETY: the shards cover all rows, so that every number has been written.
    unsafe { out.set_len(len) };
    out
}

/// Writes `a b` to `out`.
///
/// # Safety
/// The inner dimensions are equal; `out` is valid for writes of `a.rows * b.columns` numbers.
unsafe fn gemm(out: *mut f32, a: Matrix<'_>, b: Matrix<'_>) {
    let (rows, columns, depth) = (a.rows, b.columns, a.columns);
    if rows == 0 || columns == 0 {
        return;
    }
    // SAFETY: `a` and `b` were made by `Matrix::new`, which asserts that every element lies in the
    // slice; `transposed` exchanges dimensions together with strides, and `row_range` drops leading
    // rows from the slice and from the count alike. `gemm` reads no other elements; what it writes
    // is the caller's promise. Told not to read `out`, it writes without reading.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            out,
            1,
            columns as isize,
            false,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
        let at = |m: Matrix<'_>, row, column| m.data[row * m.row_stride + column * m.column_stride];
        let mut out = Vec::new();
        for row in 0..a.rows {
            for column in 0..b.columns {
                out.push(
                    (0..a.columns)
                        .map(|k| at(a, row, k) * at(b, k, column))
                        .sum(),
                );
            }
        }
        out
    }

    fn numbers(count: usize) -> Vec<f32> {
        (0..count)
            .map(|i| ((i * 37 % 17) as f32 - 8.0) / 4.0)
            .collect()
    }

    #[test]
    fn products_of_all_layouts_equal_the_plain_sum() {
        for (rows, depth, columns) in [(1, 1, 1), (3, 5, 2), (40, 7, 33), (100, 64, 10), (2, 0, 3)]
        {
            let (a, b) = (numbers(rows * depth), numbers(depth * columns));
            let layouts = [
                (
                    Matrix::new(&a, rows, depth),
                    Matrix::new(&b, depth, columns),
                ),
                (
                    Matrix::new(&a, depth, rows).transposed(),
                    Matrix::new(&b, depth, columns),
                ),
                (
                    Matrix::new(&a, rows, depth),
                    Matrix::new(&b, columns, depth).transposed(),
                ),
            ];
            for (a, b) in layouts {
                let expected = naive(a, b);
                assert_eq!(par_matmul(a, b), expected, "{rows} {depth} {columns}");
            }
        }
    }
}
