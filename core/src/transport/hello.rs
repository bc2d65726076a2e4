//! What two nodes say before a link stands: the preamble in the clear, the hello under seal. `docs/wire-protocol.md`
//! has the byte pictures.

use alloc::vec::Vec;

use bytes::Bytes;

use super::identity::{NodeKey, Signature};
use super::noise::Role;
use super::reason::{CloseReason, Farewell};
use crate::codec::{DecodeError, Fault, Reader};
use crate::ids::NodeId;

/// First bytes of every link, from either side. The line ending betrays a transfer in text mode.
pub(super) const MAGIC: [u8; 8] = *b"SADLNK\r\n";
/// Length of the preamble.
pub(super) const PREAMBLE_LEN: usize = 16;
/// The versions of the link protocol that this software speaks.
pub const VERSIONS: Versions = Versions { lowest: 1, highest: 1 };
/// The layout of the hello.
const LAYOUT: u8 = 1;
const OFFER_LZ4: u8 = 1;

/// A range of versions of the link protocol, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The lowest.
    pub lowest: u8,
    /// The highest.
    pub highest: u8,
}

impl Versions {
    /// The highest version that both ranges hold.
    #[must_use]
    pub const fn common(self, other: Self) -> Option<u8> {
        let highest = if self.highest < other.highest { self.highest } else { other.highest };
        if highest >= self.lowest && highest >= other.lowest { Some(highest) } else { None }
    }
}

/// The first 16 bytes of either side. This layout is frozen for ever: versions are negotiated by means of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Preamble {
    pub(super) role: Role,
    pub(super) versions: Versions,
    /// Whether a network secret takes part.
    pub(super) secret: bool,
    /// The responder's refusal, if it refuses already.
    pub(super) refusal: Option<Farewell>,
}

impl Preamble {
    pub(super) fn encode(&self) -> [u8; PREAMBLE_LEN] {
        let mut out = [0; PREAMBLE_LEN];
        let [a, b, c, d, e, f, g, h, role, lowest, highest, secret, refused, refusal, _, _] = &mut out;
        [*a, *b, *c, *d, *e, *f, *g, *h] = MAGIC;
        *role = match self.role {
            Role::Initiator => 0,
            Role::Responder => 1,
        };
        *lowest = self.versions.lowest;
        *highest = self.versions.highest;
        *secret = u8::from(self.secret);
        *refused = u8::from(self.refusal.is_some());
        *refusal = self.refusal.map_or(0, Farewell::to_byte);
        out
    }

    /// Reads a preamble from the other side, which must have the role `expected`. Reserved bytes are not looked at.
    pub(super) fn decode(bytes: [u8; PREAMBLE_LEN], expected: Role) -> Result<Self, CloseReason> {
        let [a, b, c, d, e, f, g, h, role, lowest, highest, secret, refused, refusal, _, _] = bytes;
        if [a, b, c, d, e, f, g, h] != MAGIC {
            return Err(CloseReason::NotSoftadastra);
        }
        let role = match role {
            0 => Role::Initiator,
            1 => Role::Responder,
            _ => return Err(CloseReason::NotSoftadastra),
        };
        if role != expected {
            return Err(CloseReason::Reflected);
        }
        let flag = |byte| match byte {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(CloseReason::BadHello { field: "preamble" }),
        };
        let refusal = flag(refused)?.then(|| Farewell::from_byte(refusal));
        Ok(Self { role, versions: Versions { lowest, highest }, secret: flag(secret)?, refusal })
    }
}

/// What each side says of itself inside the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) versions: Versions,
    pub(super) lz4: bool,
    pub(super) key: NodeKey,
    pub(super) signature: Signature,
    pub(super) boot: u64,
    pub(super) order: u64,
    pub(super) max_message: u32,
    pub(super) idle_ms: u32,
    pub(super) node: NodeId,
}

impl Hello {
    pub(super) fn encode(&self) -> Vec<u8> {
        let offers = if self.lz4 { OFFER_LZ4 } else { 0 };
        let mut out = Vec::with_capacity(192);
        out.extend([LAYOUT, self.versions.lowest, self.versions.highest, offers]);
        out.extend(self.key.0);
        out.extend(self.signature.0);
        out.extend(self.boot.to_le_bytes());
        out.extend(self.order.to_le_bytes());
        out.extend(self.max_message.to_le_bytes());
        out.extend(self.idle_ms.to_le_bytes());
        out.push(self.node.as_str().len() as u8);
        out.extend(self.node.as_str().as_bytes());
        out
    }

    /// Reads a hello. Extensions follow the known fields until the end: tag (varint), length (varint), bytes; an unknown
    /// odd tag is passed over, an unknown even one means that this side would misunderstand the other.
    pub(super) fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let fault = |field, fault| DecodeError { field, fault };
        if reader.u8("layout")? != LAYOUT {
            return Err(fault("layout", Fault::FromTheFuture));
        }
        let versions = Versions { lowest: reader.u8("lowest version")?, highest: reader.u8("highest version")? };
        let offers = reader.u8("offers")?;
        let key = NodeKey(reader.array("key")?);
        let signature = Signature(reader.array("signature")?);
        let boot = reader.u64("boot nonce")?;
        let order = reader.u64("order")?;
        let max_message = u32::from_le_bytes(reader.array("greatest message")?);
        let idle_ms = u32::from_le_bytes(reader.array("idle timeout")?);
        let name = reader.blob(NodeId::MAX_LEN, "node id")?;
        let name = core::str::from_utf8(&name).map_err(|_| fault("node id", Fault::Invalid))?;
        let node = NodeId::new(name).map_err(|_| fault("node id", Fault::Invalid))?;
        while reader.remaining() > 0 {
            let tag = reader.varint("extension")?;
            reader.blob(usize::MAX, "extension")?;
            if tag % 2 == 0 {
                return Err(fault("extension", Fault::FromTheFuture));
            }
        }
        Ok(Self { versions, lz4: offers & OFFER_LZ4 != 0, key, signature, boot, order, max_message, idle_ms, node })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello() -> Hello {
        Hello {
            versions: Versions { lowest: 1, highest: 3 },
            lz4: true,
            key: NodeKey([1; 32]),
            signature: Signature([2; 64]),
            boot: 3,
            order: 4,
            max_message: 5,
            idle_ms: 6,
            node: NodeId::new("till-7").unwrap(),
        }
    }

    #[test]
    fn the_highest_common_version_is_spoken() {
        let range = |lowest, highest| Versions { lowest, highest };
        assert_eq!(range(1, 1).common(range(1, 4)), Some(1));
        assert_eq!(range(1, 3).common(range(2, 4)), Some(3));
        assert_eq!(range(1, 1).common(range(2, 4)), None);
        assert_eq!(range(3, 2).common(range(1, 4)), None, "an empty range has nothing in common");
    }

    #[test]
    fn preambles_and_hellos_are_read_back() {
        for refusal in [None, Some(Farewell::Bye), Some(Farewell::Busy)] {
            let preamble =
                Preamble { role: Role::Responder, versions: Versions { lowest: 1, highest: 2 }, secret: true, refusal };
            assert_eq!(Preamble::decode(preamble.encode(), Role::Responder), Ok(preamble));
            assert_eq!(Preamble::decode(preamble.encode(), Role::Initiator), Err(CloseReason::Reflected));
        }
        assert_eq!(Hello::decode(&hello().encode().into()).unwrap(), hello());
    }

    #[test]
    fn extensions_of_a_newer_version_are_skipped_or_refused_by_parity() {
        let mut bytes = hello().encode();
        bytes.extend([7, 2, 0xaa, 0xbb]);
        assert_eq!(Hello::decode(&bytes.clone().into()).unwrap(), hello());
        bytes.extend([8, 0]);
        let refused = Hello::decode(&bytes.into()).unwrap_err();
        assert_eq!(refused, DecodeError { field: "extension", fault: Fault::FromTheFuture });
    }

    #[test]
    fn every_cut_hello_is_refused() {
        let bytes = hello().encode();
        for len in 0..bytes.len() {
            assert!(Hello::decode(&Bytes::copy_from_slice(&bytes[..len])).is_err(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>, preamble: [u8; PREAMBLE_LEN]) {
            drop(Hello::decode(&bytes.into()));
            drop(Preamble::decode(preamble, Role::Initiator));
        }
    }
}
