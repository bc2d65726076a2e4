//! Seeds and stories that failed once. They stay.

use sim::plan::{Knobs, What};
use sim::scenario::Story;
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
