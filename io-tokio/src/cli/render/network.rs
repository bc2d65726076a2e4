//! Answers about links and peers, as people read them.

use comfy_table::CellAlignment;

use super::node::links;
use super::{counted, duration, fields, lines_of, moment, plain_table};
use crate::cli::output::{Human, Paint};
use crate::control::answer::{Connecting, Disconnected, Forgotten, Joined, Peer, Peers, Refused, Ticket, Trusted};
use crate::control::fault::readable;

/// The most changes of a lag that are counted.
const COUNTED: u64 = 10_000;

impl Human for Peers {
    fn human(&self, paint: Paint) -> String {
        let mut text = format!("{}  {}\n", paint.bold("Links"), links(&self.transport, paint));
        if self.peers.is_empty() {
            text.push_str(match self.transport.running {
                true => "No peers are known. `softadastra ticket` here and `softadastra join` there make some.\n",
                false => "None are remembered; peers that dial in are shown while the node runs.\n",
            });
            text.push_str(&refused(&self.refused));
            text.push_str(&forgotten(&self.forgotten, paint));
            return text;
        }
        let mut table = plain_table();
        table.set_header(["NODE", "ADDRESS", "STATE", "PROGRESS", "LAG", "ROUND TRIP", "LAST ERROR"]);
        for peer in &self.peers {
            let none = || "-".to_owned();
            let flow = peer.sync.as_ref();
            table.add_row([
                self.name(peer).unwrap_or_else(none),
                peer.addresses.first().cloned().unwrap_or_else(none),
                state(peer),
                flow.map_or_else(none, |flow| match flow.phase.as_str() {
                    "open" => format!("{}/{}", flow.holds, self.accepted),
                    phase => phase.replace('_', " "),
                }),
                flow.map_or_else(none, |flow| lag(flow.lag)),
                peer.round_trip_us.map_or_else(none, round_trip),
                peer.last_error.as_ref().map_or_else(none, |error| format!("{} [{}]", error.message, error.code)),
            ]);
        }
        for column in table.column_iter_mut().skip(3).take(3) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        text.push('\n');
        text.push_str(&lines_of(&table));
        text.push_str(&refused(&self.refused));
        text.push_str(&forgotten(&self.forgotten, paint));
        text
    }
}

impl Peers {
    /// What to call a peer: its name, with its key where another one has the same, else its key.
    fn name(&self, peer: &Peer) -> Option<String> {
        let key = peer.public_key.as_deref().map(short);
        let alike = self.peers.iter().filter(|other| other.node_id == peer.node_id).count();
        match (&peer.node_id, key) {
            (Some(name), Some(key)) if alike > 1 => Some(format!("{name} {key}")),
            (Some(name), _) => Some(name.clone()),
            (None, key) => key,
        }
    }
}

/// Whom the operator wants no link with.
fn forgotten(keys: &[String], paint: Paint) -> String {
    let lines: Vec<String> = keys.iter().map(|key| format!("{}  {key}\n", paint.bold("Forgotten"))).collect();
    if lines.is_empty() { String::new() } else { format!("\n{}", lines.concat()) }
}

/// Whose links were refused.
fn refused(all: &[Refused]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let mut table = plain_table();
    table.set_header(["REFUSED", "TIMES", "LAST", "WHY"]);
    for one in all {
        table.add_row([
            one.address.clone(),
            one.count.to_string(),
            moment(one.last_at_ms),
            format!("{} [{}]", one.message, one.code),
        ]);
    }
    if let Some(times) = table.column_mut(1) {
        times.set_cell_alignment(CellAlignment::Right);
    }
    format!("\n{}", lines_of(&table))
}

/// The beginning of a key: enough to tell the nodes of one network apart.
fn short(key: &str) -> String {
    key.chars().take(10).chain(['…']).collect()
}

fn state(peer: &Peer) -> String {
    match (peer.held, peer.state.as_str(), peer.up_ms, peer.next_dial_ms) {
        (true, ..) => "disconnected".to_owned(),
        (_, "connected", Some(up), _) => format!("connected {}", duration(up)),
        (_, "available", ..) if !peer.wanted || peer.addresses.is_empty() => "away, dials us".to_owned(),
        (_, state, _, Some(next)) if peer.failures > 0 => {
            // Nothing is known of whether it is there.
            let state = if state == "available" { "waiting" } else { state };
            format!("{state}, dial in {}", duration(next.next_multiple_of(1000)))
        }
        (_, state, ..) => state.to_owned(),
    }
}

pub(super) fn lag(changes: u64) -> String {
    if changes >= COUNTED { format!("{COUNTED} or more") } else { changes.to_string() }
}

pub(super) fn round_trip(us: u64) -> String {
    if us < 10_000 { format!("{:.1} ms", us as f64 / 1000.0) } else { format!("{} ms", us / 1000) }
}

impl Human for Ticket {
    fn human(&self, _: Paint) -> String {
        format!("{}\n", self.ticket)
    }
}

impl Human for Joined {
    fn human(&self, paint: Paint) -> String {
        let next = match (self.addresses.is_empty(), self.dialling) {
            (true, _) => "nowhere: the ticket names no address, so that node must dial this one".to_owned(),
            (false, true) => self.addresses.join(", "),
            (false, false) => format!("{}, as soon as a node runs here", self.addresses.join(", ")),
        };
        fields(paint, &[("Joined", self.public_key.clone()), ("Dialling", next)])
    }
}

impl Human for Connecting {
    fn human(&self, paint: Paint) -> String {
        format!(
            "{}: dialled from now on; `softadastra peers` tells what comes of it\n",
            paint.bold(readable(self.peer.as_bytes()))
        )
    }
}

impl Human for Disconnected {
    fn human(&self, paint: Paint) -> String {
        format!("{}: disconnected, until `softadastra connect`\n", paint.bold(readable(self.peer.as_bytes())))
    }
}

impl Human for Trusted {
    fn human(&self, paint: Paint) -> String {
        let already = if self.new { "trusted" } else { "was trusted already" };
        format!("{}: {already}\n", paint.bold(&self.public_key))
    }
}

impl Human for Forgotten {
    fn human(&self, paint: Paint) -> String {
        let mut text = String::new();
        for key in &self.public_keys {
            text.push_str(&format!(
                "{}: no links, no trust, until `softadastra peers trust` or `connect` of this key\n",
                paint.bold(key)
            ));
        }
        for replica in &self.replica_ids {
            text.push_str(&format!("{}: counts no longer for delivery\n", paint.bold(replica)));
        }
        for address in &self.addresses {
            text.push_str(&format!("{}: dialled no more\n", paint.bold(address)));
        }
        let names = self.public_keys.len() + self.replica_ids.len() + self.addresses.len();
        text.push_str(&format!("{} forgotten\n", counted(names as u64, "name", "names")));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::answer::{Flow, PeerError, Transport};

    fn peer() -> Peer {
        Peer {
            node_id: Some("till-2".into()),
            public_key: Some("abcdefghijklmnop".into()),
            addresses: vec!["10.0.0.2:4444".into()],
            state: "connected".into(),
            wanted: true,
            found: false,
            held: false,
            up_ms: Some(61_000),
            silent_ms: Some(10),
            round_trip_us: Some(1_240),
            last_error: None,
            failures: 0,
            next_dial_ms: None,
            sync: Some(Flow {
                phase: "open".into(),
                replica_id: None,
                holds: 90,
                acknowledged_lsn: 93,
                taken_lsn: 7,
                lag: 10,
                in_flight_bytes: 1000,
                clock_ahead_ms: 0,
            }),
        }
    }

    #[test]
    fn peers_are_a_table() {
        let faulted = Peer {
            node_id: None,
            state: "faulted".into(),
            up_ms: None,
            round_trip_us: None,
            failures: 3,
            next_dial_ms: Some(9_000),
            last_error: Some(PeerError {
                code: "wrong_secret".into(),
                message: "another network".into(),
                needs_operator: true,
            }),
            sync: None,
            ..peer()
        };
        let stranger = Refused {
            address: "10.0.0.9".into(),
            code: "wrong_secret".into(),
            message: "two networks".into(),
            count: 12,
            last_at_ms: 951_782_400_000,
        };
        let transport = Transport { running: true, listening: vec!["0.0.0.0:4444".into()], ..Transport::default() };
        let peers = vec![peer(), faulted];
        let peers = Peers { transport, accepted: 100, peers, refused: vec![stranger], forgotten: Vec::new() };
        assert_eq!(
            peers.human(Paint::PLAIN),
            "Links  taken at 0.0.0.0:4444\n\
             \n\
             NODE         ADDRESS        STATE                 PROGRESS  LAG  ROUND TRIP  LAST ERROR\n\
             till-2       10.0.0.2:4444  connected 1 min 1 s     90/100   10      1.2 ms  -\n\
             abcdefghij…  10.0.0.2:4444  faulted, dial in 9 s         -    -           -  another network [wrong_secret]\n\
             \n\
             REFUSED   TIMES  LAST                  WHY\n\
             10.0.0.9     12  2000-02-29 00:00:00Z  two networks [wrong_secret]\n"
        );
    }

    #[test]
    fn peers_of_one_name_are_told_apart_and_forgotten_keys_are_named() {
        let twin = Peer { public_key: Some("zyxwvutsrqponmlk".into()), state: "faulted".into(), up_ms: None, ..peer() };
        let other = Peer { node_id: Some("till-3".into()), ..peer() };
        let peers = vec![peer(), twin, other];
        let forgotten = vec!["f".repeat(52)];
        let peers = Peers { transport: Transport::default(), accepted: 100, peers, refused: Vec::new(), forgotten };
        let text = peers.human(Paint::PLAIN);
        for line in ["\ntill-2 abcdefghij…  10", "\ntill-2 zyxwvutsrq…  10", "\ntill-3              10"] {
            assert!(text.contains(line), "{text}");
        }
        assert!(text.ends_with(&format!("\n\nForgotten  {}\n", "f".repeat(52))), "{text}");
    }

    #[test]
    fn a_peer_that_was_disconnected_by_hand_says_so() {
        assert_eq!(state(&Peer { held: true, ..peer() }), "disconnected");
        let away =
            Peer { state: "available".into(), up_ms: None, failures: 1, next_dial_ms: Some(3_600_000), ..peer() };
        assert_eq!(state(&away), "waiting, dial in 1 h 0 min");
        assert_eq!(state(&Peer { addresses: Vec::new(), ..away.clone() }), "away, dials us");
        assert_eq!(state(&Peer { wanted: false, ..away }), "away, dials us");
        assert_eq!(lag(10_000), "10000 or more");
        assert_eq!(round_trip(25_000), "25 ms");
    }
}
