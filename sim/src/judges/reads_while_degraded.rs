//! Invariant 14, as far as one node can break it: reads work whatever the disk does, writes are refused only for a
//! reason, and the reason is the right one.

use softadastra_core::error::{Code, LocalState};
use softadastra_core::node::Health;

use super::{Judge, Moment};
use crate::plan::{HostId, Knobs};

#[derive(Debug)]
pub(super) struct ReadsWhileDegraded;

impl Judge for ReadsWhileDegraded {
    fn name(&self) -> &'static str {
        "reads while degraded"
    }

    fn invariant(&self) -> u8 {
        14
    }

    fn see(&mut self, _: HostId, moment: &Moment<'_>) -> Result<(), String> {
        match moment {
            Moment::Health { health, excused: false } if !matches!(health, Health::Ready | Health::Closing) => {
                Err(format!("the node is {} though nothing happened to its disk", health.as_str()))
            }
            Moment::Refused { error, node, bytes, allowed, oracle, knobs } => {
                if error.local() != LocalState::Valid {
                    return Err(format!("a batch refused at once leaves local state in doubt: {error}"));
                }
                let health = node.status().health;
                let fits = match error.code() {
                    Code::Degraded => matches!(health, Health::Degraded(_)),
                    Code::DiskFull => health == Health::DiskFull,
                    Code::InvalidArgument => !allowed,
                    Code::InvalidState => health == Health::Closing,
                    // What others sent may have filled a log that gathers little.
                    Code::Overloaded if knobs.gather < Knobs::AMPLE => true,
                    Code::Overloaded => {
                        oracle.waiting_bytes() > 0 && oracle.waiting_bytes() + bytes > knobs.max_pending
                    }
                    _ => false,
                };
                if fits { Ok(()) } else { Err(format!("a {} node refused a write: {error}", health.as_str())) }
            }
            // Contents are compared by `failed_never_visible`, in whatever health the node is; here, that a scan and
            // a get agree with each other.
            Moment::Stepped { node, whole: true, .. } => {
                let range: (std::ops::Bound<&[u8]>, std::ops::Bound<&[u8]>) =
                    (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
                let mut count = 0;
                for entry in node.store().scan(range) {
                    count += 1;
                    if node.store().get(entry.key()).map(|got| (got.version(), got.value()))
                        != Some((entry.version(), entry.value()))
                    {
                        return Err(format!("scan and get differ on {}", String::from_utf8_lossy(entry.key())));
                    }
                }
                let len = node.store().len();
                if count == len { Ok(()) } else { Err(format!("a scan finds {count} keys of {len}")) }
            }
            _ => Ok(()),
        }
    }
}
