//! Decisions that look random and are a pure function of what they are about.
//!
//! A run draws no randomness: whatever must be decided while it runs (which unsynced sectors a power loss keeps, how
//! long an operation takes) is computed from a salt written in the plan and from *names* (inode, sector, ordinal). An
//! item taken out
//! of the plan by the minimiser therefore does not change how the others turn out.

/// 64 well-mixed bits of `salt` and two names (the finaliser of SplitMix64, applied to each).
#[must_use]
pub const fn mix(salt: u64, a: u64, b: u64) -> u64 {
    scramble(scramble(scramble(salt).wrapping_add(a)).wrapping_add(b))
}

/// A number in `0..bound`; 0 when `bound` is 0.
#[must_use]
pub const fn below(bits: u64, bound: u64) -> u64 {
    ((bits as u128 * bound as u128) >> 64) as u64
}

/// Whether an event of this probability, in percent, happens.
#[must_use]
pub const fn percent(bits: u64, chance: u64) -> bool {
    below(bits, 100) < chance
}

/// 64 bits of `salt` and of every byte. Whole stores are compared by it, so a word costs one multiplication.
#[must_use]
pub fn digest(salt: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks();
    let hash = words.iter().fold(mix(salt, bytes.len() as u64, 1), |hash, word| fold(hash, u64::from_le_bytes(*word)));
    let last = rest.iter().fold(0, |last, byte| last << 8 | u64::from(*byte));
    mix(hash, last, 0)
}

/// Every bit of the product counts, the upper ones too.
const fn fold(hash: u64, word: u64) -> u64 {
    let product = (hash ^ word) as u128 * 0x9e37_79b9_7f4a_7c15;
    product as u64 ^ (product >> 64) as u64
}

const fn scramble(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// 64 bits of a text, for use as a name (FNV-1a).
#[must_use]
pub fn name(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
