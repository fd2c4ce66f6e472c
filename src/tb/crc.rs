//! The masked CRC-32C that guards every record.

/// The CRC-32C (Castagnoli) of `bytes`, masked: rotated right by 15 bits, plus a constant.
///
/// The mask keeps a checksum from being computed over bytes that hold checksums. The polynomial is
/// not the IEEE one of zlib and PNG: TensorBoard rejects that. Source: `masked_crc.rs` in
/// <https://github.com/tensorflow/tensorboard/tree/70b76c92/tensorboard/data/server>.
///
/// ```
/// assert_eq!(cnn_tb::tb::crc::masked_crc32c(b"123456789"), 0xc78a_b0e5);
/// ```
#[inline]
pub fn masked_crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let cases: [(&[u8], u32, u32); 3] = [
            (b"", 0x0000_0000, 0xa282_ead8),
            (b"123456789", 0xe306_9283, 0xc78a_b0e5),
            // RFC 3720, appendix B.4.
            (&[0; 32], 0x8a91_36aa, 0x0fd7_fffa),
        ];
        for (bytes, plain, masked) in cases {
            assert_eq!(crc32c::crc32c(bytes), plain);
            assert_eq!(masked_crc32c(bytes), masked);
        }
        assert_eq!(masked_crc32c(&24_u64.to_le_bytes()), 0x224b_7fa3);
    }
}
