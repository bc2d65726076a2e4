//! Session guarantees (Terry et al. 1994): a client of one node reads its own writes, and what it has once read it never reads
//! in an older state, restarts of the node included.

use std::collections::BTreeMap;

use bytes::Bytes;
use softadastra_core::clock::Stamp;
use softadastra_core::ids::{Dot, Lsn};

use super::{Judge, Moment};
use crate::plan::HostId;

/// What clients saw last: by node, client and key.
#[derive(Debug, Default)]
pub(super) struct SessionsHold(BTreeMap<(HostId, u8, Bytes), (Stamp, Dot)>);

impl Judge for SessionsHold {
    fn name(&self) -> &'static str {
        "sessions hold"
    }

    fn invariant(&self) -> u8 {
        0
    }

    fn see(&mut self, host: HostId, moment: &Moment<'_>) -> Result<(), String> {
        match moment {
            Moment::SessionsEnd | Moment::Replaced | Moment::Forgiven(_) => {
                self.0.retain(|(at, ..), _| *at != host);
                Ok(())
            }
            Moment::Read { client, key, seen, wrote, witness } => {
                let name = String::from_utf8_lossy(key);
                if let Some((what, lsn)) = wrote
                    && seen.is_some_and(|seen| seen.changed < *lsn || (seen.changed == *lsn && !seen.is(what.as_ref())))
                {
                    return Err(format!("client {client} wrote {name} at LSN {lsn} and reads something older"));
                }
                // With its deletion forgotten, nothing is left to be older than. What a node alone forgets, its oracle judges.
                let here = |lsn| (*witness)?.ledger(host)?.version_at(key, lsn);
                let deleted = || here(Lsn(u64::MAX)).is_none_or(|version| version.op.body.value().is_none());
                let gone = |dot| {
                    let collected = witness.is_none_or(|witness| witness.registry.is_collected(key, dot));
                    collected || (seen.is_none() && deleted())
                };
                if let Some((Some(_), lsn)) = wrote
                    && seen.is_none()
                    && here(*lsn).is_some_and(|version| !gone(version.op.dot))
                {
                    return Err(format!("client {client} wrote {name} and reads nothing"));
                }
                let place = (host, *client, (*key).clone());
                let last = self.0.get(&place).copied();
                match (last, seen) {
                    (Some((_, dot)), None) if !gone(dot) => {
                        return Err(format!("client {client} had read {name} as of {dot}, and now there is nothing"));
                    }
                    (Some((stamp, dot)), Some(seen))
                        if (seen.stamp, seen.dot.replica) < (stamp, dot.replica) && !gone(dot) =>
                    {
                        let older = seen.dot;
                        return Err(format!(
                            "client {client} had read {name} as of {dot}, and now reads {older}, which is older"
                        ));
                    }
                    _ => {}
                }
                match seen {
                    Some(seen) => self.0.insert(place, (seen.stamp, seen.dot)),
                    None => self.0.remove(&place),
                };
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
