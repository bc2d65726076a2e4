//! Deterministic simulation: one number decides workload, disk, clocks, crashes and configuration, and the same
//! number gives the same run, always.

pub mod chance;
pub mod disk;
#[expect(clippy::indexing_slicing, reason = "test code: an index out of range stops the run, as it should")]
pub mod fuzzing;
