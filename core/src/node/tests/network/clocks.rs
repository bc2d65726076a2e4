//! Hosts whose clocks disagree.

use super::*;

/// The link is over before anybody can ask whose clock it was.
#[test]
fn a_peer_that_is_refused_for_its_clock_can_be_named() {
    let mut config = Config::default();
    config.sync.clock_policy = sync::ClockPolicy::Refuse;
    let mut network = Network::with(2, config);
    network.hosts[1].skew_ms = 3_600_000;
    (0..2).for_each(|host| network.start(host));
    network.join(1, 0);
    network.live(100);
    let mut named = 0;
    for (host, skew) in [(0, 3_600_000), (1, -3_600_000)] {
        let now = network.now(host);
        let Host { node, events, .. } = &network.hosts[host];
        for event in events {
            let Event::Sync(sync::Event::ClockSkew { peer, ahead_ms }) = event else { continue };
            assert!((ahead_ms - skew).abs() < 1000, "{ahead_ms}");
            let status = node.session_link(now, *peer).expect("it was linked a moment ago");
            assert_ne!(status.key, node.key());
            named += usize::from(status.node.is_some());
        }
        assert_eq!(node.count_links().0, 0);
    }
    assert!(named > 0, "nobody has noticed");
}
