//! Answers about delivery, as people read them.

use comfy_table::CellAlignment;

use super::{counted, fields, lines_of, moment, plain_table};
use crate::cli::output::{Human, Paint};
use crate::control::answer::{Delivery, Holder, Outbox, Retried, SyncStatus, Ticked};

/// How much of what was accepted here is durable elsewhere, in a sentence.
pub(super) fn delivered(delivery: &Delivery) -> String {
    let Delivery { accepted, acknowledged, queued, in_flight, failed, .. } = delivery;
    if acknowledged == accepted {
        return format!("{acknowledged} of {accepted}");
    }
    let counts = format!("{acknowledged} of {accepted}; {queued} queued, {in_flight} in flight, {failed} failed");
    let Delivery { required_acks, replicas, .. } = delivery;
    if replicas >= required_acks || *required_acks == 1 {
        return counts;
    }
    format!("{counts}; waits for {required_acks} other replicas, {replicas} known (required_acks)")
}

impl Human for SyncStatus {
    fn human(&self, paint: Paint) -> String {
        let mut rows = vec![
            ("Accepted here", counted(self.delivery.accepted, "own operation", "own operations")),
            ("Delivered", delivered(&self.delivery)),
            ("Retries", self.delivery.retries.to_string()),
            ("Connected", counted(self.connected, "peer", "peers")),
            ("Exact", if self.exact { "yes" } else { "no, a peer is in the middle of telling" }.to_owned()),
            (
                "Entries",
                format!(
                    "{} sent, {} received, {} of them new",
                    self.traffic.sent, self.traffic.received, self.traffic.taken
                ),
            ),
            ("Conflicts", self.conflicts.to_string()),
        ];
        if let Some(reason) = &self.delivery.reason {
            rows.push(("Not delivered", paint.red(reason)));
        }
        if self.divergences > 0 {
            let mended = if self.diverged == 0 { ", all mended" } else { "" };
            rows.push(("Divergences", paint.red(format_args!("{}{mended}", self.divergences))));
        }
        if let Some(finding) = &self.halted {
            rows.push(("Halted", paint.red(finding)));
        }
        let mut text = fields(paint, &rows);
        if !self.vector.is_empty() {
            let mut table = plain_table();
            table.set_header(["HELD HERE OF", "HISTORY", "UP TO"]);
            for claim in &self.vector {
                table.add_row([
                    claim.node_id.clone().unwrap_or_else(|| "-".to_owned()),
                    claim.replica_id.clone(),
                    claim.seq.to_string(),
                ]);
            }
            for column in table.column_iter_mut().skip(2) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            text.push('\n');
            text.push_str(&lines_of(&table));
        }
        text.push_str(&holders(&self.members, self.delivery.accepted));
        text
    }
}

impl Human for Outbox {
    fn human(&self, paint: Paint) -> String {
        let mut rows = vec![
            ("History", self.replica_id.clone()),
            ("Accepted here", counted(self.delivery.accepted, "own operation", "own operations")),
            ("Delivered", delivered(&self.delivery)),
        ];
        if self.pruned > 0 {
            rows.push(("Pruned", format!("up to {}", self.pruned)));
        }
        if let Some(reason) = &self.delivery.reason {
            rows.push(("Not delivered", paint.red(reason)));
        }
        let mut text = fields(paint, &rows);
        if !self.ranges.is_empty() {
            let mut table = plain_table();
            table.set_header(["STATE", "FIRST", "LAST", "COUNT"]);
            for range in &self.ranges {
                table.add_row([
                    range.state.replace('_', " "),
                    range.first.to_string(),
                    range.last.to_string(),
                    (range.last + 1 - range.first).to_string(),
                ]);
            }
            for column in table.column_iter_mut().skip(1) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            text.push('\n');
            text.push_str(&lines_of(&table));
        }
        text.push_str(&holders(&self.holders, self.delivery.accepted));
        text
    }
}

/// Who holds how much of what was accepted here.
fn holders(holders: &[Holder], accepted: u64) -> String {
    if holders.is_empty() {
        return String::new();
    }
    let mut table = plain_table();
    table.set_header(["HELD THERE BY", "HISTORY", "OWN OPERATIONS", "LAST HEARD OF"]);
    for holder in holders {
        let heard = moment(holder.heard_at_ms);
        table.add_row([
            holder.node_id.clone(),
            holder.replica_id.clone(),
            format!("{} of {accepted}", holder.holds),
            if holder.forgotten { format!("{heard}, forgotten") } else { heard },
        ]);
    }
    for column in table.column_iter_mut().skip(2).take(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("\n{}", lines_of(&table))
}

impl Human for Ticked {
    fn human(&self, _: Paint) -> String {
        let mut text = match self.outcome.as_str() {
            "nothing_ready" => "Nothing is ready to be sent.".to_owned(),
            "no_connected_peer" => {
                format!("No peer is connected: {} for one.", wait(self.batch))
            }
            "nothing_sent" => format!(
                "Nothing was sent: {} while {} on with what came before.",
                wait(self.batch),
                if self.connected == 1 { "the peer goes" } else { "the peers go" }
            ),
            _ => format!(
                "Delivery attempted: {} sent to {}; `softadastra sync outbox` tells what is acknowledged.",
                counted(self.sent, "entry", "entries"),
                counted(self.connected, "peer", "peers")
            ),
        };
        if self.retried > 0 {
            text.push_str(&format!(
                " {} that had failed: queued again.",
                counted(self.retried, "operation", "operations")
            ));
        }
        if self.pruned > 0 {
            text.push_str(&format!(" Bookkeeping of {} given up.", counted(self.pruned, "operation", "operations")));
        }
        text.push('\n');
        text
    }
}

fn wait(operations: u64) -> String {
    if operations == 1 { "1 operation waits".to_owned() } else { format!("{operations} operations wait") }
}

impl Human for Retried {
    fn human(&self, _: Paint) -> String {
        format!("{} queued again\n", counted(self.retried, "operation", "operations"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::answer::Range;

    fn ticked(outcome: &str) -> Ticked {
        Ticked { outcome: outcome.into(), retried: 0, pruned: 0, batch: 2, sent: 1, connected: 1 }
    }

    #[test]
    fn a_tick_ends_in_one_of_four_sentences() {
        let told = |outcome| ticked(outcome).human(Paint::PLAIN);
        assert_eq!(told("nothing_ready"), "Nothing is ready to be sent.\n");
        assert_eq!(told("no_connected_peer"), "No peer is connected: 2 operations wait for one.\n");
        assert_eq!(
            told("nothing_sent"),
            "Nothing was sent: 2 operations wait while the peer goes on with what came before.\n"
        );
        assert_eq!(
            told("delivery_attempted"),
            "Delivery attempted: 1 entry sent to 1 peer; `softadastra sync outbox` tells what is acknowledged.\n"
        );
        let both = Ticked { retried: 1, pruned: 3, ..ticked("nothing_ready") };
        assert_eq!(
            both.human(Paint::PLAIN),
            "Nothing is ready to be sent. 1 operation that had failed: queued again. Bookkeeping of 3 operations given up.\n"
        );
    }

    #[test]
    fn what_waits_for_replicas_that_are_not_there_says_so() {
        let waiting = |required_acks, replicas| {
            let (reason, retries) = (None, 0);
            delivered(&Delivery {
                accepted: 1,
                acknowledged: 0,
                queued: 0,
                in_flight: 1,
                failed: 0,
                reason,
                retries,
                required_acks,
                replicas,
            })
        };
        let counts = "0 of 1; 0 queued, 1 in flight, 0 failed";
        assert_eq!(waiting(2, 1), format!("{counts}; waits for 2 other replicas, 1 known (required_acks)"));
        assert_eq!((waiting(2, 2), waiting(1, 0)), (counts.to_owned(), counts.to_owned()));
    }

    #[test]
    fn an_outbox_reads_like_this() {
        let delivery = Delivery {
            accepted: 10,
            acknowledged: 4,
            queued: 3,
            in_flight: 0,
            failed: 3,
            reason: Some("silent".into()),
            retries: 8,
            required_acks: 1,
            replicas: 1,
        };
        let range = |state: &str, first, last| Range { state: state.into(), first, last };
        let outbox = Outbox {
            replica_id: "ab".repeat(16),
            delivery,
            pruned: 2,
            ranges: vec![range("acknowledged", 3, 4), range("failed", 5, 7), range("queued", 8, 10)],
            holders: vec![Holder {
                node_id: "desk".into(),
                replica_id: "cd".repeat(16),
                holds: 4,
                heard_at_ms: 0,
                forgotten: true,
            }],
        };
        assert_eq!(
            outbox.human(Paint::PLAIN),
            "History        abababababababababababababababab\n\
             Accepted here  10 own operations\n\
             Delivered      4 of 10; 3 queued, 0 in flight, 3 failed\n\
             Pruned         up to 2\n\
             Not delivered  silent\n\
             \n\
             STATE         FIRST  LAST  COUNT\n\
             acknowledged      3     4      2\n\
             failed            5     7      3\n\
             queued            8    10      3\n\
             \n\
             HELD THERE BY  HISTORY                           OWN OPERATIONS  LAST HEARD OF\n\
             desk           cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd         4 of 10  1970-01-01 00:00:00Z, forgotten\n"
        );
    }
}
