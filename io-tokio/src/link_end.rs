//! Why a link ended, as a sentence for people. Programs go by the stable name beside it.

use softadastra_core::sync;
use softadastra_core::transport::reason::{CloseReason, Farewell};

/// What is known of the end of a link. `cause`, what sync has last had against the peer, says more where sync ended it.
pub(crate) fn sentence(reason: &CloseReason, cause: Option<&sync::CloseReason>) -> String {
    match reason {
        CloseReason::Local(Farewell::Above(_)) | CloseReason::Peer(Farewell::Above(_)) => match cause {
            None | Some(sync::CloseReason::Told(sync::Bye::Leaving)) => LEAVING.to_owned(),
            Some(cause) => cause.to_string(),
        },
        CloseReason::Peer(Farewell::Bye) => LEAVING.to_owned(),
        CloseReason::Local(farewell) => match of_own(*farewell) {
            Some(sentence) => sentence.to_owned(),
            None => format!("ended here: {}", of_farewell(*farewell)),
        },
        CloseReason::Peer(farewell) => format!("ended by the peer: {}", of_farewell(*farewell)),
        CloseReason::Refused(farewell) => format!("refused by the peer: {}", of_farewell(*farewell)),
        reason => of_reason(reason).map_or_else(|| reason.to_string(), ToOwned::to_owned),
    }
}

/// The stable name of the end of a link, as people and programs see it: where sync ended it, what sync says.
pub(crate) const fn code(reason: &CloseReason, cause: Option<&sync::CloseReason>) -> &'static str {
    use sync::{Bye, CloseReason as C};
    match (reason, cause) {
        (CloseReason::Local(Farewell::Above(_)) | CloseReason::Peer(Farewell::Above(_)), Some(cause)) => match cause {
            C::Silent => "no_acknowledgement",
            C::Protocol(_) | C::Told(Bye::Protocol) => "sync_protocol",
            C::WrongNetwork | C::Told(Bye::WrongNetwork) => "wrong_network",
            C::NoCommonProtocol | C::Told(Bye::NoCommonProtocol) => "no_common_protocol",
            C::ClockSkew | C::Told(Bye::ClockSkew) => "clock_skew",
            C::NoRoom | C::Told(Bye::NoRoom) => "no_room",
            C::Degraded | C::Told(Bye::Degraded) => "degraded",
            C::StampOutOfRange | C::Told(Bye::StampOutOfRange) => "stamp_out_of_range",
            C::TooManyReplicas | C::Told(Bye::TooManyReplicas) => "too_many_replicas",
            C::Identity(_) | C::Told(Bye::Identity) => "identity",
            C::Told(Bye::Leaving) => "leaving",
            _ => "sync_begins_anew",
        },
        (
            CloseReason::Local(Farewell::Above(_) | Farewell::Bye)
            | CloseReason::Peer(Farewell::Above(_) | Farewell::Bye),
            _,
        ) => "leaving",
        _ => reason.as_str(),
    }
}

const LEAVING: &str = "the peer is leaving";

/// What is not said by the reason itself.
const fn of_reason(reason: &CloseReason) -> Option<&'static str> {
    Some(match reason {
        CloseReason::Truncated => "the connection ended without a farewell: a crash or a cut",
        CloseReason::HandshakeAborted => "the connection ended before the two had greeted each other",
        CloseReason::HandshakeTimeout => "the peer did not greet in time",
        CloseReason::IdleTimeout => "nothing was heard for too long",
        CloseReason::WriteTimeout => "the peer took no bytes for too long",
        CloseReason::NotSoftadastra => "something else than a node answers there",
        CloseReason::SecretMissing => "the other side has no network secret",
        CloseReason::SecretUnexpected => "the other side has a network secret, this node has none",
        CloseReason::WrongSecret => "the network secrets differ: two networks",
        CloseReason::WrongPeer => "another node answers there than the one dialled for",
        CloseReason::HalfOpenShed => "too many links were being opened at once: the oldest gave way",
        CloseReason::Reflected => "what was sent came back: the address leads to this node's own side",
        CloseReason::HandshakeForged => "the greeting was altered on its way, or the other program is broken",
        CloseReason::PreambleForged => "what was said in the clear was altered on its way",
        CloseReason::HandshakeTooLong => "more bytes came than any greeting has",
        CloseReason::OutOfTurn => "bytes came when it was not the other side's turn",
        CloseReason::IdentityForged => "the other side does not have the key that it claims",
        CloseReason::RecordForged => "bytes were altered, repeated or left out on their way",
        CloseReason::MessageTooLarge => "a message came that is larger than this node takes",
        CloseReason::RekeyOverdue => "the other side kept one key for too long",
        _ => return None,
    })
}

/// What reads otherwise where this node has said it.
const fn of_own(farewell: Farewell) -> Option<&'static str> {
    Some(match farewell {
        Farewell::Untrusted => "refused here: its key is not in the list; `softadastra peers trust KEY` adds it",
        Farewell::KeyChanged => "refused here: its name belongs to another key",
        Farewell::Forgotten => "refused here: it was forgotten by hand; `softadastra peers trust KEY` lets it in again",
        Farewell::Disconnected => "disconnected by hand; `softadastra connect` ends that",
        _ => return None,
    })
}

const fn of_farewell(farewell: Farewell) -> &'static str {
    match farewell {
        Farewell::Bye => "it is leaving",
        Farewell::VersionMismatch => "the versions do not overlap",
        Farewell::SecretMissing => "this network has a secret, and none was offered",
        Farewell::SecretUnexpected => "a secret was offered where there is none",
        Farewell::WrongSecret => "the network secrets differ: two networks",
        Farewell::Untrusted => "the key is not trusted there",
        Farewell::KeyChanged => "the name belongs to another key there",
        Farewell::Duplicate | Farewell::Replaced => "another link between the two is kept",
        Farewell::SelfLink => "both ends are one node",
        Farewell::IdentityClone => "two running nodes have one key",
        Farewell::Busy => "it has as many links as it may have",
        Farewell::Protocol => "bytes that break the protocol arrived",
        Farewell::Idle => "nothing was heard for too long",
        Farewell::Disconnected => "disconnected by hand there, until `softadastra connect` there",
        Farewell::Forgotten => "this node was forgotten there, until `softadastra peers trust` there with its key",
        Farewell::Above(_) => "sync ended the exchange",
        Farewell::Other(_) => "for a reason that this version does not know",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_have_names_of_their_own() {
        let leaving = sync::CloseReason::Told(sync::Bye::Leaving);
        let above = CloseReason::Peer(Farewell::Above(0x80));
        assert_eq!(code(&above, Some(&leaving)), "leaving");
        assert_eq!(code(&above, None), "leaving");
        assert_eq!(code(&CloseReason::Peer(Farewell::Bye), None), "leaving");
        let silent = CloseReason::Local(Farewell::Above(0x80));
        assert_eq!(code(&silent, Some(&sync::CloseReason::Silent)), "no_acknowledgement");
        assert_eq!(code(&silent, Some(&sync::CloseReason::ClockSkew)), "clock_skew");
        assert_eq!(code(&CloseReason::Truncated, Some(&leaving)), "truncated");
        let refused = CloseReason::NotReached { error: "a:1: Connection refused".to_owned() };
        assert_eq!(
            (code(&refused, None), sentence(&refused, None)),
            ("not_reached", "not reached: a:1: Connection refused".to_owned())
        );
        assert!(sentence(&CloseReason::HalfOpenShed, None).contains("gave way"));
    }

    #[test]
    fn the_ends_that_are_seen_daily_are_sentences() {
        let leaving = sync::CloseReason::Told(sync::Bye::Leaving);
        let cases = [
            (CloseReason::Peer(Farewell::Above(0x80)), Some(&leaving), "the peer is leaving"),
            (CloseReason::Peer(Farewell::Above(0x80)), None, "the peer is leaving"),
            (CloseReason::Peer(Farewell::Bye), None, "the peer is leaving"),
            (CloseReason::Peer(Farewell::Above(0x80)), Some(&sync::CloseReason::Silent), "no acknowledgement in time"),
            (CloseReason::Lost { error: "reset".to_owned() }, Some(&leaving), "connection lost: reset"),
            (CloseReason::Truncated, None, "the connection ended without a farewell: a crash or a cut"),
            (
                CloseReason::Refused(Farewell::KeyChanged),
                None,
                "refused by the peer: the name belongs to another key there",
            ),
        ];
        for (reason, cause, wanted) in cases {
            assert_eq!(sentence(&reason, cause), wanted, "{reason:?}");
        }
    }
}
