//! Rare paths of the engine, marked there by `covered!("name")`: a simulator that never takes one says nothing about it.

use std::collections::BTreeMap;

/// How often a path is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By some of a few dozen seeds: the fixed ones must.
    Often,
    /// By one of thousands of seeds, or only by a story.
    Seldom,
}

/// All of them, in order of their names.
pub const RARE: &[(&str, How)] = &[
    ("behind_what_was_dropped", How::Seldom),
    ("came_after_its_deletion_was_collected", How::Seldom),
    ("checkpoint_rides_on_what_is_on_its_way", How::Often),
    ("claimed_less_than_it_had_told", How::Seldom),
    ("close_without_room_for_its_frame", How::Seldom),
    ("closed_history_compared", How::Seldom),
    ("cut_segment_not_filled_up", How::Seldom),
    ("damage_before_a_later_segment", How::Often),
    ("damage_proven_by_the_snapshot", How::Often),
    ("datagram_heard_before", How::Often),
    ("dropped_what_another_may_hold", How::Seldom),
    ("dropped_what_the_peer_owes", How::Seldom),
    ("entry_put_off", How::Often),
    ("equal_resolutions_collapse", How::Often),
    ("first_segment_without_room", How::Seldom),
    ("floor_rose_during_the_greeting", How::Seldom),
    ("floor_rose_in_a_session", How::Often),
    ("frame_waits_for_a_segment", How::Often),
    ("full_exchange_drops", How::Seldom),
    ("full_exchange_lost_its_turn", How::Seldom),
    ("full_exchange_spoiled", How::Seldom),
    ("full_exchange_writes_again", How::Seldom),
    ("given_up_while_linked", How::Seldom),
    ("handshake_too_slow", How::Seldom),
    ("history_renamed", How::Seldom),
    ("keys_of_a_link_renewed", How::Often),
    ("known_operation_outranks_the_winner", How::Seldom),
    ("log_copied_into_a_value", How::Often),
    ("loser_of_a_conflict_passed_on", How::Often),
    ("node_of_another_time_is_asked_back", How::Often),
    ("owed_floor_settled", How::Seldom),
    ("owed_what_the_peer_owes", How::Seldom),
    ("peer_forgot_its_own_operations", How::Seldom),
    ("peer_lacks_nothing", How::Often),
    ("peer_takes_nothing_for_too_long", How::Seldom),
    ("put_off_and_no_longer_heard_first_hand", How::Often),
    ("recycled_segment_goes_on_without_room", How::Seldom),
    ("recycled_segment_sealed_at_a_start", How::Often),
    ("repetition_buried", How::Seldom),
    ("segment_written_over", How::Often),
    ("segment_written_over_for_want_of_room", How::Seldom),
    ("two_histories_under_one_name", How::Seldom),
    ("unproven_end_written_again", How::Often),
    ("waits_for_the_end_of_an_exchange", How::Seldom),
    ("write_waits_for_a_rebirth", How::Seldom),
    ("writes_refused_for_want_of_room", How::Often),
    ("written_again_beside_a_tombstone", How::Seldom),
];

/// How often this thread has taken each of them since it last asked; nothing where they are not counted.
#[must_use]
pub fn taken() -> BTreeMap<&'static str, u64> {
    #[cfg(feature = "marks")]
    return softadastra_core::marks::take();
    #[cfg(not(feature = "marks"))]
    BTreeMap::new()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn marked_below(folder: &Path, names: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                marked_below(&path, names);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                let marks = text.split("covered!(\"").skip(1).filter_map(|rest| rest.split_once('"'));
                names.extend(marks.map(|(name, _)| name.to_owned()).filter(|name| name != "name"));
            }
        }
    }

    #[test]
    fn every_path_that_is_marked_in_the_engine_is_listed_and_no_other() {
        let mut marked = BTreeSet::new();
        marked_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src"), &mut marked);
        let listed: Vec<String> = RARE.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(listed, marked.into_iter().collect::<Vec<_>>());
    }
}
