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

/// What happens to the numbers that the output holds already.
#[derive(Clone, Copy, PartialEq)]
pub enum Into {
    /// They are overwritten.
    Overwrite,
    /// The product is added to them.
    Add,
}

/// `out = a b` or `out += a b`, on the calling thread; the rows of `out` lie one after the other.
///
/// # Panics
/// If the shapes do not fit.
pub fn matmul(out: &mut [f32], into: Into, a: Matrix<'_>, b: Matrix<'_>) {
    let (rows, columns, depth) = (a.rows, b.columns, a.columns);
    assert_eq!(b.rows, depth, "inner dimensions");
    assert_eq!(out.len(), rows * columns, "output");
    if rows == 0 || columns == 0 {
        return;
    }
    let (beta, read_out) = match into {
        Into::Overwrite => (0.0, false),
        Into::Add => (1.0, true),
    };
    // SAFETY: `out` is `rows * columns` long, as asserted above. `a` and `b` were made by
    // `Matrix::new`, which asserts that every element lies in the slice; `transposed` exchanges
    // dimensions together with strides, and `row_range` drops leading rows from the slice and
    // from the count alike. `gemm` reads and writes no other elements.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            out.as_mut_ptr(),
            1,
            columns as isize,
            read_out,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            beta,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// `out = a b`, the rows of `out` split over the threads.
///
/// # Panics
/// If the shapes do not fit.
pub fn par_matmul(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    assert_eq!(out.len(), a.rows * b.columns, "output");
    let mut rest = out;
    let mut tasks = Vec::new();
    let products = a.rows * b.columns * a.columns;
    let most = (products / shard::MATRIX_PRODUCTS).clamp(1, shard::MATRIX);
    for rows in shards(a.rows, most) {
        let (part, tail) = rest.split_at_mut(rows.len() * b.columns);
        rest = tail;
        tasks.push((rows, part));
    }
    shard::each(tasks, |(rows, part)| {
        matmul(part, Into::Overwrite, a.row_range(rows), b);
    });
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
                let mut out = vec![1.0; rows * columns];
                par_matmul(&mut out, a, b);
                assert_eq!(out, expected, "{rows} {depth} {columns}");
                matmul(&mut out, Into::Add, a, b);
                assert!(out.iter().zip(&expected).all(|(out, e)| *out == 2.0 * e));
            }
        }
    }
}
