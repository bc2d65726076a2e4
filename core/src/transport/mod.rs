//! Authenticated links between nodes.
//!
//! | module | one idea |
//! | --- | --- |
//! | [`identity`] | a node is an Ed25519 key; a network is a secret |
//! | [`trust`] | whose key may stay |
//! | [`ticket`], [`address`] | how a second node finds and joins the first |

pub mod address;
mod base32;
pub mod identity;
pub mod ticket;
pub mod trust;
