//! Pooling over square windows.

use rayon::prelude::*;

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
                let rows = output.chunks_exact_mut(self.out_width());
                for (y, (output, winners)) in rows
                    .zip(winners.chunks_exact_mut(self.out_width()))
                    .enumerate()
                {
                    let top = &plane[y * self.stride * self.width..];
                    self.forward_max_row(top, output, winners);
                }
            });
    }

    /// All windows side by side, and without branches, which nobody could foresee.
    fn forward_max_row(&self, top: &[f32], output: &mut [f32], winners: &mut [u8]) {
        output.fill(f32::NEG_INFINITY);
        winners.fill(0);
        for at in 0..self.kernel_size * self.kernel_size {
            let (ky, kx) = (at / self.kernel_size, at % self.kernel_size);
            let values = top[ky * self.width + kx..].iter().step_by(self.stride);
            let windows = output.iter_mut().zip(winners.iter_mut());
            for ((largest, winner), value) in windows.zip(values) {
                let wins = ((value > largest) | value.is_nan()) & !largest.is_nan();
                *largest = if wins { *value } else { *largest };
                *winner = if wins { at as u8 } else { *winner };
            }
        }
    }

    /// Adds each output's gradient to its window's winner.
    ///
    /// # Panics
    /// If a slice's length does not fit.
    pub fn backward_max(&self, grad_output: &[f32], winners: &[u8], grad_input: &mut [f32]) {
        let out_len = self.out_height() * self.out_width();
        let planes = grad_input.par_chunks_exact_mut(self.height * self.width);
        let grads = grad_output.par_chunks_exact(out_len);
        let winners = winners.par_chunks_exact(out_len);
        assert!(planes.len() == grads.len() && planes.len() == winners.len());
        planes
            .zip(grads)
            .zip(winners)
            .with_min_len(16)
            .for_each(|((plane, grads), winners)| {
                plane.fill(0.0);
                for (i, (grad, &winner)) in grads.iter().zip(winners).enumerate() {
                    let (ky, kx) = (
                        usize::from(winner) / self.kernel_size,
                        usize::from(winner) % self.kernel_size,
                    );
                    let (y, x) = (i / self.out_width(), i % self.out_width());
                    plane[(y * self.stride + ky) * self.width + x * self.stride + kx] += grad;
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
            plane.fill(0.0);
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
