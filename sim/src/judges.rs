//! One file per promise. A judge is shown every moment of a run and says when its promise is broken.
//!
//! To add one: a file with a type that implements [`Judge`], its `mod` line here, a line in [`Court::new`], and a way to break
//! the promise in [`crate::planted`], or else nobody knows that the judge is awake. From outside this package:
//! [`crate::world::World::judged_by`].

mod acknowledged_is_held;
mod all_converge;
mod answered_survives;
mod answers_are_true;
mod bounded_queues;
mod claims_are_true;
mod clock_never_back;
mod collected_is_seen;
mod conflicts_complete;
mod conflicts_stay;
mod damage_never_passes;
mod deleted_stays_deleted;
mod failed_never_visible;
mod life_goes_on;
mod local_goes_on;
mod no_dot_twice;
mod no_spinning;
mod order_never_matters;
mod outbox_adds_up;
mod reads_while_degraded;
mod same_log_same_store;
mod segments_follow_on;
mod sessions_hold;

use std::fmt;

use bytes::Bytes;
use softadastra_core::clock::Stamp;
use softadastra_core::context::VersionVector;
use softadastra_core::error::Error;
use softadastra_core::ids::{Dot, Lsn, ReplicaId};
use softadastra_core::node::{Health, Node, RecoveryReport};
use softadastra_core::op::Operation;
use softadastra_core::sync::OutboxStatus;

pub use self::all_converge::NAME as ALL_CONVERGE;
use crate::disk::SimDisk;
use crate::oracle::ledger::Breach;
use crate::oracle::witness::Witness;
use crate::oracle::{Harshness, Oracle, State, Verdict};
use crate::plan::{HostId, Knobs};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which promise: the name of the judge.
    pub judge: &'static str,
    /// Its number in the design's list of invariants; 0 for promises that have none.
    pub invariant: u8,
    /// What happened.
    pub what: String,
    /// When, in microseconds of simulated time.
    pub at: u64,
    /// The other judges that saw the same step go wrong, in the order in which they look.
    pub also: Vec<&'static str>,
}

impl Failure {
    /// The key that it is about, if it says so: keys of plans are `k` and a number.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        let of_a_plan = |word: &&str| {
            word.strip_prefix('k')
                .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        };
        self.what.split(|c: char| !c.is_alphanumeric()).find(of_a_plan)
    }

    /// Another judge says that the same step went wrong.
    pub(crate) fn seconded(&mut self, judge: &'static str) {
        if judge != self.judge && !self.also.contains(&judge) {
            self.also.push(judge);
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (invariant {}) broken at {} us: {}", self.judge, self.invariant, self.at, self.what)?;
        if !self.also.is_empty() {
            write!(f, "; the same step by: {}", self.also.join(", "))?;
        }
        Ok(())
    }
}

/// What a client sees of a key.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The operation that stands.
    pub dot: Dot,
    /// Its stamp.
    pub stamp: Stamp,
    /// The last record that changed anything.
    pub changed: Lsn,
    /// `None`: deleted.
    pub value: Option<&'a [u8]>,
}

impl Seen<'_> {
    fn is(&self, value: Option<&Bytes>) -> bool {
        self.value == value.map(|value| &value[..])
    }
}

/// What judges are shown.
pub enum Moment<'a> {
    /// A node has done everything its last inputs led to.
    Stepped {
        /// The node.
        node: &'a Node,
        /// What its clients were told.
        oracle: &'a Oracle,
        /// How it is configured.
        knobs: &'a Knobs,
        /// Something became visible, was answered or was refused: contents are worth a look.
        changed: bool,
        /// Everything that it shows is worth a look.
        whole: bool,
        /// Disk operations asked for and not yet completed.
        in_flight: usize,
        /// Batches that wait, as the node counts them.
        waiting: usize,
        /// Its history.
        replica: ReplicaId,
        /// Its outbox.
        outbox: &'a OutboxStatus,
        /// What the logs of all nodes say; `None` for a node alone, and where directories are copied back.
        witness: Option<&'a Witness>,
        /// There is no other node.
        alone: bool,
        /// Links that ended since its last start.
        broken_links: u64,
        /// For how long the oldest unanswered batch has waited, in microseconds.
        waited: Option<u64>,
        /// Something hinders the disk, or did lately.
        hindered: bool,
        /// What its content is different in from what its log says.
        wrong: Option<&'a str>,
    },
    /// The log of a node has taken the record of a collection.
    Collecting {
        /// What goes for good: dots merged into tombstones.
        dots: &'a VersionVector,
        /// The members that must have seen all of it: known to this node, not given up, and heard within the lease by its clock.
        members: &'a [ReplicaId],
        /// Whose sessions go on, and what they say themselves that they have.
        linked: &'a [(ReplicaId, VersionVector)],
        /// Whether something was taken from a peer that is not in the log yet.
        waits: bool,
        /// What the logs of all nodes say.
        witness: &'a Witness,
    },
    /// A node was woken at its deadline.
    Woken {
        /// How often in a row nothing came of it and the next deadline had passed as well.
        in_vain: u32,
        /// How often in this second of simulated time.
        in_second: u32,
    },
    /// A client looked at a key.
    Read {
        /// Which client of the node.
        client: u8,
        /// The key.
        key: &'a Bytes,
        /// What stands there, deletions included.
        seen: Option<Seen<'a>>,
        /// The client's own write that was answered at this moment: its value, and where it stands in the log.
        wrote: Option<(Option<Bytes>, Lsn)>,
        /// What the logs of all nodes say; `None` for a node alone.
        witness: Option<&'a Witness>,
    },
    /// The directory of a node is another one now: lost, restored, copied back.
    Replaced,
    /// What clients were shown may be gone now: nobody had promised that it survives.
    SessionsEnd,
    /// One look at all that a node keeps for its peers.
    Weighed {
        /// Bytes sent to a peer and not acknowledged, at most.
        in_flight: u64,
        /// Links of all kinds.
        links: usize,
        /// Nodes in this run.
        nodes: usize,
        /// The greatest window that any node may have.
        window: u64,
        /// Bytes of conflicts on record, and their number.
        conflicts: (usize, usize),
    },
    /// A node gave its system more than it takes.
    Unwritten {
        /// Bytes of one connection that were given and not taken.
        bytes: usize,
        /// How many there may be.
        most: usize,
    },
    /// A record was written that should not be there.
    Breach(&'a Breach),
    /// What was answered, and had come to others before a directory was copied back, is not there in the end.
    Missed(String),
    /// Nodes are not the same.
    Apart(String),
    /// What a running node has left of its log where it died.
    Left {
        /// The segments by their names, by rising number, and the numbers that their headers say.
        segments: &'a [(u64, Option<u64>)],
    },
    /// The node answered a batch with something that is not so.
    Untrue(String),
    /// The node refused a batch at once.
    Refused {
        /// How.
        error: &'a Error,
        /// The node.
        node: &'a Node,
        /// Bytes of the refused batch.
        bytes: usize,
        /// The batch is within the limits of keys and values.
        allowed: bool,
        /// What its clients were told.
        oracle: &'a Oracle,
        /// How it is configured.
        knobs: &'a Knobs,
    },
    /// The health of a node changed.
    Health {
        /// To this.
        health: &'a Health,
        /// An injected fault explains it.
        excused: bool,
    },
    /// An own operation became visible here: it can be offered to others from now on.
    Issued {
        /// Its position in the log.
        lsn: Lsn,
        /// The operation.
        op: &'a Operation,
    },
    /// Records from here on were lost in a way that nothing on disk can tell from a torn tail: nobody is to blame.
    Forgiven(Lsn),
    /// A frame whose checksum holds does not read, or does not follow the one before.
    Nonsense(String),
    /// A node could not be opened.
    NotOpened {
        /// Why.
        error: &'a Error,
        /// Damage was injected that nobody can repair from one copy.
        damaged: bool,
        /// A fault struck, or the disk was full, while it was opening.
        hindered: bool,
    },
    /// A node is up after a crash or a close.
    Opened {
        /// The node.
        node: &'a Node,
        /// Its directory.
        disk: &'a SimDisk,
        /// What it says about its start.
        report: &'a RecoveryReport,
        /// What it shows.
        found: &'a State,
        /// What that means.
        verdict: &'a Verdict,
        /// The worst that happened since it was last up.
        harshness: Harshness,
        /// Whether the last thing written was a clean close; `None` when nobody knows.
        closed: Option<bool>,
        /// The log holds records that it did not hold when it was last opened.
        grown: bool,
        /// Damage was injected while it was down.
        damaged: bool,
        /// What was written last may be there in part.
        tearable: bool,
        /// It is its first start on an empty directory.
        first: bool,
        /// Decides whether costly checks are made.
        salt: u64,
    },
    /// A backup was opened.
    Backup {
        /// What it shows means this; an error when it could not be opened.
        verdict: Result<Verdict, String>,
    },
    /// Nothing happened where something should have.
    Stuck(String),
}

/// Guards one promise.
pub trait Judge {
    /// The promise, in a few words: the name that failures carry.
    fn name(&self) -> &'static str;

    /// Its number in the design's list of invariants; 0 when it has none.
    fn invariant(&self) -> u8;

    /// Looks at one moment of one node.
    ///
    /// # Errors
    /// A sentence that says how the promise was broken.
    fn see(&mut self, host: HostId, moment: &Moment<'_>) -> Result<(), String>;
}

/// All judges of a run.
pub struct Court(Vec<Box<dyn Judge>>);

impl Court {
    /// Every judge, with nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self(vec![
            Box::new(answered_survives::AnsweredSurvives),
            Box::new(failed_never_visible::FailedNeverVisible),
            Box::new(same_log_same_store::SameLogSameStore),
            Box::new(damage_never_passes::DamageNeverPasses),
            Box::new(no_dot_twice::NoDotTwice::default()),
            Box::new(clock_never_back::ClockNeverBack::default()),
            Box::new(reads_while_degraded::ReadsWhileDegraded),
            Box::new(bounded_queues::BoundedQueues),
            Box::new(answers_are_true::AnswersAreTrue),
            Box::new(life_goes_on::LifeGoesOn),
            Box::new(claims_are_true::ClaimsAreTrue::default()),
            Box::new(all_converge::AllConverge),
            Box::new(deleted_stays_deleted::DeletedStaysDeleted),
            Box::new(collected_is_seen::CollectedIsSeen),
            Box::new(outbox_adds_up::OutboxAddsUp),
            Box::new(acknowledged_is_held::AcknowledgedIsHeld::default()),
            Box::new(conflicts_complete::ConflictsComplete::default()),
            Box::new(conflicts_stay::ConflictsStay::default()),
            Box::new(local_goes_on::LocalGoesOn),
            Box::new(no_spinning::NoSpinning),
            Box::new(order_never_matters::OrderNeverMatters::default()),
            Box::new(sessions_hold::SessionsHold::default()),
            Box::new(segments_follow_on::SegmentsFollowOn),
        ])
    }

    /// One more, which is shown everything after the others.
    pub fn add(&mut self, judge: Box<dyn Judge>) {
        self.0.push(judge);
    }

    /// What the judges guard: the name that failures carry, and the number in the design's list of invariants.
    pub fn promises(&self) -> impl Iterator<Item = (&'static str, u8)> {
        self.0.iter().map(|judge| (judge.name(), judge.invariant()))
    }

    /// Shows a moment to every judge.
    ///
    /// # Errors
    /// The first promise found broken; it names the others.
    pub fn see(&mut self, at: u64, host: HostId, moment: &Moment<'_>) -> Result<(), Failure> {
        let mut broken = Ok(());
        for judge in &mut self.0 {
            let Err(what) = judge.see(host, moment) else { continue };
            match &mut broken {
                Ok(()) => {
                    let (judge, invariant) = (judge.name(), judge.invariant());
                    broken =
                        Err(Failure { judge, invariant, what: format!("n{}: {what}", host.0), at, also: Vec::new() });
                }
                Err(first) => first.seconded(judge.name()),
            }
        }
        broken
    }
}

impl Default for Court {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
