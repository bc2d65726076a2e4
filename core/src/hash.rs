//! BLAKE3 of a few parts, one after the other.

/// What is at most this long is brought together first: a hasher that takes it bit by bit costs more than the hash.
const SHORT: usize = 192;

/// The hash of all parts together, as if they were one.
pub(crate) fn blake3<const N: usize>(parts: [&[u8]; N]) -> [u8; 32] {
    let len = parts.iter().map(|part| part.len()).sum();
    let mut short = [0; SHORT];
    let Some(whole) = short.get_mut(..len) else {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(part);
        }
        return hasher.finalize().into();
    };
    let mut rest = &mut *whole;
    for part in parts {
        let (place, behind) = core::mem::take(&mut rest).split_at_mut(part.len());
        place.copy_from_slice(part);
        rest = behind;
    }
    blake3::hash(whole).into()
}

/// The first 64 bits of it.
pub(crate) fn blake3_64<const N: usize>(parts: [&[u8]; N]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = blake3(parts);
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// The first 128 bits of it.
pub(crate) fn blake3_128<const N: usize>(parts: [&[u8]; N]) -> u128 {
    blake3(parts).first_chunk().map_or(0, |first| u128::from_le_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn parts_are_hashed_as_if_they_were_one() {
        let bytes: Vec<u8> = (0..SHORT + 80).map(|byte| byte as u8).collect();
        for len in [0, 1, 63, 64, 65, SHORT - 1, SHORT, SHORT + 1, SHORT + 80] {
            let whole = &bytes[..len];
            let expected = *blake3::hash(whole).as_bytes();
            for (first, second) in [(0, 0), (0, len), (len / 3, len / 2), (len, len)] {
                let (head, rest) = whole.split_at(first);
                let (middle, tail) = rest.split_at(second - first);
                assert_eq!(blake3([head, middle, tail]), expected, "{len}: {first}, {second}");
            }
            assert_eq!(blake3_64([whole]).to_le_bytes(), expected[..8]);
            assert_eq!(blake3_128([whole]).to_le_bytes(), expected[..16]);
        }
    }
}
