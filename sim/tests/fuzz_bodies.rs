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
