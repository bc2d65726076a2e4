//! Nodes and their like over loopback.

pub(crate) mod automerge;
pub(crate) mod document;
pub(crate) mod iroh;
pub(crate) mod nats;
pub(crate) mod nodes;
pub(crate) mod pair;
pub(crate) mod plain;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod rig;
pub(crate) mod server;
pub(crate) mod yrs;

pub(crate) use crate::values::{noise, spread};
