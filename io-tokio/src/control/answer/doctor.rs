//! What `softadastra doctor` answers.

use serde::{Deserialize, Serialize};

/// What was looked at, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doctor {
    /// The data directory.
    pub data_dir: String,
    /// Checks that failed: the node does not do its work, or will not.
    pub failed: u64,
    /// Checks that found something to see to before it fails.
    pub warnings: u64,
    /// Every check, in order.
    pub checks: Vec<Check>,
}

impl Doctor {
    /// Counts the checks.
    #[must_use]
    pub fn of(data_dir: String, checks: Vec<Check>) -> Self {
        let count = |state: &str| checks.iter().filter(|check| check.state == state).count() as u64;
        Self { data_dir, failed: count("failed"), warnings: count("warning"), checks }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at, such as `directory`.
    pub name: String,
    /// `ok`, `warning`, `failed`, or `skipped` when something before it stands in the way.
    pub state: String,
    /// What was found.
    pub found: String,
    /// What to do; empty when there is nothing to do.
    pub next: String,
}

impl Check {
    /// Nothing is wrong.
    #[must_use]
    pub fn ok(name: &str, found: impl Into<String>) -> Self {
        Self::new(name, "ok", found, "")
    }

    /// It works, and something should be seen to.
    #[must_use]
    pub fn warning(name: &str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(name, "warning", found, next)
    }

    /// It does not work.
    #[must_use]
    pub fn failed(name: &str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(name, "failed", found, next)
    }

    /// It could not be looked at.
    #[must_use]
    pub fn skipped(name: &str, why: impl Into<String>) -> Self {
        Self::new(name, "skipped", why, "")
    }

    fn new(name: &str, state: &str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state: state.to_owned(), found: found.into(), next: next.into() }
    }
}
