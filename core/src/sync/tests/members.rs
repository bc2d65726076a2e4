//! What is believed of other replicas, and how much of it is kept.

use alloc::format;
use alloc::vec::Vec;

use crate::codec::Reader;
use crate::context::VersionVector;
use crate::ids::{Dot, NodeId, ReplicaId, Seq};
use crate::limits::MAX_MEMBERS;
use crate::sync::Member;
use crate::sync::members::{Ahead, Members};
use crate::time::WallTime;

const MINUTE: u64 = 60_000;

fn id(number: u64) -> ReplicaId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    ReplicaId(bytes)
}

fn member(name: &str, heard: u64, forgotten: u64) -> Member {
    let (heard, forgotten) = (WallTime(heard), WallTime(forgotten));
    Member { node: NodeId::new(name).unwrap(), heard, forgotten, vector: VersionVector::EMPTY }
}

fn holding(own: u64, seq: Seq, forgotten: u64) -> Member {
    Member { vector: [Dot { replica: id(own), seq }].into_iter().collect(), ..member("n", 5, forgotten) }
}

/// A member that names so many replicas.
fn wide(entries: u64) -> Member {
    Member { vector: (0..entries).map(|n| Dot { replica: id(n), seq: 1 }).collect(), ..member("n", 5, 0) }
}

fn members(count: u64, report: &Member) -> Members {
    let mut members = Members::default();
    for number in 0..count {
        assert!(members.join(id(number), report, None));
    }
    members
}

#[test]
fn being_heard_is_news_once_in_ten_minutes() {
    let mut known = member("a", 100 * MINUTE, 0);
    let news = |known: &mut Member, at: u64| known.hear(WallTime(at));
    assert!(!news(&mut known, 100 * MINUTE), "nothing new");
    assert!(!news(&mut known, 110 * MINUTE - 1));
    assert!(news(&mut known, 110 * MINUTE));
    assert!(!news(&mut known, 110 * MINUTE + 7));
    assert!(!news(&mut known, 90 * MINUTE), "it came late");
    assert_eq!(known.heard, WallTime(110 * MINUTE + 7));
    assert!(news(&mut known, 200 * MINUTE));
}

#[test]
fn a_report_is_news_only_if_it_changes_what_others_should_know() {
    let mut known = member("old", 100 * MINUTE, 0);
    assert!(!known.join(&member("old", 100 * MINUTE, 0)));
    assert!(!known.join(&member("other", 100 * MINUTE, 0)), "as old as what is known");
    assert_eq!(known.node.as_str(), "old");
    assert!(!known.join(&member("old", 100 * MINUTE + 1, 0)), "a moment later");
    assert!(known.join(&member("new", 100 * MINUTE + 2, 0)), "a new name");
    assert_eq!(known.node.as_str(), "new");
    assert!(known.join(&member("new", 0, 101 * MINUTE)), "retired");
    assert!(known.is_forgotten());
    assert!(!known.join(&member("new", 0, 102 * MINUTE)), "retired again");
    assert!(known.join(&member("new", 103 * MINUTE, 0)), "it came back");
    assert!(!known.is_forgotten());
}

#[test]
fn retired_at_the_moment_it_was_heard_is_retired() {
    assert!(member("n", 5, 5).is_forgotten() && !member("n", 6, 5).is_forgotten());
    assert!(!member("n", 0, 0).is_forgotten(), "never heard, never retired");
}

/// Whatever the clocks show: of those who gave it up, of the one who hears it, and of those to whom it is passed on, set back or not.
#[test]
fn a_member_that_is_heard_counts_again_for_all_who_gave_it_up_or_heard_of_that() {
    for ahead in [50 * MINUTE, 71 * MINUTE, 2_000_000 * MINUTE, u64::MAX] {
        let mut given_up = member("n", ahead, ahead);
        given_up.cap();
        let [mut who_gave_it_up, mut who_hears_it, mut far_away] =
            [members(1, &given_up), members(1, &member("n", 1, 0)), members(1, &given_up)];
        assert!(who_hears_it.join(id(0), &given_up, None) && who_hears_it.get(id(0)).unwrap().is_forgotten());
        let heard = Member { heard: who_hears_it.heard_at(WallTime(0), id(0)), ..member("n", 0, 0) };
        assert!(who_hears_it.join(id(0), &heard, None), "others are to hear of it");
        let mut said = who_hears_it.get(id(0)).unwrap().clone();
        said.cap();
        for other in [&mut who_gave_it_up, &mut far_away] {
            assert!(other.join(id(0), &said, None));
            assert!(!other.get(id(0)).unwrap().is_forgotten(), "{ahead}");
        }
    }
}

#[test]
fn rumours_beyond_the_room_for_them_are_left_aside() {
    let mut members = members(128, &wide(1024));
    assert!(members.join(id(500), &wide(1), None));
    assert!(members.get(id(500)).unwrap().vector.is_empty(), "there is room for 131,072 entries");
    assert!(!members.join(id(0), &wide(1025), None), "also of somebody who is known");
    assert!(members.join(id(0), &wide(1025), Some(id(1024))), "but for what it holds of the own operations");
    let known = [Dot { replica: id(1), seq: 2 }, Dot { replica: id(2000), seq: 1 }];
    assert!(members.join(id(0), &Member { vector: known.into_iter().collect(), ..wide(0) }, None));
    let goes_on = &members.get(id(0)).unwrap().vector;
    assert_eq!((goes_on.get(id(1)), goes_on.get(id(2000))), (2, 0), "what is kept already goes on");
    assert!(members.join(id(501), &wide(0), None), "who names nobody takes no room");
    let newer = Member { heard: WallTime(99 * MINUTE), ..wide(1024) };
    assert!(members.join(id(0), &newer, None), "no more than it took before");
}

#[test]
fn no_more_members_are_kept_than_can_be_read_again() {
    let mut members = members(MAX_MEMBERS as u64, &member("n", 5, 0));
    assert!(!members.join(id(1 << 40), &member("one-too-many", 5, 0), None));
    assert!(members.get(id(1 << 40)).is_none());
    assert!(members.join(id(0), &member("renamed", 6, 0), None), "who is known is still heard");
    let mut out = Vec::new();
    members.encode(&mut out);
    let bytes = out.into();
    assert_eq!(Members::decode(&mut Reader::new(&bytes)), Ok(members));
    let mut claimed = Vec::new();
    crate::codec::put_varint(&mut claimed, MAX_MEMBERS as u64 + 1);
    claimed.extend_from_slice(&bytes[2..]);
    let fault = Members::decode(&mut Reader::new(&claimed.into())).unwrap_err().fault;
    assert_eq!(format!("{fault:?}"), "Invalid");
}

#[test]
fn only_others_who_count_acknowledge() {
    let mut members = Members::default();
    for (number, seq, forgotten) in [(1, 9, 0), (2, 7, 0), (3, 8, 6), (4, 5, 0)] {
        members.join(id(number), &holding(1, seq, forgotten), None);
    }
    let acknowledged =
        |required| Ahead::of(&members, id(1), 0).acknowledged(&members, id(1), id(2), (required, 0, 100));
    assert_eq!([1, 2, 3, 0].map(acknowledged), [7, 5, 0, 0]);
}
