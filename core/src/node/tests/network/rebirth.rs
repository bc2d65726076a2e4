//! Histories that were rolled back or doubled, and how they heal.

use super::*;
use crate::testing::Failure;

impl Network {
    /// What could be copied out of a data directory at this moment.
    fn copy(&self, host: usize) -> MemDisk {
        let disk = &self.hosts[host].disk;
        let mut copy = MemDisk::new();
        for name in disk.names() {
            copy.place(&name, disk.bytes(&name).to_vec());
        }
        copy
    }

    fn replace(&mut self, host: usize, disk: MemDisk) {
        self.crash(host);
        let (pins, starts) = (self.hosts[host].pins.clone(), self.hosts[host].starts);
        self.restart_on(host, disk, pins, starts);
    }

    fn reborn(&self, host: usize) -> Option<sync::Finding> {
        self.hosts[host].events.iter().find_map(|event| match event {
            Event::Reborn { finding, .. } => Some(*finding),
            _ => None,
        })
    }
}

/// What every story of a rolled back node must end with: equal states, no halt, a new name that survives a restart.
fn assert_healed(network: &mut Network, host: usize, old: ReplicaId) {
    assert_ne!(network.replica(host), old, "a new name: {:?}", network.hosts[host].events);
    assert_eq!(network.hosts[host].node.status().halted, None);
    network.live(20_000);
    network.assert_converged();
    let name = network.replica(host);
    network.put(host, "after the rebirth", "written");
    network.settle();
    network.assert_converged();
    network.crash(host);
    network.join(host, usize::from(host == 0));
    network.live(20_000);
    network.assert_converged();
    assert_eq!(network.replica(host), name, "it is born once");
}

#[test]
fn a_directory_copied_back_gets_a_new_name_and_its_old_history_back() {
    let mut network = Network::mesh(2);
    network.put(0, "a", "1");
    network.settle();
    let copy = network.copy(0);
    network.put(0, "a", "2");
    network.put(0, "b", "2");
    network.settle();
    let old = network.replica(0);
    network.replace(0, copy);
    assert_eq!(network.value(0, "b"), None);
    network.live(20_000);
    assert!(matches!(network.reborn(0), Some(sync::Finding::Rollback { .. } | sync::Finding::LogRollback { .. })));
    assert_healed(&mut network, 0, old);
    assert_eq!(network.value(0, "a").as_deref(), Some("2"));
    assert_eq!(network.value(0, "b").as_deref(), Some("2"), "the old history is back");
}

#[test]
fn what_a_rolled_back_node_wrote_on_is_neither_lost_nor_taken_for_what_it_wrote_before() {
    let mut network = Network::mesh(3);
    network.put(0, "shared", "1");
    network.settle();
    let copy = network.copy(0);
    network.put(0, "k", "before");
    network.put(0, "only before", "x");
    network.settle();
    let old = network.replica(0);
    for (a, b) in [(0, 1), (0, 2)] {
        network.part(a, b);
    }
    network.replace(0, copy);
    // The same dots as the two that were lost, and some more.
    network.put(0, "k", "after");
    network.put(0, "only after", "y");
    for n in 0..20 {
        network.put(0, &format!("more {n}"), "z");
    }
    network.settle();
    for (a, b) in [(0, 1), (0, 2)] {
        network.mend(a, b);
    }
    network.live(20_000);
    assert!(matches!(network.reborn(0), Some(sync::Finding::Rollback { .. } | sync::Finding::LogRollback { .. })));
    assert_healed(&mut network, 0, old);
    for host in 0..3 {
        assert_eq!(network.value(host, "only before").as_deref(), Some("x"), "n{host}");
        assert_eq!(network.value(host, "only after").as_deref(), Some("y"), "n{host}");
        assert_eq!(network.value(host, "more 19").as_deref(), Some("z"), "n{host}");
        assert_eq!(network.value(host, "k").as_deref(), Some("after"), "n{host}: the later write stands");
        let lost = |version: &sync::Version| version.body.value() == Some(&"before".into());
        let mut conflicts = network.hosts[host].node.conflicts().iter();
        assert!(conflicts.any(|c| lost(&c.met.local) || lost(&c.met.remote)), "n{host} keeps the other one");
    }
}

#[test]
fn a_copy_of_a_log_that_runs_beside_the_original_gets_a_name_of_its_own() {
    let mut network = Network::of(2);
    network.start(0);
    network.put(0, "a", "1");
    network.settle();
    let copy = network.copy(0);
    // Another identity key, the same history.
    network.config.node_id = None;
    let config = Config { node_id: Some(NodeId::new("n0").unwrap()), ..Config::default() };
    let mut disk = copy;
    let (node, _) = open(&mut disk, config, 77, Start::OpenOrCreate).unwrap();
    network.hosts[1].node = node;
    network.hosts[1].disk = disk;
    network.hosts[1].asked.clear();
    network.put(0, "by the original", "x");
    network.put(1, "by the copy", "y");
    network.settle();
    let (first, second) = (network.replica(0), network.replica(1));
    assert_eq!(first, second);
    // The operator has given the copy another key to be known by.
    network.hosts[1].pins.clear();
    network.start(1);
    network.hosts[0].pins.clear();
    // And trusts each of them beside the other, for both bear one name.
    for (host, other) in [(0, 1), (1, 0)] {
        let now = network.now(host);
        network.hosts[host].node.trust_key(now, Network::identity(other).key()).unwrap();
    }
    network.join(1, 0);
    network.live(20_000);
    assert_ne!(network.replica(0), network.replica(1));
    network.assert_converged();
    for host in 0..2 {
        assert_eq!(network.value(host, "by the original").as_deref(), Some("x"), "n{host}");
        assert_eq!(network.value(host, "by the copy").as_deref(), Some("y"), "n{host}");
        assert_eq!(network.hosts[host].node.status().conflicts, 0, "one write under two names is no conflict");
    }
}

#[test]
fn writes_during_a_rebirth_are_answered() {
    let mut network = Network::mesh(2);
    network.put(0, "a", "1");
    network.settle();
    let copy = network.copy(0);
    network.put(0, "b", "2");
    network.settle();
    network.replace(0, copy);
    let mut requests = Vec::new();
    for n in 0..400 {
        requests.push(network.put(0, &format!("w{n}"), "v"));
        network.step();
        if n % 4 == 0 {
            network.advance(20);
        }
    }
    network.live(20_000);
    assert!(network.reborn(0).is_some(), "{:?}", network.hosts[0].events);
    for request in requests {
        assert!(matches!(network.hosts[0].replies.get(&request), Some(Ok(Reply::Written(_)))), "{request:?}");
    }
    network.assert_converged();
    assert_eq!(network.value(1, "w399").as_deref(), Some("v"));
}

/// The disk fails while a write waits for the node's new name: nothing that comes later brings the answer along.
#[test]
fn a_write_that_waits_for_a_rebirth_that_cannot_be_is_answered_at_once() {
    let mut network = Network::of(1);
    network.put(0, "a", "1");
    network.settle();
    let failing = network.put(0, "b", "2");
    let finding = sync::Finding::Clone(network.replica(0));
    network.hosts[0].node.begin_rebirth(finding);
    let parked = network.put(0, "c", "3");
    assert_eq!(network.hosts[0].node.status().waiting, 2, "one at the disk, one for the new name");
    let host = &mut network.hosts[0];
    host.disk.fail(host.disk.journal().len(), Failure::Clean(DiskErrorKind::Io));
    while network.poll(0) {
        assert!(
            !network.poll(0),
            "whoever is told that there is nothing more does not ask again before the next input"
        );
        while let Some(DiskRequest { token, op, .. }) = network.hosts[0].asked.pop_front() {
            let (now, result) = (network.now(0), network.hosts[0].disk.run(&op));
            network.hosts[0].node.handle(now, Input::Disk { token, result });
        }
    }
    for request in [failing, parked] {
        assert!(matches!(network.hosts[0].replies.get(&request), Some(Err(_))), "{request:?}");
    }
}

#[test]
fn after_a_rebirth_nothing_waits_and_every_link_begins_anew() {
    let mut network = Network::mesh(2);
    network.put(0, "a", "1");
    network.settle();
    network.hosts[0].prompt = false;
    let writing = network.put(0, "b", "2");
    let finding = sync::Finding::Clone(network.replica(0));
    network.hosts[0].node.begin_rebirth(finding);
    let parked = network.put(0, "c", "3");
    network.step();
    let status = network.hosts[0].node.status();
    assert_eq!((status.waiting, status.halted), (2, Some(finding)));
    assert!(network.hosts[0].node.waiting_bytes > 0);
    network.hosts[0].prompt = true;
    network.live(100);
    let is_down = |event: &Event| matches!(event, Event::LinkDown { .. });
    assert!(network.hosts[0].events.iter().any(is_down), "a link of the old name ends at once");
    network.live(20_000);
    for request in [writing, parked] {
        assert!(matches!(network.hosts[0].replies.get(&request), Some(Ok(Reply::Written(_)))), "{request:?}");
    }
    assert_eq!((network.hosts[0].node.status().waiting, network.hosts[0].node.waiting_bytes), (0, 0));
    let events = &network.hosts[0].events;
    let reborn = events.iter().position(|event| matches!(event, Event::Reborn { .. })).unwrap();
    let links: Vec<bool> = events[reborn..]
        .iter()
        .filter_map(|event| match event {
            Event::LinkDown { .. } => Some(false),
            Event::LinkUp { .. } => Some(true),
            _ => None,
        })
        .collect();
    assert_eq!(links, [false, true]);
    network.assert_converged();
}
