//! The beginning of a session: hello, resume, open.
//!
//! ```text
//!            hello heard              resume heard
//! Greeting ──────────────▶ Resuming ──────────────▶ Open ──▶ Closing
//! ```

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use core::time::Duration;

use super::chain::Pairs;
use super::engine::Engine;
use super::members::Member;
use super::message::{Hello, Message, OLDEST_PROTOCOL, PROTOCOL};
use super::pulse::ahead;
use super::session::{FullIn, FullOut, Phase};
use super::state::Judged;
use super::{CloseReason, Effect, Event, Finding, PeerId};
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::{Lsn, ReplicaId};
use crate::limits::MAX_MEMBERS;
use crate::runs::Run;
use crate::sink::Sink;
use crate::store::Store;
use crate::time::{Now, WallTime};

impl Engine {
    pub(super) fn hello(&self, now: Now, peer: PeerId) -> Option<Message> {
        let session = self.sessions.get(&peer)?;
        Some(Message::Hello(Hello {
            protocols: (OLDEST_PROTOCOL, PROTOCOL),
            network: self.me.network,
            replica: self.me.replica,
            log: self.me.log,
            boot: self.me.boot,
            node: self.me.node.clone(),
            wall: now.wall,
            window: self.settings.window,
            own_seq: session.said.get(self.me.replica),
            vector: session.said.clone(),
            floor: session.said_floor.clone(),
            floor_stamp: self.state.floor_stamp,
            owed: session.said_owed.clone(),
        }))
    }

    pub(super) fn resume(&mut self, peer: PeerId) -> Option<Message> {
        let direct = self.heard_directly(peer);
        let session = self.sessions.get_mut(&peer)?;
        let them = session.them.as_ref()?;
        let (lsn, boot) = self.state.checkpoint(them.replica, them.log);
        session.taken_lsn = lsn;
        session.acked_told = (lsn, 0);
        session.direct_told.clone_from(&direct);
        let pairs = self.state.pairs.get(&them.replica).cloned().unwrap_or_default();
        Some(Message::Resume { lsn, boot, pairs, direct })
    }

    fn heard_directly(&self, peer: PeerId) -> BTreeSet<ReplicaId> {
        let full_in = self.sessions.get(&peer).is_some_and(|session| self.comes_from_below(session));
        let others = self.sessions.iter().filter(|(other, session)| {
            !full_in && **other != peer && session.is_open() && session.full_in.is_none() && !session.stalled
        });
        others.filter_map(|(_, session)| session.replica()).collect()
    }

    /// Whether this side said a vector that does not cover the peer's floor.
    fn comes_from_below(&self, session: &super::session::Session) -> bool {
        !session.has_seen_their_floor(&session.said)
    }

    pub(super) fn take_hello(&mut self, now: Now, peer: PeerId, mut hello: Hello, out: &mut dyn Sink<Effect>) {
        // A peer may say anything: what is written again is stamped above this, or it would be written again for ever.
        hello.floor_stamp = hello.floor_stamp.min(Stamp::from_wall(WallTime(u64::MAX)));
        if let Some(reason) = self.turn_away(&hello) {
            return self.close(peer, reason, out);
        }
        if hello.replica == self.me.replica {
            return if hello.boot == self.me.boot {
                self.close(peer, CloseReason::Protocol("the link leads back to this node".to_string()), out);
            } else {
                self.halt(Finding::Clone(self.me.replica), out);
            };
        }
        if !self.watch_runs(peer, &hello, out) {
            return self.close(peer, CloseReason::Replaced, out);
        }
        self.replace_older(peer, hello.replica, out);

        if !self.bears_clock(peer, ahead(hello.wall, now.wall), out) {
            return;
        }

        let replica = hello.replica;
        // Who was given up is asked first whether it is there.
        let gone = self.state.members.get(replica).is_some_and(Member::is_forgotten);
        let heard = if gone { WallTime(0) } else { self.state.members.heard_at(now.wall, replica) };
        let report = Member { node: hello.node.clone(), heard, forgotten: WallTime(0), vector: hello.vector.clone() };
        let last = self.next_number;
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.vector = hello.vector.clone();
            session.them = Some(hello);
            session.resume_due = true;
            session.phase = Phase::Resuming;
            if gone {
                session.gone_since = last;
                session.ping_at = now.mono;
            }
        }
        self.outbox.requeue();
        self.leases.note(now, replica, now.wall);
        self.report(now, replica, &report, out);
        self.wake(peer, out);
    }

    fn turn_away(&self, hello: &Hello) -> Option<CloseReason> {
        if hello.network != self.me.network {
            return Some(CloseReason::WrongNetwork);
        }
        let (oldest, newest) = hello.protocols;
        (oldest > PROTOCOL || newest < OLDEST_PROTOCOL).then_some(CloseReason::NoCommonProtocol)
    }

    /// Whether what is said on this link counts: it may be the last word of a process that was followed by another.
    /// A run that comes back after another was seen means that there are two nodes.
    fn watch_runs(&mut self, peer: PeerId, hello: &Hello, out: &mut dyn Sink<Effect>) -> bool {
        // Under ever new names anybody may come.
        if self.runs.len() >= MAX_MEMBERS && !self.runs.contains_key(&hello.replica) {
            self.runs.pop_first();
        }
        let link = self.sessions.get(&peer).map_or(0, |session| session.number);
        let runs = self.runs.entry(hello.replica).or_default();
        match runs.judge(hello.boot, link) {
            Run::Late => return false,
            Run::Former => out.push(Effect::Event(Event::Identity(Finding::Clone(hello.replica)))),
            Run::Latest | Run::New => {}
        }
        runs.note(hello.boot, self.next_number);
        true
    }

    fn replace_older(&mut self, peer: PeerId, replica: ReplicaId, out: &mut dyn Sink<Effect>) {
        let older = self.sessions.iter().find_map(|(other, session)| {
            let same = *other != peer && session.phase != Phase::Closing && session.replica() == Some(replica);
            same.then_some(*other)
        });
        if let Some(older) = older {
            self.close(older, CloseReason::Replaced, out);
        }
    }

    pub(super) fn take_resume(
        &mut self,
        now: Now,
        peer: PeerId,
        (lsn, boot, pairs, direct): (Lsn, u64, Pairs, BTreeSet<ReplicaId>),
        store: &Store,
        out: &mut dyn Sink<Effect>,
    ) {
        // Only now, because the pairs say how much of the history is shared.
        let claimed = self.sessions.get(&peer).map_or(0, |session| session.vector.get(self.me.replica));
        let claimed = (claimed > self.own_written).then_some(claimed);
        let common = self.state.ladder.shared_with(&pairs).min(self.own_written);
        if let Some(told) = claimed.or(self.state.ladder.contradicted_by(&pairs)) {
            return self.halt(Finding::Rollback { own: self.own_written, told, common }, out);
        }
        let from = match self.state.judge_checkpoint(lsn, boot, self.durable) {
            Judged::From(from) if planted!("resumed_one_too_far") => from.next(),
            Judged::From(from) => from,
            Judged::Impossible => {
                return self.halt(Finding::LogRollback { durable: self.durable, told: lsn, common }, out);
            }
        };
        let exact = self.is_exact_with(&VersionVector::EMPTY, store);
        let (floor, owed) = (self.floor_to_come(), &self.state.owed);
        let stale = |session: &super::session::Session| {
            let them = session.them.as_ref();
            !planted!("floor_ignored")
                && (*floor != session.said_floor || !session.said_owed.covers_all(owed))
                && !them.is_some_and(|them| {
                    them.vector.covers_all(&floor) && (!session.passes_owed_on() || them.vector.covers_all(owed))
                })
        };
        if self.sessions.get(&peer).is_some_and(stale) {
            covered!("floor_rose_during_the_greeting");
            return self.close(peer, CloseReason::FloorRose, out);
        }
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        let Some(them) = session.them.as_ref() else { return };
        let below_ours = session.is_named_keys() && !planted!("floor_ignored");
        let below_theirs = !session.has_seen_their_floor(&session.said) && !planted!("floor_ignored");
        session.full_out = below_ours.then_some(FullOut::Naming { after: None });
        if below_ours && session.tells_histories() {
            session.histories_due = self.state.pairs.keys().copied().collect();
        }
        session.full_in = below_theirs.then_some(FullIn::Named { after: None });
        if below_theirs {
            self.floor_stamp = self.floor_stamp.max(them.floor_stamp);
        }
        let covered = exact && session.vector.covers_all(&self.claims);
        if covered {
            covered!("peer_lacks_nothing");
        }
        let from = if covered { store.last_changed() } else { from };
        session.common = common;
        session.scout = from;
        session.settled = from;
        session.told = lsn;
        session.acked_lsn = from;
        session.direct = direct;
        session.phase = Phase::Open;
        session.last_batch = now.mono;
        session.claims_told = session.said.clone();
        session.ack_at = Some(now.mono);
        // Whoever is to owe something has to know first who can have it claimed.
        let delay = if session.said_owed.is_empty() { self.settings.gossip_delay } else { Duration::ZERO };
        session.members_at = Some(now.mono + delay);
        let (replica, node) = (them.replica, them.node.clone());
        out.push(Effect::Event(Event::Opened { peer, replica, node }));
        self.refresh_direct(now, out);
        self.wake(peer, out);
    }
}
