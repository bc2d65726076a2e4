//! Crashes at every step of the protocols: the first start, a roll, a snapshot, a recovery, a close.

use sim::disk::{Fate, Loss};
use sim::plan::{Crash, What};
use sim::scenario::Story;
use sim::tally::Mark;

stories![
    a_power_loss_at_every_step_of_a_snapshot,
    a_power_loss_at_every_step_of_a_roll,
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
