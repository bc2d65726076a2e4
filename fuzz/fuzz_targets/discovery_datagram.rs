#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| softadastra_core::discovery::fuzz::datagram(data));
