//! The keys and values of replication. The peer that is a program of its own (`benches/iroh`) takes in this very file.

/// The key of a number: numbers in order give keys in order.
#[must_use]
pub(crate) fn key(number: u64) -> [u8; 16] {
    let mut key = *b"key-000000000000";
    let mut rest = number;
    for digit in key.iter_mut().rev().take(12) {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// A value without a pattern, so that compression gains nothing.
#[must_use]
pub(crate) fn noise(number: u64, len: usize) -> Vec<u8> {
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Another number for each number below 10^12, in no order: whoever inserts the keys of these has to search.
#[must_use]
pub(crate) fn spread(number: u64) -> u64 {
    // A power of three has no factor in common with a power of ten.
    (u128::from(number) * 387_420_489 % 1_000_000_000_000) as u64
}
