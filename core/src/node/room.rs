//! Whether the disk has room, told when it changes: while free space hovers at the limit, what is small fits and what
//! is large does not, and a node that told both in turn would fill its operator's screen.
//!
//! ```text
//!           refused                           written, and nothing refused for a while
//!   ready ----------> no room (told once) -----------------------------------------> ready (told)
//!                       ^  |
//!                       +--+ refused again: the while begins anew
//! ```
//!
//! Writes are tried in either state.

use core::time::Duration;

use super::Node;
use super::status::Health;
use super::types::{Event, Output};
use crate::disk::DiskError;
use crate::ids::Lsn;
use crate::time::{Instant, Now};

/// How long nothing must have been refused before the disk counts as having room again.
pub(super) const QUIET: Duration = Duration::from_secs(30);

/// The latest refusal.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Nothing more must be refused up to here.
    until: Option<Instant>,
    /// The first record that was refused. Its place has gone to another since then, if anything was written.
    from: Lsn,
    written: bool,
}

impl Node {
    /// The log was refused room.
    pub(super) fn note_no_room(&mut self, now: Now, from: Lsn, error: &DiskError) {
        self.room = Room { until: Some(now.mono + QUIET), from, written: false };
        if self.health == Health::Ready {
            self.health = Health::DiskFull;
            self.outputs.push_back(Output::Event(Event::DiskFull { error: error.message.clone() }));
        }
    }

    /// The log has written everything up to `through`.
    pub(super) fn note_written(&mut self, now: Now, through: Lsn) {
        self.room.written |= through >= self.room.from;
        self.settle_room(now);
    }

    /// Says that there is room again, when that is due.
    pub(super) fn settle_room(&mut self, now: Now) {
        if self.room_due().is_some_and(|at| at <= now.mono) {
            self.room = Room::default();
            self.health = Health::Ready;
            self.outputs.push_back(Output::Event(Event::DiskRoom));
        }
    }

    /// When [`Self::settle_room`] wants to be called.
    pub(super) fn room_due(&self) -> Option<Instant> {
        self.room.until.filter(|_| self.room.written && self.health == Health::DiskFull)
    }
}
