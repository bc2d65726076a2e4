//! Whether the ports that a node needs can be had.

use std::io;
use std::net::TcpListener;

use tokio::net::lookup_host;

use crate::DiscoveryOptions;
use crate::control::answer::{Check, Status};
use crate::discovery::Udp;
use crate::settings::Settings;
use crate::world::Radio as _;

/// The ports of links, of discovery, and of metrics: as the running node says, else by trying to take them.
pub(super) async fn all(settings: &Settings, status: Option<&Status>) -> Vec<Check> {
    vec![links(settings, status).await, discovery(settings, status), http(settings, status)]
}

async fn links(settings: &Settings, status: Option<&Status>) -> Check {
    let name = "links";
    if let Some(Status { transport, .. }) = status {
        return match (&transport.error, transport.listening.is_empty()) {
            (Some(error), _) => Check::failed(name, error.clone(), "see to it; it is tried again by itself"),
            (None, _) if !transport.running => Check::failed(
                name,
                "none are opened",
                "see the log for `network_book_unusable`, or start the node again",
            ),
            (None, true) => Check::ok(name, "opened to others, taken nowhere"),
            (None, false) if transport.lets_anybody_in() => Check::warning(
                name,
                format!(
                    "taken at {}, from anybody: whoever reaches it reads and writes everything",
                    transport.listening.join(", ")
                ),
                "form a network with `softadastra ticket` and `softadastra join`, or listen on loopback",
            ),
            (None, false) => Check::ok(name, format!("taken at {}", transport.listening.join(", "))),
        };
    }
    for text in &settings.network.listen {
        if let Err(error) = try_to_listen(text).await {
            return Check::failed(name, format!("cannot listen at {text}: {error}"), next(&error));
        }
    }
    match settings.network.listen.as_slice() {
        [] => Check::ok(name, "to be taken nowhere: this node dials"),
        listen => Check::ok(name, format!("can be taken at {}", listen.join(", "))),
    }
}

async fn try_to_listen(text: &str) -> io::Result<()> {
    let mut found = false;
    for address in lookup_host(text).await? {
        found = true;
        TcpListener::bind(address)?;
    }
    if found { Ok(()) } else { Err(io::Error::other("the name has no address")) }
}

fn next(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "end the program that listens there, or choose another port",
        io::ErrorKind::AddrNotAvailable => "give an address of this machine, or 0.0.0.0 for all of them",
        io::ErrorKind::PermissionDenied => "choose a port above 1023",
        _ => "check the name and the network of this machine",
    }
}

fn discovery(settings: &Settings, status: Option<&Status>) -> Check {
    let name = "discovery";
    if let Some(Status { discovery, .. }) = status {
        return match (&discovery.error, discovery.running) {
            (Some(error), _) => Check::failed(name, error.message.clone(), error.next.clone()),
            (None, true) => Check::ok(name, format!("works, {} found", discovery.found)),
            (None, false) => Check::ok(name, "off"),
        };
    }
    if settings.discovery.mode.is_none() {
        return Check::ok(name, "off");
    }
    let options: DiscoveryOptions = settings.discovery.options();
    let trouble = match Udp::open(&options) {
        Ok(mut sockets) => sockets.survey().trouble,
        Err(trouble) => Some(trouble),
    };
    match trouble {
        Some(trouble) => Check::failed(name, trouble.what, trouble.next),
        None => Check::ok(name, format!("UDP port {} can be had", options.port)),
    }
}

fn http(settings: &Settings, status: Option<&Status>) -> Check {
    let name = "http";
    // What a node serves it knows itself: flags of its own may differ from what is set here.
    if let Some(Status { http, .. }) = status {
        let address = http.address.as_deref().unwrap_or_default();
        return match (http.state.as_str(), &http.error) {
            ("served", _) => Check::ok(name, format!("served at {address}")),
            (_, Some(error)) => Check::failed(
                name,
                format!("not served at {address}: {error}"),
                "see to it, or choose another port; it is tried again by itself",
            ),
            (_, None) => Check::ok(name, "off"),
        };
    }
    match settings.http {
        None => Check::ok(name, "off"),
        Some(address) => match TcpListener::bind(address) {
            Ok(_) => Check::ok(name, format!("{address} can be had")),
            Err(error) => Check::failed(name, format!("cannot listen at {address}: {error}"), next(&error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Local;
    use crate::control::answer::Transport;
    use crate::control::backend::Backend as _;

    #[tokio::test]
    async fn a_port_that_is_taken_is_told() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let mut settings = Settings::default();
        settings.network.listen = vec![address.to_string()];
        settings.http = Some(address);
        let checks = all(&settings, None).await;
        assert!(checks[0].state == "failed" && checks[0].next.contains("another port"), "{checks:?}");
        assert_eq!(checks[2].state, "failed");
        drop(taken);
        let checks = all(&settings, None).await;
        assert_eq!((checks[0].state.as_str(), checks[2].state.as_str()), ("ok", "ok"), "{checks:?}");
        settings.network.listen = vec!["no such host:1".into()];
        assert_eq!(all(&settings, None).await[0].state, "failed");
    }

    #[tokio::test]
    async fn who_lets_anybody_in_is_told() {
        let client = crate::Client::open(crate::ClientOptions::memory_only()).await.unwrap();
        let mut status = Local::for_one_command(client).status().await.unwrap();
        let mut state = |listening: &str, trust: &str| {
            let listening = vec![listening.to_owned()];
            status.transport = Transport { running: true, listening, error: None, trust: Some(trust.to_owned()) };
            status.clone()
        };
        for (status, wanted) in [
            (state("192.0.2.1:4444", "open"), "warning"),
            (state("0.0.0.0:4444", "open"), "warning"),
            (state("127.0.0.1:4444", "open"), "ok"),
            (state("192.0.2.1:4444", "network"), "ok"),
        ] {
            let checks = all(&Settings::default(), Some(&status)).await;
            assert_eq!(checks[0].state, wanted, "{checks:?}");
        }
    }
}
