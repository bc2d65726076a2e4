//! What a run met: faults by kind, and *marks*, the "sometimes" assertions. A mark that no run hits means that the
//! simulator does not get there, however green it is.

use std::collections::BTreeMap;
use std::fmt;

use crate::paths::{How, RARE};

/// States that a swarm must reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Recovery cut a torn tail.
    TornTailCut,
    /// The log went on in a new segment.
    Roll,
    /// A snapshot was finished.
    SnapshotDone,
    /// A crash left a draft of a snapshot.
    SnapshotInterrupted,
    /// A snapshot was given up and the log went on.
    SnapshotFailed,
    /// A failure stopped the log.
    Poison,
    /// The disk said that it is full.
    DiskFull,
    /// The log refused writes for want of room …
    NoRoom,
    /// … and took them again.
    RoomAgain,
    /// A write whose fate was unknown was there after reopening.
    UnknownKept,
    /// A write whose fate was unknown was gone after reopening.
    UnknownGone,
    /// A mark was written in an idle moment.
    MarkWritten,
    /// A node was opened after a clean close.
    CleanStart,
    /// A crash fell into a recovery.
    CrashInRecovery,
    /// Rotten bytes were refused.
    RotRefused,
    /// A misdirected write was noticed.
    MisdirectRefused,
    /// A conditional write was refused.
    Mismatch,
    /// A write was refused because too many waited.
    Overloaded,
    /// A batch of several writes shared a frame with another.
    GroupCommit,
    /// A node started from a snapshot.
    SnapshotLoaded,
    /// A backup was taken while the node went on, and opened.
    BackupOpened,
    /// A clock was set back.
    ClockSetBack,
    /// A start was hindered by a fault of the disk, and a later one was not.
    StartHindered,
    /// A link stood.
    LinkUp,
    /// A foreign operation was taken in.
    TakenIn,
    /// Two concurrent writes met.
    ConflictMet,
    /// Tombstones were collected.
    Collected,
    /// A node from below another's floor was met with a full exchange.
    FullExchange,
    /// Operations showed as failed after many tries.
    DeliveryFailed,
    /// A node was founded from a backup.
    Restored,
    /// A history found that it had been rolled back, and took another name.
    Reborn,
    /// A client settled a conflict.
    SettledByHand,
    /// A node found another by its datagrams …
    NodeFound,
    /// … and lost one that was silent or said goodbye.
    NodeLost,
}

impl Mark {
    /// Every mark.
    pub const ALL: [Self; 34] = [
        Self::TornTailCut,
        Self::Roll,
        Self::SnapshotDone,
        Self::SnapshotInterrupted,
        Self::SnapshotFailed,
        Self::Poison,
        Self::DiskFull,
        Self::NoRoom,
        Self::RoomAgain,
        Self::UnknownKept,
        Self::UnknownGone,
        Self::MarkWritten,
        Self::CleanStart,
        Self::CrashInRecovery,
        Self::RotRefused,
        Self::MisdirectRefused,
        Self::Mismatch,
        Self::Overloaded,
        Self::GroupCommit,
        Self::SnapshotLoaded,
        Self::BackupOpened,
        Self::ClockSetBack,
        Self::StartHindered,
        Self::LinkUp,
        Self::TakenIn,
        Self::ConflictMet,
        Self::Collected,
        Self::FullExchange,
        Self::DeliveryFailed,
        Self::Restored,
        Self::Reborn,
        Self::SettledByHand,
        Self::NodeFound,
        Self::NodeLost,
    ];
}

/// Counts of one run or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often each mark was hit.
    pub marks: BTreeMap<Mark, u64>,
    /// How often each fault struck.
    pub faults: BTreeMap<String, u64>,
    /// How often each rare path of the engine was taken.
    pub paths: BTreeMap<&'static str, u64>,
    /// Batches that clients asked for.
    pub batches: u64,
    /// Batches that were carried out.
    pub done: u64,
    /// Disk operations begun.
    pub disk_ops: u64,
    /// Bytes that crossed connections.
    pub bytes: u64,
    /// Simulated microseconds.
    pub time: u64,
    /// Reads by clients.
    pub reads: u64,
    /// Steps of the world.
    pub steps: u64,
    /// Of many runs, the fewest operations of clients and the fewest faults that any met; `(0, 0)` for none.
    pub fewest: (u64, u64),
    /// How many runs were added.
    runs: u64,
}

impl Tally {
    /// Hits a mark.
    pub fn mark(&mut self, mark: Mark) {
        *self.marks.entry(mark).or_default() += 1;
    }

    /// Counts a fault that struck.
    pub fn fault(&mut self, kind: impl Into<String>) {
        *self.faults.entry(kind.into()).or_default() += 1;
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        for (mark, count) in &other.marks {
            *self.marks.entry(*mark).or_default() += count;
        }
        for (kind, count) in &other.faults {
            *self.faults.entry(kind.clone()).or_default() += count;
        }
        for (path, count) in &other.paths {
            *self.paths.entry(path).or_default() += count;
        }
        let one = (other.operations(), other.faults.values().sum());
        self.fewest = match self.runs {
            0 => one,
            _ => (self.fewest.0.min(one.0), self.fewest.1.min(one.1)),
        };
        self.runs += 1;
        self.reads += other.reads;
        self.steps += other.steps;
        self.batches += other.batches;
        self.done += other.done;
        self.disk_ops += other.disk_ops;
        self.bytes += other.bytes;
        self.time += other.time;
    }

    /// Whatever clients did.
    #[must_use]
    pub const fn operations(&self) -> u64 {
        self.batches + self.reads
    }

    /// Marks that were never hit.
    #[must_use]
    pub fn missed(&self) -> Vec<Mark> {
        Mark::ALL.into_iter().filter(|mark| !self.marks.contains_key(mark)).collect()
    }

    /// Rare paths that were never taken, though a few dozen seeds should.
    #[must_use]
    pub fn missed_paths(&self) -> Vec<&'static str> {
        let expected = RARE.iter().filter(|(path, how)| *how == How::Often && !self.paths.contains_key(path));
        expected.map(|(path, _)| *path).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.time as f64 / 3.6e9;
        write!(f, "{} batches ({} carried out), {} reads, ", self.batches, self.done, self.reads)?;
        writeln!(f, "{} disk operations, {} steps", self.disk_ops, self.steps)?;
        writeln!(f, "{} KiB between nodes", self.bytes >> 10)?;
        writeln!(f, "{hours:.2} simulated hours")?;
        writeln!(f, "faults:")?;
        for (kind, count) in &self.faults {
            writeln!(f, "  {count:>8}  {kind}")?;
        }
        writeln!(f, "marks:")?;
        for mark in Mark::ALL {
            match self.marks.get(&mark) {
                Some(count) => writeln!(f, "  {count:>8}  {mark:?}")?,
                None => writeln!(f, "   MISSED   {mark:?}")?,
            }
        }
        writeln!(f, "rare paths of the engine:")?;
        for (path, _) in RARE {
            match self.paths.get(path) {
                Some(count) => writeln!(f, "  {count:>8}  {path}")?,
                None => writeln!(f, "   MISSED   {path}")?,
            }
        }
        Ok(())
    }
}
