//! Winograd's fast convolution in one dimension: four sums of K products from K + 3 products instead of 4 K.
//!
//! For four neighbouring outputs y of a kernel g over K + 3 inputs d, y = A [(G g) ⊙ (B d)]: polynomials are
//! multiplied by way of their values at K + 2 points and at infinity (Winograd, *Arithmetic Complexity of
//! Computations*, 1980; for neural networks Lavin and Gray, *Fast Algorithms for Convolutional Neural
//! Networks*, 2016). Sums over channels, and over the kernel's other dimension, are taken of the products,
//! so that the way there and back is paid once for all of them.
//!
//! In one dimension, and with these points, rounding errors are about three times those of the plain sum; in
//! both dimensions they would be multiplied twice. Points like 1/4 and 4 in the place of 1/2 and 2 make
//! them eight times as large. They are relative to the largest of the K + 3 inputs, also for those outputs that do
//! not take it.

use pulp::Simd;

/// Outputs side by side.
pub const OUTPUTS: usize = 4;

/// Where the polynomials are evaluated, besides infinity: the first ones. After 0 they come in pairs of
/// opposite sign, which share their sums of even and of odd powers.
const POINTS: [f32; 7] = [0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5];

/// The algorithm for rows of `K` taps with `N` = `K` + 3 products.
pub struct Winograd<const K: usize, const N: usize>;

impl<const K: usize, const N: usize> Winograd<K, N> {
    /// B: for each product the coefficients of the polynomial that is 0 at all other points.
    const INPUT: [[f32; N]; N] = {
        assert!(N == K + OUTPUTS - 1 && N.is_multiple_of(2) && N - 1 <= POINTS.len());
        let mut rows = [[0.0; N]; N];
        let mut j = 0;
        while j < N {
            rows[j][0] = 1.0;
            let mut point = 0;
            while point < N - 1 {
                if point != j {
                    rows[j] = times_root(rows[j], POINTS[point]);
                }
                point += 1;
            }
            j += 1;
        }
        rows
    };

    /// G: the kernel's value at each point, divided by that of the polynomial in `INPUT`; at infinity its
    /// last tap.
    const KERNEL: [[f32; K]; N] = {
        let mut rows = [[0.0; K]; N];
        let mut j = 0;
        while j < N - 1 {
            let mut divisor = 1.0;
            let mut point = 0;
            while point < N - 1 {
                if point != j {
                    divisor *= POINTS[j] - POINTS[point];
                }
                point += 1;
            }
            let mut power = 1.0;
            let mut k = 0;
            while k < K {
                rows[j][k] = power / divisor;
                power *= POINTS[j];
                k += 1;
            }
            j += 1;
        }
        rows[N - 1][K - 1] = 1.0;
        rows
    };

    /// A: the powers of each point; at infinity the last output alone.
    const OUTPUT: [[f32; N]; OUTPUTS] = {
        let mut rows = [[0.0; N]; OUTPUTS];
        let mut j = 0;
        while j < N - 1 {
            let mut power = 1.0;
            let mut i = 0;
            while i < OUTPUTS {
                rows[i][j] = power;
                power *= POINTS[j];
                i += 1;
            }
            j += 1;
        }
        rows[OUTPUTS - 1][N - 1] = 1.0;
        rows
    };

    /// The factors that a row of the kernel becomes.
    #[inline(always)]
    pub fn kernel(taps: &[f32; K]) -> [f32; N] {
        Self::KERNEL.map(|row| row.iter().zip(taps).map(|(g, tap)| g * tap).sum())
    }

    /// The factors that `N` neighbouring inputs become, lane by lane.
    #[inline(always)]
    pub fn input<S: Simd>(simd: S, inputs: [S::f32s; N]) -> [S::f32s; N] {
        let mut factors = inputs;
        // The first polynomial has even powers alone, the last one odd ones.
        factors[0] = Self::powers(simd, 0, 0, &inputs);
        factors[N - 1] = Self::powers(simd, N - 1, 1, &inputs);
        for pair in 0..N / 2 - 1 {
            let j = 2 * pair + 1;
            let even = Self::powers(simd, j, 0, &inputs);
            let odd = Self::powers(simd, j, 1, &inputs);
            factors[j] = simd.add_f32s(even, odd);
            factors[j + 1] = simd.sub_f32s(even, odd);
        }
        factors
    }

    /// What the even (`parity` 0) or the odd powers of polynomial `j` make of the inputs.
    #[inline(always)]
    fn powers<S: Simd>(simd: S, j: usize, parity: usize, inputs: &[S::f32s; N]) -> S::f32s {
        let mut sum = None;
        for i in 0..N / 2 {
            let k = 2 * i + parity;
            // All of this is known when the loops are unrolled.
            let (coefficient, input) = (Self::INPUT[j][k], inputs[k]);
            let weight = simd.splat_f32s(coefficient);
            sum = match sum {
                _ if coefficient == 0.0 => sum,
                None => Some(simd.mul_f32s(weight, input)),
                Some(sum) => Some(simd.mul_add_e_f32s(weight, input, sum)),
            };
        }
        sum.unwrap_or(simd.splat_f32s(0.0))
    }

    /// The outputs that the products, or sums of them, become, lane by lane; `bias` is added to each.
    #[inline(always)]
    pub fn output<S: Simd>(simd: S, products: [S::f32s; N], bias: S::f32s) -> [S::f32s; OUTPUTS] {
        let mut outputs = [bias; OUTPUTS];
        outputs[0] = simd.add_f32s(bias, products[0]);
        outputs[OUTPUTS - 1] = simd.add_f32s(bias, products[N - 1]);
        for pair in 0..N / 2 - 1 {
            let j = 2 * pair + 1;
            let even = simd.add_f32s(products[j], products[j + 1]);
            let odd = simd.sub_f32s(products[j], products[j + 1]);
            for i in 0..OUTPUTS {
                let weight = simd.splat_f32s(Self::OUTPUT[i][j]);
                let half = if i % 2 == 0 { even } else { odd };
                outputs[i] = simd.mul_add_e_f32s(weight, half, outputs[i]);
            }
        }
        outputs
    }

    /// The way back of [`output`](Self::output): the gradients of the products, from those of the outputs, lane
    /// by lane.
    #[inline(always)]
    pub fn output_gradient<S: Simd>(simd: S, grads: [S::f32s; OUTPUTS]) -> [S::f32s; N] {
        let mut products = [grads[0]; N];
        products[N - 1] = grads[OUTPUTS - 1];
        for pair in 0..N / 2 - 1 {
            let j = 2 * pair + 1;
            let mut halves = [simd.splat_f32s(0.0); 2];
            for i in 0..OUTPUTS {
                let weight = simd.splat_f32s(Self::OUTPUT[i][j]);
                halves[i % 2] = simd.mul_add_e_f32s(weight, grads[i], halves[i % 2]);
            }
            products[j] = simd.add_f32s(halves[0], halves[1]);
            products[j + 1] = simd.sub_f32s(halves[0], halves[1]);
        }
        products
    }

    /// The way back of [`kernel`](Self::kernel): the gradients of the taps, from those of their factors.
    #[inline(always)]
    pub fn kernel_gradient(factors: &[f32; N]) -> [f32; K] {
        let rows = || Self::KERNEL.iter().zip(factors);
        std::array::from_fn(|k| rows().map(|(row, factor)| row[k] * factor).sum())
    }
}

/// A polynomial, lowest power first, times (x − `root`).
const fn times_root<const N: usize>(polynomial: [f32; N], root: f32) -> [f32; N] {
    let mut product = [0.0; N];
    let mut power = 0;
    while power < N {
        product[power] -= root * polynomial[power];
        if power + 1 < N {
            product[power + 1] += polynomial[power];
        }
        power += 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use pulp::Scalar;

    use super::*;
    use crate::random::{Purpose, Stream};

    /// An algorithm that is linear in both factors is right if it is for all pairs of unit vectors.
    fn is_exact_for_unit_vectors<const K: usize, const N: usize>() {
        for tap in 0..K {
            for at in 0..N {
                let (mut kernel, mut inputs) = ([0.0; K], [0.0; N]);
                (kernel[tap], inputs[at]) = (1.0, 1.0);
                let kernel = Winograd::<K, N>::kernel(&kernel);
                let mut products = Winograd::<K, N>::input(Scalar::new(), inputs);
                for j in 0..N {
                    products[j] *= kernel[j];
                }
                let outputs = Winograd::<K, N>::output(Scalar::new(), products, 10.0);
                for (y, output) in outputs.iter().enumerate() {
                    let expected = if y + tap == at { 11.0 } else { 10.0 };
                    assert!(
                        (output - expected).abs() < 1e-5,
                        "{K}: {tap} {at} {outputs:?}"
                    );
                }
            }
        }
    }

    /// The gradient of tap `t` is the sum of each output's gradient times the input that it took.
    fn has_the_gradient_of_the_plain_sum<const K: usize, const N: usize>() {
        let mut stream = Stream::new(1, Purpose::Init, 0);
        let inputs: [f32; N] = std::array::from_fn(|_| stream.normal());
        let grads: [f32; OUTPUTS] = std::array::from_fn(|_| stream.normal());
        let mut products = Winograd::<K, N>::input(Scalar::new(), inputs);
        let spread = Winograd::<K, N>::output_gradient(Scalar::new(), grads);
        for j in 0..N {
            products[j] *= spread[j];
        }
        for (k, found) in Winograd::<K, N>::kernel_gradient(&products)
            .iter()
            .enumerate()
        {
            let expected: f32 = (0..OUTPUTS).map(|y| grads[y] * inputs[y + k]).sum();
            assert!(
                (found - expected).abs() < 1e-4,
                "{K}: {k} {found} {expected}"
            );
        }
    }

    /// How far four outputs, each a sum over 30 rows of a kernel, lie from the exact ones: the root of the
    /// mean square, of the algorithm and of the plain sum.
    fn rounding_errors<const K: usize, const N: usize>() -> [f64; 2] {
        let mut stream = Stream::new(1, Purpose::Init, 0);
        let mut squares = [0.0; 2];
        for _ in 0..200 {
            let (mut products, mut plain, mut exact) = ([0.0; N], [0.0; OUTPUTS], [0.0; OUTPUTS]);
            for _ in 0..30 {
                let kernel: [f32; K] = std::array::from_fn(|_| stream.normal());
                let inputs: [f32; N] = std::array::from_fn(|_| stream.normal().max(0.0));
                let factors = Winograd::<K, N>::kernel(&kernel);
                let numbers = Winograd::<K, N>::input(Scalar::new(), inputs);
                for j in 0..N {
                    products[j] += factors[j] * numbers[j];
                }
                for (y, k) in (0..OUTPUTS * K).map(|i| (i / K, i % K)) {
                    plain[y] += kernel[k] * inputs[y + k];
                    exact[y] += f64::from(kernel[k]) * f64::from(inputs[y + k]);
                }
            }
            let outputs = Winograd::<K, N>::output(Scalar::new(), products, 0.0);
            for (square, found) in squares.iter_mut().zip([outputs, plain]) {
                let errors = found
                    .iter()
                    .zip(exact)
                    .map(|(found, exact)| f64::from(*found) - exact);
                *square += errors.map(|error| error * error).sum::<f64>();
            }
        }
        squares.map(f64::sqrt)
    }

    #[test]
    fn rounding_errors_are_about_three_times_those_of_the_plain_sum() {
        for [fast, plain] in [rounding_errors::<3, 6>(), rounding_errors::<5, 8>()] {
            assert!(fast < 3.5 * plain, "{fast} {plain}");
        }
    }

    #[test]
    fn four_outputs_are_those_of_the_plain_sum() {
        is_exact_for_unit_vectors::<3, 6>();
        is_exact_for_unit_vectors::<5, 8>();
    }

    #[test]
    fn gradients_of_taps_are_those_of_the_plain_sum() {
        has_the_gradient_of_the_plain_sum::<3, 6>();
        has_the_gradient_of_the_plain_sum::<5, 8>();
    }
}
