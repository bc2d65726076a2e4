//! How far other replicas have come: what is known of them, what that acknowledges, and who hears of it.

use alloc::format;

use super::Effect;
use super::engine::{ACKNOWLEDGED_EVERY, ALL_ACKNOWLEDGED_EVERY, Engine};
use super::members::Member;
use super::record::SyncRecord;
use super::session::Session;
use crate::context::VersionVector;
use crate::error::{Code, Error};
use crate::ids::{Dot, ReplicaId, Seq};
use crate::sink::Sink;
use crate::store::Store;
use crate::time::{Now, WallTime};

impl Engine {
    /// Retires a replica: it no longer counts for acknowledgements, nor holds back the collection of tombstones. Others
    /// hear of it. Should it come back, it counts again.
    ///
    /// # Errors
    /// [`Code::NotFound`] when no such replica is known.
    pub fn forget(&mut self, now: Now, replica: ReplicaId, out: &mut dyn Sink<Effect>) -> Result<(), Error> {
        let Some(member) = self.state.members.get_mut(replica) else {
            let what = format!("no replica {replica} is known");
            return Err(Error::new(Code::NotFound, what, "list the peers to see their replica ids"));
        };
        member.forgotten = WallTime(now.wall.0.max(member.heard.0));
        let member = member.clone();
        self.diverged.remove(&replica);
        self.member_changed(replica);
        self.persist(SyncRecord::Member { replica, member }, out);
        self.spread_members(now);
        self.ask_who_is_given_up(now, replica, out);
        self.update_acknowledged(now, replica, out);
        Ok(())
    }

    /// What is here of histories that are closed, beyond all claims: it counts as it stands. It is not claimed, or whoever
    /// holds more of it would not send that; so it may be open again at any moment.
    pub(super) fn closed(&self) -> VersionVector {
        self.closed_but_for(|other, here| self.says_less(other, here))
    }

    /// The same, if nobody ever said that he claims it: what others tell of a peer may come before its own word, and nothing
    /// that lasts is to follow from that.
    pub(super) fn closed_for_good(&self) -> VersionVector {
        self.closed_but_for(|_, _| false)
    }

    /// `lost`: who claims less by now than he said.
    fn closed_but_for(&self, lost: impl Fn(ReplicaId, Dot) -> bool) -> VersionVector {
        if self.claims.covers_all(&self.state.met) {
            return VersionVector::EMPTY;
        }
        self.state.met.iter().filter(|here| self.is_closed(*here, &lost)).collect()
    }

    /// Whether a peer is linked, and does not claim this. What it claimed once, and others pass on for ever, went with the
    /// directory that it lost.
    fn says_less(&self, other: ReplicaId, dot: Dot) -> bool {
        let less =
            |session: &Session| session.is_open() && session.replica() == Some(other) && !session.vector.covers(dot);
        self.sessions.values().any(less)
    }

    /// Whether all that is here is claimed, or left of histories that are closed.
    pub(super) fn is_exact_with(&self, closed: &VersionVector, store: &Store) -> bool {
        let accounted = |dot: Dot| self.claims.covers(dot) || closed.covers(dot);
        store.last_changed() <= self.durable && self.state.met.iter().all(accounted)
    }

    /// Whether the last operation that is here of a replica is claimed by nobody, and nobody is left who could say that it
    /// may be.
    fn is_closed(&self, here: Dot, lost: impl Fn(ReplicaId, Dot) -> bool) -> bool {
        let replica = here.replica;
        let claimed = self.claims.get(replica);
        let heard = || self.sessions.values().any(|session| session.replica() == Some(replica));
        if replica == self.me.replica || here.seq <= claimed || heard() {
            return false;
        }
        let others = self.state.members.iter().filter(|(other, member)| *other != replica && !member.is_forgotten());
        match self.state.members.get(replica) {
            Some(member) => {
                let claims = |(other, member): (ReplicaId, &Member)| member.vector.covers(here) && !lost(other, here);
                member.is_forgotten() && !others.into_iter().any(claims)
            }
            // Nobody can retire it. But what others claim of it is on its way, and word of itself with that.
            None => {
                let claims = others.map(|(_, member)| &member.vector).chain(self.sessions.values().map(|s| &s.vector));
                !claims.into_iter().any(|vector| vector.get(replica) > claimed)
            }
        }
    }

    pub(super) fn member_changed(&mut self, replica: ReplicaId) {
        self.revision += 1;
        self.revisions.insert(replica, self.revision);
    }

    pub(super) fn spread_members(&mut self, now: Now) {
        if core::mem::replace(&mut self.all_hear_of_members, true) {
            return;
        }
        let at = now.mono + self.settings.gossip_delay;
        for session in self.sessions.values_mut().filter(|session| session.is_open()) {
            session.members_at.get_or_insert(at);
        }
    }

    /// A member spoke itself, and told that it holds so much more. If it was given up, and answers what it was asked since that
    /// was learnt here, it counts again, though it tells nothing new: what it told before counts again with it, and somebody may be
    /// waiting for that. What it says unasked may have been under way since before: a name that its own node has given up would count
    /// again, and nobody would retire it any more.
    pub(super) fn hear(
        &mut self,
        now: Now,
        replica: ReplicaId,
        vector: VersionVector,
        answers: bool,
        out: &mut dyn Sink<Effect>,
    ) {
        let Some(member) = self.state.members.get(replica) else { return };
        let counts = answers || !member.is_forgotten();
        let heard = if counts { self.state.members.heard_at(now.wall, replica) } else { WallTime(0) };
        let report = Member { node: member.node.clone(), heard, forgotten: WallTime(0), vector };
        self.report(now, replica, &report, out);
    }

    /// Asks a peer who is given up whether it is there all the same.
    fn ask_who_is_given_up(&mut self, now: Now, replica: ReplicaId, out: &mut dyn Sink<Effect>) {
        let last = self.next_number;
        let linked = self.sessions.iter_mut().find(|(_, session)| session.replica() == Some(replica));
        if let Some((peer, session)) = linked {
            covered!("given_up_while_linked");
            session.gone_since = last;
            session.ping_at = now.mono;
            let peer = *peer;
            self.wake(peer, out);
        }
    }

    /// A report of a member came, from itself or from another.
    pub(super) fn report(&mut self, now: Now, replica: ReplicaId, report: &Member, out: &mut dyn Sink<Effect>) {
        if replica == self.me.replica {
            return;
        }
        let known = self.state.members.get(replica).map(|member| member.heard);
        let is_new = known.is_none();
        let counted = self.state.members.get(replica).is_none_or(|member| !member.is_forgotten());
        let is_news = self.state.members.join(replica, report, Some(self.me.replica));
        if counted && self.state.members.get(replica).is_some_and(Member::is_forgotten) {
            self.ask_who_is_given_up(now, replica, out);
        }
        if is_news || known < Some(report.heard) {
            self.leases.note(now, replica, report.heard);
        }
        // Who says that somebody is given up who was heard since is to hear of that.
        let is_wrong = report.is_forgotten() && self.state.members.get(replica).is_some_and(|m| !m.is_forgotten());
        if is_news || is_wrong {
            self.member_changed(replica);
            self.spread_members(now);
        }
        if !is_news {
            return;
        }
        if is_new {
            self.persist(SyncRecord::Member { replica, member: report.clone() }, out);
        }
        self.update_acknowledged(now, replica, out);
    }

    /// Something new is known of a member, `replica`.
    pub(super) fn update_acknowledged(&mut self, now: Now, replica: ReplicaId, out: &mut dyn Sink<Effect>) {
        let bounds = (self.settings.required_acks, self.state.acknowledged, self.own_seq);
        let mut held = self.ahead.acknowledged(&self.state.members, self.me.replica, replica, bounds);
        if planted!("next_hop_acknowledges") {
            held = self.sessions.values().map(|session| session.sent_seq).fold(held, Seq::max);
        }
        if held <= self.state.acknowledged {
            return;
        }
        self.state.acknowledged = held;
        let pause = if held == self.own_seq { ALL_ACKNOWLEDGED_EVERY } else { ACKNOWLEDGED_EVERY };
        let soon = self.acknowledged_logged + pause;
        if now.mono >= soon {
            self.log_acknowledged(now, out);
        } else {
            self.acknowledged_due = Some(self.acknowledged_due.map_or(soon, |due| due.min(soon)));
        }
    }

    /// The node closes: what waits to be logged is logged now.
    pub fn closing(&mut self, now: Now, out: &mut dyn Sink<Effect>) {
        if self.acknowledged_due.is_some() {
            self.log_acknowledged(now, out);
        }
    }

    pub(super) fn log_acknowledged(&mut self, now: Now, out: &mut dyn Sink<Effect>) {
        self.acknowledged_due = None;
        self.acknowledged_logged = now.mono;
        out.push(Effect::Persist(SyncRecord::Acknowledged(self.state.acknowledged)));
    }
}
