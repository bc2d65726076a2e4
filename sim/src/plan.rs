//! What a run does, written down before it begins: one seed gives one plan, and a plan is run without drawing
//! randomness. Items say *when* they happen, not after how many others, so that one can be taken out without moving
//! the rest.

mod draw;
mod fleet;
mod words;

use std::time::Duration;

use softadastra_core::config::{Config, Durability};
use softadastra_core::error::{Code, Error};
use softadastra_core::wal;

pub use self::fleet::{Air, Climate, Exchange, Fleet, Manners, Policy, Seat};
use crate::disk::{Fault, Loss};

/// Everything that decides a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The seed it was drawn from; also the seed of the nodes' own dice.
    pub seed: u64,
    /// What was asked of the draw: part of what a replay must say.
    pub shape: Shape,
    /// How the nodes are configured until an item says otherwise.
    pub knobs: Knobs,
    /// How fast the disks are.
    pub pace: Pace,
    /// The nodes. The first one's configuration is `knobs`.
    pub fleet: Fleet,
    /// What happens. Each item says when; what troubles bring later stands before what comes earlier.
    pub items: Vec<Item>,
    /// How many operations clients ask for at least, and a tenth as many faults strike: if the items come to fewer, rounds of
    /// [`Plan::more`] follow them.
    pub at_least: u64,
}

/// What a draw is held to; whatever is `None`, the seed decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// How many nodes.
    pub nodes: Option<u8>,
    /// How many operations clients ask for at least, of a machine that is up; a tenth as many faults strike.
    pub operations: Option<u32>,
}

impl Shape {
    /// Whatever the seed says.
    pub const FREE: Self = Self { nodes: None, operations: None };
}

/// Which of a plan's machines an item concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub u8);

/// Keys from this one on are written by one batch only.
pub const ONCE: u16 = 100;

/// Each node has so many clients. The batch of a number is asked for by the client of that number, counted round.
pub const CLIENTS: u8 = 3;

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// When, in microseconds of simulated time.
    pub at: u64,
    /// Where.
    pub host: HostId,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A client sends a batch. `number` is its own: values are made from it.
    Write {
        /// Names the batch within the plan.
        number: u32,
        /// Its writes.
        writes: Vec<PlannedWrite>,
    },
    /// A client looks at a key.
    Read {
        /// Which of the node's clients.
        client: u8,
        /// Which key.
        key: u16,
    },
    /// A snapshot is asked for.
    Snapshot,
    /// A flush is asked for.
    Flush,
    /// A backup is begun: files are pinned and copied piece by piece while the node goes on.
    Backup,
    /// The node is closed cleanly, and opened again `down` microseconds after the close has ended.
    Close {
        /// How long the node stays down, in microseconds.
        down: u64,
    },
    /// The process dies or the power goes, and the node is opened again `down` microseconds later.
    Crash {
        /// What the crash takes.
        crash: Crash,
        /// How many more of the node's effects are carried out before: the crash falls between two of them.
        after: u16,
        /// How long the node stays down, in microseconds.
        down: u64,
    },
    /// A fault waits for its operation, at most for `window` microseconds.
    Fault {
        /// The fault.
        fault: Fault,
        /// How long it waits.
        window: u64,
    },
    /// The disk is full but for `room` bytes, for `window` microseconds.
    Full {
        /// Bytes that still fit.
        room: u64,
        /// For how long.
        window: u64,
    },
    /// The next time the node is down, one bit of one file rots. The place is counted in millionths of the bytes that
    /// the log vouches for, so that it means the same when other items are gone.
    Rot {
        /// Where.
        place: u32,
        /// Which bit of the byte, 0 to 7.
        bit: u8,
    },
    /// The machine and its disk are lost. Another one takes its place, with its name and its key and an empty directory.
    Replace {
        /// How long nobody is there, in microseconds.
        down: u64,
    },
    /// The directory is lost, and the last backup takes its place, if there is one.
    Restore {
        /// How long nobody is there, in microseconds.
        down: u64,
    },
    /// The operator of this node gives up all histories that were lost with their machines (`peers forget`).
    Retire,
    /// The operator of this node gives up another one, which lives.
    GiveUp {
        /// Whom.
        who: HostId,
    },
    /// A client settles a conflict that is on record, if there is one.
    Resolve {
        /// Names the batch within the plan: values are made from it.
        number: u32,
        /// Which conflict, counted round.
        pick: u16,
        /// With so many bytes; 0: with what stands.
        len: u32,
    },
    /// Somebody copies the directory, while the node goes on.
    Copy,
    /// The copy takes the place of the directory: an operator who means well, or a virtual machine that is rolled back.
    CopyBack {
        /// How long nobody is there, in microseconds.
        down: u64,
    },
    /// The wall clock jumps by this many milliseconds.
    Clock(i64),
    /// Every disk operation that begins in the next `window` microseconds takes `extra` microseconds longer.
    Stall {
        /// How much longer.
        extra: u64,
        /// For how long.
        window: u64,
    },
    /// From its next start on the node is configured like this.
    Configure(Knobs),
    /// Nothing comes through from this node to another, for `window` microseconds.
    Block {
        /// To whom.
        to: HostId,
        /// For how long.
        window: u64,
    },
    /// What this node sends to another takes `extra` microseconds longer and is read slowly, for `window` microseconds.
    Slow {
        /// To whom.
        to: HostId,
        /// How much longer.
        extra: u64,
        /// For how long.
        window: u64,
    },
    /// The connections between this node and another break; what is on its way is lost.
    Cut {
        /// With whom.
        with: HostId,
        /// This node hears nothing of it.
        deaf: bool,
        /// The other one hears nothing of it.
        other_deaf: bool,
    },
    /// Whoever dials this node is refused, for `window` microseconds.
    Refuse {
        /// For how long.
        window: u64,
    },
    /// The node stops its transport, for `window` microseconds.
    Offline {
        /// For how long.
        window: u64,
    },
    /// One round of delivery by hand.
    Tick {
        /// Whether to prune as well.
        prune: bool,
    },
}

impl What {
    /// The other machine that it concerns, if it concerns one.
    pub const fn other_mut(&mut self) -> Option<&mut HostId> {
        match self {
            Self::Block { to: other, .. }
            | Self::Slow { to: other, .. }
            | Self::Cut { with: other, .. }
            | Self::GiveUp { who: other } => Some(other),
            Self::Write { .. }
            | Self::Read { .. }
            | Self::Snapshot
            | Self::Flush
            | Self::Backup
            | Self::Close { .. }
            | Self::Crash { .. }
            | Self::Fault { .. }
            | Self::Full { .. }
            | Self::Rot { .. }
            | Self::Retire
            | Self::Resolve { .. }
            | Self::Copy
            | Self::Replace { .. }
            | Self::Restore { .. }
            | Self::CopyBack { .. }
            | Self::Clock(_)
            | Self::Stall { .. }
            | Self::Configure(_)
            | Self::Refuse { .. }
            | Self::Offline { .. }
            | Self::Tick { .. } => None,
        }
    }
}

/// One write of a planned batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedWrite {
    /// Which key.
    pub key: u16,
    /// What happens to it.
    pub change: Change,
    /// On what condition.
    pub expect: Expect,
}

/// What a planned write does to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets a value of its own, this many bytes long.
    Put(u32),
    /// Sets the value it has already (an empty one if it has none); `true`: writes it all the same.
    Repeat(bool),
    /// Deletes it.
    Delete,
}

/// The condition of a planned write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// None.
    Any,
    /// The key is absent.
    Absent,
    /// The key has the version that a read shows at this moment.
    Seen,
    /// The key has a version that it cannot have.
    Never,
}

/// Two kinds of crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process dies. A write in flight may have been carried out in part; with `evict`, memory pressure drops the
    /// clean pages before the next start.
    Kill {
        /// Decides how far writes in flight came.
        salt: u64,
        /// Whether clean pages are dropped.
        evict: bool,
    },
    /// The power goes.
    Power(Loss),
}

/// A node's configuration, in the few numbers that a plan varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knobs {
    /// Microseconds between syncs; 0 syncs before every answer.
    pub sync_every: u64,
    /// Size of the first segment in bytes.
    pub first_segment: u64,
    /// Greatest size of a segment in bytes.
    pub max_segment: u64,
    /// Bytes of log after which a snapshot is wanted.
    pub snapshot_min: u64,
    /// Idle microseconds after which a mark is written.
    pub mark_after: u64,
    /// Bytes of writes that may wait.
    pub max_pending: usize,
    /// Bytes of records that the log gathers while a frame is on its way.
    pub gather: usize,
    /// How it exchanges operations with others.
    pub exchange: Exchange,
}

impl Knobs {
    /// More than ever gathers: what the log takes by default.
    pub const AMPLE: usize = 64 << 20;

    /// Values small enough for rolls and snapshots to happen within a few hundred writes.
    pub const SMALL: Self = Self {
        sync_every: 0,
        first_segment: 64 << 10,
        max_segment: 128 << 10,
        snapshot_min: 96 << 10,
        mark_after: 200_000,
        max_pending: 1 << 20,
        gather: Self::AMPLE,
        exchange: Exchange::DEFAULT,
    };

    /// Whether an answer promises to survive a power loss.
    #[must_use]
    pub const fn syncs_always(&self) -> bool {
        self.sync_every == 0
    }

    /// What the world and its judges have to know of a configuration that somebody else made.
    ///
    /// # Errors
    /// When there is no log: nothing of such a node outlives it.
    pub fn of(config: &Config) -> Result<Self, Error> {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let sync_every = match config.durability {
            Durability::Always => 0,
            Durability::Every(interval) => micros(interval),
            Durability::Memory => {
                let what = "a node without a log is not simulated";
                return Err(Error::new(Code::InvalidArgument, what, "give it another durability"));
            }
        };
        Ok(Self {
            sync_every,
            first_segment: config.log.first_segment,
            max_segment: config.log.max_segment,
            snapshot_min: config.log.snapshot_min,
            mark_after: micros(config.log.mark_after),
            max_pending: config.max_pending_bytes,
            gather: config.log.gather_limit,
            exchange: Exchange::of(&config.sync),
        })
    }

    /// The node's configuration.
    #[must_use]
    pub fn config(&self) -> Config {
        let durability = if self.syncs_always() {
            Durability::Always
        } else {
            Durability::Every(Duration::from_micros(self.sync_every))
        };
        Config {
            durability,
            max_value_len: 256 << 10,
            max_pending_bytes: self.max_pending,
            log: wal::Settings {
                first_segment: self.first_segment,
                max_segment: self.max_segment,
                snapshot_min: self.snapshot_min,
                mark_after: Duration::from_micros(self.mark_after),
                gather_limit: self.gather,
                ..wal::Settings::default()
            },
            sync: self.exchange.settings(),
            ..Config::default()
        }
    }
}

/// How long disk operations take, in microseconds: at least a tenth of these, at most all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Decides the delay of each operation.
    pub salt: u64,
    /// Reads, writes, zeroing.
    pub io: u64,
    /// Syncs of files.
    pub sync: u64,
    /// Syncs of the directory.
    pub dirs: u64,
    /// Everything that concerns names.
    pub names: u64,
    /// From the end of an operation to the machine's learning of it.
    pub report: u64,
}

impl Pace {
    /// A quick disk.
    pub const QUICK: Self = Self { salt: 0, io: 40, sync: 200, dirs: 200, names: 30, report: 20 };
}

#[cfg(test)]
mod tests;
