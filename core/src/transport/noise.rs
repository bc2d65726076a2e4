//! The one place that touches the Noise library: `Noise_XX_25519_ChaChaPoly_BLAKE2s`, or `XXpsk3` of the same where
//! the network has a secret. Randomness is handed in, once.

#[cfg(feature = "pretend")]
mod pretend;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};

use super::identity::{NetworkSecret, Suite};
use crate::dice::Secrets;

/// Bytes that sealing adds.
pub(super) const TAG_LEN: usize = 16;
/// The greatest sealed message.
pub(super) const MAX_SEALED: usize = 65_535;
const KEY_LEN: usize = 32;
/// Which message takes in the secret: the third.
const SECRET_AT: u8 = 3;

/// Which side of a link this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It dialled.
    Initiator,
    /// It was dialled.
    Responder,
}

impl Role {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }
}

/// The bytes did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forged;

impl Random for Secrets {
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), snow::Error> {
        self.fill(bytes);
        Ok(())
    }
}

/// The primitives of a suite, and a random stream that can be taken once: a second taker would draw the same keys.
struct Resolver {
    suite: Suite,
    random: Cell<Option<Box<dyn Random>>>,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        self.random.take()
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match self.suite {
            Suite::Real => DefaultResolver.resolve_dh(choice),
            #[cfg(feature = "pretend")]
            Suite::Pretended => Some(Box::<pretend::Keys>::default()),
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        match self.suite {
            Suite::Real => DefaultResolver.resolve_hash(choice),
            #[cfg(feature = "pretend")]
            Suite::Pretended => Some(Box::<pretend::Sum>::default()),
        }
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        match self.suite {
            Suite::Real => DefaultResolver.resolve_cipher(choice),
            #[cfg(feature = "pretend")]
            Suite::Pretended => Some(Box::<pretend::Mask>::default()),
        }
    }
}

/// A handshake under way.
pub(super) struct Handshake {
    state: snow::HandshakeState,
}

impl Handshake {
    /// Begins one. `random` gives the ephemeral key and nothing else.
    pub(super) fn new(
        suite: Suite,
        role: Role,
        prologue: &[u8],
        secret: Option<&NetworkSecret>,
        private: &[u8; KEY_LEN],
        random: Box<dyn Random>,
    ) -> Self {
        let name = match secret {
            None => "Noise_XX_25519_ChaChaPoly_BLAKE2s",
            Some(_) => "Noise_XXpsk3_25519_ChaChaPoly_BLAKE2s",
        };
        let build = || {
            let resolver = Box::new(Resolver { suite, random: Cell::new(Some(random)) });
            let mut builder = snow::Builder::with_resolver(name.parse()?, resolver);
            builder = builder.prologue(prologue)?.local_private_key(private)?;
            if let Some(secret) = secret {
                builder = builder.psk(SECRET_AT, secret.bytes())?;
            }
            match role {
                Role::Initiator => builder.build_initiator(),
                Role::Responder => builder.build_responder(),
            }
        };
        Self { state: build().expect("the pattern and its keys are complete") }
    }

    /// Everything said so far, as one hash.
    pub(super) fn hash(&self) -> Vec<u8> {
        self.state.get_handshake_hash().to_vec()
    }

    /// The other side's link key, once it was read.
    pub(super) fn remote_key(&self) -> Option<[u8; KEY_LEN]> {
        self.state.get_remote_static()?.try_into().ok()
    }

    /// The next message, around `payload`.
    pub(super) fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, Forged> {
        // Two keys and two tags at most.
        let mut message = vec![0; payload.len() + 2 * KEY_LEN + 2 * TAG_LEN];
        let len = self.state.write_message(payload, &mut message).map_err(|_| Forged)?;
        message.truncate(len);
        Ok(message)
    }

    /// Reads the next message and gives its payload.
    pub(super) fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, Forged> {
        let mut payload = vec![0; message.len()];
        let len = self.state.read_message(message, &mut payload).map_err(|_| Forged)?;
        payload.truncate(len);
        Ok(payload)
    }

    /// The ciphers of the finished handshake.
    pub(super) fn finish(self) -> Ciphers {
        Ciphers { state: self.state.into_transport_mode().expect("called after the third message") }
    }
}

/// The public half of a link key.
pub(super) fn public_key(suite: Suite, private: &[u8; KEY_LEN]) -> [u8; KEY_LEN] {
    let resolver = Resolver { suite, random: Cell::new(None) };
    let mut dh = resolver.resolve_dh(&DHChoice::Curve25519).expect("the library was built with this curve");
    dh.set(private);
    dh.pubkey().try_into().expect("keys of this curve have 32 bytes")
}

/// Seals and opens the records of one link.
pub(super) struct Ciphers {
    state: snow::TransportState,
}

impl Ciphers {
    /// Appends the sealed form of `plain` (at most [`MAX_SEALED`] - [`TAG_LEN`] bytes) to `out`.
    pub(super) fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + plain.len() + TAG_LEN, 0);
        let to = out.get_mut(start..).expect("just grown");
        self.state.write_message(plain, to).expect("records are cut to size, and rekeyed long before 2^64 of them");
    }

    /// Opens one record.
    pub(super) fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, Forged> {
        let mut plain = vec![0; sealed.len().saturating_sub(TAG_LEN)];
        let len = self.state.read_message(sealed, &mut plain).map_err(|_| Forged)?;
        plain.truncate(len);
        Ok(plain)
    }

    /// Replaces the key that seals.
    pub(super) fn rekey_sealing(&mut self) {
        self.state.rekey_outgoing();
    }

    /// Replaces the key that opens.
    pub(super) fn rekey_opening(&mut self) {
        self.state.rekey_incoming();
    }
}

#[cfg(test)]
mod tests;
