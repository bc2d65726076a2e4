//! One link's worth of state: what the peer said, how far the walk over the own feed has come, what is under way.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::time::Duration;

use bytes::Bytes;

use super::message::{
    Bye, Hello, Message, Origins, PASSES_OWED_ON, Range, STAMPS_WHAT_IS_BURIED, TELLS_HISTORIES, TELLS_REPEATS,
};
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn, ReplicaId, Seq};
use crate::time::Instant;

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits for the peer's hello.
    Greeting,
    /// Waits for the peer's resume.
    Resuming,
    /// Everything flows.
    Open,
    /// Only a farewell may still go out.
    Closing,
}

/// A full exchange in which this side names its keys.
#[derive(Clone, Debug)]
pub(super) enum FullOut {
    /// Keys up to here are named.
    Naming { after: Option<Bytes> },
    /// The feed is on its way to the first cut.
    Closing,
}

/// A full exchange in which the peer names its keys.
#[derive(Clone, Debug)]
pub(super) enum FullIn {
    /// Keys up to here were named.
    Named { after: Option<Bytes> },
    /// All were named. Once what follows from it is durable, the own feed may flow; the peer's first cut ends the
    /// exchange.
    Closing { durable: bool },
}

/// For so long at most a peer may say that it cannot take in yet what it was sent, before that counts as silence.
const LONGEST_HOLD: Duration = Duration::from_secs(3600);

/// The slowest line on which silence is told from slowness, in bytes a second.
pub(super) const SLOWEST_LINE: u64 = 8 << 10;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) phase: Phase,
    pub(super) them: Option<Hello>,
    /// The vector, the floor and the floor owed that this side said in its hello.
    pub(super) said: VersionVector,
    pub(super) said_floor: VersionVector,
    pub(super) said_owed: VersionVector,
    pub(super) hello_due: bool,
    pub(super) resume_due: bool,
    pub(super) bye: Option<Bye>,
    /// `PeerReady` was said and not yet used up.
    pub(super) announced: bool,
    pub(super) since: Instant,
    /// Sessions are numbered in the order in which their links came.
    pub(super) number: u64,
    /// Bytes of the peer that came in while an answer was waited for; at most a window.
    pub(super) ahead_of_answer: u64,
    /// How far the peer's wall clock is ahead, in milliseconds.
    pub(super) ahead_ms: i64,
    /// That is too far, and was told.
    pub(super) clock_off: bool,
    /// An operation stamped too far ahead was reported.
    pub(super) skew_reported: bool,

    // Sending.
    /// The peer's claims, as last heard in this session.
    pub(super) vector: VersionVector,
    /// What came to `vector` since the member was last reported.
    pub(super) unreported: VersionVector,
    /// What the peer hears at first hand.
    pub(super) direct: BTreeSet<ReplicaId>,
    pub(super) origins_out: Origins,
    /// Everything up to here was sent, skipped or put off.
    pub(super) scout: Lsn,
    /// Everything up to here was sent or skipped.
    pub(super) settled: Lsn,
    /// Of its own operations up to here the peer does not know all, though they had come here before it spoke.
    pub(super) forgotten_by_itself: Seq,
    /// `settled`, as last told.
    pub(super) told: Lsn,
    /// Up to here the peer was sure to hold this very history when it came.
    pub(super) common: Seq,
    /// What cuts of this session have said.
    pub(super) cut: VersionVector,
    pub(super) end_told: bool,
    /// The peer was told the own chain up to here.
    pub(super) chain_told: Seq,
    /// Whose histories are still to be told before keys are named.
    pub(super) histories_due: BTreeSet<ReplicaId>,
    /// Own operations up to here were sent.
    pub(super) sent_seq: Seq,
    pub(super) sent_bytes: u64,
    pub(super) acked_bytes: u64,
    pub(super) acked_lsn: Lsn,
    /// Since when something is unanswered.
    pub(super) waiting: Option<Instant>,
    /// Since when the peer says that it cannot take in what it was sent.
    pub(super) put_on_hold: Option<Instant>,
    /// Something was made durable on one side or the other in this session.
    pub(super) advanced: bool,
    /// Own operations were acknowledged in this session.
    pub(super) progressed: bool,
    pub(super) full_out: Option<FullOut>,

    // Receiving.
    pub(super) origins_in: Origins,
    /// Taken in and durable, or skipped.
    pub(super) taken_lsn: Lsn,
    pub(super) taken_bytes: u64,
    pub(super) received_bytes: u64,
    /// Applications not yet durable.
    pub(super) applying: usize,
    pub(super) full_in: Option<FullIn>,
    /// Keys were compared in it.
    pub(super) full_compared: bool,
    /// What was dropped here by the count of [`super::Engine`] is known to the peer: its own keys told of it, or it was done before they
    /// met.
    pub(super) drops_known: u64,
    /// The store had changed up to here when that began.
    pub(super) full_from: Lsn,
    /// Of these names the peer knows another history, from behind the seq on.
    pub(super) parted: BTreeMap<ReplicaId, Seq>,
    /// What was compared is no longer so.
    pub(super) full_spoiled: bool,
    /// Batches that wait until a full exchange with another peer is done.
    pub(super) held: VecDeque<(Message, u64)>,
    /// The last batch did not reach the end of the peer's feed.
    pub(super) mid_walk: bool,
    pub(super) last_batch: Instant,
    /// It stopped in the middle: others are asked to pass on its operations.
    pub(super) stalled: bool,

    // Telling.
    pub(super) ack_at: Option<Instant>,
    pub(super) acked_told: (Lsn, u64),
    pub(super) claims_told: VersionVector,
    pub(super) direct_due: bool,
    pub(super) direct_told: BTreeSet<ReplicaId>,
    pub(super) members_at: Option<Instant>,
    pub(super) members_told: u64,
    pub(super) ping_at: Instant,
    /// When the last one went out, or the session began.
    pub(super) pinged: Instant,
    pub(super) ping: Option<(u64, Instant)>,
    /// Of the peer's own operations, what was here when that ping went out.
    pub(super) met_at_ping: Seq,
    pub(super) pong_due: Option<u64>,
    /// The last ping of all when it was learnt that the peer is given up: what answers a later one, was said since.
    pub(super) gone_since: u64,
    pub(super) round_trip: Option<Duration>,
    pub(super) ranges_out: VecDeque<Range>,
    pub(super) repairs_out: VecDeque<Repair>,
}

/// Entries of a range that the peer shall be sent.
#[derive(Clone, Debug)]
pub(super) struct Repair {
    pub(super) after: Option<Bytes>,
    pub(super) end: Option<Bytes>,
}

impl Session {
    pub(super) fn new(now: Instant, said: VersionVector, said_floor: VersionVector, ping_at: Instant) -> Self {
        Self {
            phase: Phase::Greeting,
            them: None,
            said,
            said_floor,
            said_owed: VersionVector::EMPTY,
            hello_due: true,
            resume_due: false,
            bye: None,
            announced: false,
            since: now,
            number: 0,
            ahead_of_answer: 0,
            ahead_ms: 0,
            clock_off: false,
            skew_reported: false,
            vector: VersionVector::EMPTY,
            unreported: VersionVector::EMPTY,
            direct: BTreeSet::new(),
            origins_out: Origins::default(),
            scout: Lsn::ZERO,
            settled: Lsn::ZERO,
            forgotten_by_itself: 0,
            told: Lsn::ZERO,
            common: 0,
            cut: VersionVector::EMPTY,
            end_told: false,
            chain_told: 0,
            histories_due: BTreeSet::new(),
            sent_seq: 0,
            sent_bytes: 0,
            acked_bytes: 0,
            acked_lsn: Lsn::ZERO,
            waiting: None,
            put_on_hold: None,
            advanced: false,
            progressed: false,
            full_out: None,
            origins_in: Origins::default(),
            taken_lsn: Lsn::ZERO,
            taken_bytes: 0,
            received_bytes: 0,
            applying: 0,
            full_in: None,
            full_compared: false,
            drops_known: 0,
            full_from: Lsn::ZERO,
            parted: BTreeMap::new(),
            full_spoiled: false,
            held: VecDeque::new(),
            mid_walk: true,
            last_batch: now,
            stalled: false,
            ack_at: None,
            acked_told: (Lsn::ZERO, 0),
            claims_told: VersionVector::EMPTY,
            direct_due: false,
            direct_told: BTreeSet::new(),
            members_at: None,
            members_told: 0,
            ping_at,
            pinged: now,
            ping: None,
            met_at_ping: 0,
            pong_due: None,
            gone_since: 0,
            round_trip: None,
            ranges_out: VecDeque::new(),
            repairs_out: VecDeque::new(),
        }
    }

    /// When the peer is suspect of being gone: it was asked for something, and has had the time to answer, that of what is
    /// on the way in either direction on the slowest line included.
    pub(super) fn suspect_at(&self, ack_timeout: Duration) -> Option<Instant> {
        if planted!("silence_ignored") {
            return None;
        }
        if !self.is_open() {
            return Some(self.since + ack_timeout);
        }
        let asked = self.waiting.into_iter().chain(self.ping.map(|(_, at)| at)).min()?;
        let seconds = (self.in_flight() + self.ahead_of_answer) / SLOWEST_LINE;
        Some(asked + ack_timeout + Duration::from_secs(seconds))
    }

    /// When the next ping is due: early where something has been unanswered for half of the time that an answer may take, for the peer to
    /// say whether it waits for others. Once it was asked, it is asked again only after an answer: the question may have overtaken
    /// what is unanswered.
    pub(super) fn ping_due(&self, ack_timeout: Duration) -> Instant {
        let asked = |since| self.ping.is_some() && since < self.pinged;
        let early = self.waiting.filter(|since| !asked(*since)).map(|since| since.max(self.pinged) + ack_timeout / 2);
        early.map_or(self.ping_at, |early| early.min(self.ping_at))
    }

    /// How far the peer's feed is taken in, and whether something of it waits for others.
    pub(super) fn taken(&self) -> (Lsn, bool) {
        (self.taken_lsn, !self.held.is_empty())
    }

    /// The peer says whether what it was sent waits there for others. That is no silence.
    pub(super) fn note_waits(&mut self, now: Instant, waits: bool) {
        let since = waits.then(|| self.put_on_hold.unwrap_or(now));
        self.put_on_hold = since;
        if since.is_some_and(|since| now < since + LONGEST_HOLD) && self.waiting.is_some() {
            self.waiting = Some(now);
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether the peer is relied on to send its own operations itself.
    pub(super) fn is_relied_on(&self) -> bool {
        self.is_open() && self.full_in.is_none() && !self.stalled
    }

    /// Whether everything it sent has been taken in: what comes next is up to the peer.
    pub(super) fn is_idle(&self) -> bool {
        self.applying == 0 && self.held.is_empty()
    }

    /// Whether all that the peer had when it last said something is durable here, and all that is here up to `last` there.
    pub(super) fn is_quiet(&self, last: Lsn) -> bool {
        let taken = self.is_open() && self.is_idle() && !self.mid_walk;
        taken && self.settled >= last && self.in_flight() == 0
    }

    /// Whether claims are to say which histories they are of.
    pub(super) fn tells_histories(&self) -> bool {
        self.speaks(TELLS_HISTORIES)
    }

    /// Whether operations are to say what they repeat.
    pub(super) fn tells_repeats(&self) -> bool {
        self.speaks(TELLS_REPEATS)
    }

    /// Whether this side names its keys to the peer, which may hold what was deleted: it did not claim, at its hello, what this side said
    /// of its floor.
    pub(super) fn is_named_keys(&self) -> bool {
        let them = self.them.as_ref().map(|them| &them.vector);
        !them.is_some_and(|vector| {
            vector.covers_all(&self.said_floor) && (!self.passes_owed_on() || vector.covers_all(&self.said_owed))
        })
    }

    /// Whether whoever claims `vector` has seen what the peer forgot as deleted, or dropped, before its hello.
    pub(super) fn has_seen_their_floor(&self, vector: &VersionVector) -> bool {
        let Some(them) = &self.them else { return true };
        vector.covers_all(&them.floor) && (!self.passes_owed_on() || vector.covers_all(&them.owed))
    }

    /// Whether the peer takes a dot for deleted that is owed here, or hears so in this session before it is to claim anything.
    pub(super) fn hears_of(&self, owed: Dot) -> bool {
        let told = || {
            self.said_owed.covers(owed)
                || self.them.as_ref().is_some_and(|them| them.floor.covers(owed) || them.owed.covers(owed))
        };
        self.vector.covers(owed) || self.said_floor.covers(owed) || self.passes_owed_on() && told()
    }

    /// Whether it takes a floor that is owed for one like any other.
    pub(super) fn passes_owed_on(&self) -> bool {
        self.speaks(PASSES_OWED_ON)
    }

    /// Whether tombstones that are named are to say when they were stamped.
    pub(super) fn stamps_what_is_buried(&self) -> bool {
        self.speaks(STAMPS_WHAT_IS_BURIED)
    }

    fn speaks(&self, protocol: u8) -> bool {
        self.them.as_ref().is_some_and(|them| them.protocols.1 >= protocol)
    }

    /// Whether the peer claims this very operation, or what superseded it: not another one of that name.
    pub(super) fn claims(&self, dot: Dot) -> bool {
        self.vector.covers(dot) && !self.is_parted(dot)
    }

    /// Whether the peer knows another operation of that name.
    pub(super) fn is_parted(&self, dot: Dot) -> bool {
        self.parted.get(&dot.replica).is_some_and(|shared| dot.seq > *shared)
    }

    /// Whether the peer itself is sure to claim an operation in a moment: one of its own, unless it has forgotten it.
    pub(super) fn will_claim(&self, dot: Dot) -> bool {
        self.replica() == Some(dot.replica) && dot.seq > self.forgotten_by_itself
    }

    /// The peer answers a ping, and claims this. What had come here of its own operations before the ping was durable there,
    /// so it claims them, unless its directory was copied back since. Then it is sent them, and learns of that.
    pub(super) fn remind(&mut self, claims: &VersionVector) {
        let claimed = self.replica().map_or(0, |replica| claims.get(replica));
        if claimed < self.met_at_ping && self.forgotten_by_itself < self.met_at_ping {
            covered!("peer_forgot_its_own_operations");
            self.forgotten_by_itself = self.met_at_ping;
            self.scout = self.settled;
        }
    }

    pub(super) fn replica(&self) -> Option<ReplicaId> {
        self.them.as_ref().map(|them| them.replica)
    }

    /// Bytes of batches sent and not yet acknowledged.
    pub(super) fn in_flight(&self) -> u64 {
        self.sent_bytes - self.acked_bytes
    }

    /// Whether names were sent that the peer must have taken in before it can go on with a full exchange.
    pub(super) fn owes_names(&self) -> bool {
        !matches!(self.full_in, Some(FullIn::Closing { durable: true }))
    }

    /// Whether a message ends the full exchange in which the peer named its keys: with the first cut behind them.
    pub(super) fn ends_full(&self, is_full: bool, cut: &VersionVector) -> bool {
        !is_full && matches!(self.full_in, Some(FullIn::Closing { .. })) && !cut.is_empty()
    }

    /// How many bytes of batches may still go out.
    pub(super) fn credit(&self) -> u64 {
        let window = self.them.as_ref().map_or(0, |them| them.window);
        if planted!("window_ignored") { u64::MAX } else { window.saturating_sub(self.in_flight()) }
    }
}
