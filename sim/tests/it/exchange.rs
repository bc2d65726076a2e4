//! Named stories about how operations travel: what is sent and what is not, when it counts as delivered, who is held up.

use sim::disk::Loss;
use sim::plan::{Crash, Exchange, Fleet, Knobs, Policy, What};
use sim::scenario::{Several, host};
use sim::tally::Mark;
use sim::world::World;

use crate::fleets::HASTY;

stories![
    nothing_is_offered_before_it_is_durable,
    what_is_not_yet_durable_hides_nothing_that_is,
    what_a_kill_leaves_in_the_page_cache_is_made_durable_and_offered,
    superseded_versions_are_not_sent,
    a_transfer_that_was_cut_resumes_where_it_was,
    a_mesh_is_not_flooded,
    what_one_node_writes_reaches_the_end_of_a_chain,
    a_slow_peer_holds_up_nobody_else,
    the_outbox_is_rebuilt_after_a_restart,
    what_cannot_be_delivered_shows_as_failed_and_is_delivered_all_the_same,
    a_node_alone_counts_no_failures,
    both_versions_of_a_conflict_are_kept_if_that_is_wanted,
    what_is_open_stays_open_under_every_later_policy,
    a_configuration_may_change_while_peers_go_on,
];

#[test]
fn nothing_is_offered_before_it_is_durable() {
    let lazy = Knobs { sync_every: 500_000, ..HASTY };
    let story = Several::of("durable first", &Fleet::of(2, lazy)).settle().put("A", "till", "open").run_for(100_000);
    let story = story.expect("A", "till", "open").expect_absent("B", "till").power_loss_after("A", 0).settle();
    // It was answered without a sync, and is gone; nobody else may have it.
    let story = story.expect_absent("A", "till").expect_absent("B", "till").put("A", "till", "shut");
    story.wait_for("B", "till", "shut").end();
}

/// What is durable was written over, and neither can be offered: the greeting, the walk to the end of the feed and a cut
/// come in between. Then the later write is lost.
#[test]
fn what_is_not_yet_durable_hides_nothing_that_is() {
    let lazy = Knobs { sync_every: 20_000_000, ..HASTY };
    for crash in [Crash::Power(Loss::TOTAL), Crash::Kill { salt: 1, evict: false }] {
        let lost = matches!(crash, Crash::Power(_));
        let story = Several::apart_with("hidden", &Fleet::of(2, lazy)).put("A", "till", "open").settle();
        let story = story.happens("A", What::Flush).settle().put("A", "till", "shut").connect("A", "B");
        let story = story.run_for(3_000_000).expect_links("A", 1).expect_absent("B", "till");
        let story = story.happens("A", What::Crash { crash, after: 0, down: 1_000 }).settle();
        let left = if lost { "open" } else { "shut" };
        story.expect("A", "till", left).wait_for("B", "till", left).end();
    }
}

#[test]
fn what_a_kill_leaves_in_the_page_cache_is_made_durable_and_offered() {
    let lazy = Knobs { sync_every: 20_000_000, ..HASTY };
    let story = Several::of("left by a kill", &Fleet::of(2, lazy)).settle().put("A", "till", "open").run_for(1_000_000);
    let story = story.expect_absent("B", "till").kill("A").wait_for("B", "till", "open").power_loss_after("A", 0);
    story.settle().expect("A", "till", "open").end();
}

#[test]
fn superseded_versions_are_not_sent() {
    let mut story = Several::apart_with("superseded", &Fleet::of(2, HASTY));
    for round in 0..60 {
        story = story.put("A", "till", &format!("{round:03000}"));
    }
    let story = story.connect("A", "B").converge().expect("B", "till", &format!("{:03000}", 59));
    story.expect_sync("A", "sent one entry", |sync| sync.traffic.sent == 1).end();
}

#[test]
fn a_transfer_that_was_cut_resumes_where_it_was() {
    let knobs = Knobs { exchange: Exchange { window: 16 << 10, ..HASTY.exchange }, ..HASTY };
    let story = Several::apart_with("resumes", &Fleet::of(2, knobs)).fill("A", 60, 5_000).connect("A", "B");
    let slow = What::Slow { to: host("B"), extra: 2_000, window: 5_000_000 };
    let story = story.happens("A", slow).until("half of it", |world| world.read(host("B"), b"fill29").is_some());
    let story = story.part("A", "B").expect_absent("B", "fill59").connect("A", "B").converge();
    // What was under way when the link broke comes twice, and no more than that.
    let few = |sync: &softadastra_core::sync::Status| (60..=70).contains(&sync.traffic.received);
    story.expect_sync("B", "received hardly anything twice", few).end();
}

#[test]
fn a_mesh_is_not_flooded() {
    let story = Several::of("flood", &Fleet::of(4, HASTY)).settle().expect_links("A", 3);
    let mut story = story.fill("A", 30, 1_000).converge().expect("D", "fill29", &format!("{:01000}", 29));
    for at in ["B", "C", "D"] {
        let once = |sync: &softadastra_core::sync::Status| (30..=36).contains(&sync.traffic.received);
        story = story.expect_sync(at, "sent every operation about once", once);
    }
    story.end();
}

#[test]
fn what_one_node_writes_reaches_the_end_of_a_chain() {
    let story = Several::of("chain", &Fleet::chain(5, HASTY)).settle().put("A", "from A", "1").put("E", "from E", "2");
    story.wait_for("E", "from A", "1").wait_for("A", "from E", "2").converge().expect("C", "from A", "1").end();
}

#[test]
fn a_slow_peer_holds_up_nobody_else() {
    let story = Several::of("slow peer", &Fleet::of(3, HASTY)).settle();
    let slow = What::Slow { to: host("C"), extra: 900_000, window: 60_000_000 };
    let story = story.happens("A", slow.clone()).happens("B", slow).fill("A", 40, 5_000);
    let story = story.wait_for("B", "fill39", &format!("{:05000}", 39)).expect_absent("C", "fill39");
    story.expect_outbox("A", |outbox| outbox.acknowledged == 40).converge().end();
}

#[test]
fn the_outbox_is_rebuilt_after_a_restart() {
    let story = Several::mesh("outbox", 2).put("A", "a", "1").converge().settle();
    let story = story.expect_outbox("A", |o| o.acknowledged == 1).part("A", "B").put("A", "b", "2").put("A", "c", "3");
    let story = story.power_loss_after("A", 0).settle();
    let story = story.expect_outbox("A", |o| o.queued == 2 && o.acknowledged == 1 && o.size() == 2);
    let story = story.connect("A", "B").converge().settle().expect("B", "c", "3");
    story.expect_outbox("A", |o| o.acknowledged == 3 && o.size() == 0).end();
}

#[test]
fn what_cannot_be_delivered_shows_as_failed_and_is_delivered_all_the_same() {
    let knobs = Knobs { exchange: Exchange { max_retries: 3, ..HASTY.exchange }, ..HASTY };
    let under_way = |world: &mut World| {
        let status = world.sync_status(host("A"));
        status.is_some_and(|status| status.peers.iter().any(|peer| peer.in_flight > 0))
    };
    let story = Several::apart_with("failed", &Fleet::of(2, knobs)).put("A", "till", "open");
    let mut story = story.happens("A", What::Slow { to: host("B"), extra: 5_000, window: 600_000_000 });
    for failed in [0, 0, 1] {
        // Links stand and take the operation, and then they break.
        story = story.connect("A", "B").until_looked(1_000, "the operation is sent", under_way);
        story = story.part("A", "B").run_for(5_000_000).expect_absent("B", "till");
        story = story.expect_outbox("A", |o| o.size() == 1 && o.failed == failed && o.acknowledged == 0);
    }
    let story = story.expect_mark(Mark::DeliveryFailed).connect("A", "B");
    story.converge().expect("B", "till", "open").expect_outbox("A", |o| o.acknowledged == 1 && o.failed == 0).end();
}

#[test]
fn a_node_alone_counts_no_failures() {
    let story = Several::apart_with("alone", &Fleet::of(2, HASTY)).put("A", "till", "open").run_for(600_000_000);
    let story = story.expect_outbox("A", |o| o.queued == 1 && o.failed == 0 && o.retries == 0);
    story.connect("A", "B").converge().expect("B", "till", "open").end();
}

#[test]
fn both_versions_of_a_conflict_are_kept_if_that_is_wanted() {
    let knobs = Knobs { exchange: Exchange { policy: Policy::Both, ..HASTY.exchange }, ..HASTY };
    let story = Several::apart_with("both", &Fleet::of(2, knobs)).put("A", "till", "by A").put("B", "till", "by B");
    let story = story.connect("A", "B").converge().expect("A", "till", "by B").expect_mark(Mark::ConflictMet);
    // A write that has seen both ends it.
    let story = story.put("A", "till", "settled").converge().expect("B", "till", "settled");
    story.expect_conflicts("A", 1).expect_conflicts("B", 1).end();
}

#[test]
fn what_is_open_stays_open_under_every_later_policy() {
    let under = |policy| Knobs { exchange: Exchange { policy, ..HASTY.exchange }, ..HASTY };
    let both = under(Policy::Both);
    let mut story = Several::apart_with("open", &Fleet::of(2, both)).put("A", "till", "by A").put("B", "till", "by B");
    story = story.connect("A", "B").converge().expect("A", "till", "by B");
    let later = [(Policy::Last, 1, 1), (Policy::Both, 2, 1), (Policy::Local, 3, 2), (Policy::Last, 4, 2)];
    for (number, (policy, met, open)) in later.into_iter().enumerate() {
        story = story.expect_open_conflicts("A", open).happens("A", What::Configure(under(policy)));
        story = if number % 2 == 0 { story.power_loss_after("A", 0).settle() } else { story.close_and_open("A") };
        story = story.expect_conflicts("A", met).expect_open_conflicts("A", open);
        // What is in a snapshot is read from there, and what is met meanwhile goes by what holds then.
        story = story.happens("A", What::Snapshot).settle().part("A", "B");
        let key = ["bread", "milk", "salt", "tea"][number];
        story = story.put("A", key, "from A").put("B", key, "from B").connect("A", "B").converge();
    }
    story.expect_conflicts("A", 5).expect_open_conflicts("A", 2).end();
}

#[test]
fn a_configuration_may_change_while_peers_go_on() {
    let story = Several::mesh("settings", 2).put("A", "a", "1").converge();
    let larger = Knobs { first_segment: 256 << 10, max_segment: 1 << 20, ..HASTY };
    let story = story.happens("B", What::Configure(larger)).close_and_open("B").put("A", "b", "2").put("B", "c", "3");
    story.converge().expect("B", "b", "2").expect("A", "c", "3").end();
}
