//! How nodes stand, in words; and one key, as each node has it in turn: what the story of a broken promise is mostly about.

use std::collections::BTreeSet;

use softadastra_core::ids::Dot;
use softadastra_core::store::Entry;

use super::World;
use super::host::{Host, Machine};
use crate::judges::{ALL_CONVERGE, Failure};

/// The key, and how each node had it when it was last looked at.
pub(super) struct Watched {
    key: String,
    last: Vec<String>,
}

impl World {
    /// From here on the trace says whenever a node comes to have something else of this key, or loses it. That changes neither
    /// what happens nor the trace's hash.
    pub fn watch(&mut self, key: &str) {
        self.watched = Some(Watched { key: key.into(), last: vec![String::new(); self.hosts.len()] });
    }

    /// A run has ended. If nodes differ that should not, and nobody said in what: in which key.
    pub(super) fn say_what_differs(&mut self, failure: &mut Failure) {
        self.look_at_watched();
        if failure.judge != ALL_CONVERGE || failure.key().is_some() {
            return;
        }
        let up: Vec<&Host> = self.hosts.iter().filter(|host| matches!(host.machine, Machine::Up(_))).collect();
        let keys: BTreeSet<&[u8]> = up.iter().flat_map(|host| host.live_keys()).collect();
        let differs = |key: &&&[u8]| {
            let mut values = up.iter().map(|host| host.value(key));
            let first = values.next();
            values.any(|value| Some(value) != first)
        };
        if let Some(key) = keys.iter().find(differs) {
            let stands = |host: &&Host| format!(", n{}: {}", host.id().0, host.describe_key(key));
            let of_each: String = up.iter().map(stands).collect();
            failure.what += &format!("; {}{of_each}", String::from_utf8_lossy(key));
        }
    }

    pub(super) fn look_at_watched(&mut self) {
        let Some(Watched { key, last }) = &mut self.watched else { return };
        for (host, last) in self.hosts.iter().zip(last) {
            let now = host.describe_key(key.as_bytes());
            if now != *last {
                self.stage.trace.aside(self.stage.now, format_args!("n{} {key}: {now}", host.id().0));
                *last = now;
            }
        }
    }
}

impl Host {
    fn live_keys(&self) -> impl Iterator<Item = &[u8]> {
        let store = match &self.machine {
            Machine::Up(node) => Some(node.store()),
            Machine::Down | Machine::Opening(_) => None,
        };
        store
            .into_iter()
            .flat_map(|store| store.entries(None))
            .filter(|entry| !entry.is_tombstone())
            .map(|entry| entry.key())
    }

    fn value(&self, key: &[u8]) -> Option<&[u8]> {
        match &self.machine {
            Machine::Up(node) => node.store().get(key).and_then(|entry| entry.value()),
            Machine::Down | Machine::Opening(_) => None,
        }
    }

    pub(super) fn describe(&self) -> String {
        let id = self.id.0;
        let node = match &self.machine {
            Machine::Down => return format!("n{id} is down, after {} starts", self.starts),
            Machine::Opening(_) => return format!("n{id} is opening, start {}", self.starts),
            Machine::Up(node) => node,
        };
        let (status, sync) = (node.status(), node.sync_status());
        let mut text =
            format!("n{id} is {}, start {}, replica {}", status.health.as_str(), self.starts, status.replica);
        text += &format!(", {} keys, {} tombstones", status.store.keys, status.store.tombstones);
        text += &format!("\n   outbox {:?}\n   claims {:?}", status.outbox, sync.vector);
        if !sync.unclaimed.is_empty() {
            text +=
                &format!("\n   holds beyond that {:?}, {}exact", sync.unclaimed, if sync.exact { "" } else { "not " });
        }
        for (replica, name, heard, held, forgotten) in sync.members {
            let forgotten = if forgotten { ", given up" } else { "" };
            text += &format!("\n   member {replica} of {name}, heard at {}, has {held} of here{forgotten}", heard.0);
        }
        for peer in sync.peers {
            text += &format!("\n   session with {}", peer.node.as_ref().map_or("somebody", |node| node.as_str()));
            text += &format!(": {:?}, lags by {}, {} bytes under way", peer.phase, peer.lag, peer.in_flight);
            text += &format!(", claims {:?}", peer.vector);
        }
        text
    }

    fn describe_key(&self, key: &[u8]) -> String {
        let node = match &self.machine {
            Machine::Down => return "down".into(),
            Machine::Opening(_) => return "opening".into(),
            Machine::Up(node) => node,
        };
        let claims = |dot: Dot| if node.claims().covers(dot) { "claimed" } else { "not claimed" };
        let Some(entry) = node.store().entry(key) else { return "nothing".into() };
        let what = entry.value().map_or_else(|| "deleted".into(), |value| format!("{} bytes", value.len()));
        let others = |entry: &Entry<'_>| {
            let others = entry.known_dots().filter(|dot| *dot != entry.dot());
            others.map(|dot| format!(" {} ({})", short(dot), claims(dot))).collect::<String>()
        };
        let knows = Some(others(&entry)).filter(|others| !others.is_empty());
        let knows = knows.map_or_else(String::new, |others| format!(", beside{others}"));
        let origin = entry.origin();
        let repeats = if origin == entry.dot() { String::new() } else { format!(", repeats {}", short(origin)) };
        format!("{what} by {} ({}){repeats}{knows}", short(entry.dot()), claims(entry.dot()))
    }
}

/// The beginning of a replica's id is enough among a few.
fn short(dot: Dot) -> String {
    let replica = dot.replica.to_string();
    format!("{}:{}", replica.get(..8).unwrap_or(&replica), dot.seq)
}
