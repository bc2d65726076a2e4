//! Each judge is shown what it is there to find: a promise that nobody can break guards nothing.

use std::collections::BTreeSet;

use softadastra_core::clock::Stamp;
use softadastra_core::context::VersionVector;
use softadastra_core::error::Code;
use softadastra_core::ids::Seq;
use softadastra_core::op::{Body, Marks};
use softadastra_core::time::{Instant, Now, WallTime};

use super::*;
use crate::replay;
use crate::scenario::put;

const HOST: HostId = HostId(0);
const NOW: Now = Now { mono: Instant(1), wall: WallTime(1_750_000_000_000) };

/// A node that is up, its directory and what it has told of its start.
pub(super) struct Up {
    node: Box<Node>,
    disk: SimDisk,
    report: RecoveryReport,
    outbox: OutboxStatus,
    oracle: Oracle,
}

impl Up {
    fn empty() -> Self {
        let mut disk = SimDisk::new();
        let node = replay::open(&mut disk, &Knobs::SMALL, NOW, 1).unwrap();
        let outbox = node.status().outbox;
        Self { node, disk, report: RecoveryReport::default(), outbox, oracle: Oracle::default() }
    }

    /// On a stored directory with conflicts that are open, and others that are merged.
    fn contested() -> Self {
        let mut disk = SimDisk::new();
        let segment = include_bytes!("../../../core/tests/fixtures/v3-sync/0000000000000001.seg");
        let snapshot = include_bytes!("../../../core/tests/fixtures/v3-sync/0000000000000004.snap");
        disk.put_file("0000000000000001.seg", segment);
        disk.put_file("0000000000000004.snap", snapshot);
        let node = replay::open(&mut disk, &Knobs::SMALL, NOW, 1).unwrap();
        assert_eq!((node.conflicts().open(), node.conflicts().total()), (2, 4));
        Self { node, disk, ..Self::empty() }
    }

    pub(super) fn with(key: &str, value: &str) -> Self {
        let mut up = Self::empty();
        up.node.write(NOW, vec![put(key, value)]).unwrap();
        drop(replay::drain(&mut up.node, &mut up.disk, NOW));
        assert!(up.node.store().get(key.as_bytes()).is_some());
        up
    }

    fn opened<'a>(&'a self, found: &'a State, verdict: &'a Verdict) -> Moment<'a> {
        let (node, disk, report) = (&*self.node, &self.disk, &self.report);
        let (harshness, closed, grown, damaged, first, salt) = (Harshness::Power, None, false, false, false, 0);
        let tearable = true;
        Moment::Opened { node, disk, report, found, verdict, harshness, closed, grown, damaged, tearable, first, salt }
    }

    pub(super) fn stepped<'a>(&'a self, witness: Option<&'a Witness>) -> Moment<'a> {
        Moment::Stepped {
            node: &self.node,
            oracle: &self.oracle,
            knobs: &Knobs::SMALL,
            changed: true,
            whole: true,
            in_flight: 0,
            waiting: 0,
            replica: self.node.status().replica,
            outbox: &self.outbox,
            witness,
            alone: witness.is_none(),
            broken_links: 0,
            waited: None,
            hindered: false,
            wrong: None,
        }
    }
}

fn replica(name: u8) -> ReplicaId {
    ReplicaId([name; 16])
}

fn operation(name: u8, seq: Seq, stamp: u64, value: &'static str) -> Operation {
    Operation {
        dot: Dot { replica: replica(name), seq },
        stamp: Stamp(stamp),
        context: VersionVector::EMPTY,
        key: Bytes::from_static(b"k"),
        body: Body::Put(Bytes::from_static(value.as_bytes())),
        marks: Marks::default(),
    }
}

/// Who finds the moments, shown one after the other to a court of all judges, and at which of them.
fn caught<'a>(moments: impl IntoIterator<Item = &'a Moment<'a>>) -> Option<(&'static str, usize)> {
    let mut court = Court::new();
    let mut moments = moments.into_iter().zip(0..);
    moments.find_map(|(moment, number)| Some((court.see(1, HOST, moment).err()?.judge, number)))
}

fn vector(dots: &[Dot]) -> VersionVector {
    let mut vector = VersionVector::EMPTY;
    dots.iter().for_each(|dot| _ = vector.include(*dot));
    vector
}

/// One node, whose replica is the second, and what its log claims.
fn member(claims: &[Dot]) -> Witness {
    let mut witness = Witness::new(1);
    let found = Up::empty();
    if let Some(ledger) = witness.ledgers.first_mut() {
        ledger.found(replica(2), found.node.store(), &vector(claims), Lsn(1));
    }
    witness
}

fn error(code: Code) -> Error {
    Error::new(code, "it broke", "mend it")
}

fn seen(op: &Operation, changed: u64) -> Option<Seen<'_>> {
    let value = op.body.value().map(|value| &value[..]);
    Some(Seen { dot: op.dot, stamp: op.stamp, changed: Lsn(changed), value })
}

fn read<'a>(key: &'a Bytes, seen: Option<Seen<'a>>, witness: Option<&'a Witness>) -> Moment<'a> {
    Moment::Read { client: 0, key, seen, wrote: None, witness }
}

#[test]
fn every_judge_finds_what_it_is_there_to_find() {
    let (empty, full) = (Up::empty(), Up::with("k", "v"));
    let nothing = State::default();
    let (lost, ghost) = (Verdict::Lost("gone".into()), Verdict::Ghost("a ghost".into()));
    let broken = error(Code::WalCorrupt);
    let degraded = error(Code::Degraded);
    let (first, twin) = (operation(1, 1, 10, "a"), operation(1, 1, 10, "b"));
    let earlier = operation(1, 2, 9, "c");
    let returned = Breach::Returned("k is back".into());
    let no_records = Witness::new(1);
    let mut met = Witness::new(1);
    if let Some(ledger) = met.ledgers.first_mut() {
        let meeting =
            crate::oracle::ledger::Meeting { lsn: Lsn(1), local: first.dot, remote: operation(2, 1, 9, "x").dot };
        ledger.meetings.push(meeting);
        ledger.endure(Lsn(1));
    }
    let mut uneven = Up::empty();
    uneven.outbox.queued = 5;
    let mut too_early = Up::empty();
    (too_early.outbox.last, too_early.outbox.acknowledged) = (1, 1);
    let mut waits = empty.stepped(None);
    if let Moment::Stepped { waited, .. } = &mut waits {
        *waited = Some(11_000_000);
    }
    let unread = Up { disk: SimDisk::new(), ..Up::with("k", "v") };
    let refused = Moment::Refused {
        error: &degraded,
        node: &empty.node,
        bytes: 1,
        allowed: true,
        oracle: &empty.oracle,
        knobs: &Knobs::SMALL,
    };
    let (key, newer) = (first.key.clone(), operation(1, 3, 30, "new"));
    let wrote = |seen| Moment::Read {
        client: 0,
        key: &key,
        seen,
        wrote: Some((Some(Bytes::from_static(b"mine")), Lsn(7))),
        witness: None,
    };
    let same = Verdict::Cut(0);
    let (behind, members) = (member(&[first.dot]), [replica(2)]);
    let gone = vector(&[first.dot, earlier.dot]);
    let collects =
        |linked, waits| Moment::Collecting { dots: &gone, members: &members, linked, waits, witness: &behind };
    let unsaid = [(replica(2), vector(&[]))];

    let cases: Vec<(&str, Vec<Moment<'_>>)> = vec![
        ("answered survives", vec![empty.opened(&nothing, &lost)]),
        ("answered survives", vec![Moment::Missed("k".into())]),
        ("answered survives", vec![Moment::Backup { verdict: Err("no".into()) }]),
        ("failed never visible", vec![empty.opened(&nothing, &ghost)]),
        ("failed never visible", vec![full.stepped(None)]),
        ("same log, same store", vec![unread.opened(&nothing, &same)]),
        ("damage never passes", vec![Moment::NotOpened { error: &broken, damaged: false, hindered: true }]),
        ("damage never passes", vec![Moment::Nonsense("a frame".into())]),
        ("no dot twice", vec![Moment::Issued { lsn: Lsn(1), op: &first }, Moment::Issued { lsn: Lsn(1), op: &twin }]),
        ("no dot twice", vec![Moment::Issued { lsn: Lsn(1), op: &first }, Moment::Issued { lsn: Lsn(2), op: &newer }]),
        (
            "clock never back",
            vec![Moment::Issued { lsn: Lsn(1), op: &first }, Moment::Issued { lsn: Lsn(2), op: &earlier }],
        ),
        ("reads while degraded", vec![refused]),
        ("bounded queues", vec![Moment::Unwritten { bytes: 2, most: 1 }]),
        ("answers are true", vec![Moment::Untrue("no".into())]),
        ("life goes on", vec![Moment::Stuck("nothing happens".into())]),
        ("claims are true", vec![full.stepped(Some(&no_records))]),
        ("all converge", vec![Moment::Apart("two and two".into())]),
        ("deleted stays deleted", vec![Moment::Breach(&returned)]),
        ("outbox adds up", vec![uneven.stepped(None)]),
        ("conflicts complete", vec![empty.stepped(Some(&met))]),
        ("local goes on", vec![waits]),
        ("no spinning", vec![Moment::Woken { in_vain: 9, in_second: 9 }]),
        ("sessions hold", vec![read(&key, seen(&newer, 3), None), read(&key, seen(&first, 4), Some(&no_records))]),
        ("sessions hold", vec![wrote(seen(&first, 6))]),
        ("sessions hold", vec![wrote(seen(&first, 7))]),
        ("collected is seen", vec![collects(&[], false)]),
        ("collected is seen", vec![collects(&unsaid, false)]),
        ("collected is seen", vec![collects(&[], true)]),
        ("segments follow on", vec![Moment::Left { segments: &[(3, Some(3)), (5, Some(5))] }]),
        ("segments follow on", vec![Moment::Left { segments: &[(3, Some(9))] }]),
    ];
    let mut found = BTreeSet::new();
    for (judge, moments) in &cases {
        let last = moments.len() - 1;
        assert_eq!(caught(moments), Some((*judge, last)), "what {judge} should find");
        found.insert(*judge);
    }

    // Other judges would speak first.
    let mut judge = acknowledged_is_held::AcknowledgedIsHeld::default();
    assert!(judge.see(HOST, &too_early.stepped(Some(&no_records))).unwrap_err().contains("0 others hold it"));
    found.insert(judge.name());
    found.insert(order_never_matters::OrderNeverMatters::default().name());
    let contested = Up::contested();
    let fresh = conflicts_stay::ConflictsStay::default;
    assert!(fresh().see(HOST, &contested.stepped(None)).unwrap_err().contains("are open on a node"));
    let mut judge = fresh();
    for (up, damaged, word) in [
        (&contested, false, None),
        (&contested, false, None),
        (&empty, true, None),
        (&contested, false, None),
        (&empty, false, Some("on record no more")),
    ] {
        let mut opened = up.opened(&nothing, &same);
        if let Moment::Opened { damaged: is, .. } = &mut opened {
            *is = damaged;
        }
        let said = judge.see(HOST, &opened).err();
        assert!(
            said.as_ref().map(|said| word.is_some_and(|word| said.contains(word))) == word.map(|_| true),
            "{said:?}"
        );
    }
    found.insert(judge.name());

    let all: BTreeSet<&str> = Court::new().0.iter().map(|judge| judge.name()).collect();
    assert_eq!(found, all, "a judge that nobody has seen speak");
}

#[test]
fn nobody_speaks_when_nothing_is_wrong() {
    let up = Up::empty();
    let (first, newer) = (operation(1, 1, 10, "a"), operation(1, 2, 11, "b"));
    let witness = Witness::new(1);
    let (nothing, whole) = (State::default(), Verdict::Cut(0));
    let (counted, gone, said) = ([replica(2)], vector(&[first.dot]), [(replica(2), vector(&[newer.dot]))]);
    let (seen_it, lacks_it) = (member(&[newer.dot]), member(&[]));
    let mut report = up.report.clone();
    report.keys = 0;
    let key = first.key.clone();
    let moments = [
        up.opened(&nothing, &whole),
        up.stepped(None),
        up.stepped(Some(&witness)),
        Moment::Issued { lsn: Lsn(1), op: &first },
        Moment::Issued { lsn: Lsn(2), op: &newer },
        Moment::Woken { in_vain: 1, in_second: 1 },
        read(&key, seen(&first, 1), Some(&witness)),
        read(&key, seen(&newer, 2), Some(&witness)),
        // Another client of the node, and one that begins anew.
        Moment::Read { client: 1, key: &key, seen: seen(&first, 1), wrote: None, witness: Some(&witness) },
        Moment::Left { segments: &[(3, Some(3)), (4, None)] },
        Moment::Replaced,
        read(&key, None, Some(&witness)),
        Moment::Collecting { dots: &gone, members: &counted, linked: &said, waits: false, witness: &seen_it },
        // Whoever was not heard of for long, or was given up, need not have seen it.
        Moment::Collecting { dots: &gone, members: &[], linked: &[], waits: false, witness: &lacks_it },
    ];
    assert_eq!(caught(&moments), None);
}

#[test]
fn what_a_start_says_of_the_last_close_is_judged_where_a_frame_can_show_it() {
    let (up, bare, nothing, whole) = (Up::empty(), SimDisk::new(), State::default(), Verdict::Cut(0));
    let word = |clean: bool, was: Option<bool>, disk: &SimDisk| {
        let report = RecoveryReport { clean, ..RecoveryReport::default() };
        let mut moment = up.opened(&nothing, &whole);
        if let Moment::Opened { report: told, closed, grown, disk: directory, .. } = &mut moment {
            (*told, *closed, *grown, *directory) = (&report, was, true, disk);
        }
        answers_are_true::AnswersAreTrue.see(HOST, &moment).err()
    };
    let told = word(false, Some(true), &up.disk).unwrap();
    assert!(told.contains("clean: false") && told.contains("expected clean: true"), "{told}");
    let told = word(true, Some(false), &up.disk).unwrap();
    assert!(told.contains("clean: true") && told.contains("expected clean: false"), "{told}");
    assert_eq!(word(false, Some(true), &bare), None, "no segment shows a frame");
    assert!(word(true, Some(false), &bare).is_some());
    for closed in [None, Some(true)] {
        assert_eq!(word(true, closed, &up.disk), None);
    }
    for closed in [None, Some(false)] {
        assert_eq!(word(false, closed, &up.disk), None);
    }
}

#[test]
fn sequential_numbers_of_the_design_are_all_guarded() {
    let guarded: BTreeSet<u8> = Court::new().0.iter().map(|judge| judge.invariant()).collect();
    // One seed, one trace: no moment of a run shows that (`tests/it/determinism.rs`).
    assert_eq!(guarded.into_iter().collect::<Vec<_>>(), (0..=15).collect::<Vec<u8>>());
}

#[test]
fn the_manual_lists_the_promises_of_the_court() {
    let manual = include_str!("../../../docs/simulation.md");
    for (name, invariant) in Court::new().promises() {
        let number = if invariant == 0 { "–".to_owned() } else { invariant.to_string() };
        let row = format!("| `{}` | {number} |", name.replace(',', "").replace(' ', "_"));
        assert!(manual.contains(&row), "no {row}");
    }
}

#[test]
fn a_judge_from_outside_is_shown_what_the_others_are_shown() {
    struct Never;
    impl Judge for Never {
        fn name(&self) -> &'static str {
            "never"
        }

        fn invariant(&self) -> u8 {
            0
        }

        fn see(&mut self, _: HostId, _: &Moment<'_>) -> Result<(), String> {
            Err("it happened".into())
        }
    }
    let mut court = Court::new();
    assert_eq!(court.see(7, HostId(1), &Moment::SessionsEnd), Ok(()));
    court.add(Box::new(Never));
    let failure = court.see(7, HostId(1), &Moment::SessionsEnd).unwrap_err();
    assert_eq!((failure.judge, failure.at, failure.what.as_str()), ("never", 7, "n1: it happened"));
}

/// Whoever adds a judge and plants a bug for it wants to know that it is awake, also when another one is quicker.
#[test]
fn a_failure_names_the_other_judges_that_saw_the_same_moment_go_wrong() {
    struct Watchful(&'static str);

    impl Judge for Watchful {
        fn name(&self) -> &'static str {
            self.0
        }

        fn invariant(&self) -> u8 {
            0
        }

        fn see(&mut self, _: HostId, moment: &Moment<'_>) -> Result<(), String> {
            if matches!(moment, Moment::Stuck(_)) { Err("it is stuck".into()) } else { Ok(()) }
        }
    }

    let mut court = Court::new();
    ["mine", "yours"].into_iter().for_each(|name| court.add(Box::new(Watchful(name))));
    assert_eq!(court.see(7, HOST, &Moment::Replaced), Ok(()));
    let failure = court.see(7, HOST, &Moment::Stuck("a node".into())).unwrap_err();
    assert_eq!((failure.judge, &failure.also[..]), ("life goes on", &["mine", "yours"][..]));
    assert!(failure.to_string().ends_with("n0: a node; the same step by: mine, yours"), "{failure}");
}
