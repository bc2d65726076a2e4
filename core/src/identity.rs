//! Who a node is: an Ed25519 key. It signs the key of every link and every announcement, so that all layers agree on
//! who speaks; the keys of links are made anew for each and need no care.

#[cfg(feature = "pretend")]
pub(crate) mod pretend;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::base32;
use crate::dice::Secrets;

/// The public key that names a node to other nodes. Shown as 52 characters of base32.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeKey(pub [u8; 32]);

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

/// What a signature is for. It is part of what is signed, so that none can be passed off for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The side that opened a link vouches for that link's key.
    LinkInitiator,
    /// The side that answered vouches for its key.
    LinkResponder,
    /// An announcement of discovery.
    Discovery,
}

impl Purpose {
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::LinkInitiator => b"softadastra link initiator v1\0",
            Self::LinkResponder => b"softadastra link responder v1\0",
            Self::Discovery => b"softadastra discovery v1\0",
        }
    }

    fn bind(self, message: &[u8]) -> Vec<u8> {
        [self.prefix(), message].concat()
    }
}

/// Which cryptography a node speaks. It goes with the identity: nothing that is configured or received chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Ed25519, X25519, ChaCha20-Poly1305 and BLAKE2s: that of every node outside a simulation.
    Real,
    /// Checksums of the same lengths in their place. They notice damage and keep no secret.
    #[cfg(feature = "pretend")]
    Pretended,
}

impl Suite {
    /// Whether `signature` was made by `key` over `message` for `purpose`.
    #[must_use]
    pub fn verify(self, key: &NodeKey, purpose: Purpose, message: &[u8], signature: &Signature) -> bool {
        match self {
            Self::Real => key.verify(purpose, message, signature),
            #[cfg(feature = "pretend")]
            Self::Pretended => pretend::sign(key, purpose, message) == *signature,
        }
    }
}

/// The key pair of a node. Made once, kept for ever in a file that only its owner may read.
#[derive(Clone)]
pub struct Identity {
    pair: SigningKey,
    suite: Suite,
}

impl Identity {
    /// The identity of these 32 secret bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { pair: SigningKey::from_bytes(seed), suite: Suite::Real }
    }

    /// The same key, but pretending all cryptography: for simulations of nodes that all do so.
    #[cfg(feature = "pretend")]
    #[must_use]
    pub fn pretending(self) -> Self {
        Self { suite: Suite::Pretended, ..self }
    }

    /// Which cryptography it speaks, and expects of others.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// A new identity.
    #[must_use]
    pub fn generate(secrets: &mut Secrets) -> Self {
        Self::from_seed(&Zeroizing::new(secrets.key()))
    }

    /// The 32 secret bytes, to be kept in a file of mode 0600.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.pair.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn key(&self) -> NodeKey {
        NodeKey(self.pair.verifying_key().to_bytes())
    }

    /// Signs `message` for one purpose.
    #[must_use]
    pub fn sign(&self, purpose: Purpose, message: &[u8]) -> Signature {
        match self.suite {
            Suite::Real => Signature(self.pair.sign(&purpose.bind(message)).to_bytes()),
            #[cfg(feature = "pretend")]
            Suite::Pretended => pretend::sign(&self.key(), purpose, message),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.key())
    }
}

impl NodeKey {
    /// Whether `signature` was made by this key over `message` for `purpose`. False for bytes that are not a key, and
    /// for the weak keys that verify anything.
    #[must_use]
    pub fn verify(&self, purpose: Purpose, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| key.verify_strict(&purpose.bind(message), &signature).is_ok())
    }

    /// The first ten characters: enough for a person to tell the nodes of one network apart, too few to trust.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = base32::encode(&self.0);
        text.truncate(10);
        text
    }
}

impl fmt::Display for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base32::encode(&self.0))
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(..)")
    }
}

impl FromStr for NodeKey {
    type Err = InvalidNodeKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = base32::decode(text.trim()).ok_or(InvalidNodeKey)?;
        bytes.try_into().map(Self).map_err(|_| InvalidNodeKey)
    }
}

/// The text is not a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidNodeKey;

impl fmt::Display for InvalidNodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a public key is 52 characters of a-z and 2-7")
    }
}

impl core::error::Error for InvalidNodeKey {}

/// The secret that makes a node a member of a network: 32 random bytes, mixed into every handshake. It must be random;
/// a word that people can remember could be guessed from a recorded handshake.
#[derive(Clone, PartialEq, Eq)]
pub struct NetworkSecret(Zeroizing<[u8; 32]>);

impl NetworkSecret {
    /// The secret of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new secret.
    #[must_use]
    pub fn generate(secrets: &mut Secrets) -> Self {
        Self::from_bytes(secrets.key())
    }

    /// The secret of a text made by [`Self::reveal`]; `None` for anything else.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(base32::decode(text.trim())?);
        Some(Self::from_bytes(bytes.as_slice().try_into().ok()?))
    }

    /// The secret as text, for a ticket or a file. Named so that it stands out where it is called.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(base32::encode(&*self.0))
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for NetworkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Seed;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn the_first_vector_of_rfc_8032_holds() {
        let identity = Identity::from_seed(&[
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49,
            0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
        ]);
        let hex: String = identity.key().0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    }

    #[test]
    fn a_signature_holds_for_its_key_purpose_and_message_only() {
        let mut secrets = Seed::from_number(1).secrets("identity");
        let (a, b) = (Identity::generate(&mut secrets), Identity::generate(&mut secrets));
        let signature = a.sign(Purpose::Discovery, b"here");
        assert!(a.key().verify(Purpose::Discovery, b"here", &signature));
        assert!(!a.key().verify(Purpose::Discovery, b"there", &signature));
        assert!(!a.key().verify(Purpose::LinkInitiator, b"here", &signature));
        assert!(!b.key().verify(Purpose::Discovery, b"here", &signature));
        for bit in 0..512 {
            let mut spoiled = signature;
            spoiled.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!a.key().verify(Purpose::Discovery, b"here", &spoiled), "bit {bit}");
        }
    }

    #[test]
    fn weak_and_impossible_keys_verify_nothing() {
        // The neutral element as key and point makes a sloppy check pass for every message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!NodeKey(neutral).verify(Purpose::Discovery, b"x", &Signature(signature)));
        assert!(!NodeKey([0xff; 32]).verify(Purpose::Discovery, b"x", &Signature(signature)));
    }

    #[test]
    fn keys_and_secrets_are_read_back_and_secrets_stay_hidden() {
        let mut secrets = Seed::from_number(2).secrets("identity");
        let identity = Identity::generate(&mut secrets);
        let text = identity.key().to_string();
        assert_eq!(text.len(), 52);
        assert_eq!(identity.key().short(), text[..10]);
        assert_eq!(text.parse(), Ok(identity.key()));
        assert_eq!(text[1..].parse::<NodeKey>(), Err(InvalidNodeKey));
        assert_eq!(InvalidNodeKey.to_string(), "a public key is 52 characters of a-z and 2-7");
        assert_eq!(Identity::from_seed(&identity.seed()).key(), identity.key());

        let secret = NetworkSecret::generate(&mut secrets);
        assert_eq!(NetworkSecret::from_text(&secret.reveal()), Some(secret.clone()));
        assert_eq!(NetworkSecret::from_text("mzxw6"), None);
        let shown = format!("{identity:?} {secret:?} {secrets:?}");
        assert!(!shown.contains(secret.reveal().as_str()));
        assert!(!shown.contains(&base32::encode(&*identity.seed())));
    }
}
