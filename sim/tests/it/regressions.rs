//! Seeds and stories that failed once. They stay.

use sim::plan::{Knobs, What};
use sim::scenario::{Several, Story, host, put};
use sim::tally::Mark;

/// Seed 648: a first segment for which there was no room is born without room for a record, and was left out of
/// backups,
/// which then lacked their beginning.
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
