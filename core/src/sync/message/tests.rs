use alloc::format;
use alloc::string::String;
use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::ids::Dot;
use crate::op::Operation;
use crate::op::{Body, Chain, Marks};
use crate::sync::Ladder;

fn replica(id: u8) -> ReplicaId {
    ReplicaId([id; 16])
}

fn vector(dots: &[(u8, Seq)]) -> VersionVector {
    dots.iter().map(|(id, seq)| Dot { replica: replica(*id), seq: *seq }).collect()
}

fn op(id: u8, seq: Seq, key: &'static str, value: Option<&'static str>) -> Operation {
    Operation {
        dot: Dot { replica: replica(id), seq },
        stamp: Stamp(0x0102_0304_0506_0708),
        context: VersionVector::EMPTY,
        key: Bytes::from_static(key.as_bytes()),
        body: value.map_or(Body::Delete, |value| Body::Put(Bytes::from_static(value.as_bytes()))),
        marks: Marks::default(),
    }
}

fn pairs() -> Pairs {
    let mut ladder = Ladder::default();
    for seq in 1..=17 {
        ladder.push(seq, Chain(seq));
    }
    ladder.pairs(17, 17)
}

fn one_of_each() -> Vec<Message> {
    let pulse = Pulse {
        number: 3,
        wall: WallTime(1_700_000_000_000),
        feed: Lsn(300),
        exact: true,
        waits: false,
        digest: 0x0f,
        vector: vector(&[(1, 9)]),
    };
    let entry = Part::Entry { op: op(1, 7, "k", Some("v")), known: VersionVector::EMPTY };
    let merged = Part::Entry { op: op(1, 8, "l", None), known: vector(&[(1, 8), (2, 4)]) };
    let member = Member {
        node: NodeId::new("till-3").unwrap(),
        heard: WallTime(1_700_000_000_000),
        forgotten: WallTime(0),
        vector: vector(&[(2, 5)]),
    };
    let key = |key: &'static str| Some(Bytes::from_static(key.as_bytes()));
    vec![
        Message::Hello(Hello {
            protocols: (1, 1),
            network: [0xee; 16],
            replica: replica(1),
            log: LogId([2; 16]),
            boot: 5,
            node: NodeId::new("till-1").unwrap(),
            wall: WallTime(1_700_000_000_000),
            window: 1 << 20,
            own_seq: 7,
            vector: vector(&[(1, 7)]),
            floor: VersionVector::EMPTY,
            floor_stamp: Stamp(0),
            owed: VersionVector::EMPTY,
        }),
        Message::Resume { lsn: Lsn(300), boot: 5, pairs: pairs(), direct: [replica(3)].into_iter().collect() },
        Message::Batch(
            Lsn(301),
            vec![entry.clone(), merged, Part::Pairs(pairs()), Part::Cut(vector(&[(1, 8)])), Part::End],
        ),
        Message::Full(Lsn(0), vec![entry.clone(), Part::Present(Bytes::from_static(b"m")), Part::Upto(key("m"))]),
        Message::Full(Lsn(0), vec![Part::Upto(None)]),
        Message::Full(
            Lsn(0),
            vec![Part::Buried {
                key: Bytes::from_static(b"m"),
                dot: Dot { replica: replica(1), seq: 9 },
                known: vector(&[(1, 9), (2, 4)]),
                stamp: None,
            }],
        ),
        Message::Full(
            Lsn(0),
            vec![Part::Buried {
                key: Bytes::from_static(b"m"),
                dot: Dot { replica: replica(1), seq: 9 },
                known: vector(&[(2, 4)]),
                stamp: Some(Stamp(0x0102_0304_0506_0708)),
            }],
        ),
        Message::Ack { lsn: Lsn(301), bytes: 4096, vector: vector(&[(1, 8)]) },
        Message::Ping(pulse.clone()),
        Message::Pong(pulse),
        Message::Direct(BTreeSet::new()),
        Message::Members(vec![(replica(2), member)]),
        Message::Bye(Bye::NoRoom),
        Message::Ranges(vec![
            Range { after: None, end: key("m"), entries: 9, digest: 1 },
            Range { after: key("m"), end: None, entries: Range::ASK, digest: 2 },
        ]),
        Message::Repair(vec![entry]),
        Message::Batch(Lsn(302), vec![Part::History { replica: replica(1), pairs: pairs() }]),
    ]
}

fn encode(messages: &[Message]) -> Vec<u8> {
    let mut origins = Origins::default();
    let mut out = Vec::new();
    for message in messages {
        message.encode(&mut origins, &mut out);
    }
    out
}

#[test]
fn the_layouts_are_pinned() {
    let mut origins = Origins::default();
    let mut text = String::new();
    for message in one_of_each() {
        let mut out = Vec::new();
        message.encode(&mut origins, &mut out);
        text.extend(out.iter().map(|byte| format!("{byte:02x}")));
        text.push('\n');
    }
    insta::assert_snapshot!(text, @r"
    01690000000101eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee010101010101010101010101010101010202020202020202020202020202020205000000000000000674696c6c2d310068e5cf8b0100008080400701010101010101010101010101010101010700000000000000000000
    022e000000ac020500000000000000021111000000000000001010000000000000000103030303030303030303030303030303
    03820000002d010000000000000001010101010101010101010101010101010000080706050403020107016b0176020001080706050403020108016c020101010101010101010101010101010108020202020202020202020202020202020406021111000000000000001010000000000000000501010101010101010101010101010101010804
    041e0000000000000000000000010000080706050403020107016b017603016d07016d
    0409000000000000000000000008
    04300000000000000000000000090009016d0201010101010101010101010101010101090202020202020202020202020202020204
    042700000000000000000000000b0009016d0102020202020202020202020202020202040807060504030201
    0516000000ad028020010101010101010101010101010101010108
    062e000000030068e5cf8b010000ac02010f000000000000000000000000000000010101010101010101010101010101010109
    072e000000030068e5cf8b010000ac02010f000000000000000000000000000000010101010101010101010101010101010109
    080100000000
    093a00000001020202020202020202020202020202020674696c6c2d330068e5cf8b0100000000000000000000010202020202020202020202020202020205
    0a0100000001
    0b320000000202016d090100000000000000000000000000000001016dffffffffffffffffff0102000000000000000000000000000000
    0c10000000010000080706050403020107016b0176
    031d0000002e010000000000000a0002111100000000000000101000000000000000
    ");
}

#[test]
fn messages_round_trip_in_one_stream() {
    let messages = one_of_each();
    assert_eq!(read(&encode(&messages).into()).unwrap(), messages);
}

#[test]
fn a_newer_hello_may_say_more() {
    let hello = one_of_each().swap_remove(0);
    let mut bytes = encode(core::slice::from_ref(&hello));
    bytes.extend_from_slice(b"more");
    let len = u32::try_from(bytes.len() - HEADER_LEN).unwrap();
    bytes[1..HEADER_LEN].copy_from_slice(&len.to_le_bytes());
    assert_eq!(read(&bytes.into()).unwrap(), [hello]);
}

#[test]
fn an_older_hello_owes_nothing() {
    let hello = |owed| {
        let Message::Hello(hello) = one_of_each().swap_remove(0) else { unreachable!("a hello comes first") };
        Message::Hello(Hello { owed, ..hello })
    };
    let owing = hello(vector(&[(2, 5)]));
    assert_eq!(read(&encode(core::slice::from_ref(&owing)).into()).unwrap(), [owing]);
    let mut older = encode(&[hello(VersionVector::EMPTY)]);
    assert_eq!(older.pop(), Some(0));
    let len = u32::try_from(older.len() - HEADER_LEN).unwrap();
    older[1..HEADER_LEN].copy_from_slice(&len.to_le_bytes());
    assert_eq!(read(&older.into()).unwrap(), [hello(VersionVector::EMPTY)]);
}

#[test]
fn what_is_unknown_or_too_long_is_refused() {
    assert_eq!(read(&Bytes::from_static(&[99, 0, 0, 0, 0])).unwrap_err().fault, Fault::FromTheFuture);
    assert_eq!(read(&Bytes::from_static(&[3, 0xff, 0xff, 0xff, 0xff])).unwrap_err().field, "message length");
    // An operation of an origin that was never named.
    let mut batch = vec![BATCH, 0, 0, 0, 0];
    batch.extend_from_slice(&[0; 8]);
    batch.extend_from_slice(&[1, 0]);
    batch[1] = 10;
    assert_eq!(read(&batch.into()).unwrap_err().field, "origin number");
    // Parts that cost one byte each on the wire and more in memory.
    let ends = vec![4; MAX_PARTS + 1];
    let mut flood = vec![BATCH];
    flood.extend_from_slice(&u32::try_from(ends.len() + 8).unwrap().to_le_bytes());
    flood.extend_from_slice(&[0; 8]);
    flood.extend_from_slice(&ends);
    assert_eq!(read(&flood.into()).unwrap_err().field, "parts");
}

proptest! {
    #[test]
    fn a_cut_or_spoilt_stream_is_an_error_or_other_messages_never_a_panic(
        cut: prop::sample::Index,
        at: prop::sample::Index,
        flip: u8,
    ) {
        let whole = encode(&one_of_each());
        let short = Bytes::copy_from_slice(&whole[..cut.index(whole.len())]);
        if let Ok(messages) = read(&short) {
            prop_assert!(messages.len() < one_of_each().len());
        }
        let mut spoilt = whole;
        let at = at.index(spoilt.len());
        spoilt[at] ^= flip;
        // Only the absence of a panic is claimed here; spoilt bytes may be another message.
        drop(read(&spoilt.into()));
    }

    #[test]
    fn garbage_never_panics(garbage: Vec<u8>, kind in 0u8..14) {
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&u32::try_from(garbage.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&garbage);
        drop(read(&bytes.into()));
    }
}

#[test]
fn counts_and_lengths_are_taken_up_to_their_limits() {
    let fault = |kind: u8, body: &[u8]| {
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(body);
        Message::take(&mut bytes.into(), &mut Origins::default()).unwrap_err().fault
    };
    for (kind, most) in [(8, MAX_MEMBERS), (9, MAX_MEMBERS), (11, MAX_RANGES)] {
        let count = |count: usize| {
            let mut body = Vec::new();
            put_varint(&mut body, count as u64);
            body
        };
        assert_eq!(fault(kind, &count(most)), Fault::Short, "kind {kind}: the rest is missing");
        assert_eq!(fault(kind, &count(most + 1)), Fault::Invalid, "kind {kind}");
    }
    for (len, fault) in [(MAX_FRAME_BODY, Fault::Short), (MAX_FRAME_BODY + 1, Fault::Invalid)] {
        let mut bytes = vec![8];
        bytes.extend_from_slice(&(len as u32).to_le_bytes());
        assert_eq!(Message::take(&mut bytes.into(), &mut Origins::default()).unwrap_err().fault, fault);
    }
}

#[test]
fn every_farewell_has_its_byte_and_its_words() {
    let byes: Vec<Bye> = (0..=255).map(Bye::from_code).collect();
    assert!(byes.iter().map(|bye| bye.code()).eq(0..=255));
    let mut words: Vec<String> = byes.iter().map(|bye| format!("{bye}")).collect();
    assert_eq!(words.first().map(String::as_str), Some("it is leaving"));
    assert_eq!(words.last().map(String::as_str), Some("reason 255"));
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), 256, "no two sound alike");
}
