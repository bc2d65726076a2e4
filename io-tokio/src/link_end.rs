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
