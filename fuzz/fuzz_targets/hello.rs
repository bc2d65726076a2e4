#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| softadastra_core::sync::fuzz::hello(data));
