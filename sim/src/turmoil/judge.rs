//! What must hold between hosts: at every moment, and at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use softadastra::model::SyncState;
use softadastra::{Client, Error, NodeState, ReplicaId, ScanOptions, Status};
use softadastra_core::ids::Seq;

use super::host::Host;
use super::{record::Record, work};

type Vector = BTreeMap<ReplicaId, Seq>;

/// Watches all hosts at once, at one instant.
#[derive(Debug, Default)]
pub struct Watcher {
    /// The greatest claims that each replica was ever seen to make.
    claims: BTreeMap<ReplicaId, Vector>,
}

impl Watcher {
    /// Looks at all hosts that are up: claims never go back, not over any crash; and what one host takes another one to
    /// hold, that one holds. What is durable on a host that is down is asked when it is up again.
    pub fn look(&mut self, hosts: &[Arc<Host>], record: &Record) {
        let up: Vec<(&Arc<Host>, ReplicaId, SyncState)> = hosts.iter().filter_map(present).collect();
        for (host, replica, state) in &up {
            let claims = self.claims.entry(*replica).or_default();
            let vector: Vector = state.vector.iter().copied().collect();
            for (origin, before) in claims.iter() {
                let now = vector.get(origin).copied().unwrap_or_default();
                if now < *before {
                    record.broken(host.name, format_args!("it claimed {before:?} of {origin}, and now {now:?}"));
                }
            }
            *claims = vector;
        }
        for (host, replica, state) in &up {
            for member in &state.members {
                let Some((other, ..)) = up.iter().find(|(_, other, _)| *other == member.replica) else { continue };
                let held = self.claims.get(&member.replica).and_then(|claims| claims.get(replica)).copied();
                let held = held.unwrap_or_default();
                if held < member.acknowledged {
                    let said = member.acknowledged;
                    record.broken(
                        host.name,
                        format_args!("takes {} to hold its {said:?}; it holds {held:?}", other.name),
                    );
                }
            }
        }
    }
}

fn present(host: &Arc<Host>) -> Option<(&Arc<Host>, ReplicaId, SyncState)> {
    let (client, replica) = host.present()?;
    Some((host, replica, client.sync_state().ok()?))
}

/// What keeps the hosts from being equal and at rest; `None` when they are.
#[must_use]
pub fn unrest(hosts: &[Arc<Host>]) -> Option<String> {
    let mut first: Option<(&str, Status, SyncState)> = None;
    for host in hosts {
        let Some((client, _)) = host.present() else { return Some(format!("{} is not up", host.name)) };
        let (status, mut state) = match look(&client) {
            Ok(both) => both,
            Err(error) => return Some(format!("{}: {error}", host.name)),
        };
        if status.state != NodeState::Ready {
            return Some(format!("{} is {:?}", host.name, status.state));
        }
        if let Some(waits) = host.memories().find_map(|memory| memory.waits()) {
            return Some(format!("a program on {} waits for the answer to {waits}", host.name));
        }
        let waiting = state.outbox.size();
        if waiting > 0 || status.waiting > 0 {
            return Some(format!("{} waits for {waiting} acknowledgements and {} syncs", host.name, status.waiting));
        }
        let others = hosts.iter().filter(|other| are_neighbours(host, other)).count() as u64;
        if state.connected < others {
            return Some(format!("{} has links to {} of {others} hosts", host.name, state.connected));
        }
        if !state.exact {
            return Some(format!("{} holds more than it claims", host.name));
        }
        state.vector.sort_unstable();
        match &first {
            None => first = Some((host.name, status, state)),
            Some((name, _, other)) if other.vector != state.vector => {
                return Some(format!("{name} claims {:?} and {} {:?}", other.vector, host.name, state.vector));
            }
            Some((name, other, _)) if other.digest != status.digest => {
                return Some(format!("{name} and {} claim the same and differ", host.name));
            }
            Some(_) => {}
        }
    }
    None
}

fn are_neighbours(one: &Host, other: &Host) -> bool {
    let dials = |from: &Host, to: &Host| {
        let script = from.common.script.hosts.get(from.index);
        script.is_some_and(|script| script.dials.contains(&to.index))
    };
    dials(one, other) || dials(other, one)
}

fn look(client: &Client) -> Result<(Status, SyncState), Error> {
    Ok((client.status()?, client.sync_state()?))
}

/// Everything that must be true at the end, when all are equal and at rest.
pub fn judge(hosts: &[Arc<Host>], record: &Record) {
    let mut first = None;
    for host in hosts {
        let Some((client, _)) = host.present() else { continue };
        if let Err(error) = work::read(host, &client, true) {
            record.broken(host.name, format_args!("at the end, {error}"));
        }
        let all = ScanOptions { limit: 100_000, ..ScanOptions::default() };
        let (Ok(page), Ok(state)) = (client.scan(&all), client.sync_state()) else {
            record.broken(host.name, format_args!("it cannot be read at the end"));
            continue;
        };
        if state.divergences > 0 || state.halted.is_some() {
            record.broken(host.name, format_args!("{} divergences, halted: {:?}", state.divergences, state.halted));
        }
        let content: Vec<_> =
            page.items.into_iter().map(|item| (item.key, item.value.bytes, item.value.stamp)).collect();
        match &first {
            None => first = Some(content),
            Some(other) if *other != content => {
                record.broken(host.name, format_args!("at rest its content is another than that of the first"));
            }
            Some(_) => {}
        }
    }
}
