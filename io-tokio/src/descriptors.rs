//! How many file descriptors this process may have, and who gets how many of them: where there are few, those who connect
//! must not take what the log needs.

use rustix::process::{Resource, getrlimit};
use softadastra_core::error::Code;

use crate::control::Fault;

/// Fewer are too few for a log, a hundred peers and whoever asks.
pub(crate) const ENOUGH: u64 = 256;

/// With fewer a command cannot do its work.
const LEAST: u64 = 16;

/// With fewer a node cannot: its log, its sockets, and somebody who asks.
const LEAST_OF_A_NODE: u64 = 96;

/// How many this process may have; `None` without a limit.
pub(crate) fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// So many, or so many sixteenths of all if that is less.
pub(crate) fn share(wanted: usize, sixteenths: u64) -> usize {
    of(limit(), wanted, sixteenths)
}

fn of(limit: Option<u64>, wanted: usize, sixteenths: u64) -> usize {
    let part = limit.map_or(u64::MAX, |limit| limit / 16 * sixteenths);
    usize::try_from(part).unwrap_or(usize::MAX).clamp(1, wanted)
}

/// Whether there are enough for a node, or for any other command.
///
/// # Errors
/// What is too few, by name.
pub(crate) fn check(serves: bool) -> Result<(), Fault> {
    judge(limit(), if serves { LEAST_OF_A_NODE } else { LEAST })
}

fn judge(limit: Option<u64>, least: u64) -> Result<(), Fault> {
    match limit {
        Some(limit) if limit < least => {
            let what = format!("this process may have {limit} files open, and needs {least} at least");
            let next = format!("raise it to {ENOUGH} or more (`ulimit -n`, LimitNOFILE=)");
            Err(Fault::new(Code::InvalidState, what, next))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_few_descriptors_most_are_left_to_the_node_itself() {
        let taken = |limit| [of(limit, 1024, 6), of(limit, 256, 2), of(limit, 64, 1)];
        assert_eq!(taken(Some(LEAST_OF_A_NODE)), [36, 12, 6]);
        assert_eq!(taken(Some(1024)), [384, 128, 64]);
        assert_eq!(taken(Some(65_536)), [1024, 256, 64]);
        assert_eq!(taken(None), [1024, 256, 64]);
    }

    #[test]
    fn too_few_are_refused_by_name() {
        let refused = judge(Some(6), LEAST).unwrap_err();
        assert!(refused.message.contains("6 files open") && refused.next.contains("ulimit -n"));
        assert!(judge(Some(LEAST), LEAST).is_ok() && judge(None, LEAST).is_ok());
    }
}
