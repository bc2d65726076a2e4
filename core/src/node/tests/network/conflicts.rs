//! Conflicts that wait for a decision, and how they are decided.

use super::*;

/// So many nodes that do not know each other yet.
fn apart(nodes: usize, policy: sync::Policy) -> Network {
    let mut config = Config::default();
    config.sync.conflict_policy = policy;
    let mut network = Network::with(nodes, config);
    (0..nodes).for_each(|host| network.start(host));
    network
}

fn outcomes(network: &Network, host: usize) -> Vec<sync::Outcome> {
    network.hosts[host].node.conflicts().iter().map(|conflict| conflict.outcome).collect()
}

fn open(network: &Network, host: usize) -> usize {
    network.hosts[host].node.conflicts().open()
}

fn remove(network: &mut Network, host: usize, key: &str) {
    let now = network.now(host);
    let write = Write::Delete { key: Bytes::copy_from_slice(key.as_bytes()), expect: None };
    network.hosts[host].node.write(now, vec![write]).unwrap();
    network.settle();
}

#[test]
fn what_keep_both_keeps_is_kept_across_a_restart_until_it_is_resolved() {
    let mut network = apart(2, sync::Policy::KeepBoth);
    network.put(0, "k", "zero");
    network.live(20);
    network.put(1, "k", "one");
    network.join(1, 0);
    network.settle();
    assert_eq!((open(&network, 0), open(&network, 1)), (1, 1));
    network.crash(0);
    network.crash(1);
    network.join(1, 0);
    network.live(20_000);
    assert_eq!((open(&network, 0), open(&network, 1)), (1, 1), "still open");
    let id = network.hosts[0].node.conflicts().iter().next().unwrap().id;
    let now = network.now(0);
    network.hosts[0].node.resolve(now, id, Some(Body::Put("chosen".into()))).unwrap();
    network.settle();
    assert_eq!((open(&network, 0), open(&network, 1)), (0, 0), "resolved on both sides");
    assert_eq!(network.value(1, "k").as_deref(), Some("chosen"));
    network.crash(0);
    assert_eq!(open(&network, 0), 0);
    let now = network.now(0);
    assert_eq!(network.hosts[0].node.resolve(now, id, None).unwrap_err().code(), Code::InvalidState);
}

/// Both knew the key; 0 wrote it anew, and later 1 removed it.
fn removal_that_won(policy: sync::Policy) -> Network {
    let mut network = apart(2, policy);
    network.put(0, "k", "first");
    network.join(1, 0);
    network.settle();
    network.part(0, 1);
    network.settle();
    network.put(0, "k", "anew");
    network.live(20);
    remove(&mut network, 1, "k");
    network.mend(0, 1);
    network.live(20_000);
    assert_eq!([network.value(0, "k"), network.value(1, "k")], [None, None], "the removal stands");
    assert_eq!((outcomes(&network, 0).len(), outcomes(&network, 1).len()), (1, 1));
    network
}

#[test]
fn a_conflict_that_a_removal_has_won_can_be_resolved_in_every_way() {
    for policy in [sync::Policy::KeepBoth, sync::Policy::LastWriteWins] {
        for body in [None, Some(Body::Delete), Some(Body::Put("chosen".into()))] {
            let mut network = removal_that_won(policy);
            let now = network.now(0);
            network.hosts[0].node.resolve(now, 1, body.clone()).unwrap();
            network.settle();
            let wanted = body.as_ref().and_then(Body::value).map(|value| String::from_utf8(value.to_vec()).unwrap());
            for host in 0..2 {
                assert_eq!(outcomes(&network, host), [sync::Outcome::Resolved], "{policy:?} {body:?} at {host}");
                assert_eq!(network.value(host, "k"), wanted, "{policy:?} {body:?} at {host}");
            }
            network.crash(0);
            assert_eq!(outcomes(&network, 0), [sync::Outcome::Resolved], "also after a restart");
            let now = network.now(0);
            let again = network.hosts[0].node.resolve(now, 1, None).unwrap_err();
            assert!(again.to_string().contains("resolved already"), "{again}");
        }
    }
}

#[test]
fn of_two_conflicts_of_one_key_the_error_names_the_one_that_stands() {
    let mut network = apart(3, sync::Policy::KeepBoth);
    for (host, value) in ["zero", "one", "two"].into_iter().enumerate() {
        network.put(host, "k", value);
        network.live(20);
    }
    network.join(1, 0);
    network.settle();
    network.join(2, 0);
    network.live(20_000);
    let of_zero: Vec<_> = network.hosts[0].node.conflicts().iter().map(|conflict| conflict.id).collect();
    assert_eq!(of_zero, [1, 2], "one beats zero, then two beats one");
    let now = network.now(0);
    let refused = network.hosts[0].node.resolve(now, 1, None).unwrap_err();
    assert!(refused.to_string().contains("conflict 2 of the same key stands above conflict 1"), "{refused}");
    network.hosts[0].node.resolve(now, 2, None).unwrap();
    network.settle();
    assert_eq!([open(&network, 0), open(&network, 1), open(&network, 2)], [0; 3], "it settles the other, too");
}

/// The disk works on what came in while a client writes: he has seen both.
#[test]
fn no_policy_writes_over_what_was_written_before_the_conflict_was_durable() {
    let mut network = apart(2, sync::Policy::KeepLocal);
    network.put(0, "k", "zero");
    network.live(20);
    network.put(1, "k", "one");
    network.hosts[0].prompt = false;
    network.join(1, 0);
    network.live(100);
    assert!(network.hosts[0].node.store().latest(b"k").is_some_and(|entry| entry.body().value().unwrap() == "one"));
    let written = network.put(0, "k", "anew");
    network.hosts[0].prompt = true;
    network.live(20_000);
    assert!(matches!(network.hosts[0].replies.get(&written), Some(Ok(Reply::Written(_)))));
    for host in 0..2 {
        assert_eq!(network.value(host, "k").as_deref(), Some("anew"), "at {host}");
    }
    assert_eq!(outcomes(&network, 0), [sync::Outcome::Merged]);
}

/// What a conflict has become is decided where the two meet, and by whoever resolves it.
#[test]
fn another_policy_changes_nothing_about_conflicts_that_were_met_before() {
    use sync::Outcome::{Merged, Open, Resolved};
    let mut network = apart(2, sync::Policy::KeepBoth);
    let start = |network: &mut Network, policy| {
        network.config.sync.conflict_policy = policy;
        network.crash(0);
    };
    let meet = |network: &mut Network, key| {
        network.part(0, 1);
        network.settle();
        network.put(0, key, "zero");
        network.live(20);
        network.put(1, key, "one");
        network.mend(0, 1);
        network.join(1, 0);
        network.live(20_000);
    };
    meet(&mut network, "k");
    start(&mut network, sync::Policy::LastWriteWins);
    assert_eq!(outcomes(&network, 0), [Open]);
    meet(&mut network, "l");
    assert_eq!(outcomes(&network, 0), [Open, Merged]);
    start(&mut network, sync::Policy::KeepBoth);
    assert_eq!(outcomes(&network, 0), [Open, Merged]);
    let now = network.now(0);
    network.hosts[0].node.snapshot(now).unwrap();
    network.settle();
    meet(&mut network, "m");
    start(&mut network, sync::Policy::LastWriteWins);
    assert_eq!(outcomes(&network, 0), [Open, Merged, Open]);
    let now = network.now(0);
    network.hosts[0].node.resolve(now, 1, None).unwrap();
    network.settle();
    start(&mut network, sync::Policy::KeepBoth);
    assert_eq!(outcomes(&network, 0), [Resolved, Merged, Open]);
}

#[test]
fn what_keep_both_found_after_a_snapshot_stays_open_across_a_restart() {
    let mut network = apart(2, sync::Policy::KeepBoth);
    network.put(0, "other", "v");
    network.live(20);
    let now = network.now(0);
    network.hosts[0].node.snapshot(now).unwrap();
    network.live(100);
    network.put(0, "k", "zero");
    network.live(20);
    network.put(1, "k", "one");
    network.join(1, 0);
    network.settle();
    assert_eq!(open(&network, 0), 1);
    network.crash(0);
    assert_eq!(open(&network, 0), 1);
}
