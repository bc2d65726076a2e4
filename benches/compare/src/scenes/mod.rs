//! The cells of each group: who is measured, and doing what.

pub(crate) mod binary;
pub(crate) mod engines;
pub(crate) mod fleet;
pub(crate) mod growth;
pub(crate) mod idle;
pub(crate) mod log_size;
pub(crate) mod memory;
pub(crate) mod opening;
pub(crate) mod replication;
pub(crate) mod visible;
