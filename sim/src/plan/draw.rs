//! Drawing a plan from a seed. The only place where randomness is drawn.

mod doubts;
mod fleet;
mod hands;
mod more;
mod returns;
mod tight;

use softadastra_core::dice::{Dice, Seed};
use softadastra_core::disk::DiskErrorKind;

use super::{
    CLIENTS, Change, Crash, Exchange, Expect, Fleet, HostId, Item, Knobs, Pace, Plan, PlannedWrite, Shape, What,
};
use crate::disk::{Fate, Fault, Harm, Loss, OpKind};

/// How much a plan does.
const WRITES: (u64, u64) = (60, 400);

/// Sorts of item besides writes, with their weight when the seed has them switched on. Switching sorts off (swarm
/// testing, Groce et al. 2012) reaches states that the presence of another sort would hide.
const SORTS: [(Sort, u64); 12] = [
    (Sort::Kill, 12),
    (Sort::Power, 14),
    (Sort::Snapshot, 8),
    (Sort::Close, 6),
    (Sort::IoFault, 24),
    (Sort::Full, 4),
    (Sort::Rot, 4),
    (Sort::Misdirect, 2),
    (Sort::Clock, 8),
    (Sort::Configure, 4),
    (Sort::Flush, 4),
    (Sort::Stall, 6),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Kill,
    Power,
    Snapshot,
    Close,
    IoFault,
    Full,
    Rot,
    Misdirect,
    Clock,
    Configure,
    Flush,
    Stall,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        Self::shaped(seed, Shape::FREE)
    }

    /// The plan of a seed, held to a shape.
    #[must_use]
    pub fn shaped(seed: u64, shape: Shape) -> Self {
        let streams = Seed::from_number(seed);
        let mut fleet = Draw(streams.stream("fleet"));
        let several = fleet.chance(50);
        if shape.nodes.map_or(several, |nodes| nodes > 1) {
            fleet.plan_of_several(seed, shape)
        } else {
            Self::of_one(seed, shape, &streams)
        }
    }

    fn of_one(seed: u64, shape: Shape, streams: &Seed) -> Self {
        let mut setup = Draw(streams.stream("setup"));
        let knobs = setup.knobs();
        let mut pace = setup.pace();
        let keys = setup.pick(&[1, 3, 8, 24]);
        let sizes = setup.pick(&[Sizes::Small, Sizes::Mixed, Sizes::Mixed, Sizes::Large]);
        let sorts: Vec<(Sort, u64)> = SORTS.into_iter().filter(|_| setup.chance(60)).collect();
        let busy = setup.pick(&[20, 50, 80]);
        let mut draw = Draw(streams.stream("items"));
        let mut items = Vec::new();
        let mut at = 0;
        let mut number = 0;
        let writes = draw.between(WRITES.0, WRITES.1);
        for _ in 0..shape.operations.map_or(writes, planned) {
            at += draw.gap(busy);
            number += 1;
            items.push(Item { at, host: HostId(0), what: draw.write(number, keys, sizes) });
            draw.maybe_read(at, HostId(0), keys, &mut items);
            if draw.chance(12) {
                at += draw.gap(busy);
                draw.trouble(HostId(0), &sorts, &mut at, &mut items);
            }
        }
        let mut fleet = Fleet { inherits: setup.chance(6), ..Fleet::alone(knobs) };
        Draw::tight(seed).tighten(&mut pace, &mut fleet, &mut items);
        let knobs = fleet.seats.first().map_or(knobs, |seat| seat.knobs);
        Self { seed, shape, knobs, pace, fleet, items, at_least: shape.operations.map_or(0, u64::from) }
    }
}

#[derive(Clone, Copy)]
enum Sizes {
    Small,
    /// Small, and now and then one that fills a window.
    Rare,
    Mixed,
    Large,
}

struct Draw(Dice);

impl Draw {
    /// From `low` to `high`, both included.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.0.below(high - low + 1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.0.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let index = self.0.below(from.len() as u64) as usize;
        *from.get(index).expect("below the length, and no list here is empty")
    }

    /// A number whose order of magnitude is uniform between those of `low` and `high`.
    fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        let bits = self.between(u64::from(low.max(1).ilog2()), u64::from(high.ilog2()));
        self.between(1 << bits, (2 << bits) - 1).clamp(low, high)
    }

    fn gap(&mut self, busy: u64) -> u64 {
        if self.chance(busy) {
            0
        } else if self.chance(90) {
            self.magnitude(5, 3_000)
        } else {
            self.magnitude(3_000, 1_500_000)
        }
    }

    fn knobs(&mut self) -> Knobs {
        let first_segment = self.pick(&[64 << 10, 64 << 10, 96 << 10, 256 << 10]);
        Knobs {
            sync_every: if self.chance(75) { 0 } else { self.magnitude(1_000, 500_000) },
            first_segment,
            max_segment: first_segment * self.pick(&[1, 1, 2, 4]),
            snapshot_min: self.pick(&[8 << 10, 32 << 10, 128 << 10, 1 << 20]),
            mark_after: self.magnitude(1_000, 1_000_000),
            max_pending: self.pick(&[256 << 10, 256 << 10, 1 << 20, 64 << 20]),
            gather: Knobs::AMPLE,
            exchange: Exchange::DEFAULT,
        }
    }

    fn pace(&mut self) -> Pace {
        let salt = self.0.next_u64();
        let (io, sync) = (self.magnitude(10, 500), self.magnitude(50, 5_000));
        Pace { salt, io, sync, dirs: sync, names: self.magnitude(10, 500), report: self.magnitude(1, 300) }
    }

    fn write(&mut self, number: u32, keys: u64, sizes: Sizes) -> What {
        let count = if self.chance(80) { 1 } else { self.between(2, 6) };
        let writes = (0..count).map(|_| self.one_write(keys, sizes)).collect();
        What::Write { number, writes }
    }

    fn maybe_read(&mut self, at: u64, host: HostId, keys: u64, items: &mut Vec<Item>) {
        if self.chance(35) {
            let at = at + if self.chance(50) { 0 } else { self.magnitude(1, 20_000) };
            let what = What::Read { client: self.0.below(u64::from(CLIENTS)) as u8, key: self.0.below(keys) as u16 };
            items.push(Item { at, host, what });
        }
    }

    fn one_write(&mut self, keys: u64, sizes: Sizes) -> PlannedWrite {
        let len = match sizes {
            Sizes::Rare if self.chance(3) => self.magnitude(2_000, 100_000),
            Sizes::Small | Sizes::Rare => self.between(0, 200),
            Sizes::Mixed if self.chance(90) => self.between(0, 2_000),
            Sizes::Mixed => self.magnitude(2_000, 20_000),
            Sizes::Large => self.magnitude(500, 100_000),
        };
        let change = match self.between(0, 99) {
            0..15 => Change::Delete,
            15..26 => Change::Repeat(self.chance(40)),
            _ => Change::Put(len as u32),
        };
        let expect = match self.between(0, 99) {
            0..84 => Expect::Any,
            84..90 => Expect::Absent,
            90..97 => Expect::Seen,
            _ => Expect::Never,
        };
        PlannedWrite { key: self.0.below(keys) as u16, change, expect }
    }

    fn trouble(&mut self, host: HostId, sorts: &[(Sort, u64)], at: &mut u64, items: &mut Vec<Item>) {
        let total = sorts.iter().map(|(_, weight)| weight).sum();
        let mut roll = self.0.below(total);
        let Some((sort, _)) = sorts.iter().find(|(_, weight)| match roll.checked_sub(*weight) {
            Some(left) => {
                roll = left;
                false
            }
            None => true,
        }) else {
            return;
        };
        let mut add = |at: u64, what: What| items.push(Item { at, host, what });
        match sort {
            Sort::Kill | Sort::Power => {
                let crash = |draw: &mut Self| {
                    if *sort == Sort::Kill { draw.kill() } else { draw.power() }
                };
                let first = self.crash(crash);
                let mut down = down_of(&first);
                add(*at, first);
                // Crash loops: the next crash falls into the recovery from this one.
                while self.chance(30) {
                    *at += down + self.magnitude(1, 4_000);
                    let next = self.crash(crash);
                    down = down_of(&next);
                    add(*at, next);
                }
                *at += if self.chance(80) { down + self.magnitude(100, 20_000) } else { 0 };
            }
            Sort::Close => {
                let down = self.magnitude(1, 100_000);
                add(*at, What::Close { down });
                if self.chance(30) {
                    let what = What::Crash { crash: self.power(), after: 0, down: 0 };
                    add(*at + self.magnitude(1_000, 10_000), what);
                }
                *at += if self.chance(80) { down + self.magnitude(100, 20_000) } else { 0 };
            }
            Sort::Snapshot => {
                add(*at, What::Snapshot);
                if self.chance(30) {
                    add(*at, What::Backup);
                }
                if self.chance(40) {
                    // Somewhere between the draft and the removal of the last old segment.
                    let what = self.crash(Self::power);
                    add(*at + self.magnitude(200, 20_000), what);
                }
            }
            Sort::IoFault => {
                let window = self.magnitude(1_000, 2_000_000);
                add(*at, What::Fault { fault: self.io_fault(), window });
                self.maybe_reopen(*at, window, &mut add);
            }
            Sort::Misdirect => {
                let sectors = self.pick(&[-64, -7, -2, -1, 1, 2, 9, 64]);
                let fault = Fault { on: Some(OpKind::Write), after: 0, what: Harm::Misdirect(sectors) };
                let window = self.magnitude(100, 50_000);
                add(*at, What::Fault { fault, window });
                self.maybe_reopen(*at, window, &mut add);
            }
            Sort::Full => {
                let window = self.magnitude(1_000, 500_000);
                let room = if self.chance(50) { 0 } else { self.magnitude(512, 200_000) };
                add(*at, What::Full { room, window });
            }
            Sort::Rot => {
                let what = What::Rot { place: self.0.below(1_000_000) as u32, bit: self.0.below(8) as u8 };
                add(*at, what);
                let down = self.magnitude(1, 50_000);
                add(*at, if self.chance(50) { What::Close { down } } else { self.crash(Self::kill) });
            }
            Sort::Clock => {
                let far = self.magnitude(1, 100_000_000) as i64;
                add(*at, What::Clock(if self.chance(50) { far } else { -far }));
            }
            Sort::Configure => add(*at, What::Configure(self.knobs())),
            Sort::Flush => add(*at, What::Flush),
            Sort::Stall => {
                let what = What::Stall { extra: self.magnitude(100, 200_000), window: self.magnitude(100, 100_000) };
                add(*at, what);
            }
        }
    }

    fn io_fault(&mut self) -> Fault {
        let on = self.pick(&[
            Some(OpKind::Write),
            Some(OpKind::Write),
            Some(OpKind::Sync),
            Some(OpKind::Sync),
            Some(OpKind::SyncDir),
            Some(OpKind::Read),
            Some(OpKind::Zero),
            Some(OpKind::Create),
            Some(OpKind::Rename),
            Some(OpKind::Remove),
            None,
        ]);
        let kind = self.pick(&[DiskErrorKind::Io, DiskErrorKind::Io, DiskErrorKind::NoSpace]);
        let what = match on {
            Some(OpKind::Sync) => match self.between(0, 3) {
                0 => Harm::Error(kind),
                1 => Harm::DoneButFailed,
                _ => Harm::DropPages(self.fate()),
            },
            Some(OpKind::Write | OpKind::Zero) if self.chance(60) => Harm::Short(self.0.below(101) as u8, kind),
            Some(_) if self.chance(20) => Harm::DoneButFailed,
            Some(_) | None => Harm::Error(kind),
        };
        let after = if self.chance(70) { 0 } else { self.magnitude(1, 12) as u32 };
        Fault { on, after, what }
    }

    /// After a fault most people restart sooner or later.
    fn maybe_reopen(&mut self, at: u64, window: u64, add: &mut impl FnMut(u64, What)) {
        if self.chance(70) {
            let at = at + self.magnitude(1, window * 2);
            let what = match self.between(0, 3) {
                0 => What::Close { down: self.magnitude(1, 10_000) },
                1 => self.crash(Self::power),
                _ => self.crash(Self::kill),
            };
            add(at, what);
        }
    }

    fn crash(&mut self, crash: impl FnOnce(&mut Self) -> Crash) -> What {
        let after = if self.chance(40) { 0 } else { self.0.below(12) as u16 };
        What::Crash { crash: crash(self), after, down: self.magnitude(1, 200_000) }
    }

    fn kill(&mut self) -> Crash {
        Crash::Kill { salt: self.0.next_u64(), evict: self.chance(30) }
    }

    fn power(&mut self) -> Crash {
        let data = self.fate();
        Crash::Power(Loss { data, names: self.fate(), stale: self.chance(30), salt: self.0.next_u64() })
    }

    fn fate(&mut self) -> Fate {
        match self.between(0, 9) {
            0 | 1 => Fate::Lost,
            2 => Fate::Kept,
            _ => Fate::Mixed(self.pick(&[10, 50, 50, 90])),
        }
    }
}

/// So many batches are planned for so many operations: with the reads between them it is a sixth more, for some find no machine that
/// is up.
fn planned(operations: u32) -> u64 {
    u64::from(operations) * 7 / 8
}

const fn down_of(what: &What) -> u64 {
    match what {
        What::Crash { down, .. } | What::Close { down } => *down,
        What::Write { .. }
        | What::Read { .. }
        | What::Snapshot
        | What::Flush
        | What::Backup
        | What::Fault { .. }
        | What::Full { .. }
        | What::Rot { .. }
        | What::Retire
        | What::GiveUp { .. }
        | What::Resolve { .. }
        | What::Copy
        | What::Replace { .. }
        | What::Restore { .. }
        | What::CopyBack { .. }
        | What::Clock(_)
        | What::Stall { .. }
        | What::Configure(_)
        | What::Block { .. }
        | What::Slow { .. }
        | What::Cut { .. }
        | What::Refuse { .. }
        | What::Offline { .. }
        | What::Tick { .. } => 0,
    }
}
