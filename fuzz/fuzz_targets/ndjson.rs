#![no_main]

// The one file, not the driver that it belongs to: building tokio and axum under a sanitizer would take minutes.
#[path = "../../io-tokio/src/ndjson.rs"]
#[allow(dead_code, unused_imports, reason = "the target uses one function of it")]
mod ndjson;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ndjson::fuzz(data));
