//! The pure state machines of Softadastra, a local-first replicated key-value engine.
//!
//! Nothing here reads a clock, a file, a socket or a random device, and nothing waits. A driver hands in facts and
//! commands together with the time, and carries out what comes back:
//!
//! ```
//! use softadastra_core::config::{Config, Durability};
//! use softadastra_core::dice::Seed;
//! use softadastra_core::node::{Opening, OpeningState, Output, Start, Write};
//! use softadastra_core::time::{Instant, Now, WallTime};
//!
//! let now = Now { mono: Instant(0), wall: WallTime(1_700_000_000_000) };
//! // Without a log there is no disk to wait for: the node is ready at once.
//! let config = Config { durability: Durability::Memory, ..Config::default() };
//! let opening = Opening::new(config, Seed([7; 32]), now, Start::OpenOrCreate)?;
//! let OpeningState::Ready(mut node, _report) = opening.advance(now) else { panic!("nothing to wait for") };
//!
//! let put = Write::Put { key: "till/1".into(), value: "open".into(), expect: None, touch: false };
//! let request = node.write(now, vec![put])?;
//! while let Some(output) = node.poll_output(now) {
//!     match output {
//!         Output::Reply { request: answered, result } => assert!(answered == request && result.is_ok()),
//!         // With a log, a driver carries out the operation and hands its completion to `Node::handle`.
//!         Output::Disk(_) => unreachable!("a memory-only node has no disk"),
//!         Output::Link { .. } | Output::Pin { .. } => unreachable!("its transport was not started"),
//!         Output::Datagram { .. } => unreachable!("nor was its discovery"),
//!         Output::Published(_) | Output::Event(_) | Output::Closed => {}
//!     }
//! }
//! assert_eq!(node.store().get(b"till/1").and_then(|entry| entry.value()), Some(&b"open"[..]));
//! # Ok::<(), softadastra_core::error::Error>(())
//! ```
//!
//! | module | what it is |
//! | --- | --- |
//! | [`node`] | the composition that drivers and simulators embed |
//! | [`wal`] | the write-ahead log: frames, group commit, recovery, snapshots |
//! | [`store`] | the ordered map of entries, their merge, the feed of changes, the digest |
//! | [`transport`] | authenticated links, trust, tickets |
//! | [`discovery`] | announcements over UDP, and the registry of who was heard |
//! | [`disk`] | the contract with a directory on disk |
//! | [`op`], [`context`], [`clock`], [`ids`], [`identity`] | operations, causality, time, names, keys |
//! | [`config`], [`limits`], [`error`] | settings, bounds, the one error shape |
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

/// Whether a known bug is planted here. Always false, but in the simulator's own build with `--cfg planted`.
macro_rules! planted {
    ($name:literal) => {
        cfg!(planted) && crate::planted::is($name)
    };
}

/// Marks a rare path: see [`marks`].
macro_rules! covered {
    ($name:literal) => {{
        #[cfg(feature = "marks")]
        crate::marks::hit($name);
    }};
}

mod base32;
mod cells;
pub mod clock;
pub mod codec;
pub mod config;
pub mod context;
pub mod dice;
pub mod discovery;
pub mod disk;
pub mod error;
mod hash;
pub mod identity;
pub mod ids;
pub mod limits;
pub mod marks;
pub mod metadata;
pub mod node;
pub mod op;
pub mod planted;
mod runs;
pub mod sink;
pub mod store;
pub mod sync;
#[cfg(test)]
pub(crate) mod testing;
pub mod time;
pub mod transport;
pub mod wal;
