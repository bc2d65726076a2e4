//! The other world: the driver and the client that people run, on a simulated network, on simulated disks and clocks.
//!
//! | module | one idea |
//! | --- | --- |
//! | [`script`] | what is to happen to which host, and when |
//! | [`stories`] | scripts with a plot: who, when and how long are drawn from a seed |
//! | [`storm`] | the random run: the seed decides everything |
//! | [`stage`] | plays a script, and asks for peace at its end |
//! | [`shorten`] | the shortest script that breaks a promise |
//! | [`host`] | one machine: it opens the node, is crashed, opens it again |
//! | [`work`] | programs on a host, that write and read through the client |
//! | [`memory`] | what one program was told, and what it may read therefore |
//! | [`record`] | the story as it was, and the first promise that broke |
//! | [`judge`] | what must hold between hosts, at every moment and at the end |
//! | [`disk`], [`clock`], [`net`] | the world of a driver |
//!
//! Where [`crate::world`] crashes a node between any two effects, this one runs everything around the node as well, which
//! the other cannot see: tasks, queues, locks, timeouts, connections.

pub mod clock;
pub mod disk;
mod draw;
pub mod host;
pub mod judge;
pub mod memory;
pub mod net;
pub mod record;
pub mod script;
pub mod shorten;
pub mod stage;
pub mod stories;
pub mod storm;
pub mod work;

pub use self::script::Script;
pub use self::shorten::shorten;
pub use self::stage::{Outcome, play};
