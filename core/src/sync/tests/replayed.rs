//! Random histories after which the record of conflicts is compared with what the log alone makes of them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::harness::World;
use super::replica::Replica;
use crate::dice::{Dice, Seed};
use crate::op::Body;
use crate::sync::{Conflict, LeaseClock, Outcome, Policy, Settings};

/// The greater value stands.
const MERGE: Policy = Policy::Custom(|met| met.local.body.value().max(met.remote.body.value()).cloned().map(Body::Put));

struct History {
    world: World,
    dice: Dice,
    /// Snapshots hold a part of what is read after a crash.
    snapshots: bool,
    policies: &'static [Policy],
    /// Who has a log of older software at its next crash.
    older: Vec<bool>,
}

impl History {
    fn new(seed: u64, policies: &'static [Policy], snapshots: bool) -> Self {
        let mut dice = Seed::from_number(seed).stream("replayed");
        let settings = Settings {
            collect_every: Duration::from_secs(1),
            member_lease: Duration::from_secs(3600),
            lease_clock: LeaseClock::Wall,
            conflict_policy: policies[0],
            ..Settings::default()
        };
        let mut world = World::new(2 + dice.below(3) as usize, seed, &settings);
        world.room = 30 + dice.below(200) as usize;
        world.connect_all();
        let older = alloc::vec![false; world.replicas.len()];
        Self { world, dice, snapshots, policies, older }
    }

    fn one(&mut self) -> usize {
        self.dice.below(self.world.replicas.len() as u64) as usize
    }

    fn commit(&mut self, at: usize) {
        self.world.replicas[at].auto_commit = true;
        self.world.route(at);
    }

    fn step(&mut self, number: u64) {
        let (at, other) = (self.one(), self.one());
        let key = format!("{}", self.dice.below(4));
        match self.dice.below(24) {
            0..=3 => self.world.put(at, &key, &format!("{number}")),
            4 | 5 if self.world.replicas[at].get(&key).is_some() => self.world.delete(at, &key),
            6 => {
                // Days go by, there.
                self.world.replicas[at].skew_ms += 48 * 3_600_000;
                self.world.advance(Duration::from_millis(1_100));
                self.world.advance(Duration::from_millis(1_100));
            }
            7..=10 => self.world.connect(at, other),
            11 | 12 => self.world.cut(at, other),
            13 => self.world.cut_all(at),
            14 => self.world.replicas[at].auto_commit = false,
            15 | 16 => self.commit(at),
            17 => self.restart(at),
            18 if self.snapshots => self.snapshot(at),
            19 => self.world.settle_for(Duration::from_millis(500)),
            20 => self.resolve(at),
            _ => {
                for _ in 0..self.dice.below(25) {
                    self.world.deliver_some();
                }
            }
        }
    }

    /// Under another policy, if there are more than one.
    fn restart(&mut self, at: usize) {
        let policy = self.policies[self.dice.below(self.policies.len() as u64) as usize];
        self.world.replicas[at].settings.conflict_policy = policy;
        self.world.crash(at);
    }

    /// Begins one, ends the one that was begun, or does both at once.
    fn snapshot(&mut self, at: usize) {
        let replica = &mut self.world.replicas[at];
        if replica.is_taking_a_snapshot() {
            replica.end_snapshot();
        } else if self.dice.below(2) == 0 {
            replica.begin_snapshot();
        } else {
            replica.snapshot();
        }
    }

    fn resolve(&mut self, at: usize) {
        let now = self.world.now(at);
        let replica = &mut self.world.replicas[at];
        let Some(open) = replica.engine.conflicts().iter().find(|conflict| conflict.outcome == Outcome::Open) else {
            return;
        };
        let resolution = replica.engine.resolution(open.id, None).unwrap();
        let latest = replica.store.latest(&resolution.key).map(|entry| entry.dot());
        if latest == Some(resolution.winner) {
            replica.own(now.wall, &resolution.key, resolution.body, true);
            self.world.route(at);
        }
    }
}

/// What is on record. A write that the log has taken settles conflicts at once; if it is lost, they are as before.
fn record(replica: &Replica, with_outcomes: bool) -> Vec<String> {
    let told = |conflict: &Conflict| {
        let (met, outcome) = (&conflict.met, with_outcomes.then_some(conflict.outcome));
        format!("{} {:?} {} {} {outcome:?}", conflict.id, met.key, met.local.dot, met.remote.dot)
    };
    replica.engine.conflicts().iter().map(told).collect()
}

/// Returns how many conflicts were compared.
fn play(seeds: u64, policies: &'static [Policy], snapshots: bool) -> usize {
    play_on((0..seeds).map(|seed| (seed, History::new(seed, policies, snapshots))))
}

fn play_on(histories: impl Iterator<Item = (u64, History)>) -> usize {
    let mut compared = 0;
    for (seed, mut history) in histories {
        for number in 0..30 + history.dice.below(60) {
            history.step(number);
            let at = history.one();
            if history.dice.below(6) == 0 {
                if history.dice.below(3) > 0 {
                    history.commit(at);
                }
                let older = core::mem::take(&mut history.older[at]);
                let with_outcomes = !older && history.world.replicas[at].pending() == 0;
                let before = record(&history.world.replicas[at], with_outcomes);
                if older {
                    history.world.replicas[at].forget_what_was_met();
                }
                history.restart(at);
                let after = record(&history.world.replicas[at], with_outcomes);
                assert_eq!(after, before, "seed {seed}, step {number}, replica {at}");
                compared += before.len();
            }
        }
    }
    compared
}

#[test]
fn a_restart_changes_nothing_on_record() {
    for snapshots in [false, true] {
        assert!(play(150, &[Policy::LastWriteWins], snapshots) > 150);
    }
}

#[test]
fn a_restart_changes_nothing_on_record_where_both_are_kept() {
    for snapshots in [false, true] {
        assert!(play(150, &[Policy::KeepBoth], snapshots) > 150);
    }
}

#[test]
fn a_restart_changes_nothing_on_record_where_policies_write() {
    for policies in [&[Policy::KeepLocal], &[Policy::ApplyRemote], &[MERGE]] {
        assert!(play(80, policies, true) > 80, "{policies:?}");
    }
}

/// The log says under which policy two versions met.
#[test]
fn a_restart_under_another_policy_changes_nothing_on_record() {
    for snapshots in [false, true] {
        assert!(play(150, &[Policy::KeepBoth, Policy::LastWriteWins], snapshots) > 150);
        let all = &[Policy::LastWriteWins, Policy::KeepBoth, Policy::KeepLocal, Policy::ApplyRemote, MERGE];
        assert!(play(150, all, snapshots) > 150);
    }
}

/// It does not say so: the first run of this software decides, also for all later ones.
#[test]
fn a_log_of_older_software_is_judged_once() {
    let older = |seed| {
        let mut history = History::new(seed, &[Policy::KeepBoth, Policy::LastWriteWins], false);
        history.older.fill(true);
        (seed, history)
    };
    assert!(play_on((0..300).map(older)) > 300);
}
