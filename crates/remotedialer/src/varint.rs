//! Zig-zag varints as Go's `encoding/binary` writes signed integers.

use crate::error::ProtocolError;

/// The maximum length of an encoded 64-bit integer, in bytes.
pub(crate) const MAX_LEN: usize = 10;

/// Appends `value` to `out`.
pub(crate) fn write(out: &mut impl Extend<u8>, value: i64) {
    let mut remaining = (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned();
    while remaining >= 0x80 {
        out.extend([low_bits(remaining) | 0x80]);
        remaining >>= 7;
    }
    out.extend([low_bits(remaining)]);
}

/// Reads a value from the start of `input`. Returns it with its encoded length, or `None` if `input` ends first.
pub(crate) fn read(input: &[u8]) -> Result<Option<(i64, usize)>, ProtocolError> {
    let mut zigzag = 0_u64;
    for (index, &byte) in input.iter().take(MAX_LEN).enumerate() {
        // Nine bytes hold 63 bits, so the tenth holds one.
        if index == MAX_LEN - 1 && byte > 1 {
            return Err(ProtocolError::VarintTooLong);
        }
        zigzag |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            let value = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
            return Ok(Some((value, index + 1)));
        }
    }
    Ok(None)
}

fn low_bits(value: u64) -> u8 {
    u8::try_from(value & 0x7f).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, value);
        out
    }

    #[test]
    fn known_values_match_go() {
        assert_eq!(encode(15000), [0xb0, 0xea, 0x01]);
        assert_eq!(encode(4), [0x08]);
        assert_eq!(encode(-1), [0x01]);
        assert_eq!(
            encode(6_937_068_899_886_200_261),
            [0x8a, 0xd7, 0x83, 0x82, 0xa1, 0xda, 0xb5, 0xc5, 0xc0, 0x01]
        );
    }

    #[test]
    fn extreme_values_round_trip() {
        for value in [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN] {
            let bytes = encode(value);
            assert_eq!(read(&bytes), Ok(Some((value, bytes.len()))));
        }
    }

    #[test]
    fn eleven_bytes_are_rejected() {
        assert_eq!(read(&[0xff; 11]), Err(ProtocolError::VarintTooLong));
        assert_eq!(read(&[0xff; 9]), Ok(None));
    }
}
