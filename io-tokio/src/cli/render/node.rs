//! Answers about the node as a whole, as people read them.

use super::discovery::in_short;
use super::sync::delivered;
use super::{bytes, counted, duration, fields};
use crate::cli::output::{Human, Paint};
use crate::control::answer::{Console, Http, Init, Node, Status, Transport, Version};

impl Human for Version {
    fn human(&self, _: Paint) -> String {
        format!("softadastra {}\n", self.version)
    }
}

impl Human for Console {
    fn human(&self, _paint: Paint) -> String {
        format!("{}\n", self.link)
    }
}

impl Human for Init {
    fn human(&self, paint: Paint) -> String {
        fields(
            paint,
            &[("Created", self.data_dir.clone()), ("Node", self.node_id.clone()), ("Replica", self.replica_id.clone())],
        )
    }
}

impl Human for Status {
    fn human(&self, paint: Paint) -> String {
        let state = match &self.reason {
            Some(reason) => paint.red(format_args!("{}: {reason}", self.state)),
            None => self.state.clone(),
        };
        let mut rows = vec![
            ("State", state),
            ("Keys", self.keys.to_string()),
            ("Tombstones", self.tombstones.to_string()),
            ("Live bytes", bytes(self.live_bytes)),
            ("Digest", self.digest.clone()),
            ("Accepted here", counted(self.delivery.accepted, "own operation", "own operations")),
            ("Delivered", delivered(&self.delivery)),
            ("Held of others", counted(self.received, "operation", "operations")),
            ("Conflicts", conflicts(self.conflicts, self.open_conflicts)),
            ("Peers", format!("{} connected", self.connected)),
            ("Links", links(&self.transport, paint)),
            ("Discovery", in_short(&self.discovery, paint)),
        ];
        if let Some(trust) = &self.transport.trust {
            rows.push(("Lets in", lets_in(trust).to_owned()));
        }
        if self.http.state != "off" {
            rows.push(("HTTP", http(&self.http, paint)));
        }
        if let Some(reason) = &self.delivery.reason {
            rows.push(("Not delivered", paint.red(reason)));
        }
        if let Some(finding) = &self.halted {
            rows.push(("Halted", paint.red(finding)));
        }
        if let Some(wal) = &self.wal {
            let snapshot = match (wal.snapshot_lsn, wal.snapshot_running) {
                (0, false) => "none".to_owned(),
                (0, true) => "the first is being written".to_owned(),
                (lsn, false) => format!("to LSN {lsn}, {}", bytes(wal.snapshot_bytes)),
                (lsn, true) => format!("to LSN {lsn}, {}; another is being written", bytes(wal.snapshot_bytes)),
            };
            rows.extend([
                ("Log", wal.path.clone()),
                ("Last LSN", wal.last_lsn.to_string()),
                ("Durable LSN", wal.durable_lsn.to_string()),
                ("Segments", wal.segments.to_string()),
                (
                    "Log bytes",
                    format!("{}, {} of them written since the last snapshot", bytes(wal.bytes), bytes(wal.tail_bytes)),
                ),
                ("Snapshot", snapshot),
                ("Disk", wal.free_bytes.map_or_else(|| "unknown".to_owned(), |free| format!("{} free", bytes(free)))),
            ]);
        }
        fields(paint, &rows)
    }
}

impl Human for Node {
    fn human(&self, paint: Paint) -> String {
        let none = || "none, everything is in memory".to_owned();
        let running = if self.running { format!("yes, process {}", self.pid) } else { "no".to_owned() };
        let mut rows = vec![
            ("Node", self.node_id.clone()),
            ("Replica", self.replica_id.clone()),
            ("Log", self.log_id.clone().unwrap_or_else(none)),
            (
                "Public key",
                self.public_key.clone().unwrap_or_else(|| "unknown, network.json cannot be used".to_owned()),
            ),
            ("Data directory", self.data_dir.clone().unwrap_or_else(none)),
            ("Host", self.hostname.clone()),
            ("System", self.os.clone()),
            ("Version", self.version.clone()),
            ("Running", running),
        ];
        if self.running {
            rows.push(("Uptime", duration(self.uptime_ms)));
            if !self.listening.is_empty() {
                rows.push(("Listening", self.listening.join(", ")));
            }
        }
        let found = &self.recovery;
        let mut opening = match (found.created, found.clean) {
            (true, _) => "a new log".to_owned(),
            (false, true) => format!("closed cleanly at LSN {}", found.last_lsn),
            (false, false) => format!("not closed cleanly, recovered to LSN {}", found.last_lsn),
        };
        if found.torn_bytes > 0 {
            opening.push_str(&format!(", {} at the end were no whole frame and were cut", bytes(found.torn_bytes)));
        }
        rows.push(("Opening found", opening));
        fields(paint, &rows)
    }
}

pub(super) fn conflicts(total: u64, open: u64) -> String {
    match (total, open) {
        (0, _) => "none".to_owned(),
        (total, 0) => format!("{total} recorded"),
        (total, 1) => format!("{total} recorded, 1 waits for a decision"),
        (total, open) => format!("{total} recorded, {open} wait for a decision"),
    }
}

/// Whom a node in this trust mode lets in.
fn lets_in(trust: &str) -> &str {
    match trust {
        "network" => "whoever holds the secret of the network (trust: network)",
        "pinned" => "trusted keys (trust: pinned)",
        "open" => "anybody (trust: open)",
        other => other,
    }
}

fn http(http: &Http, paint: Paint) -> String {
    let address = http.address.as_deref().unwrap_or_default();
    match &http.error {
        Some(error) => paint.red(format_args!("not served at {address}: {error}")),
        None => format!("served at {address}"),
    }
}

/// The links as a whole, on one line.
pub(super) fn links(transport: &Transport, paint: Paint) -> String {
    match (&transport.error, transport.running, transport.listening.is_empty()) {
        (Some(error), ..) => paint.red(format_args!("not opened: {error}")),
        (None, false, _) => "none: no node runs here".to_owned(),
        (None, true, true) => "opened to others, taken nowhere".to_owned(),
        (None, true, false) => format!("taken at {}", transport.listening.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_told_on_one_line() {
        let mut transport = Transport::default();
        assert_eq!(links(&transport, Paint::PLAIN), "none: no node runs here");
        transport.running = true;
        assert_eq!(links(&transport, Paint::PLAIN), "opened to others, taken nowhere");
        transport.listening = vec!["127.0.0.1:1".into(), "[::1]:1".into()];
        assert_eq!(links(&transport, Paint::PLAIN), "taken at 127.0.0.1:1, [::1]:1");
        transport.error = Some("the port is taken".into());
        assert_eq!(links(&transport, Paint::PLAIN), "not opened: the port is taken");
    }

    #[test]
    fn conflicts_are_counted_in_words() {
        assert_eq!(conflicts(0, 0), "none");
        assert_eq!(conflicts(2, 0), "2 recorded");
        assert_eq!(conflicts(2, 1), "2 recorded, 1 waits for a decision");
    }
}
