//! Crashes at every step of the protocols: the first start, a roll, a snapshot, a recovery, a close.

use sim::disk::{Fate, Harm, Loss, OpKind, SimDisk};
use sim::logview;
use sim::plan::{Crash, Knobs, What};
use sim::scenario::Story;
use sim::tally::Mark;

stories![
    a_power_loss_at_every_step_of_a_snapshot,
    a_power_loss_at_every_step_of_a_roll,
    a_power_loss_at_every_step_of_a_roll_onto_an_old_segment,
    nothing_comes_back_that_was_torn_off_a_recycled_segment,
    a_close_is_forgotten_with_the_segment_that_showed_it,
    a_tail_does_not_come_back_when_the_sync_that_cut_it_failed,
    a_power_loss_at_every_step_of_a_recovery,
    a_power_loss_at_every_step_of_the_first_start,
    a_power_loss_at_every_step_of_a_close,
];

/// Every loss that is worth trying at every step.
fn losses() -> Vec<Loss> {
    let mixed = |salt| Loss { data: Fate::Mixed(50), names: Fate::Mixed(50), stale: true, salt };
    let kept = |data, names| Loss { data, names, stale: false, salt: 0 };
    vec![Loss::TOTAL, kept(Fate::Kept, Fate::Lost), kept(Fate::Lost, Fate::Kept), mixed(1), mixed(2), mixed(3)]
}

/// Tells a story once for each effect that `act` leads to, with the power going just before that effect.
fn at_every_step(before: impl Fn() -> Story, act: impl Fn(Story) -> Story, after: impl Fn(Story) -> Story, mark: Mark) {
    for loss in losses() {
        let mut steps = 0;
        loop {
            let story = before();
            let hits = story.hits(mark);
            let crash = What::Crash { crash: Crash::Power(loss), after: steps, down: 500 };
            let story = act(story.happens(crash)).rest();
            let through = story.hits(mark) > hits;
            let crashed = story.crashes() > 0;
            after(story).end();
            if through || !crashed {
                break;
            }
            steps += 1;
            assert!(steps < 500, "{mark:?} is never reached");
        }
        assert!(steps > 3, "only {steps} steps lead to {mark:?}");
    }
}

#[test]
fn a_power_loss_at_every_step_of_a_snapshot() {
    let before = || Story::begin("snapshot").fill(8, 3, 20_000);
    let after = |story: Story| {
        let last = |index: usize| format!("{index:020000}");
        story.expect("fill0", &last(6)).expect("fill1", &last(7)).expect("fill2", &last(5)).put("after", "fine")
    };
    at_every_step(before, |story| story.happens(What::Snapshot), after, Mark::SnapshotDone);
}

#[test]
fn a_power_loss_at_every_step_of_a_roll() {
    let before = || Story::begin("roll").fill(2, 2, 20_000);
    let act = |story: Story| story.send_put("a", &"a".repeat(20_000)).send_put("b", &"b".repeat(30_000));
    at_every_step(before, act, |story| story.expect("fill1", &format!("{:020000}", 1)).put("c", "c"), Mark::Roll);
}

/// Whether the last segment was written over an older one.
fn is_over_an_old_one(disk: &SimDisk) -> bool {
    let last = disk.files().filter(|(name, _)| name.ends_with(".seg")).last();
    last.is_some_and(|(_, content)| content.get(8) == Some(&2))
}

/// Snapshots have made segments superfluous, and `until` what is asked for is on the disk.
fn with_old_segments(name: &'static str, until: impl Fn(&SimDisk) -> bool) -> Story {
    let mut story = Story::begin(name).fill(8, 3, 20_000).snapshot();
    for round in 0..60 {
        let mut there = false;
        story = story.on_disk(|disk| there = until(disk));
        if there {
            return story;
        }
        story = story.put("more", &format!("{round:09000}"));
    }
    panic!("{name}: no old segment is written over");
}

#[test]
fn a_power_loss_at_every_step_of_a_roll_onto_an_old_segment() {
    let ready = |disk: &SimDisk| {
        let spare = disk.files().find(|(name, _)| name.ends_with(".seg.new"));
        let of_old = spare.is_some_and(|(_, content)| content.starts_with(b"SADSEG"));
        let active = disk.files().filter(|(name, _)| name.ends_with(".seg")).last();
        let room = active.map_or(0, |(_, content)| content.iter().rev().take_while(|byte| **byte == 0).count());
        // Where zeros say how much room there is.
        of_old && !is_over_an_old_one(disk) && room < 45_000
    };
    let before = || with_old_segments("roll onto an old segment", ready);
    let act = |story: Story| story.send_put("a", &"a".repeat(20_000)).send_put("b", &"b".repeat(30_000));
    let after = |story: Story| story.put("c", "c").power_loss().expect("c", "c");
    at_every_step(before, act, after, Mark::Roll);
}

#[test]
fn nothing_comes_back_that_was_torn_off_a_recycled_segment() {
    for salt in 0..40 {
        let story = with_old_segments("torn off a recycled segment", is_over_an_old_one).put("a", "1");
        let loss = |salt| Loss { data: Fate::Mixed(50), names: Fate::Kept, stale: false, salt };
        let crash = |salt, after| What::Crash { crash: Crash::Power(loss(salt)), after, down: 500 };
        story
            .send_put("b", &"b".repeat(3_000))
            .happens(crash(salt, 1))
            .happens_later(700, crash(salt + 40, (salt % 20) as u16))
            .rest()
            .expect("a", "1")
            .send_put("b", &"c".repeat(3_000))
            .happens(crash(salt + 80, 1))
            .rest()
            .expect("a", "1")
            .put("c", "2")
            .end();
    }
}

/// Seed 80092989057323: a start sealed the recycled segment that ended with a clean close, and was killed. The snapshot
/// covers that segment, so the next start does not read it, and removes it: nothing shows the close any more.
#[test]
fn a_close_is_forgotten_with_the_segment_that_showed_it() {
    let frames = |disk: &SimDisk| logview::segments(disk).iter().map(|view| view.frames.len()).collect::<Vec<_>>();
    let begin = || with_old_segments("a close forgotten", is_over_an_old_one);
    let covered = begin().put("a", "0").snapshot().close_and_open();
    let (clean, mut left) = (covered.hits(Mark::CleanStart), Vec::new());
    let covered = covered.on_disk(|disk| left = frames(disk));
    assert!(clean > 0 && matches!(left.as_slice(), [(1..), 0]), "the last start sealed what it found: {left:?}");
    let covered = covered.kill().on_disk(|disk| left = frames(disk));
    assert_eq!((covered.hits(Mark::CleanStart), left), (clean, vec![0]));
    covered.put("a", "1").close_and_open().expect("a", "1").end();

    let needed = begin().put("a", "1").close_and_open();
    let clean = needed.hits(Mark::CleanStart);
    let needed = needed.kill();
    assert_eq!(needed.hits(Mark::CleanStart), clean + 1, "the segment that shows the close is still read");
    needed.expect("a", "1").end();
}

/// The sync fails and drops its pages, the cache shows zeros, and the next start finds nothing to cut. What is written then ends
/// where an old frame begins, which the disk still has.
#[test]
fn a_tail_does_not_come_back_when_the_sync_that_cut_it_failed() {
    const SECTOR: u64 = 512;
    let lazy = Knobs { sync_every: 3_600_000_000, mark_after: 3_600_000_000, ..Knobs::SMALL };
    let begin = || {
        let story = Story::begin_with("a tail that was cut", lazy).send_put("a", "1").run_for(5_000);
        story.happens(What::Flush).run_for(5_000)
    };
    let end = |disk: &SimDisk| logview::segments(disk).last().map_or(0, |view| view.end);
    let lost = |loss: Loss| What::Crash { crash: Crash::Power(loss), after: 0, down: 1_000 };
    // Two frames that end with a sector, and one that is the first of the next life and ends there, too.
    let two = |len: usize| {
        let mut ends_at = 0;
        let story = begin().send_put("b", &"b".repeat(1_500)).run_for(5_000).send_put("b", &"B".repeat(len));
        let story = story.run_for(5_000).on_disk(|disk| ends_at = end(disk));
        (story, ends_at)
    };
    let len = 200 + (SECTOR - two(200).1 % SECTOR) as usize;
    let boundary = two(len).1;
    let mut first_ends_at = 0;
    let first = two(len).0.happens(lost(Loss::TOTAL)).run_for(100_000).send_put("d", &"d".repeat(600)).run_for(5_000);
    drop(first.on_disk(|disk| first_ends_at = end(disk)));
    let same = 600 + (boundary - first_ends_at) as usize;
    let mut torn = 0;
    for salt in 0..60 {
        let loss = Loss { data: Fate::Mixed(50), names: Fate::Kept, stale: false, salt };
        let story = two(len).0.send_put("c", "3").run_for(5_000).fault(OpKind::Sync, 0, Harm::DropPages(Fate::Lost));
        let mut ends_at = 0;
        let story = story.happens(lost(loss)).run_for(100_000).expect("a", "1").send_put("d", &"d".repeat(same));
        let story = story.run_for(5_000).on_disk(|disk| ends_at = end(disk));
        torn += u64::from(story.hits(Mark::TornTailCut) > 0 && ends_at == boundary);
        story.happens(What::Flush).run_for(5_000).kill_and_evict().expect("a", "1").end();
    }
    assert!(torn > 5, "{torn} of 60 were torn");
}

#[test]
fn a_power_loss_at_every_step_of_a_recovery() {
    let torn = || {
        let loss = Loss { data: Fate::Mixed(50), names: Fate::Kept, stale: false, salt: 4 };
        let story = Story::begin("recovery").put("a", "1").send_put("b", &"b".repeat(9_000));
        story.happens(What::Crash { crash: Crash::Power(loss), after: 1, down: 500 })
    };
    for loss in losses() {
        for steps in 0..30 {
            torn()
                .happens_later(700, What::Crash { crash: Crash::Power(loss), after: steps, down: 500 })
                .rest()
                .expect("a", "1")
                .put("c", "2")
                .end();
        }
    }
}

#[test]
fn a_power_loss_at_every_step_of_the_first_start() {
    for loss in losses() {
        for steps in 0..20 {
            let crash = What::Crash { crash: Crash::Power(loss), after: steps, down: 500 };
            Story::not_yet_up("first start").happens(crash).rest().put("a", "1").power_loss().expect("a", "1").end();
        }
    }
}

#[test]
fn a_power_loss_at_every_step_of_a_close() {
    for loss in losses() {
        for steps in 0..10 {
            let crash = What::Crash { crash: Crash::Power(loss), after: steps, down: 500 };
            let story = Story::begin("close").put("a", "1").happens(crash).happens(What::Close { down: 500 });
            story.rest().expect("a", "1").put("b", "2").end();
        }
    }
}
