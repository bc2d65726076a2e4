//! What people do to a fleet by hand, drawn from dice of its own: a seed means the same without it.

use softadastra_core::dice::Seed;

use super::super::{Fleet, HostId, Item, What};
use super::Draw;

/// Numbers of batches from here on are resolutions.
const RESOLUTIONS: u32 = 1_000_000;

impl Draw {
    /// The dice of a seed for what is done by hand.
    pub(super) fn hands(seed: u64) -> Self {
        Self(Seed::from_number(seed).stream("hands"))
    }

    /// Adds what people do to the plan of a fleet; each seed has some of it, or nothing.
    pub(super) fn lend(&mut self, fleet: &mut Fleet, items: &mut Vec<Item>, stretch: u64) {
        let (size, last) = (fleet.size() as u64, items.iter().map(|item| item.at).max().unwrap_or(0));
        if self.chance(40) {
            self.resolve(size, last, items);
        }
        if self.chance(15) {
            self.refuse_skew(fleet, last, items);
        }
        if self.chance(25) {
            self.give_up(size, last, stretch, items);
        }
    }

    fn host(&mut self, size: u64) -> HostId {
        HostId(self.0.below(size) as u8)
    }

    /// Conflicts are settled here and there, and now and then by two at once.
    fn resolve(&mut self, size: u64, last: u64, items: &mut Vec<Item>) {
        let mut number = RESOLUTIONS;
        for _ in 0..self.between(2, 20) {
            let (at, pick) = (self.between(0, last), self.0.below(4) as u16);
            for _ in 0..self.pick(&[1, 1, 2]) {
                number += 1;
                let len = if self.chance(50) { 0 } else { self.magnitude(1, 200) as u32 };
                items.push(Item { at, host: self.host(size), what: What::Resolve { number, pick, len } });
            }
        }
    }

    /// Some refuse whose clock is off; some clocks are off for a while.
    fn refuse_skew(&mut self, fleet: &mut Fleet, last: u64, items: &mut Vec<Item>) {
        for seat in &mut fleet.seats {
            seat.knobs.exchange.refuse_skew = self.chance(70);
        }
        for item in items.iter_mut() {
            if let What::Configure(knobs) = &mut item.what {
                knobs.exchange.refuse_skew = self.chance(50);
            }
        }
        for _ in 0..self.between(0, 4) {
            let host = self.host(fleet.size() as u64);
            let far = self.magnitude(200_000, 3_600_000) as i64;
            let far = if self.chance(50) { far } else { -far };
            let (from, to) = (self.between(0, last), self.between(0, last));
            items.push(Item { at: from.min(to), host, what: What::Clock(far) });
            items.push(Item { at: from.max(to), host, what: What::Clock(-far) });
        }
    }

    /// Somebody is given up by some while he lives, out of reach or not, and comes back.
    fn give_up(&mut self, size: u64, last: u64, stretch: u64, items: &mut Vec<Item>) {
        for _ in 0..self.between(1, 4) {
            let (who, at) = (self.host(size), self.between(0, last));
            let others: Vec<HostId> =
                (0..size).map(|number| HostId(number as u8)).filter(|other| *other != who).collect();
            if self.chance(60) {
                let window = self.magnitude(10_000, 1_000_000) * stretch;
                for other in &others {
                    items.push(Item { at, host: who, what: What::Block { to: *other, window } });
                    items.push(Item { at, host: *other, what: What::Block { to: who, window } });
                    let cut = What::Cut { with: *other, deaf: self.chance(30), other_deaf: self.chance(30) };
                    items.push(Item { at, host: who, what: cut });
                }
            }
            for other in others {
                if self.chance(60) {
                    let at = at + self.magnitude(1, 100_000) * stretch;
                    items.push(Item { at, host: other, what: What::GiveUp { who } });
                }
            }
        }
    }
}
