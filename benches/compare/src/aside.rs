//! What is said beside the tables: on stderr, to whoever watches.

use std::fmt::Display;
use std::io::Write as _;

/// Says something. Where stderr cannot be written nobody is left who could be told, and that does not end a run.
pub(crate) fn aside(what: impl Display) {
    _ = writeln!(std::io::stderr(), "{what}");
}
