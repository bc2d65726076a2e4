//! Datagrams: nodes that find each other, and what becomes of what they say.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use softadastra_core::discovery::{NodeState, Notice, Sighting, Target};
use softadastra_core::node::{DatagramFact, Event, Input, Presence};

use super::host::{Host, Machine};
use super::links::{key, secret};
use super::{Kind, Stage};
use crate::chance;
use crate::judges::{Failure, Moment};
use crate::plan::{Air, HostId};
use crate::tally::Mark;

const PORT: u16 = 4444;

fn place(host: HostId) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host.0 + 1], PORT))
}

fn host_at(address: SocketAddr) -> Option<HostId> {
    match address.ip() {
        std::net::IpAddr::V4(ip) => ip.octets().last()?.checked_sub(1).map(HostId),
        std::net::IpAddr::V6(_) => None,
    }
}

impl Stage {
    /// Faults stop: the air is clear.
    pub(super) fn clear_air(&mut self) {
        if let Some(air) = &mut self.air {
            *air = Air { interval_ms: air.interval_ms, ..Air::CLEAR };
        }
    }
}

impl Host {
    /// Begins to announce itself and to look for others, if that is wanted in this run.
    pub(super) fn start_discovery(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        let now = self.now(stage);
        let (Some(air), Machine::Up(node)) = (stage.air, &mut self.machine) else { return Ok(()) };
        if node.discovery_running() {
            return Ok(());
        }
        let presence = Presence {
            identity: stage.identity(self.id),
            secret: Some(secret()),
            settings: air.settings(),
            listeners: vec![SocketAddr::from(([0, 0, 0, 0], 4000))],
            targets: vec![Target::Broadcast(SocketAddr::from(([255, 255, 255, 255], PORT)))],
            auto_connect: true,
        };
        match node.start_discovery(now, presence) {
            Ok(()) => Ok(()),
            Err(error) => stage.see(self.id, &Moment::Untrue(format!("discovery does not start: {error}"))),
        }
    }

    /// The node says something to another, or to all.
    pub(super) fn speak(&mut self, stage: &mut Stage, to: Target, bytes: &Bytes) -> Result<(), Failure> {
        let Some(air) = stage.air else {
            let what = "a node without discovery has sent a datagram";
            return stage.see(self.id, &Moment::Untrue(what.to_owned()));
        };
        self.datagrams += 1;
        let name = u64::from(self.id.0) << 56 | u64::from(self.life) << 32 | self.datagrams;
        let salt = stage.climate.salt;
        if chance::percent(chance::mix(salt, name, 31), u64::from(air.refused)) {
            stage.tally.fault("datagram not sent");
            let now = self.now(stage);
            if let Machine::Up(node) = &mut self.machine {
                let fact = DatagramFact::NotSent { to, error: "network is unreachable".to_owned() };
                node.handle(now, Input::Datagram(fact));
            }
            return Ok(());
        }
        let receivers: Vec<HostId> = match to {
            Target::Broadcast(_) | Target::Multicast { .. } => (0..stage.lives.len() as u8).map(HostId).collect(),
            Target::Unicast(address) => host_at(address).into_iter().collect(),
        };
        for receiver in receivers {
            let bits = |what: u64| chance::mix(salt, chance::mix(name, u64::from(receiver.0), what), 32);
            if !stage.network.is_open(self.id, receiver) || chance::percent(bits(0), u64::from(air.lost)) {
                stage.tally.fault("datagram lost");
                continue;
            }
            let mut bytes = bytes.clone();
            if chance::percent(bits(1), u64::from(air.damaged)) {
                stage.tally.fault("datagram damaged");
                let mut changed = BytesMut::from(&bytes[..]);
                let at = chance::below(bits(2), changed.len().max(1) as u64) as usize;
                if let Some(byte) = changed.get_mut(at) {
                    *byte ^= 1 << chance::below(bits(3), 8);
                }
                bytes = changed.freeze();
            }
            let delay = 1 + chance::below(bits(4), air.latency + 1);
            if chance::percent(bits(5), u64::from(air.doubled)) {
                stage.tally.fault("datagram doubled");
                let later = delay + chance::below(bits(6), air.latency * 100 + 1);
                stage.schedule(later, receiver, None, Kind::Datagram(self.id, bytes.clone()));
            }
            stage.schedule(delay, receiver, None, Kind::Datagram(self.id, bytes));
        }
        Ok(())
    }

    /// A datagram arrives, if there is a node to hear it.
    pub(super) fn overhear(&mut self, stage: &Stage, from: HostId, bytes: Bytes) {
        let now = self.now(stage);
        if let Machine::Up(node) = &mut self.machine {
            node.handle(now, Input::Datagram(DatagramFact::Arrived { from: place(from), bytes }));
        }
    }

    /// What discovery tells must be so.
    pub(super) fn found(&self, stage: &mut Stage, event: &Event) -> Result<(), Failure> {
        let wrong = match event {
            Event::NodeFound(sighting) | Event::NodeChanged(sighting) => {
                stage.tally.mark(Mark::NodeFound);
                is_wrong(sighting, stage.lives.len())
            }
            Event::NodeLost { .. } => {
                stage.tally.mark(Mark::NodeLost);
                None
            }
            Event::Discovery(Notice::IdentityClone { key, .. })
                if !stage.set_back.iter().any(|host| super::links::key(*host) == *key) =>
            {
                Some(format!("nobody has copied a node, but two are said to have the key {key}"))
            }
            Event::Discovery(notice @ Notice::SharedName { .. }) => {
                Some(format!("nobody has copied a node, but: {notice:?}"))
            }
            _ => None,
        };
        match wrong {
            Some(wrong) => stage.see(self.id, &Moment::Untrue(wrong)),
            None => Ok(()),
        }
    }

    /// Whom of the others it has not found.
    pub(super) fn does_not_see(&self, stage: &Stage) -> Option<String> {
        stage.air?;
        let status = self.node()?.discovery_status(self.now(stage))?;
        let there = |other: HostId| {
            let key = key(other);
            status.nodes.iter().any(|sighting| sighting.key == key && sighting.state == NodeState::Available)
        };
        let mut others = (0..stage.lives.len() as u8).map(HostId).filter(|other| *other != self.id);
        others.find(|other| !there(*other)).map(|other| format!("does not find n{}", other.0))
    }
}

/// In what a sighting is not true of any host.
fn is_wrong(sighting: &Sighting, hosts: usize) -> Option<String> {
    let node = &sighting.node;
    let host = (0..hosts as u8).map(HostId).find(|host| key(*host) == sighting.key);
    let Some(host) = host else { return Some(format!("found {node}, whose key {} nobody has", sighting.key)) };
    if node.as_str() != format!("n{}", host.0) {
        return Some(format!("found n{} under the name {node}", host.0));
    }
    let mut strange =
        sighting.addresses.iter().filter(|address| host_at(**address) != Some(host) || address.port() != 4000);
    strange.next().map(|address| format!("found {node} at {address}, where it is not"))
}
