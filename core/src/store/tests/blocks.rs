//! Snapshot blocks whose bytes are not what a walk writes.

use super::*;
use crate::codec::{DecodeError, Fault, put_varint};
use crate::limits::MAX_REPLICAS;

/// Where the fields of a block's only entry stand, as long as its numbers are below 128.
const FLAGS: usize = 16;
const ID: usize = 18;
const SEQ: usize = 34;
const STAMP: usize = 35;
const VERSION: usize = 43;
const CHANGED: usize = 44;
const HASH: usize = 45;
const LISTS: usize = 53;
const HAS_CONTEXT: u8 = 1 << 4;
const HAS_KNOWN: u8 = 1 << 5;
const REPEATS: u8 = 1 << 6;

/// A block of one entry: `k` with the value `v` by operation 5 of replica 7.
fn block() -> Vec<u8> {
    let mut store = Store::new();
    let op = put(&store, 5, "k", "v");
    store.apply(Lsn(3), &op);
    let mut block = Vec::new();
    assert_eq!(store.walk(None, usize::MAX, &mut block).items, 1);
    assert_eq!(
        block[SEQ..],
        [&[5][..], &(5_u64 << 16).to_le_bytes(), &[1, 3], &block[HASH..LISTS], b"\x01k\x01v"].concat()
    );
    block
}

fn load(block: &[u8]) -> Result<Store, DecodeError> {
    let mut store = Store::new();
    store.load(1, Bytes::copy_from_slice(block)).map(|()| store)
}

fn with(at: usize, byte: u8) -> Vec<u8> {
    let mut block = block();
    block[at] = byte;
    block
}

/// A block whose entry has these lists; replica 7 is number 0 in it, and 9 comes with its id.
fn with_lists(flags: u8, lists: &[&[u8]]) -> Vec<u8> {
    let mut block = with(FLAGS, flags);
    block.splice(LISTS..LISTS, lists.concat());
    block
}

#[test]
fn an_entry_without_a_seq_a_version_or_an_lsn_is_refused() {
    assert!(load(&block()).is_ok());
    for at in [SEQ, VERSION, CHANGED] {
        assert_eq!(load(&with(at, 0)).unwrap_err().fault, Fault::Invalid, "byte {at}");
    }
}

#[test]
fn what_an_entry_knows_covers_its_dot_and_its_context() {
    let other = |seq: u8| [&[1][..], &[9; 16], &[seq]].concat();
    let (three, four) = (other(3), other(4));
    let known = HAS_KNOWN;
    let both = HAS_CONTEXT | HAS_KNOWN;
    assert!(load(&with_lists(HAS_CONTEXT, &[&[1], &three])).is_ok());
    assert!(load(&with_lists(known, &[&[2, 0, 5], &four])).is_ok());
    assert!(load(&with_lists(both, &[&[1], &three, &[2, 0, 5, 1, 4]])).is_ok());
    for (bad, what) in [
        (with_lists(HAS_CONTEXT, &[&[1, 0, 5]]), "a context that holds the dot"),
        (with_lists(known, &[&[1, 0, 4]]), "without the dot"),
        (with_lists(both, &[&[1], &three, &[1, 0, 5]]), "without the context"),
        (with_lists(both, &[&[1], &four, &[2, 0, 5, 1, 3]]), "less than the context"),
        (with_lists(both, &[&[1], &three, &[2, 0, 4, 1, 3]]), "with the context and without the dot"),
        (with_lists(known, &[&[0]]), "an empty list"),
        (with_lists(known, &[&[2, 0, 5, 0, 6]]), "a replica twice"),
        (with_lists(known, &[&[2], &four, &[0, 5]]), "out of order"),
    ] {
        assert_eq!(load(&bad).unwrap_err().fault, Fault::Invalid, "{what}");
    }
}

#[test]
fn what_an_entry_repeats_was_seen_by_its_writer() {
    let repeating = |seq: u8| with_lists(HAS_CONTEXT | REPEATS, &[&[1, 1], &[9; 16], &[3], &[1, seq]]);
    for (seq, good) in [(0, false), (1, true), (3, true), (4, false)] {
        assert_eq!(load(&repeating(seq)).is_ok(), good, "{seq}");
    }
}

#[test]
fn an_entry_names_as_many_replicas_as_there_may_be() {
    for (count, good) in [(MAX_REPLICAS, true), (MAX_REPLICAS + 1, false)] {
        let mut list = Vec::new();
        put_varint(&mut list, count as u64);
        for number in 1..=count as u64 {
            put_varint(&mut list, number);
            list.extend(u128::from(number).to_be_bytes());
            list.push(1);
        }
        assert_eq!(load(&with_lists(HAS_CONTEXT, &[&list])).is_ok(), good, "{count}");
    }
}

#[test]
fn a_block_is_the_same_wherever_it_is_appended() {
    let mut store = Store::new();
    for seq in 1..=9 {
        let op = put(&store, seq, &alloc::format!("{seq}"), "value");
        store.apply(Lsn(seq), &op);
    }
    let (mut alone, mut behind) = (Vec::new(), alloc::vec![7; 1000]);
    let walks = (store.walk(None, 100, &mut alone), store.walk(None, 100, &mut behind));
    assert_eq!((&walks.0, &alone[..]), (&walks.1, &behind[1000..]));
    assert!(walks.0.next.is_some() && walks.0.items > 1);
}

#[test]
fn entries_are_equal_when_all_that_is_kept_of_them_is() {
    let (one, same) = (load(&block()).unwrap(), load(&block()).unwrap());
    let entry = |store: &Store| store.entries(None).map(|entry| entry.operation()).next().unwrap();
    assert!(one.entries(None).eq(same.entries(None)));
    assert_eq!(entry(&one), entry(&same));
    let others = [
        (with(block().len() - 3, b'l'), "key"),
        (with(block().len() - 1, b'w'), "value"),
        (with(FLAGS, 1 << 3), "marks"),
        (with(ID, 8), "replica"),
        (with(SEQ, 6), "seq"),
        (with(STAMP, 1), "stamp"),
        (with(VERSION, 2), "version"),
        (with(CHANGED, 4), "LSN"),
        (with(HASH, block()[HASH] ^ 1), "content hash"),
        (with_lists(HAS_CONTEXT, &[&[1, 0, 4]]), "context"),
        (with_lists(HAS_KNOWN, &[&[1, 0, 6]]), "known"),
    ];
    for (other, what) in others {
        let other = load(&other).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(!one.entries(None).eq(other.entries(None)), "{what}");
    }
}

/// Two stores that call the same replicas by different numbers.
#[test]
fn a_block_is_taken_in_whatever_the_store_calls_its_replicas() {
    let dot = |replica, seq| Dot { replica: ReplicaId([replica; 16]), seq };
    let mut store = Store::new();
    let mut op = put(&store, 5, "a", "one");
    store.apply(Lsn(1), &op);
    // A context and a concurrent loser, by others.
    op = Operation { dot: dot(3, 8), key: "b".into(), ..op };
    op.context = [dot(7, 2), dot(9, 1)].into_iter().collect();
    store.apply(Lsn(2), &op);
    op = Operation { dot: dot(1, 4), stamp: Stamp(1), context: VersionVector::EMPTY, ..op };
    assert_eq!(store.apply(Lsn(3), &op), Merge::Superseded);
    // What it repeats, and a deletion.
    op = Operation { dot: dot(9, 3), key: "c".into(), context: core::iter::once(dot(3, 1)).collect(), ..op };
    op.marks.repeats = Some(dot(3, 1));
    store.apply(Lsn(4), &op);
    op = Operation { dot: dot(9, 4), key: "d".into(), body: Body::Delete, marks: Marks::default(), ..op };
    store.apply(Lsn(5), &op);
    // All three kinds of lists in one entry.
    op = Operation { dot: dot(3, 9), stamp: Stamp(9 << 16), key: "e".into(), body: Body::Put("five".into()), ..op };
    op.context = core::iter::once(dot(7, 2)).collect();
    op.marks.repeats = Some(dot(7, 2));
    store.apply(Lsn(6), &op);
    op = Operation { dot: dot(1, 5), stamp: Stamp(1), context: VersionVector::EMPTY, marks: Marks::default(), ..op };
    assert_eq!(store.apply(Lsn(7), &op), Merge::Superseded);

    let mut blocks = Vec::new();
    let mut after = None;
    loop {
        let mut block = Vec::new();
        let walk = store.walk(after.as_deref(), 0, &mut block);
        blocks.push((walk.items, Bytes::from(block)));
        after = walk.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(blocks.len(), 5);
    // Laid out in any order, taken in in theirs.
    let mut laid: Vec<Laid> = blocks.iter().rev().map(|(items, block)| Laid::of(*items, block).unwrap()).collect();
    let mut copy = Store::new();
    while let Some(next) = laid.pop() {
        copy.take(next).unwrap();
    }
    assert_same(&store, &copy);
    check_derived(&copy);
    assert!(copy.table.bytes() < 32 << 10, "a small store takes {} bytes", copy.table.bytes());
    // Slots whose ids were taken for others would not know their own.
    for entry in copy.entries(None) {
        let Some(same) = store.entry(entry.key()) else { panic!("a key that was not written") };
        assert_eq!((entry.marks(), entry.known()), (same.marks(), same.known()));
    }
    let one = Laid::of(blocks[1].0, &blocks[1].1).unwrap();
    assert_eq!(copy.take(one).unwrap_err().field, "snapshot entry key");
}

/// Entries lie in pieces of memory of 1,024; blocks begin and end anywhere in them.
#[test]
fn blocks_fill_one_piece_of_memory_after_the_other() {
    let mut store = Store::new();
    for seq in 1..=2_500 {
        let op = put(&store, seq, &alloc::format!("{seq:04}"), "v");
        store.apply(Lsn(seq), &op);
    }
    let (mut copy, mut after) = (Store::new(), None);
    loop {
        let mut block = Vec::new();
        let walk = store.walk(after.as_deref(), 20_000, &mut block);
        copy.load(walk.items, block.into()).unwrap();
        after = walk.next;
        if after.is_none() {
            break;
        }
    }
    assert_same(&store, &copy);
    check_derived(&copy);
}

#[test]
fn a_replica_that_has_two_numbers_is_refused() {
    let twice = with_lists(HAS_CONTEXT, &[&[1, 1], &[7; 16], &[3]]);
    assert_eq!(load(&twice).unwrap_err().field, "snapshot entry replica");
}
