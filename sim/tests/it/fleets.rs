//! Named stories of several nodes, one for each paragraph of the design that they can keep or break.

use sim::oracle::Told;
use sim::plan::{Exchange, Fleet, Knobs, Policy, What};
use sim::scenario::{Several, host, put};
use sim::tally::Mark;

stories![
    two_nodes_converge,
    what_was_written_apart_meets_in_a_conflict_that_both_know,
    a_write_that_had_seen_the_other_is_no_conflict,
    a_policy_settles_conflicts_once_for_all,
    nodes_that_are_never_online_together_meet_through_one_between_them,
    an_operation_is_acknowledged_when_so_many_others_hold_it,
    the_receiver_may_crash_at_any_moment_of_a_transfer,
    the_sender_may_crash_at_any_moment_of_a_transfer,
    a_peer_whose_disk_is_full_goes_on_when_there_is_room,
    a_late_joiner_is_sent_every_key_once,
    a_deleted_key_does_not_return_with_a_member_that_was_away,
    a_member_away_beyond_its_lease_is_met_with_a_full_exchange,
    a_full_disk_in_the_middle_of_a_full_exchange_loses_nothing_and_brings_nothing_back,
    a_flapping_link_brings_everything_in_the_end,
    a_half_open_link_is_noticed_by_its_silence,
    a_one_way_link_is_no_link,
    nothing_is_claimed_before_the_cut,
    local_work_goes_on_whatever_the_network_does,
    what_is_sent_by_hand_waits_for_a_tick,
    clocks_that_disagree_change_nothing_about_what_survives,
    everything_survives_when_all_lose_their_power_at_once,
];

/// Nodes that greet often, lose patience soon, and collect tombstones at once.
pub(crate) const HASTY: Knobs = Knobs {
    exchange: Exchange { ack_timeout_ms: 1_000, ping_ms: 300, backoff_ms: 20, collect_ms: 1_000, ..Exchange::DEFAULT },
    ..Knobs::SMALL
};

#[test]
fn two_nodes_converge() {
    let story = Several::mesh("two nodes", 2).put("A", "till", "open").put("B", "desk", "shut").converge();
    story.expect("B", "till", "open").expect("A", "desk", "shut").expect_outbox("A", |o| o.acknowledged == 1).end();
}

#[test]
fn what_was_written_apart_meets_in_a_conflict_that_both_know() {
    let story = Several::apart("conflict", 2).put("A", "till", "by A").put("A", "a", "1");
    let story = story.put("B", "till", "by B").put("B", "b", "2").expect_outbox("B", |o| o.queued == 2);
    let story = story.connect("A", "B").converge().expect("A", "till", "by B").expect("B", "till", "by B");
    story.expect("B", "a", "1").expect("A", "b", "2").expect_conflicts("A", 1).expect_conflicts("B", 1).end();
}

#[test]
fn a_write_that_had_seen_the_other_is_no_conflict() {
    let story = Several::mesh("no conflict", 2).put("A", "till", "by A").converge().put("B", "till", "by B").converge();
    story.expect("A", "till", "by B").expect_conflicts("A", 0).expect_conflicts("B", 0).end();
}

#[test]
fn a_policy_settles_conflicts_once_for_all() {
    for policy in [Policy::Local, Policy::Remote, Policy::Both, Policy::Longer] {
        let knobs = Knobs { exchange: Exchange { policy, ..HASTY.exchange }, ..HASTY };
        let story = Several::apart_with("policy", &Fleet::of(3, knobs));
        let story = story.put("A", "till", "the long one, by A").put("B", "till", "by B").put("C", "till", "by C");
        let story = story.connect("A", "B").settle().connect("B", "C").connect("A", "C").converge();
        story.expect_mark(Mark::ConflictMet).end();
    }
}

#[test]
fn nodes_that_are_never_online_together_meet_through_one_between_them() {
    let fleet = Fleet::chain(3, Knobs::SMALL);
    let story = Several::apart_with("relay", &fleet).put("A", "from A", "a").put("C", "from C", "c");
    let story = story.connect("A", "B").wait_for("B", "from A", "a").part("A", "B");
    let story = story.connect("B", "C").wait_for("C", "from A", "a").wait_for("B", "from C", "c").part("B", "C");
    let story = story.connect("A", "B").wait_for("A", "from C", "c").settle();
    story.expect_outbox("A", |o| o.acknowledged == 1).connect("B", "C").converge().end();
}

#[test]
fn an_operation_is_acknowledged_when_so_many_others_hold_it() {
    let knobs = Knobs { exchange: Exchange { required_acks: 2, ..Exchange::DEFAULT }, ..Knobs::SMALL };
    let story = Several::apart_with("two copies", &Fleet::of(3, knobs)).put("A", "till", "open");
    let story =
        story.connect("A", "B").settle().expect("B", "till", "open").expect_outbox("A", |o| o.acknowledged == 0);
    story.connect("B", "C").settle().expect_outbox("A", |o| o.acknowledged == 1).end();
}

#[test]
fn the_receiver_may_crash_at_any_moment_of_a_transfer() {
    for after in (0..60).step_by(4) {
        let story = Several::apart("receiver", 2).fill("A", 20, 4_000).power_loss_after("B", after).connect("A", "B");
        story.converge().expect("B", "fill19", &format!("{:04000}", 19)).end();
    }
}

#[test]
fn the_sender_may_crash_at_any_moment_of_a_transfer() {
    for after in (0..60).step_by(4) {
        let story = Several::apart("sender", 2).fill("A", 20, 4_000).power_loss_after("A", after).connect("A", "B");
        story.converge().expect("B", "fill0", &format!("{:04000}", 0)).end();
    }
}

#[test]
fn a_peer_whose_disk_is_full_goes_on_when_there_is_room() {
    let story = Several::apart_with("full", &Fleet::of(2, HASTY)).full_but("B", 0).fill("A", 100, 4_000);
    let story = story.connect("A", "B").run_for(20_000_000).expect_mark(Mark::NoRoom);
    let story = story.expect_outbox("A", |o| o.size() > 0).put("A", "local", "goes on").room_again("B").converge();
    story.expect("B", "local", "goes on").end();
}

#[test]
fn a_late_joiner_is_sent_every_key_once() {
    let story = Several::apart("late joiner", 3).connect("A", "B").fill("A", 60, 3_000).fill("B", 60, 2_000).settle();
    let story = story.connect("A", "C").connect("B", "C").converge();
    story.expect("C", "fill59", &format!("{:02000}", 59)).end();
}

#[test]
fn a_deleted_key_does_not_return_with_a_member_that_was_away() {
    let story = Several::of("deletion", &Fleet::of(3, HASTY)).settle().put("A", "gone", "1").converge();
    let story = story.part("C", "A").part("C", "B").delete("B", "gone").settle().expect_tombstones("A", 1);
    let story = story.connect("C", "A").connect("C", "B").converge().settle().expect_absent("C", "gone");
    story.expect_tombstones("A", 0).expect_tombstones("B", 0).expect_tombstones("C", 0).end();
}

#[test]
fn a_member_away_beyond_its_lease_is_met_with_a_full_exchange() {
    let knobs = Knobs { exchange: Exchange { lease_hours: 1, ..HASTY.exchange }, ..HASTY };
    let story =
        Several::of("lease", &Fleet::of(3, knobs)).settle().put("A", "gone", "1").put("C", "kept", "2").converge();
    let story = story.part("C", "A").part("C", "B").delete("B", "gone").put("C", "new", "3").settle();
    let days = What::Clock(48 * 3_600_000);
    let story = story.happens("A", days.clone()).happens("B", days.clone()).happens("C", days).settle();
    let story = story.put("A", "more", "4").settle().expect_tombstones("A", 0).expect("C", "gone", "1");
    let story = story.connect("C", "A").connect("C", "B").converge().expect_mark(Mark::Collected);
    story.expect_absent("C", "gone").expect("A", "new", "3").expect("C", "kept", "2").end();
}

/// The log of C ends where its disk is full, in the middle of what the exchange drops, and a snapshot is taken meanwhile.
#[test]
fn a_full_disk_in_the_middle_of_a_full_exchange_loses_nothing_and_brings_nothing_back() {
    let exchange = Exchange { lease_hours: 1, ..HASTY.exchange };
    let knobs = Knobs { exchange, snapshot_min: 2 * HASTY.snapshot_min, ..HASTY };
    let each = |story: Several, one: fn(Several, &str) -> Several| {
        (0..40).fold(story, |story, number| one(story, &format!("gone{number}")))
    };
    for (filler, crashes) in [(55_600, false), (56_000, true), (56_600, false), (57_200, true)] {
        let story = Several::of("full exchange", &Fleet::of(3, knobs)).settle().full_but("C", 80_000);
        let story = each(story, |story, key| story.put("A", key, "1")).converge().part("C", "A").part("C", "B");
        let story = each(story, |story, key| story.delete("B", key)).put("C", "filler", &"x".repeat(filler)).settle();
        let days = What::Clock(48 * 3_600_000);
        let story = story.happens("A", days.clone()).happens("B", days.clone()).happens("C", days).settle();
        let story = story.put("A", "more", "2").settle().expect_tombstones("A", 0).expect("C", "gone39", "1");
        let mut story = story.connect("C", "A").happens("C", What::Snapshot).settle().expect_mark(Mark::NoRoom);
        if crashes {
            story = story.power_loss_after("C", 0).settle();
        }
        let story = story.room_again("C").connect("C", "B").converge().expect_absent("C", "gone0");
        story.expect("A", "filler", &"x".repeat(filler)).expect("C", "more", "2").end();
    }
}

#[test]
fn a_flapping_link_brings_everything_in_the_end() {
    let mut story = Several::apart_with("flapping", &Fleet::of(2, HASTY)).fill("A", 30, 5_000);
    for round in 0..25 {
        story = story.connect("A", "B").run_for(3_000 * (round % 7 + 1)).part("A", "B").run_for(40_000);
        story = story.put("B", &format!("b{round}"), "x");
    }
    story.connect("A", "B").converge().expect("A", "b24", "x").expect("B", "fill29", &format!("{:05000}", 29)).end();
}

#[test]
fn a_half_open_link_is_noticed_by_its_silence() {
    let story = Several::of("half open", &Fleet::of(2, HASTY)).settle().expect_links("A", 1);
    // B restarts elsewhere, as it were: A is told nothing, and B refuses what A still sends without a word.
    let cut = What::Cut { with: host("B"), deaf: true, other_deaf: false };
    let story = story.block_one_way("B", "A").happens("A", cut).put("A", "till", "open").settle();
    let story = story.expect_links("A", 0).expect_outbox("A", |o| o.acknowledged == 0 && o.size() == 1);
    story.connect("A", "B").converge().expect("B", "till", "open").end();
}

#[test]
fn a_one_way_link_is_no_link() {
    let story = Several::of("one way", &Fleet::of(2, HASTY)).settle().block_one_way("A", "B").put("A", "till", "open");
    let story = story.run_for(60_000_000).expect_links("A", 0).expect_links("B", 0);
    story.connect("A", "B").converge().expect("B", "till", "open").end();
}

/// The design's example: C is sent what survives of A's operations, but not what superseded one of them. D holds that
/// one, and must not be told that C does.
#[test]
fn nothing_is_claimed_before_the_cut() {
    let knobs = Knobs { exchange: Exchange { window: 16 << 10, ..HASTY.exchange }, ..HASTY };
    let story = Several::apart_with("cut", &Fleet::of(4, knobs)).put("A", "k", "by A").connect("A", "D").settle();
    let story = story.part("A", "D").expect("D", "k", "by A").fill("A", 40, 20_000);
    let story = story.connect("A", "B").settle().put("B", "k", "by B").part("A", "B").power_off("A");
    let slow = What::Slow { to: host("C"), extra: 20_000, window: 10_000_000 };
    let story = story.happens("B", slow).connect("B", "C");
    let story = story.until("C takes something in", |world| world.read(host("C"), b"fill0").is_some());
    let story = story.expect_absent("C", "k").power_off("B");
    let story = story.connect("C", "D").wait_for("C", "k", "by A").wait_for("D", "fill0", &format!("{:020000}", 0));
    let story = story.start("A").start("B").connect("A", "B").connect("A", "C").connect("A", "D").connect("B", "D");
    story.converge().expect("D", "k", "by B").end();
}

#[test]
fn local_work_goes_on_whatever_the_network_does() {
    let mut story = Several::mesh("local", 3);
    for round in 0..10 {
        story = story.part("A", "B").put("A", "till", &format!("{round}")).delete("A", "till");
        story = story.happens("A", What::Offline { window: 100_000 }).put("A", "till", "x").connect("A", "B");
    }
    story.send("A", put("last", "y")).settle().told("A", Told::Done).converge().end();
}

#[test]
fn what_is_sent_by_hand_waits_for_a_tick() {
    let knobs = Knobs { exchange: Exchange { auto_tick: false, ..Exchange::DEFAULT }, ..Knobs::SMALL };
    let story = Several::of("by hand", &Fleet::of(2, knobs)).settle().put("A", "till", "open").settle();
    let story = story.expect_absent("B", "till").happens("A", What::Tick { prune: false }).settle();
    story
        .expect("B", "till", "open")
        .happens("A", What::Tick { prune: true })
        .expect_outbox("A", |o| o.pruned == 1)
        .end();
}

#[test]
fn clocks_that_disagree_change_nothing_about_what_survives() {
    let mut fleet = Fleet::of(3, HASTY);
    for (seat, skew) in fleet.seats.iter_mut().zip([0, 3_600_000, -86_400_000]) {
        seat.skew_ms = skew;
        seat.drift_ppm = skew / 100_000;
    }
    let story = Several::of("clocks", &fleet).settle().put("B", "till", "first").converge();
    story.put("C", "till", "second").converge().put("A", "till", "third").converge().expect("B", "till", "third").end();
}

#[test]
fn everything_survives_when_all_lose_their_power_at_once() {
    let story = Several::mesh("blackout", 3).fill("A", 10, 3_000).put("B", "b", "1").put("C", "c", "2").converge();
    let story = ["A", "B", "C"].into_iter().fold(story, |story, at| story.power_loss_after(at, 0)).converge();
    story.expect("C", "b", "1").expect("B", "c", "2").expect_outbox("A", |o| o.acknowledged == 10).end();
}
