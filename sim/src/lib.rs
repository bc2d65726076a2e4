//! Deterministic simulation: one number decides workload, disk, clocks, crashes and configuration, and the same
//! number gives the same run, always.

pub mod chance;
pub mod disk;
pub mod fuzzing;
