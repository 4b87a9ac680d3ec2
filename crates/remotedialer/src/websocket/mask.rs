//! Masking of frame payloads (RFC 6455, section 5.3).

/// Applies `mask` to `bytes`, which start at position `offset` of the payload. Masking twice restores the bytes.
pub(super) fn apply(bytes: &mut [u8], mut mask: [u8; 4], offset: u64) {
    mask.rotate_left(usize::try_from(offset % 4).unwrap_or_default());
    let half_mask = u64::from(u32::from_ne_bytes(mask));
    let word_mask = half_mask | half_mask << 32;
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ word_mask).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_masking_equals_bytewise_masking() {
        let mask = [1, 2, 3, 250];
        for len in 0..40 {
            for offset in 0..9_u64 {
                let mut bytes: Vec<u8> = (0..len).collect();
                let expected: Vec<u8> = (0..len)
                    .map(|i| i ^ mask[(usize::from(i) + usize::try_from(offset).unwrap()) % 4])
                    .collect();
                apply(&mut bytes, mask, offset);
                assert_eq!(bytes, expected);
            }
        }
    }
}
