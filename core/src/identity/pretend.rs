//! A checksum in the place of every hash, key and signature, for simulations that judge everything but the cryptography. It
//! keeps no secret and convinces nobody; it does notice every change of what it covers.

use super::{NodeKey, Purpose, Signature};

const ODD: [u64; 4] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xd6e8_feb8_6659_fd93];

/// Takes bytes in any number of parts and gives 32 that depend on all of them.
#[derive(Clone, Copy)]
pub(crate) struct Checksum([u64; 4]);

impl Checksum {
    pub(crate) const fn new() -> Self {
        Self(ODD)
    }

    /// Takes in one part. Where a part ends matters.
    pub(crate) fn feed(&mut self, part: &[u8]) {
        let (blocks, rest) = part.as_chunks::<32>();
        for block in blocks {
            if let ([a, b, c, d], []) = block.as_chunks() {
                let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
                self.stir([word(a), word(b), word(c), word(d)]);
            }
        }
        self.stir(words(rest));
        self.stir([part.len() as u64; 4]);
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        let Self([a, b, c, d]) = self;
        let all = a ^ b.rotate_left(17) ^ c.rotate_left(31) ^ d.rotate_left(47);
        let mut bytes = [0; 32];
        for (place, lane) in bytes.chunks_exact_mut(8).zip(self.0) {
            place.copy_from_slice(&scramble(lane ^ all.rotate_left(7)).wrapping_add(scramble(all)).to_le_bytes());
        }
        bytes
    }

    fn stir(&mut self, block: [u64; 4]) {
        let turn = |lane: u64, word: u64, odd: u64| (lane ^ word).wrapping_mul(odd).rotate_left(29);
        let (Self([a, b, c, d]), [e, f, g, h]) = (*self, block);
        let [i, j, k, l] = ODD;
        *self = Self([turn(a, e, i), turn(b, f, j), turn(c, g, k), turn(d, h, l)]);
    }
}

/// At most 32 bytes as four words.
pub(crate) fn words(bytes: &[u8]) -> [u64; 4] {
    let mut block = [0; 32];
    if let Some(place) = block.get_mut(..bytes.len()) {
        place.copy_from_slice(bytes);
    }
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

/// A word that looks like any other (the finaliser of SplitMix64).
pub(crate) const fn scramble(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(ODD[1]);
    let word = (word ^ (word >> 27)).wrapping_mul(ODD[2]);
    word ^ (word >> 31)
}

/// What stands for the signature of a key: anybody can make it.
pub(super) fn sign(key: &NodeKey, purpose: Purpose, message: &[u8]) -> Signature {
    let mut sum = Checksum::new();
    sum.feed(&key.0);
    sum.feed(purpose.prefix());
    sum.feed(message);
    let half = sum.finish();
    let mut signature = [0; 64];
    for part in signature.chunks_exact_mut(32) {
        part.copy_from_slice(&half);
    }
    Signature(signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn every_bit_and_every_length_matters() {
        for len in [0, 1, 8, 31, 32, 33, 64, 100] {
            let message = vec![0x5a; len];
            let sum = |message: &[u8]| {
                let mut sum = Checksum::new();
                sum.feed(message);
                sum.finish()
            };
            let whole = sum(&message);
            for bit in 0..len * 8 {
                let mut spoiled = message.clone();
                spoiled[bit / 8] ^= 1 << (bit % 8);
                let halves = [sum(&spoiled), whole].map(|sum| sum[..16].to_vec());
                assert_ne!(halves[0], halves[1], "bit {bit} of {len} bytes");
            }
            assert_ne!(sum(&[&message[..], &[0]].concat()), whole, "a zero behind {len} bytes");
        }
    }
}
