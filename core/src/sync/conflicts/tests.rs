//! What the record keeps, what it lets go, and what it says when it does.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::*;
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::ReplicaId;
use crate::op::{Body, Marks};
use crate::sync::Version;

fn version(replica: u8, seq: u64, len: usize) -> Version {
    Version {
        dot: Dot { replica: ReplicaId([replica; 16]), seq },
        stamp: Stamp(seq << 16 | u64::from(replica)),
        context: VersionVector::EMPTY,
        body: Body::Put(Bytes::from(vec![replica; len])),
        resolution: false,
    }
}

fn met(seq: u64, len: usize) -> Met {
    Met { key: Bytes::from(format!("k{seq}")), local: version(1, seq, len), remote: version(2, seq, len) }
}

/// A write by somebody who had seen both versions.
fn seen(met: &Met, resolution: bool) -> Operation {
    let mut context = VersionVector::EMPTY;
    context.include(met.local.dot);
    context.include(met.remote.dot);
    Operation {
        dot: Dot { replica: ReplicaId([3; 16]), seq: 1 },
        stamp: Stamp(u64::MAX >> 8),
        context,
        key: met.key.clone(),
        body: Body::Delete,
        marks: Marks { resolution, ..Marks::default() },
    }
}

#[test]
fn an_open_conflict_outlives_any_number_of_settled_ones() {
    let mut record = Conflicts::default();
    let open = met(1, 10);
    record.record(&open, Outcome::Open).unwrap();
    for seq in 2..MAX_CONFLICTS as u64 + 50 {
        let noted = record.record(&met(seq, 10), Outcome::Merged).unwrap();
        assert_eq!(noted.dropped, [], "what is settled goes in silence");
    }
    assert_eq!(record.iter().len(), MAX_CONFLICTS + 1);
    assert_eq!(record.iter().next().map(|conflict| conflict.id), Some(1));
    assert_eq!(record.open(), 1);
}

#[test]
fn an_open_conflict_outlives_a_settled_one_of_any_size() {
    let mut record = Conflicts::default();
    record.record(&met(1, 900 << 10), Outcome::Open).unwrap();
    record.record(&met(2, 10), Outcome::Merged).unwrap();
    record.record(&met(3, MAX_CONFLICT_BYTES), Outcome::Merged).unwrap();
    let ids: Vec<_> = record.iter().map(|conflict| conflict.id).collect();
    assert_eq!(ids, [1, 3], "the newest settled one stays whatever its size, the older settled one went");
}

/// The head of a snapshot holds all of them, and has to fit into one part.
#[test]
fn what_is_settled_is_too_long_for_the_record_beside_much_that_is_open() {
    let mut record = Conflicts::default();
    record.record(&met(1, 30 << 20), Outcome::Open).unwrap();
    record.record(&met(2, 17 << 20), Outcome::Merged).unwrap();
    assert_eq!(record.iter().len(), 2);
    assert_eq!(record.record(&met(3, 18 << 20), Outcome::Merged).map(|noted| noted.id), Some(3));
    let ids = |record: &Conflicts| record.iter().map(|conflict| conflict.id).collect::<Vec<_>>();
    assert_eq!(ids(&record), [1], "neither of them is kept");
    let mut encoded = Vec::new();
    record.record(&met(4, 10 << 20), Outcome::Merged).unwrap();
    record.encode(&mut encoded);
    assert!(encoded.len() <= MAX_RECORDED_BYTES + 1000 && ids(&record) == [1, 4]);
}

#[test]
fn open_conflicts_go_only_beyond_their_own_bounds_and_by_name() {
    let mut record = Conflicts::default();
    let each = MAX_OPEN_CONFLICT_BYTES / 8;
    for seq in 1..=3 {
        let noted = record.record(&met(seq, each), Outcome::Open).unwrap();
        assert_eq!(noted.dropped, []);
    }
    let noted = record.record(&met(4, each), Outcome::Open).unwrap();
    assert_eq!(noted.dropped, [(1, Bytes::from("k1"))]);
    assert_eq!((record.open(), record.total()), (3, 4));

    let mut record = Conflicts::default();
    for seq in 1..=MAX_OPEN_CONFLICTS as u64 {
        assert_eq!(record.record(&met(seq, 1), Outcome::Open).unwrap().dropped, []);
    }
    let noted = record.record(&met(1 << 30, 1), Outcome::Open).unwrap();
    assert_eq!(noted.dropped, [(1, Bytes::from("k1"))]);
}

#[test]
fn what_is_settled_moves_to_the_settled_ones() {
    let mut record = Conflicts::default();
    let meeting = met(1, 10);
    record.record(&meeting, Outcome::Open).unwrap();
    record.settle(&seen(&meeting, false), false);
    assert_eq!(record.open(), 0);
    assert_eq!(record.iter().map(|conflict| conflict.outcome).collect::<Vec<_>>(), [Outcome::Resolved]);
    for seq in 2..MAX_CONFLICTS as u64 + 2 {
        record.record(&met(seq, 10), Outcome::Merged).unwrap();
    }
    assert_eq!(record.get(1), None, "it goes as the oldest of the settled ones");
}

#[test]
fn an_own_write_to_a_key_of_which_nothing_is_left_settles_what_was_open_about_it() {
    let mut record = Conflicts::default();
    let meeting = met(1, 10);
    record.record(&meeting, Outcome::Open).unwrap();
    let unseen = Operation { context: VersionVector::EMPTY, ..seen(&meeting, false) };
    record.settle(&unseen, false);
    assert_eq!(record.open(), 1, "a foreign write that has seen nothing says nothing");
    record.settle(&unseen, true);
    assert_eq!(record.open(), 0);
}

#[test]
fn the_same_meeting_is_recorded_once_and_the_record_survives_its_encoding() {
    let mut record = Conflicts::default();
    record.record(&met(1, 10), Outcome::Open).unwrap();
    let turned = Met { local: version(2, 1, 10), remote: version(1, 1, 10), ..met(1, 10) };
    assert_eq!(record.record(&turned, Outcome::Open), None);
    record.record(&met(2, 10), Outcome::Merged).unwrap();
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    let bytes = Bytes::from(bytes);
    assert_eq!(Conflicts::decode(&mut Reader::new(&bytes)), Ok(record.clone()));
}

/// A snapshot begins with the record, and is encoded and read again while all else goes on.
#[test]
fn encoding_takes_its_room_at_once_and_checking_copies_nothing() {
    let counts = [1, 30, 33, 66];
    for (count, outcome) in counts.into_iter().flat_map(|count| [(count, Outcome::Merged), (count, Outcome::Open)]) {
        let mut record = Conflicts::default();
        for seq in 1..=count {
            record.record(&met(seq, 20_000), outcome).unwrap();
        }
        let mut encoded = Vec::new();
        record.encode(&mut encoded);
        assert!(encoded.capacity() - encoded.len() < 200 * (1 + count as usize), "{} unused", encoded.capacity());

        let bytes = Bytes::from(encoded);
        let within = |part: &Bytes| bytes.as_ptr_range().contains(&part.as_ptr());
        let values = |record: &Conflicts| -> Vec<Bytes> {
            let versions = record.iter().flat_map(|conflict| [&conflict.met.local, &conflict.met.remote]);
            versions.filter_map(|version| version.body.value().cloned()).collect()
        };
        let read = Conflicts::decode(&mut Reader::new(&bytes)).unwrap();
        assert!(values(&read).iter().all(within));
        let kept = read.detached();
        assert_eq!(kept, record);
        assert!(!values(&kept).iter().any(within) && !kept.iter().any(|conflict| within(&conflict.met.key)));
    }
}

#[test]
fn only_the_loser_that_a_peer_lacks_goes_ahead_of_the_winner() {
    let mut record = Conflicts::default();
    let meeting = met(1, 10);
    record.record(&meeting, Outcome::Open).unwrap();
    let (local, remote) = (meeting.local.dot, meeting.remote.dot);
    let losers = |winner: Dot, covered: Option<Dot>| -> Vec<Dot> {
        record.losers(b"k1", winner, |dot| Some(dot) == covered).iter().map(|op| op.dot).collect()
    };
    assert_eq!(losers(remote, None), [local]);
    assert_eq!(losers(local, None), [remote]);
    assert_eq!(losers(remote, Some(local)), []);
    assert_eq!(losers(Dot { replica: ReplicaId([7; 16]), seq: 1 }, None), []);
    assert_eq!(record.losers(b"other", remote, |_| false), []);
}

/// Three versions of one key make three meetings: only the very two that met before are no news.
#[test]
fn a_meeting_is_on_record_only_if_both_its_versions_have_met() {
    let [a, b, c] = [1, 2, 3].map(|replica| version(replica, 1, 10));
    let meeting =
        |local: &Version, remote: &Version| Met { key: Bytes::from("k"), local: local.clone(), remote: remote.clone() };
    for (local, remote, is_news) in
        [(&a, &b, false), (&b, &a, false), (&a, &c, true), (&c, &a, true), (&b, &c, true), (&c, &b, true)]
    {
        let mut record = Conflicts::default();
        record.record(&meeting(&a, &b), Outcome::Open).unwrap();
        let noted = record.record(&meeting(local, remote), Outcome::Open);
        assert_eq!(noted.is_some(), is_news, "{:?} meets {:?}", local.dot, remote.dot);
    }
}

/// What is counted of a record is what is on it, in the order of the numbers, however it came there.
#[test]
fn a_record_that_has_changed_is_the_record_that_is_read() {
    let mut record = Conflicts::default();
    let meetings = [1, 2, 3, 4].map(|seq| Met { key: Bytes::from("k"), ..met(seq, 10 * seq as usize) });
    for meeting in &meetings[..3] {
        record.record(meeting, Outcome::Open).unwrap();
    }
    record.record(&meetings[3], Outcome::Merged).unwrap();
    let as_read = |record: &Conflicts| {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        Conflicts::decode(&mut Reader::new(&bytes.into())).unwrap()
    };
    let of_key = |record: &Conflicts| record.of_key(b"k").map(|conflict| conflict.id).collect::<Vec<_>>();
    assert_eq!(of_key(&record), [1, 2, 3, 4]);
    let context = [meetings[1].local.dot, meetings[1].remote.dot].into_iter().collect();
    record.settle(&Operation { context, ..seen(&meetings[1], false) }, false);
    let outcomes: Vec<_> = record.iter().map(|conflict| conflict.outcome).collect();
    assert_eq!(outcomes[2..], [Outcome::Open, Outcome::Merged]);
    assert_eq!(of_key(&record), [1, 2, 3, 4], "what is settled keeps its place");
    assert_eq!(as_read(&record), record);
    record.remove(3).unwrap();
    assert_eq!(of_key(&record), [1, 2, 4]);
    assert_eq!(as_read(&record), record);
}

#[test]
fn a_record_of_more_conflicts_than_are_kept_is_no_record() {
    let too_many = DecodeError { field: "conflicts", fault: Fault::Invalid };
    let most = (MAX_CONFLICTS + MAX_OPEN_CONFLICTS) as u64;
    for (count, is_refused) in [(most - 1, false), (most, false), (most + 1, true), (most + 2, true), (u64::MAX, true)]
    {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, u64::MAX);
        put_varint(&mut bytes, count);
        let read = Conflicts::decode(&mut Reader::new(&bytes.into())).unwrap_err();
        assert_eq!(read == too_many, is_refused, "{count}: {read:?}");
    }
}

#[test]
fn what_is_kept_may_be_as_much_as_its_bounds_say() {
    let kept = Kept { ids: [4, 7].into(), bytes: 10 };
    for (most, most_bytes, oldest) in [(2, 10, None), (3, 11, None), (1, 10, Some(4)), (2, 9, Some(4))] {
        assert_eq!(kept.beyond(most, most_bytes), oldest, "of {most} with {most_bytes} bytes");
    }
}
