//! One seed in, independent streams out. Nothing in this crate asks the operating system for randomness.

use rand_chacha::rand_core::{Rng, SeedableRng};
use rand_chacha::{ChaCha12Rng, ChaCha20Rng};

/// Everything random in a node derives from these 32 bytes. The embedder draws them once from the best source it has;
/// a simulator writes them down.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl core::fmt::Debug for Seed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seed(..)")
    }
}

impl Seed {
    /// A seed from a small number, for tests and simulations.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Self(bytes)
    }

    /// The stream of one subsystem. Streams of different names are independent, so that one more draw in one
    /// subsystem does not shift another.
    #[must_use]
    pub fn stream(&self, name: &str) -> Dice {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(name.as_bytes());
        Dice(ChaCha12Rng::from_seed(*hasher.finalize().as_bytes()))
    }

    /// The stream of keys of one subsystem; independent of every [`Self::stream`], also of that of the same name.
    #[must_use]
    pub fn secrets(&self, name: &str) -> Secrets {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"secrets:").update(name.as_bytes());
        Secrets(ChaCha20Rng::from_seed(*hasher.finalize().as_bytes()))
    }
}

/// A stream that keys are made of. It cannot be cloned: a copy would hand out the same keys again.
pub struct Secrets(ChaCha20Rng);

impl Secrets {
    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// 32 random bytes, for a key.
    pub fn key(&mut self) -> [u8; 32] {
        let mut key = [0; 32];
        self.fill(&mut key);
        key
    }

    /// An independent stream, for one link say.
    pub fn split(&mut self) -> Self {
        Self(ChaCha20Rng::from_seed(self.key()))
    }
}

impl core::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

/// One subsystem's stream of random numbers.
#[derive(Clone, Debug)]
pub struct Dice(ChaCha12Rng);

impl Dice {
    /// An independent stream, for one part of a subsystem.
    pub fn split(&mut self) -> Self {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// 16 random bytes, for an id.
    pub fn next_id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        self.0.fill_bytes(&mut id);
        id
    }

    /// A number in `0..bound`; 0 when `bound` is 0. The bias for bounds far below 2^64 is beneath notice.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let seed = Seed::from_number(7);
        assert_eq!(seed.stream("a").next_u64(), seed.stream("a").next_u64());
        assert_ne!(seed.stream("a").next_u64(), seed.stream("b").next_u64());
        assert_ne!(seed.stream("a").next_u64(), Seed::from_number(8).stream("a").next_u64());
    }

    #[test]
    fn secrets_are_apart_from_dice_and_from_their_children() {
        let seed = Seed::from_number(7);
        let mut secrets = seed.secrets("a");
        let mut dice = [0; 32];
        dice[..8].copy_from_slice(&seed.stream("a").next_u64().to_le_bytes());
        assert_ne!(secrets.key()[..8], dice[..8]);
        let mut again = seed.secrets("a");
        again.key();
        assert_eq!(secrets.split().key(), again.split().key());
        assert_ne!(secrets.split().key(), secrets.key());
    }

    #[test]
    fn below_stays_below() {
        let mut dice = Seed::from_number(1).stream("t");
        assert!((0..1000).all(|_| dice.below(7) < 7));
        assert_eq!(dice.below(0), 0);
    }
}
