//! What the demonstration answers.

use serde::{Deserialize, Serialize};

/// What `demo` showed. It is only told when all of it held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demo {
    /// What was done, in order.
    pub steps: Vec<DemoStep>,
    /// The nodes, and what each holds at the end.
    pub nodes: Vec<DemoNode>,
    /// How long all of it took, in milliseconds.
    pub took_ms: u64,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoStep {
    /// What it is about.
    pub title: String,
    /// What was done and seen.
    pub told: Vec<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// One node at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoNode {
    /// Its name.
    pub node_id: String,
    /// Keys that have a value.
    pub keys: u64,
    /// Order-independent digest of the contents: 32 hex digits; the same on all nodes.
    pub digest: String,
    /// Own operations that another node holds durably.
    pub acknowledged: u64,
    /// Own operations that none does.
    pub outbox: u64,
    /// Conflicts recorded here.
    pub conflicts: u64,
}
