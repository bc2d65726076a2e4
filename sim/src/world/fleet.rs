//! The end of a run of several nodes: everything heals, and all must come to the same.

use softadastra_core::node::Health;

use super::host::Machine;
use super::{HEALING, PROBE, World};
use crate::judges::{Failure, Moment};
use crate::plan::{Change, Expect, HostId, PlannedWrite, What};

/// What counts as rest among nodes that greet each other for ever, in microseconds.
pub(super) const SETTLE: u64 = 3_000_000;
/// How often a look is taken whether all are the same.
const LOOK: u64 = 500_000;

impl World {
    /// Faults stop and links heal; all nodes must come to the same, take a write each, and come to the same again.
    pub(super) fn heal_together(&mut self) -> Result<(), Failure> {
        self.stage.trace.note(self.stage.now, format_args!("faults stop"));
        let due = self.stage.network.heal(self.stage.now);
        self.stage.expect(due);
        self.stage.clear_air();
        self.stage.healed = true;
        self.set_clocks_right();
        for host in &mut self.hosts {
            host.heal(&mut self.stage)?;
            host.go_online(&mut self.stage)?;
            host.pump(&mut self.stage)?;
        }
        self.come_together()?;
        self.give_up_what_leads_nowhere()?;
        self.stage.calm = Some(self.longest_answer());
        for index in 0..self.hosts.len() {
            let change = PlannedWrite { key: index as u16, change: Change::Put(9), expect: Expect::Any };
            self.schedule(self.stage.now, HostId(index as u8), What::Write { number: PROBE, writes: vec![change] });
        }
        self.run_for(SETTLE)?;
        for index in 0..self.hosts.len() {
            let host = HostId(index as u8);
            if self.told(host, PROBE) != Some(crate::oracle::Told::Done) {
                let health = self.health(host);
                let stuck = format!("faults have stopped, but a write is not carried out; health {health:?}");
                self.stage.see(host, &Moment::Stuck(stuck))?;
            }
        }
        self.come_together()?;
        // Time for whatever was asked of a peer and not answered to be noticed.
        self.run_for(self.hosts.iter().map(|host| host.knobs.exchange.ack_timeout_ms * 1_100).max().unwrap_or(0))?;
        self.stage.calm = None;
        Ok(())
    }

    /// What it takes at most to ask and to be answered: both ways, several times over, and until the slowest has synced.
    fn longest_answer(&self) -> u64 {
        let climate = &self.stage.climate;
        let slowest = self.hosts.iter().map(|host| host.knobs.sync_every).max().unwrap_or(0);
        10 * (climate.latency + climate.per_kib) + 2 * slowest
    }

    /// Waits until every end of a broken connection has been noticed for what it is, for as long as its node may wait for
    /// an answer.
    fn give_up_what_leads_nowhere(&mut self) -> Result<(), Failure> {
        let began = self.stage.now;
        let longest: Vec<u64> = self.hosts.iter().map(|host| host.longest_silence(&self.stage)).collect();
        while let Some(host) = self.stage.network.deaf_end() {
            if self.stage.now > began + longest.get(usize::from(host.0)).copied().unwrap_or(HEALING) {
                let stuck = "holds on to a connection that broke long ago";
                return self.stage.see(host, &Moment::Stuck(stuck.into()));
            }
            self.run_for(LOOK)?;
        }
        Ok(())
    }

    /// Every node is closed and opened again; then all are still, or again, the same.
    pub(super) fn finish_together(&mut self) -> Result<(), Failure> {
        for index in 0..self.hosts.len() {
            let host = HostId(index as u8);
            self.host(host).look_closely();
            self.schedule(self.stage.now, host, What::Close { down: 1 });
            self.run_for(SETTLE)?;
            if self.health(host) != Some(Health::Ready) {
                self.stage.see(host, &Moment::Stuck("the node is not up after a clean close".into()))?;
            }
        }
        self.come_together()
    }

    /// Waits until all nodes are the same.
    ///
    /// # Errors
    /// The first promise found broken, one of which is that this does not take for ever.
    pub fn come_together(&mut self) -> Result<(), Failure> {
        let until = self.stage.now + HEALING;
        loop {
            for host in &mut self.hosts {
                let by_hand = !host.knobs.exchange.auto_tick;
                let now = host.now(&self.stage);
                if by_hand && let Machine::Up(node) = &mut host.machine {
                    node.tick(now, false);
                    host.pump(&mut self.stage)?;
                }
            }
            if self.stage.healed && !self.stage.lost.is_empty() {
                for host in &mut self.hosts {
                    host.retire(&self.stage);
                    host.pump(&mut self.stage)?;
                }
            }
            self.run_for(LOOK)?;
            let Some((host, what)) = self.apart() else { break };
            if self.stage.now > until {
                return self.stage.see(host, &Moment::Apart(what));
            }
        }
        self.stage.trace.note(self.stage.now, format_args!("all are the same"));
        if let Some(what) = self.missed().filter(|_| self.stage.healed) {
            self.stage.see(HostId(0), &Moment::Missed(what))?;
        }
        Ok(())
    }

    /// In what the nodes are not the same.
    fn apart(&self) -> Option<(HostId, String)> {
        let mut first = None;
        for host in &self.hosts {
            let id = host.id();
            let Some(node) = host.node() else { return Some((id, "is not up".into())) };
            let status = node.status();
            if status.health != Health::Ready {
                return Some((id, format!("is {}", status.health.as_str())));
            }
            if status.outbox.size() > 0 {
                return Some((id, format!("the outbox does not empty: {:?}", status.outbox)));
            }
            let claims = node.claims().clone();
            let digest = node.store().live_digest();
            let (claims_then, digest_then) = first.get_or_insert_with(|| (claims.clone(), digest));
            if claims != *claims_then {
                return Some((id, format!("claims {claims:?}, but the first node {claims_then:?}")));
            }
            if digest != *digest_then {
                return Some((id, "shows something else than the first node".into()));
            }
            if let Some(unseen) = host.does_not_see(&self.stage) {
                return Some((id, unseen));
            }
            let sync = node.sync_status();
            if !sync.exact {
                return Some((id, format!("holds something that it does not claim: {:?}", sync.unclaimed)));
            }
        }
        None
    }
}
