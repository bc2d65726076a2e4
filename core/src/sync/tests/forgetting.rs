//! Random histories of replicas that forget deletions of which others have not heard, and meet on links that break.
//!
//! After each, all links are good for a while: then all must hold the same, and what somebody deleted must be gone, whatever was
//! dropped, owed, passed on or held back meanwhile.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::harness::World;
use crate::dice::{Dice, Seed};
use crate::op::Body;
use crate::sync::{Event, LeaseClock, Met, Policy, Settings};

/// A key, and what is known of it.
struct Key {
    name: String,
    deleted: bool,
    /// It was written again, and either may have won.
    unsure: bool,
}

/// Whether one replica stays away in the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Away {
    Nobody,
    Somebody,
    /// And all others are told that it will not be back.
    GivenUp,
}

#[derive(Clone, Copy)]
struct Shape {
    /// Crashes, snapshots, and syncs that take long.
    crashes: bool,
    gives_up: bool,
    writes_again: bool,
    away: Away,
    /// Few keys, written and deleted everywhere by clocks that are wrong.
    contended: bool,
    /// Somebody speaks an older protocol.
    old: bool,
    policy: Policy,
}

const PLAIN: Shape = Shape {
    crashes: false,
    gives_up: false,
    writes_again: false,
    away: Away::Nobody,
    contended: false,
    old: false,
    policy: Policy::LastWriteWins,
};
const HARD: Shape = Shape { crashes: true, ..PLAIN };
const CONTENDED: Shape = Shape { contended: true, ..HARD };

struct History {
    world: World,
    dice: Dice,
    keys: Vec<Key>,
    shape: Shape,
}

impl History {
    fn new(seed: u64, shape: Shape) -> Self {
        let mut dice = Seed::from_number(seed).stream("forgetting");
        let settings = Settings {
            collect_every: Duration::from_secs(1),
            member_lease: Duration::from_secs(3600),
            lease_clock: LeaseClock::Wall,
            conflict_policy: shape.policy,
            ..Settings::default()
        };
        let mut world = World::new(3 + dice.below(3) as usize, seed, &settings);
        // Names take many messages, so that links break between them.
        world.room = 30 + dice.below(200) as usize;
        if shape.old {
            let old = dice.below(world.replicas.len() as u64) as usize;
            world.old.insert(old, 3 + dice.below(2) as u8);
        }
        world.connect_all();
        Self { world, dice, keys: Vec::new(), shape }
    }

    fn count(&self) -> usize {
        self.world.replicas.len()
    }

    fn one(&mut self) -> usize {
        self.dice.below(self.world.replicas.len() as u64) as usize
    }

    fn deliver(&mut self, most: u64) {
        for _ in 0..self.dice.below(most) {
            self.world.deliver_some();
        }
    }

    /// What a client does is answered when it is durable.
    fn write(&mut self, at: usize, key: &str, value: Option<&str>) {
        let waits = core::mem::replace(&mut self.world.replicas[at].auto_commit, true);
        self.world.write(at, key, value);
        self.world.replicas[at].auto_commit = waits;
    }

    fn give_up(&mut self, at: usize, other: usize) {
        let (now, name) = (self.world.now(at), self.world.replicas[other].identity.replica);
        let replica = &mut self.world.replicas[at];
        // Not before it was heard of.
        drop(replica.engine.forget(now, name, &mut replica.effects));
        self.world.route(at);
    }

    /// Most of it is seen by all, before all are apart.
    fn begin(&mut self) {
        for number in 0..6 + self.dice.below(10) {
            let (at, name) = (self.one(), format!("{:02}", self.dice.below(90)));
            if self.keys.iter().all(|key| key.name != name) {
                self.world.put(at, &name, "1");
                self.keys.push(Key { name, deleted: false, unsure: false });
            }
            if number % 4 == 3 && self.dice.below(3) == 0 {
                let alone = self.one();
                self.world.cut_all(alone);
            }
            self.deliver(20);
        }
        if self.dice.below(2) == 0 {
            self.world.connect_all();
            self.world.settle_for(Duration::from_secs(1));
        }
        for at in 0..self.count() {
            if self.dice.below(5) > 0 {
                self.world.cut_all(at);
            }
        }
    }

    fn step(&mut self, number: u64) {
        let (at, other) = (self.one(), self.one());
        let Shape { crashes, gives_up, writes_again, contended, .. } = self.shape;
        if contended && self.dice.below(4) == 0 {
            return self.contend(at, other, number);
        }
        match self.dice.below(30) {
            0..=3 => {
                let place = self.dice.below(self.keys.len() as u64) as usize;
                let name = self.keys[place].name.clone();
                if self.world.replicas[at].get(&name).is_some() {
                    self.write(at, &name, None);
                    self.keys[place].deleted = true;
                }
            }
            4 => {
                let name = format!("{:02}", self.dice.below(90));
                match self.keys.iter().position(|key| key.name == name) {
                    Some(place) if writes_again => self.keys[place].unsure = true,
                    Some(_) => return,
                    None => self.keys.push(Key { name: name.clone(), deleted: false, unsure: false }),
                }
                self.write(at, &name, Some(&format!("{number}")));
            }
            5..=8 => {
                // Days go by, there.
                self.world.replicas[at].skew_ms += 48 * 3_600_000;
                self.world.advance(Duration::from_millis(1_100));
                self.world.advance(Duration::from_millis(1_100));
            }
            9..=15 => {
                self.world.connect(at, other);
                self.deliver(30);
            }
            16..=18 => self.world.cut(at, other),
            19 => self.world.cut_all(at),
            20 if crashes => self.world.crash(at),
            21 if crashes => self.world.replicas[at].snapshot(),
            22 if crashes => self.world.replicas[at].auto_commit = false,
            23 => self.commit(at),
            24 => {
                let millis = [200, 1_000, 5_000, 31_000][self.dice.below(4) as usize];
                self.world.advance(Duration::from_millis(millis));
            }
            25 if gives_up && at != other => self.give_up(at, other),
            26 => self.world.settle_for(Duration::from_millis(500)),
            // A link breaks while what came over it is on its way to the disk.
            27 | 28 if crashes => {
                self.world.replicas[at].auto_commit = false;
                self.deliver(20);
                self.world.cut(at, other);
                self.deliver(6);
                self.commit(at);
            }
            _ => self.deliver(12),
        }
    }

    /// One of few keys is written or deleted, or a clock goes wrong.
    fn contend(&mut self, at: usize, other: usize, number: u64) {
        let place = self.dice.below(3.min(self.keys.len() as u64)) as usize;
        self.keys[place].unsure = true;
        let (name, value) = (self.keys[place].name.clone(), format!("{number}"));
        match self.dice.below(5) {
            0 | 1 => self.write(at, &name, None),
            2 => self.write(at, &name, Some(&value)),
            // It is on its way to the disk for a while.
            3 => {
                self.world.replicas[at].auto_commit = false;
                self.world.put(at, &name, &value);
                if self.dice.below(2) == 0 {
                    self.world.connect(at, other);
                    self.deliver(30);
                    self.commit(at);
                }
            }
            _ => self.world.replicas[at].skew_ms += (self.dice.below(120) as i64 - 60) * 60_000,
        }
    }

    fn commit(&mut self, at: usize) {
        self.world.replicas[at].auto_commit = true;
        self.world.route(at);
    }

    /// All links, a ring, a star or a chain of those that are there.
    fn links(&mut self, there: &[usize]) -> Vec<(usize, usize)> {
        let kind = self.dice.below(4);
        let mut links = Vec::new();
        for (place, at) in there.iter().copied().enumerate() {
            match kind {
                0 => links.extend(there.iter().take(place).map(|other| (at, *other))),
                1 => links.push((at, there[(place + 1) % there.len()])),
                2 => links.push((at, there[0])),
                _ => links.extend(there.get(place + 1).map(|other| (at, *other))),
            }
        }
        links.retain(|(one, other)| one != other);
        links
    }

    /// # Errors
    /// What is wrong, however long one waits.
    fn heal(&mut self) -> Result<(), String> {
        (0..self.count()).for_each(|at| self.commit(at));
        let away = (self.shape.away != Away::Nobody).then(|| self.one());
        let there: Vec<usize> = (0..self.count()).filter(|at| Some(*at) != away).collect();
        let links = self.links(&there);
        for at in 0..self.count() {
            for other in 0..at {
                if !links.contains(&(at, other)) && !links.contains(&(other, at)) {
                    self.world.cut(at, other);
                }
            }
        }
        if let Some(away) = away.filter(|_| self.shape.away == Away::GivenUp) {
            there.iter().for_each(|at| self.give_up(*at, away));
        }
        let mut wrong = String::new();
        for round in 0..40 {
            for (one, other) in &links {
                self.world.connect(*one, *other);
            }
            self.world.settle_for(Duration::from_secs(if round < 20 { 2 } else { 20 }));
            let before = core::mem::replace(&mut wrong, self.look(&there));
            if wrong.is_empty() && before.is_empty() && round > 0 {
                return Ok(());
            }
        }
        Err(wrong)
    }

    /// Whether pulses found two that claim the same and differ, though that was mended since. Where an older protocol is spoken that
    /// can be: it does not say enough of tombstones.
    fn has_diverged(&self) -> bool {
        let mut events = self.world.replicas.iter().flat_map(|replica| &replica.events);
        events.any(|event| matches!(event, Event::Diverged { .. }))
    }

    fn live(&self, at: usize) -> Vec<(String, Option<String>)> {
        let replica = &self.world.replicas[at];
        let live = replica.store.entries(None).filter(|entry| !entry.is_tombstone());
        let keys = live.map(|entry| String::from_utf8(entry.key().to_vec()).unwrap());
        keys.map(|key| (key.clone(), replica.get(&key))).collect()
    }

    /// Names the first thing that is wrong.
    fn look(&self, there: &[usize]) -> String {
        let (first, away) = (there[0], self.shape.away);
        for at in there.iter().copied() {
            let replica = &self.world.replicas[at];
            // Who is away, and not given up, may have claimed by others what it alone claims.
            if away != Away::Somebody && !replica.engine.is_exact(&replica.store) {
                return format!("{at} is not exact, and owes {:?}", replica.engine.state.owed);
            }
            if replica.engine.outbox_status().size() > 0 {
                return format!("the outbox of {at} holds {:?}", replica.engine.outbox_status());
            }
            if away == Away::Nobody && replica.engine.vector() != self.world.replicas[first].engine.vector() {
                return format!("{first} and {at} claim other things");
            }
            if self.live(at) != self.live(first) {
                return format!("{first} holds {:?}, {at} {:?}", self.live(first), self.live(at));
            }
            // What only the one that is away has heard of is another matter.
            for key in self.keys.iter().filter(|key| !key.unsure && away == Away::Nobody) {
                if replica.get(&key.name).is_some() == key.deleted {
                    return format!("{} is {} at {at}", key.name, if key.deleted { "back" } else { "lost" });
                }
            }
        }
        String::new()
    }
}

fn play(seeds: u64, shape: Shape) {
    for seed in 0..seeds {
        let mut history = History::new(seed, shape);
        history.begin();
        for number in 0..20 + history.dice.below(60) {
            history.step(number);
        }
        if let Err(wrong) = history.heal() {
            panic!("seed {seed}: {wrong}");
        }
        assert!(shape.old || !history.has_diverged(), "seed {seed}: two that claimed the same held different things");
    }
}

#[test]
fn all_come_to_hold_the_same() {
    play(60, PLAIN);
}

#[test]
fn all_come_to_hold_the_same_whoever_crashes() {
    play(120, HARD);
}

#[test]
fn all_come_to_hold_the_same_though_members_are_given_up() {
    play(120, Shape { gives_up: true, ..HARD });
}

#[test]
fn keys_written_again_are_the_same_everywhere() {
    play(60, Shape { writes_again: true, ..HARD });
}

#[test]
fn whoever_stays_away_holds_up_nobody() {
    for away in [Away::Somebody, Away::GivenUp] {
        play(60, Shape { writes_again: true, away, ..HARD });
    }
}

#[test]
fn few_keys_that_all_write_and_delete_are_the_same_everywhere() {
    play(120, CONTENDED);
}

#[test]
fn few_keys_are_the_same_everywhere_though_members_are_given_up() {
    play(60, Shape { gives_up: true, ..CONTENDED });
}

#[test]
fn all_come_to_hold_the_same_though_somebody_speaks_an_older_protocol() {
    play(120, Shape { old: true, ..CONTENDED });
}

#[test]
fn all_come_to_hold_the_same_whatever_becomes_of_conflicts() {
    for policy in [Policy::KeepLocal, Policy::ApplyRemote, Policy::KeepBoth, Policy::Custom(both_in_turn)] {
        play(60, Shape { policy, ..CONTENDED });
    }
}

/// Two values become one, of both; a deletion wins or loses as ever.
fn both_in_turn(met: &Met) -> Option<Body> {
    let (one, other) = (met.local.body.value()?, met.remote.body.value()?);
    let joined = [&one.min(other)[..], one.max(other)].concat();
    Some(Body::Put(joined[..joined.len().min(12)].to_vec().into()))
}
