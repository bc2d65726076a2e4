//! Everything that can go wrong before a link stands, and what it is called.

use alloc::string::String;

use super::super::super::hello::Versions;
use super::*;
use proptest::prelude::*;

const NETWORKS: [Option<u8>; 2] = [None, Some(9)];

fn pair(secret: Option<u8>) -> Pair {
    Pair::of(local(1, secret), local(2, secret))
}

/// All bytes that each side sends until it is up.
fn transcript(secret: Option<u8>) -> (Vec<u8>, Vec<u8>) {
    let mut pair = pair(secret);
    pair.run();
    assert_eq!(pair.why(), ("open", "open"));
    (pair.a.sent, pair.b.sent)
}

#[test]
fn two_nodes_meet_and_know_each_other() {
    for secret in NETWORKS {
        for cut in [1, 7, usize::MAX] {
            let mut pair = pair(secret);
            pair.run_cut(cut);
            assert_eq!(pair.why(), ("open", "open"));
            let (a, b) = (&pair.a.up[0], &pair.b.up[0]);
            assert_eq!((a.peer.node.as_str(), b.peer.node.as_str()), ("node-2", "node-1"));
            assert_eq!((a.peer.boot, b.peer.boot), (1002, 1001));
            assert_eq!(
                (a.peer.order, b.peer.order),
                (7, 7),
                "the request carries the dialler's, the consent the other's"
            );
            assert_eq!((a.role, b.role), (Role::Initiator, Role::Responder));
            assert_eq!((a.version, b.version), (1, 1));
            assert_eq!(a.peer.key, local(2, None).identity.key());
            assert!(pair.a.up.len() == 1 && pair.a.met.len() == 1 && pair.b.met.len() == 1);
        }
    }
}

#[test]
fn the_dialler_is_not_up_before_the_other_side_consents() {
    let mut pair = pair(Some(9));
    pair.b.welcoming = false;
    pair.run();
    assert!(pair.a.up.is_empty() && pair.b.up.is_empty() && pair.b.met.len() == 1);
    let now = pair.now;
    assert_eq!(pair.a.session.send(Lane::Control, Bytes::new()), Err(SendRefused::NotUp));
    pair.b.act(now, |session, out| session.close(now, Farewell::Untrusted, out));
    pair.run();
    assert_eq!(pair.a.closed, [CloseReason::Refused(Farewell::Untrusted)]);
}

#[test]
fn equal_seeds_give_equal_bytes() {
    assert_eq!(transcript(Some(9)), transcript(Some(9)));
    let mut other = pair(Some(9));
    let mut effects = Vec::new();
    let secrets = Seed::from_number(93).secrets("link");
    drop(Session::dial(&Arc::new(local(1, Some(9))), secrets, other.now, &mut effects));
    other.run();
    let Effect::Send(first) = &effects[0] else { panic!() };
    assert_ne!(other.a.sent[..first.len()], first[..]);
    assert_eq!(other.a.sent[..PREAMBLE_LEN], first[..PREAMBLE_LEN], "only the keys differ");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| alloc::format!("{byte:02x}")).collect()
}

/// The handshake and the first messages of two nodes, with all keys, in the form of `tests/fixtures/link-v1.txt`.
fn vectors() -> String {
    let mut text = String::new();
    for secret in NETWORKS {
        text += &alloc::format!("link={}\n", if secret.is_some() { "secret" } else { "plain" });
        if let Some(byte) = secret {
            text += &alloc::format!("secret={}\n", hex(&[byte; 32]));
        }
        for (side, number, link) in [("dialler", 1, 91), ("dialled", 2, 92)] {
            let mut secrets = Seed::from_number(link).secrets("link");
            let (private, ephemeral) = (secrets.key(), secrets.split().key());
            text += &alloc::format!("{side}_identity={}\n", hex(&*local(number, None).identity.seed()));
            text += &alloc::format!("{side}_static={}\n{side}_ephemeral={}\n", hex(&private), hex(&ephemeral));
        }
        let mut pair = pair(secret);
        pair.run();
        pair.send(Side::A, Lane::Control, &b"ping"[..]);
        pair.send(Side::B, Lane::Bulk, &b"a longer answer"[..]);
        pair.run();
        for (side, end) in [("dialler", &pair.a), ("dialled", &pair.b)] {
            let mut sent = &end.sent[..];
            for len in &end.cuts {
                let (bytes, rest) = sent.split_at(*len);
                text += &alloc::format!("{side}={}\n", hex(bytes));
                sent = rest;
            }
        }
    }
    text
}

#[test]
fn the_bytes_of_our_own_handshake_never_change() {
    let kept = include_str!("../../../../tests/fixtures/link-v1.txt");
    let kept: String =
        kept.lines().filter(|line| !line.starts_with('#')).map(|line| alloc::format!("{line}\n")).collect();
    assert_eq!(vectors(), kept);
}

/// How both sides end when byte `at` of what `victim` hears is altered.
fn flipped(secret: Option<u8>, victim: Side, at: usize) -> (&'static str, &'static str) {
    let mut pair = pair(secret);
    let mut passed = 0;
    for _ in 0..4 {
        for (from, to) in [(Side::A, Side::B), (Side::B, Side::A)] {
            let mut bytes: Vec<u8> = pair.end(from).wire.drain(..).collect();
            if to == victim {
                if (passed..passed + bytes.len()).contains(&at) {
                    bytes[at - passed] ^= 0x10;
                }
                passed += bytes.len();
            }
            let now = pair.now;
            pair.end(to).hear(now, &bytes);
        }
    }
    // A length that became longer leaves its reader waiting: its deadline ends that. Whoever ends hangs up.
    if !pair.a.session.is_closed() && !pair.b.session.is_closed() {
        if pair.end(victim).session.is_up() && pair.a.session.is_up() {
            return pair.why();
        }
        pair.now = pair.now + Settings::default().handshake_timeout;
        let now = pair.now;
        pair.end(victim).act(now, |session, out| session.handle_timeout(now, out));
        pair.run();
    }
    let now = pair.now;
    for side in [Side::A, Side::B] {
        pair.end(side).act(now, |session, out| session.handle_end(now, None, out));
    }
    assert!(pair.a.messages.is_empty() && pair.b.messages.is_empty());
    pair.why()
}

#[test]
fn a_flipped_bit_at_any_byte_closes_the_link_by_name() {
    let mut text = String::new();
    for secret in NETWORKS {
        let (a_sent, b_sent) = transcript(secret);
        for (victim, len) in [(Side::B, a_sent.len()), (Side::A, b_sent.len())] {
            let mut run: Option<(usize, (&str, &str))> = None;
            for at in 0..=len {
                let ends = (at < len).then(|| flipped(secret, victim, at));
                // The reserved bytes of the dialled side's preamble, and its refusal's code when it refuses nothing, are
                // not looked at; everything else is.
                if let Some(ends) = ends {
                    let ignored = victim == Side::A && (13..16).contains(&at);
                    assert_eq!(ends == ("open", "open"), ignored, "{victim:?} {at}");
                }
                if run.map(|(_, ends)| ends) != ends {
                    if let Some((from, (a, b))) = run {
                        let secret = if secret.is_some() { "secret" } else { "plain" };
                        text += &alloc::format!("{secret}: {victim:?} hears {from:3}..{at:3} altered: A {a}, B {b}\n");
                    }
                    run = ends.map(|ends| (at, ends));
                }
            }
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_handshake_cut_at_any_byte_is_aborted_or_times_out() {
    for secret in NETWORKS {
        let (a_sent, b_sent) = transcript(secret);
        for (victim, len) in [(Side::B, a_sent.len()), (Side::A, b_sent.len())] {
            for at in 0..len {
                let mut ends = Vec::new();
                for hang_up in [true, false] {
                    let mut pair = pair(secret);
                    let mut passed = 0;
                    for _ in 0..8 {
                        for (from, to) in [(Side::A, Side::B), (Side::B, Side::A)] {
                            let mut bytes: Vec<u8> = pair.end(from).wire.drain(..).collect();
                            if to == victim {
                                bytes.truncate(at.saturating_sub(passed));
                                passed += bytes.len();
                            }
                            let now = pair.now;
                            pair.end(to).hear(now, &bytes);
                        }
                    }
                    let now = pair.now;
                    let stood = pair.end(victim).session.is_up();
                    if hang_up {
                        pair.end(victim).act(now, |session, out| session.handle_end(now, None, out));
                    } else {
                        pair.now = now + Duration::from_secs(30);
                        let now = pair.now;
                        pair.end(victim).act(now, |session, out| session.handle_timeout(now, out));
                    }
                    ends.push((stood, pair.end(victim).why()));
                }
                let expected = if ends[0].0 {
                    [(true, "truncated"), (true, "idle_timeout")]
                } else {
                    [(false, "handshake_aborted"), (false, "handshake_timeout")]
                };
                assert_eq!(ends, expected, "{victim:?} {at}");
            }
        }
    }
}

#[test]
fn reflected_bytes_are_named() {
    for secret in NETWORKS {
        let mut pair = pair(secret);
        let own = pair.a.sent.clone();
        let now = pair.now;
        pair.a.hear(now, &own);
        assert_eq!(pair.a.why(), "reflected");
    }
}

#[test]
fn a_replayed_handshake_gets_nowhere() {
    for (secret, name) in [(None, "handshake_forged"), (Some(9), "handshake_forged")] {
        let (recorded, _) = transcript(secret);
        // The same node, another link: its keys are fresh.
        let mut effects = Vec::new();
        let now = Instant(5);
        let session = Session::answer(&Arc::new(local(2, secret)), Seed::from_number(77).secrets("link"), now);
        let mut victim = End::new(session, vec![], now);
        for byte in &recorded {
            victim.hear(now, &[*byte]);
        }
        victim.session.handle_timeout(now, &mut effects);
        assert_eq!(victim.why(), name);
        assert!(victim.met.is_empty() && victim.up.is_empty());
    }
}

#[test]
fn a_replay_to_the_dialler_gets_nowhere() {
    for secret in NETWORKS {
        let (_, recorded) = transcript(secret);
        let mut effects = Vec::new();
        let now = Instant(5);
        let session =
            Session::dial(&Arc::new(local(1, secret)), Seed::from_number(78).secrets("link"), now, &mut effects);
        let mut victim = End::new(session, effects, now);
        victim.hear(now, &recorded);
        assert_eq!(victim.why(), "handshake_forged");
        assert!(victim.met.is_empty());
    }
}

#[test]
fn wrong_missing_and_unexpected_secrets_are_told_apart_on_both_sides() {
    for (a, b, expected) in [
        (Some(1), Some(2), ("wrong_secret", "wrong_secret")),
        (None, Some(2), ("secret_missing", "secret_missing")),
        (Some(1), None, ("secret_unexpected", "secret_unexpected")),
    ] {
        let mut pair = Pair::of(local(1, a), local(2, b));
        pair.run();
        assert_eq!(pair.why(), expected);
        assert!(pair.b.met.is_empty() && pair.a.up.is_empty());
        assert!(pair.a.closed[0].needs_operator() && pair.b.closed[0].needs_operator());
    }
}

#[test]
fn versions_are_negotiated_or_named() {
    let ranged = |number, lowest, highest| {
        let mut local = local(number, None);
        local.settings.versions = Versions { lowest, highest };
        local
    };
    let mut pair = Pair::of(ranged(1, 1, 1), ranged(2, 1, 3));
    pair.run();
    assert_eq!((pair.a.up[0].version, pair.b.up[0].version), (1, 1), "an older node talks to a newer one");
    let mut pair = Pair::of(ranged(1, 2, 5), ranged(2, 1, 3));
    pair.run();
    assert_eq!((pair.a.up[0].version, pair.b.up[0].version), (3, 3));
    let mut pair = Pair::of(ranged(1, 1, 1), ranged(2, 2, 3));
    pair.run();
    assert_eq!(pair.a.closed, [CloseReason::VersionMismatch { lowest: 2, highest: 3 }]);
    assert_eq!(pair.b.closed, [CloseReason::VersionMismatch { lowest: 1, highest: 1 }]);
}

#[test]
fn a_downgrade_on_the_way_is_noticed() {
    // Somebody in between lowers what each side says in the clear.
    for victim in [Side::A, Side::B] {
        let ranged = |number| {
            let mut local = local(number, None);
            local.settings.versions = Versions { lowest: 1, highest: 3 };
            local
        };
        let mut pair = Pair::of(ranged(1), ranged(2));
        let wire = match victim {
            Side::A => {
                let bytes: Vec<u8> = pair.a.wire.drain(..).collect();
                let now = pair.now;
                pair.b.hear(now, &bytes);
                &mut pair.b.wire
            }
            Side::B => &mut pair.a.wire,
        };
        assert_eq!(wire[10], 3);
        wire[10] = 1;
        pair.run();
        let expected = if victim == Side::A { "preamble_forged" } else { "handshake_forged" };
        assert_eq!(pair.a.why(), expected);
        assert!(pair.b.up.is_empty());
    }
}

#[test]
fn strangers_and_talkers_are_cut_off_at_once() {
    let answer = |bytes: &[u8]| {
        let mut pair = pair(Some(9));
        let now = pair.now;
        pair.b.hear(now, bytes);
        (pair.b.why(), pair.b.sent.len())
    };
    assert_eq!(answer(b"G"), ("not_softadastra", 0), "a stranger gets no answer");
    assert_eq!(answer(b"SADLNK\n"), ("not_softadastra", 0));
    let mut long = pair(Some(9)).a.sent[..PREAMBLE_LEN].to_vec();
    long.extend(1100_u16.to_le_bytes());
    assert_eq!(answer(&long).0, "handshake_too_long", "refused by its length, before its bytes");
    let mut empty = long[..PREAMBLE_LEN].to_vec();
    empty.extend([0, 0]);
    assert_eq!(answer(&empty).0, "handshake_forged");
}

#[test]
fn the_input_before_a_link_stands_is_bounded() {
    // Many small units must not add up to more than one long one could.
    let mut pair = pair(None);
    pair.b.welcoming = false;
    pair.run();
    let now = pair.now;
    pair.b.hear(now, b"x");
    assert_eq!(pair.b.why(), "out_of_turn", "nobody talks before it was let in");
    let mut pair = super::Pair::of(local(1, None), local(2, None));
    pair.b.welcoming = false;
    pair.run();
    pair.a.hear(now, &1000_u16.to_le_bytes());
    assert_eq!(pair.a.why(), "handshake_too_long");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn garbage_never_panics_and_never_stands(bytes in proptest::collection::vec(any::<u8>(), 0..3000), cut in 1_usize..400) {
        let (a_sent, _) = transcript(None);
        for prefix in [0, 8, 16, 50] {
            let mut pair = pair(None);
            let now = pair.now;
            pair.b.hear(now, &a_sent[..prefix]);
            for piece in bytes.chunks(cut) {
                pair.b.hear(now, piece);
            }
            prop_assert!(pair.b.met.is_empty());
            for piece in bytes.chunks(cut) {
                pair.a.hear(now, piece);
            }
            prop_assert!(pair.a.met.is_empty());
        }
    }
}

#[test]
fn a_handshake_may_be_so_long_and_no_longer() {
    use super::super::handshake::MAX_HANDSHAKE_INPUT;
    let most = MAX_HANDSHAKE_INPUT - PREAMBLE_LEN - HEAD_LEN;
    for (len, why) in [(most, "open"), (most + 1, "handshake_too_long")] {
        let mut pair = Pair::of(local(1, None), local(2, None));
        let preamble: Vec<u8> = pair.a.wire.drain(..PREAMBLE_LEN).collect();
        let now = pair.now;
        pair.b.hear(now, &preamble);
        pair.b.hear(now, &(len as u16).to_le_bytes());
        assert_eq!(pair.b.why(), why, "{len} bytes");
    }
}
