//! All sessions. Those that wait for a time, or for their turn, are found without a look at the others.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::mem::take;
use core::ops::Deref;

use super::session::{Phase, Session};
use super::{PeerId, Settings};
use crate::time::Instant;

/// Reads like a map. Whatever is lent for a change is looked at again before the next question.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_peer: BTreeMap<PeerId, Session>,
    /// Lent for a change since what is below was brought up to date.
    touched: Vec<PeerId>,
    deadlines: BTreeMap<PeerId, Instant>,
    by_deadline: BTreeSet<(Instant, PeerId)>,
    /// Batches of theirs wait to be taken in.
    holding: BTreeSet<PeerId>,
    /// They name their keys in a full exchange.
    naming: BTreeSet<PeerId>,
}

impl Sessions {
    pub(super) fn get_mut(&mut self, peer: &PeerId) -> Option<&mut Session> {
        let session = self.by_peer.get_mut(peer)?;
        touch(&mut self.touched, *peer);
        Some(session)
    }

    /// All, for a change: each of them will be looked at again.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&PeerId, &mut Session)> {
        self.touched.extend(self.by_peer.keys());
        self.by_peer.iter_mut()
    }

    /// All, as [`Self::iter_mut`] gives them.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.iter_mut().map(|(_, session)| session)
    }

    pub(super) fn insert(&mut self, peer: PeerId, session: Session) {
        touch(&mut self.touched, peer);
        self.by_peer.insert(peer, session);
    }

    pub(super) fn remove(&mut self, peer: &PeerId) -> Option<Session> {
        touch(&mut self.touched, *peer);
        self.by_peer.remove(peer)
    }

    /// The first time at which one of them wants to be looked at.
    pub(super) fn deadline(&mut self, settings: &Settings) -> Option<Instant> {
        self.settle(settings);
        self.by_deadline.first().map(|(at, _)| *at)
    }

    /// Those of whom batches wait to be taken in.
    pub(super) fn holding(&mut self, settings: &Settings) -> &BTreeSet<PeerId> {
        self.settle(settings);
        &self.holding
    }

    /// Those that name their keys in a full exchange.
    pub(super) fn naming(&mut self, settings: &Settings) -> &BTreeSet<PeerId> {
        self.settle(settings);
        &self.naming
    }

    /// Looks again at those that were lent for a change. Asking for any of the above does so by itself; where it is done
    /// beforehand, nobody's question takes longer for what others have changed.
    pub(super) fn settle(&mut self, settings: &Settings) {
        if self.touched.is_empty() {
            return;
        }
        let mut touched = take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for peer in touched.drain(..) {
            let session = self.by_peer.get(&peer);
            let wants = session.and_then(|session| session.deadline(settings));
            let before = match wants {
                Some(at) => self.deadlines.insert(peer, at),
                None => self.deadlines.remove(&peer),
            };
            if before != wants {
                self.by_deadline.extend(wants.map(|at| (at, peer)));
                if let Some(before) = before {
                    self.by_deadline.remove(&(before, peer));
                }
            }
            keep(&mut self.holding, peer, session.is_some_and(|session| !session.held.is_empty()));
            keep(&mut self.naming, peer, session.is_some_and(|session| session.is_open() && session.full_in.is_some()));
        }
        self.touched = touched;
    }
}

/// Mostly the same one several times in a row.
fn touch(touched: &mut Vec<PeerId>, peer: PeerId) {
    if touched.last() != Some(&peer) {
        touched.push(peer);
    }
}

fn keep(set: &mut BTreeSet<PeerId>, peer: PeerId, is_in: bool) {
    if is_in {
        set.insert(peer);
    } else {
        set.remove(&peer);
    }
}

impl Deref for Sessions {
    type Target = BTreeMap<PeerId, Session>;

    fn deref(&self) -> &Self::Target {
        &self.by_peer
    }
}

impl Extend<(PeerId, Session)> for Sessions {
    fn extend<T: IntoIterator<Item = (PeerId, Session)>>(&mut self, sessions: T) {
        for (peer, session) in sessions {
            self.insert(peer, session);
        }
    }
}

impl Session {
    /// When the engine has to look at it, if nothing happens before.
    fn deadline(&self, settings: &Settings) -> Option<Instant> {
        if self.phase == Phase::Closing {
            return None;
        }
        let quiet = !self.announced;
        let may_stall = self.mid_walk && self.is_idle() && self.is_relied_on();
        let due = [
            self.ack_at.filter(|_| quiet),
            self.members_at.filter(|_| quiet),
            (self.is_open() && quiet).then(|| self.ping_due(settings.ack_timeout)),
            self.suspect_at(settings.ack_timeout),
            may_stall.then(|| self.last_batch + settings.stall_after),
        ];
        due.into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::message::{Bye, Message};
    use super::super::session::FullIn;
    use super::*;
    use crate::context::VersionVector;

    /// What may happen to one of four sessions.
    fn act(sessions: &mut Sessions, what: u8, peer: u64, at: Instant) {
        let id = PeerId(peer);
        match what {
            0 => sessions.insert(id, Session::new(at, VersionVector::EMPTY, VersionVector::EMPTY, at)),
            1 => drop(sessions.remove(&id)),
            2 => sessions.values_mut().for_each(|session| session.ack_at = Some(at)),
            _ => {
                let Some(session) = sessions.get_mut(&id) else { return };
                match what {
                    3 => session.phase = Phase::Open,
                    4 => session.phase = Phase::Closing,
                    5 => session.announced = !session.announced,
                    6 => session.ping_at = at,
                    7 => session.members_at = Some(at),
                    8 => session.ack_at = None,
                    9 => session.waiting = Some(at),
                    10 => session.last_batch = at,
                    11 => session.mid_walk = !session.mid_walk,
                    12 => session.stalled = !session.stalled,
                    13 => session.held.push_back((Message::Bye(Bye::Leaving), 1)),
                    14 => drop(session.held.pop_front()),
                    15 => session.full_in = Some(FullIn::Named { after: Some(Bytes::new()) }),
                    _ => session.full_in = None,
                }
            }
        }
    }

    proptest! {
        #[test]
        fn those_that_wait_are_those_that_a_look_at_all_would_find(
            steps in proptest::collection::vec((0u8..17, 0u64..4, 0u64..100, 0u8..4), 1..80),
        ) {
            let settings = Settings::default();
            let mut sessions = Sessions::default();
            for (what, peer, second, asks) in steps {
                act(&mut sessions, what, peer, Instant(0) + Duration::from_secs(second));
                let of_those = |wanted: fn(&Session) -> bool| -> BTreeSet<PeerId> {
                    sessions.iter().filter(|(_, session)| wanted(session)).map(|(peer, _)| *peer).collect()
                };
                let first = sessions.values().filter_map(|session| session.deadline(&settings)).min();
                let holding = of_those(|session| !session.held.is_empty());
                let naming = of_those(|session| session.is_open() && session.full_in.is_some());
                match asks {
                    0 => prop_assert_eq!(sessions.deadline(&settings), first),
                    1 => prop_assert_eq!(sessions.holding(&settings), &holding),
                    2 => prop_assert_eq!(sessions.naming(&settings), &naming),
                    _ => {}
                }
            }
        }
    }
}
