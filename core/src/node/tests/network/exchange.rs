//! What nodes say of their exchange, and what they do by themselves while it goes on.

use super::*;

fn custom(network: &mut Network, policy: sync::Policy) {
    network.config.sync.conflict_policy = policy;
    for host in 0..network.hosts.len() {
        network.crash(host);
    }
}

fn remove(network: &mut Network, host: usize, key: &'static str) {
    let now = network.now(host);
    network.hosts[host].node.write(now, vec![delete(key)]).unwrap();
}

fn tombstones(network: &Network) -> Vec<usize> {
    network.hosts.iter().map(|host| host.node.status().store.tombstones).collect()
}

/// Nothing reaches `host` any more, what it says still goes out.
fn deafen(network: &mut Network, host: usize) -> Vec<(End, End)> {
    let ends: Vec<_> = network.wires.iter().filter(|(_, to)| to.0 == host).map(|(from, to)| (*from, *to)).collect();
    network.wires.retain(|_, to| to.0 != host);
    ends
}

#[test]
fn what_is_under_way_shows_as_load_until_the_peer_has_it_durably() {
    let mut network = Network::mesh(2);
    assert_eq!(network.hosts[0].node.load(), sync::Load::default());
    network.hosts[1].prompt = false;
    network.put(0, "k", &"v".repeat(5000));
    network.live(200);
    assert!(network.hosts[0].node.load().most_in_flight > 5000);
    network.hosts[1].prompt = true;
    network.live(200);
    assert_eq!(network.hosts[0].node.load(), sync::Load::default());
}

/// Lets everything happen that happens without time. The disks are `late` if each of their operations comes when nothing
/// else is left to happen.
fn exhaust(network: &mut Network, late: bool) {
    loop {
        network.hosts.iter_mut().for_each(|host| host.prompt = !late);
        while network.step() {}
        if network.hosts.iter().all(|host| host.asked.is_empty()) {
            return;
        }
        network.hosts.iter_mut().for_each(|host| host.prompt = true);
        network.step();
    }
}

/// Text that cannot be made much shorter.
fn noise(len: usize, seed: u64) -> String {
    let mut dice = Seed::from_number(seed).stream("noise");
    (0..len).map(|_| char::from(b' ' + dice.below(64) as u8)).collect()
}

#[test]
fn a_catch_up_of_many_windows_and_segments_waits_for_no_alarm() {
    for late in [false, true] {
        let mut config = Config::default();
        (config.log.first_segment, config.log.max_segment) = (1 << 20, 1 << 20);
        let mut network = Network::with(2, config);
        for n in 0..160 {
            let now = network.now(0);
            let batch = (0..50).map(|key| put(&format!("{n}/{key}"), &noise(1000, n * 50 + key))).collect();
            network.hosts[0].node.write(now, batch).unwrap();
            exhaust(&mut network, false);
        }
        network.start(0);
        network.start(1);
        network.join(1, 0);
        exhaust(&mut network, late);
        assert_eq!(network.hosts[1].node.store().len(), 8000, "late disks: {late}");
        network.assert_converged();
    }
}

#[test]
fn a_retry_says_how_much_it_queues_again() {
    let mut config = Config::default();
    config.sync.max_retries = 1;
    let mut network = Network::with(2, config);
    network.start(0);
    network.start(1);
    network.join(0, 1);
    network.settle();
    network.hosts[1].prompt = false;
    network.put(0, "k", "v");
    network.put(0, "l", "v");
    network.live(200);
    network.part(0, 1);
    network.live(200);
    assert_eq!(network.hosts[0].node.status().outbox.failed, 2);
    let now = network.now(0);
    assert_eq!(network.hosts[0].node.retry(now), 2);
    assert_eq!(network.hosts[0].node.retry(now), 0, "they are queued already");
    assert_eq!(network.hosts[0].node.status().outbox.queued, 2);
}

#[test]
fn each_tick_says_what_it_sent() {
    let mut config = Config::default();
    config.sync.auto_tick = false;
    let mut network = Network::with(2, config);
    network.start(0);
    network.start(1);
    network.join(0, 1);
    network.settle();
    for count in [3, 0, 2] {
        for n in 0..count {
            network.put(0, &format!("k{n}"), &format!("{count}"));
        }
        network.settle();
        let now = network.now(0);
        assert_eq!(network.hosts[0].node.tick(now, false).sent, count);
        network.settle();
    }
}

#[test]
fn tombstones_go_when_everybody_has_seen_them_even_if_a_write_was_under_way_when_that_was_due() {
    let mut config = Config::default();
    config.sync.collect_every = Duration::from_secs(60);
    let mut network = Network::with(2, config);
    network.start(0);
    network.start(1);
    network.join(0, 1);
    network.put(0, "k", "v");
    network.settle();
    remove(&mut network, 1, "k");
    network.live(50_000);
    assert_eq!(tombstones(&network), [1, 1], "it is not due yet");
    network.hosts[0].prompt = false;
    network.put(0, "other", "v");
    network.live(15_000);
    assert_eq!(tombstones(&network), [1, 0]);
    network.hosts[0].prompt = true;
    network.live(1000);
    assert_eq!(tombstones(&network), [0, 0]);
    network.settle();
    network.assert_converged();
}

#[test]
fn a_write_that_a_forgotten_deletion_has_not_seen_is_written_again() {
    let mut config = Config::default();
    config.sync.collect_every = Duration::from_secs(5);
    let mut network = Network::with(2, config);
    network.start(0);
    network.start(1);
    network.join(0, 1);
    network.put(0, "k", "first");
    network.settle();
    network.part(0, 1);
    network.put(1, "k", "unseen");
    network.live(20);
    remove(&mut network, 0, "k");
    let (gone, now) = (network.replica(1), network.now(0));
    network.hosts[0].node.forget_replica(now, gone).unwrap();
    network.live(10_000);
    assert_eq!(network.hosts[0].node.status().store.tombstones, 0, "nobody holds it back");
    network.mend(0, 1);
    network.join(1, 0);
    network.live(90_000);
    assert_eq!(network.value(0, "k").as_deref(), Some("unseen"));
    let dot = network.hosts[0].node.store().get(b"k").unwrap().dot();
    assert_eq!((dot.replica, dot.seq), (gone, 2), "as a new operation");
    network.assert_converged();
}

#[test]
fn a_policy_that_prefers_a_side_or_merges_is_carried_out_and_comes_to_an_end() {
    let join = |met: &sync::Met| {
        let mut both = [&met.local, &met.remote].map(|side| side.body.value().map(|value| value.to_vec()));
        both.sort_unstable();
        Some(Body::Put(both.into_iter().flatten().flatten().collect::<Vec<u8>>().into()))
    };
    let cases = [
        (sync::Policy::KeepLocal, "zero"),
        (sync::Policy::ApplyRemote, "zero"),
        (sync::Policy::Custom(join), "onezero"),
    ];
    for (policy, wanted) in cases {
        let mut network = Network::of(2);
        custom(&mut network, policy);
        network.put(0, "k", "zero");
        network.live(20);
        network.put(1, "k", "one");
        network.join(1, 0);
        network.live(20_000);
        for host in 0..2 {
            assert_eq!(network.value(host, "k").as_deref(), Some(wanted), "{policy:?} at {host}");
            let first = network.hosts[host].node.conflicts().iter().next().unwrap();
            assert_eq!(first.outcome, sync::Outcome::Resolved, "{policy:?} at {host}");
        }
        network.assert_converged();
    }
}

#[test]
fn a_policy_does_not_overwrite_what_was_written_since() {
    let merge = |_: &sync::Met| Some(Body::Put("merged".into()));
    let mut config = Config::default();
    config.sync.conflict_policy = sync::Policy::Custom(merge);
    let mut network = Network::with(2, config);
    (0..2).for_each(|host| network.start(host));
    network.join(1, 0);
    network.settle();
    deafen(&mut network, 1);
    network.put(0, "k", "zero");
    while network.value(0, "k").is_none() {
        network.step();
    }
    network.hosts[0].prompt = false;
    network.ms += 5;
    network.put(1, "k", "one");
    network.live(100);
    network.put(0, "k", "later");
    network.hosts[0].prompt = true;
    network.live(100);
    assert_eq!(network.hosts[0].node.conflicts().iter().count(), 1);
    assert_eq!(network.value(0, "k").as_deref(), Some("later"));
}

#[test]
fn a_conflict_whose_key_was_written_since_is_not_blamed_on_another_conflict() {
    let mut config = Config::default();
    config.sync.conflict_policy = sync::Policy::KeepBoth;
    let mut network = Network::with(3, config);
    (0..3).for_each(|host| network.start(host));
    network.join(1, 0);
    network.join(2, 0);
    network.settle();
    let ends = deafen(&mut network, 2);
    for (host, value) in ["zero", "one", "two"].into_iter().enumerate() {
        network.ms += 5;
        network.put(host, "k", value);
    }
    while network.hosts[0].node.conflicts().open() < 2 {
        network.step();
    }
    network.wires.extend(ends);
    network.part(0, 2);
    network.live(20);
    assert_eq!(network.value(2, "k").as_deref(), Some("two"), "it has heard of nothing");
    network.put(2, "k", "three");
    network.mend(0, 2);
    network.live(20_000);
    assert_eq!(network.value(0, "k").as_deref(), Some("three"));
    let now = network.now(0);
    let told = [1, 2].map(|id| network.hosts[0].node.resolve(now, id, None).unwrap_err().to_string());
    assert!(told[0].contains("the key of conflict 1 was written since"), "{told:?}");
    assert!(told[1].contains("the key of conflict 2 was written since"), "{told:?}");
}

#[test]
fn a_clean_close_remembers_what_was_acknowledged_a_moment_before() {
    let mut network = Network::mesh(2);
    network.settle();
    for number in 0..5 {
        network.put(0, &format!("k{number}"), "v");
        while network.step() {}
        network.advance(1);
    }
    assert_eq!(network.hosts[0].node.status().outbox.size(), 0);
    let now = network.now(0);
    network.hosts[0].node.close(now);
    while network.step() {}
    network.crash(0);
    assert_eq!(network.hosts[0].node.status().outbox.size(), 0);
}
