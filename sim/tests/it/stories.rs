//! Named stories, one for each paragraph of the design that one node can keep or break.

use sim::disk::{Fate, Harm, Loss, OpKind};
use sim::oracle::Told;
use sim::plan::{Knobs, What};
use sim::scenario::{Story, put};
use sim::tally::Mark;
use softadastra_core::disk::DiskErrorKind;
use softadastra_core::error::Code;
use softadastra_core::node::Write;

stories![
    an_answer_survives_the_end_of_the_process,
    an_answer_survives_a_power_loss,
    a_deleted_key_stays_deleted,
    a_key_deleted_before_a_snapshot_stays_deleted,
    a_write_cut_off_by_a_power_loss_leaves_no_trace,
    a_batch_is_whole_or_not_at_all,
    writes_that_come_together_share_a_sync,
    without_a_sync_for_each_answer_a_kill_takes_nothing,
    without_a_sync_for_each_answer_a_power_loss_takes_what_is_young,
    what_was_found_after_a_kill_survives_a_power_loss,
    a_failed_sync_stops_the_log_and_leaves_reads,
    what_a_failed_sync_left_in_the_page_cache_is_not_believed,
    a_short_write_fails_by_name,
    a_full_disk_refuses_and_room_heals,
    a_flipped_bit_in_acknowledged_data_is_refused_and_named,
    a_torn_tail_is_not_damage,
    old_segments_go_only_when_the_snapshot_is_durable,
    disk_space_is_bounded_by_snapshots,
    the_clock_does_not_go_back_with_the_wall_clock,
    an_idle_log_marks_its_last_frame,
    a_clean_close_is_known_as_such,
    settings_may_change_at_a_restart,
    a_backup_taken_during_writes_opens,
    crash_loops_come_to_an_end,
    what_removed_files_left_on_the_disk_is_never_taken_for_records,
    a_conditional_write_holds_only_if_nothing_came_between,
    an_unchanged_value_writes_nothing_unless_it_is_touched,
];

const LAZY: Knobs = Knobs { sync_every: 50_000, ..Knobs::SMALL };

#[test]
fn an_answer_survives_the_end_of_the_process() {
    Story::begin("kill").put("till", "open").kill().expect("till", "open").end();
}

#[test]
fn an_answer_survives_a_power_loss() {
    Story::begin("power").put("till", "open").power_loss().expect("till", "open").end();
}

#[test]
fn a_deleted_key_stays_deleted() {
    Story::begin("delete").put("a", "1").delete("a").power_loss().expect_absent("a").end();
}

#[test]
fn a_key_deleted_before_a_snapshot_stays_deleted() {
    let story = Story::begin("delete and snapshot").put("a", "1").delete("a").put("b", "2").snapshot();
    story.power_loss().expect_absent("a").expect("b", "2").put("a", "3").end();
}

#[test]
fn a_write_cut_off_by_a_power_loss_leaves_no_trace() {
    let story = Story::begin("torn").put("a", "1").send_put("b", &"b".repeat(5_000));
    let loss = Loss { data: Fate::Mixed(50), names: Fate::Kept, stale: false, salt: 4 };
    let story = story.power_loss_after(1, loss).expect("a", "1").expect_absent("b").expect_mark(Mark::TornTailCut);
    story.put("c", "3").power_loss().expect("c", "3").expect_absent("b").end();
}

#[test]
fn a_batch_is_whole_or_not_at_all() {
    for after in 0..6 {
        let batch = vec![put("a", &"a".repeat(3_000)), put("b", "b"), put("c", &"c".repeat(3_000))];
        let loss = Loss { data: Fate::Mixed(50), names: Fate::Kept, stale: false, salt: u64::from(after) };
        // The judges compare the state with every beginning of the log: a part of a batch is none.
        Story::begin("batch").send(batch).power_loss_after(after, loss).end();
    }
}

#[test]
fn writes_that_come_together_share_a_sync() {
    let story =
        Story::begin("group commit").send_put("a", "1").send_put("b", "2").send_put("c", "3").send_put("d", "4");
    story.rest().told(Told::Done).expect_mark(Mark::GroupCommit).power_loss().expect("b", "2").end();
}

#[test]
fn without_a_sync_for_each_answer_a_kill_takes_nothing() {
    Story::begin_with("lazy kill", LAZY)
        .send_put("a", "1")
        .run_for(1_000)
        .told(Told::Done)
        .kill()
        .expect("a", "1")
        .end();
}

#[test]
fn without_a_sync_for_each_answer_a_power_loss_takes_what_is_young() {
    let story = Story::begin_with("lazy power", LAZY).put("old", "1").send_put("young", "2").run_for(1_000);
    story.told(Told::Done).power_loss().expect("old", "1").expect_absent("young").end();
}

#[test]
fn what_was_found_after_a_kill_survives_a_power_loss() {
    let story = Story::begin_with("found", LAZY).send_put("a", "1").run_for(1_000).told(Told::Done);
    story.kill().expect("a", "1").power_loss().expect("a", "1").end();
}

#[test]
fn a_failed_sync_stops_the_log_and_leaves_reads() {
    let story = Story::begin("poison").put("a", "1").fault(OpKind::Sync, 0, Harm::DropPages(Fate::Lost));
    let story = story.send_put("a", "2").rest().told(Told::Unknown).expect("a", "1").expect_health("degraded");
    let story = story.send_put("b", "3").told(Told::Failed).expect("a", "1");
    story.kill_and_evict().expect("a", "1").expect_absent("b").expect_health("ready").put("b", "4").end();
}

#[test]
fn what_a_failed_sync_left_in_the_page_cache_is_not_believed() {
    let story = Story::begin("page cache").put("a", "1").fault(OpKind::Sync, 0, Harm::DropPages(Fate::Lost));
    // After the kill the frame is readable, so it is found and shown; then it must be on the disk as well.
    let story = story.send_put("a", "2").rest().told(Told::Unknown).kill().expect("a", "2");
    story.put("b", "3").power_loss().expect("a", "2").expect("b", "3").end();
}

#[test]
fn a_short_write_fails_by_name() {
    let story = Story::begin("short write").put("a", "1").fault(OpKind::Write, 0, Harm::Short(50, DiskErrorKind::Io));
    let story = story.send_put("a", &"2".repeat(4_000)).rest().told(Told::Unknown).expect("a", "1");
    story.kill().expect("a", "1").put("a", "3").end();
}

#[test]
fn a_full_disk_refuses_and_room_heals() {
    let big = "x".repeat(60_000);
    // What was prepared in time is used up first.
    let story = Story::begin("disk full").put("a", &big).full_but(0).put("filler", &big).put("filler", "x");
    let story = story.send_put("b", &big).rest().told(Told::Failed);
    let story = story.expect_health("disk_full").expect("a", &big).expect_absent("b");
    story
        .room_again()
        .put("b", &big)
        .expect_health("ready")
        .expect_mark(Mark::RoomAgain)
        .power_loss()
        .expect("b", &big)
        .end();
}

#[test]
fn a_flipped_bit_in_acknowledged_data_is_refused_and_named() {
    let story = Story::begin("rot").put("a", "1").put("b", "2").happens_rot("0000000000000001.seg", 160 * 8);
    story.expect_refused(Code::WalCorrupt, "0000000000000001.seg").expect_down();
}

#[test]
fn a_torn_tail_is_not_damage() {
    let loss = Loss { data: Fate::Lost, names: Fate::Kept, stale: false, salt: 0 };
    Story::begin("torn, not damaged").put("a", "1").send_put("b", "2").power_loss_after(1, loss).expect("a", "1").end();
}

#[test]
fn old_segments_go_only_when_the_snapshot_is_durable() {
    let story = Story::begin("snapshot").fill(12, 3, 20_000).expect_mark(Mark::Roll).snapshot();
    story.power_loss().expect("fill0", &format!("{:020000}", 9)).expect_mark(Mark::SnapshotLoaded).end();
}

#[test]
fn disk_space_is_bounded_by_snapshots() {
    let story = Story::begin("bounded").fill(120, 3, 20_000);
    // Live data: 60 kB. Two segments of at most 128 KiB, a spare and two snapshots may stand beside each other.
    let used = story.used();
    assert!(used < 700_000, "{used} bytes on disk for 60,000 of data");
    story.end();
}

#[test]
fn the_clock_does_not_go_back_with_the_wall_clock() {
    let story = Story::begin("clock").put("a", "1").happens(What::Clock(-86_400_000)).put("a", "2");
    story.kill().put("a", "3").snapshot().power_loss().put("a", "4").expect("a", "4").end();
}

#[test]
fn an_idle_log_marks_its_last_frame() {
    Story::begin("mark").put("a", "1").expect_mark(Mark::MarkWritten).end();
}

#[test]
fn a_clean_close_is_known_as_such() {
    Story::begin("close").put("a", "1").close_and_open().expect("a", "1").expect_mark(Mark::CleanStart).end();
}

#[test]
fn settings_may_change_at_a_restart() {
    let larger = Knobs { first_segment: 256 << 10, max_segment: 1 << 20, ..Knobs::SMALL };
    let story = Story::begin("settings").fill(5, 2, 20_000).close_and_open_with(larger).fill(9, 2, 20_000);
    story.close_and_open_with(LAZY).put("a", "1").close_and_open().expect("a", "1").end();
}

#[test]
fn a_backup_taken_during_writes_opens() {
    let story =
        Story::begin("backup").fill(6, 3, 20_000).happens(What::Backup).send_put("a", "1").happens(What::Snapshot);
    story.rest().expect_mark(Mark::BackupOpened).end();
}

#[test]
fn crash_loops_come_to_an_end() {
    let mut story = Story::begin("crash loop").put("a", "1");
    for after in 0..12 {
        story = story.send_put("b", "2").power_loss_after(after, Loss { salt: u64::from(after), ..Loss::TOTAL });
    }
    story.expect("a", "1").put("c", "3").end();
}

/// A disk without ordered data shows in new files what removed ones left.
#[test]
fn what_removed_files_left_on_the_disk_is_never_taken_for_records() {
    for salt in 0..6 {
        let loss = Loss { data: Fate::Mixed(30), names: Fate::Kept, stale: true, salt };
        // Rolls and snapshots, so that files are removed and others take their blocks.
        let story = Story::begin("stale blocks").fill(20, 3, 20_000).expect_mark(Mark::SnapshotDone);
        let story = story.send_put("late", &"l".repeat(30_000)).power_loss_after(2, loss);
        let last = |index: usize| format!("{index:020000}");
        let story = story.expect("fill0", &last(18)).expect("fill1", &last(19)).expect("fill2", &last(17));
        story.put("after", "fine").power_loss().expect("after", "fine").end();
    }
}

#[test]
fn a_conditional_write_holds_only_if_nothing_came_between() {
    let put_if = |value: &str, expect| {
        let (key, value) = ("till".into(), value.to_owned().into());
        vec![Write::Put { key, value, expect: Some(expect), touch: false }]
    };
    let story = Story::begin("condition").send(put_if("first", 0)).rest().told(Told::Done);
    let story = story.send(put_if("second", 1)).rest().told(Told::Done).expect_version("till", 2);
    let story = story.send(put_if("stale", 1)).rest().told(Told::Failed).expect_mark(Mark::Mismatch);
    story.power_loss().expect("till", "second").expect_version("till", 2).end();
}

#[test]
fn an_unchanged_value_writes_nothing_unless_it_is_touched() {
    let touch = Write::Put { key: "till".into(), value: "open".into(), expect: None, touch: true };
    let mut story = Story::begin("unchanged").put("till", "open");
    let before = story.published();
    let mut story = story.put("till", "open").expect_version("till", 1);
    assert_eq!(story.published(), before, "an unchanged write took an LSN");
    let mut story = story.send(vec![touch]).rest().told(Told::Done).expect_version("till", 2);
    assert!(story.published() > before, "a touch took none");
    story.power_loss().expect_version("till", 2).end();
}
