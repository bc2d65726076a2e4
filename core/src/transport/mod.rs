//! Authenticated links between nodes.
//!
//! | module | one idea |
//! | --- | --- |
//! | [`identity`] | a node is an Ed25519 key; a network is a secret |
//! | [`trust`] | whose key may stay |
//! | [`ticket`], [`address`] | how a second node finds and joins the first |
//! | [`session`] | one link: handshake, records, lanes, keys that change, deadlines |
//! | [`endpoint`] | all links: dialling, bounds, one link per pair, states of peers |
//! | [`reason`] | why a link ended |

pub mod address;
pub mod endpoint;
#[doc(hidden)]
pub mod fuzz;
mod hello;
mod noise;
pub mod reason;
pub mod session;
pub mod ticket;
pub mod trust;

pub use self::hello::{VERSIONS, Versions};
pub use crate::identity;
