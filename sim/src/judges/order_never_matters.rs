//! Invariant 8: delivery is idempotent and indifferent to order, duplication and batching. Whoever has merged the same
//! operations of a key shows the same of it, in whatever order, how often and in how many parts they came.

use std::collections::BTreeMap;

use bytes::Bytes;
use softadastra_core::ids::{Dot, Lsn};

use super::{Judge, Moment};
use crate::plan::HostId;

#[derive(Debug, Default)]
pub(super) struct OrderNeverMatters {
    /// What stands when these operations of a key were merged, and who showed it first.
    stands: BTreeMap<(Bytes, Vec<Dot>), (Dot, HostId)>,
    /// Up to where the feed of each node was looked at since its last start.
    judged: BTreeMap<HostId, Lsn>,
}

impl Judge for OrderNeverMatters {
    fn name(&self) -> &'static str {
        "order never matters"
    }

    fn invariant(&self) -> u8 {
        8
    }

    fn see(&mut self, host: HostId, moment: &Moment<'_>) -> Result<(), String> {
        match moment {
            Moment::Opened { .. } => {
                self.judged.remove(&host);
                Ok(())
            }
            Moment::Stepped { node, witness: Some(_), changed: true, .. } => {
                let judged = self.judged.entry(host).or_default();
                // A name that was never durable may be given again.
                let durable = node.log().map_or(Lsn::ZERO, |log| log.progress().durable);
                for entry in node.store().feed(*judged).take_while(|entry| entry.changed() <= durable) {
                    *judged = entry.changed();
                    let merged = (Bytes::copy_from_slice(entry.key()), entry.known().iter().collect());
                    let (dot, first) = *self.stands.entry(merged).or_insert((entry.dot(), host));
                    if dot != entry.dot() {
                        let (key, now) = (String::from_utf8_lossy(entry.key()), entry.dot());
                        return Err(format!("{key} shows {now}, but n{} has merged the same and shows {dot}", first.0));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Up;
    use super::*;
    use crate::oracle::witness::Witness;

    #[test]
    fn whoever_has_merged_the_same_and_shows_something_else_is_found() {
        let (up, witness) = (Up::with("k", "v"), Witness::new(2));
        let mut judge = OrderNeverMatters::default();
        judge.see(HostId(0), &up.stepped(Some(&witness))).unwrap();
        judge.see(HostId(1), &up.stepped(Some(&witness))).unwrap();
        judge.stands.values_mut().for_each(|(dot, _)| dot.seq += 1);
        judge.judged.clear();
        assert!(judge.see(HostId(1), &up.stepped(Some(&witness))).unwrap_err().contains("has merged the same"));
    }
}
