//! The bodies of the fuzz targets, on bytes from a fixed stream: what a fuzzer would find in its first seconds.

use proptest::prelude::*;
use sim::fuzzing;

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn frame(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        fuzzing::frame(&data);
    }

    #[test]
    fn log_directory(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        fuzzing::log_directory(&data);
    }

    #[test]
    fn damaged_log(data in proptest::collection::vec(any::<u8>(), 0..100)) {
        fuzzing::damaged_log(&data);
    }
}

/// Fifteen bytes across the border of the last two frames of a log that was not closed: nothing is left to prove either.
#[test]
fn one_damage_may_take_the_last_two_frames_of_a_log_that_was_not_closed() {
    fuzzing::damaged_log(&[159, 128, 118, 38, 129, 46, 189, 6, 117, 148, 131, 19, 0, 180, 129, 14]);
}
