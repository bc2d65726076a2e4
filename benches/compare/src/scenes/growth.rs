//! How the work for each step grows with keys, pending operations, replicas known and peers. The core alone: there is no
//! disk, no network and no other thread in these figures.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use crate::engine::{Fault, Key};
use crate::net::rig::{HUB, Ledger, Rig};
use crate::plan::{Cell, Figure, Group};
use crate::sample::median;
use crate::work::{Keys, key};

/// The columns: a step for each decade.
const THOUSANDS: [(u64, &str); 4] =
    [(1000, "1,000"), (10_000, "10,000"), (100_000, "100,000"), (1_000_000, "1,000,000")];
/// Of replicas and peers the last step is half a decade: a thousand of them take minutes to meet.
const ONES: [(u64, &str); 4] = [(1, "1"), (10, "10"), (100, "100"), (500, "500")];
/// So many nodes dial at once.
const AT_ONCE: u64 = 16;

/// Keys there are when it is not keys that grow.
const FEW: u64 = 1000;

/// Reads at each point.
const GETS: usize = 4000;

/// What a read takes of a map as the standard library has it, which nobody doubts to be logarithmic: what grows faster than the
/// logarithm there is the time to fetch memory that no cache holds.
pub(crate) const MAP_GET: &str = "get, ordered map (limit)";

/// The steps that are measured.
pub(crate) const STEPS: [&str; 5] = ["put", GET, "delta", "ack", "tick"];

/// The step that reads.
pub(crate) const GET: &str = "get";

/// What grows.
type Setting = fn(u64) -> Result<(Rig, u64), Fault>;

/// The cells of a group.
pub(crate) fn cells(group: Group, cells: &mut Vec<Cell>) {
    let (points, setting): (_, Setting) = match group {
        Group::GrowthPending => (THOUSANDS, pending),
        Group::GrowthReplicas => (ONES, replicas),
        Group::GrowthPeers => (ONES, peers),
        _ => (THOUSANDS, keys),
    };
    for (count, column) in points {
        cells.push(Cell::scene(group, "the core", column, move |_| measure(setting, count, column)).at_most(1));
    }
}

fn measure(setting: Setting, count: u64, column: &'static str) -> Result<Vec<Figure>, Fault> {
    let (mut rig, keys) = setting(count)?;
    let mut order = Keys::new(7);
    let mut ledger = Ledger::default();
    let rounds = if rig.known()?.1 > 100 { 40 } else { 400 };
    for round in 0..rounds {
        let keys = [(); 2].map(|()| order.below(keys as usize) as u64);
        rig.round(keys, round + 1, &mut ledger)?;
        rig.tick(&mut ledger)?;
    }
    let mut gets = Vec::new();
    for _ in 0..GETS {
        gets.push(rig.get(order.below(keys as usize) as u64)?);
    }
    let mut medians = ledger.medians();
    if rig.stalled {
        medians.retain(|(name, _)| *name != "ack");
        medians.extend(released(&mut rig)?);
    }
    medians.push((GET, median(gets)));
    if keys == count {
        medians.push((MAP_GET, map_get(keys)));
    }
    let order = |name: &str| STEPS.iter().position(|step| *step == name).unwrap_or(STEPS.len());
    medians.sort_by_key(|(name, _)| order(name));
    Ok(medians.into_iter().map(|(name, value)| Figure::of(name, column, value)).collect())
}

/// Nanoseconds of one read of a map of so many keys.
fn map_get(count: u64) -> f64 {
    let map: BTreeMap<Key, Vec<u8>> = (0..count).map(|number| (key(number), vec![7; 100])).collect();
    let mut order = Keys::new(7);
    let mut get = || {
        let key = key(order.below(count as usize) as u64);
        let began = Instant::now();
        black_box(map.get(&key).and_then(|value| value.first()));
        began.elapsed().as_nanos() as f64
    };
    median((0..GETS).map(|_| get()).collect())
}

/// Many keys, one peer that has them all.
fn keys(count: u64) -> Result<(Rig, u64), Fault> {
    let mut rig = Rig::new()?;
    rig.fill(HUB, 0, count)?;
    one_peer(&mut rig)?;
    Ok((rig, count))
}

/// One peer that is linked and says nothing, so that what is written waits.
fn pending(count: u64) -> Result<(Rig, u64), Fault> {
    let mut rig = Rig::new()?;
    one_peer(&mut rig)?;
    rig.stalled = true;
    rig.fill(HUB, 0, count)?;
    if rig.pending()? < count {
        return Err("what a silent peer has not acknowledged does not wait".into());
    }
    Ok((rig, count))
}

/// The silent peer speaks again: the time for each message that it acknowledges with, until nothing waits any more.
fn released(rig: &mut Rig) -> Result<Option<(&'static str, f64)>, Fault> {
    rig.stalled = false;
    let answers = rig.answers()?;
    if rig.pending()? > 0 {
        return Err("a peer that speaks again does not take everything".into());
    }
    Ok((!answers.is_empty()).then(|| ("ack", median(answers))))
}

/// Replicas that wrote once, and went; one peer.
fn replicas(count: u64) -> Result<(Rig, u64), Fault> {
    let mut rig = Rig::new()?;
    rig.fill(HUB, 0, FEW)?;
    for first in (1..count).step_by(AT_ONCE as usize) {
        let mut others = Vec::new();
        for number in first..(first + AT_ONCE).min(count) {
            let other = rig.birth()?;
            rig.fill(other, 1_000_000 + number, 1)?;
            rig.dial(other)?;
            others.push(other);
        }
        rig.settle()?;
        for other in others {
            rig.death(other)?;
        }
    }
    one_peer(&mut rig)?;
    expect(rig.known()?.0, count)?;
    Ok((rig, FEW))
}

/// Many peers at once.
fn peers(count: u64) -> Result<(Rig, u64), Fault> {
    let mut rig = Rig::new()?;
    rig.fill(HUB, 0, FEW)?;
    for first in (0..count).step_by(AT_ONCE as usize) {
        for _ in first..(first + AT_ONCE).min(count) {
            let peer = rig.birth()?;
            rig.dial(peer)?;
        }
        rig.settle()?;
    }
    expect(rig.known()?.1, count)?;
    Ok((rig, FEW))
}

fn one_peer(rig: &mut Rig) -> Result<(), Fault> {
    let peer = rig.birth()?;
    rig.dial(peer)?;
    rig.settle()
}

fn expect(found: usize, wanted: u64) -> Result<(), Fault> {
    if found as u64 >= wanted { Ok(()) } else { Err(format!("{found} are known, not {wanted}").into()) }
}
