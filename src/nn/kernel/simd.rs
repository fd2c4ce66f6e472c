//! Which vector instructions the kernels use: decided once, while the program runs.

use std::sync::OnceLock;

use pulp::bytemuck::cast_slice;
use pulp::{Scalar, Simd, WithSimd};

/// A family of vector instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstructionSet {
    /// Plain code for any processor.
    Portable,
    /// AArch64, 4 numbers at a time.
    Neon,
    /// x86-64 with AVX2 and FMA (2013 and later), 8 numbers at a time.
    Avx2,
    /// x86-64 with AVX-512, 16 numbers at a time.
    Avx512,
}

impl InstructionSet {
    /// The widest set of this machine, or the one that the environment variable
    /// `CNN_TB_INSTRUCTION_SET` names (`portable`, `neon`, `avx2`, `avx512`) if the machine has it.
    pub fn current() -> Self {
        static CURRENT: OnceLock<InstructionSet> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            let wanted = std::env::var("CNN_TB_INSTRUCTION_SET").unwrap_or_default();
            let available = Self::available();
            let named = available.iter().find(|set| set.name() == wanted);
            *named.unwrap_or(&available[available.len() - 1])
        })
    }

    /// The sets of this machine, the widest last.
    pub fn available() -> Vec<Self> {
        let all = [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512];
        all.into_iter().filter(|set| set.is_available()).collect()
    }

    /// As in `CNN_TB_INSTRUCTION_SET`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    fn is_available(self) -> bool {
        struct Nothing;
        impl WithSimd for Nothing {
            type Output = ();
            fn with_simd<S: Simd>(self, _: S) {}
        }
        self.try_run(Nothing).is_ok()
    }

    /// Runs `op` with these instructions, or with plain code where the machine lacks them.
    pub fn run<Op: WithSimd>(self, op: Op) -> Op::Output {
        self.try_run(op).unwrap_or_else(|op| op.with_simd(Scalar))
    }

    /// Gives `op` back where the machine lacks these instructions.
    #[cfg_attr(not(target_arch = "x86_64"), allow(clippy::match_same_arms))]
    fn try_run<Op: WithSimd>(self, op: Op) -> Result<Op::Output, Op> {
        match self {
            Self::Portable => Ok(op.with_simd(Scalar)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => match pulp::x86::V4::try_new() {
                Some(simd) => Ok(Simd::vectorize(simd, op)),
                None => Err(op),
            },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => match pulp::x86::V3::try_new() {
                Some(simd) => Ok(Simd::vectorize(simd, op)),
                None => Err(op),
            },
            #[cfg(target_arch = "aarch64")]
            Self::Neon => match pulp::aarch64::Neon::try_new() {
                Some(simd) => Ok(Simd::vectorize(simd, op)),
                None => Err(op),
            },
            _ => Err(op),
        }
    }
}

impl InstructionSet {
    /// Numbers in a vector.
    pub fn lanes(self) -> usize {
        match self {
            Self::Portable => 1,
            Self::Neon => 4,
            Self::Avx2 => 8,
            Self::Avx512 => 16,
        }
    }
}

/// The `N` numbers from `at` on.
///
/// # Panics
/// If there are fewer.
#[inline(always)]
pub fn chunk<const N: usize>(numbers: &[f32], at: usize) -> &[f32; N] {
    match numbers[at..].first_chunk() {
        Some(chunk) => chunk,
        None => panic!("{N} numbers from {at} on, of {}", numbers.len()),
    }
}

/// The vector from `at` on.
///
/// # Panics
/// If there are fewer numbers than a vector holds.
#[inline(always)]
pub fn load<S: Simd>(numbers: &[f32], at: usize) -> S::f32s {
    S::as_simd_f32s(&numbers[at..at + S::F32_LANES]).0[0]
}

/// The place of a vector from `at` on.
///
/// # Panics
/// If there are fewer numbers than a vector holds.
#[inline(always)]
pub fn load_mut<S: Simd>(numbers: &mut [f32], at: usize) -> &mut S::f32s {
    &mut S::as_mut_simd_f32s(&mut numbers[at..at + S::F32_LANES]).0[0]
}

/// Lane by lane the largest of four numbers, and which it was. Among equal ones the first wins; a
/// NaN wins over every number.
#[inline(always)]
pub fn first_largest<S: Simd>(simd: S, window: [S::f32s; 4]) -> (S::f32s, S::u32s) {
    let (mut largest, mut winner) = (window[0], simd.splat_u32s(0));
    for (i, &number) in window.iter().enumerate().skip(1) {
        let not_above = simd.less_than_or_equal_f32s(number, largest);
        let is_number = simd.equal_f32s(largest, largest);
        let wins = simd.and_m32s(simd.not_m32s(not_above), is_number);
        largest = simd.select_f32s(wins, number, largest);
        winner = simd.select_u32s(wins, simd.splat_u32s(i as u32), winner);
    }
    (largest, winner)
}

/// Lane by lane 0 for a number that is not above 0, and `stopped` in place of its winner; a NaN
/// goes through.
#[inline(always)]
pub fn relu<S: Simd>(
    simd: S,
    number: S::f32s,
    winner: S::u32s,
    stopped: u32,
) -> (S::f32s, S::u32s) {
    let zero = simd.splat_f32s(0.0);
    let stops = simd.less_than_or_equal_f32s(number, zero);
    let winner = simd.select_u32s(stops, simd.splat_u32s(stopped), winner);
    (simd.select_f32s(stops, zero, number), winner)
}

/// The numbers of a vector.
#[inline(always)]
pub fn numbers<S: Simd>(vector: &S::f32s) -> &[f32] {
    cast_slice(std::slice::from_ref(vector))
}

/// The whole numbers of a vector.
#[inline(always)]
pub fn whole_numbers<S: Simd>(vector: &S::u32s) -> &[u32] {
    cast_slice(std::slice::from_ref(vector))
}
