//! Which vector instructions the kernels use: decided once, while the program runs.

use std::sync::atomic::{AtomicU8, Ordering};

use pulp::{Scalar, Simd, WithSimd};
use serde::{Deserialize, Serialize};

/// A family of vector instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstructionSet {
    /// Plain code for any processor.
    Portable,
    /// AArch64, 4 numbers at a time.
    Neon,
    /// x86-64 with AVX2 and FMA (2013 and later), 8 numbers at a time.
    Avx2,
    /// x86-64 with AVX-512, 16 numbers at a time, or 8 as with AVX2 where there are no more.
    Avx512,
}

/// The index in [`InstructionSet::ALL`], or another number before it is known.
static CURRENT: AtomicU8 = AtomicU8::new(u8::MAX);

/// Instructions that this machine lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this machine has no {} instructions; it has: {}", asked.name(), names(&InstructionSet::available()))]
pub struct NotAvailable {
    /// The set that was asked for.
    pub asked: InstructionSet,
}

fn names(sets: &[InstructionSet]) -> String {
    let names: Vec<_> = sets.iter().map(|set| set.name()).collect();
    names.join(", ")
}

impl InstructionSet {
    /// Every set, the widest last.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512];

    /// The set that ops use: the widest of this machine, or what [`select`](Self::select) was told.
    pub fn current() -> Self {
        match Self::ALL.get(usize::from(CURRENT.load(Ordering::Relaxed))) {
            Some(set) => *set,
            None => {
                let available = Self::available();
                let widest = available[available.len() - 1];
                CURRENT.store(widest as u8, Ordering::Relaxed);
                widest
            }
        }
    }

    /// Makes all ops of this process use this set from now on. For measuring and for tests.
    ///
    /// ```
    /// use cnn_tb::nn::InstructionSet;
    /// InstructionSet::Portable.select()?;
    /// assert_eq!(InstructionSet::current(), InstructionSet::Portable);
    /// # Ok::<(), cnn_tb::nn::NotAvailable>(())
    /// ```
    ///
    /// # Errors
    /// [`NotAvailable`] where the machine lacks it.
    pub fn select(self) -> Result<(), NotAvailable> {
        if !self.is_available() {
            return Err(NotAvailable { asked: self });
        }
        CURRENT.store(self as u8, Ordering::Relaxed);
        Ok(())
    }

    /// As on the command line and in `config.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// The sets of this machine, the widest last.
    pub fn available() -> Vec<Self> {
        let all = Self::ALL.into_iter();
        all.filter(|set| set.is_available()).collect()
    }

    fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => pulp::x86::V4::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => pulp::x86::V3::is_available(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => pulp::aarch64::Neon::is_available(),
            _ => false,
        }
    }

    /// Runs `op` with these instructions, or with plain code where the machine lacks them.
    ///
    /// Plain code is called in one place: for each, the compiler makes the whole of `op` once more.
    pub fn run<Op: WithSimd>(self, op: Op) -> Op::Output {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Avx512
            && let Some(simd) = pulp::x86::V4::try_new()
        {
            return Simd::vectorize(simd, op);
        }
        #[cfg(target_arch = "x86_64")]
        if self == Self::Avx2
            && let Some(simd) = pulp::x86::V3::try_new()
        {
            return Simd::vectorize(simd, op);
        }
        #[cfg(target_arch = "aarch64")]
        if self == Self::Neon
            && let Some(simd) = pulp::aarch64::Neon::try_new()
        {
            return Simd::vectorize(simd, op);
        }
        op.with_simd(Scalar)
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

    /// These instructions, or AVX2's in the place of AVX-512's where one of its vectors holds `count`
    /// numbers: what would be left empty of the wider ones costs time, on some processors as much as what
    /// is not.
    pub(super) fn for_vectors_of(self, count: usize) -> Self {
        match self {
            Self::Avx512 if count <= Self::Avx2.lanes() => Self::Avx2,
            set => set,
        }
    }
}

/// Plain loops, for [`InstructionSet::run`]: the compiler makes them of the instructions it may use.
///
/// The closure borrows what it works on. One that consumes something, or that is called through
/// `FnOnce`, may not be inlined, and is then compiled for any processor.
pub struct Loop<F>(pub F);

impl<R, F: FnMut() -> R> WithSimd for Loop<F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> R {
        (self.0)()
    }
}

/// Numbers that begin at a cache line: a vector of them never lies across two.
pub struct Aligned {
    numbers: Vec<f32>,
    skipped: usize,
    len: usize,
}

impl Aligned {
    /// Bytes of a cache line, and of the widest vector.
    const LINE: usize = 64;

    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let numbers = vec![0.0f32; len + Self::LINE / size_of::<f32>()];
        let skipped = numbers.as_ptr().align_offset(Self::LINE);
        Self {
            // An allocator that cannot tell costs speed, no more.
            skipped: skipped.min(numbers.len() - len),
            numbers,
            len,
        }
    }

    /// The numbers.
    pub fn numbers(&self) -> &[f32] {
        &self.numbers[self.skipped..][..self.len]
    }

    /// The numbers, to be changed.
    pub fn numbers_mut(&mut self) -> &mut [f32] {
        &mut self.numbers[self.skipped..][..self.len]
    }

    /// The numbers as vectors, without those that fill none.
    pub fn vectors<S: Simd>(&self) -> &[S::f32s] {
        S::as_simd_f32s(self.numbers()).0
    }

    /// As [`vectors`](Self::vectors), to be changed.
    pub fn vectors_mut<S: Simd>(&mut self) -> &mut [S::f32s] {
        S::as_mut_simd_f32s(self.numbers_mut()).0
    }
}

/// `N` elements from `at` on; `None` if there are fewer.
///
/// Kernels leave their loop for `None`, which never comes, instead of panicking: a loop that can
/// panic has to keep its sums in memory, not in registers.
#[inline(always)]
pub fn chunk<T, const N: usize>(elements: &[T], at: usize) -> Option<&[T; N]> {
    elements.get(at..)?.first_chunk()
}

/// The numbers at the beginning of `from`, and zeros where it has fewer than a vector.
#[inline(always)]
pub fn load_f32s<S: Simd>(simd: S, from: &[f32]) -> S::f32s {
    match S::as_simd_f32s(from).0.first() {
        Some(vector) => *vector,
        None => simd.partial_load_f32s(from),
    }
}

/// Puts the first `count` numbers of a vector, or all, at the beginning of `to`.
#[inline(always)]
pub fn store_f32s<S: Simd>(simd: S, to: &mut [f32], count: usize, vector: S::f32s) {
    match S::as_mut_simd_f32s(to).0.first_mut() {
        Some(to) if count >= S::F32_LANES => *to = vector,
        _ => simd.partial_store_f32s(&mut to[..count.min(S::F32_LANES)], vector),
    }
}

/// As [`store_f32s`], for whole numbers.
#[inline(always)]
pub fn store_u32s<S: Simd>(simd: S, to: &mut [u32], count: usize, vector: S::u32s) {
    match S::as_mut_simd_u32s(to).0.first_mut() {
        Some(to) if count >= S::F32_LANES => *to = vector,
        _ => simd.partial_store_u32s(&mut to[..count.min(S::F32_LANES)], vector),
    }
}

/// Lane by lane the largest of a window's four numbers or 0, and which it was: the first among equal
/// ones, `stopped` for 0. A NaN wins over every number and goes through, if there `may_be_nan`.
#[inline(always)]
pub fn pool_relu<S: Simd>(
    simd: S,
    window: [S::f32s; 4],
    may_be_nan: bool,
    stopped: u8,
) -> (S::f32s, S::u32s) {
    let zero = simd.splat_f32s(0.0);
    let (mut largest, mut winner) = (window[0], simd.splat_u32s(0));
    for i in 1..4 {
        let wins = if may_be_nan {
            let not_above = simd.less_than_or_equal_f32s(window[i], largest);
            let is_number = simd.equal_f32s(largest, largest);
            simd.and_m32s(simd.not_m32s(not_above), is_number)
        } else {
            simd.less_than_f32s(largest, window[i])
        };
        largest = simd.select_f32s(wins, window[i], largest);
        winner = simd.select_u32s(wins, simd.splat_u32s(i as u32), winner);
    }
    let stops = simd.less_than_or_equal_f32s(largest, zero);
    let winner = simd.select_u32s(stops, simd.splat_u32s(u32::from(stopped)), winner);
    (simd.select_f32s(stops, zero, largest), winner)
}
