//! Connections between hosts: streams of bytes that are late, slow, cut, or silent.
//!
//! A connection has two lanes, one each way. What is sent waits in its lane until it has crossed; a lane keeps its
//! order. Whatever is decided on the way (how long a piece takes, where it is split) is a hash of the plan's salt and of
//! the piece's name, as everywhere here. The network calls nobody: it says what is to happen when, and the world sees
//! to it.

mod lane;

use std::collections::BTreeMap;

use bytes::Bytes;
use softadastra_core::transport::endpoint::LinkId;

use self::lane::{Lane, What};
use crate::chance;
use crate::plan::{Climate, HostId};

/// Names one connection for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wire(u64);

/// What becomes of a connection, told to one of its hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Somebody knocks.
    Knock(Wire),
    /// The connection that was dialled stands.
    Connected(LinkId),
    /// It could not be made.
    Refused(LinkId, &'static str),
    /// Something has come to the end of a lane.
    Arrive(Wire),
    /// The system has taken so many more bytes.
    Written(LinkId, usize),
    /// The connection is gone.
    Ended(LinkId, &'static str),
    /// A closed connection waits no longer for what was sent before.
    Linger(Wire),
}

/// A signal and when it comes, in microseconds from now.
pub type Due = (u64, HostId, Signal);

/// What a host takes from a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Bytes.
    Bytes(LinkId, Bytes),
    /// Its end.
    Ended(LinkId),
}

/// What stands in the way from one host to another.
#[derive(Clone, Debug, Default)]
struct Path {
    /// So many partitions lie on it.
    blocked: u32,
    /// Everything takes so much longer, and the reader takes little at a time.
    slow: Vec<u64>,
}

#[derive(Debug)]
struct End {
    host: HostId,
    /// By which name the host's node knows it; `None` once it speaks of it no more, and before it does.
    link: Option<LinkId>,
}

#[derive(Debug)]
struct Connection {
    /// The one that dialled, and the one that answered.
    ends: [End; 2],
    /// From the first end to the second, and back.
    lanes: [Lane; 2],
    stands: bool,
    /// The bytes of this connection reach nobody any more; an end that has not heard may go on sending.
    dead: bool,
}

/// All connections.
#[derive(Debug, Default)]
pub struct Network {
    climate: Climate,
    wires: BTreeMap<Wire, Connection>,
    by_end: BTreeMap<(HostId, LinkId), (Wire, usize)>,
    paths: BTreeMap<(HostId, HostId), Path>,
    last: u64,
}

impl Network {
    /// A network in which nobody is connected.
    #[must_use]
    pub fn new(climate: Climate) -> Self {
        Self { climate, ..Self::default() }
    }

    /// Whether bytes come through from one host to another.
    #[must_use]
    pub fn is_open(&self, from: HostId, to: HostId) -> bool {
        self.paths.get(&(from, to)).is_none_or(|path| path.blocked == 0)
    }

    /// One partition more on a path.
    pub fn block(&mut self, from: HostId, to: HostId) {
        self.paths.entry((from, to)).or_default().blocked += 1;
    }

    /// One partition less: what waited goes on.
    pub fn unblock(&mut self, now: u64, from: HostId, to: HostId) -> Vec<Due> {
        let path = self.paths.entry((from, to)).or_default();
        path.blocked = path.blocked.saturating_sub(1);
        self.go_on(now, from, to)
    }

    /// Everything from one host to another takes so much longer.
    pub fn slow(&mut self, from: HostId, to: HostId, extra: u64) {
        self.paths.entry((from, to)).or_default().slow.push(extra);
    }

    /// No longer.
    pub fn quick(&mut self, now: u64, from: HostId, to: HostId, extra: u64) -> Vec<Due> {
        let slow = &mut self.paths.entry((from, to)).or_default().slow;
        if let Some(place) = slow.iter().position(|found| *found == extra) {
            slow.remove(place);
        }
        self.go_on(now, from, to)
    }

    /// Nothing stands in the way any more.
    pub fn heal(&mut self, now: u64) -> Vec<Due> {
        let paths: Vec<_> = self.paths.keys().copied().collect();
        self.paths.clear();
        paths.into_iter().flat_map(|(from, to)| self.go_on(now, from, to)).collect()
    }

    /// A host that has not heard yet that one of its connections is broken.
    #[must_use]
    pub fn deaf_end(&self) -> Option<HostId> {
        let broken = self.wires.values().filter(|connection| connection.dead);
        broken.flat_map(|connection| &connection.ends).find(|end| end.link.is_some()).map(|end| end.host)
    }

    /// A host dials another.
    pub fn dial(&mut self, from: HostId, link: LinkId, to: HostId) -> Vec<Due> {
        self.last += 1;
        let wire = Wire(self.last);
        if !(self.is_open(from, to) && self.is_open(to, from)) {
            let patience = 200_000 + chance::below(chance::mix(self.climate.salt, wire.0, 1), 4_000_000);
            return vec![(patience, from, Signal::Refused(link, "timed out"))];
        }
        let ends = [End { host: from, link: Some(link) }, End { host: to, link: None }];
        self.by_end.insert((from, link), (wire, 0));
        let connection = Connection { ends, lanes: Default::default(), stands: false, dead: false };
        self.wires.insert(wire, connection);
        vec![(self.latency(from, to, wire.0), to, Signal::Knock(wire))]
    }

    /// From where somebody knocks; `None` if they have gone.
    #[must_use]
    pub fn dialler(&self, wire: Wire) -> Option<HostId> {
        self.wires.get(&wire).filter(|wire| !wire.dead).map(|wire| wire.ends[0].host)
    }

    /// The host at which somebody knocks lets them in, or not.
    pub fn answer(&mut self, wire: Wire, answer: Option<LinkId>) -> Vec<Due> {
        let Some(connection) = self.wires.get_mut(&wire) else { return Vec::new() };
        let [End { host: from, link: dialled }, End { host: to, link }] = &mut connection.ends;
        let (from, to, dialled) = (*from, *to, *dialled);
        match answer {
            Some(name) => {
                *link = Some(name);
                connection.stands = true;
                self.by_end.insert((to, name), (wire, 1));
            }
            None => connection.dead = true,
        }
        let back = self.latency(to, from, wire.0);
        let open = self.is_open(to, from);
        let due = match (dialled, answer) {
            (Some(link), Some(_)) if open => vec![(back, from, Signal::Connected(link))],
            (Some(link), None) if open => vec![(back, from, Signal::Refused(link, "connection refused"))],
            (Some(link), _) => vec![(2_000_000, from, Signal::Refused(link, "timed out"))],
            (None, _) => Vec::new(),
        };
        if due.iter().any(|(_, _, signal)| matches!(signal, Signal::Refused(..))) {
            // The one that answered finds out, if it thought otherwise, by hearing nothing.
            self.forget_end(wire, 0);
            if let Some(connection) = self.wires.get_mut(&wire) {
                connection.dead = true;
            }
        }
        due
    }

    /// Bytes that the node at this end gave and the system has not taken.
    #[must_use]
    pub fn unwritten(&self, host: HostId, link: LinkId) -> usize {
        let Some((wire, side)) = self.by_end.get(&(host, link)) else { return 0 };
        self.wires.get(wire).and_then(|connection| connection.lanes.get(*side)).map_or(0, Lane::unwritten)
    }

    /// A node sends bytes.
    pub fn send(&mut self, now: u64, host: HostId, link: LinkId, bytes: Bytes) -> Vec<Due> {
        let Some(&(wire, side)) = self.by_end.get(&(host, link)) else { return Vec::new() };
        let (climate, to) = (self.climate, self.other(wire, side));
        let Some(to) = to else { return Vec::new() };
        let (open, slow) = (self.is_open(host, to), self.extra(host, to));
        let buffer = self.buffer(host, to);
        let Some(connection) = self.wires.get_mut(&wire) else { return Vec::new() };
        let dead = connection.dead;
        let Some(lane) = connection.lanes.get_mut(side) else { return Vec::new() };
        // A stream is cut into pieces wherever the network likes.
        let name = chance::mix(wire.0, side as u64, lane.count());
        let at = if chance::percent(chance::mix(climate.salt, name, 2), 20) {
            chance::below(chance::mix(climate.salt, name, 3), bytes.len() as u64 + 1) as usize
        } else {
            bytes.len()
        };
        for piece in [bytes.slice(..at), bytes.slice(at..)] {
            if !piece.is_empty() {
                let crossing = climate.crossing(host, to, chance::mix(name, piece.len() as u64, 0), piece.len());
                lane.push(now, crossing + slow, What::Bytes(piece));
            }
        }
        let mut due: Vec<Due> =
            lane.report(buffer).map(|n| (1 + n as u64 / 50, host, Signal::Written(link, n))).collect();
        if dead {
            // Whoever is reachable and knows nothing of the connection says so.
            if open && self.is_open(to, host) && !self.is_silent(wire) {
                let back = 2 * self.latency(to, host, wire.0);
                due.push((back, host, Signal::Ended(link, "connection reset by peer")));
            }
        } else if open {
            due.extend(self.carry(now, wire, side));
        }
        due
    }

    /// A node closes a connection, and speaks of it no more.
    pub fn close(&mut self, now: u64, host: HostId, link: LinkId) -> Vec<Due> {
        let Some((wire, side)) = self.by_end.remove(&(host, link)) else { return Vec::new() };
        let Some(to) = self.other(wire, side) else { return Vec::new() };
        let open = self.is_open(host, to);
        let Some(connection) = self.wires.get_mut(&wire) else { return Vec::new() };
        if let Some(end) = connection.ends.get_mut(side) {
            end.link = None;
        }
        if connection.ends.iter().all(|end| end.link.is_none()) {
            self.wires.remove(&wire);
            return Vec::new();
        }
        connection.dead |= !connection.stands;
        if connection.dead {
            return Vec::new();
        }
        if let Some(lane) = connection.lanes.get_mut(side) {
            lane.push(now, 1, What::End);
        }
        let mut due = vec![(1_000_000, host, Signal::Linger(wire))];
        if open {
            due.extend(self.carry(now, wire, side));
        }
        due
    }

    /// A closed connection has lingered long enough.
    pub fn linger(&mut self, wire: Wire, host: HostId) {
        if let Some(connection) = self.wires.get_mut(&wire)
            && let Some(side) = connection.ends.iter().position(|end| end.host == host && end.link.is_none())
            && let Some(lane) = connection.lanes.get_mut(side)
        {
            lane.keep_only_end();
        }
    }

    /// The next thing at the end of a lane towards `host`, if it is still to be had.
    pub fn arrive(&mut self, now: u64, wire: Wire, host: HostId) -> (Option<Arrival>, Vec<Due>) {
        let nothing = (None, Vec::new());
        let Some(connection) = self.wires.get_mut(&wire) else { return nothing };
        let Some(to) = connection.ends.iter().position(|end| end.host == host) else { return nothing };
        let (side, dead) = (1 - to, connection.dead);
        let [from, link] = [side, to].map(|side| connection.ends.get(side));
        let (Some(from), Some(link)) = (from.map(|end| (end.host, end.link)), link.and_then(|end| end.link)) else {
            return nothing;
        };
        let (open, back) = (self.is_open(from.0, host), self.is_open(host, from.0));
        let buffer = self.buffer(from.0, host);
        let Some(lane) = self.wires.get_mut(&wire).and_then(|connection| connection.lanes.get_mut(side)) else {
            return nothing;
        };
        lane.due = false;
        if !open || dead {
            return nothing;
        }
        let arrival = match lane.take(now) {
            Some(What::Bytes(bytes)) => {
                lane.acknowledge(bytes.len(), back);
                Some(Arrival::Bytes(link, bytes))
            }
            Some(What::End) => Some(Arrival::Ended(link)),
            None => None,
        };
        let mut due: Vec<Due> = match from {
            (host, Some(link)) => lane.report(buffer).map(|n| (1, host, Signal::Written(link, n))).collect(),
            (_, None) => Vec::new(),
        };
        due.extend(self.carry(now, wire, side));
        if let Some(Arrival::Ended(_)) = arrival {
            self.forget_end(wire, to);
        }
        (arrival, due)
    }

    /// An end has heard that its connection is gone.
    pub fn heard_end(&mut self, host: HostId, link: LinkId) -> bool {
        match self.by_end.get(&(host, link)).copied() {
            Some((wire, side)) => {
                self.forget_end(wire, side);
                true
            }
            None => false,
        }
    }

    /// All connections between two hosts break. `deaf` hosts hear nothing of it.
    pub fn cut(&mut self, a: HostId, b: HostId, deaf: &[HostId]) -> (usize, Vec<Due>) {
        let between = |connection: &Connection| {
            let [one, other] = connection.ends.each_ref().map(|end| end.host);
            (one, other) == (a, b) || (one, other) == (b, a)
        };
        let wires: Vec<Wire> =
            self.wires.iter().filter(|(_, c)| between(c) && !c.dead).map(|(wire, _)| *wire).collect();
        let mut due = Vec::new();
        for wire in &wires {
            due.extend(self.kill(*wire, deaf));
        }
        (wires.len(), due)
    }

    /// A host's process has ended. With it end its connections; the others hear of it, unless the power went. Of some the system
    /// still delivers what the process had given it.
    pub fn host_ended(&mut self, now: u64, host: HostId, silently: bool) -> Vec<Due> {
        let link_of_host =
            |connection: &Connection| connection.ends.iter().filter(|end| end.host == host).find_map(|end| end.link);
        let wires: Vec<(Wire, LinkId)> =
            self.wires.iter().filter_map(|(wire, c)| Some((*wire, link_of_host(c)?))).collect();
        let mut due = Vec::new();
        for (wire, link) in wires {
            if !silently && chance::percent(chance::mix(self.climate.salt, wire.0, 7), 50) {
                due.extend(self.close(now, host, link));
                continue;
            }
            let late = silently && chance::percent(chance::mix(self.climate.salt, wire.0, 4), 50);
            let other = self.other(wire, 0).into_iter().chain(self.other(wire, 1)).find(|other| *other != host);
            let deaf: Vec<HostId> = other.into_iter().filter(|_| silently && !late).chain([host]).collect();
            let extra = if late { chance::below(chance::mix(self.climate.salt, wire.0, 5), 8_000_000) } else { 0 };
            due.extend(self.kill(wire, &deaf).into_iter().map(|(delay, host, signal)| (delay + extra, host, signal)));
        }
        let links: Vec<(Wire, usize)> =
            self.by_end.iter().filter(|((at, _), _)| *at == host).map(|(_, end)| *end).collect();
        links.into_iter().for_each(|(wire, side)| self.forget_end(wire, side));
        due
    }

    fn kill(&mut self, wire: Wire, deaf: &[HostId]) -> Vec<Due> {
        let Some(connection) = self.wires.get_mut(&wire) else { return Vec::new() };
        connection.dead = true;
        connection.lanes.iter_mut().for_each(Lane::lose);
        let ends: Vec<(HostId, LinkId)> =
            connection.ends.iter().filter_map(|end| Some((end.host, end.link?))).collect();
        let hosts = connection.ends.each_ref().map(|end| end.host);
        let mut due = Vec::new();
        for (host, link) in ends {
            let other = if hosts[0] == host { hosts[1] } else { hosts[0] };
            if !deaf.contains(&host) && self.is_open(other, host) {
                let delay = self.latency(other, host, wire.0);
                due.push((delay, host, Signal::Ended(link, "connection reset by peer")));
            }
        }
        due
    }

    /// A connection whose other end swallows everything without a word.
    fn is_silent(&self, wire: Wire) -> bool {
        chance::percent(chance::mix(self.climate.salt, wire.0, 6), 50)
    }

    fn forget_end(&mut self, wire: Wire, side: usize) {
        let Some(connection) = self.wires.get_mut(&wire) else { return };
        if let Some(end) = connection.ends.get_mut(side)
            && let Some(link) = end.link.take()
        {
            self.by_end.remove(&(end.host, link));
        }
        if connection.ends.iter().all(|end| end.link.is_none()) {
            self.wires.remove(&wire);
        }
    }

    fn other(&self, wire: Wire, side: usize) -> Option<HostId> {
        Some(self.wires.get(&wire)?.ends.get(1 - side)?.host)
    }

    /// Lets the first piece of a lane go on its way, if none is.
    fn carry(&mut self, now: u64, wire: Wire, side: usize) -> Option<Due> {
        let connection = self.wires.get_mut(&wire)?;
        if !connection.stands || connection.dead {
            return None;
        }
        let to = connection.ends.get(1 - side)?.host;
        let lane = connection.lanes.get_mut(side)?;
        if lane.due {
            return None;
        }
        let at = lane.next_at()?;
        lane.due = true;
        Some((at.saturating_sub(now), to, Signal::Arrive(wire)))
    }

    /// A path is better than before: what waited for it goes on.
    fn go_on(&mut self, now: u64, from: HostId, to: HostId) -> Vec<Due> {
        if !self.is_open(from, to) {
            return Vec::new();
        }
        let mut due = Vec::new();
        for wire in self.wires.keys().copied().collect::<Vec<_>>() {
            for side in [0, 1] {
                let hosts = [side, 1 - side].map(|side| self.wires.get(&wire).and_then(|c| c.ends.get(side)));
                let [Some(one), Some(other)] = hosts else { continue };
                let (one, link, other) = (one.host, one.link, other.host);
                if (one, other) == (from, to) {
                    due.extend(self.carry(now, wire, side));
                } else if (other, one) == (from, to) {
                    // Acknowledgements of what went the other way come through again.
                    let buffer = self.buffer(one, other);
                    if let Some(lane) = self.wires.get_mut(&wire).and_then(|c| c.lanes.get_mut(side)) {
                        lane.acknowledge(0, true);
                        let written = lane.report(buffer);
                        due.extend(written.zip(link).map(|(n, link)| (1, one, Signal::Written(link, n))));
                    }
                }
            }
        }
        due
    }

    fn latency(&self, from: HostId, to: HostId, name: u64) -> u64 {
        self.climate.crossing(from, to, name, 0)
    }

    fn extra(&self, from: HostId, to: HostId) -> u64 {
        self.paths.get(&(from, to)).map_or(0, |path| path.slow.iter().sum())
    }

    /// Bytes that the systems at both ends keep between them.
    fn buffer(&self, from: HostId, to: HostId) -> usize {
        if self.extra(from, to) > 0 { 2_048 } else { self.climate.buffer }
    }
}
