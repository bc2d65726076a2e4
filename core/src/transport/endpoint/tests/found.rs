//! Those who were found by discovery: dialled soon, in turn, and never faster than is good for the network.

use super::*;

fn key(number: u8) -> NodeKey {
    NodeKey([number; 32])
}

fn far(number: u8) -> Address {
    format!("far-{number}:1").parse().unwrap()
}

fn find(endpoint: &mut Endpoint, now: Instant, number: u8, out: &mut Vec<Effect>) {
    let name = NodeId::new(format!("found-{number}")).unwrap();
    endpoint.want_found(now, key(number), &name, vec![far(number)], out);
}

fn started(change: impl FnOnce(&mut Settings)) -> (Endpoint, Vec<Effect>) {
    let mut endpoint = endpoint(0, 1, change);
    let mut out = Vec::new();
    endpoint.start(Instant(0), &mut out);
    (endpoint, out)
}

/// The dials asked for since the last time.
fn dials(out: &mut Vec<Effect>) -> Vec<(LinkId, Address)> {
    let dial = |effect| if let Effect::Dial { link, address, .. } = effect { Some((link, address)) } else { None };
    out.drain(..).filter_map(dial).collect()
}

fn addresses(out: &mut Vec<Effect>) -> Vec<Address> {
    dials(out).into_iter().map(|(_, address)| address).collect()
}

#[test]
fn of_many_found_at_once_some_are_dialled_at_once_and_the_others_in_turn() {
    let (mut endpoint, mut out) = started(|settings| settings.max_dials = 100);
    for number in 0..40 {
        find(&mut endpoint, Instant(0), number, &mut out);
    }
    assert_eq!(addresses(&mut out), (0..32).map(far).collect::<Vec<_>>());
    for number in 32..40 {
        let at = endpoint.poll_timeout().unwrap();
        assert_eq!(at, Instant(125_000 * u64::from(number - 31)));
        endpoint.handle_timeout(at, &mut out);
        assert_eq!(addresses(&mut out), [far(number)]);
    }
}

#[test]
fn whoever_is_found_again_while_it_waits_waits_once() {
    let (mut endpoint, mut out) = started(|settings| settings.max_dials = 100);
    for round in 0..10 {
        for number in 0..40 {
            find(&mut endpoint, Instant(round), number, &mut out);
        }
        assert_eq!(endpoint.waiting_found.len(), 8);
    }
    // Their own time comes as well, and changes nothing.
    while let Some(at) = endpoint.poll_timeout().filter(|at| *at < Instant(5_000_000)) {
        endpoint.handle_timeout(at, &mut out);
        assert!(endpoint.waiting_found.len() <= 8);
    }
    let mut tried = addresses(&mut out);
    tried.sort();
    tried.dedup_by(|a, b| a == b);
    assert_eq!(tried.len(), 40);
    assert!(endpoint.waiting_found.is_empty());
}

#[test]
fn whoever_is_found_again_is_dialled_ten_seconds_after_the_last_time_however_long_its_pause() {
    let (mut endpoint, mut out) = started(|_| {});
    let mut now = Instant(0);
    find(&mut endpoint, now, 1, &mut out);
    for _ in 0..12 {
        let (link, _) = dials(&mut out).remove(0);
        endpoint.handle_dial_failed(now, link, "refused".into(), &mut out);
        dials(&mut out);
        now = endpoint.poll_timeout().unwrap();
        endpoint.handle_timeout(now, &mut out);
    }
    let (link, _) = dials(&mut out).remove(0);
    endpoint.handle_dial_failed(now, link, "refused".into(), &mut out);
    assert!(endpoint.poll_timeout().unwrap().since(now) >= Duration::from_secs(30), "the pause has grown");
    // Long after it was last found: dialled at once.
    find(&mut endpoint, now, 1, &mut out);
    let (link, _) = dials(&mut out).remove(0);
    endpoint.handle_dial_failed(now, link, "refused".into(), &mut out);
    find(&mut endpoint, now + Duration::from_secs(1), 1, &mut out);
    assert_eq!(dials(&mut out), []);
    assert_eq!(endpoint.poll_timeout(), Some(now + Duration::from_secs(10)));
    endpoint.handle_timeout(now + Duration::from_secs(10), &mut out);
    assert_eq!(addresses(&mut out), [far(1)]);
}

#[test]
fn to_be_found_again_makes_no_pause_longer() {
    let (mut endpoint, mut out) = started(|_| {});
    find(&mut endpoint, Instant(0), 1, &mut out);
    let (link, _) = dials(&mut out).remove(0);
    endpoint.handle_dial_failed(Instant(0), link, "refused".into(), &mut out);
    find(&mut endpoint, Instant(1), 1, &mut out);
    assert!(endpoint.poll_timeout().unwrap() <= Instant(500_001));
}

#[test]
fn who_was_forgotten_while_it_waited_is_not_dialled_and_keeps_nobody() {
    let (mut endpoint, mut out) = started(|settings| settings.max_dials = 100);
    for number in 0..35 {
        find(&mut endpoint, Instant(0), number, &mut out);
    }
    let id = endpoint.peers.of_key(&key(33)).unwrap();
    assert!(endpoint.remove_peer(Instant(0), id, &mut out));
    addresses(&mut out);
    while let Some(at) = endpoint.poll_timeout().filter(|at| *at < Instant(2_000_000)) {
        endpoint.handle_timeout(at, &mut out);
    }
    assert_eq!(addresses(&mut out), [far(32), far(34)]);

    let (mut endpoint, mut out) = started(|settings| settings.max_dials = 1);
    let ids: Vec<_> = (0..3).map(|number| endpoint.add_peer(Instant(0), None, vec![far(number)], &mut out)).collect();
    let (link, _) = dials(&mut out).remove(0);
    endpoint.remove_peer(Instant(0), ids[1], &mut out);
    endpoint.handle_dial_failed(Instant(0), link, "refused".into(), &mut out);
    assert_eq!(addresses(&mut out), [far(2)]);
}

#[test]
fn who_is_gone_again_is_dialled_no_more_and_keeps_nobody() {
    for (burst, dials_at_once) in [(32, 100), (1, 1)] {
        let (mut endpoint, mut out) = started(|settings| settings.max_dials = dials_at_once);
        for number in 0..burst + 3 {
            find(&mut endpoint, Instant(0), number, &mut out);
        }
        let begun = dials(&mut out);
        assert_eq!(begun.len(), usize::from(burst));
        endpoint.release_found(Instant(0), &key(burst + 1));
        if dials_at_once == 1 {
            endpoint.handle_dial_failed(Instant(0), begun[0].0, "refused".into(), &mut out);
            let next = dials(&mut out).remove(0);
            endpoint.handle_dial_failed(Instant(0), next.0, "refused".into(), &mut out);
            assert_eq!((next.1, addresses(&mut out)), (far(burst), vec![far(burst + 2)]));
        } else {
            while let Some(at) = endpoint.poll_timeout().filter(|at| *at < Instant(2_000_000)) {
                endpoint.handle_timeout(at, &mut out);
            }
            assert_eq!(addresses(&mut out), [far(burst), far(burst + 2)]);
        }
    }
}

#[test]
fn who_is_found_is_wanted_only_if_there_is_a_place_and_an_address() {
    let (mut endpoint, mut out) = started(|settings| settings.max_peers = 2);
    let name = NodeId::new("found").unwrap();
    let now = Instant(0);
    assert!(!endpoint.want_found(now, key(1), &name, vec![], &mut out));
    assert!(endpoint.peers.of_key(&key(1)).is_none(), "nobody knows where");
    for number in 1..=3 {
        let wanted = endpoint.want_found(now, key(number), &name, vec![far(number)], &mut out);
        assert_eq!(wanted, number <= 2, "both places are taken by who is wanted");
    }
    assert_eq!(endpoint.peers.len(), 2);
    assert!(!endpoint.want_found(now, key(1), &name, vec![far(9)], &mut out), "not because of this call");
    endpoint.release_found(now, &key(1));
    assert!(endpoint.want_found(now, key(1), &name, vec![far(1)], &mut out), "known already");
}
