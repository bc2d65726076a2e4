//! Why a link ended: what one side tells the other in a single byte, and what a node knows for itself.

use alloc::string::String;
use core::fmt;

/// What one side tells the other when it ends a link, or refuses it. One byte on the wire; new ones may be added, none
/// changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Farewell {
    /// The node stops, or has no more use for the link.
    Bye,
    /// The versions of the link protocol do not overlap.
    VersionMismatch,
    /// The network has a secret and the other side offered none.
    SecretMissing,
    /// The other side offered a secret where none is set.
    SecretUnexpected,
    /// The network secrets differ.
    WrongSecret,
    /// The key is not trusted.
    Untrusted,
    /// The node id belongs to another key.
    KeyChanged,
    /// Another link between the same two nodes is kept.
    Duplicate,
    /// A newer link between the same two nodes takes its place.
    Replaced,
    /// Both ends are one node.
    SelfLink,
    /// Another running node has the same key.
    IdentityClone,
    /// The node has as many links as it may have.
    Busy,
    /// Bytes that break the protocol arrived.
    Protocol,
    /// Nothing was heard for too long.
    Idle,
    /// The operator ended the link.
    Disconnected,
    /// The operator forgot the key, and wants no link to it until he says otherwise.
    Forgotten,
    /// A reason of the layer above: 128 to 255 on the wire.
    Above(u8),
    /// A reason that only a newer version knows.
    Other(u8),
}

impl Farewell {
    /// The byte on the wire.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Bye => 0,
            Self::VersionMismatch => 1,
            Self::SecretMissing => 2,
            Self::SecretUnexpected => 3,
            Self::WrongSecret => 4,
            Self::Untrusted => 5,
            Self::KeyChanged => 6,
            Self::Duplicate => 7,
            Self::Replaced => 8,
            Self::SelfLink => 9,
            Self::IdentityClone => 10,
            Self::Busy => 11,
            Self::Protocol => 12,
            Self::Idle => 13,
            Self::Disconnected => 14,
            Self::Forgotten => 15,
            Self::Above(byte) => byte | 0x80,
            Self::Other(byte) => byte,
        }
    }

    /// The reason of a byte from the wire.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Bye,
            1 => Self::VersionMismatch,
            2 => Self::SecretMissing,
            3 => Self::SecretUnexpected,
            4 => Self::WrongSecret,
            5 => Self::Untrusted,
            6 => Self::KeyChanged,
            7 => Self::Duplicate,
            8 => Self::Replaced,
            9 => Self::SelfLink,
            10 => Self::IdentityClone,
            11 => Self::Busy,
            12 => Self::Protocol,
            13 => Self::Idle,
            14 => Self::Disconnected,
            15 => Self::Forgotten,
            0x80.. => Self::Above(byte),
            _ => Self::Other(byte),
        }
    }

    /// The stable name, as programs see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bye => "bye",
            Self::VersionMismatch => "version_mismatch",
            Self::SecretMissing => "secret_missing",
            Self::SecretUnexpected => "secret_unexpected",
            Self::WrongSecret => "wrong_secret",
            Self::Untrusted => "untrusted_key",
            Self::KeyChanged => "peer_key_changed",
            Self::Duplicate => "duplicate_link",
            Self::Replaced => "replaced",
            Self::SelfLink => "self_link",
            Self::IdentityClone => "identity_clone",
            Self::Busy => "busy",
            Self::Protocol => "protocol_error",
            Self::Idle => "idle_timeout",
            Self::Disconnected => "disconnected",
            Self::Forgotten => "forgotten",
            Self::Above(_) => "upper_layer",
            Self::Other(_) => "other",
        }
    }
}

/// Why a link ended, as the node that reports it knows it. Every sort of bad input has its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// This node ended it.
    Local(Farewell),
    /// The other side ended it.
    Peer(Farewell),
    /// The other side refused it before it stood. Not authenticated unless the handshake had ended: a hint.
    Refused(Farewell),
    /// The connection could not be made.
    NotReached {
        /// What the system said.
        error: String,
    },
    /// The connection failed.
    Lost {
        /// What the system said.
        error: String,
    },
    /// The connection ended without a farewell: bytes may be missing.
    Truncated,
    /// The connection ended before the link stood.
    HandshakeAborted,
    /// The link did not stand in time.
    HandshakeTimeout,
    /// Nothing was heard for too long.
    IdleTimeout,
    /// The other side took no bytes for too long.
    WriteTimeout,
    /// What arrived is not this protocol at all.
    NotSoftadastra,
    /// The bytes are this side's own role, sent back.
    Reflected,
    /// The versions of the link protocol do not overlap.
    VersionMismatch {
        /// The lowest version of the other side.
        lowest: u8,
        /// Its highest.
        highest: u8,
    },
    /// The network has a secret and the other side offered none.
    SecretMissing,
    /// The other side offered a secret where none is set.
    SecretUnexpected,
    /// The network secrets differ (or the last handshake message was altered on its way).
    WrongSecret,
    /// A handshake message does not hold together: altered, replayed, or not meant for this handshake.
    HandshakeForged,
    /// What was said in the clear differs from what was said under seal.
    PreambleForged,
    /// More bytes than any handshake has.
    HandshakeTooLong,
    /// Bytes came when it was not the other side's turn.
    OutOfTurn,
    /// The signature of the identity key over this handshake does not hold.
    IdentityForged,
    /// The hello inside the handshake cannot be read.
    BadHello {
        /// Which field.
        field: &'static str,
    },
    /// Another key answered than the one dialled for.
    WrongPeer,
    /// A record does not open: altered, replayed, reordered or left out.
    RecordForged,
    /// A record opened, but its content breaks the protocol.
    BadRecord {
        /// What is wrong.
        what: &'static str,
    },
    /// A message is longer than this node said it takes.
    MessageTooLarge,
    /// The other side kept one key longer than the protocol allows.
    RekeyOverdue,
    /// More handshakes were under way than may be; this was the oldest.
    HalfOpenShed,
}

impl CloseReason {
    /// The stable name, as programs see it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Local(farewell) | Self::Peer(farewell) | Self::Refused(farewell) => farewell.as_str(),
            Self::NotReached { .. } => "not_reached",
            Self::Lost { .. } => "connection_lost",
            Self::Truncated => "truncated",
            Self::HandshakeAborted => "handshake_aborted",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::NotSoftadastra => "not_softadastra",
            Self::Reflected => "reflected",
            Self::VersionMismatch { .. } => "version_mismatch",
            Self::SecretMissing => "secret_missing",
            Self::SecretUnexpected => "secret_unexpected",
            Self::WrongSecret => "wrong_secret",
            Self::HandshakeForged => "handshake_forged",
            Self::PreambleForged => "preamble_forged",
            Self::HandshakeTooLong => "handshake_too_long",
            Self::OutOfTurn => "out_of_turn",
            Self::IdentityForged => "identity_forged",
            Self::BadHello { .. } => "bad_hello",
            Self::WrongPeer => "wrong_peer",
            Self::RecordForged => "record_forged",
            Self::BadRecord { .. } => "bad_record",
            Self::MessageTooLarge => "message_too_large",
            Self::RekeyOverdue => "rekey_overdue",
            Self::HalfOpenShed => "half_open_shed",
        }
    }

    /// Whether trying again soon is useless: somebody has to change something first.
    #[must_use]
    pub const fn needs_operator(&self) -> bool {
        match self {
            Self::Local(said) | Self::Peer(said) | Self::Refused(said) => matches!(
                said,
                Farewell::VersionMismatch
                    | Farewell::SecretMissing
                    | Farewell::SecretUnexpected
                    | Farewell::WrongSecret
                    | Farewell::Untrusted
                    | Farewell::KeyChanged
                    | Farewell::SelfLink
                    | Farewell::IdentityClone
                    | Farewell::Forgotten
            ),
            Self::NotSoftadastra
            | Self::VersionMismatch { .. }
            | Self::SecretMissing
            | Self::SecretUnexpected
            | Self::WrongSecret
            | Self::WrongPeer => true,
            Self::NotReached { .. }
            | Self::Lost { .. }
            | Self::Truncated
            | Self::HandshakeAborted
            | Self::HandshakeTimeout
            | Self::IdleTimeout
            | Self::WriteTimeout
            | Self::Reflected
            | Self::HandshakeForged
            | Self::PreambleForged
            | Self::HandshakeTooLong
            | Self::OutOfTurn
            | Self::IdentityForged
            | Self::BadHello { .. }
            | Self::RecordForged
            | Self::BadRecord { .. }
            | Self::MessageTooLarge
            | Self::RekeyOverdue
            | Self::HalfOpenShed => false,
        }
    }

    /// Whether it is about the message in which a dialler says who it is.
    pub(super) const fn is_about_hello(&self) -> bool {
        matches!(
            self,
            Self::WrongSecret
                | Self::HandshakeForged
                | Self::IdentityForged
                | Self::BadHello { .. }
                | Self::PreambleForged
        )
    }

    /// What the other side is told.
    pub(super) const fn farewell(&self) -> Farewell {
        match self {
            Self::Local(farewell) => *farewell,
            Self::VersionMismatch { .. } => Farewell::VersionMismatch,
            Self::SecretMissing => Farewell::SecretMissing,
            Self::SecretUnexpected => Farewell::SecretUnexpected,
            Self::WrongSecret => Farewell::WrongSecret,
            Self::IdleTimeout | Self::HandshakeTimeout => Farewell::Idle,
            Self::HalfOpenShed => Farewell::Busy,
            _ => Farewell::Protocol,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(farewell) => write!(f, "ended here: {}", farewell.as_str()),
            Self::Peer(farewell) => write!(f, "ended by the peer: {}", farewell.as_str()),
            Self::Refused(farewell) => write!(f, "refused by the peer: {}", farewell.as_str()),
            Self::NotReached { error } => write!(f, "not reached: {error}"),
            Self::Lost { error } => write!(f, "connection lost: {error}"),
            Self::VersionMismatch { lowest, highest } => {
                write!(f, "the peer speaks link versions {lowest} to {highest}")
            }
            Self::BadHello { field } => write!(f, "bad hello: {field}"),
            Self::BadRecord { what } => write!(f, "bad record: {what}"),
            other => f.write_str(other.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAREWELLS: [(Farewell, &str); 16] = [
        (Farewell::Bye, "bye"),
        (Farewell::VersionMismatch, "version_mismatch"),
        (Farewell::SecretMissing, "secret_missing"),
        (Farewell::SecretUnexpected, "secret_unexpected"),
        (Farewell::WrongSecret, "wrong_secret"),
        (Farewell::Untrusted, "untrusted_key"),
        (Farewell::KeyChanged, "peer_key_changed"),
        (Farewell::Duplicate, "duplicate_link"),
        (Farewell::Replaced, "replaced"),
        (Farewell::SelfLink, "self_link"),
        (Farewell::IdentityClone, "identity_clone"),
        (Farewell::Busy, "busy"),
        (Farewell::Protocol, "protocol_error"),
        (Farewell::Idle, "idle_timeout"),
        (Farewell::Disconnected, "disconnected"),
        (Farewell::Forgotten, "forgotten"),
    ];

    #[test]
    fn bytes_and_names_of_farewells_never_change() {
        for (byte, (farewell, name)) in (0..).zip(FAREWELLS) {
            assert_eq!((farewell.to_byte(), Farewell::from_byte(byte), farewell.as_str()), (byte, farewell, name));
        }
        assert_eq!((Farewell::Above(1).to_byte(), Farewell::from_byte(0x81)), (0x81, Farewell::Above(0x81)));
        assert_eq!((Farewell::Above(1).as_str(), Farewell::from_byte(16).as_str()), ("upper_layer", "other"));
    }

    #[test]
    fn the_other_side_is_told_what_it_can_mend_and_else_that_something_broke() {
        for (reason, told) in [
            (CloseReason::Local(Farewell::Replaced), Farewell::Replaced),
            (CloseReason::VersionMismatch { lowest: 2, highest: 3 }, Farewell::VersionMismatch),
            (CloseReason::SecretMissing, Farewell::SecretMissing),
            (CloseReason::SecretUnexpected, Farewell::SecretUnexpected),
            (CloseReason::WrongSecret, Farewell::WrongSecret),
            (CloseReason::IdleTimeout, Farewell::Idle),
            (CloseReason::HandshakeTimeout, Farewell::Idle),
            (CloseReason::HalfOpenShed, Farewell::Busy),
            (CloseReason::WriteTimeout, Farewell::Protocol),
            (CloseReason::RecordForged, Farewell::Protocol),
            (CloseReason::OutOfTurn, Farewell::Protocol),
        ] {
            assert_eq!(reason.farewell(), told, "{reason:?}");
        }
    }

    #[test]
    fn every_reason_is_put_into_words() {
        let error = || String::from("it broke");
        for (reason, says) in [
            (CloseReason::Local(Farewell::Bye), "ended here: bye"),
            (CloseReason::Peer(Farewell::Busy), "ended by the peer: busy"),
            (CloseReason::Refused(Farewell::WrongSecret), "refused by the peer: wrong_secret"),
            (CloseReason::NotReached { error: error() }, "not reached: it broke"),
            (CloseReason::Lost { error: error() }, "connection lost: it broke"),
            (CloseReason::VersionMismatch { lowest: 2, highest: 3 }, "the peer speaks link versions 2 to 3"),
            (CloseReason::BadHello { field: "node id" }, "bad hello: node id"),
            (CloseReason::BadRecord { what: "length" }, "bad record: length"),
            (CloseReason::WrongPeer, "wrong_peer"),
        ] {
            assert_eq!(alloc::format!("{reason}"), says);
        }
    }

    #[test]
    fn every_byte_has_one_farewell() {
        for byte in 0..=255 {
            assert_eq!(Farewell::from_byte(byte).to_byte(), byte);
        }
    }
}
