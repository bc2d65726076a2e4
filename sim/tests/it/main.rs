//! What `cargo test -p sim` runs: seeds, stories, determinism, the I/O error loop, crashes at every step.

/// Lists the stories of a file, for those who tell all of them.
macro_rules! stories {
    ($($name:ident),* $(,)?) => {
        pub(crate) const STORIES: &[(&str, fn())] = &[$((stringify!($name), $name)),*];
    };
}

mod chosen;
mod determinism;
mod differences;
mod every;
mod exchange;
mod field;
mod fleets;
mod io_errors;
mod links;
mod operators;
mod protocols;
mod regressions;
mod returns;
mod seeds;
mod stories;
mod turmoil;
mod words;
