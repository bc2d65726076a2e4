//! A node at work, as people watch it.

use comfy_table::CellAlignment;

use super::network::{lag, round_trip};
use super::node::conflicts;
use super::sync::delivered;
use super::{bytes, counted, duration, fields, lines_of, moment, plain_table};
use crate::cli::output::{Human, Paint};
use crate::control::answer::Top;

/// Bars of eight heights.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

impl Human for Top {
    fn human(&self, paint: Paint) -> String {
        let state = match &self.trouble {
            Some(trouble) => paint.red(format_args!("{}: {trouble}", self.state)),
            None if self.state != "ready" => paint.red(&self.state),
            None => self.state.clone(),
        };
        let head = format!(
            "{}  {state}, up {}, {}\n\n",
            paint.bold(&self.node_id),
            duration(self.uptime_ms),
            moment(self.at_ms)
        );
        let rate = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1} a second"));
        let mut writes = rate(self.writes_per_second);
        if !self.history.is_empty() {
            writes = format!("{writes:<18}{}", bars(&self.history));
        }
        let mut rows = vec![
            ("Writes", writes),
            ("Received", rate(self.received_per_second)),
            ("Stored", format!("{}, {}", counted(self.keys, "key", "keys"), bytes(self.live_bytes))),
            ("Outbox", self.outbox.to_string()),
            ("Delivered", delivered(&self.delivery)),
            ("Conflicts", conflicts(self.conflicts, self.open_conflicts)),
            (
                "Disk",
                format!(
                    "{} of log in {}, {}",
                    bytes(self.log_bytes),
                    counted(self.segments, "segment", "segments"),
                    self.free_bytes
                        .map_or_else(|| "free room unknown".to_owned(), |free| format!("{} free", bytes(free)))
                ),
            ),
        ];
        if let Some(reason) = &self.delivery.reason {
            rows.push(("Not delivered", paint.red(reason)));
        }
        format!("{head}{}{}", fields(paint, &rows), peers(self))
    }
}

fn peers(top: &Top) -> String {
    if top.peers.is_empty() {
        return "\nNo peers are known.\n".to_owned();
    }
    let mut table = plain_table();
    table.set_header(["PEER", "STATE", "LAG", "IN FLIGHT", "ROUND TRIP", "LAST ERROR"]);
    let none = || "-".to_owned();
    for peer in &top.peers {
        table.add_row([
            peer.peer.clone(),
            peer.state.clone(),
            peer.lag.map_or_else(none, lag),
            peer.in_flight_bytes.map_or_else(none, bytes),
            peer.round_trip_us.map_or_else(none, round_trip),
            peer.last_error.clone().unwrap_or_else(none),
        ]);
    }
    for column in table.column_iter_mut().skip(2).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("\n{}", lines_of(&table))
}

/// Rates as bars, the greatest one full.
fn bars(rates: &[f64]) -> String {
    let most = rates.iter().copied().fold(0.0, f64::max);
    let bar = |rate: &f64| {
        let height = if most > 0.0 { (rate / most * 7.0).round() as usize } else { 0 };
        BARS.get(height).copied().unwrap_or('█')
    };
    rates.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::answer::{Delivery, Lagging};

    fn top() -> Top {
        let delivery = Delivery {
            accepted: 120,
            acknowledged: 100,
            queued: 15,
            in_flight: 5,
            failed: 0,
            reason: None,
            retries: 0,
            required_acks: 1,
            replicas: 2,
        };
        let peer = |name: &str, connected: bool| Lagging {
            peer: name.into(),
            state: if connected { "connected" } else { "expired" }.into(),
            lag: connected.then_some(20),
            in_flight_bytes: connected.then_some(2048),
            round_trip_us: connected.then_some(1200),
            last_error: (!connected).then(|| "connection refused [unreachable]".into()),
        };
        Top {
            node_id: "till-1".into(),
            at_ms: 1_763_717_574_999,
            uptime_ms: 90_061_000,
            state: "ready".into(),
            trouble: None,
            writes_per_second: Some(12.5),
            received_per_second: Some(0.0),
            history: vec![0.0, 6.0, 12.5],
            keys: 42,
            live_bytes: 1536,
            outbox: 20,
            delivery,
            conflicts: 2,
            open_conflicts: 1,
            log_bytes: 2 << 20,
            segments: 2,
            free_bytes: Some(1 << 30),
            peers: vec![peer("shop", true), peer("desk", false)],
        }
    }

    #[test]
    fn a_node_at_work_reads_like_this() {
        assert_eq!(
            top().human(Paint::PLAIN),
            "till-1  ready, up 1 d 1 h, 2025-11-21 09:32:54Z\n\
             \n\
             Writes     12.5 a second     ▁▄█\n\
             Received   0.0 a second\n\
             Stored     42 keys, 1.5 KiB\n\
             Outbox     20\n\
             Delivered  100 of 120; 15 queued, 5 in flight, 0 failed\n\
             Conflicts  2 recorded, 1 waits for a decision\n\
             Disk       2.0 MiB of log in 2 segments, 1.0 GiB free\n\
             \n\
             PEER  STATE      LAG  IN FLIGHT  ROUND TRIP  LAST ERROR\n\
             shop  connected   20    2.0 KiB      1.2 ms  -\n\
             desk  expired      -          -           -  connection refused [unreachable]\n"
        );
    }

    #[test]
    fn trouble_and_a_first_look_are_told() {
        let mut first = top();
        (first.writes_per_second, first.received_per_second, first.history) = (None, None, Vec::new());
        (first.state, first.trouble) = ("degraded".into(), Some("a sync failed".into()));
        (first.peers, first.free_bytes, first.delivery.reason) = (Vec::new(), None, Some("silent".into()));
        let text = first.human(Paint::PLAIN);
        assert!(text.starts_with("till-1  degraded: a sync failed, up "), "{text}");
        assert!(text.contains("\nWrites         -\nReceived       -\n"), "{text}");
        assert!(text.contains("free room unknown\nNot delivered  silent\n\nNo peers are known.\n"), "{text}");
    }

    #[test]
    fn bars_are_as_high_as_their_share() {
        assert_eq!(bars(&[]), "");
        assert_eq!(bars(&[0.0, 0.0]), "▁▁");
        assert_eq!(bars(&[1.0, 7.0, 3.5]), "▂█▅");
    }
}
