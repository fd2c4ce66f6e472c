//! Pooling over square windows.

use rayon::prelude::*;

use super::simd::{InstructionSet, Loop};

/// The sizes of a pooling of `height` by `width` planes. Windows that would stick out are left out,
/// as in PyTorch (`ceil_mode=False`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Rows of a plane.
    pub height: usize,
    /// Columns of a plane.
    pub width: usize,
    /// Rows, and columns, of a window: at most 16 where winners are kept, in one byte each.
    pub kernel_size: usize,
    /// Steps between two windows.
    pub stride: usize,
    /// The instructions to use.
    pub instruction_set: InstructionSet,
}

impl Pool {
    /// Rows of the output.
    pub fn out_height(&self) -> usize {
        (self.height - self.kernel_size) / self.stride + 1
    }

    /// Columns of the output.
    pub fn out_width(&self) -> usize {
        (self.width - self.kernel_size) / self.stride + 1
    }

    /// Writes each window's largest value, and where in the window it stands, row by row.
    ///
    /// Among equal values the first wins; a NaN wins over every number, as in PyTorch.
    ///
    /// # Panics
    /// If a slice's length does not fit.
    pub fn forward_max(&self, input: &[f32], output: &mut [f32], winners: &mut [u8]) {
        let out_len = self.out_height() * self.out_width();
        let planes = input.par_chunks_exact(self.height * self.width);
        let outputs = output.par_chunks_exact_mut(out_len);
        let winners = winners.par_chunks_exact_mut(out_len);
        assert!(planes.len() == outputs.len() && planes.len() == winners.len());
        planes
            .zip(outputs)
            .zip(winners)
            .with_min_len(16)
            .for_each(|((plane, output), winners)| {
                self.instruction_set.run(Loop(
                    #[inline(always)]
                    || {
                        let out_width = self.out_width();
                        let rows = output.chunks_exact_mut(out_width);
                        let rows = rows.zip(winners.chunks_exact_mut(out_width));
                        for (y, (output, winners)) in rows.enumerate() {
                            let top = &plane[y * self.stride * self.width..];
                            self.forward_max_row(top, output, winners);
                        }
                    },
                ));
            });
    }

    /// A row of windows that begins at `top`.
    #[inline(always)]
    fn forward_max_row(&self, top: &[f32], output: &mut [f32], winners: &mut [u8]) {
        match (self.kernel_size, self.stride, output.len()) {
            (2, 2, 8..) => halve_row::<8>(top, &top[self.width..], output, winners),
            (2, 2, 4..) => halve_row::<4>(top, &top[self.width..], output, winners),
            _ => {
                output.fill(f32::NEG_INFINITY);
                winners.fill(0);
                for at in 0..self.kernel_size * self.kernel_size {
                    let (ky, kx) = (at / self.kernel_size, at % self.kernel_size);
                    let values = top[ky * self.width + kx..].iter().step_by(self.stride);
                    let windows = output.iter_mut().zip(winners.iter_mut());
                    for ((largest, winner), value) in windows.zip(values) {
                        let wins = beats(*value, *largest);
                        *largest = if wins { *value } else { *largest };
                        *winner = if wins { at as u8 } else { *winner };
                    }
                }
            }
        }
    }

    /// Adds each output's gradient to its window's winner.
    ///
    /// # Panics
    /// If a slice's length does not fit.
    pub fn backward_max(&self, grad_output: &[f32], winners: &[u8], grad_input: &mut [f32]) {
        let (out_width, out_len) = (self.out_width(), self.out_height() * self.out_width());
        let planes = grad_input.par_chunks_exact_mut(self.height * self.width);
        let grads = grad_output.par_chunks_exact(out_len);
        let winners = winners.par_chunks_exact(out_len);
        assert!(planes.len() == grads.len() && planes.len() == winners.len());
        // What a winner's place in its window means in a plane.
        let at = 0..self.kernel_size * self.kernel_size;
        let at = at.map(|at| at / self.kernel_size * self.width + at % self.kernel_size);
        let offsets: Vec<usize> = at.collect();
        planes
            .zip(grads)
            .zip(winners)
            .with_min_len(16)
            .for_each(|((plane, grads), winners)| {
                let rows = grads.chunks_exact(out_width);
                for (y, (grads, winners)) in rows.zip(winners.chunks_exact(out_width)).enumerate() {
                    let top = y * self.stride * self.width;
                    for (x, (grad, winner)) in grads.iter().zip(winners).enumerate() {
                        plane[top + x * self.stride + offsets[usize::from(*winner)]] += grad;
                    }
                }
            });
    }

    /// Writes each window's mean, row by row.
    ///
    /// # Panics
    /// If a slice's length does not fit.
    pub fn forward_avg(&self, input: &[f32], output: &mut [f32]) {
        let planes = input.par_chunks_exact(self.height * self.width);
        let outputs = output.par_chunks_exact_mut(self.out_height() * self.out_width());
        assert_eq!(planes.len(), outputs.len());
        let count = (self.kernel_size * self.kernel_size) as f32;
        let tasks = planes.zip(outputs).with_min_len(16);
        tasks.for_each(|(plane, output)| {
            for (y, output) in output.chunks_exact_mut(self.out_width()).enumerate() {
                output.fill(0.0);
                for ky in 0..self.kernel_size {
                    let row = &plane[(y * self.stride + ky) * self.width..][..self.width];
                    for (x, sum) in output.iter_mut().enumerate() {
                        let window = &row[x * self.stride..][..self.kernel_size];
                        *sum = window.iter().fold(*sum, |sum, value| sum + value);
                    }
                }
                output.iter_mut().for_each(|sum| *sum /= count);
            }
        });
    }

    /// Adds an equal part of each output's gradient to every value of its window.
    ///
    /// # Panics
    /// If a slice's length does not fit.
    pub fn backward_avg(&self, grad_output: &[f32], grad_input: &mut [f32]) {
        let planes = grad_input.par_chunks_exact_mut(self.height * self.width);
        let grads = grad_output.par_chunks_exact(self.out_height() * self.out_width());
        assert_eq!(planes.len(), grads.len());
        let count = (self.kernel_size * self.kernel_size) as f32;
        let tasks = planes.zip(grads).with_min_len(16);
        tasks.for_each(|(plane, grads)| {
            for (y, grads) in grads.chunks_exact(self.out_width()).enumerate() {
                for ky in 0..self.kernel_size {
                    let row = &mut plane[(y * self.stride + ky) * self.width..][..self.width];
                    for (x, grad) in grads.iter().enumerate() {
                        let window = &mut row[x * self.stride..][..self.kernel_size];
                        window.iter_mut().for_each(|value| *value += grad / count);
                    }
                }
            }
        });
    }
}

/// Whether a window's next number takes the place of the largest before it.
#[inline(always)]
fn beats(value: f32, largest: f32) -> bool {
    // Without short-cuts, which would be branches that nobody can foresee.
    ((value > largest) | value.is_nan()) & !largest.is_nan()
}

/// A row of 2×2 windows side by side, `N` at a time. The last `N` may overlap those before them, which
/// writes the same again.
#[inline(always)]
fn halve_row<const N: usize>(top: &[f32], bottom: &[f32], output: &mut [f32], winners: &mut [u8]) {
    let last = output.len() - N;
    for at in (0..last).step_by(N).chain([last]) {
        let pairs = |row: &[f32]| -> [[f32; 2]; N] {
            let (pairs, _) = row[2 * at..2 * (at + N)].as_chunks::<2>();
            std::array::from_fn(|i| pairs[i])
        };
        let (top, bottom) = (pairs(top), pairs(bottom));
        let (mut largest, mut winner) = ([0.0; N], [0u32; N]);
        for i in 0..N {
            largest[i] = top[i][0];
            for (at, value) in [(1, top[i][1]), (2, bottom[i][0]), (3, bottom[i][1])] {
                let wins = beats(value, largest[i]);
                largest[i] = if wins { value } else { largest[i] };
                winner[i] = if wins { at } else { winner[i] };
            }
        }
        output[at..at + N].copy_from_slice(&largest);
        winners[at..at + N].copy_from_slice(&winner.map(|winner| winner as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Stream};

    /// The first of the largest numbers of a window, or of its NaNs, and where it is.
    fn winner(pool: &Pool, input: &[f32], y: usize, x: usize) -> (u32, u8) {
        let number = |at: usize| {
            let (ky, kx) = (at / pool.kernel_size, at % pool.kernel_size);
            input[(y * pool.stride + ky) * pool.width + x * pool.stride + kx]
        };
        let mut best = 0;
        for at in 1..pool.kernel_size * pool.kernel_size {
            if !number(best).is_nan() && (number(at).is_nan() || number(at) > number(best)) {
                best = at;
            }
        }
        (number(best).to_bits(), best as u8)
    }

    /// Few values, so that many are equal, on every instruction set of this machine.
    #[test]
    fn the_first_largest_wins_in_rows_of_any_width() {
        let mut stream = Stream::new(1, Purpose::Init, 0);
        for (width, kernel_size, stride) in (2..45)
            .flat_map(|width| [(2, 2), (3, 2), (2, 1)].map(|(k, s)| (width, k, s)))
            .filter(|(width, kernel_size, _)| width >= kernel_size)
        {
            let values = [f32::NEG_INFINITY, -1.0, 0.0, 1.0, f32::NAN];
            let mut random = || values[stream.next_u32() as usize % values.len()];
            let input: Vec<f32> = (0..5 * width).map(|_| random()).collect();
            for instruction_set in InstructionSet::available() {
                let pool = Pool {
                    height: 5,
                    width,
                    kernel_size,
                    stride,
                    instruction_set,
                };
                let windows = pool.out_height() * pool.out_width();
                let (mut output, mut winners) = (vec![9.0; windows], vec![9; windows]);
                pool.forward_max(&input, &mut output, &mut winners);
                for (i, found) in output.iter().zip(&winners).enumerate() {
                    let (y, x) = (i / pool.out_width(), i % pool.out_width());
                    let found = (found.0.to_bits(), *found.1);
                    assert_eq!(found, winner(&pool, &input, y, x), "{pool:?} {y} {x}");
                }
            }
        }
    }
}
