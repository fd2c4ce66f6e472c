//! The fully connected layer, and its gradients.
//!
//! The forward pass multiplies rows of the input with rows of the weight. The gradients are sums of rows,
//! of the input or of the weight, each times a number of the output's gradient; where ReLU let nothing
//! through that number is 0, and the row is left out.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::shard;
use super::simd::{Aligned, InstructionSet, chunk};

/// Vectors of a sum of rows that are added up at a time, at most: 16 registers hold them, a factor and
/// numbers of a row.
const BLOCK: usize = 14;

/// Numbers of such a sum, at most: of 50 rows so many fit into [`CACHE`].
const BLOCK_NUMBERS: usize = 112;

/// Bytes that what is gone through again and again may fill of the fastest cache, which has 32 KiB or more.
const CACHE: usize = 24 << 10;

/// Features that are multiplied at a time: a tile takes ten rows of them at most.
const DEPTH: usize = 1024;

/// The sizes of the layer.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    /// Rows of the input and of the output.
    pub rows: usize,
    /// Numbers of a row of the input, and of the weight.
    pub features_in: usize,
    /// Numbers of a row of the output, and rows of the weight.
    pub features_out: usize,
    /// The instructions to use.
    pub instruction_set: InstructionSet,
}

impl Linear {
    /// `input weightᵀ + bias`.
    ///
    /// # Panics
    /// If a slice's length does not fit.
    pub fn forward(&self, input: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
        assert_eq!(input.len(), self.rows * self.features_in, "input");
        assert_eq!(weight.len(), self.features_out * self.features_in, "weight");
        assert_eq!(bias.len(), self.features_out, "bias");
        let mut output = bias.repeat(self.rows);
        self.each_part(self.rows, &mut output, |rows, output| {
            self.instruction_set.run(Dots {
                input: &input[rows.start * self.features_in..rows.end * self.features_in],
                weight,
                features: self.features_in,
                output,
            });
        });
        output
    }

    /// The gradient of the weight: `grad_outputᵀ input`.
    ///
    /// # Panics
    /// If a slice's length does not fit.
    pub fn weight_gradient(&self, input: &[f32], grad_output: &[f32]) -> Vec<f32> {
        assert_eq!(input.len(), self.rows * self.features_in, "input");
        assert_eq!(grad_output.len(), self.rows * self.features_out, "gradient");
        let mut sums = vec![0.0; self.features_out * self.features_in];
        self.each_part(self.features_out, &mut sums, |outputs, sums| {
            let factors = Factors {
                numbers: &grad_output[outputs.start..],
                sums: (outputs.len(), 1),
                rows: (self.rows, self.features_out),
            };
            self.add_rows(&factors, input, sums);
        });
        sums
    }

    /// The gradient of the input: `grad_output weight`.
    ///
    /// # Panics
    /// If a slice's length does not fit.
    pub fn input_gradient(&self, weight: &[f32], grad_output: &[f32]) -> Vec<f32> {
        assert_eq!(weight.len(), self.features_out * self.features_in, "weight");
        assert_eq!(grad_output.len(), self.rows * self.features_out, "gradient");
        let mut sums = vec![0.0; self.rows * self.features_in];
        self.each_part(self.rows, &mut sums, |rows, sums| {
            let factors = Factors {
                numbers: &grad_output[rows.start * self.features_out..],
                sums: (rows.len(), self.features_out),
                rows: (self.features_out, 1),
            };
            self.add_rows(&factors, weight, sums);
        });
        sums
    }

    /// The gradient of the bias: the sum of the output's gradient over the rows.
    pub fn bias_gradient(&self, grad_output: &[f32]) -> Vec<f32> {
        let mut sums = vec![0.0; self.features_out];
        for row in grad_output.chunks_exact(self.features_out.max(1)) {
            shard::add(&mut sums, row);
        }
        sums
    }

    /// Splits the rows of a matrix over the threads, where the product that gives it is worth it.
    fn each_part(
        &self,
        rows: usize,
        matrix: &mut [f32],
        work: impl Fn(Range<usize>, &mut [f32]) + Send + Sync,
    ) {
        let products = self.rows * self.features_in * self.features_out;
        if products == 0 {
            return;
        }
        let most = (products / shard::MATRIX_PRODUCTS).clamp(1, shard::MATRIX);
        let width = matrix.len() / rows;
        let parts = shard::split(Some(matrix), rows, most, width);
        shard::each(parts.collect(), |(rows, part)| {
            work(rows, part.unwrap_or_default());
        });
    }

    /// Adds rows, each times its factor, to sums.
    fn add_rows(&self, factors: &Factors<'_>, rows: &[f32], sums: &mut [f32]) {
        let width = self.features_in;
        let lanes = self.instruction_set.lanes();
        // What a block of columns takes of them stays in the cache.
        let block = lanes * vectors_of_block(lanes);
        let chunks = (factors.rows.0 * block * size_of::<f32>()).div_ceil(CACHE);
        let rows_of_chunk = factors.rows.0.div_ceil(chunks);
        let mut pack = Aligned::zeros(rows_of_chunk * block);
        for range in shard::shards(factors.rows.0, chunks) {
            self.instruction_set.run(RowSums {
                terms: &factors.terms(range.clone()),
                rows: &rows[range.start * width..range.end * width],
                width,
                pack: &mut pack,
                is_first: range.start == 0,
                sums,
            });
        }
    }
}

/// Vectors of a sum that are added up at a time, at most.
fn vectors_of_block(lanes: usize) -> usize {
    BLOCK.min(BLOCK_NUMBERS / lanes)
}

/// Adds to `output` what the rows of the input and those of the weight give, each of `features` numbers.
struct Dots<'a> {
    input: &'a [f32],
    weight: &'a [f32],
    features: usize,
    output: &'a mut [f32],
}

impl WithSimd for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Registers hold the sums of a tile, the numbers of one column and one of the other matrix. Of 32 they
        // would hold 4 rows of 6 sums, but a tile of these is often not full: half a batch has 50 rows.
        match S::REGISTER_COUNT {
            32.. => self.tiles::<S, 5, 4>(simd),
            _ => self.tiles::<S, 3, 4>(simd),
        }
    }
}

impl Dots<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const ROWS: usize, const COLUMNS: usize>(self, simd: S) {
        let outputs = self.weight.len() / self.features;
        let rows = self.input.len() / self.features;
        for start in (0..self.features).step_by(DEPTH) {
            let depth = start..self.features.min(start + DEPTH);
            for column in (0..outputs).step_by(COLUMNS) {
                let weights = rows_from::<COLUMNS>(self.weight, self.features, column, &depth);
                for row in (0..rows).step_by(ROWS) {
                    let inputs = rows_from::<ROWS>(self.input, self.features, row, &depth);
                    let dots = dots(simd, inputs, weights);
                    for r in 0..ROWS.min(rows - row) {
                        let output = &mut self.output[(row + r) * outputs + column..];
                        for c in 0..COLUMNS.min(outputs - column) {
                            output[c] += dots[r][c];
                        }
                    }
                }
            }
        }
    }
}

/// Some columns of `COUNT` rows from `first` on, of a matrix whose rows have `len` numbers; its last row
/// takes the place of those that are not there.
#[inline(always)]
fn rows_from<'a, const COUNT: usize>(
    matrix: &'a [f32],
    len: usize,
    first: usize,
    columns: &Range<usize>,
) -> [&'a [f32]; COUNT] {
    let last = matrix.len() / len - 1;
    let mut rows = [matrix; COUNT];
    for i in 0..COUNT {
        rows[i] = &matrix[(first + i).min(last) * len..][columns.clone()];
    }
    rows
}

/// The products of each of some rows with each of some others, all of the same length.
#[inline(always)]
fn dots<S: Simd, const ROWS: usize, const COLUMNS: usize>(
    simd: S,
    rows: [&[f32]; ROWS],
    columns: [&[f32]; COLUMNS],
) -> [[f32; COLUMNS]; ROWS] {
    let zero = simd.splat_f32s(0.0);
    let mut sums = [[zero; COLUMNS]; ROWS];
    let count = rows[0].len() / S::F32_LANES;
    let (mut lefts, mut rights) = ([&[][..]; ROWS], [&[][..]; COLUMNS]);
    for r in 0..ROWS {
        lefts[r] = &S::as_simd_f32s(rows[r]).0[..count];
    }
    for c in 0..COLUMNS {
        rights[c] = &S::as_simd_f32s(columns[c]).0[..count];
    }
    for k in 0..count {
        let mut left = [zero; ROWS];
        for r in 0..ROWS {
            left[r] = lefts[r][k];
        }
        for c in 0..COLUMNS {
            let right = rights[c][k];
            for r in 0..ROWS {
                sums[r][c] = simd.mul_add_e_f32s(left[r], right, sums[r][c]);
            }
        }
    }
    let mut dots = [[0.0; COLUMNS]; ROWS];
    for r in 0..ROWS {
        for c in 0..COLUMNS {
            dots[r][c] = simd.reduce_sum_f32s(sums[r][c]);
        }
    }
    for k in count * S::F32_LANES..rows[0].len() {
        for r in 0..ROWS {
            for c in 0..COLUMNS {
                dots[r][c] += rows[r][k] * columns[c][k];
            }
        }
    }
    dots
}

/// What each row is multiplied by before it is added to each sum. Of sums and of rows it is told how many
/// there are, and how far apart their numbers lie.
struct Factors<'a> {
    numbers: &'a [f32],
    sums: (usize, usize),
    rows: (usize, usize),
}

impl Factors<'_> {
    /// Those of some of the rows, but for zeros.
    fn terms(&self, rows: Range<usize>) -> Terms {
        let mut all = vec![Term::default(); self.sums.0 * rows.len()];
        let mut ends = Vec::with_capacity(self.sums.0);
        let mut count = 0;
        for sum in 0..self.sums.0 {
            let factors = &self.numbers[sum * self.sums.1 + rows.start * self.rows.1..];
            // Without a branch, which nobody could foretell.
            for row in 0..rows.len() {
                let factor = factors[row * self.rows.1];
                all[count] = Term {
                    row: row as u32,
                    factor,
                };
                // Two zeros differ in the sign.
                count += usize::from(factor.to_bits() << 1 != 0);
            }
            ends.push(count);
        }
        Terms { all, ends }
    }
}

/// The rows of each sum, one sum after the other.
struct Terms {
    all: Vec<Term>,
    /// Where those of each sum end.
    ends: Vec<usize>,
}

/// A row, and by what it is multiplied.
#[derive(Clone, Copy, Default)]
struct Term {
    row: u32,
    factor: f32,
}

impl Terms {
    fn each(&self) -> impl Iterator<Item = &[Term]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        let ranges = starts.zip(&self.ends);
        ranges.map(|(start, end)| &self.all[*start..*end])
    }
}

/// Adds rows, each of `width` numbers, to sums.
struct RowSums<'a> {
    terms: &'a Terms,
    rows: &'a [f32],
    width: usize,
    /// Of the rows those columns that are worked on.
    pack: &'a mut Aligned,
    /// Whether the sums are zeros yet, and need not be read.
    is_first: bool,
    sums: &'a mut [f32],
}

impl WithSimd for RowSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let vectors = self.width / S::F32_LANES;
        for columns in shard::shards(vectors, vectors.div_ceil(vectors_of_block(S::F32_LANES))) {
            let column = columns.start * S::F32_LANES;
            match columns.len() {
                14 => self.block::<S, 14>(simd, column),
                13 => self.block::<S, 13>(simd, column),
                12 => self.block::<S, 12>(simd, column),
                11 => self.block::<S, 11>(simd, column),
                10 => self.block::<S, 10>(simd, column),
                9 => self.block::<S, 9>(simd, column),
                8 => self.block::<S, 8>(simd, column),
                7 => self.block::<S, 7>(simd, column),
                6 => self.block::<S, 6>(simd, column),
                5 => self.block::<S, 5>(simd, column),
                4 => self.block::<S, 4>(simd, column),
                3 => self.block::<S, 3>(simd, column),
                2 => self.block::<S, 2>(simd, column),
                _ => self.block::<S, 1>(simd, column),
            }
        }
        self.rest(vectors * S::F32_LANES);
    }
}

impl RowSums<'_> {
    /// A block of vectors from a column on.
    #[inline(always)]
    fn block<S: Simd, const VECTORS: usize>(&mut self, simd: S, column: usize) {
        self.pack::<S, VECTORS>(column);
        let rows = self.pack.vectors::<S>();
        let sums = self.sums.chunks_exact_mut(self.width);
        for (terms, sums) in self.terms.each().zip(sums) {
            let sums = S::as_mut_simd_f32s(&mut sums[column..]).0;
            let Some(sums) = sums.first_chunk_mut::<VECTORS>() else {
                break;
            };
            let mut vectors = match self.is_first {
                true => [simd.splat_f32s(0.0); VECTORS],
                false => *sums,
            };
            for term in terms {
                // Never comes, and is no panic: see `chunk`.
                let Some(row) = chunk::<_, VECTORS>(rows, term.row as usize * VECTORS) else {
                    break;
                };
                let factor = simd.splat_f32s(term.factor);
                for i in 0..VECTORS {
                    vectors[i] = simd.mul_add_e_f32s(factor, row[i], vectors[i]);
                }
            }
            *sums = vectors;
        }
    }

    /// Puts a block of columns of the rows side by side: rows that are a power of 2 apart would drive each
    /// other out of the cache.
    #[inline(always)]
    fn pack<S: Simd, const VECTORS: usize>(&mut self, column: usize) {
        let rows = self.rows.chunks_exact(self.width);
        let pack = self.pack.vectors_mut::<S>().as_chunks_mut::<VECTORS>().0;
        for (row, pack) in rows.zip(pack) {
            let row = S::as_simd_f32s(&row[column..]).0;
            if let Some(row) = row.first_chunk::<VECTORS>() {
                *pack = *row;
            }
        }
    }

    /// The columns that fill no vector.
    #[inline(always)]
    fn rest(&mut self, column: usize) {
        if column == self.width {
            return;
        }
        let sums = self.sums.chunks_exact_mut(self.width);
        for (terms, sums) in self.terms.each().zip(sums) {
            for term in terms {
                let row = &self.rows[term.row as usize * self.width..][column..];
                for (sum, number) in sums[column..].iter_mut().zip(row) {
                    *sum += term.factor * number;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that every order of adding up gives the same sum of; a third of them is 0.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        let number = |i: usize| match (i * 37 + seed) % 17 {
            place if place % 3 == 0 => 0.0,
            place => (place as f32 - 8.0) / 4.0,
        };
        (0..count).map(number).collect()
    }

    /// `out[row][column]` is the sum of the `depth` products that `product` gives.
    fn matrix(
        [rows, columns, depth]: [usize; 3],
        product: impl Fn(usize, usize, usize) -> f32,
    ) -> Vec<f32> {
        let all = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let sum = |(row, column)| (0..depth).map(|k| product(row, column, k)).sum();
        all.map(sum).collect()
    }

    /// Shapes that fill tiles and blocks, leave some over, or are smaller; one is split over the threads.
    #[test]
    fn all_products_equal_the_plain_sums() {
        let shapes = [
            (1, 1, 1),
            (3, 5, 2),
            (40, 7, 33),
            (9, 16, 10),
            (2, 23, 5),
            (5, 2060, 7),
            (200, 250, 100),
            (2, 0, 3),
            (0, 3, 2),
            (3, 2, 0),
        ];
        for instruction_set in InstructionSet::available() {
            for (rows, features_in, features_out) in shapes {
                let linear = Linear {
                    rows,
                    features_in,
                    features_out,
                    instruction_set,
                };
                let input = numbers(rows * features_in, 1);
                let weight = numbers(features_out * features_in, 2);
                let grad = numbers(rows * features_out, 3);
                let bias = numbers(features_out, 4);

                let x = |row: usize, k: usize| input[row * features_in + k];
                let w = |row: usize, k: usize| weight[row * features_in + k];
                let g = |row: usize, k: usize| grad[row * features_out + k];
                let mut output = matrix([rows, features_out, features_in], |i, j, k| {
                    x(i, k) * w(j, k)
                });
                for row in output.chunks_exact_mut(features_out.max(1)) {
                    shard::add(row, &bias);
                }
                assert_eq!(linear.forward(&input, &weight, &bias), output, "{linear:?}");

                let grad_weight = matrix([features_out, features_in, rows], |i, j, k| {
                    g(k, i) * x(k, j)
                });
                let found = linear.weight_gradient(&input, &grad);
                assert_eq!(found, grad_weight, "{linear:?}");

                let grad_input = matrix([rows, features_in, features_out], |i, j, k| {
                    g(i, k) * w(k, j)
                });
                let found = linear.input_gradient(&weight, &grad);
                assert_eq!(found, grad_input, "{linear:?}");

                let grad_bias = matrix([1, features_out, rows], |_, j, k| g(k, j));
                assert_eq!(linear.bias_gradient(&grad), grad_bias, "{linear:?}");
            }
        }
    }

    #[test]
    fn a_gradient_that_is_not_finite_goes_on() {
        for instruction_set in InstructionSet::available() {
            let linear = Linear {
                rows: 1,
                features_in: 20,
                features_out: 2,
                instruction_set,
            };
            let grad = [f32::NAN, 0.0];
            let sums = linear.input_gradient(&[1.0; 40], &grad);
            assert!(sums.iter().all(|sum| sum.is_nan()), "{sums:?}");
            let sums = linear.weight_gradient(&[1.0; 20], &grad);
            assert!(sums[..20].iter().all(|sum| sum.is_nan()), "{sums:?}");
            assert_eq!(sums[20..], [0.0; 20]);
        }
    }
}
