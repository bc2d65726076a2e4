//! What there is to mutate: the list that `cargo mutants` makes.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::Failure;

/// Names a mutant in one run, from 1.
pub(crate) type Id = usize;

/// What is changed, in the words of cargo-mutants.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
pub(crate) enum Genre {
    /// A function returns at once, with some value of its type.
    FnValue,
    /// One operator instead of another.
    BinaryOperator,
    /// No operator.
    UnaryOperator,
    /// An arm that never matches.
    MatchArm,
    /// A guard that is always, or never, true.
    MatchArmGuard,
    /// A field of a struct expression that is left to its base.
    StructField,
}

/// A place in a file: both from 1, the column in characters.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Span {
    pub(crate) start: Place,
}

/// One change to one file.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Mutant {
    /// `core/src/clock.rs:94:28: replace match guard … in Hlc::issue`.
    pub(crate) name: String,
    /// From the workspace's root.
    pub(crate) file: String,
    pub(crate) genre: Genre,
    pub(crate) replacement: String,
    pub(crate) span: Span,
}

impl Mutant {
    /// What is done, and in which function.
    pub(crate) fn what(&self) -> &str {
        self.name.splitn(4, ':').nth(3).map_or("", str::trim)
    }
}

/// All mutants of a package; the place in the list, from 1, is the [`Id`].
pub(crate) fn of(root: &Path, package: &str) -> Result<Vec<Mutant>, Failure> {
    let list = Command::new("cargo")
        .args(["mutants", "--list", "--json", "--package", package])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo cannot be started: {error}"))?;
    if !list.status.success() {
        let said = String::from_utf8_lossy(&list.stderr);
        return Err(format!("no list of mutants; `cargo install cargo-mutants --locked` puts it there\n{said}").into());
    }
    Ok(serde_json::from_slice(&list.stdout)?)
}
