//! Seeds and stories that failed once. They stay.

use sim::plan::{Climate, Exchange, Fleet, Knobs, What};
use sim::scenario::{Several, Story, host, put};
use sim::tally::Mark;
use softadastra_core::sync::Phase;

use crate::fleets::HASTY;

stories![
    a_backup_of_a_log_whose_first_segment_is_empty_opens,
    what_was_pruned_stays_acknowledged,
    a_peer_that_has_to_wait_for_a_full_exchange_does_not_make_the_node_spin,
    one_pong_answers_all_pings_that_arrive_together,
    a_backup_of_a_directory_that_was_copied_back_takes_nothing_from_others,
    what_two_directories_copied_back_told_each_other_is_not_taken_for_deleted,
    what_another_operation_of_that_name_hides_is_not_taken_for_deleted,
    what_somebody_out_of_reach_has_seen_deleted_stays_deleted,
    what_had_lost_to_something_dropped_is_gone_with_it,
    who_is_given_up_by_a_clock_that_is_ahead_counts_again_when_another_hears_it,
    who_was_given_up_far_ahead_of_time_counts_again_though_a_clock_was_set_back_meanwhile,
    who_is_given_up_by_a_clock_that_is_hours_ahead_counts_again_when_another_hears_it,
    who_is_given_up_right_after_its_last_word_counts_again_though_it_has_nothing_new_to_say,
    a_name_that_only_its_lost_successor_had_met_holds_nobody_up,
    two_that_have_dropped_the_same_do_not_wait_for_each_other,
    what_somebody_claimed_before_its_directory_was_copied_back_is_not_waited_for,
    a_directory_copied_back_is_told_what_it_claimed_by_one_that_it_does_not_meet,
    a_name_that_no_chain_proves_to_be_shared_is_not_kept_for_what_was_written_after_a_rollback,
    what_is_written_again_leaves_room_in_the_log_for_the_rest,
    the_last_words_of_a_killed_process_are_no_copy_of_it,
    what_came_with_a_full_exchange_is_told_by_its_chain_from_another_of_its_name,
];

/// Seed 648: a first segment for which there was no room is born without room for a record, and was left out of
/// backups, which then lacked their beginning.
#[test]
fn a_backup_of_a_log_whose_first_segment_is_empty_opens() {
    let knobs = Knobs { mark_after: 50_000, ..Knobs::SMALL };
    let story = Story::not_yet_up_with("empty first segment", knobs).full_but(20_000).run_for(500).room_again();
    let story = story.rest().put("a", "1").happens(What::Backup).rest();
    story.expect_mark(Mark::BackupOpened).end();
}

/// Seed 761: operations were acknowledged and pruned, and only the pruning had been logged when the process died. The
/// next run counted more as pruned than as acknowledged.
#[test]
fn what_was_pruned_stays_acknowledged() {
    let acknowledged = |count: u64| {
        move |world: &mut sim::world::World| {
            world.status(host("A")).is_some_and(|status| status.outbox.acknowledged == count)
        }
    };
    let story = Several::mesh("prune", 2).put("A", "x", "1").until("one is acknowledged", acknowledged(1));
    let story = story.happens("B", What::Slow { to: host("A"), extra: 30_000, window: 10_000_000 });
    let story = story.put("A", "y", "2").run_for(15_000).send("A", put("z", "3")).until("two are", acknowledged(2));
    let story = story.happens("A", What::Tick { prune: true }).run_for(5_000).kill("A").converge();
    story.expect_outbox("A", |outbox| outbox.pruned == 2 && outbox.acknowledged == 3).end();
}

/// Seed 20545: a full exchange hung, what another peer sent had to wait for it, and a deadline that had passed for that peer
/// was asked for again and again: the node span.
#[test]
fn a_peer_that_has_to_wait_for_a_full_exchange_does_not_make_the_node_spin() {
    // The names of all keys are more than one window.
    let exchange = Exchange { collect_ms: 1_000, lease_hours: 1, window: 4_096, ..Exchange::DEFAULT };
    let climate = Climate { latency: 20_000, ..Climate::QUICK };
    let fleet = Fleet { climate, ..Fleet::of(4, Knobs { exchange, ..Knobs::SMALL }) };
    let story = Several::apart_with("spin", &fleet).connect("A", "B").connect("A", "C").put("A", "gone", "1").settle();
    let long_keys = ('a'..'q').map(|letter| String::from(letter).repeat(1_000));
    let story = long_keys.fold(story, |story, key| story.put("A", &key, "1"));
    let story = story.wait_for("C", "gone", "1").wait_for("B", "gone", "1").part("A", "C").put("D", "other", "2");
    let days = What::Clock(48 * 3_600_000);
    let story = story.happens("A", days.clone()).happens("B", days.clone()).happens("C", days).delete("A", "gone");
    let story = story.run_for(10_000_000).expect_tombstones("A", 0);
    let story = story.connect("A", "C");
    let compares = |world: &mut sim::world::World| {
        let status = world.sync_status(host("C"));
        status.is_some_and(|status| status.peers.iter().any(|peer| peer.phase == Phase::FullExchange))
    };
    let story = story.until_looked(1_000, "a full exchange", compares).block_one_way("A", "C").connect("C", "D");
    let story = story.run_for(12_000_000).expect_absent("C", "other");
    story.connect("A", "C").end();
}

/// Seed 111: pings that a partition had kept came through together and were answered by one pong, to the last of them. The
/// node waited for the one to the first, and gave up a link on which nothing was wrong.
#[test]
fn one_pong_answers_all_pings_that_arrive_together() {
    let exchange = Exchange { ping_ms: 1_000, ack_timeout_ms: 5_000, ..Exchange::DEFAULT };
    let fleet = Fleet::of(2, Knobs { exchange, ..Knobs::SMALL });
    let story =
        Several::apart_with("pongs", &fleet).connect("A", "B").settle().block_one_way("A", "B").run_for(3_000_000);
    let story = story.connect("A", "B").run_for(500_000).put("B", "k", "1").wait_for("A", "k", "1");
    let links = |world: &mut sim::world::World| world.tally().marks.get(&Mark::LinkUp) == Some(&2);
    story.run_for(6_000_000).until("each has had one link", links).expect_links("A", 1).end();
}

/// Seed 50068 of five nodes: a directory was copied back, named two operations a second time, collected a deletion, and was
/// lost before anybody told it. The history that was restored from its backup claimed what the first of those names had meant,
/// and a peer took that for deleted.
#[test]
fn a_backup_of_a_directory_that_was_copied_back_takes_nothing_from_others() {
    let exchange = Exchange { collect_ms: 1_000, lease_hours: 1, ..Exchange::DEFAULT };
    let fleet = Fleet { rollbacks: true, ..Fleet::of(2, Knobs { exchange, ..Knobs::SMALL }) };
    let story = Several::apart_with("backup of a rollback", &fleet).put("A", "gone", "1").happens("A", What::Copy);
    let story = story.put("A", "k100", "2").connect("A", "B").wait_for("B", "k100", "2").settle().part("A", "B");
    let story = story.happens("A", What::CopyBack { down: 1_000 }).settle().expect_absent("A", "k100");
    let story = story.put("A", "k101", "3").delete("A", "gone").run_for(5_000_000).expect_tombstones("A", 0);
    let story = story.happens("A", What::Backup).settle().happens("A", What::Restore { down: 1_000 }).settle();
    let story = story.expect_mark(Mark::Restored).connect("A", "B").converge();
    story.expect("B", "k100", "2").expect("B", "k101", "3").expect_absent("B", "gone").end();
}

/// Formerly seed 5485 of five nodes: a directory that was copied back named an operation a second time and told it to another
/// such. A third node knew the first operation of that name, had since collected a deletion, and the second operation was
/// taken for deleted.
#[test]
fn what_two_directories_copied_back_told_each_other_is_not_taken_for_deleted() {
    let exchange = Exchange { collect_ms: 1_000, lease_hours: 1, ..Exchange::DEFAULT };
    let fleet = Fleet { rollbacks: true, ..Fleet::of(3, Knobs { exchange, ..Knobs::SMALL }) };
    let story = Several::of("two rollbacks", &fleet).settle().put("C", "gone", "1").put("A", "k100", "1").converge();
    let story = story.happens("A", What::Copy).happens("B", What::Copy).put("A", "k101", "2").converge();
    let story = story.part("A", "B").part("A", "C").part("B", "C");
    let story =
        story.happens("A", What::CopyBack { down: 1_000 }).happens("B", What::CopyBack { down: 1_000 }).settle();
    let story = story.put("A", "k102", "3").connect("A", "B").wait_for("B", "k102", "3").settle().part("A", "B");
    let story = story.happens("A", What::Replace { down: 1_000 }).settle();
    let story = story.happens("C", What::Clock(48 * 3_600_000)).delete("C", "gone").run_for(10_000_000);
    let story = story.expect_tombstones("C", 0).connect("B", "C").wait_for("C", "k102", "3").connect("A", "B");
    story.connect("A", "C").converge().expect("A", "k101", "2").expect_absent("A", "gone").end();
}

/// Seed 60295 of five nodes: a directory that was copied back named so many operations a second time that whoever knew the
/// first ones, and whoever knew the second ones, shared no seq by which to tell them apart. One of them had collected a
/// deletion under that name, claimed it, and did not have what it stood for at first; that was taken for deleted.
#[test]
fn what_another_operation_of_that_name_hides_is_not_taken_for_deleted() {
    let exchange = Exchange { collect_ms: 1_000, lease_hours: 1, ..Exchange::DEFAULT };
    let fleet = Fleet { rollbacks: true, ..Fleet::of(3, Knobs { exchange, ..Knobs::SMALL }) };
    let story = Several::of("hidden by another", &fleet).settle().put("C", "gone", "1").converge();
    let story = story.part("A", "C").part("B", "C").happens("A", What::Copy).put("A", "k100", "2");
    let story = story.wait_for("B", "k100", "2").settle().part("A", "B");
    let story = story.happens("A", What::CopyBack { down: 1_000 }).settle().expect_absent("A", "k100");
    let story = (101..=117).fold(story, |story, key| story.put("A", &format!("k{key}"), "3"));
    let story = story.connect("A", "C").wait_for("C", "k117", "3").settle().part("A", "C");
    let story = story.connect("A", "B").wait_for("A", "k100", "2").settle().part("A", "B");
    let story = story.happens("C", What::Clock(48 * 3_600_000)).delete("C", "gone").delete("C", "k105");
    let story = story
        .run_for(10_000_000)
        .expect_tombstones("C", 0)
        .put("C", "sign", "1")
        .connect("A", "C")
        .wait_for("A", "sign", "1")
        .expect_absent("A", "gone");
    let story = story.expect("A", "k100", "2").connect("A", "B").connect("B", "C").converge();
    story.expect("B", "k100", "2").expect("C", "k100", "2").expect_absent("B", "gone").end();
}

/// Seed 5317: a member came back from below the floor of a peer that knew nothing of a key, and wrote it again. A third node, not
/// reached at that moment, had seen the key deleted and had collected that. Under its new name it came back.
#[test]
fn what_somebody_out_of_reach_has_seen_deleted_stays_deleted() {
    let exchange = Exchange { collect_ms: 1_000, lease_hours: 1, ..Exchange::DEFAULT };
    for first in ["A", "B"] {
        let fleet = Fleet::of(4, Knobs { exchange, ..Knobs::SMALL });
        let story = Several::apart_with("out of reach", &fleet).put("A", "gone", "1").put("A", "kept", "1");
        let story = story.connect("A", "C").wait_for("C", "kept", "1").wait_for("C", "gone", "1").settle();
        let story = story.part("A", "C").delete("C", "gone").happens("C", What::Clock(48 * 3_600_000));
        let story = story.run_for(10_000_000).expect_tombstones("C", 0);
        let story = story.put("B", "other", "2").delete("B", "other").run_for(10_000_000).expect_tombstones("B", 0);
        let story = story.connect("A", "B").wait_for("B", "gone", "1").settle().part("A", "B");
        let story = story.connect("C", first).settle().expect_absent("C", "gone").power_loss_after("C", 0);
        let story = story.connect("A", "B").connect("B", "C").connect("A", "C").connect("D", "B").converge();
        let story = story.expect("D", "kept", "1").expect("B", "kept", "1");
        let story = ["A", "B", "C", "D"].into_iter().fold(story, |story, node| story.expect_absent(node, "gone"));
        ["A", "B", "C", "D"].into_iter().fold(story, |story, node| story.expect_conflicts(node, 0)).end();
    }
}

/// Seed 42818703427770 of 22 November 2026: what stood at B had won over a write of A, and B dropped it because C had
/// collected its deletion. C had never heard of A's write. A held it still, and nobody told A that it was gone.
#[test]
fn what_had_lost_to_something_dropped_is_gone_with_it() {
    let exchange = Exchange { collect_ms: 1_000, lease_hours: 1, ..Exchange::DEFAULT };
    let fleet = Fleet::of(3, Knobs { exchange, ..Knobs::SMALL });
    let story = Several::apart_with("lost to something dropped", &fleet).connect("A", "B").connect("B", "C");
    let story = story.put("B", "k", "1").put("B", "other", "1").converge();
    let story = story.block_one_way("B", "A").block_one_way("B", "C").put("A", "k", "2").wait_for("B", "k", "2");
    let cut = || What::Cut { with: host("B"), deaf: false, other_deaf: false };
    let story = story.put("C", "k", "3").wait_for("B", "k", "3").block_one_way("A", "B").block_one_way("C", "B");
    let story = story
        .happens("A", cut())
        .happens("C", cut())
        .delete("C", "k")
        .happens("C", What::Clock(48 * 3_600_000))
        .run_for(10_000_000);
    let dropped = |world: &mut sim::world::World| world.read(host("B"), b"k").is_none();
    let story = story.expect_tombstones("C", 0).connect("B", "C").until("B has dropped it", dropped);
    let story = story.expect("A", "k", "2").connect("A", "B").converge();
    let story = ["A", "B", "C"].into_iter().fold(story, |story, node| story.expect(node, "other", "1"));
    ["A", "B", "C"].into_iter().fold(story, |story, node| story.expect_absent(node, "k")).end();
}

/// Seed 590: a node gave another one up that lived, and was linked to a third one only. The clock of that one was eight minutes
/// behind; it took the moment for its own present, and what it said of the member it heard came too early to count.
#[test]
fn who_is_given_up_by_a_clock_that_is_ahead_counts_again_when_another_hears_it() {
    let exchange = Exchange { required_acks: 2, ..Exchange::DEFAULT };
    let fleet = Fleet::of(3, Knobs { exchange, ..Knobs::SMALL });
    let story = Several::apart_with("given up ahead of time", &fleet).happens("C", What::Clock(15 * 60_000));
    let story = story.connect("A", "B").connect("B", "C").put("C", "a", "1").converge();
    let story = story.happens("C", What::GiveUp { who: host("A") }).run_for(1_000_000).put("C", "a", "2").converge();
    story.expect("A", "a", "2").end();
}

/// Seed 55733396968028 of three nodes: a living node was given up by a clock that was two days ahead, and heard again there. Others
/// took both times for the latest that they believed, and one whose clock was set back in between took the second for the earlier.
/// Nobody told it again, because where the clock is right again no time passes until then.
#[test]
fn who_was_given_up_far_ahead_of_time_counts_again_though_a_clock_was_set_back_meanwhile() {
    let exchange = Exchange { required_acks: 2, ..Exchange::DEFAULT };
    let fleet = Fleet::of(3, Knobs { exchange, ..Knobs::SMALL });
    let story = Several::apart_with("given up far ahead", &fleet).connect("A", "B").connect("A", "C");
    let story = story.put("C", "a", "1").converge().happens("A", What::Clock(48 * 3_600_000));
    let story = story.block_one_way("B", "A").happens("A", What::GiveUp { who: host("B") }).run_for(1_000_000);
    let story = story.happens("A", What::Clock(-48 * 3_600_000)).happens("C", What::Clock(-10_000));
    let story = story.connect("A", "B").settle();
    story.put("C", "a", "2").converge().end();
}

/// Seed 29838147156453 of three nodes: as seed 590, but the clock was more than an hour ahead. What was said of it was taken for an
/// hour ahead, and so was earlier than the giving up.
#[test]
fn who_is_given_up_by_a_clock_that_is_hours_ahead_counts_again_when_another_hears_it() {
    let exchange = Exchange { required_acks: 2, ..Exchange::DEFAULT };
    let fleet = Fleet::of(3, Knobs { exchange, ..Knobs::SMALL });
    let story = Several::apart_with("given up hours ahead", &fleet).happens("A", What::Clock(5 * 3_600_000));
    let story = story.connect("A", "B").connect("B", "C").put("A", "a", "1").converge();
    let story = story.happens("A", What::GiveUp { who: host("C") }).run_for(1_000_000).put("A", "a", "2").converge();
    story.expect("C", "a", "2").end();
}

/// Seed 42818703426280: somebody was given up after the last operation had come to it, and before word of that was passed on. Its
/// links stood and it spoke, but had nothing new to say, so it counted no more, and the operation was never acknowledged.
#[test]
fn who_is_given_up_right_after_its_last_word_counts_again_though_it_has_nothing_new_to_say() {
    let exchange = Exchange { required_acks: 2, ..Exchange::DEFAULT };
    let fleet = Fleet::of(3, Knobs { exchange, ..Knobs::SMALL });
    let story = Several::apart_with("given up after its last word", &fleet).connect("A", "B").connect("B", "C");
    let story = story.put("A", "a", "1").converge().put("A", "a", "2").wait_for("C", "a", "2").run_for(100_000);
    let story = story.expect_outbox("A", |outbox| outbox.size() == 1).happens("A", What::GiveUp { who: host("C") });
    story.converge().end();
}

/// Seed 900152 of five nodes: a node that nobody had met was backed up, restored under another name, wrote on top of what it had
/// written, and was lost in the middle of its first transfer. Its former name was nobody's, so nobody could give it up.
#[test]
fn a_name_that_only_its_lost_successor_had_met_holds_nobody_up() {
    let exchange = Exchange { window: 4 << 10, ..Exchange::DEFAULT };
    let fleet = Fleet::of(3, Knobs { exchange, ..Knobs::SMALL });
    let story = Several::apart_with("a name of nobody", &fleet).put("A", "k", "1").happens("A", What::Backup).settle();
    let story = story.happens("A", What::Restore { down: 1_000 }).settle().expect_mark(Mark::Restored);
    let story = story.put("A", "k", "2").fill("A", 60, 20_000).connect("A", "B");
    let some = |world: &mut sim::world::World| world.read(host("B"), b"fill5").is_some();
    let story = story.until_looked(200, "some of it", some).happens("A", What::Replace { down: 1_000 });
    let story = story.expect_sync("B", "inexact", |status| !status.exact).happens("B", What::Retire);
    let story = story.run_for(20_000_000).expect_sync("B", "exact", |status| status.exact).connect("B", "C");
    let story = story.wait_for("C", "k", "2").settle().expect_sync("C", "exact", |status| status.exact);
    story.connect("A", "C").wait_for("A", "k", "2").end();
}

/// Seed 213151028415177: two replicas had dropped the same value, with it what had lost to it, and owed the floor. The one claimed
/// the deletion and lacked what had lost, the other claimed that and lacked the deletion, and neither told the other what to claim.
#[test]
fn two_that_have_dropped_the_same_do_not_wait_for_each_other() {
    let exchange = Exchange { collect_ms: 1_000, lease_hours: 1, window: 4_096, ..Exchange::DEFAULT };
    let fleet = Fleet::of(4, Knobs { exchange, ..Knobs::SMALL });
    let story = Several::apart_with("dropped by both", &fleet).connect("A", "B").connect("B", "C").connect("C", "D");
    let story = story.put("A", "other", "1").converge().part("A", "B").put("A", "k", "1").fill("A", 40, 1_000);
    let story = story.run_for(1_000_000).put("B", "k", "2").wait_for("D", "k", "2").settle();
    let story = story.part("C", "D").delete("D", "k").happens("D", What::Clock(48 * 3_600_000));
    let story = story.run_for(10_000_000).expect_tombstones("D", 0);
    // What A wrote has lost to what C holds. C hears of it, and not yet that it may claim it.
    let met = |world: &mut sim::world::World| world.sync_status(host("C")).is_some_and(|status| status.conflicts == 1);
    let story = story.connect("A", "B").until_looked(100, "C has met it", met).part("B", "C").settle();
    let dropped = |world: &mut sim::world::World| world.read(host("C"), b"k").is_none();
    let story = story.connect("C", "D").until("C has dropped it", dropped).connect("B", "C").converge();
    ["A", "B", "C", "D"].into_iter().fold(story, |story, node| story.expect_absent(node, "k")).end();
}

/// Seed 134851428497872 of three nodes: somebody claimed the last words of a history whose machine was lost, and then its directory
/// was copied back. It claimed them no more, and went on under its name; whoever held a part of them, and had heard of the claim,
/// waited for ever to be told to claim them too.
#[test]
fn what_somebody_claimed_before_its_directory_was_copied_back_is_not_waited_for() {
    let exchange = Exchange { window: 4_096, ..Exchange::DEFAULT };
    let fleet = Fleet { rollbacks: true, ..Fleet::of(3, Knobs { exchange, ..Knobs::SMALL }) };
    let story = Several::apart_with("claimed and copied back", &fleet).connect("A", "B").connect("B", "C");
    let story = story.put("C", "a", "1").put("B", "b", "1").converge().part("A", "B");
    // The copy knows nothing of the run in which B meets A next.
    let story = story.happens("B", What::Copy).close_and_open("B").put("C", "k", "1").fill("C", 40, 1_000);
    let story = story.wait_for("B", "fill39", &format!("{:01000}", 39)).settle().part("B", "C");
    let met = |world: &mut sim::world::World| world.read(host("A"), b"k").is_some();
    let story = story.connect("A", "B").until_looked(100, "A has met it", met).part("A", "B");
    let story = story.happens("C", What::Replace { down: 1_000 }).happens("B", What::CopyBack { down: 1_000 }).settle();
    let story = story.expect_absent("B", "k");
    let story = (0..100).fold(story, |story, key| story.put("B", &format!("own{key}"), "1"));
    story.connect("A", "B").connect("B", "C").end();
}

/// Seed 185316284033110: a directory was copied back, and whoever its node met again held no checkpoint of its log. Somebody it did
/// not meet had been told what it claimed of a history that was lost, and waited for ever to be told to claim that too.
#[test]
fn a_directory_copied_back_is_told_what_it_claimed_by_one_that_it_does_not_meet() {
    let exchange = Exchange { window: 4_096, ..Exchange::DEFAULT };
    let fleet = Fleet { rollbacks: true, ..Fleet::of(4, Knobs { exchange, ..Knobs::SMALL }) };
    let story = Several::apart_with("told by a third", &fleet).happens("A", What::Copy).put("D", "k", "1");
    let story = story.fill("D", 40, 1_000).connect("A", "D").wait_for("A", "fill39", &format!("{:01000}", 39));
    let story = story.settle().part("A", "D").happens("D", What::Replace { down: 1_000 });
    // C has a part of it, and A's word that it claims all.
    let met = |world: &mut sim::world::World| world.sync_status(host("C")).is_some_and(|status| !status.exact);
    let story = story.connect("A", "C").until_looked(100, "C has met some of it", met).part("A", "C");
    let story = story.happens("A", What::CopyBack { down: 1_000 }).settle().expect_absent("A", "k");
    let story = story.connect("B", "C").settle().happens("C", What::Retire).run_for(10_000_000);
    let waits = |status: &softadastra_core::sync::Status| !status.exact;
    let story = story.expect_sync("C", "waiting for what A claimed", waits);
    let story = story.connect("A", "B").run_for(10_000_000);
    let story = story.expect_sync("C", "exact", |status| status.exact).expect_sync("B", "exact", |status| status.exact);
    story.expect_sync("A", "exact", |status| status.exact).end();
}

/// Seed 99933820138319: a directory was copied back, and wrote until it had as many own operations as before. Whoever held those
/// behind the copy had been told nothing of their chain; the node learned of it by a checkpoint, and kept its name for all of them.
#[test]
fn a_name_that_no_chain_proves_to_be_shared_is_not_kept_for_what_was_written_after_a_rollback() {
    let exchange = Exchange { window: 4_096, ..Exchange::DEFAULT };
    let fleet = Fleet { rollbacks: true, ..Fleet::of(2, Knobs { exchange, ..Knobs::SMALL }) };
    let story = Several::apart_with("as many as before", &fleet).put("A", "a", "1").connect("A", "B").converge();
    let story =
        story.part("A", "B").happens("A", What::Copy).put("A", "k", "1").put("A", "k", "2").fill("A", 40, 1_000);
    let met = |world: &mut sim::world::World| world.read(host("B"), b"k").is_some();
    let story = story.connect("A", "B").until_looked(100, "B has met it", met).part("A", "B");
    let story = story.happens("A", What::CopyBack { down: 1_000 }).settle().expect_absent("A", "k");
    // Under the name of the first of those that were lost, which the second had seen.
    let story = story.put("A", "k", "3");
    let story = (0..41).fold(story, |story, key| story.put("A", &format!("own{key}"), "4"));
    let story = story.connect("A", "B").converge().expect("A", "k", "3").expect("B", "k", "3");
    let agreed = |status: &softadastra_core::sync::Status| status.divergences == 0;
    let story =
        story.expect_sync("A", "agreed with B at once", agreed).expect_sync("B", "agreed with A at once", agreed);
    story.expect("B", "own0", "4").expect("B", "own40", "4").end();
}

/// Seed 152167589593792: what a full exchange wrote again took all that the log could gather, so the rest of the exchange had to
/// wait; when it was tried once more, the same values were written again first, and so on for ever.
#[test]
fn what_is_written_again_leaves_room_in_the_log_for_the_rest() {
    let exchange = Exchange { collect_ms: 1_000, lease_hours: 1, ..Exchange::DEFAULT };
    let fleet = Fleet::of(2, Knobs { exchange, gather: 512, ..Knobs::SMALL });
    let story = Several::apart_with("written again", &fleet).connect("A", "B").put("A", "both", "1").converge();
    let story = story.part("A", "B").happens("A", What::Clock(48 * 3_600_000)).settle().delete("A", "both");
    // Stamped above all that B writes.
    let story = story.put("A", "gone", "1").delete("A", "gone").run_for(10_000_000).expect_tombstones("A", 0);
    let long = "v".repeat(150);
    let story = ["x", "y", "z"].into_iter().fold(story, |story, key| story.put("B", key, &long));
    let story = story.settle().connect("A", "B").converge().expect("A", "x", &long).expect("A", "z", &long);
    story.expect_outbox("B", |outbox| outbox.last == 6).end();
}

/// Seed 90483 of five nodes: a process was killed with a handshake on its way, and its successor was there before that: taken for
/// an older run that came back, which only a copied directory brings about.
#[test]
fn the_last_words_of_a_killed_process_are_no_copy_of_it() {
    for moment in (100_000..700_000).step_by(50_000) {
        let fleet = Fleet { roads: vec![(host("A"), host("B"))], ..Fleet::of(2, HASTY) };
        let story = Several::of("last words", &fleet).settle();
        let story = story.happens("A", What::Slow { to: host("B"), extra: 300_000, window: moment });
        let story = story.happens("A", What::Cut { with: host("B"), deaf: false, other_deaf: false });
        let story = story.run_for(moment).happens("A", What::Offline { window: 1_000 }).run_for(5_000);
        let story = story.kill("A").run_for(1_000_000).put("A", "till", "open");
        story.wait_for("B", "till", "open").expect_links("B", 1).converge().end();
    }
}

/// Seed 215331951419855 of three nodes: the cut that ends a full exchange claimed what its sender had written, and did not say of which
/// history that is. So nobody saw that the name stood for another operation, too, once the directory had been copied back.
#[test]
fn what_came_with_a_full_exchange_is_told_by_its_chain_from_another_of_its_name() {
    let exchange = Exchange { collect_ms: 1_000, lease_hours: 1, ..Exchange::DEFAULT };
    let fleet = Fleet { rollbacks: true, ..Fleet::of(3, Knobs { exchange, ..Knobs::SMALL }) };
    let days = What::Clock(48 * 3_600_000);
    let story =
        Several::apart_with("no chain", &fleet).connect("A", "B").connect("A", "C").put("A", "both", "1").converge();
    let story = story.part("A", "B").part("A", "C").happens("A", What::Copy).happens("A", days.clone()).settle();
    let story = story.put("A", "k", "1").put("A", "gone", "1").delete("A", "gone");
    let story = story.run_for(10_000_000).expect_tombstones("A", 0);
    let story = story.connect("A", "B").wait_for("B", "k", "1").settle().part("A", "B");
    let story = story.happens("A", What::CopyBack { down: 1_000 }).settle().expect_absent("A", "k");
    // Under the names of those that were lost, and forgotten as deleted by one who met nothing else.
    let story = story.put("A", "other", "2").delete("A", "other").put("A", "last", "2");
    let story = story.connect("A", "C").wait_for("C", "last", "2").settle().part("A", "C").happens("C", days).settle();
    let story = story.put("C", "own", "3").delete("C", "own").run_for(10_000_000).expect_tombstones("C", 0);
    let story = story.connect("B", "C").wait_for("C", "k", "1");
    story.connect("A", "B").connect("A", "C").converge().expect("A", "k", "1").expect("B", "last", "2").end();
}
