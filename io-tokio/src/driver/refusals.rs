//! Who was refused lately, for operators: a node with a wrong secret shows up nowhere else.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use softadastra_core::time::WallTime;
use softadastra_core::transport::endpoint::{LinkId, TurnedAway};
use softadastra_core::transport::reason::{CloseReason, Farewell};

use crate::link_end;
use crate::model::Refusal;

/// So many are remembered; the one that was refused least lately gives way.
const MOST: usize = 32;

/// Refusals of links that others have opened, the latest last.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<VecDeque<Refusal>>);

impl Refusals {
    /// What is remembered, the latest first.
    pub(crate) fn latest(&self) -> Vec<Refusal> {
        self.hold().iter().rev().cloned().collect()
    }

    fn note(&self, from: IpAddr, code: &'static str, text: String, at: WallTime) {
        let mut all = self.hold();
        let known = all.iter().position(|one| one.from == from && one.code == code);
        let before = known.and_then(|at| all.remove(at)).map_or(0, |one| one.count);
        if all.len() == MOST {
            all.pop_front();
        }
        all.push_back(Refusal { from, code, text, count: before + 1, last: at });
    }

    /// Nothing panics under this lock.
    fn hold(&self) -> MutexGuard<'_, VecDeque<Refusal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Links that others have opened, as long as it may turn out that they are refused.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    open: BTreeMap<LinkId, IpAddr>,
    /// The node says right after a link is closed whether it ever stood.
    closed: Option<(LinkId, IpAddr)>,
}

impl Arrivals {
    pub(super) fn came(&mut self, link: LinkId, from: SocketAddr) {
        self.open.insert(link, from.ip().to_canonical());
    }

    pub(super) fn closed(&mut self, link: LinkId) {
        self.closed = self.open.remove(&link).map(|from| (link, from));
    }

    /// The link ended before it stood.
    pub(super) fn failed(&mut self, link: LinkId, reason: &CloseReason, at: WallTime, refusals: &Refusals) {
        let closed = self.closed.take_if(|(closed, _)| *closed == link);
        if let Some((_, from)) = closed.filter(|_| is_refusal(reason)) {
            refusals.note(from, reason.as_str(), link_end::sentence(reason, None), at);
        }
    }

    /// A connection was closed before it was a link.
    pub(super) fn turned_away(from: SocketAddr, why: TurnedAway, at: WallTime, refusals: &Refusals) {
        if why != TurnedAway::Stopped {
            refusals.note(from.ip().to_canonical(), Farewell::Busy.as_str(), why.to_string(), at);
        }
    }
}

/// Who goes by itself was not refused: something that only looks whether the port is open is no news.
const fn is_refusal(reason: &CloseReason) -> bool {
    !matches!(
        reason,
        CloseReason::NotReached { .. }
            | CloseReason::Lost { .. }
            | CloseReason::Truncated
            | CloseReason::HandshakeAborted
            | CloseReason::Peer(_)
            | CloseReason::Local(Farewell::Bye | Farewell::Replaced)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 1000 + u16::from(last)))
    }

    fn refuse(arrivals: &mut Arrivals, refusals: &Refusals, at: u64, from: SocketAddr, reason: &CloseReason) {
        let link = LinkId(at);
        arrivals.came(link, from);
        arrivals.closed(link);
        arrivals.failed(link, reason, WallTime(at), refusals);
    }

    #[test]
    fn each_address_and_reason_is_counted_once() {
        let (mut arrivals, refusals) = (Arrivals::default(), Refusals::default());
        refuse(&mut arrivals, &refusals, 1, from(1), &CloseReason::WrongSecret);
        refuse(&mut arrivals, &refusals, 2, from(2), &CloseReason::NotSoftadastra);
        refuse(&mut arrivals, &refusals, 3, from(1), &CloseReason::WrongSecret);
        refuse(&mut arrivals, &refusals, 4, from(1), &CloseReason::HandshakeAborted);
        Arrivals::turned_away(from(3), TurnedAway::Full, WallTime(5), &refusals);
        Arrivals::turned_away(from(3), TurnedAway::Stopped, WallTime(6), &refusals);
        let seen: Vec<_> =
            refusals.latest().into_iter().map(|one| (one.from, one.code, one.count, one.last.0)).collect();
        assert_eq!(
            seen,
            [
                (from(3).ip(), "busy", 1, 5),
                (from(1).ip(), "wrong_secret", 2, 3),
                (from(2).ip(), "not_softadastra", 1, 2)
            ]
        );
    }

    #[test]
    fn links_that_stood_or_were_dialled_are_no_refusals() {
        let (mut arrivals, refusals) = (Arrivals::default(), Refusals::default());
        arrivals.came(LinkId(1), from(1));
        arrivals.closed(LinkId(1));
        // It stood: nothing is said of it. Another, dialled, fails.
        arrivals.closed(LinkId(2));
        arrivals.failed(LinkId(2), &CloseReason::WrongSecret, WallTime(1), &refusals);
        arrivals.failed(LinkId(1), &CloseReason::WrongSecret, WallTime(1), &refusals);
        assert!(refusals.latest().is_empty() && arrivals.open.is_empty());
    }

    #[test]
    fn a_flood_takes_no_more_than_its_room() {
        let (mut arrivals, refusals) = (Arrivals::default(), Refusals::default());
        for n in 0..=200 {
            refuse(&mut arrivals, &refusals, u64::from(n), from(n), &CloseReason::WrongSecret);
        }
        let latest = refusals.latest();
        assert_eq!((latest.len(), latest[0].from, latest[MOST - 1].from), (MOST, from(200).ip(), from(169).ip()));
    }
}
