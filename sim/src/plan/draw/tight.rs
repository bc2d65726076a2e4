//! What is tight here and there: a log that gathers little, a directory that takes long to sync, leases that outlast a clock. Drawn from dice of its own:
//! the items of a seed are the same without it.

use softadastra_core::dice::Seed;

use super::super::{Fleet, Item, Knobs, Pace, What};
use super::Draw;

impl Draw {
    /// The dice of a seed for this.
    pub(super) fn tight(seed: u64) -> Self {
        Self(Seed::from_number(seed).stream("tight"))
    }

    /// Each seed has some of it, or nothing.
    pub(super) fn tighten(&mut self, pace: &mut Pace, fleet: &mut Fleet, items: &mut [Item]) {
        if self.chance(25) {
            pace.dirs = self.magnitude(1_000, 50_000);
        }
        if self.chance(20) {
            let gather = self.pick(&[512, 4 << 10, 16 << 10]);
            each(fleet, items, |knobs| knobs.gather = gather);
        }
        if self.chance(25) {
            each(fleet, items, |knobs| knobs.exchange.steady_lease = true);
        }
    }
}

/// Changes how every node is configured, at first and later.
fn each(fleet: &mut Fleet, items: &mut [Item], change: impl Fn(&mut Knobs)) {
    fleet.seats.iter_mut().for_each(|seat| change(&mut seat.knobs));
    for item in items {
        if let What::Configure(knobs) = &mut item.what {
            change(knobs);
        }
    }
}
