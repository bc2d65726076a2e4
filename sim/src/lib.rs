//! Deterministic simulation: one number decides workload, disk, clocks, crashes and configuration, and the same
//! number gives the same run, always. `docs/simulation.md` is the manual.

pub mod again;
pub mod chance;
mod child;
pub mod disk;
#[expect(clippy::indexing_slicing, reason = "test code: an index out of range stops the run, as it should")]
pub mod fuzzing;
pub mod host_stories;
pub mod judges;
pub mod logview;
pub mod network;
pub mod oracle;
pub mod paths;
pub mod plan;
pub mod planted;
pub mod replay;
pub mod scenario;
pub mod shorten;
pub mod shrink;
pub mod swarm;
pub mod tally;
pub mod told;
pub mod trace;
#[cfg(feature = "turmoil")]
pub mod turmoil;
pub mod watch;
pub mod world;
