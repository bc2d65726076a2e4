//! Standard input, for commands that read a value or records from it.

use std::io::{self, Stdin};
use std::sync::atomic::{AtomicBool, Ordering};

use softadastra_core::error::Code;

use super::output::Failure;
use crate::control::Fault;

/// Whether a session reads its commands there.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// From now on standard input holds commands.
pub(super) fn taken_by_a_session() {
    TAKEN.store(true, Ordering::Relaxed);
}

/// Standard input, unless commands are read from it.
pub(super) fn stdin() -> Result<Stdin, Failure> {
    if TAKEN.load(Ordering::Relaxed) {
        let what = "in a session standard input holds the commands";
        let next = "name a file, or give the value in quotes, which may span lines";
        return Err(Failure::Usage(Fault::new(Code::InvalidArgument, what, next)));
    }
    Ok(io::stdin())
}
