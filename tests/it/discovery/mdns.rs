//! The node among the services that others browse.

use std::time::{Duration, Instant};

use mdns_sd::{IfKind, ServiceDaemon, ServiceEvent};

use crate::support::Place;

/// How long a list of services may take to show a node, or to lose it.
const SOON: Duration = Duration::from_secs(30);

/// Waits for an event that is wanted.
#[track_caller]
fn until<T>(
    what: &str,
    heard: impl Fn(Duration) -> Option<ServiceEvent>,
    wanted: impl Fn(ServiceEvent) -> Option<T>,
) -> T {
    let begun = Instant::now();
    loop {
        let event = heard(SOON.saturating_sub(begun.elapsed()));
        if let Some(found) = wanted(event.unwrap_or_else(|| panic!("waited in vain until {what}"))) {
            return found;
        }
    }
}

#[test]
fn a_node_is_listed_where_asked_for_and_gone_when_it_stops() {
    // Others may be testing on this machine as well.
    let (listed, silent) = (format!("till-{}", std::process::id()), format!("desk-{}", std::process::id()));
    let (place, other) = (Place::of(&listed), Place::of(&silent));
    let browser = ServiceDaemon::new().unwrap();
    browser.disable_interface(IfKind::All).unwrap();
    browser.enable_interface(IfKind::LoopbackV4).unwrap();
    let events = browser.browse("_softadastra._tcp.local.").unwrap();
    let heard = |patience| events.recv_timeout(patience).ok();

    let _not_listed = other.start_with(&["--listen", "127.0.0.1:0"]);
    let node = place.start_with(&["--listen", "127.0.0.1:0", "--set", "discovery_mdns=true"]);
    let service = until("it is listed", heard, |event| match event {
        ServiceEvent::ServiceResolved(service) => {
            assert!(!service.fullname.starts_with(&silent), "nobody is listed unasked");
            service.fullname.starts_with(&listed).then_some(service)
        }
        _ => None,
    });
    let info = place.run(&["node", "info", "--json"]).data("softadastra.node/1");
    assert_eq!(format!("127.0.0.1:{}", service.port), node.address());
    assert_eq!(service.txt_properties.get_property_val_str("key"), info["public_key"].as_str());
    assert_eq!(node.stop().code, 0);
    until("it is gone", heard, |event| match event {
        ServiceEvent::ServiceRemoved(_, name) => name.starts_with(&listed).then_some(()),
        _ => None,
    });
    browser.shutdown().unwrap();
}

#[test]
fn a_node_that_takes_no_links_says_that_it_is_not_listed() {
    let place = Place::new();
    let node = place.start_with(&["--log-format", "json", "--set", "discovery_mdns=true"]);
    place.run(&["store", "put", "k", "v"]).ok();
    let ran = node.stop();
    let told = ran.stderr.lines().find(|line| line.contains("\"mdns_failed\"")).unwrap_or_else(|| panic!("{ran:?}"));
    assert!(told.contains("set `listen`"), "{told}");
}
