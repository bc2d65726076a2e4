//! The pure state machines of Softadastra.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod clock;
pub mod codec;
pub mod context;
pub mod dice;
pub mod disk;
pub mod error;
pub mod ids;
pub mod limits;
pub mod op;
pub mod sink;
#[cfg(test)]
pub(crate) mod testing;
pub mod store;
pub mod time;
pub mod wal;
