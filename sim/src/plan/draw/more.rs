//! What is added where a run came to less than it was asked for: its machines were down while their clients were at the door, or
//! it met few faults. Drawn from dice of its own, a round at a time: most runs need none of it.

use softadastra_core::dice::Seed;

use super::super::{HostId, Item, Plan, What};
use super::{Draw, Sizes};

/// Numbers of batches from here on are of these rounds.
const MORE: u32 = 3_000_000;
/// A round has so many batches, and reads between them.
const BATCHES: u32 = 24;
/// Keys that others write, too.
const KEYS: u64 = 8;

impl Plan {
    /// One more round, its times counted from its beginning: clients go on while links break and processes die.
    #[must_use]
    pub fn more(&self, round: u32) -> Vec<Item> {
        let mut draw = Draw(Seed::from_number(self.seed).stream(&format!("more {round}")));
        let size = self.fleet.size() as u64;
        let mut items = Vec::new();
        let mut at = 0;
        for number in 1..=BATCHES {
            at += draw.magnitude(5, 20_000);
            let host = HostId(draw.0.below(size) as u8);
            items.push(Item { at, host, what: draw.write(MORE + round * BATCHES + number, KEYS, Sizes::Small) });
            draw.maybe_read(at, host, KEYS, &mut items);
            if number % 8 == 0 {
                let host = HostId(draw.0.below(size) as u8);
                let what = if size > 1 && draw.chance(60) {
                    let with = HostId(((u64::from(host.0) + 1 + draw.0.below(size - 1)) % size) as u8);
                    What::Cut { with, deaf: draw.chance(30), other_deaf: draw.chance(30) }
                } else {
                    draw.crash(Draw::kill)
                };
                items.push(Item { at, host, what });
            }
        }
        items
    }
}
