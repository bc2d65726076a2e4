//! What there is to tell about discovery.

use softadastra_core::discovery::{Loss, Notice, Sighting};
use softadastra_core::ids::NodeId;
use softadastra_core::transport::identity::NodeKey;

pub(super) fn found(sighting: &Sighting) {
    let addresses = addresses(sighting);
    tracing::info!(event = "node_found", peer = %sighting.node, key = %sighting.key, addresses, "discovery has found a node");
}

pub(super) fn changed(sighting: &Sighting) {
    let addresses = addresses(sighting);
    tracing::info!(
        event = "node_changed",
        peer = %sighting.node,
        key = %sighting.key,
        addresses,
        "a node that was found has another name or other addresses, or was started anew"
    );
}

pub(super) fn lost(node: &NodeId, key: &NodeKey, why: Loss) {
    let why = match why {
        Loss::Goodbye => "it said goodbye",
        Loss::Silence => "it was not heard for too long",
    };
    tracing::info!(event = "node_lost", peer = %node, %key, why, "a node that was found is gone");
}

fn addresses(sighting: &Sighting) -> String {
    let texts: Vec<String> = sighting.addresses.iter().map(ToString::to_string).collect();
    texts.join(" ")
}

pub(super) fn notice(notice: &Notice) {
    match notice {
        Notice::Ignored { why, from } => tracing::warn!(
            event = "datagrams_dropped",
            reason = why.as_str(),
            %from,
            "datagrams of discovery are dropped: {why}; told once a minute"
        ),
        Notice::ClockSkew { key, node, ahead: Some(ms) } => tracing::warn!(
            event = "discovered_clock_skewed",
            peer = %node,
            %key,
            ahead_ms = ms,
            "the clock of a node that was found is off"
        ),
        Notice::ClockSkew { key, node, ahead: None } => {
            tracing::info!(event = "discovered_clock_mended", peer = %node, %key, "its clock is right again");
        }
        Notice::IdentityClone { key, from } => tracing::error!(
            event = "discovered_clone",
            %key,
            %from,
            "two running nodes have this key: a data directory was copied; give one of them a directory of its own"
        ),
        Notice::SharedName { node, key, other } => tracing::warn!(
            event = "discovered_name_shared",
            peer = %node,
            %key,
            %other,
            "two keys go by one name; links are made with the one that trust says"
        ),
        Notice::TargetFailing { target, error } => tracing::warn!(
            event = "discovery_target_failing",
            %target,
            error,
            "datagrams of discovery cannot be sent there; trying on, links and local work go on"
        ),
        Notice::TargetWorks { target } => {
            tracing::info!(event = "discovery_target_works", %target, "datagrams of discovery go out there again");
        }
    }
}
