//! The demonstration, as people read it: its steps were told as they were done.

use super::{lines_of, plain_table};
use crate::cli::output::{Human, Paint};
use crate::control::answer::Demo;

impl Human for Demo {
    fn human(&self, paint: Paint) -> String {
        let mut table = plain_table();
        table.set_header(["NODE", "KEYS", "DELIVERED", "WAITING", "CONFLICTS", "DIGEST"]);
        for node in &self.nodes {
            table.add_row([
                node.node_id.clone(),
                node.keys.to_string(),
                node.acknowledged.to_string(),
                node.outbox.to_string(),
                node.conflicts.to_string(),
                node.digest.clone(),
            ]);
        }
        let held = format!("Everything held, in {:.1} s.", self.took_ms as f64 / 1000.0);
        format!("\n{}\n{}\n", lines_of(&table), paint.bold(held))
    }
}
