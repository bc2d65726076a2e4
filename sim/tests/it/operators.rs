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

#[test]
fn a_directory_of_an_older_version_opens_and_goes_on() {
    let story = Story::inherited("older version", Knobs::SMALL).expect("quince", "golden");
    let story = story.put("apple", "ripe").kill().expect("apple", "ripe").snapshot().power_loss();
    story.expect("apple", "ripe").put("new", "1").close_and_open().expect("new", "1").end();
}
