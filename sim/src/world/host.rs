//! One machine: its disk, its clocks, the node that runs there or not, and what its clients were told.

use std::collections::{BTreeMap, VecDeque};

use softadastra_core::config::Config;
use softadastra_core::disk::{FileId, IoToken};
use softadastra_core::error::Error;
use softadastra_core::ids::{Lsn, NodeId, ReplicaId};
use softadastra_core::node::{Event, Input, Node, Opening, Output, Reply, RequestId};
use softadastra_core::time::Now;
use softadastra_core::transport::identity::NodeKey;
use softadastra_core::wal::format::Record;

use super::backup::Backup;
use super::crash::Doom;
use super::flight::Flight;
use super::hands::Settling;
use super::{Kind, Stage};
use crate::disk::SimDisk;
use crate::judges::{Failure, Moment};
use crate::oracle::{Harshness, Oracle, Told};
use crate::plan::{HostId, Knobs, Seat};
use crate::tally::Mark;

/// One look in so many at the contents of one node among several is at all of them.
const WHOLE_ONE_IN: u32 = 8;

/// The program on a machine.
pub(super) enum Machine {
    Down,
    Opening(Box<Opening>),
    Up(Box<Node>),
}

pub(super) struct Host {
    pub(super) id: HostId,
    pub(super) disk: SimDisk,
    pub(super) machine: Machine,
    /// Another with each start and each end: what belonged to an earlier life does not happen any more.
    pub(super) life: u32,
    pub(super) starts: u32,
    pub(super) knobs: Knobs,
    pub(super) next_knobs: Option<Knobs>,
    /// Settings that say more than `knobs`, which agree with them.
    pub(super) config: Option<Config>,
    pub(super) next_config: Option<Config>,
    pub(super) skew_ms: i64,
    pub(super) drift_ppm: i64,
    /// To whom it wants links.
    pub(super) roads: Vec<HostId>,
    /// Whom it has met, and by which key it knows them.
    pub(super) pins: BTreeMap<NodeId, NodeKey>,
    /// So many times it refuses connections at present, and so many times its transport was stopped.
    pub(super) refusing: u32,
    pub(super) offline: u32,
    steps: u64,
    deadline: Option<u64>,
    /// Outputs carried out.
    outputs: u64,
    /// Datagrams sent.
    pub(super) datagrams: u64,
    wakes: Wakes,
    /// Links that ended since the last start.
    pub(super) broken_links: u64,
    /// Further delay of disk operations, in microseconds.
    pub(super) stall: u64,
    /// Until when an operation may still be late because of it.
    pub(super) late_until: u64,
    /// A collection is on its way into its log, and was judged.
    pub(super) collecting: bool,
    pub(super) flights: BTreeMap<IoToken, Flight>,
    /// Until when each open file is busy with operations asked for earlier.
    pub(super) busy: BTreeMap<FileId, u64>,
    pub(super) oracle: Oracle,
    /// Flushes and snapshots asked for.
    pub(super) chores: BTreeMap<RequestId, &'static str>,
    /// Conflicts that clients are settling.
    pub(super) settling: BTreeMap<RequestId, Settling>,
    pub(super) doom: Option<Doom>,
    pub(super) closing: Option<u64>,
    pub(super) backup: Option<Backup>,
    /// The last backup that was finished and opened.
    pub(super) kept: Option<SimDisk>,
    /// In which life so many lost histories were last given up here.
    pub(super) retired: (u32, usize),
    /// The backup from which the next start founds a new history.
    pub(super) restoring: Option<SimDisk>,
    /// The directory as somebody copied it.
    pub(super) copied: Option<SimDisk>,
    /// Rot that waits for the node to be down: place in millionths, and bit.
    pub(super) rot: Option<(u32, u8)>,
    /// The directory as it was before it rotted.
    pub(super) pristine: Option<SimDisk>,
    pub(super) damage: Damage,
    /// The worst since the node was last up.
    pub(super) harshness: Harshness,
    /// Whether the last thing written was a clean close; `None` when a crash may have taken it.
    pub(super) closed: Option<bool>,
    /// A write went elsewhere in one of its files: what lies behind the end of a log may be anything, so a clean close behind it may
    /// not be told from a torn tail.
    pub(super) strayed: bool,
    /// What was written last may be there in part: else no start has a torn tail to cut.
    pub(super) tearable: bool,
    /// The last record that the last start found.
    pub(super) found: Lsn,
    /// An older version wrote what was in the directory first.
    pub(super) inherited: bool,
    /// No node was ever up on this directory.
    pub(super) fresh: bool,
    /// In the life before, answers were given before their syncs: a power loss may take what clients were shown.
    pub(super) soft: bool,
    /// A fault struck in this life.
    pub(super) struck: bool,
    /// Whoever writes own operations here.
    pub(super) own: Option<ReplicaId>,
    /// Records that were written and are not yet durable.
    pub(super) unpublished: VecDeque<(Lsn, Record)>,
    pub(super) last_refusal: Option<Error>,
    /// Answers by number of batch, for scenarios and probes.
    pub(super) told: BTreeMap<u32, Told>,
    pub(super) close_look: bool,
    /// Something worth a look at contents happened since the judges last had one.
    pub(super) changed: bool,
    /// How often judges had a look at contents.
    looks: u32,
}

/// How often a node woke of itself.
#[derive(Clone, Copy, Debug, Default)]
struct Wakes {
    at: u64,
    outputs: u64,
    in_vain: u32,
    second: u64,
    in_second: u32,
}

/// Injected damage that one copy of the data cannot repair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) any: bool,
    /// A frame was misdirected: the first record that it does not call durable, and the last up to it.
    pub(super) misdirected: Option<(Lsn, Lsn)>,
    /// A later frame that calls all of that durable was written and reported: the loss can be noticed.
    pub(super) followed: bool,
    /// The life in which it happened: only a later start has read all of it.
    pub(super) life: u32,
}

impl Damage {
    /// The very first frame may be gone, and nothing that would tell of it need be there.
    pub(super) fn may_leave_nothing(&self) -> bool {
        !self.followed && self.misdirected.is_some_and(|(lost, _)| lost <= Lsn(1))
    }
}

impl Host {
    pub(super) fn new(id: HostId, seat: Seat, roads: Vec<HostId>) -> Self {
        let Seat { knobs, skew_ms, drift_ppm } = seat;
        Self {
            id,
            disk: SimDisk::new(),
            machine: Machine::Down,
            life: 0,
            starts: 0,
            knobs,
            next_knobs: None,
            config: None,
            next_config: None,
            skew_ms,
            drift_ppm,
            roads,
            pins: BTreeMap::new(),
            refusing: 0,
            offline: 0,
            steps: 0,
            deadline: None,
            outputs: 0,
            datagrams: 0,
            wakes: Wakes::default(),
            broken_links: 0,
            stall: 0,
            late_until: 0,
            collecting: false,
            flights: BTreeMap::new(),
            busy: BTreeMap::new(),
            oracle: Oracle::default(),
            chores: BTreeMap::new(),
            settling: BTreeMap::new(),
            doom: None,
            closing: None,
            backup: None,
            kept: None,
            retired: (0, 0),
            restoring: None,
            copied: None,
            rot: None,
            pristine: None,
            damage: Damage::default(),
            harshness: Harshness::Closed,
            closed: Some(false),
            strayed: false,
            tearable: false,
            found: Lsn::ZERO,
            inherited: false,
            fresh: true,
            soft: false,
            struck: false,
            own: None,
            unpublished: VecDeque::new(),
            last_refusal: None,
            told: BTreeMap::new(),
            close_look: false,
            changed: false,
            looks: 0,
        }
    }

    pub(super) const fn id(&self) -> HostId {
        self.id
    }

    pub(super) const fn life(&self) -> u32 {
        self.life
    }

    pub(super) fn disk_mut(&mut self) -> &mut SimDisk {
        &mut self.disk
    }

    pub(super) fn node(&self) -> Option<&Node> {
        match &self.machine {
            Machine::Up(node) => Some(node),
            Machine::Down | Machine::Opening(_) => None,
        }
    }

    /// How it stands, in a few lines.
    pub(super) fn used(&self) -> u64 {
        self.disk.used()
    }

    /// One bit rots, and nobody has the bytes as they were.
    pub(super) fn flip(&mut self, name: &str, bit: u64) {
        self.disk.rot(name, bit);
        self.damage.any = true;
    }

    pub(super) fn refusal(&self) -> Option<Error> {
        self.last_refusal.clone()
    }

    pub(super) fn told(&self, number: u32) -> Option<Told> {
        self.told.get(&number).copied()
    }

    pub(super) const fn look_closely(&mut self) {
        self.close_look = true;
    }

    pub(super) fn now(&self, stage: &Stage) -> Now {
        stage.read_clocks(self.skew_ms, self.drift_ppm)
    }

    /// When the node wants to wake, as it said when it was last left alone.
    pub(super) const fn timer(&self) -> Option<u64> {
        self.deadline
    }

    pub(super) fn wake(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        let now = self.now(stage);
        let Machine::Up(node) = &mut self.machine else { return Ok(()) };
        node.handle(now, Input::Timeout);
        let next = node.poll_timeout().map(|at| at.0);
        let second = stage.now / 1_000_000;
        let Wakes { at, outputs, .. } = self.wakes;
        let in_vain = at == stage.now && outputs == self.outputs && next.is_some_and(|next| next <= stage.now);
        self.wakes = Wakes {
            at: stage.now,
            outputs: self.outputs,
            in_vain: if in_vain { self.wakes.in_vain + 1 } else { 0 },
            second,
            in_second: if second == self.wakes.second { self.wakes.in_second + 1 } else { 1 },
        };
        let Wakes { in_vain, in_second, .. } = self.wakes;
        stage.see(self.id, &Moment::Woken { in_vain, in_second })
    }

    /// Something happens to this machine.
    pub(super) fn take(&mut self, stage: &mut Stage, kind: Kind) -> Result<(), Failure> {
        match kind {
            Kind::Item(what) => self.perform(stage, *what),
            Kind::Begin(token) => self.begin(stage, token),
            Kind::Settle(token) => self.settle(stage, token),
            Kind::Report(token) => self.report(stage, token),
            Kind::Open => self.open(stage),
            Kind::Doom => match self.doom.take() {
                Some(doom) => self.crash(stage, doom),
                None => Ok(()),
            },
            Kind::Disarm(fault) => {
                self.disk.disarm(fault);
                Ok(())
            }
            Kind::RoomBack => {
                stage.note(self.id, format_args!("there is room on the disk again"));
                self.disk.set_room(None);
                Ok(())
            }
            Kind::StallEnds => {
                self.stall = 0;
                Ok(())
            }
            Kind::CopyNext => self.copy_next(stage),
            Kind::Net(signal) => self.hear(stage, signal),
            Kind::Datagram(from, bytes) => {
                self.overhear(stage, from, bytes);
                Ok(())
            }
            Kind::Unblock(to) => {
                stage.note(self.id, format_args!("the way to n{} is open again", to.0));
                let due = stage.network.unblock(stage.now, self.id, to);
                stage.expect(due);
                Ok(())
            }
            Kind::Quick(to, extra) => {
                let due = stage.network.quick(stage.now, self.id, to, extra);
                stage.expect(due);
                Ok(())
            }
            Kind::LetIn => {
                self.refusing = self.refusing.saturating_sub(1);
                Ok(())
            }
            Kind::Online => {
                self.offline = self.offline.saturating_sub(1);
                self.go_online(stage)
            }
        }
    }

    /// Carries out what the machine wants until it wants nothing, or until the crash that hangs over it falls.
    pub(super) fn pump(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        let pumped = self.pump_dry(stage);
        self.deadline = match &mut self.machine {
            Machine::Up(node) => node.poll_timeout().map(|at| at.0),
            Machine::Down | Machine::Opening(_) => None,
        };
        pumped
    }

    fn pump_dry(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        loop {
            let now = self.now(stage);
            match &mut self.machine {
                Machine::Down => return Ok(()),
                Machine::Opening(opening) => match opening.poll_output(now) {
                    Some(request) => {
                        if self.effect(stage)? {
                            return Ok(());
                        }
                        self.ask_disk(stage, request);
                    }
                    None => {
                        if !self.advance(stage)? {
                            return Ok(());
                        }
                    }
                },
                Machine::Up(node) => match node.poll_output(now) {
                    Some(output) => {
                        self.outputs += 1;
                        if self.effect(stage)? {
                            return Ok(());
                        }
                        self.carry_out(stage, output)?;
                    }
                    None => break,
                },
            }
        }
        self.show(stage)
    }

    /// Shows the judges what a node has come to.
    fn show(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        self.note_what_is_durable(stage)?;
        self.judge_collection(stage)?;
        let changed = std::mem::take(&mut self.changed);
        self.steps += 1;
        if self.steps.is_multiple_of(16) {
            self.weigh(stage)?;
        }
        let Machine::Up(node) = &self.machine else { return Ok(()) };
        // Between several nodes most looks are at what is new; what nobody touched must be as it was, now and then.
        let whole = changed && (stage.witness.is_none() || stage.healed || self.looks.is_multiple_of(WHOLE_ONE_IN));
        self.looks += u32::from(changed);
        let (mut wrong, blind) = (None, stage.rollbacks);
        if changed
            && !blind
            && let Some(ledger) = stage.ledger(self.id)
        {
            let store = node.store();
            wrong = if whole { ledger.compare(store) } else { ledger.compare_fresh(store) }.err();
        }
        let (outbox, now) = (node.outbox(), stage.now);
        let moment = Moment::Stepped {
            node,
            oracle: &self.oracle,
            knobs: &self.knobs,
            changed,
            whole,
            in_flight: self.flights.len(),
            waiting: node.waiting(),
            replica: node.replica(),
            outbox: &outbox,
            witness: stage.witness.as_ref().filter(|_| !stage.rollbacks),
            alone: stage.witness.is_none(),
            broken_links: self.broken_links,
            waited: self.oracle.waiting_since().map(|since| now - since),
            hindered: self.struck || self.disk.is_limited() || self.stall > 0 || now < self.late_until,
            wrong: wrong.as_deref(),
        };
        stage.court.see(now, self.id, &moment)
    }

    fn carry_out(&mut self, stage: &mut Stage, output: Output) -> Result<(), Failure> {
        match output {
            Output::Disk(request) => {
                self.ask_disk(stage, request);
                Ok(())
            }
            Output::Reply { request, result } => self.answered(stage, request, result),
            Output::Published(through) => {
                stage.note(self.id, format_args!("visible up to {through}"));
                self.changed = true;
                self.shown(stage, through)
            }
            Output::Event(event) => self.heard(stage, &event),
            Output::Link { link, act } if stage.witness.is_some() => self.act(stage, link, act),
            Output::Pin { node, key } if stage.witness.is_some() => {
                self.pins.insert(node, key);
                Ok(())
            }
            Output::Link { .. } | Output::Pin { .. } => {
                stage.see(self.id, &Moment::Untrue("a node without a transport asked for a connection".to_owned()))
            }
            Output::Datagram { to, bytes } => self.speak(stage, to, &bytes),
            Output::Closed => self.closed(stage),
        }
    }

    fn answered(&mut self, stage: &mut Stage, request: RequestId, result: Result<Reply, Error>) -> Result<(), Failure> {
        if let Some(chore) = self.chores.remove(&request) {
            stage.note(self.id, format_args!("{chore} answered: {}", outcome(&result)));
            if let Ok(Reply::Flushed(through)) = result {
                self.oracle.durable_through(through);
            }
            return Ok(());
        }
        self.changed = true;
        let synced = self.knobs.syncs_always();
        let written = match &result {
            Ok(Reply::Written(written)) => Ok(written.as_slice()),
            Ok(Reply::Snapshot(_) | Reply::Flushed(_)) => {
                return stage.see(self.id, &Moment::Untrue(format!("{request:?} was answered as another command")));
            }
            Err(error) => Err(error),
        };
        if stage.witness.is_some() {
            return self.answered_among_others(stage, request, written);
        }
        match self.oracle.answered(stage.now, request, written, synced) {
            Ok((number, told)) => {
                stage.note(self.id, format_args!("#{number} {told:?}: {}", outcome(&result)));
                self.told.insert(number, told);
                match told {
                    Told::Done => {
                        stage.tally.done += 1;
                        if let Ok(written) = written {
                            let writes = self.oracle.writes_of(number).to_vec();
                            self.read_own_writes(stage, number, &writes, written)?;
                        }
                    }
                    Told::Failed if is_mismatch(&result) => stage.tally.mark(Mark::Mismatch),
                    Told::Failed | Told::Unknown | Told::Waiting => {}
                }
                Ok(())
            }
            Err(what) => stage.see(self.id, &Moment::Untrue(what)),
        }
    }

    /// What the node calls durable it may offer to others, and say that it has it: own operations are issued, for ever.
    pub(super) fn note_what_is_durable(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        let Some(log) = self.node().and_then(Node::log) else { return Ok(()) };
        let through = log.progress().durable;
        if let Some(ledger) = stage.ledger(self.id) {
            ledger.endure(through);
        }
        while let Some((lsn, record)) = self.unpublished.pop_front() {
            if lsn > through {
                self.unpublished.push_front((lsn, record));
                break;
            }
            if let Record::Own(op) = &record {
                stage.issue(self.id, lsn, op)?;
            }
        }
        Ok(())
    }

    fn heard(&mut self, stage: &mut Stage, event: &Event) -> Result<(), Failure> {
        stage.note(self.id, format_args!("event {event:?}"));
        let mark = match event {
            Event::Degraded(_) => Mark::Poison,
            Event::DiskFull { .. } => Mark::NoRoom,
            Event::DiskRoom => Mark::RoomAgain,
            Event::SnapshotDone(_) => Mark::SnapshotDone,
            Event::SnapshotFailed { .. } => Mark::SnapshotFailed,
            Event::Sync(softadastra_core::sync::Event::Collected { .. }) => Mark::Collected,
            Event::LinkUp { .. }
            | Event::LinkDown { .. }
            | Event::LinkFailed { .. }
            | Event::Distrusted { .. }
            | Event::KeyCloned { .. }
            | Event::Reborn { .. }
            | Event::Sync(_)
                if stage.witness.is_some() =>
            {
                return self.heard_of_others(stage, event);
            }
            Event::NodeFound(_) | Event::NodeChanged(_) | Event::NodeLost { .. } | Event::Discovery(_)
                if stage.air.is_some() =>
            {
                return self.found(stage, event);
            }
            Event::LinkUp { .. }
            | Event::LinkDown { .. }
            | Event::LinkFailed { .. }
            | Event::Distrusted { .. }
            | Event::KeyCloned { .. }
            | Event::Reborn { .. }
            | Event::Sync(_)
            | Event::NodeFound(_)
            | Event::NodeChanged(_)
            | Event::NodeLost { .. }
            | Event::Discovery(_) => {
                return stage.see(self.id, &Moment::Untrue(format!("a node alone told of others: {event:?}")));
            }
        };
        stage.tally.mark(mark);
        match &self.machine {
            Machine::Up(node) => {
                let health = node.status().health;
                let excused = self.struck || self.disk.is_limited();
                stage.see(self.id, &Moment::Health { health: &health, excused })
            }
            Machine::Down | Machine::Opening(_) => Ok(()),
        }
    }
}

fn outcome(result: &Result<Reply, Error>) -> String {
    match result {
        Ok(Reply::Written(written)) => {
            let each: Vec<_> = written.iter().map(|w| format!("{} v{}", w.outcome.as_str(), w.version)).collect();
            each.join(", ")
        }
        Ok(reply) => format!("{reply:?}"),
        Err(error) => format!("{}: {error}", error.code()),
    }
}

fn is_mismatch(result: &Result<Reply, Error>) -> bool {
    result.as_ref().is_err_and(|error| error.code() == softadastra_core::error::Code::VersionMismatch)
}
