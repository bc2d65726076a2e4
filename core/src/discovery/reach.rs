//! Where an announced node can really be reached.
//!
//! The announcer seldom knows how others see it; the receiver sees where the datagram came from. So a listener on all
//! addresses is announced as a port *at the source*, and only a listener on one address names that address. A loopback
//! address is never told to, nor believed from, anybody who is not on the same machine.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr, SocketAddrV6};

/// One way to reach a node, as announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// At the address that the datagram came from.
    AtSource {
        /// For datagrams that came by IPv6, else by IPv4.
        v6: bool,
        /// The port.
        port: u16,
    },
    /// Here.
    At(SocketAddr),
}

/// Where a node listens, as told to somebody on this machine or elsewhere. Port 0 is nowhere.
pub(super) fn ways(listeners: &[SocketAddr], same_machine: bool) -> Vec<Way> {
    let mut ways = Vec::new();
    for listener in listeners {
        let ip = listener.ip().to_canonical();
        let way = if ip.is_unspecified() {
            Way::AtSource { v6: ip.is_ipv6(), port: listener.port() }
        } else {
            Way::At(SocketAddr::new(ip, listener.port()))
        };
        let told = listener.port() != 0 && !is_for_many(ip) && (same_machine || !ip.is_loopback());
        if told && !ways.contains(&way) {
            ways.push(way);
        }
    }
    ways
}

/// The addresses to dial, as seen by somebody who got the announcement from `source`.
pub(super) fn addresses(ways: &[Way], source: SocketAddr) -> Vec<SocketAddr> {
    let source = canonical(source);
    let mut addresses = Vec::new();
    for way in ways {
        let address = match way {
            Way::AtSource { v6, port } if *v6 == source.is_ipv6() => at_port(source, *port),
            Way::AtSource { .. } => continue,
            // The zone of a link-local address is known to the receiver only.
            Way::At(address) if address.ip() == source.ip() => at_port(source, address.port()),
            Way::At(address) => *address,
        };
        let ip = address.ip();
        let believed = address.port() != 0
            && !ip.is_unspecified()
            && !is_for_many(ip)
            && (source.ip().is_loopback() || !ip.is_loopback())
            && (source.ip() == ip || !is_link_local(ip));
        if believed && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// The address without the forms that mean the same: IPv4 inside IPv6, flow labels, zones where none is needed.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match (address.ip().to_canonical(), address) {
        (IpAddr::V6(ip), SocketAddr::V6(whole)) => {
            let zone = if ip.is_unicast_link_local() || ip.is_multicast() { whole.scope_id() } else { 0 };
            SocketAddrV6::new(ip, whole.port(), 0, zone).into()
        }
        (ip, _) => SocketAddr::new(ip, address.port()),
    }
}

fn at_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// Multicast or broadcast: no single node listens there.
pub(super) fn is_for_many(ip: IpAddr) -> bool {
    ip.is_multicast() || matches!(ip, IpAddr::V4(ip) if ip.is_broadcast())
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::{vec, vec::Vec};

    fn parsed(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// What somebody who hears from `source` learns of a node that listens on `listeners`.
    fn learnt(listeners: &[&str], source: &str) -> Vec<alloc::string::String> {
        let source: SocketAddr = source.parse().unwrap();
        let ways = ways(&parsed(listeners), source.ip().is_loopback());
        addresses(&ways, source).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_listener_on_all_addresses_is_reached_where_the_datagram_came_from() {
        assert_eq!(learnt(&["0.0.0.0:7"], "10.0.0.5:999"), ["10.0.0.5:7"]);
        assert_eq!(learnt(&["[::]:7"], "[fe80::1%3]:999"), ["[fe80::1%3]:7"]);
        assert_eq!(learnt(&["[::]:7"], "[2001:db8::1%3]:999"), ["[2001:db8::1]:7"], "a zone where none is needed");
        assert_eq!(learnt(&["0.0.0.0:7"], "[::ffff:10.0.0.5]:999"), ["10.0.0.5:7"], "IPv4 inside IPv6");
        assert!(learnt(&["[::]:7"], "10.0.0.5:999").is_empty(), "a way for the other family");
        assert_eq!(learnt(&["0.0.0.0:7", "0.0.0.0:7"], "10.0.0.5:999"), ["10.0.0.5:7"]);
    }

    #[test]
    fn a_listener_on_one_address_names_it() {
        assert_eq!(learnt(&["192.0.2.9:7", "[2001:db8::9]:8"], "10.0.0.5:999"), ["192.0.2.9:7", "[2001:db8::9]:8"]);
        assert_eq!(learnt(&["[fe80::1]:7"], "[fe80::1%4]:999"), ["[fe80::1%4]:7"], "the receiver knows the zone");
        assert!(learnt(&["[fe80::1]:7", "169.254.1.1:7"], "10.0.0.5:999").is_empty(), "another wire, perhaps");
    }

    #[test]
    fn loopback_stays_on_the_machine() {
        assert_eq!(learnt(&["127.0.0.1:7"], "127.0.0.1:999"), ["127.0.0.1:7"]);
        assert_eq!(learnt(&["0.0.0.0:7"], "127.0.0.1:999"), ["127.0.0.1:7"]);
        assert!(ways(&parsed(&["127.0.0.1:7", "[::1]:7"]), false).is_empty(), "it is not told");
        let told = vec![Way::At("127.0.0.1:7".parse().unwrap()), Way::At("[::1]:7".parse().unwrap())];
        assert!(addresses(&told, "10.0.0.5:999".parse().unwrap()).is_empty(), "nor believed");
    }

    #[test]
    fn nobody_is_reached_at_an_address_of_many_or_of_none() {
        let bad = ["224.0.0.1:7", "255.255.255.255:7", "[ff02::1]:7", "10.0.0.1:0"];
        assert!(ways(&parsed(&bad), true).is_empty());
        let mut told: Vec<_> = parsed(&bad).into_iter().map(Way::At).collect();
        told.push(Way::At("0.0.0.0:7".parse().unwrap()));
        told.push(Way::AtSource { v6: false, port: 0 });
        assert!(addresses(&told, "10.0.0.5:999".parse().unwrap()).is_empty());
    }
}
