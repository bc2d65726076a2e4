//! Full exchanges that get in each other's way: a member that was away for long meets several at once who have not seen each other's deletions, or
//! have forgotten them, on links that are slow and break. Drawn from dice of its own: a seed means the same without it, up to there.

use std::ops::Range;

use softadastra_core::dice::Seed;

use super::super::{Change, Exchange, Expect, Fleet, HostId, Item, PlannedWrite, Shape, What};
use super::Draw;

/// Numbers of batches from here on are of this story.
const RETURNS: u32 = 4_000_000;
/// Keys of the story: what all have seen, what came when one was away already, and what is written while all are apart.
const SEEN_BY_ALL: Range<u16> = 80..84;
const UNSEEN: Range<u16> = 84..88;
const LATE: Range<u16> = 88..90;
/// What makes an exchange long: large values; or more names than fit into a window, all of which come before those of the other keys.
const LARGE: Range<u16> = 64..76;
const NAMES: Range<u16> = 10_000..10_630;
/// The same, all of which come behind those of the other keys.
const MORE_NAMES: Range<u16> = 9_000..9_270;
/// So many names are written at once.
const AT_ONCE: u16 = 90;

/// What makes the exchanges get in each other's way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Somebody has not heard of the deletions.
    Turns,
    /// Somebody else has forgotten others.
    Spoiled,
    /// The link breaks in the middle.
    Again,
    /// The one that is back has forgotten something, too, and names what it has.
    Names,
    /// One exchange breaks off, and another follows from it.
    HandedOn,
    /// Nobody has heard of anybody's deletions; they meet two by two, and break off.
    InTurn,
}

/// What is drawn of the story before it is told.
struct Scene {
    kind: Kind,
    hosts: Vec<HostId>,
    /// Who is away first, and meets others.
    away: HostId,
    /// Who deletes most, and forgets it.
    forgets: HostId,
    /// Whom the one that was away meets besides.
    second: HostId,
    /// The first is away from here on.
    gone: u64,
    /// All others are linked until here, and write.
    alone: u64,
    /// The one is back.
    meets: u64,
    end: u64,
    /// How much longer everything takes that comes from `forgets`.
    slow: u64,
    number: u32,
}

impl Scene {
    fn others(&self) -> Vec<HostId> {
        self.hosts.iter().copied().filter(|host| *host != self.away).collect()
    }

    fn write(&mut self, items: &mut Vec<Item>, at: u64, host: HostId, keys: Range<u16>, change: Change) {
        self.number += 1;
        let writes = keys.map(|key| PlannedWrite { key, change, expect: Expect::Any }).collect();
        items.push(Item { at, host, what: What::Write { number: self.number, writes } });
    }

    /// From the moment at which all meet, everything from one to another takes so much longer.
    fn slow(&self, items: &mut Vec<Item>, host: HostId, to: HostId, extra: u64) {
        let what = What::Slow { to, extra, window: self.end - self.meets };
        items.push(Item { at: self.meets - 1, host, what });
    }
}

impl Draw {
    /// The dice of a seed for this.
    pub(super) fn returns(seed: u64) -> Self {
        Self(Seed::from_number(seed).stream("returns"))
    }

    /// Ends the plans of some fleets with a member that returns. Where there are many, it costs more; least often where so many
    /// operations are asked for that every seed takes long.
    pub(super) fn return_to(&mut self, shape: Shape, fleet: &mut Fleet, items: &mut Vec<Item>) {
        let size = fleet.size();
        let percent = match size {
            _ if shape.operations.is_some() => 1,
            ..5 => 25,
            _ => 4,
        };
        if size < 3 || fleet.rollbacks || !self.chance(percent) {
            return;
        }
        for seat in &mut fleet.seats {
            forgetful(&mut seat.knobs.exchange);
        }
        for item in items.iter_mut() {
            if let What::Configure(knobs) = &mut item.what {
                forgetful(&mut knobs.exchange);
            }
        }
        let hosts: Vec<HostId> = (0..size as u8).map(HostId).collect();
        let away = self.pick(&hosts);
        let others: Vec<HostId> = hosts.iter().copied().filter(|host| *host != away).collect();
        let forgets = self.pick(&others);
        let rest: Vec<HostId> = others.iter().copied().filter(|host| *host != forgets).collect();
        let second = self.pick(&rest);
        let kind = match self.chance(30) {
            true => Kind::InTurn,
            false if size > 3 && self.chance(50) => Kind::HandedOn,
            false => self.pick(&[Kind::Turns, Kind::Spoiled, Kind::Again, Kind::Names, Kind::Names]),
        };
        let begin = items.iter().map(|item| item.at).max().unwrap_or(0) + self.between(500_000, 2_000_000);
        let mut scene =
            Scene { kind, hosts, away, forgets, second, gone: 0, alone: 0, meets: 0, end: 0, slow: 0, number: RETURNS };
        self.write_before(&mut scene, begin, items);
        match kind {
            Kind::HandedOn => self.hand_on(&mut scene, fleet, items),
            Kind::InTurn => self.meet_in_turn(&mut scene, fleet, items),
            Kind::Turns | Kind::Spoiled | Kind::Again | Kind::Names => self.meet_all(&mut scene, fleet, items),
        }
        let (at, host) = (scene.end + 500_000, self.pick(&others));
        scene.write(items, at, host, LATE, Change::Put(10));
    }

    /// What all have seen, and what was written when one was away already.
    fn write_before(&mut self, scene: &mut Scene, begin: u64, items: &mut Vec<Item>) {
        let len = self.between(0, 100) as u32;
        let named = match scene.kind {
            Kind::Names => NAMES,
            Kind::InTurn => MORE_NAMES,
            Kind::Turns | Kind::Spoiled | Kind::Again | Kind::HandedOn => 0..0,
        };
        for key in SEEN_BY_ALL {
            let writer = match scene.kind {
                Kind::Names => scene.forgets,
                Kind::HandedOn if self.chance(60) => scene.second,
                Kind::Turns | Kind::Spoiled | Kind::Again | Kind::HandedOn | Kind::InTurn => self.pick(&scene.hosts),
            };
            scene.write(items, begin, writer, key..key + 1, Change::Put(len));
        }
        let others = scene.others();
        let writer = self.pick(&others);
        for (first, place) in named.step_by(usize::from(AT_ONCE)).zip(0..) {
            scene.write(items, begin + place * 20_000, writer, first..first + AT_ONCE, Change::Put(0));
        }
        let names = matches!(scene.kind, Kind::Names | Kind::InTurn);
        scene.gone = begin + self.between(1_000_000, 2_000_000);
        if scene.kind == Kind::Names || self.chance(15) {
            // Whose name stands there is lost with its machine, and has no owner any more where somebody says so.
            let down = self.magnitude(1, 200_000);
            items.push(Item { at: scene.gone, host: scene.forgets, what: What::Replace { down } });
            scene.gone += self.between(1_500_000, 3_000_000);
        }
        let gone = scene.gone;
        if !names {
            let len = self.between(800, 1_600) as u32;
            for key in LARGE {
                scene.write(items, gone + 1_000, writer, key..key + 1, Change::Put(len));
            }
        }
        for key in UNSEEN {
            let writer = if self.chance(50) { writer } else { self.pick(&others) };
            scene.write(items, gone + 300_000, writer, key..key + 1, Change::Put(len));
        }
        scene.alone = gone + self.between(1_200_000, 2_500_000);
        if scene.kind == Kind::Spoiled {
            // All others have forgotten one deletion together.
            scene.alone += 2_000_000;
            self.days_go_by(scene, gone + 400_000, items);
            let at = gone + 500_000;
            scene.write(items, at, writer, SEEN_BY_ALL.start..SEEN_BY_ALL.start + 1, Change::Delete);
        }
        scene.meets = scene.alone + self.between(2_300_000, 4_000_000);
        scene.slow = self.between(60_000, 250_000);
        scene.end = scene.meets + scene.slow * 25 + self.between(1_500_000, 4_000_000);
    }

    /// Days go by. This one deletes so many of a hundred of these keys, the first of which if any.
    fn delete(&mut self, scene: &mut Scene, host: HostId, keys: Range<u16>, percent: u64, items: &mut Vec<Item>) {
        for key in keys {
            if self.chance(percent) {
                scene.write(items, scene.alone + 2_000, host, key..key + 1, Change::Delete);
            }
        }
    }

    fn days_go_by(&mut self, scene: &Scene, at: u64, items: &mut Vec<Item>) {
        let days = self.between(25, 60) as i64 * 3_600_000;
        items.extend(scene.hosts.iter().map(|host| Item { at, host: *host, what: What::Clock(days) }));
    }

    /// The one that was away meets two others at once, each of whom has been alone, and perhaps more.
    fn meet_all(&mut self, scene: &mut Scene, fleet: &mut Fleet, items: &mut Vec<Item>) {
        let Scene { kind, away, forgets, second, gone, alone, meets, slow, end, .. } = *scene;
        let others = scene.others();
        self.days_go_by(scene, scene.alone + 1_000, items);
        for (place, one) in others.iter().enumerate() {
            let comes = *one == forgets || *one == second || self.chance(30);
            part(items, away, *one, gone..if comes { meets } else { end });
            for other in others.iter().take(place) {
                part(items, *one, *other, alone..end);
            }
            if comes {
                road(fleet, away, *one);
            }
            if *one == forgets {
                scene.slow(items, *one, away, slow);
                let (seen, unseen) = if kind == Kind::Names { (80, 30) } else { (60, 80) };
                self.delete(scene, *one, SEEN_BY_ALL.start + 1..SEEN_BY_ALL.end, seen, items);
                self.delete(scene, *one, UNSEEN, unseen, items);
                continue;
            }
            let extra = match kind {
                Kind::Turns | Kind::Again | Kind::HandedOn | Kind::InTurn => self.between(30, 110),
                Kind::Spoiled => self.between(35, 95),
                Kind::Names => self.between(75, 120),
            };
            scene.slow(items, *one, away, slow * extra / 100);
            if kind == Kind::Names {
                scene.slow(items, away, *one, slow * extra / 100);
                items.push(Item { at: self.between(alone, meets), host: *one, what: What::Retire });
            } else if self.chance(20) {
                scene.slow(items, away, *one, slow * self.between(5, 100) / 100);
            }
            let percent = self.pick(&[0, 0, 0, 30]);
            self.delete(scene, *one, SEEN_BY_ALL.start..SEEN_BY_ALL.start + 1, percent, items);
            if self.chance(15) {
                let who = self.pick(&others);
                items.extend((who != *one).then_some(Item {
                    at: self.between(alone, meets),
                    host: *one,
                    what: What::GiveUp { who },
                }));
            }
        }
        let percent = if kind == Kind::Names { 100 } else { 10 };
        self.delete(scene, away, SEEN_BY_ALL.start..SEEN_BY_ALL.start + 1, percent, items);
        self.open_at(items, away, meets);
        for _ in 0..if kind == Kind::Again { self.between(1, 2) } else { self.pick(&[0, 0, 0, 1]) } {
            let at = meets + slow * self.between(35, 110) / 10;
            let with = if kind == Kind::Again || self.chance(50) { forgets } else { self.pick(&others) };
            self.breaks(items, away, with, at, slow);
        }
        for _ in 0..self.pick(&[0, 0, 0, 1, 2]) {
            let (at, host) = (meets + slow * self.between(0, 160) / 10, self.pick(&scene.hosts));
            let key = self.between(u64::from(SEEN_BY_ALL.start), u64::from(LATE.end) - 1) as u16;
            let change = if self.chance(50) { Change::Put(20) } else { Change::Delete };
            scene.write(items, at, host, key..key + 1, change);
        }
    }

    /// Somebody drops in an exchange that breaks off what the one that was away still has, and meets that one next; and then somebody
    /// else meets it who holds it too.
    fn hand_on(&mut self, scene: &mut Scene, fleet: &mut Fleet, items: &mut Vec<Item>) {
        let Scene { away, forgets, second: between, gone, alone, meets, slow, .. } = *scene;
        let mut rest = scene.others();
        rest.retain(|host| *host != forgets && *host != between);
        let breaks = meets + slow * self.between(40, 100) / 10;
        let next = breaks + self.magnitude(1_000, 300_000);
        let last = next + self.between(500_000, 2_000_000);
        let end = last + self.between(2_000_000, 5_000_000);
        scene.end = end;
        self.days_go_by(scene, scene.alone + 1_000, items);
        part(items, between, forgets, alone..meets);
        part(items, between, forgets, breaks..end);
        scene.slow(items, forgets, between, slow);
        part(items, away, forgets, gone..end);
        part(items, away, between, gone..next);
        if self.chance(70) {
            // Its turn does not last until all come together.
            part(items, away, between, last..end);
        }
        for one in &rest {
            part(items, away, *one, gone..last);
            part(items, forgets, *one, alone..end);
            road(fleet, away, *one);
        }
        road(fleet, between, forgets);
        road(fleet, away, between);
        self.delete(scene, forgets, SEEN_BY_ALL.start + 1..SEEN_BY_ALL.end, 70, items);
        self.delete(scene, between, SEEN_BY_ALL.start..SEEN_BY_ALL.start + 1, 100, items);
        for key in LARGE {
            // What makes the exchange long is not known on the other side.
            scene.write(items, alone + 2_000, forgets, key..key + 1, Change::Put(1_000));
        }
        self.open_at(items, between, meets);
        self.open_at(items, away, next);
    }

    /// All have been apart, and have forgotten what they deleted then. They meet two by two, each time for less than an exchange takes, so that
    /// each owes what only another claims; some never come to it.
    fn meet_in_turn(&mut self, scene: &mut Scene, fleet: &mut Fleet, items: &mut Vec<Item>) {
        let Scene { away, forgets, second, gone, alone, meets, slow, .. } = *scene;
        self.days_go_by(scene, alone + 1_000, items);
        for (place, host) in [away, forgets, second].into_iter().enumerate() {
            let key = SEEN_BY_ALL.start + place as u16;
            self.delete(scene, host, key..key + 1, 90, items);
            self.delete(scene, host, UNSEEN, 20, items);
        }
        let mut pairs = vec![(away, forgets), (away, second), (forgets, second)];
        let (mut at, mut free) = (meets, Vec::new());
        while !pairs.is_empty() {
            let (one, other) = pairs.swap_remove(self.between(0, pairs.len() as u64 - 1) as usize);
            let until = at + slow * self.between(60, 100) / 10;
            free.push((one, other, at, until));
            self.open_at(items, one, at);
            at = until + self.magnitude(1_000, 300_000);
        }
        scene.end = at + self.between(500_000, 2_000_000);
        for (one, other, from, until) in free {
            part(items, one, other, if one == away { gone } else { alone }..from);
            part(items, one, other, until..scene.end);
            road(fleet, one, other);
            scene.slow(items, one, other, slow);
            scene.slow(items, other, one, slow * self.between(50, 100) / 100);
        }
        let met = [away, forgets, second];
        for one in &scene.hosts {
            for other in scene.hosts.iter().filter(|other| *other < one && !(met.contains(one) && met.contains(other)))
            {
                part(items, *one, *other, alone..scene.end);
            }
        }
    }

    /// A node opens about now, and dials all whom it knows at once.
    fn open_at(&mut self, items: &mut Vec<Item>, host: HostId, at: u64) {
        if self.chance(80) {
            let down = 50_000;
            items.push(Item { at: at - down, host, what: What::Close { down } });
        }
    }

    /// The link between two breaks, and stays so for a while, or one of them dies.
    fn breaks(&mut self, items: &mut Vec<Item>, host: HostId, with: HostId, at: u64, slow: u64) {
        if self.chance(20) {
            let what = if self.chance(50) { self.crash(Self::kill) } else { self.crash(Self::power) };
            items.push(Item { at, host, what });
        } else if self.chance(70) {
            let until = at + self.magnitude(slow / 2, slow * 10);
            part(items, host, with, at..until);
        } else {
            items.push(Item { at, host, what: What::Cut { with, deaf: false, other_deaf: false } });
        }
    }
}

/// Deletions are soon collected, and exchanges take several windows.
fn forgetful(exchange: &mut Exchange) {
    (exchange.lease_hours, exchange.collect_ms, exchange.steady_lease) = (1, 1_000, false);
    (exchange.window, exchange.ack_timeout_ms, exchange.auto_tick) = (4 << 10, 15_000, true);
    exchange.ping_ms = exchange.ping_ms.min(1_500);
}

fn part(items: &mut Vec<Item>, one: HostId, other: HostId, time: Range<u64>) {
    let window = time.end - time.start;
    for (host, to) in [(one, other), (other, one)] {
        items.push(Item { at: time.start, host, what: What::Block { to, window } });
    }
    let cut = What::Cut { with: other, deaf: false, other_deaf: false };
    items.push(Item { at: time.start, host: one, what: cut });
}

/// The first dials the second.
fn road(fleet: &mut Fleet, from: HostId, to: HostId) {
    if !fleet.roads.contains(&(from, to)) {
        fleet.roads.push((from, to));
    }
}
