//! What makes a datagram one of this network, and one of its sender.
//!
//! A keyed hash with the network secret says "from a member", and costs a stranger's datagram one hash. A signature by the
//! sender's key says "from this member", for members may not speak in each other's names. What is signed names the network
//! too, so that somebody in two networks cannot carry announcements from one to the other.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::message::{MAGIC, MAX_LEN, MIN_LEN, Message, TRAILER_LEN, VERSION};
use super::types::Ignored;
use crate::identity::{Identity, NetworkSecret, Purpose, Signature, Suite};

/// One network, as discovery knows it. A network without a secret seals with a key that everybody knows.
pub(super) struct Network {
    seal: Zeroizing<[u8; 32]>,
    tag: [u8; 32],
}

/// A datagram of this network. Who sent it is not checked yet.
pub(super) struct Opened {
    pub(super) message: Message,
    signed: Vec<u8>,
    signature: Signature,
}

impl Network {
    pub(super) fn new(secret: Option<&NetworkSecret>) -> Self {
        let secret = secret.map_or(&[][..], |secret| secret.bytes());
        Self {
            seal: Zeroizing::new(blake3::derive_key("softadastra discovery v1 seal", secret)),
            tag: blake3::derive_key("softadastra discovery v1 network", secret),
        }
    }

    /// The datagram that says `message`, of which `identity` must be the sender.
    pub(super) fn seal(&self, identity: &Identity, message: &Message) -> Bytes {
        let mut bytes = message.encode();
        let signature = identity.sign(Purpose::Discovery, &[&bytes[..], &self.tag].concat());
        bytes.extend(signature.0);
        self.seal_bytes(bytes)
    }

    /// What signatures name the network by.
    pub(super) const fn tag(&self) -> &[u8; 32] {
        &self.tag
    }

    /// Seals what carries a signature, or something in its place.
    pub(super) fn seal_bytes(&self, mut bytes: Vec<u8>) -> Bytes {
        let seal = blake3::keyed_hash(&self.seal, &bytes);
        bytes.extend(seal.as_bytes());
        debug_assert!(bytes.len() <= MAX_LEN, "a datagram of {} bytes", bytes.len());
        bytes.into()
    }

    /// What is sealed, if it is of this network. It costs one hash of it, whatever it holds.
    fn unseal<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], Ignored> {
        if !(MIN_LEN..=MAX_LEN).contains(&bytes.len()) || !bytes.starts_with(&MAGIC) {
            return Err(Ignored::NotDiscovery);
        }
        if bytes.get(MAGIC.len()) != Some(&VERSION) {
            return Err(Ignored::OtherVersion);
        }
        let (sealed, seal) = bytes.split_last_chunk::<32>().ok_or(Ignored::NotDiscovery)?;
        // Compared in constant time.
        if blake3::keyed_hash(&self.seal, sealed) != *seal {
            return Err(Ignored::Unauthenticated);
        }
        Ok(sealed)
    }

    /// Opens a datagram.
    pub(super) fn open(&self, bytes: &[u8]) -> Result<Opened, Ignored> {
        let sealed = self.unseal(bytes)?;
        let (content, signature) = sealed.split_last_chunk::<64>().ok_or(Ignored::NotDiscovery)?;
        debug_assert_eq!(content.len() + TRAILER_LEN, bytes.len(), "nothing lies between");
        let message = Message::decode(&Bytes::copy_from_slice(content)).map_err(|_| Ignored::Malformed)?;
        let signed = [content, &self.tag].concat();
        Ok(Opened { message, signed, signature: Signature(*signature) })
    }
}

/// Tells the datagrams of one network from all others, for a driver that keeps the others from the machine.
pub struct Sieve(Network);

impl Sieve {
    /// For the network of this secret, or for those without one.
    #[must_use]
    pub fn new(secret: Option<&NetworkSecret>) -> Self {
        Self(Network::new(secret))
    }

    /// Whether [`super::Discovery::handle_datagram`] would look into it. It costs one hash of it at most.
    ///
    /// # Errors
    /// Why not, to be told by [`super::Discovery::handle_dropped`].
    pub fn check(&self, bytes: &[u8]) -> Result<(), Ignored> {
        self.0.unseal(bytes).map(drop)
    }
}

impl fmt::Debug for Sieve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sieve(..)")
    }
}

impl Opened {
    /// Whether the key that the datagram names has signed it. The one costly check.
    pub(super) fn is_signed(&self, suite: Suite) -> bool {
        suite.verify(&self.message.key, Purpose::Discovery, &self.signed, &self.signature)
    }
}
