//! Whose lease has run out: members that need not have seen a deletion before it is forgotten.
//!
//! Wall clocks leap. A member is taken for gone only if the wall clock says so *and* this node was up for long enough without
//! hearing of it, by its monotonic clock: then a leap ages nobody. Whoever is left out wrongly all the same (a clock that was
//! wrong when the node started, and stayed so) is met with a full exchange, and loses nothing.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::members::Member;
use super::{LeaseClock, Settings};
use crate::ids::ReplicaId;
use crate::limits::MAX_MEMBERS;
use crate::time::{Instant, Now, WallTime};

/// A member that was not heard since the start counts for so long: perhaps it was this node that was away.
const GRACE: Duration = Duration::from_secs(24 * 3600);

/// Signs of life in this run.
#[derive(Debug)]
pub(super) struct Leases {
    started: Now,
    heard: BTreeMap<ReplicaId, Instant>,
}

impl Leases {
    pub(super) const fn new(started: Now) -> Self {
        Self { started, heard: BTreeMap::new() }
    }

    /// There was word of a member, from itself or from others.
    pub(super) fn note(&mut self, now: Now, replica: ReplicaId) {
        if self.heard.len() < MAX_MEMBERS || self.heard.contains_key(&replica) {
            self.heard.insert(replica, now.mono);
        }
    }

    /// Whether a member holds back the collection of what it has not seen.
    pub(super) fn holds(&self, now: Now, settings: &Settings, replica: ReplicaId, member: &Member) -> bool {
        if planted!("collected_though_a_member_lacks_it") {
            return false;
        }
        let lease = settings.member_lease;
        let before = |wall: WallTime, time: Duration| member.heard < ago(wall, time);
        match settings.lease_clock {
            LeaseClock::Wall => ago(now.wall, GRACE) < self.started.wall || !before(now.wall, lease),
            LeaseClock::Steady => {
                let up = now.mono.since(self.started.mono);
                let silent = match self.heard.get(&replica) {
                    Some(at) => now.mono.since(*at) >= lease,
                    // As if the wall clock had not leapt since the start.
                    None => up >= GRACE && before(later(self.started.wall, up), lease),
                };
                !silent || !before(now.wall, lease)
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn ago(wall: WallTime, time: Duration) -> WallTime {
    WallTime(wall.0.saturating_sub(millis(time)))
}

fn later(wall: WallTime, time: Duration) -> WallTime {
    WallTime(wall.0.saturating_add(millis(time)))
}
