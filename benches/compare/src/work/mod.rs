//! The workloads. Each is one function: an engine on an empty directory in, a sample out.

pub(crate) mod open;
pub(crate) mod puts;
pub(crate) mod reads;

use crate::engine::Key;
pub(crate) use crate::values::key;

/// Reads the first and the last byte, so that no engine gets away with handing out an address; gives the length.
#[must_use]
pub(crate) fn touch(value: &[u8]) -> usize {
    std::hint::black_box((value.first(), value.last()));
    value.len()
}

/// Keys drawn uniformly from [`Self::SPACE`] of them, or fewer, the same for every engine (an xorshift of its own: the keys must
/// cost nothing beside what is measured).
pub(crate) struct Keys {
    state: u64,
    space: u64,
}

impl Keys {
    /// How many keys there are.
    pub(crate) const SPACE: u64 = 1_000_000;

    /// Keys from a seed, one for each thread.
    #[must_use]
    pub(crate) fn new(seed: u64) -> Self {
        Self::within(seed, Self::SPACE)
    }

    /// The same, of so many keys only.
    #[must_use]
    pub(crate) fn within(seed: u64, space: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, space: space.max(1) }
    }

    /// The next key.
    pub(crate) fn next(&mut self) -> Key {
        key(self.draw() % self.space)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.draw() % bound as u64) as usize
    }

    fn draw(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}

/// The numbers below [`Keys::SPACE`], each once, in no order.
#[must_use]
pub(crate) fn shuffled() -> Vec<u64> {
    let mut order = Keys::new(5);
    let mut numbers: Vec<u64> = (0..Keys::SPACE).collect();
    for at in (1..numbers.len()).rev() {
        numbers.swap(at, order.below(at + 1));
    }
    numbers
}
