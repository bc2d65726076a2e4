//! The layout of datagrams.

use alloc::string::String;

use super::message::{
    About, Body, MAX_CAPABILITIES, MAX_INTERVAL, MAX_LEN, MAX_SPREAD, MAX_WAYS, Message, TRAILER_LEN,
};
use super::reach::Way;
use super::seal::Network;
use super::*;
use crate::codec::Fault;
use crate::identity::Suite;
use proptest::prelude::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn about() -> About {
    About {
        node: NodeId::new("till-3").unwrap(),
        interval: seconds(30),
        ways: vec![
            Way::AtSource { v6: false, port: 4444 },
            Way::AtSource { v6: true, port: 4444 },
            Way::At("192.0.2.7:4445".parse().unwrap()),
            Way::At("[2001:db8::7]:4446".parse().unwrap()),
        ],
        capabilities: vec!["relay".into(), "store".into()],
    }
}

fn message(body: Body) -> Message {
    Message { key: key(1), boot: 0x0102_0304_0506_0708, count: 9, wall: WallTime(1_700_000_000_123), body }
}

/// One of everything, with its name.
fn messages() -> Vec<(&'static str, Message)> {
    let question = core::array::from_fn(|at| at as u8);
    let answer = [0xaa; 16];
    let spread = Duration::from_millis(500);
    let least = About { node: NodeId::new("a").unwrap(), interval: seconds(1), ways: vec![], capabilities: vec![] };
    vec![
        ("announce", message(Body::Announce(about()))),
        ("announce_least", message(Body::Announce(least))),
        ("probe", message(Body::Probe { question, spread, about: about() })),
        ("reply", message(Body::Reply { answer, question: None, about: about() })),
        ("reply_asking", message(Body::Reply { answer, question: Some(question), about: about() })),
        ("goodbye", message(Body::Goodbye)),
    ]
}

/// Every message, in a network with and without a secret, in the form of `tests/fixtures/discovery-v1.txt`.
fn vectors() -> String {
    let mut text = format!("identity={}\n", hex(&*identity(1).seed()));
    for secret in [None, Some(SECRET)] {
        let secret = secret.map(|byte| NetworkSecret::from_bytes([byte; 32]));
        text += &format!("secret={}\n", secret.as_ref().map_or_else(String::new, |secret| hex(secret.bytes())));
        let network = Network::new(secret.as_ref());
        for (name, message) in messages() {
            text += &format!("{name}={}\n", hex(&network.seal(&identity(1), &message)));
        }
    }
    text
}

#[test]
fn the_bytes_of_datagrams_never_change() {
    let kept = include_str!("../../../tests/fixtures/discovery-v1.txt");
    let kept: String = kept.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    assert_eq!(vectors(), kept);
}

/// Writes the fixture of a new version of the layout when `WRITE_FIXTURES` is set; that of an old one is never changed.
#[test]
fn write_the_vectors() {
    if std::env::var_os("WRITE_FIXTURES").is_some() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/discovery-v1.txt");
        std::fs::write(path, String::from(HEAD) + &vectors()).unwrap();
    }
}

const HEAD: &str = "# Datagrams of discovery, version 1, in a network without and with a secret (docs/discovery.md).
# The keys are made from small seeds and protect nothing. `discovery_vectors.py` beside this file makes the same bytes
# once more, from the page alone.
";

#[test]
fn the_kept_bytes_are_read() {
    let kept = include_str!("../../../tests/fixtures/discovery-v1.txt");
    let mut network = Network::new(None);
    let mut read = 0;
    let bytes = |text: &str| -> Vec<u8> {
        let pairs = text.as_bytes().chunks(2);
        pairs.map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    };
    for (name, value) in kept.lines().filter_map(|line| line.split_once('=')) {
        if name == "secret" && !value.is_empty() {
            network = Network::new(Some(&NetworkSecret::from_bytes(bytes(value).try_into().unwrap())));
        }
        if let Some((_, message)) = messages().into_iter().find(|(known, _)| *known == name) {
            let opened = network.open(&bytes(value)).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert!(opened.is_signed(Suite::Real) && opened.message == message, "{name}");
            read += 1;
        }
    }
    assert_eq!(read, 12);
}

#[test]
fn newer_software_may_append_what_may_be_ignored() {
    let decode = |bytes: Vec<u8>| Message::decode(&bytes.into());
    let announce = message(Body::Announce(about()));
    let with = |tail: &[u8]| decode([&announce.encode()[..], tail].concat());
    assert_eq!(with(&[3, 2, 0xff, 0xff, 5, 0]), Ok(announce.clone()), "odd extensions");
    assert_eq!(with(&[0, 1, 2, 3]), Ok(announce.clone()), "padding");
    assert_eq!(with(&[2, 0]).unwrap_err().fault, Fault::FromTheFuture, "an even extension must be understood");
    assert_eq!(with(&[3, 2, 0xff]).unwrap_err().fault, Fault::Short);

    // A way that this software does not know, between two that it does.
    let mut bytes = message(Body::Announce(About { ways: about().ways[..2].to_vec(), ..about() })).encode();
    let count_at = 64 + 7 + 4;
    assert_eq!(bytes[count_at], 2);
    bytes[count_at] = 3;
    let between = count_at + 1 + 5;
    bytes.splice(between..between, [200, 3, 1, 2, 3]);
    let Body::Announce(read) = decode(bytes).unwrap().body else { panic!() };
    assert_eq!(read.ways, about().ways[..2]);
}

#[test]
fn a_question_must_be_padded() {
    let (_, probe) = messages().swap_remove(2);
    let good = probe.encode();
    assert_eq!(good.len(), MAX_LEN - TRAILER_LEN);
    let short = good[..good.len() - 1].to_vec();
    assert_eq!(Message::decode(&short.into()).unwrap_err().field, "padding");
}

#[test]
fn the_greatest_datagram_fits() {
    let most = About {
        node: NodeId::new("x".repeat(64)).unwrap(),
        interval: MAX_INTERVAL,
        ways: (0..MAX_WAYS as u16).map(|port| Way::At(([0x2001, 0, 0, 0, 0, 0, 0, 1], port + 1).into())).collect(),
        capabilities: (0..MAX_CAPABILITIES).map(|number| format!("{number:02}{}", "y".repeat(30))).collect(),
    };
    for question in [None, Some([1; 16])] {
        let message = message(Body::Reply { answer: [2; 16], question, about: most.clone() });
        let bytes = Network::new(None).seal(&identity(1), &message);
        assert!(bytes.len() <= MAX_LEN);
        assert_eq!(Network::new(None).open(&bytes).map(|opened| opened.message).ok(), Some(message));
    }
}

fn any_about() -> impl Strategy<Value = About> {
    let way = prop_oneof![
        any::<(bool, u16)>().prop_map(|(v6, port)| Way::AtSource { v6, port }),
        any::<([u8; 4], u16)>().prop_map(|(ip, port)| Way::At((ip, port).into())),
        any::<([u8; 16], u16)>().prop_map(|(ip, port)| Way::At((ip, port).into())),
    ];
    let capabilities = proptest::collection::btree_set("[a-z0-9._-]{1,32}", 0..=MAX_CAPABILITIES);
    let ways = proptest::collection::vec(way, 0..=MAX_WAYS);
    ("[A-Za-z0-9._-]{1,64}", 0..=MAX_INTERVAL.as_millis() as u64, ways, capabilities).prop_map(
        |(node, interval, ways, capabilities)| About {
            node: NodeId::new(node).unwrap(),
            interval: Duration::from_millis(interval),
            ways,
            capabilities: capabilities.into_iter().collect(),
        },
    )
}

fn any_message() -> impl Strategy<Value = Message> {
    let body =
        prop_oneof![
            any_about().prop_map(Body::Announce),
            (any::<[u8; 16]>(), 0..=MAX_SPREAD.as_millis() as u64, any_about()).prop_map(
                |(question, spread, about)| { Body::Probe { question, spread: Duration::from_millis(spread), about } }
            ),
            (any::<[u8; 16]>(), any::<Option<[u8; 16]>>(), any_about())
                .prop_map(|(answer, question, about)| Body::Reply { answer, question, about }),
            Just(Body::Goodbye),
        ];
    (any::<[u8; 32]>(), any::<(u64, u64)>(), 0..=1_u64 << 48, body).prop_map(|(key, (boot, count), wall, body)| {
        Message { key: NodeKey(key), boot, count, wall: WallTime(wall), body }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(message in any_message()) {
        let bytes = message.encode();
        prop_assert!(bytes.len() + TRAILER_LEN <= MAX_LEN);
        prop_assert_eq!(Message::decode(&bytes.into()), Ok(message));
    }

    #[test]
    fn garbage_never_panics(message in any_message(), cut in 0_usize..1200, garbage: Vec<u8>) {
        let mut bytes = message.encode();
        bytes.truncate(cut);
        bytes.extend(garbage);
        if let Ok(message) = Message::decode(&bytes.into()) {
            prop_assert!(message.encode().len() + TRAILER_LEN <= MAX_LEN);
        }
    }
}

#[test]
fn what_a_datagram_says_is_bounded_to_the_byte() {
    let reads = |about: About| Message::decode(&message(Body::Announce(about)).encode().into()).is_ok();
    let words =
        |words: &[&str]| reads(About { capabilities: words.iter().map(ToString::to_string).collect(), ..about() });
    let (longest, longer) = ("x".repeat(32), "x".repeat(33));
    assert!(words(&[]) && words(&["a"]) && words(&["a", "b"]) && words(&[&longest]) && words(&["a.b_c-0"]));
    for bad in [&[""][..], &["A"], &["a b"], &[&longer], &["b", "a"], &["a", "a"]] {
        assert!(!words(bad), "{bad:?}");
    }
    let many: Vec<_> = (0..17).map(|number| format!("{number:02}")).collect();
    for (count, good) in [(16, true), (17, false)] {
        assert_eq!(reads(About { capabilities: many[..count].to_vec(), ..about() }), good);
        assert_eq!(reads(About { ways: vec![Way::AtSource { v6: false, port: 1 }; count], ..about() }), good);
    }
    for (millis, good) in [(3_600_000, true), (3_600_001, false)] {
        assert_eq!(reads(About { interval: Duration::from_millis(millis), ..about() }), good);
    }
    for (wall, good) in [(0, true), (1 << 48, true), ((1 << 48) + 1, false), (u64::MAX, false)] {
        let mut bytes = message(Body::Announce(about())).encode();
        bytes[56..64].copy_from_slice(&u64::to_le_bytes(wall));
        assert_eq!(Message::decode(&bytes.into()).is_ok(), good, "{wall}");
    }
    for (millis, good) in [(0, true), (10_000, true), (10_001, false), (u16::MAX, false)] {
        let mut bytes = message(Body::Probe { question: [1; 16], spread: Duration::ZERO, about: about() }).encode();
        bytes[80..82].copy_from_slice(&millis.to_le_bytes());
        assert_eq!(Message::decode(&bytes.into()).is_ok(), good, "{millis}");
    }
}

#[test]
fn words_for_targets_and_reasons_are_stable() {
    let multicast = |on| Target::Multicast { group: GROUP, on };
    let loopback: SocketAddr = "127.0.0.1:7".parse().unwrap();
    for (target, stays_here, text) in [
        (multicast(Interface::Any), false, format!("multicast {GROUP}")),
        (multicast(Interface::Index(3)), false, format!("multicast {GROUP} on interface 3")),
        (multicast(Interface::Loopback), true, format!("multicast {GROUP} on loopback")),
        (Target::Broadcast("255.255.255.255:7".parse().unwrap()), false, "broadcast 255.255.255.255:7".into()),
        (Target::Unicast(address(1)), false, format!("{}", address(1))),
        (Target::Unicast(loopback), true, "127.0.0.1:7".into()),
        (Target::Unicast("[::1]:7".parse().unwrap()), true, "[::1]:7".into()),
    ] {
        assert_eq!((target.stays_here(), target.to_string()), (stays_here, text));
    }
    for (why, name, says) in [
        (Ignored::NotDiscovery, "not_discovery", "not a datagram of discovery"),
        (Ignored::OtherVersion, "other_version", "another version"),
        (Ignored::Unauthenticated, "unauthenticated", "another network secret, or none"),
        (Ignored::Malformed, "malformed", "makes no sense"),
        (Ignored::Forged, "forged", "in the name of another node"),
        (Ignored::Own, "own", "our own"),
        (Ignored::Replayed, "replayed", "heard before"),
        (Ignored::Unproven, "unproven", "clock is off"),
        (Ignored::Overload, "overload", "too many"),
        (Ignored::Full, "registry_full", "registry is full"),
    ] {
        assert!(why.as_str() == name && why.to_string().contains(says), "{why:?}");
    }
}
