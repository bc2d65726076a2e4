//! Nodes and their like over loopback.

pub(crate) mod automerge;
pub(crate) mod document;
pub(crate) mod nats;
pub(crate) mod nodes;
pub(crate) mod pair;
pub(crate) mod plain;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod rig;
pub(crate) mod server;
pub(crate) mod yrs;

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
