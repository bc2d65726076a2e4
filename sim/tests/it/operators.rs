//! Stories of operators, and of nodes that find each other.

use sim::plan::{Air, Exchange, Fleet, Knobs, What};
use sim::scenario::{Several, Story, host};
use sim::tally::Mark;

stories![
    nodes_that_know_nobody_find_each_other,
    datagrams_that_are_lost_late_doubled_and_damaged_do_no_harm,
    discovery_that_hears_nothing_leaves_local_work_alone,
    a_machine_that_is_lost_is_filled_again_by_the_others,
    a_history_that_ended_in_the_middle_of_a_transfer_is_given_up,
    a_restored_backup_goes_on_as_a_new_history,
    a_directory_that_was_copied_back_takes_another_name,
    a_copy_that_runs_beside_its_original_is_named_and_loses_nothing,
    two_that_run_as_one_on_two_sides_of_a_partition_lose_nothing,
    a_directory_of_an_older_version_opens_and_goes_on,
];

#[test]
fn nodes_that_know_nobody_find_each_other() {
    let story = Several::of("strangers", &Fleet::strangers(3, Knobs::SMALL, Air::CLEAR)).settle();
    let story = story.put("A", "k", "1").put("B", "k", "2").converge().expect("C", "k", "2").expect_links("B", 2);
    story.expect_mark(Mark::NodeFound).kill("C").put("A", "l", "3").wait_for("C", "l", "3").end();
}

#[test]
fn datagrams_that_are_lost_late_doubled_and_damaged_do_no_harm() {
    let air = Air { lost: 40, doubled: 40, damaged: 20, refused: 20, latency: 300_000, interval_ms: 2_000 };
    let story = Several::of("bad air", &Fleet::strangers(4, Knobs::SMALL, air)).settle();
    let story = story.put("A", "k", "1").wait_for("D", "k", "1").close_and_open("B").kill("C").power_off("D");
    let story = story.put("A", "k", "2").run_for(20_000_000).expect_mark(Mark::NodeLost).start("D");
    story.wait_for("D", "k", "2").end();
}

#[test]
fn discovery_that_hears_nothing_leaves_local_work_alone() {
    let air = Air { lost: 100, ..Air::CLEAR };
    let story =
        Several::of("deaf", &Fleet::strangers(2, Knobs::SMALL, air)).settle().put("A", "k", "1").put("B", "l", "2");
    story.run_for(60_000_000).expect_links("A", 0).expect("A", "k", "1").expect_absent("B", "k").end();
}

#[test]
fn a_machine_that_is_lost_is_filled_again_by_the_others() {
    let story =
        Several::mesh("lost machine", 3).put("A", "by A", "1").put("B", "by B", "2").delete("B", "by B").converge();
    let story = story.happens("A", What::Replace { down: 1_000 }).wait_for("A", "by A", "1").expect_absent("A", "by B");
    let story = story.put("A", "after", "3").wait_for("C", "after", "3").happens("B", What::Retire).run_for(1_000_000);
    story.happens("C", What::Retire).converge().expect("A", "by A", "1").end();
}

/// What came of it before the end is kept, claimed, and passed on to those who have less.
#[test]
fn a_history_that_ended_in_the_middle_of_a_transfer_is_given_up() {
    let exchange = Exchange { window: 4 << 10, ..Exchange::DEFAULT };
    let fleet = Fleet::of(3, Knobs { exchange, ..Knobs::SMALL });
    let story = Several::apart_with("ended", &fleet).fill("A", 60, 20_000).connect("A", "B");
    let some = |world: &mut sim::world::World| world.read(host("B"), b"fill5").is_some();
    let story = story.until_looked(200, "some of it", some).happens("A", What::Replace { down: 1_000 });
    // As long as its link stands, it counts as heard.
    let story = story.happens("B", What::Retire).expect_sync("B", "inexact", |status| !status.exact);
    let story = story.run_for(20_000_000).expect_sync("B", "exact", |status| status.exact).connect("B", "C");
    let story = story.wait_for("C", "fill5", &format!("{:020000}", 5)).connect("A", "C");
    story.wait_for("A", "fill5", &format!("{:020000}", 5)).end();
}

#[test]
fn a_restored_backup_goes_on_as_a_new_history() {
    let story = Several::mesh("restore", 2).put("A", "kept", "1").converge().happens("A", What::Backup).settle();
    let story = story.put("A", "kept", "2").put("A", "later", "3").converge();
    let story = story.part("A", "B").put("A", "never left", "4").happens("A", What::Restore { down: 1_000 }).settle();
    let story = story.expect_mark(Mark::Restored).expect("A", "kept", "1").expect_absent("A", "never left");
    let story = story.put("A", "since", "5").connect("A", "B").wait_for("A", "later", "3").wait_for("B", "since", "5");
    story.converge().expect("A", "kept", "2").end();
}

#[test]
fn a_directory_that_was_copied_back_takes_another_name() {
    let fleet = Fleet { rollbacks: true, ..Fleet::of(3, Knobs::SMALL) };
    let story = Several::of("copied back", &fleet).settle().put("A", "k100", "1").converge().happens("A", What::Copy);
    let story = story.put("A", "k101", "2").converge().part("A", "B").part("A", "C");
    let story = story.happens("A", What::CopyBack { down: 1_000 }).settle().expect_absent("A", "k101");
    let story = story.put("A", "k102", "3").connect("A", "C").wait_for("A", "k101", "2").connect("A", "B");
    story.expect_mark(Mark::Reborn).wait_for("B", "k102", "3").converge().expect("C", "k102", "3").end();
}

/// A, B and C are linked, and D is to be a copy of A: whoever of the two comes, B and C dial or are dialled by both.
fn before_the_copy(name: &'static str) -> Several {
    let roads = [("A", "B"), ("A", "C"), ("B", "C"), ("C", "B"), ("D", "B"), ("D", "C")];
    let roads = roads.map(|(from, to)| (host(from), host(to))).to_vec();
    let fleet = Fleet { rollbacks: true, roads, ..Fleet::of(4, Knobs::SMALL) };
    let story = Several::of(name, &fleet).settle().put("A", "k100", "1").converge();
    story.part("D", "A").part("D", "B").part("D", "C")
}

/// Both have written when the second one comes: it takes another name for what it has written, and others say that two have one
/// key. One at a time is let in.
#[test]
fn a_copy_that_runs_beside_its_original_is_named_and_loses_nothing() {
    let story = before_the_copy("copy").copy_machine("A", "D").expect("D", "k100", "1");
    let story = story.put("A", "k101", "2").wait_for("C", "k101", "2").put("D", "k102", "3");
    let story = story.connect("D", "B").connect("D", "C").wait_for("B", "k102", "3").wait_for("C", "k102", "3");
    let story = story.run_for(60_000_000).expect_mark(Mark::Reborn);
    let either = |world: &mut sim::world::World| world.told_of_twins(host("B")) || world.told_of_twins(host("C"));
    let story =
        story.until("somebody tells of two with one key", either).put("A", "k103", "4").expect("A", "k103", "4");
    let story = story.found_anew("D").expect_told_of_twins("D");
    story.wait_for("A", "k102", "3").wait_for("B", "k103", "4").converge().expect("D", "k101", "2").end();
}

/// Each has given the same name to another write, and each write is acknowledged on its side, before the sides meet.
#[test]
fn two_that_run_as_one_on_two_sides_of_a_partition_lose_nothing() {
    let story = before_the_copy("two sides").copy_machine("A", "D").part("A", "C").part("B", "C").connect("D", "C");
    let story = story.put("A", "k101", "2").wait_for("B", "k101", "2").put("D", "k102", "3").wait_for("C", "k102", "3");
    let story = story.put("A", "k103", "4").wait_for("B", "k103", "4").connect("B", "C");
    let story = story.wait_for("B", "k102", "3").wait_for("C", "k101", "2").wait_for("C", "k103", "4");
    let story = story.connect("A", "C").connect("D", "B").run_for(60_000_000).found_anew("D");
    let told = |world: &mut sim::world::World| ["A", "B", "C", "D"].iter().any(|at| world.told_of_twins(host(at)));
    let story = story.until("somebody is told", told).wait_for("A", "k102", "3").converge();
    story.expect("D", "k101", "2").expect("D", "k102", "3").expect("D", "k103", "4").end();
}

#[test]
fn a_directory_of_an_older_version_opens_and_goes_on() {
    let story = Story::inherited("older version", Knobs::SMALL).expect("quince", "golden");
    let story = story.put("apple", "ripe").kill().expect("apple", "ripe").snapshot().power_loss();
    story.expect("apple", "ripe").put("new", "1").close_and_open().expect("new", "1").end();
}
