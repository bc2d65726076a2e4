//! What `cargo test -p sim` runs: seeds, stories, determinism, the I/O error loop, crashes at every step.

mod determinism;
mod fleets;
mod io_errors;
mod protocols;
mod regressions;
mod seeds;
mod stories;
mod turmoil;
