//! Answers about conflicts, as people read them.

use super::{fields, lines_of, moment, plain_table, preview};
use crate::cli::output::{Human, Paint};
use crate::control::answer::{Conflict, Conflicts, Resolved, Side};
use crate::control::fault::readable;

impl Human for Conflicts {
    fn human(&self, _: Paint) -> String {
        if self.total == 0 {
            return "No conflict was ever recorded here.\n".to_owned();
        }
        let mut table = plain_table();
        table.set_header(["ID", "KEY", "WHEN", "OUTCOME", "WINNER", "LOSER"]);
        for conflict in &self.conflicts {
            table.add_row([
                conflict.id.to_string(),
                readable(&conflict.key),
                moment(conflict.at_ms),
                conflict.outcome.clone(),
                wrote(&conflict.winner),
                wrote(&conflict.loser),
            ]);
        }
        let mut text = lines_of(&table);
        let gone = self.total.saturating_sub(self.conflicts.len() as u64);
        if gone > 0 {
            text.push_str(&format!("\n{gone} settled ones are no longer kept.\n"));
        }
        text
    }
}

impl Human for Conflict {
    fn human(&self, paint: Paint) -> String {
        let outcome = match (self.outcome.as_str(), self.won.as_str()) {
            ("open", _) => "open: the winner stands until somebody decides",
            ("resolved", _) => "resolved",
            (_, "remote") => "the version that came in won",
            (_, _) => "the version that was here won",
        };
        let mut rows = vec![
            ("Conflict", self.id.to_string()),
            ("Key", readable(&self.key)),
            ("Written", moment(self.at_ms)),
            ("Outcome", outcome.to_owned()),
        ];
        rows.extend(side("Winner", &self.winner));
        rows.extend(side("Loser", &self.loser));
        rows.push(("Stands now", self.stands.value.as_deref().map_or_else(|| "nothing".to_owned(), preview)));
        fields(paint, &rows)
    }
}

fn side(name: &'static str, side: &Side) -> [(&'static str, String); 3] {
    let by = side.node_id.as_deref().unwrap_or("an unknown node");
    let settles = if side.resolution { ", to settle an earlier conflict" } else { "" };
    let stamp = millis_of(&side.stamp).map_or_else(|| side.stamp.clone(), moment);
    [
        (name, what(side)),
        ("  written by", format!("{by}{settles}")),
        ("  written at", format!("{stamp} (operation {} of {})", side.seq, side.replica_id)),
    ]
}

/// The wall clock of a stamp, `SECONDS.MILLIS+COUNTER`, in milliseconds.
fn millis_of(stamp: &str) -> Option<u64> {
    let (seconds, millis) = stamp.split_once('+')?.0.split_once('.')?;
    seconds.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(millis.parse().ok()?)
}

fn what(side: &Side) -> String {
    side.value.as_deref().map_or_else(|| "removed".to_owned(), preview)
}

fn wrote(side: &Side) -> String {
    match &side.node_id {
        Some(node) => format!("{} ({node})", what(side)),
        None => what(side),
    }
}

impl Human for Resolved {
    fn human(&self, paint: Paint) -> String {
        format!("{}: conflict {} resolved, version {}\n", paint.bold(readable(&self.key)), self.id, self.version)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::control::answer::Standing;

    fn version(node: &str, value: Option<&'static str>) -> Side {
        Side {
            replica_id: "ab".repeat(16),
            node_id: Some(node.into()),
            seq: 3,
            stamp: "951782400.000+1".into(),
            value: value.map(Bytes::from),
            removed: value.is_none(),
            resolution: false,
        }
    }

    #[test]
    fn both_sides_of_a_conflict_are_shown() {
        let conflict = Conflict {
            id: 7,
            key: Bytes::from_static(b"price"),
            at_ms: 951_782_400_000,
            outcome: "merged".into(),
            won: "remote".into(),
            winner: version("desk", Some("12")),
            loser: version("till", None),
            stands: Standing { value: Some(Bytes::from_static(b"13")), removed: false },
        };
        assert_eq!(
            conflict.human(Paint::PLAIN),
            "Conflict      7\n\
             Key           price\n\
             Written       2000-02-29 00:00:00Z\n\
             Outcome       the version that came in won\n\
             Winner        12\n\
             \x20 written by  desk\n\
             \x20 written at  2000-02-29 00:00:00Z (operation 3 of abababababababababababababababab)\n\
             Loser         removed\n\
             \x20 written by  till\n\
             \x20 written at  2000-02-29 00:00:00Z (operation 3 of abababababababababababababababab)\n\
             Stands now    13\n"
        );
        let conflicts = Conflicts { total: 7, conflicts: vec![conflict] };
        assert_eq!(
            conflicts.human(Paint::PLAIN),
            "ID  KEY    WHEN                  OUTCOME  WINNER     LOSER\n\
             7   price  2000-02-29 00:00:00Z  merged   12 (desk)  removed (till)\n\
             \n\
             6 settled ones are no longer kept.\n"
        );
    }
}
