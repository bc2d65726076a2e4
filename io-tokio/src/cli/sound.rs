//! Whether settings fit each other, and the data directory: the same for `node start`, `config check` and `doctor`.

use std::net::SocketAddr;

use softadastra_core::error::{Code, Error};

use super::console::refuse_exposure;
use super::node::{judge_trust, refuse_strangers};
use super::output::Failure;
use super::site;
use crate::control::backend::Backend as _;
use crate::control::{Fault, local};
use crate::settings::{CATALOG, Settings, Source};
use crate::{PeerSpec, network, off_thread, tools};

/// Refuses what no command can work with.
pub(super) fn for_any_command(settings: &Settings) -> Result<(), Failure> {
    site::options(settings).validate().map_err(|error| of_settings(settings, error))
}

/// Refuses what a node would not start with, or never get to work with.
pub(super) fn for_a_node(settings: &Settings) -> Result<(), Failure> {
    for_any_command(settings)?;
    settings.discovery.options().validate().map_err(|error| of_settings(settings, error))?;
    refuse_strangers(settings)?;
    refuse_exposure(settings)?;
    refuse_one_port_for_two(settings)
}

/// Refuses rules of trust that do not go with what the directory holds, peers of which it does not say where they are, and a
/// name that is not that of its node. What cannot be looked at is no fault of the settings.
pub(super) async fn for_the_directory(settings: &Settings) -> Result<(), Failure> {
    for_its_links(settings).await?;
    let Some(wanted) = &settings.node_id else { return Ok(()) };
    let found = match site::node(settings).await {
        Ok(Some(mut node)) => node.node().await.ok().map(|node| node.node_id),
        Ok(None) => match tools::inspect(&settings.data_dir).await {
            Ok(found) => local::log(found).content.map(|content| content.node_id),
            Err(_unread) => None,
        },
        Err(_unreached) => None,
    };
    match found {
        Some(found) if found != wanted.as_str() => Err(Failure::Usage(foreign_name(settings, wanted.as_str(), &found))),
        Some(_) | None => Ok(()),
    }
}

/// What of [`for_the_directory`] concerns links.
pub(super) async fn for_its_links(settings: &Settings) -> Result<(), Failure> {
    let (dir, peers) = (settings.data_dir.clone(), settings.network.peers.clone());
    let Ok(known) = off_thread(move || network::look(&dir, &peers)).await else { return Ok(()) };
    let unknown = match &known {
        Some(known) => known.unknown.clone(),
        None => settings.network.peers.iter().find(|peer| peer.is_name()).map(PeerSpec::unknown),
    };
    if let Some(error) = unknown {
        let fault = Fault::from(error);
        let message = format!("setting peers from {}: {}", settings.source("peers"), fault.message);
        return Err(Failure::Usage(Fault { message, ..fault }));
    }
    let brings_a_network = settings.network.peers.iter().any(|peer| matches!(peer, PeerSpec::Ticket(_)));
    match known {
        Some(known) if !brings_a_network => {
            judge_trust(settings, settings.network.trust.unwrap_or(known.mode), known.in_network)
        }
        Some(_) | None => Ok(()),
    }
}

/// The configured name is not that of the node in the directory.
pub(super) fn foreign_name(settings: &Settings, wanted: &str, found: &str) -> Fault {
    let what =
        format!("setting node_id from {}: {wanted}, and the directory is that of {found}", settings.source("node_id"));
    Fault::new(Code::InvalidArgument, what, "correct the setting, or name the right directory")
}

/// What a node starts with, and that cannot be meant.
pub(super) fn doubt(settings: &Settings) -> Option<String> {
    (settings.discovery.mdns && settings.network.listen.is_empty()).then(|| {
        format!(
            "discovery_mdns from {} lists nothing: `listen` is not set, so the node takes no links",
            settings.source("discovery_mdns")
        )
    })
}

/// Links and HTTP at one port: one of them would never have it.
fn refuse_one_port_for_two(settings: &Settings) -> Result<(), Failure> {
    let Some(http) = settings.http.filter(|http| http.port() != 0) else { return Ok(()) };
    let meet = |links: &SocketAddr| {
        let (links_ip, http_ip) = (links.ip().to_canonical(), http.ip().to_canonical());
        links.port() == http.port() && (links_ip == http_ip || links_ip.is_unspecified() || http_ip.is_unspecified())
    };
    let links = settings.network.listen.iter().filter_map(|text| text.parse().ok()).find(meet);
    let Some(links) = links else { return Ok(()) };
    let what = format!(
        "listen {links} ({}) and http {http} ({}) are one port",
        settings.source("listen"),
        settings.source("http")
    );
    Err(Failure::Usage(Fault::new(Code::InvalidArgument, what, "choose another port for one of them")))
}

/// How the times of discovery follow on each other.
const DISCOVERY_TIMES: &str = "correct it: discovery_interval, discovery_stale_after, discovery_expire_after and \
    discovery_prune_after follow on each other, none below the one before";

/// What is wrong between settings, with those that it is about and where they stand.
pub(super) fn of_settings(settings: &Settings, error: Error) -> Failure {
    let fault = Fault::from(error);
    let said = fault.message.clone();
    let words: Vec<&str> = said.split(|c: char| !c.is_ascii_lowercase() && c != '_').collect();
    let concerned: Vec<String> = CATALOG
        .iter()
        .filter(|setting| is_meant(setting.name, &words))
        .map(|setting| (setting.name, settings.source(setting.name)))
        .filter(|(_, source)| *source != Source::Default)
        .map(|(name, source)| format!("{name} from {source}"))
        .collect();
    let message = match concerned.as_slice() {
        [] => fault.message,
        [one] => format!("setting {one}: {said}"),
        many => format!("settings {}: {said}", many.join(", ")),
    };
    let in_order = words.contains(&"discovery") && words.iter().any(|word| word.ends_with("_after"));
    let next = if in_order { DISCOVERY_TIMES.to_owned() } else { fault.next };
    Failure::Usage(Fault { message, next, ..fault })
}

/// Whether the words of a refusal, which names options of the engine, are about this setting.
fn is_meant(setting: &str, words: &[&str]) -> bool {
    let said = |word| words.contains(&word);
    match (setting, setting.strip_prefix("discovery_")) {
        ("discovery", _) => false,
        ("first_segment" | "max_segment", _) => said("segments"),
        ("listen", _) => said("reaches"),
        ("durability", _) => said("sync") && said("interval"),
        ("discovery_targets", _) => said("target"),
        ("discovery_advertise", _) => said("announced"),
        (_, Some(option)) => said("discovery") && said(option),
        (setting, None) => said(setting),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Layers;

    fn set(items: &[(&str, &str)]) -> Settings {
        let flags = items.iter().map(|(name, value)| ("--set", (*name).to_owned(), (*value).into())).collect();
        Layers { flags, ..Layers::default() }.resolve().unwrap()
    }

    fn refusal(items: &[(&str, &str)]) -> String {
        match for_a_node(&set(items)) {
            Err(Failure::Usage(fault)) => fault.message,
            other => panic!("{items:?}: {other:?}"),
        }
    }

    #[test]
    fn what_is_refused_names_the_settings_and_their_place() {
        for (items, wanted) in [
            (&[("required_acks", "0")][..], "setting required_acks from the flag --set: required_acks must"),
            (&[("max_segment", "1KiB")], "setting max_segment from the flag --set: segments of"),
            (&[("discovery_stale_after", "1s")], "setting discovery_stale_after from the flag --set: "),
            (&[("trust", "network")], "setting trust from the flag --set: trust mode network needs"),
            (&[("listen", "192.0.2.1:4444")], "setting listen from the flag --set: in trust mode open"),
            (&[("http", "0.0.0.0:9464")], "other machines"),
        ] {
            let told = refusal(items);
            assert!(told.contains(wanted), "{told}");
        }
    }

    #[test]
    fn links_and_http_need_a_port_each() {
        for listen in ["127.0.0.1:9464", "0.0.0.0:9464"] {
            let told = refusal(&[("listen", listen), ("http", "127.0.0.1:9464"), ("insecure", "true")]);
            assert!(told.contains("are one port"), "{told}");
        }
        for (listen, http) in
            [("127.0.0.1:0", "127.0.0.1:0"), ("127.0.0.2:1", "127.0.0.1:1"), ("127.0.0.1:1", "127.0.0.1:2")]
        {
            for_a_node(&set(&[("listen", listen), ("http", http)])).unwrap();
        }
    }

    #[test]
    fn a_service_that_nobody_can_reach_is_doubted() {
        assert!(doubt(&set(&[("discovery_mdns", "true")])).is_some());
        assert_eq!(doubt(&set(&[("discovery_mdns", "true"), ("listen", "127.0.0.1:1")])), None);
    }
}
