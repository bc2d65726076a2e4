//! What there is to tell about links, peers and sync.

use std::io;
use std::net::SocketAddr;

use softadastra_core::error::Error;
use softadastra_core::ids::{NodeId, ReplicaId};
use softadastra_core::sync;
use softadastra_core::transport::endpoint::{PeerStatus, TurnedAway};
use softadastra_core::transport::identity::NodeKey;
use softadastra_core::transport::reason::CloseReason;
use softadastra_core::transport::trust::Distrust;

use crate::link_end;

pub(crate) fn transport_started(key: &NodeKey, addresses: &[SocketAddr]) {
    let listening: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    tracing::info!(event = "transport_started", %key, listening = listening.join(" "), "links are opened and taken");
}

pub(crate) fn transport_failed(error: &Error) {
    tracing::error!(event = "transport_failed", %error, "no links are opened; local work goes on");
}

pub(crate) fn transport_stopped() {
    tracing::info!(event = "transport_stopped", "no links are opened or taken any more");
}

pub(crate) fn accept_failed(error: &io::Error) {
    tracing::warn!(
        event = "accept_failed",
        %error,
        "connections cannot be taken at present, most often for want of file descriptors; trying on"
    );
}

pub(crate) fn accepting_again() {
    tracing::info!(event = "accepting_again", "connections are taken again");
}

/// Not for operators: a flood of connections would be a flood of lines.
pub(crate) fn turned_away(from: SocketAddr, why: TurnedAway) {
    tracing::debug!(event = "link_turned_away", %from, %why, "a connection was closed at once");
}

pub(crate) fn pinned(node: &NodeId, key: &NodeKey) {
    tracing::info!(event = "peer_pinned", peer = %node, %key, "this name belongs to this key from now on");
}

pub(crate) fn pins_not_written(error: &Error) {
    tracing::warn!(
        event = "network_book_not_written",
        %error,
        "the latest pins hold until the node stops; they are written with the next change"
    );
}

pub(super) fn link_up(node: &NodeId, key: &NodeKey) {
    tracing::info!(event = "link_up", peer = %node, %key, "a link to a peer stands");
}

pub(super) fn link_down(node: &NodeId, key: &NodeKey, reason: &CloseReason, cause: Option<&sync::CloseReason>) {
    let (code, detail) = (reason.as_str(), link_end::sentence(reason, cause));
    tracing::info!(event = "link_down", peer = %node, %key, reason = code, detail, "the link has ended");
}

/// Links that strangers open fail at any rate they like; those the node dials fail at its own, slow one.
pub(super) fn link_failed(dialled: Option<&PeerStatus>, reason: &CloseReason) {
    let (code, detail) = (reason.as_str(), link_end::sentence(reason, None));
    let Some(status) = dialled else {
        tracing::debug!(event = "link_failed", reason = code, detail, "somebody opened a link in vain");
        return;
    };
    let peer = name(status);
    if reason.needs_operator() {
        tracing::warn!(event = "link_failed", peer, reason = code, detail, "somebody has to see to this peer");
    } else {
        tracing::info!(event = "link_failed", peer, reason = code, detail, "a peer was not reached; trying on");
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
            tracing::error!(event = "peer_key_changed", peer = %node, %key, %why, "a link was refused");
        }
        Distrust::Unlisted | Distrust::PinsFull => {
            tracing::warn!(event = "peer_distrusted", reason = code, peer = %node, %key, %why, "a link was refused");
        }
    }
}

pub(super) fn key_cloned(key: &NodeKey) {
    tracing::error!(
        event = "identity_clone",
        %key,
        "two running nodes have one key: a directory was copied; stop one, and give the copy a key of its own"
    );
}

pub(super) fn reborn(from: ReplicaId, to: ReplicaId, finding: &sync::Finding) {
    tracing::warn!(event = "reborn", %from, %to, %finding, "the node goes on under a new replica id");
}

pub(super) fn of_sync(event: &sync::Event) {
    use sync::Event as E;
    match event {
        E::Opened { replica, node, .. } => {
            tracing::info!(event = "sync_opened", peer = %node, %replica, "operations are exchanged with a peer");
        }
        E::Conflict { id, key } => {
            let key = key.escape_ascii();
            tracing::info!(event = "conflict", id, %key, "two writes that had not seen each other met");
        }
        E::ClockSkew { ahead_ms, .. } => {
            tracing::warn!(event = "clock_skew", ahead_ms, "the clock of a peer, or this node's, is off");
        }
        E::Diverged { .. } => {
            tracing::error!(event = "diverged", "two replicas with the same claims differ; a repair is under way");
        }
        E::Identity(finding) => {
            tracing::error!(event = finding.as_str(), %finding, "two histories bear one name");
        }
        E::Failed { operations, reason } => {
            tracing::warn!(
                event = "delivery_failed",
                operations,
                reason,
                "not delivered after many tries; kept, and tried again when a peer is heard"
            );
        }
        E::Collected { tombstones } => {
            tracing::info!(event = "tombstones_collected", tombstones, "every peer knows of these deletions");
        }
    }
}
