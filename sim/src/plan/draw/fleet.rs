//! Drawing a plan of several nodes.

use super::super::{
    Air, Climate, Exchange, Fleet, HostId, Item, Knobs, Manners, ONCE, Plan, Policy, Seat, Shape, What,
};
use super::{Draw, SORTS, Sizes, Sort, planned};
use crate::chance;

/// How much a plan does.
const WRITES: (u64, u64) = (30, 250);

/// One run in so many has the real cryptography.
const REAL_ONE_IN: u64 = 64;

/// Sorts of trouble between nodes, with their weight when the seed has them switched on.
const QUARRELS: [(Quarrel, u64); 12] = [
    (Quarrel::Partition, 10),
    (Quarrel::Flapping, 4),
    (Quarrel::Isolation, 6),
    (Quarrel::Slow, 6),
    (Quarrel::Cut, 12),
    (Quarrel::Refuse, 3),
    (Quarrel::Offline, 4),
    (Quarrel::Tick, 4),
    (Quarrel::Absence, 6),
    (Quarrel::Setback, 6),
    (Quarrel::Replace, 3),
    (Quarrel::Restore, 4),
];

/// What operators do who roll a node back, with its weight.
const ROLLBACK: (Quarrel, u64) = (Quarrel::CopyBack, 20);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quarrel {
    Partition,
    Flapping,
    Isolation,
    Slow,
    Cut,
    Refuse,
    Offline,
    Tick,
    /// A member is away for longer than its lease.
    Absence,
    /// A clock goes back, and the node restarts.
    Setback,
    /// A machine is lost, and its name and key go to an empty one.
    Replace,
    /// A directory is lost, and a backup takes its place.
    Restore,
    /// An older copy of a directory takes its place.
    CopyBack,
}

impl Draw {
    /// The plan of a seed that has several nodes.
    pub(super) fn plan_of_several(&mut self, seed: u64, shape: Shape) -> Plan {
        let size = self.pick(&[2, 2, 2, 3, 3, 3, 4, 5]);
        let size = shape.nodes.map_or(size, u64::from);
        let mut fleet = self.fleet(size);
        let mut pace = self.pace();
        let keys = self.pick(&[1, 3, 8, 24]);
        let sizes = self.pick(&[Sizes::Small, Sizes::Small, Sizes::Small, Sizes::Rare, Sizes::Rare, Sizes::Mixed]);
        // Damage that one copy cannot notice takes from a history what others have seen of it: another story.
        let sorts: Vec<(Sort, u64)> =
            SORTS.into_iter().filter(|(sort, _)| self.chance(50) && *sort != Sort::Misdirect).collect();
        let mut quarrels: Vec<(Quarrel, u64)> = QUARRELS.into_iter().filter(|_| self.chance(60)).collect();
        if fleet.rollbacks {
            quarrels.push(ROLLBACK);
        }
        let busy = self.pick(&[10, 40, 70]);
        // From hardly any time between writes to minutes, in which timers matter. Where there are many writes, nodes that
        // greet each other for hours would take all the time that a machine has.
        let stretch = self.pick(if shape.operations.is_some() { &[1, 1, 1, 1, 10] } else { &[1, 10, 100] });
        let mut items = Vec::new();
        let mut at = 0;
        if self.chance(25) {
            // They have all lived a life of their own when they meet.
            let window = self.magnitude(10_000, 500_000) * stretch;
            let host = HostId(self.0.below(size) as u8);
            for other in (0..size).map(|number| HostId(number as u8)).filter(|other| *other != host) {
                items.push(Item { at, host, what: What::Block { to: other, window } });
                items.push(Item { at, host: other, what: What::Block { to: host, window } });
            }
        }
        let writes = self.between(WRITES.0, WRITES.1);
        for number in 1..=shape.operations.map_or(writes, planned) as u32 {
            at += self.gap(busy) * stretch;
            let host = HostId(self.0.below(size) as u8);
            items.push(Item { at, host, what: self.write(number, keys, sizes) });
            let reader = HostId(self.0.below(size) as u8);
            self.maybe_read(at, reader, keys, &mut items);
            if self.chance(6) {
                at += self.gap(busy) * stretch;
                let host = HostId(self.0.below(size) as u8);
                self.trouble(host, &sorts, &mut at, &mut items);
            }
            if self.chance(8) {
                at += self.gap(busy) * stretch;
                self.quarrel(size, stretch, &quarrels, at, &mut items);
            }
        }
        for item in &mut items {
            if let What::Configure(knobs) = &mut item.what {
                knobs.exchange = self.exchange(size);
            }
        }
        Self::hands(seed).lend(&mut fleet, &mut items, stretch);
        Self::doubts(seed).doubt(&mut fleet, &mut items);
        Self::tight(seed).tighten(&mut pace, &mut fleet, &mut items);
        Self::returns(seed).return_to(shape, &mut fleet, &mut items);
        if fleet.rollbacks {
            keep_names_apart(&mut fleet, &mut items);
        }
        let knobs = fleet.seats.first().map_or(Knobs::SMALL, |seat| seat.knobs);
        let at_least = shape.operations.map_or(0, u64::from);
        Plan { seed, shape, knobs, pace, fleet, items, at_least }
    }

    fn fleet(&mut self, size: u64) -> Fleet {
        let agree = self.chance(50);
        let first = self.exchange(size);
        let skewed = self.chance(50);
        let seats = (0..size).map(|_| {
            let exchange = if agree { first } else { self.exchange(size) };
            let far = if skewed { self.magnitude(1, 600_000) as i64 } else { 0 };
            Seat {
                knobs: Knobs { exchange, ..self.knobs() },
                skew_ms: if self.chance(50) { far } else { -far },
                drift_ppm: if skewed { self.between(0, 2_000) as i64 - 1_000 } else { 0 },
            }
        });
        let seats = seats.collect();
        let pairs: Vec<(u64, u64)> = match self.between(0, 2) {
            0 => (0..size).flat_map(|to| (0..to).map(move |from| (from, to))).collect(),
            1 => (1..size).map(|to| (to - 1, to)).collect(),
            _ => (1..size).map(|to| (0, to)).collect(),
        };
        let mut roads = Vec::new();
        for (one, other) in pairs {
            let (one, other) = (HostId(one as u8), HostId(other as u8));
            match self.between(0, 3) {
                0 => roads.push((one, other)),
                1 => roads.push((other, one)),
                // Both dial, and one of the two links has to go.
                _ => roads.extend([(one, other), (other, one)]),
            }
        }
        let salt = self.0.next_u64();
        let climate = Climate {
            salt,
            latency: self.magnitude(50, 100_000),
            per_kib: self.magnitude(1, 2_000),
            buffer: self.magnitude(2_048, 256 << 10) as usize,
            manners: if self.chance(60) { Manners::Hasty } else { Manners::Calm },
            pretends: !chance::mix(salt, 0, 41).is_multiple_of(REAL_ONE_IN),
        };
        let air = self.chance(30).then(|| self.air());
        if air.is_some() && self.chance(70) {
            // They have only what they find.
            roads.clear();
        }
        Fleet { seats, roads, climate, inherits: false, rollbacks: self.chance(20), air }
    }

    fn air(&mut self) -> Air {
        Air {
            lost: self.pick(&[0, 5, 40]),
            doubled: self.pick(&[0, 5, 30]),
            damaged: self.pick(&[0, 0, 10]),
            refused: self.pick(&[0, 0, 20]),
            latency: self.magnitude(50, 500_000),
            interval_ms: self.magnitude(1_000, 30_000),
        }
    }

    fn exchange(&mut self, size: u64) -> Exchange {
        let hasty = self.chance(60);
        Exchange {
            required_acks: 1 + self.0.below((size - 1).min(2)) as u8,
            window: self.pick(&[4 << 10, 16 << 10, 64 << 10, 1 << 20]),
            ack_timeout_ms: if hasty { self.magnitude(500, 5_000) } else { 15_000 },
            max_retries: self.between(1, 8) as u32,
            backoff_ms: self.magnitude(10, 500),
            ping_ms: if hasty { self.magnitude(500, 4_000) } else { 10_000 },
            collect_ms: self.pick(&[1_000, 1_000, 5_000, 60_000]),
            lease_hours: self.pick(&[1, 720]),
            steady_lease: false,
            policy: self.pick(&[
                Policy::Last,
                Policy::Last,
                Policy::Last,
                Policy::Local,
                Policy::Remote,
                Policy::Both,
                Policy::Longer,
            ]),
            auto_tick: self.chance(90),
            refuse_skew: false,
        }
    }

    fn quarrel(&mut self, size: u64, stretch: u64, sorts: &[(Quarrel, u64)], at: u64, items: &mut Vec<Item>) {
        let total: u64 = sorts.iter().map(|(_, weight)| weight).sum();
        let mut roll = self.0.below(total);
        let mut sort = None;
        for (candidate, weight) in sorts {
            match roll.checked_sub(*weight) {
                Some(left) => roll = left,
                None => {
                    sort = Some(*candidate);
                    break;
                }
            }
        }
        let host = HostId(self.0.below(size) as u8);
        let other = HostId(((u64::from(host.0) + 1 + self.0.below(size - 1)) % size) as u8);
        let window = self.magnitude(1_000, 500_000) * stretch;
        let mut add = |at: u64, host: HostId, what: What| items.push(Item { at, host, what });
        match sort {
            None => {}
            Some(Quarrel::Partition) => {
                add(at, host, What::Block { to: other, window });
                if self.chance(60) {
                    add(at, other, What::Block { to: host, window });
                }
                if self.chance(50) {
                    add(at, host, What::Cut { with: other, deaf: self.chance(30), other_deaf: self.chance(30) });
                }
            }
            Some(Quarrel::Flapping) => {
                let mut at = at;
                for _ in 0..self.between(2, 8) {
                    let window = self.magnitude(500, 50_000) * stretch;
                    add(at, host, What::Block { to: other, window });
                    add(at, other, What::Block { to: host, window });
                    add(at, host, What::Cut { with: other, deaf: false, other_deaf: false });
                    at += window + self.magnitude(500, 50_000) * stretch;
                }
            }
            Some(Quarrel::Isolation) => {
                for other in (0..size).map(|number| HostId(number as u8)).filter(|other| *other != host) {
                    add(at, host, What::Block { to: other, window });
                    add(at, other, What::Block { to: host, window });
                    add(at, host, What::Cut { with: other, deaf: self.chance(50), other_deaf: self.chance(50) });
                }
            }
            Some(Quarrel::Slow) => {
                let extra = self.magnitude(1_000, 500_000);
                add(at, host, What::Slow { to: other, extra, window });
            }
            Some(Quarrel::Cut) => {
                add(at, host, What::Cut { with: other, deaf: self.chance(30), other_deaf: self.chance(30) });
            }
            Some(Quarrel::Refuse) => add(at, host, What::Refuse { window }),
            Some(Quarrel::Offline) => add(at, host, What::Offline { window }),
            Some(Quarrel::Absence) => {
                for other in (0..size).map(|number| HostId(number as u8)).filter(|other| *other != host) {
                    add(at, host, What::Block { to: other, window });
                    add(at, other, What::Block { to: host, window });
                    add(at, host, What::Cut { with: other, deaf: false, other_deaf: false });
                }
                let days = self.between(25, 60) as i64 * 3_600_000;
                let later = at + self.between(0, window);
                (0..size).for_each(|number| add(later, HostId(number as u8), What::Clock(days)));
            }
            Some(Quarrel::Setback) => {
                add(at, host, What::Clock(-(self.magnitude(100, 600_000) as i64)));
                let crash = self.crash(Self::kill);
                add(at + 1, host, crash);
            }
            Some(Quarrel::Replace) => {
                add(at, host, What::Replace { down: self.magnitude(1, 200_000) });
                // Sooner or later, here and there, somebody gives up what was lost.
                for number in 0..size {
                    if self.chance(40) {
                        add(at + self.between(0, window * 2), HostId(number as u8), What::Retire);
                    }
                }
            }
            Some(Quarrel::Restore) => {
                add(at, host, What::Backup);
                add(
                    at + 20_000 + self.magnitude(1, window * 2),
                    host,
                    What::Restore { down: self.magnitude(1, 200_000) },
                );
            }
            Some(Quarrel::CopyBack) => {
                add(at, host, What::Copy);
                // Long enough for others to hear of something that the copy lacks.
                let later = at + window * 8 + self.magnitude(1_000, 1_000_000) * stretch;
                if self.chance(40) {
                    // What it writes next, it writes without having heard of what was lost.
                    for other in (0..size).map(|number| HostId(number as u8)).filter(|other| *other != host) {
                        add(later, host, What::Block { to: other, window });
                        add(later, other, What::Block { to: host, window });
                    }
                }
                add(later, host, What::CopyBack { down: self.magnitude(1, 200_000) });
            }
            Some(Quarrel::Tick) => add(at, host, What::Tick { prune: self.chance(50) }),
        }
    }
}

/// Where directories are copied back, the end is judged by keys that are written once, and by answers that survive.
fn keep_names_apart(fleet: &mut Fleet, items: &mut [Item]) {
    fleet.seats.iter_mut().for_each(|seat| seat.knobs.sync_every = 0);
    for item in items {
        match &mut item.what {
            What::Configure(knobs) => knobs.sync_every = 0,
            What::Write { number, writes } if *number % 4 != 0 => {
                for (write, place) in writes.iter_mut().zip(0..) {
                    write.key = ONCE + *number as u16 * 8 + place;
                }
            }
            _ => {}
        }
    }
}
