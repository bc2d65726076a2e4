//! Primitives that cost next to nothing, have the lengths of the real ones and keep no secret. What was changed on the way
//! does not open, and what one link has sealed does not open on another.

use snow::Error;
use snow::types::{Cipher, Dh, Hash, Random};

use super::{KEY_LEN, TAG_LEN};
use crate::identity::pretend::{Checksum, scramble, words};

/// What the products that stand for public keys have in common.
const BASE: u64 = 0xd6e8_feb8_6659_fd93;

fn bytes(words: [u64; 4]) -> [u8; KEY_LEN] {
    let mut bytes = [0; KEY_LEN];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// A key pair: the public half is a product of the private one, so both sides come to the same product of all.
#[derive(Default)]
pub(super) struct Keys {
    private: [u8; KEY_LEN],
    public: [u8; KEY_LEN],
}

impl Keys {
    /// Odd, so that no factor is lost.
    fn factors(&self) -> [u64; 4] {
        words(&self.private).map(|word| word | 1)
    }
}

impl Dh for Keys {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        KEY_LEN
    }

    fn priv_len(&self) -> usize {
        KEY_LEN
    }

    fn set(&mut self, privkey: &[u8]) {
        self.private.copy_from_slice(privkey);
        self.public = bytes(self.factors().map(|factor| factor.wrapping_mul(BASE)));
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        let mut private = [0; KEY_LEN];
        rng.try_fill_bytes(&mut private)?;
        self.set(&private);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.private
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let mut product = words(pubkey.get(..KEY_LEN).ok_or(Error::Dh)?);
        for (word, factor) in product.iter_mut().zip(self.factors()) {
            *word = word.wrapping_mul(factor);
        }
        out.get_mut(..KEY_LEN).ok_or(Error::Dh)?.copy_from_slice(&bytes(product));
        Ok(())
    }
}

/// A checksum in the place of a hash.
pub(super) struct Sum(Checksum);

impl Default for Sum {
    fn default() -> Self {
        Self(Checksum::new())
    }
}

impl Hash for Sum {
    fn name(&self) -> &'static str {
        "BLAKE2s"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        KEY_LEN
    }

    fn reset(&mut self) {
        *self = Self::default();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.feed(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        for (to, from) in out.iter_mut().zip(self.0.finish()) {
            *to = from;
        }
    }
}

/// Masks with a stream that anybody could guess, and adds a checksum of it all.
#[derive(Default)]
pub(super) struct Mask {
    key: [u8; KEY_LEN],
}

impl Mask {
    fn tag(&self, nonce: u64, authtext: &[u8], masked: &[u8]) -> [u8; TAG_LEN] {
        let mut sum = Checksum::new();
        sum.feed(&self.key);
        sum.feed(&nonce.to_le_bytes());
        sum.feed(authtext);
        sum.feed(masked);
        let mut tag = [0; TAG_LEN];
        for (to, from) in tag.iter_mut().zip(sum.finish()) {
            *to = from;
        }
        tag
    }

    /// Masks, or unmasks.
    fn turn(&self, nonce: u64, from: &[u8], to: &mut [u8]) {
        let [start, step, ..] = words(&self.key);
        let (mut mask, step) = (scramble(start ^ nonce), step | 1);
        let mut next = || {
            mask = mask.wrapping_mul(BASE).wrapping_add(step);
            mask
        };
        let ((to, to_rest), (from, from_rest)) = (to.as_chunks_mut(), from.as_chunks());
        for (to, from) in to.iter_mut().zip(from) {
            *to = (u64::from_le_bytes(*from) ^ next()).to_le_bytes();
        }
        for ((to, from), mask) in to_rest.iter_mut().zip(from_rest).zip(next().to_le_bytes()) {
            *to = from ^ mask;
        }
    }
}

impl Cipher for Mask {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; KEY_LEN]) {
        self.key = *key;
    }

    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let len = plaintext.len() + TAG_LEN;
        let (masked, tag) = out
            .get_mut(..len)
            .and_then(|out| out.split_last_chunk_mut::<TAG_LEN>())
            .expect("the caller makes room for the tag");
        self.turn(nonce, plaintext, masked);
        *tag = self.tag(nonce, authtext, masked);
        len
    }

    fn decrypt(&self, nonce: u64, authtext: &[u8], ciphertext: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let (masked, tag) = ciphertext.split_last_chunk::<TAG_LEN>().ok_or(Error::Decrypt)?;
        if self.tag(nonce, authtext, masked) != *tag {
            return Err(Error::Decrypt);
        }
        self.turn(nonce, masked, out.get_mut(..masked.len()).ok_or(Error::Decrypt)?);
        Ok(masked.len())
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec::Vec;

    use super::super::super::identity::Suite;
    use super::super::{Ciphers, Forged, Handshake, Role};
    use crate::dice::Seed;

    fn side(role: Role, name: &str) -> Handshake {
        let mut secrets = Seed::from_number(1).secrets(name);
        Handshake::new(Suite::Pretended, role, b"prologue", None, &secrets.key(), Box::new(secrets.split()))
    }

    fn link() -> [Ciphers; 2] {
        let (mut one, mut other) = (side(Role::Initiator, "one"), side(Role::Responder, "other"));
        other.read(&one.write(b"").unwrap()).unwrap();
        assert_eq!(one.read(&other.write(b"who").unwrap()).unwrap(), b"who");
        assert_eq!(other.read(&one.write(b"me").unwrap()).unwrap(), b"me");
        assert_eq!(one.hash(), other.hash());
        [one.finish(), other.finish()]
    }

    #[test]
    fn both_sides_come_to_the_same_keys_and_rekey_together() {
        let [mut one, mut other] = link();
        for len in [0, 1, 7, 8, 33] {
            let plain: Vec<u8> = (0..len).collect();
            let mut sealed = Vec::new();
            one.seal(&plain, &mut sealed);
            assert_eq!(other.open(&sealed), Ok(plain));
            one.rekey_sealing();
            other.rekey_opening();
        }
    }

    #[test]
    fn a_flipped_bit_at_any_byte_does_not_open() {
        let mut sealed = Vec::new();
        link()[0].seal(b"some plain words, more than a block of them", &mut sealed);
        for at in 0..sealed.len() {
            let mut spoiled = sealed.clone();
            spoiled[at] ^= 1;
            assert_eq!(link()[1].open(&spoiled), Err(Forged), "byte {at}");
        }
        assert!(link()[1].open(&sealed).is_ok());
    }
}
