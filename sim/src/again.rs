//! The line that does something again.

use std::fmt::Display;

/// `cargo run … -p sim -- WORDS`, in the profile of this build: what an optimised build has found takes long in another.
#[must_use]
pub fn with(words: impl Display) -> String {
    let profile = if cfg!(debug_assertions) { "" } else { " --release" };
    format!("cargo run{profile} -p sim -- {words}")
}
