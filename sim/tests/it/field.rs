//! Eight things that happen to replicated stores in the field, and that others do not survive. Three hundred seeds are
//! those of `seeds.rs`, a rolled-back copy and a bit that flips in memory are told in the tests of the core.

use sim::disk::{Fate, Loss};
use sim::plan::{Exchange, Fleet, Knobs, Policy, What};
use sim::scenario::{Several, put};

use crate::fleets::HASTY;

stories![
    a_power_cut_around_the_answer_takes_nothing_that_was_answered,
    a_key_deleted_while_a_member_is_away_for_long_stays_deleted,
    two_automatic_resolvers_come_to_an_end,
    a_relay_that_dies_after_it_took_custody_keeps_what_it_took,
    a_relay_that_never_returns_takes_nothing_with_it,
    one_clock_a_year_ahead_wins_nothing_and_is_named,
];

#[test]
fn a_power_cut_around_the_answer_takes_nothing_that_was_answered() {
    for after in 1..13 {
        let loss = Loss { data: Fate::Mixed(50), names: Fate::Kept, stale: false, salt: u64::from(after) };
        let cut = What::Crash { crash: sim::plan::Crash::Power(loss), after, down: 1_000 };
        let story = Several::mesh("power cut", 2).put("A", "before", "1").happens("A", cut);
        let story = story.send("A", put("during", &"2".repeat(3_000))).settle().put("A", "after", "3").converge();
        story.expect("A", "before", "1").expect("B", "before", "1").expect("B", "after", "3").end();
    }
}

#[test]
fn a_key_deleted_while_a_member_is_away_for_long_stays_deleted() {
    let knobs = Knobs { exchange: Exchange { lease_hours: 1, ..HASTY.exchange }, ..HASTY };
    let story = Several::of("long away", &Fleet::of(3, knobs)).settle().put("C", "gone", "1").converge();
    let story = story.power_off("C").delete("A", "gone").put("B", "kept", "2").settle();
    let days = What::Clock(40 * 24 * 3_600_000);
    let story = story.happens("A", days.clone()).happens("B", days).settle().put("A", "more", "3").settle();
    let story = story.expect_tombstones("A", 0).expect_tombstones("B", 0).start("C").converge();
    story.expect_absent("C", "gone").expect_absent("A", "gone").expect("C", "kept", "2").end();
}

/// Both hosts keep what they have, and write so: whoever goes on answering the other never ends.
#[test]
fn two_automatic_resolvers_come_to_an_end() {
    for (one, other) in
        [(Policy::Local, Policy::Local), (Policy::Remote, Policy::Remote), (Policy::Local, Policy::Longer)]
    {
        let seat = |policy| Knobs { exchange: Exchange { policy, ..HASTY.exchange }, ..HASTY };
        let mut fleet = Fleet::of(2, HASTY);
        for (seat_of, policy) in fleet.seats.iter_mut().zip([one, other]) {
            seat_of.knobs = seat(policy);
        }
        let story = Several::apart_with("resolvers", &fleet).put("A", "till", "by A").put("B", "till", "as B has it");
        let story = story.connect("A", "B").converge().run_for(60_000_000);
        // At most one resolution each.
        let story = story.expect_outbox("A", |outbox| outbox.last <= 2).expect_outbox("B", |outbox| outbox.last <= 2);
        story.put("A", "till", "settled").converge().expect("B", "till", "settled").end();
    }
}

#[test]
fn a_relay_that_dies_after_it_took_custody_keeps_what_it_took() {
    let story = Several::apart_with("custody", &Fleet::chain(3, HASTY)).put("A", "till", "open").connect("A", "B");
    let story = story.until("custody", |world| {
        world.status(sim::scenario::host("A")).is_some_and(|status| status.outbox.acknowledged == 1)
    });
    let story = story.power_off("B").power_off("A").start("B").connect("B", "C").wait_for("C", "till", "open");
    story.start("A").converge().end();
}

#[test]
fn a_relay_that_never_returns_takes_nothing_with_it() {
    let story = Several::apart_with("lost relay", &Fleet::of(3, HASTY)).put("A", "till", "open").connect("A", "B");
    let story = story.wait_for("B", "till", "open").settle().power_off("B").put("A", "desk", "shut");
    story.connect("A", "C").wait_for("C", "till", "open").wait_for("C", "desk", "shut").start("B").end();
}

#[test]
fn one_clock_a_year_ahead_wins_nothing_and_is_named() {
    let mut fleet = Fleet::of(3, HASTY);
    let year = 365 * 24 * 3_600_000;
    fleet.seats.first_mut().unwrap().skew_ms = year;
    let story = Several::of("a year ahead", &fleet).settle().put("A", "till", "from the future").converge();
    let ahead = |sync: &softadastra_core::sync::Status| sync.peers.iter().any(|peer| peer.clock_ahead_ms > year / 2);
    let story = story.expect_sync("B", "aware of a clock a year ahead", ahead);
    // Whoever has seen it writes above it.
    let story = story.put("B", "till", "second").converge().put("C", "till", "third").converge();
    let story = story.expect("A", "till", "third").expect_conflicts("A", 0);
    let story = story.happens("A", What::Clock(-year)).put("A", "till", "fourth").converge().kill("A");
    story.put("B", "till", "fifth").converge().expect("A", "till", "fifth").end();
}
