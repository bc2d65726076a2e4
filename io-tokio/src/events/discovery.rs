//! What there is to tell about discovery.

use softadastra_core::discovery::{Loss, Notice, Sighting};
use softadastra_core::error::Error;
use softadastra_core::ids::NodeId;
use softadastra_core::transport::identity::NodeKey;

use super::{kinds, tell};
use crate::discovery::{DiscoveryOptions, Listing, Survey, Trouble};

pub(crate) fn discovery_started(key: &NodeKey, options: &DiscoveryOptions) {
    tell!(info, kinds::DISCOVERY_STARTED,
        %key,
        mode = options.mode.as_str(),
        port = options.port,
        auto_connect = options.auto_connect,
        "nodes of this network are looked for"
    );
}

pub(crate) fn discovery_stopped() {
    tell!(info, kinds::DISCOVERY_STOPPED, "nobody is looked for any more; links and local work go on");
}

pub(crate) fn discovery_failed(trouble: &Trouble) {
    tell!(
        error,
        kinds::DISCOVERY_FAILED,
        code = trouble.kind.as_str(),
        error = trouble.what,
        next = trouble.next,
        "nobody is found at present; links and local work go on"
    );
}

pub(crate) fn discovery_works() {
    tell!(info, kinds::DISCOVERY_WORKS, "discovery works again");
}

pub(crate) fn not_announced(error: &Error) {
    tell!(warn, kinds::DISCOVERY_NOT_ANNOUNCED, %error, "others are not told where links are taken; local work goes on");
}

/// Not for operators: an interface that comes and goes all day would fill the log.
pub(crate) fn interfaces_changed(survey: &Survey) {
    let names: Vec<&str> = survey.interfaces.iter().map(|interface| interface.name.as_str()).collect();
    let targets = survey.targets.len();
    tracing::debug!(
        step = "discovery_interfaces",
        interfaces = names.join(" "),
        targets,
        "discovery uses these interfaces"
    );
}

pub(super) fn found(sighting: &Sighting) {
    let addresses = addresses(sighting);
    tell!(info, kinds::NODE_FOUND, peer = %sighting.node, key = %sighting.key, addresses, "discovery has found a node");
}

pub(super) fn changed(sighting: &Sighting) {
    let addresses = addresses(sighting);
    tell!(info, kinds::NODE_CHANGED,
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
    tell!(info, kinds::NODE_LOST, peer = %node, %key, why, "a node that was found is gone");
}

fn addresses(sighting: &Sighting) -> String {
    let texts: Vec<String> = sighting.addresses.iter().map(ToString::to_string).collect();
    texts.join(" ")
}

pub(super) fn notice(notice: &Notice) {
    match notice {
        Notice::Ignored { why, from } => tell!(warn, kinds::DATAGRAMS_DROPPED,
            reason = why.as_str(),
            %from,
            "datagrams of discovery are dropped: {why}; told once a minute"
        ),
        Notice::ClockSkew { key, node, ahead: Some(ms) } => tell!(warn, kinds::DISCOVERED_CLOCK_SKEWED,
            peer = %node,
            %key,
            ahead_ms = ms,
            "the clock of a node that was found is off"
        ),
        Notice::ClockSkew { key, node, ahead: None } => {
            tell!(info, kinds::DISCOVERED_CLOCK_MENDED, peer = %node, %key, "its clock is right again");
        }
        Notice::IdentityClone { key, from } => tell!(error, kinds::DISCOVERED_CLONE,
            %key,
            %from,
            "two running nodes have this key: a data directory was copied; give one of them a directory of its own"
        ),
        Notice::SharedName { node, key, other, others } => tell!(warn, kinds::DISCOVERED_NAME_SHARED,
            peer = %node,
            %key,
            %other,
            others,
            "several keys go by one name; links are made with the one that trust says"
        ),
        Notice::TargetFailing { target, error } => tell!(warn, kinds::DISCOVERY_TARGET_FAILING,
            %target,
            error,
            "datagrams of discovery cannot be sent there; trying on, links and local work go on"
        ),
        Notice::TargetWorks { target } => {
            tell!(info, kinds::DISCOVERY_TARGET_WORKS, %target, "datagrams of discovery go out there again");
        }
    }
}

pub(crate) fn mdns_listed(listing: &Listing) {
    tell!(info, kinds::MDNS_LISTED, service = listing.name(), port = listing.port(), "the node is listed by mDNS");
}

pub(crate) fn mdns_failed(error: &str) {
    tell!(warn, kinds::MDNS_FAILED, error, "the node is not listed by mDNS; nothing else depends on it");
}
