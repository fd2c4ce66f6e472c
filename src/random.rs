//! Counter-based random numbers: every draw is a pure function of a seed and of what it is for.
//!
//! Nothing has to be stored or carried along, so threads, a resumed training and another machine
//! agree by construction. The generator is Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel
//! Random Numbers: As Easy as 1, 2, 3", SC 2011).

/// What a stream of random numbers is for; streams of different purposes are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// The initial value of a parameter; the index is [`index_of`] its name.
    Init = 1,
    /// The order of the training images; the index is the epoch.
    Order = 2,
    /// How far a training image is moved; the index is the epoch in the upper half and the image
    /// in the lower.
    Shift = 3,
    /// How a training image is turned and scaled; the index is as for [`Purpose::Shift`].
    Affine = 4,
    /// Which numbers dropout sets to 0. Keys of masks come from it, with a layer and then with epoch
    /// and image as for a shift, and from such a key the mask, with the index 0.
    Dropout = 5,
}

/// A stream of random numbers.
///
/// ```
/// use cnn_tb::random::{Purpose, Stream};
/// let mut first = Stream::new(7, Purpose::Order, 3);
/// let mut again = Stream::new(7, Purpose::Order, 3);
/// assert_eq!(first.next_u32(), again.next_u32());
/// ```
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u32; 2],
    counter: [u32; 4],
    block: [u32; 4],
    used: usize,
}

impl Stream {
    /// The stream of `seed` for one `purpose` and one `index` (an epoch, a sample, a parameter).
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let (index_high, index_low) = halves(index);
        let (seed_high, seed_low) = halves(seed);
        Self {
            key: [seed_low, seed_high],
            counter: [0, purpose as u32, index_low, index_high],
            block: [0; 4],
            used: 4,
        }
    }

    /// 32 uniformly distributed bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.block = philox4x32(self.counter, self.key);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// Fills `numbers` with 32 uniformly distributed bits each, from the next block of four on: from a new
    /// stream, with what as many calls of [`next_u32`](Self::next_u32) give.
    ///
    /// The compiler draws several blocks side by side with the instructions that the caller may use.
    #[inline(always)]
    pub fn fill(&mut self, numbers: &mut [u32]) {
        let [first, others @ ..] = self.counter;
        let block = |i: u32| {
            let [second, third, last] = others;
            philox4x32([first.wrapping_add(i), second, third, last], self.key)
        };
        let (blocks, rest) = numbers.as_chunks_mut();
        for (i, numbers) in blocks.iter_mut().enumerate() {
            *numbers = block(i as u32);
        }
        if !rest.is_empty() {
            rest.copy_from_slice(&block(blocks.len() as u32)[..rest.len()]);
        }
        let count = numbers.len().div_ceil(4) as u32;
        self.counter[0] = first.wrapping_add(count);
        self.used = 4;
    }

    /// 64 uniformly distributed bits.
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) << 32 | u64::from(self.next_u32())
    }

    /// A whole number in `0..bound`, without bias (Lemire, "Fast Random Integer Generation in an
    /// Interval", 2019). A bound of 0 gives 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        loop {
            let product = u64::from(self.next_u32()) * u64::from(bound);
            let (high, low) = halves(product);
            if low >= bound.wrapping_neg().checked_rem(bound).unwrap_or(0) {
                return high;
            }
        }
    }

    /// A number in `[0, 1)` with 24 random bits.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// A draw from the standard normal distribution (Box and Muller, 1958).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - f64::from(self.uniform())).ln()).sqrt();
        (radius * (std::f64::consts::TAU * f64::from(self.uniform())).cos()) as f32
    }

    /// A draw from the standard normal distribution cut off at two standard deviations, as
    /// TensorFlow's `truncated_normal` has it: what lies outside is drawn again.
    pub fn truncated_normal(&mut self) -> f32 {
        loop {
            let draw = self.normal();
            if draw.abs() < 2.0 {
                return draw;
            }
        }
    }

    /// The numbers `0..count` in random order (Fisher and Yates).
    pub fn permutation(&mut self, count: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last as usize, self.below(last + 1) as usize);
        }
        order
    }
}

/// A stream index for a name: its 64-bit FNV-1a hash.
pub fn index_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn halves(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

#[inline(always)]
fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key = [
                key[0].wrapping_add(0x9E37_79B9),
                key[1].wrapping_add(0xBB67_AE85),
            ];
        }
        let (high0, low0) = halves(u64::from(counter[0]) * 0xD251_1F53);
        let (high1, low1) = halves(u64::from(counter[2]) * 0xCD9E_8D57);
        counter = [
            high1 ^ counter[1] ^ key[0],
            low1,
            high0 ^ counter[3] ^ key[1],
            low0,
        ];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of Random123 (`tests/kat_vectors`, philox4x32 10).
    #[test]
    fn philox_known_answers() {
        assert_eq!(
            philox4x32([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox4x32([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn a_filled_slice_holds_what_single_draws_give() {
        for len in [0, 1, 4, 31, 32, 33, 100] {
            let mut single = Stream::new(7, Purpose::Dropout, 3);
            let mut filled = single.clone();
            let draws: Vec<u32> = (0..len).map(|_| single.next_u32()).collect();
            let mut numbers = vec![0; len];
            filled.fill(&mut numbers);
            assert_eq!(numbers, draws);
            // The next block, whatever was left of the last one.
            let used: usize = len.next_multiple_of(4) - len;
            let next = (0..=used).map(|_| single.next_u32()).last();
            assert_eq!(Some(filled.next_u32()), next);
        }
    }

    #[test]
    fn streams_of_other_purpose_index_or_seed_differ() {
        let draw = |seed, purpose, index| Stream::new(seed, purpose, index).next_u32();
        let base = draw(1, Purpose::Init, 1);
        assert_ne!(base, draw(2, Purpose::Init, 1));
        assert_ne!(base, draw(1, Purpose::Order, 1));
        assert_ne!(base, draw(1, Purpose::Init, 2));
        assert_ne!(base, draw(1, Purpose::Init, 1 << 32));
        assert_ne!(base, draw(1 << 32, Purpose::Init, 1));
    }

    #[test]
    fn permutation_holds_every_number_once() {
        for count in [0, 1, 2, 1000] {
            let mut order = Stream::new(3, Purpose::Order, 0).permutation(count);
            order.sort_unstable();
            assert!(order.into_iter().eq(0..count));
        }
    }

    #[test]
    fn normal_draws_have_mean_0_and_variance_1() {
        let mut stream = Stream::new(5, Purpose::Init, index_of("conv1.weight"));
        let draws: Vec<f64> = (0..100_000).map(|_| f64::from(stream.normal())).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.03, "{variance}");
        assert!((0..10_000).all(|_| stream.truncated_normal().abs() < 2.0));
    }
}
