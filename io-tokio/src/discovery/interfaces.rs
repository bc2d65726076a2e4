//! Which network interfaces there are, and which targets follow from them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use if_addrs::IfAddr;
use softadastra_core::discovery::{GROUP_V4, GROUP_V6, Interface, MAX_TARGETS, Target};

use super::{DiscoveryOptions, Survey, TargetSpec, Trouble, TroubleKind};

/// An interface in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceInfo {
    /// Its number on this machine.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// An interface as the system describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) info: InterfaceInfo,
    pub(super) broadcast: Vec<Ipv4Addr>,
    pub(super) loopback: bool,
    pub(super) point_to_point: bool,
}

/// One group on one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Join {
    V4(u32),
    V6(u32),
}

/// What follows from the interfaces that there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) survey: Survey,
    pub(super) joins: BTreeSet<Join>,
    /// The IPv4 address by which each interface is told to the system.
    pub(super) senders: BTreeMap<u32, Ipv4Addr>,
}

/// The interfaces that are up, in the order of their numbers.
pub(super) fn enumerate() -> io::Result<Vec<Found>> {
    let mut found: BTreeMap<u32, Found> = BTreeMap::new();
    for interface in if_addrs::get_if_addrs()? {
        // One that is down, or has no cable, keeps its addresses.
        let Some(index) = interface.index.filter(|_| interface.is_oper_up()) else { continue };
        let entry = found.entry(index).or_insert_with(|| Found {
            info: InterfaceInfo { index, name: interface.name.clone(), addresses: Vec::new() },
            broadcast: Vec::new(),
            loopback: interface.is_loopback(),
            point_to_point: interface.is_p2p,
        });
        entry.info.addresses.push(interface.ip());
        if let IfAddr::V4(address) = &interface.addr {
            entry.broadcast.extend(address.broadcast);
        }
    }
    Ok(found.into_values().collect())
}

/// Whom to send to, and what to listen on.
pub(super) fn plan(found: &[Found], options: &DiscoveryOptions) -> Plan {
    let chosen: Vec<&Found> = found.iter().filter(|found| is_chosen(found, &options.interfaces)).collect();
    let mut plan = Plan::default();
    let mut targets = Vec::new();
    for spec in &options.targets {
        if let TargetSpec::Host { ip, port } = spec {
            targets.push(Target::Unicast(SocketAddr::new(*ip, port.unwrap_or(options.port))));
        }
    }
    // Loopback last: what others hear counts for more if there is no room for all.
    let (loopback, others): (Vec<&Found>, Vec<&Found>) = chosen.iter().partition(|found| found.loopback);
    for found in others.into_iter().chain(loopback) {
        let index = found.info.index;
        let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = found.info.addresses.iter().partition(|ip| ip.is_ipv4());
        if let Some(IpAddr::V4(first)) = v4.first() {
            plan.senders.insert(index, *first);
        }
        if options.targets.contains(&TargetSpec::Multicast) {
            if !v4.is_empty() {
                let on = if found.loopback { Interface::Loopback } else { Interface::Index(index) };
                targets.push(Target::Multicast { group: SocketAddr::new(GROUP_V4.into(), options.port), on });
                plan.joins.insert(Join::V4(index));
            }
            // The loopback interface has no route for IPv6 multicast, and IPv4 does there.
            if !v6.is_empty() && !found.loopback {
                let group = SocketAddr::new(GROUP_V6.into(), options.port);
                targets.push(Target::Multicast { group, on: Interface::Index(index) });
                plan.joins.insert(Join::V6(index));
            }
        }
        if options.targets.contains(&TargetSpec::Broadcast) && !found.loopback {
            targets.extend(
                found.broadcast.iter().map(|ip| Target::Broadcast(SocketAddr::new((*ip).into(), options.port))),
            );
        }
    }
    targets.dedup();
    let left_out = targets.len().saturating_sub(MAX_TARGETS);
    targets.truncate(MAX_TARGETS);
    plan.survey.trouble = trouble(&targets, left_out, options);
    plan.survey.targets = targets;
    plan.survey.interfaces = chosen.into_iter().map(|found| found.info.clone()).collect();
    plan
}

fn is_chosen(found: &Found, wanted: &[String]) -> bool {
    if wanted.is_empty() {
        return !found.point_to_point;
    }
    let is_meant = |text: &String| {
        *text == found.info.name || text.parse().is_ok_and(|ip: IpAddr| found.info.addresses.contains(&ip))
    };
    wanted.iter().any(is_meant)
}

fn trouble(targets: &[Target], left_out: usize, options: &DiscoveryOptions) -> Option<Trouble> {
    if left_out > 0 {
        let what = format!("{left_out} targets of discovery are left out: there are more than {MAX_TARGETS}");
        return Some(Trouble {
            next: "name fewer in discovery_interfaces",
            ..Trouble::new(TroubleKind::NoInterface, what)
        });
    }
    if !targets.is_empty() {
        return None;
    }
    let what = match options.interfaces.as_slice() {
        [] => "no network interface is up".to_owned(),
        names => format!("no network interface that is up is called or has the address {}", names.join(" or ")),
    };
    Some(Trouble::new(TroubleKind::NoInterface, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, name: &str, addresses: &[&str]) -> Found {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let loopback = addresses.iter().any(IpAddr::is_loopback);
        let broadcast = if loopback { Vec::new() } else { vec![Ipv4Addr::new(10, 0, index as u8, 255)] };
        let info = InterfaceInfo { index, name: name.into(), addresses };
        Found { info, broadcast, loopback, point_to_point: name.starts_with("tun") }
    }

    fn machine() -> Vec<Found> {
        vec![
            interface(1, "lo", &["127.0.0.1", "::1"]),
            interface(2, "eth0", &["10.0.2.5", "fe80::1"]),
            interface(3, "tun0", &["10.0.3.5"]),
        ]
    }

    fn targets(found: &[Found], change: impl FnOnce(&mut DiscoveryOptions)) -> (Vec<String>, Option<TroubleKind>) {
        let mut options = DiscoveryOptions::default();
        change(&mut options);
        let plan = plan(found, &options);
        (plan.survey.targets.iter().map(ToString::to_string).collect(), plan.survey.trouble.map(|trouble| trouble.kind))
    }

    #[test]
    fn by_default_both_groups_are_used_on_every_interface_that_knows_them() {
        let expected = [
            "multicast 239.255.83.65:4444 on interface 2",
            "multicast [ff12::5341:4453]:4444 on interface 2",
            "multicast 239.255.83.65:4444 on loopback",
        ];
        assert_eq!(targets(&machine(), |_| ()), (expected.map(str::to_owned).into(), None));
        let plan = plan(&machine(), &DiscoveryOptions::default());
        assert_eq!(plan.joins, [Join::V4(1), Join::V4(2), Join::V6(2)].into());
    }

    #[test]
    fn interfaces_are_chosen_by_name_or_address() {
        for chosen in ["tun0", "10.0.3.5"] {
            let (found, trouble) = targets(&machine(), |options| options.interfaces = vec![chosen.into()]);
            assert_eq!((found, trouble), (vec!["multicast 239.255.83.65:4444 on interface 3".to_owned()], None));
        }
        let (found, trouble) = targets(&machine(), |options| options.interfaces = vec!["eth7".into()]);
        assert_eq!((found, trouble), (Vec::new(), Some(TroubleKind::NoInterface)));
        assert_eq!(targets(&[], |_| ()).1, Some(TroubleKind::NoInterface));
    }

    #[test]
    fn broadcast_and_hosts_are_targets_too() {
        let specs = ["broadcast", "10.9.9.9", "[2001:db8::1]:7"].map(|text| text.parse().unwrap());
        let (found, trouble) = targets(&machine(), |options| {
            options.targets = specs.into();
            options.port = 5555;
        });
        assert_eq!(
            (found.join(" "), trouble),
            ("10.9.9.9:5555 [2001:db8::1]:7 broadcast 10.0.2.255:5555".into(), None)
        );
        assert_eq!(targets(&[], |options| options.targets = specs.into()).1, None, "hosts need no interface");
    }

    #[test]
    fn too_many_interfaces_are_told() {
        let many: Vec<Found> = (1..40).map(|index| interface(index, "eth", &["10.0.0.5"])).collect();
        let (found, trouble) = targets(&many, |_| ());
        assert_eq!((found.len(), trouble), (MAX_TARGETS, Some(TroubleKind::NoInterface)));
    }

    #[test]
    fn this_machine_has_interfaces() {
        let found = enumerate().unwrap();
        assert!(found.iter().any(|found| found.loopback && found.info.addresses.contains(&Ipv4Addr::LOCALHOST.into())));
    }
}
