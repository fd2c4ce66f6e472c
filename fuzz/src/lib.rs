//! The parsers of `tests/fuzz/parsers/` under libFuzzer.

#![allow(clippy::unwrap_used, reason = "a fuzz target fails by panicking")]

#[path = "../../tests/fuzz/parsers/mod.rs"]
pub mod parsers;

pub use libfuzzer_sys;

use parsers::parser;

/// How much longer a part may become in one mutation.
const GROWTH_BYTES: usize = 64;

/// Makes a program the fuzz target of the parser of this name.
#[macro_export]
macro_rules! fuzz {
    ($name:literal) => {
        use $crate::libfuzzer_sys;

        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            ($crate::parsers::parser($name).parse)(bytes);
        });

        libfuzzer_sys::fuzz_mutator!(|bytes: &mut [u8], size: usize, max: usize, seed: u32| {
            $crate::mutate($name, bytes, size, max, seed)
        });
    };
}

/// Mutates the first `size` of `bytes`, in which there is room for `max`; gives the new size. Where the
/// format has checksums, three of four mutations are done behind them: libFuzzer would not find one
/// that is right.
pub fn mutate(name: &str, bytes: &mut [u8], size: usize, max: usize, seed: u32) -> usize {
    let format = parser(name).format;
    let mut parts = match seed % 4 {
        0 => Vec::new(),
        _ => format.split(&bytes[..size]),
    };
    if !parts.is_empty() {
        let at = seed as usize / 4 % parts.len();
        let part = &mut parts[at];
        let part_size = part.len();
        part.resize(part_size + GROWTH_BYTES, 0);
        let part_size = libfuzzer_sys::fuzzer_mutate(part, part_size, part_size + GROWTH_BYTES);
        part.truncate(part_size);
        let joined = format.join(&parts);
        if joined.len() <= max {
            bytes[..joined.len()].copy_from_slice(&joined);
            return joined.len();
        }
    }
    libfuzzer_sys::fuzzer_mutate(bytes, size, max)
}
