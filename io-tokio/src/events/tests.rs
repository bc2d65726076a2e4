use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use softadastra_core::discovery::{Ignored, Loss, NodeState, Notice, Sighting, Target};
use softadastra_core::error::Code;
use softadastra_core::ids::{LogId, Lsn, ReplicaId};
use softadastra_core::node::{Degraded, Ticked};
use softadastra_core::sync::{self, Finding};
use softadastra_core::time::{Instant, WallTime};
use softadastra_core::transport::endpoint::{LinkId, PeerId, PeerState};
use softadastra_core::transport::identity::NodeKey;
use softadastra_core::transport::reason::{CloseReason, Farewell};
use softadastra_core::transport::trust::Distrust;
use tracing_subscriber::layer::SubscriberExt as _;

use super::kinds::{ALL, Kind};
use super::*;
use crate::discovery::{DiscoveryOptions, Trouble, TroubleKind};
use crate::logging::{Lines, Record, Sink};

/// Keeps every line.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Record>>>);

impl Sink for Kept {
    fn take(&self, record: &Record) {
        self.0.lock().unwrap().push(record.clone());
    }

    fn held_back(&self, _lines: u64) {}
}

fn lines_of(act: impl FnOnce()) -> Vec<Record> {
    let kept = Kept::default();
    let log = tracing_subscriber::registry().with(Lines::new(kept.clone()));
    tracing::subscriber::with_default(log, || span(&NodeId::new("till-1").unwrap()).in_scope(act));
    std::mem::take(&mut *kept.0.lock().unwrap())
}

fn report() -> RecoveryReport {
    RecoveryReport {
        log_id: Some(LogId([7; 16])),
        created: false,
        clean: false,
        records: 3,
        snapshot_lsn: Lsn(1),
        torn_bytes: 17,
        doubts: vec!["a segment was cut".into()],
        last_lsn: Lsn(4),
        snapshot_entries: 1,
        segments: 1,
        keys: 3,
        strangers: vec!["diary.txt".into()],
        took: Duration::from_millis(12),
    }
}

fn info() -> NodeInfo {
    NodeInfo {
        node_id: NodeId::new("till-1").unwrap(),
        replica_id: ReplicaId([1; 16]),
        log_id: None,
        display_name: "till-1".into(),
        hostname: "host".into(),
        os: "linux".into(),
        version: "0".into(),
        capabilities: Vec::new(),
        data_dir: Some("/var/lib/softadastra".into()),
        started_at: WallTime(0),
        uptime: Duration::ZERO,
    }
}

fn peer() -> PeerStatus {
    PeerStatus {
        id: PeerId(1),
        node: Some(NodeId::new("shop").unwrap()),
        key: None,
        addresses: Vec::new(),
        state: PeerState::Stale,
        wanted: true,
        held: false,
        up_for: None,
        silent_for: Duration::ZERO,
        round_trip: None,
        last_end: None,
        failures: 1,
        next_dial_in: None,
    }
}

fn sighting() -> Sighting {
    Sighting {
        key: NodeKey([9; 32]),
        node: NodeId::new("shop").unwrap(),
        addresses: Vec::new(),
        capabilities: Vec::new(),
        state: NodeState::Available,
        boot: 1,
        first_heard: Instant(0),
        last_heard: Instant(0),
        clock_ahead: 0,
    }
}

/// Everything that functions of this module, and of its siblings, have to say.
fn say_all() {
    let key = NodeKey([9; 32]);
    let node = NodeId::new("shop").unwrap();
    let error = Error::new(Code::IoError, "the disk is gone", "see to it");
    let io_error = io::Error::other("no descriptors");
    let lost = CloseReason::Lost { error: "connection refused".into() };
    let dir = Path::new("/var/lib/softadastra");
    started(&info(), &report());
    open_failed(dir, &error);
    let degraded = Degraded { what: "a sync failed".into(), doubtful: Some((Lsn(5), Lsn(6))) };
    let rollback = Finding::Rollback { own: 3, told: 5, common: 2 };
    let dead = sync::PeerId(1);
    let from = "192.0.2.7:4445".parse().unwrap();
    let target = Target::Unicast(from);
    for event in [
        Event::Degraded(degraded),
        Event::DiskFull { error: "no space left on device".into() },
        Event::DiskRoom,
        Event::SnapshotDone(SnapshotTaken { at: Lsn(4), bytes: 100 }),
        Event::SnapshotFailed { error: "no space left on device".into() },
        Event::LinkUp { node: node.clone(), key },
        Event::LinkDown { node: node.clone(), key, reason: lost.clone(), cause: None },
        Event::LinkFailed { link: LinkId(1), peer: Some(PeerId(1)), reason: lost },
        Event::LinkFailed { link: LinkId(1), peer: Some(PeerId(1)), reason: CloseReason::Peer(Farewell::WrongSecret) },
        Event::Distrusted { node: node.clone(), key, why: Distrust::Unlisted },
        Event::Distrusted { node: node.clone(), key, why: Distrust::KeyChanged { pinned: NodeKey([8; 32]) } },
        Event::KeyCloned { key },
        Event::Reborn { from: ReplicaId([1; 16]), to: ReplicaId([2; 16]), finding: rollback },
        Event::Sync(sync::Event::Opened { peer: dead, replica: ReplicaId([3; 16]), node: node.clone() }),
        Event::Sync(sync::Event::Conflict { id: 1, key: "price/tea".into() }),
        Event::Sync(sync::Event::ConflictDropped { id: 1, key: "price/tea".into() }),
        Event::Sync(sync::Event::ClockSkew { peer: dead, ahead_ms: 400_000 }),
        Event::Sync(sync::Event::Diverged { peer: dead }),
        Event::Sync(sync::Event::Identity(rollback)),
        Event::Sync(sync::Event::Identity(Finding::Clone(ReplicaId([1; 16])))),
        Event::Sync(sync::Event::Failed { operations: 4, reason: "silent".into() }),
        Event::Sync(sync::Event::Collected { tombstones: 2 }),
        Event::NodeFound(Box::new(sighting())),
        Event::NodeChanged(Box::new(sighting())),
        Event::NodeLost { key, node: node.clone(), why: Loss::Silence },
        Event::Discovery(Notice::Ignored { why: Ignored::OtherVersion, from }),
        Event::Discovery(Notice::ClockSkew { key, node: node.clone(), ahead: Some(9) }),
        Event::Discovery(Notice::ClockSkew { key, node: node.clone(), ahead: None }),
        Event::Discovery(Notice::IdentityClone { key, from }),
        Event::Discovery(Notice::SharedName { node: node.clone(), key, other: NodeKey([8; 32]), others: 1 }),
        Event::Discovery(Notice::TargetFailing { target, error: "no route".into() }),
        Event::Discovery(Notice::TargetWorks { target }),
    ] {
        told(&event, Some(&peer()), false);
    }
    transport_started(&key, &["127.0.0.1:7070".parse().unwrap()]);
    open_to_anybody(&[&"192.0.2.1:7070".parse().unwrap()]);
    transport_failed(&error);
    transport_stopped();
    log_lines_dropped(3);
    few_descriptors(64);
    accept_failed(&io_error);
    accepting_again();
    pinned(&node, &key);
    discovery_started(&key, &DiscoveryOptions::default());
    discovery_failed(&Trouble::new(TroubleKind::PortInUse, "cannot take UDP port 4444"));
    discovery_works();
    not_announced(&error);
    discovery_stopped();
    pins_not_written(&error);
    control_accept_failed(&io_error, true);
    http_started("127.0.0.1:9464".parse().unwrap());
    http_failed("127.0.0.1:9464".parse().unwrap(), &io_error);
    mdns_failed("no interface");
    ticked(&Ticked { retried: 0, pruned: 0, batch: 2, sent: 2, connected: 1 });
    let made = answer::Backup {
        dir: "/backup".into(),
        durable_lsn: 4,
        files: 2,
        copied_files: 1,
        bytes: 100,
        copied_bytes: 10,
        verified: false,
    };
    backed_up(dir, &Ok(made));
    backed_up(dir, &Err(error.into()));
    directory_lost(&crate::disk::Loss {
        error: softadastra_core::disk::DiskError {
            kind: softadastra_core::disk::DiskErrorKind::Io,
            message: "/d is another directory now".into(),
        },
        became: "replaced",
        local: LocalState::Valid,
        next: "stop this node",
    });
    stopped(true);
}

/// Kinds that are told where they happen, not by a function of this module: `tests/it/operations.rs` and the tests of
/// those places see them.
const ELSEWHERE: [&str; 13] = [
    "ready",
    "signal",
    "farewell_cut_short",
    "not_closed_cleanly",
    "log_repaired",
    "repair_finished",
    "disk_error_unheard",
    "close_failed",
    "service_manager_unheard",
    "identity_created",
    "network_book_unusable",
    "mdns_listed",
    "imported",
];

#[test]
fn every_kind_of_event_is_told_with_all_that_it_promises() {
    let lines = lines_of(say_all);
    let mut told = BTreeSet::new();
    for line in &lines {
        let name = line.event.as_deref().unwrap();
        let kind = Kind::find(name).unwrap_or_else(|| panic!("{name} is not among the kinds"));
        for field in kind.fields.iter().chain(&["node", "local_state", "retry"]) {
            assert!(line.field(field).is_some_and(|value| !value.is_null()), "{name} lacks {field}: {line:?}");
        }
        assert_eq!(line.field("node").unwrap(), "till-1");
        assert!(!line.message.is_empty(), "{name}");
        told.insert(kind.name);
    }
    told.extend(ELSEWHERE);
    let all: BTreeSet<_> = ALL.iter().map(|kind| kind.name).collect();
    assert_eq!(told, all);
    assert_eq!(all.len(), ALL.len(), "a name is given once");
}

#[test]
fn what_only_the_moment_tells_of_local_data_is_told() {
    let lines = lines_of(say_all);
    let line = |name: &str| lines.iter().find(|line| line.event.as_deref() == Some(name)).unwrap();
    assert_eq!(line("log_append_failed").field("local_state").unwrap(), "unknown");
    assert_eq!(line("link_up").field("local_state").unwrap(), "valid");
    let tries: Vec<_> = lines.iter().filter(|line| line.event.as_deref() == Some("link_failed")).collect();
    assert_eq!(tries.len(), 2, "two reasons are two lines");
    assert_eq!(tries[0].field("retry").unwrap(), "by_itself");
    assert_eq!(tries[1].field("retry").unwrap(), "after_a_change", "the secret is wrong");
}

#[test]
fn only_kinds_are_named_as_events() {
    fn walk(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut sources = Vec::new();
    walk(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut sources);
    for path in sources.iter().filter(|path| path.extension().is_some_and(|ending| ending == "rs")) {
        let text = std::fs::read_to_string(path).unwrap();
        for name in text.split(concat!("event", " = \"")).skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(Kind::find(name).is_some(), "{}: {name} is not among the kinds", path.display());
        }
    }
}
