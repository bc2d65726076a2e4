//! What there is to tell about links, peers and sync.

use std::io;
use std::net::SocketAddr;

use softadastra_core::error::Error;
use softadastra_core::ids::{NodeId, ReplicaId};
use softadastra_core::node::Ticked;
use softadastra_core::sync::{self, Finding};
use softadastra_core::transport::endpoint::{PeerStatus, TurnedAway};
use softadastra_core::transport::identity::NodeKey;
use softadastra_core::transport::reason::CloseReason;
use softadastra_core::transport::trust::Distrust;

use super::kinds::{self, Retry};
use super::tell;
use crate::link_end;

pub(crate) fn transport_started(key: &NodeKey, addresses: &[SocketAddr]) {
    let listening: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if addresses.is_empty() {
        tell!(info, kinds::TRANSPORT_STARTED, %key, listening = "", "links are opened; none are taken, as this node listens nowhere");
    } else {
        tell!(info, kinds::TRANSPORT_STARTED, %key, listening = listening.join(" "), "links are opened and taken");
    }
}

pub(crate) fn open_to_anybody(addresses: &[&SocketAddr]) {
    let listening: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    tell!(
        warn,
        kinds::OPEN_TO_ANYBODY,
        listening = listening.join(" "),
        "whoever reaches this node reads and writes everything: it has no network secret and no list of trusted keys"
    );
}

pub(crate) fn transport_failed(error: &Error) {
    tell!(error, kinds::TRANSPORT_FAILED, %error, "no links are opened; local work goes on");
}

pub(crate) fn transport_stopped() {
    tell!(info, kinds::TRANSPORT_STOPPED, "no links are opened or taken any more");
}

pub(crate) fn accept_failed(error: &io::Error) {
    tell!(warn, kinds::ACCEPT_FAILED,
        %error,
        "connections cannot be taken at present, most often for want of file descriptors; trying on"
    );
}

pub(crate) fn accepting_again() {
    tell!(info, kinds::ACCEPTING_AGAIN, "connections are taken again");
}

/// Not for operators: a flood of connections would be a flood of lines.
pub(crate) fn turned_away(from: SocketAddr, why: TurnedAway) {
    tracing::debug!(step = "link_turned_away", %from, %why, "a connection was closed at once");
}

pub(crate) fn pinned(node: &NodeId, key: &NodeKey) {
    tell!(info, kinds::PEER_PINNED, peer = %node, %key, "this name belongs to this key from now on");
}

pub(crate) fn pins_not_written(error: &Error) {
    tell!(warn, kinds::NETWORK_BOOK_NOT_WRITTEN,
        %error,
        "the latest pins hold until the node stops; they are written with the next change"
    );
}

pub(super) fn link_up(node: &NodeId, key: &NodeKey) {
    tell!(info, kinds::LINK_UP, peer = %node, %key, "a link to a peer stands");
}

pub(super) fn link_down(node: &NodeId, key: &NodeKey, reason: &CloseReason, cause: Option<&sync::CloseReason>) {
    let (code, detail) = (link_end::code(reason, cause), link_end::sentence(reason, cause));
    tell!(info, kinds::LINK_DOWN, peer = %node, %key, reason = code, detail, "the link has ended");
}

/// The end of a link that this node has left.
pub(super) fn link_left(node: &NodeId, key: &NodeKey) {
    let kind = kinds::LINK_DOWN.retry(Retry::NotNeeded);
    tell!(info, kind, peer = %node, %key, reason = "leaving", detail = "this node is leaving", "the link has ended");
}

/// Links that strangers open fail at any rate they like; those the node dials fail at its own, slow one.
pub(super) fn link_failed(dialled: Option<&PeerStatus>, reason: &CloseReason) {
    let (code, detail) = (link_end::code(reason, None), link_end::sentence(reason, None));
    let Some(status) = dialled else {
        tracing::debug!(step = "link_refused", reason = code, detail, "somebody opened a link in vain");
        return;
    };
    let peer = name(status);
    if reason.needs_operator() {
        tell!(
            warn,
            kinds::LINK_FAILED.retry(Retry::AfterAChange),
            peer,
            reason = code,
            detail,
            "somebody has to see to this peer"
        );
    } else {
        tell!(info, kinds::LINK_FAILED, peer, reason = code, detail, "a peer was not reached; trying on");
    }
}

/// What a person knows a peer by: its name, else where it is, else its key.
fn name(status: &PeerStatus) -> String {
    let PeerStatus { node, addresses, key, .. } = status;
    let named = node.as_ref().map(ToString::to_string).or_else(|| addresses.first().map(ToString::to_string));
    named.or_else(|| key.map(|key| key.to_string())).unwrap_or_default()
}

pub(super) fn distrusted(node: &NodeId, key: &NodeKey, why: &Distrust) {
    let code = why.as_str();
    match why {
        Distrust::KeyChanged { .. } => {
            tell!(error, kinds::PEER_KEY_CHANGED, peer = %node, %key, %why, "a link was refused");
        }
        Distrust::Unlisted | Distrust::PinsFull | Distrust::Forgotten => {
            tell!(warn, kinds::PEER_DISTRUSTED, reason = code, peer = %node, %key, %why, "a link was refused");
        }
    }
}

pub(super) fn key_cloned(key: &NodeKey) {
    tell!(
        error,
        kinds::IDENTITY_CLONE,
        finding = format!("two running nodes have the key {key}"),
        "two running nodes have one key: a directory was copied; stop one, and give the copy a key of its own"
    );
}

pub(super) fn reborn(from: ReplicaId, to: ReplicaId, finding: &sync::Finding) {
    tell!(warn, kinds::REBORN, %from, %to, %finding, "the node goes on under a new replica id");
}

/// `peer`: whom it is about, where the event says so only by number.
pub(super) fn of_sync(event: &sync::Event, peer: Option<&PeerStatus>) {
    use sync::Event as E;
    let peer = peer.map(name).unwrap_or_default();
    match event {
        E::Opened { replica, node, .. } => {
            tell!(info, kinds::SYNC_OPENED, peer = %node, %replica, "operations are exchanged with a peer");
        }
        E::Conflict { id, key } => {
            let key = key.escape_ascii();
            tell!(info, kinds::CONFLICT, id, %key, "two writes that had not seen each other met");
        }
        E::ConflictDropped { id, key } => {
            let key = key.escape_ascii();
            tell!(warn, kinds::CONFLICT_DROPPED, id, %key, "too many conflicts wait for a decision: the oldest is gone, and with it the version that lost");
        }
        E::ClockSkew { ahead_ms, .. } => {
            tell!(warn, kinds::CLOCK_SKEW, peer, ahead_ms, "the clock of a peer, or this node's, is off");
        }
        E::Diverged { .. } => {
            tell!(error, kinds::DIVERGED, peer, "two replicas with the same claims differ; a repair is under way");
        }
        E::Identity(finding) => {
            let kind = match finding {
                Finding::Rollback { .. } | Finding::LogRollback { .. } | Finding::ClaimRollback { .. } => {
                    kinds::IDENTITY_ROLLBACK
                }
                Finding::Clone(_) => kinds::IDENTITY_CLONE,
            };
            tell!(error, kind, %finding, "two histories bear one name");
        }
        E::Failed { operations, reason } => {
            tell!(
                warn,
                kinds::DELIVERY_FAILED,
                operations,
                reason,
                "not delivered after many tries; kept, and tried again when a peer is heard"
            );
        }
        E::Collected { tombstones } => {
            tell!(info, kinds::TOMBSTONES_COLLECTED, tombstones, "every peer knows of these deletions");
        }
    }
}

pub(crate) fn ticked(done: &Ticked) {
    let Ticked { batch, sent, connected, retried, pruned, .. } = done;
    tell!(info, kinds::SYNC_TICK, batch, sent, connected, retried, pruned, "a round of delivery by hand");
}
