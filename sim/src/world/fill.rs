//! A run that was asked for a number of operations comes to them, and to a tenth as many faults.

use super::World;
use crate::judges::Failure;
use crate::plan::Plan;

/// More rounds than it takes where anything can be asked of a node at all. What is lacking then shows in the tally.
const MOST_ROUNDS: u32 = 64;

impl World {
    /// Lets clients and faults go on as long as there were fewer than the plan demands.
    pub(super) fn fill(&mut self, plan: &Plan) -> Result<(), Failure> {
        for round in 0..MOST_ROUNDS {
            let faults: u64 = self.stage.tally.faults.values().sum();
            if self.stage.tally.operations() >= plan.at_least && faults >= plan.at_least / 10 {
                break;
            }
            let begin = self.stage.now;
            for item in plan.more(round) {
                self.schedule(begin + item.at, item.host, item.what);
            }
            self.play()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::{Change, Crash, Expect, HostId, Item, Plan, PlannedWrite, Shape, What};
    use crate::world;

    fn met(plan: &Plan) -> (u64, u64) {
        let outcome = world::judge(plan);
        assert!(outcome.failure.is_none(), "seed {}: {}", plan.seed, outcome.failure.expect("just seen"));
        (outcome.tally.operations(), outcome.tally.faults.values().sum())
    }

    #[test]
    fn a_run_comes_to_the_operations_that_it_was_asked_for_and_to_a_tenth_as_many_faults() {
        let mut lacking = 0;
        for seed in 1..=12 {
            for nodes in [1, 3] {
                let mut plan = Plan::shaped(seed, Shape { nodes: Some(nodes), operations: Some(80) });
                let (operations, faults) = met(&plan);
                assert!(operations >= 80 && faults >= 8, "seed {seed}: {operations} and {faults}");
                plan.at_least = 0;
                let (operations, faults) = met(&plan);
                lacking += u32::from(operations < 80 || faults < 8);
            }
        }
        assert!(lacking > 3, "the plans alone came to it in all but {lacking} runs");
    }

    #[test]
    fn clients_who_find_nobody_come_again() {
        let mut plan = Plan::shaped(7, Shape { nodes: Some(2), operations: Some(50) });
        let crash = Crash::Kill { salt: 1, evict: false };
        let down = What::Crash { crash, after: 0, down: 60_000_000 };
        let kill = |host| Item { at: 1, host: HostId(host), what: down.clone() };
        let put = PlannedWrite { key: 1, change: Change::Put(9), expect: Expect::Any };
        let write = |number| Item { at: 1_000, host: HostId(0), what: What::Write { number, writes: vec![put] } };
        plan.items = [kill(0), kill(1)].into_iter().chain((1..=50).map(write)).collect();
        let (operations, _) = met(&plan);
        assert!(operations >= 50, "{operations}");
    }
}
