//! SQLite's I/O error loop: fail the first disk operation of a short script, then the second, and so on until the
//! script
//! gets through. Whatever fails, every promise holds, and after the failure is gone the node opens and writes.

use sim::disk::{Fate, Fault, Harm, OpKind};
use sim::plan::{Change, Crash, Expect, HostId, Knobs, Pace, PlannedWrite, What};
use sim::world::World;
use softadastra_core::disk::DiskErrorKind;

stories![
    every_operation_may_fail_once,
    every_operation_may_fail_for_want_of_room,
    every_operation_may_be_done_and_reported_as_failed,
    every_write_may_be_short,
    every_sync_may_drop_its_pages,
    the_same_holds_without_a_sync_for_each_answer,
];

/// Writes enough for a roll, takes a snapshot, closes, opens, writes, dies, opens and writes again.
fn script(knobs: Knobs, on: Option<OpKind>, after: u32, what: Harm) -> bool {
    let mut world = World::new(7, knobs, Pace::QUICK, true);
    let host = HostId(0);
    world.disk(host).arm(Fault { on, after, what });
    let put = |number, key| What::Write {
        number,
        writes: vec![PlannedWrite { key, change: Change::Put(20_000), expect: Expect::Any }],
    };
    let kill = |salt| What::Crash { crash: Crash::Kill { salt, evict: false }, after: 0, down: 100 };
    let steps = [
        put(1, 1),
        put(2, 2),
        put(3, 1),
        put(4, 3),
        What::Snapshot,
        put(5, 4),
        What::Close { down: 100 },
        put(6, 1),
        put(7, 5),
        kill(1),
        put(8, 1),
    ];
    let run = (|| {
        world.rest()?;
        for step in steps {
            world.schedule(world.now(), host, step);
            world.rest()?;
        }
        world.heal()?;
        world.finish()
    })();
    let struck = world.tally().faults.keys().any(|kind| kind.contains(" on "));
    if let Err(failure) = run {
        let outcome = world.end(Some(failure.clone()));
        panic!("{what:?} on {on:?} after {after}: {failure}\n{}", outcome.trace.lines().join("\n"));
    }
    drop(world.end(None));
    struck
}

fn until_it_gets_through(knobs: Knobs, on: Option<OpKind>, what: Harm) {
    let mut after = 0;
    while script(knobs, on, after, what) {
        after += 1;
        assert!(after < 1_000, "the script does not end");
    }
    assert!(after > 0, "{what:?} on {on:?} never struck");
}

#[test]
fn every_operation_may_fail_once() {
    until_it_gets_through(Knobs::SMALL, None, Harm::Error(DiskErrorKind::Io));
}

#[test]
fn every_operation_may_fail_for_want_of_room() {
    until_it_gets_through(Knobs::SMALL, None, Harm::Error(DiskErrorKind::NoSpace));
}

#[test]
fn every_operation_may_be_done_and_reported_as_failed() {
    until_it_gets_through(Knobs::SMALL, None, Harm::DoneButFailed);
}

#[test]
fn every_write_may_be_short() {
    for share in [0, 3, 50, 99] {
        until_it_gets_through(Knobs::SMALL, Some(OpKind::Write), Harm::Short(share, DiskErrorKind::Io));
    }
    until_it_gets_through(Knobs::SMALL, Some(OpKind::Zero), Harm::Short(50, DiskErrorKind::NoSpace));
}

#[test]
fn every_sync_may_drop_its_pages() {
    for fate in [Fate::Lost, Fate::Mixed(50), Fate::Kept] {
        until_it_gets_through(Knobs::SMALL, Some(OpKind::Sync), Harm::DropPages(fate));
    }
}

#[test]
fn the_same_holds_without_a_sync_for_each_answer() {
    let knobs = Knobs { sync_every: 5_000, ..Knobs::SMALL };
    until_it_gets_through(knobs, None, Harm::Error(DiskErrorKind::Io));
    until_it_gets_through(knobs, Some(OpKind::Sync), Harm::DropPages(Fate::Lost));
}
