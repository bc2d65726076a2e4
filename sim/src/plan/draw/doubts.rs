//! What nobody present can tell: a value is deleted by somebody who is then out of reach, and its writer meets another who has
//! forgotten deletions and has never heard of it. Drawn from dice of its own: a seed means the same without it.

use softadastra_core::dice::Seed;

use super::super::{Change, Expect, Fleet, HostId, Item, PlannedWrite, What};
use super::Draw;

/// Numbers of batches from here on are of this story.
const DOUBTS: u32 = 2_000_000;
/// Keys from here on are written by nobody else.
const KEYS: u16 = 60;

/// Who meets whom, and when: first the writer and the one who deletes, then nobody, then the writer and the one who has
/// forgotten, and in the end all.
struct Scene {
    writer: HostId,
    deletes: HostId,
    forgets: HostId,
    begin: u64,
    /// The writer is alone from here on.
    alone: u64,
    /// It meets the one who has forgotten.
    meets: u64,
    end: u64,
}

impl Draw {
    /// The dice of a seed for this.
    pub(super) fn doubts(seed: u64) -> Self {
        Self(Seed::from_number(seed).stream("doubts"))
    }

    /// Ends the plans of some fleets with a value of which nobody present can tell whether it was deleted.
    pub(super) fn doubt(&mut self, fleet: &mut Fleet, items: &mut Vec<Item>) {
        if !self.chance(10) || fleet.rollbacks {
            return;
        }
        let Some((deletes, writer, forgets)) = self.three(fleet) else { return };
        let collecting = |exchange: &mut super::Exchange| {
            (exchange.lease_hours, exchange.collect_ms, exchange.auto_tick) = (1, 1_000, true);
        };
        fleet.seats.iter_mut().for_each(|seat| collecting(&mut seat.knobs.exchange));
        for item in items.iter_mut() {
            if let What::Configure(knobs) = &mut item.what {
                collecting(&mut knobs.exchange);
            }
        }
        let last = items.iter().map(|item| item.at).max().unwrap_or(0);
        let begin = last + self.magnitude(1, 5_000_000);
        let alone = begin + self.magnitude(500_000, 8_000_000);
        let meets = alone + self.magnitude(2_000_000, 10_000_000);
        let end = meets + self.magnitude(4_000_000, 40_000_000);
        let scene = Scene { writer, deletes, forgets, begin, alone, meets, end };
        let hosts: Vec<HostId> = (0..fleet.size() as u8).map(HostId).collect();
        scene.part(&hosts, items);
        self.write_and_delete(&scene, &hosts, items);
    }

    /// One who is linked with two others, in the middle.
    fn three(&mut self, fleet: &Fleet) -> Option<(HostId, HostId, HostId)> {
        let size = fleet.size() as u64;
        if size < 3 {
            return None;
        }
        for _ in 0..8 {
            let [one, middle, other] = [0; 3].map(|_| HostId(self.0.below(size) as u8));
            let linked =
                |a, b| fleet.roads.is_empty() || fleet.roads.contains(&(a, b)) || fleet.roads.contains(&(b, a));
            if one != middle && middle != other && one != other && linked(one, middle) && linked(middle, other) {
                return Some((one, middle, other));
            }
        }
        None
    }

    fn write_and_delete(&mut self, scene: &Scene, hosts: &[HostId], items: &mut Vec<Item>) {
        let mut number = DOUBTS;
        let mut write = |at: u64, host: HostId, keys: std::ops::Range<u16>, change: Change| {
            number += 1;
            let writes = keys.map(|key| PlannedWrite { key: KEYS + key, change, expect: Expect::Any }).collect();
            items.push(Item { at, host, what: What::Write { number, writes } });
        };
        let Scene { writer, deletes, forgets, begin, alone, end, .. } = *scene;
        let keys = self.between(1, 3) as u16;
        let len = self.between(0, 200) as u32;
        write(begin + 1_000, writer, 0..keys, Change::Put(len));
        write(alone + 2_000, deletes, 0..keys, Change::Delete);
        write(alone + 2_000, forgets, keys..keys + 1, Change::Put(len));
        write(alone + 200_000, forgets, keys..keys + 1, Change::Delete);
        write(end + 1_000_000, deletes, keys..keys + 1, Change::Put(len));
        let days = self.between(25, 60) as i64 * 3_600_000;
        items.extend(hosts.iter().map(|host| Item { at: alone + 1_000, host: *host, what: What::Clock(days) }));
        if self.chance(30) {
            let host = self.pick(&[writer, deletes, forgets]);
            let what = if self.chance(50) { self.crash(Self::kill) } else { self.crash(Self::power) };
            items.push(Item { at: end + self.magnitude(1, 500_000), host, what });
        }
    }
}

impl Scene {
    fn part(&self, hosts: &[HostId], items: &mut Vec<Item>) {
        for one in hosts {
            for other in hosts.iter().filter(|other| *other != one) {
                let concerned = |host: HostId| *one == host || *other == host;
                let (from, until) = match (concerned(self.writer), concerned(self.forgets)) {
                    (true, true) => (self.begin, self.meets),
                    (false, true) => (self.begin, self.end),
                    (true, false) => (self.alone, self.end),
                    (false, false) => continue,
                };
                let block = What::Block { to: *other, window: until - from };
                items.push(Item { at: from, host: *one, what: block });
                if one < other {
                    let cut = What::Cut { with: *other, deaf: false, other_deaf: false };
                    items.push(Item { at: from, host: *one, what: cut });
                }
            }
        }
    }
}
