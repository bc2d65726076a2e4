//! What somebody else brings into a world: settings, judges, writes. `sim/examples/embedder.rs` uses all of it.

use softadastra_core::config::Config;
use softadastra_core::error::Error;
use softadastra_core::node::Write;

use super::World;
use crate::judges::{Failure, Judge};
use crate::plan::{HostId, Knobs};

impl World {
    /// From its next start on a node is configured like this: from its first one, if nothing has happened yet. The world
    /// gives nodes of a fleet their names. Judges go by the same settings.
    ///
    /// # Errors
    /// As [`Config::validate`]; and a node without a log is not simulated.
    pub fn configure(&mut self, host: HostId, config: Config) -> Result<(), Error> {
        config.validate()?;
        let knobs = Knobs::of(&config)?;
        let host = self.host(host);
        host.next_knobs = Some(knobs);
        host.next_config = Some(config);
        Ok(())
    }

    /// Has another judge watch, after those that there are.
    pub fn judged_by(&mut self, judge: Box<dyn Judge>) {
        self.stage.court.add(judge);
    }

    /// A client sends writes of its own making as one batch, now. `number` names the batch.
    ///
    /// # Errors
    /// The first promise found broken.
    ///
    /// # Panics
    /// When there is no such node, or it is not up: nobody would answer.
    pub fn send(&mut self, host: HostId, number: u32, writes: Vec<Write>) -> Result<(), Failure> {
        let at = self.stage.now;
        assert!(
            self.host(host).node().is_some(),
            "n{} is not up at {at} us, so nobody takes the batch #{number}: let it open first (World::rest)",
            host.0
        );
        let Self { stage, hosts, .. } = self;
        let Some(host) = hosts.get_mut(usize::from(host.0)) else { return Ok(()) };
        host.send(stage, number, writes)?;
        host.pump(stage)
    }
}

#[cfg(test)]
mod tests {
    use softadastra_core::config::Durability;

    use super::*;
    use crate::oracle::Told;
    use crate::plan::{Pace, What};

    const HOST: HostId = HostId(0);

    fn world() -> World {
        World::new(1, Knobs::SMALL, Pace::QUICK, false)
    }

    fn put(len: usize) -> Vec<Write> {
        vec![Write::Put { key: "k".into(), value: vec![7; len].into(), expect: None, touch: false }]
    }

    #[test]
    fn a_node_runs_with_the_settings_that_it_was_given_until_it_is_given_others() {
        let mut world = world();
        world.configure(HOST, Config { max_value_len: 10, ..Config::default() }).unwrap();
        world.rest().unwrap();
        for (number, len, told) in [(1, 10, Told::Done), (2, 11, Told::Failed)] {
            world.send(HOST, number, put(len)).unwrap();
            world.rest().unwrap();
            assert_eq!(world.told(HOST, number), Some(told));
        }
        world.schedule(world.now(), HOST, What::Configure(Knobs::SMALL));
        world.schedule(world.now(), HOST, What::Close { down: 1 });
        world.rest().unwrap();
        world.send(HOST, 3, put(11)).unwrap();
        world.rest().unwrap();
        assert_eq!(world.told(HOST, 3), Some(Told::Done));
    }

    /// Sees only what has come to rest, and does not like it.
    struct Contrary;

    impl Judge for Contrary {
        fn name(&self) -> &'static str {
            "contrary"
        }

        fn invariant(&self) -> u8 {
            0
        }

        fn see(&mut self, _: HostId, moment: &crate::judges::Moment<'_>) -> Result<(), String> {
            let up = matches!(moment, crate::judges::Moment::Stepped { .. });
            if up { Err("a step came to its end".into()) } else { Ok(()) }
        }
    }

    #[test]
    fn a_judge_that_looks_at_the_end_of_a_step_is_asked_though_another_ended_the_run_before() {
        let mut world = world();
        world.rest().unwrap();
        world.judged_by(Box::new(Contrary));
        let (judge, what) = ("quick", String::from("too early for others"));
        let failure = Failure { judge, invariant: 0, what, at: world.now(), also: Vec::new() };
        let steps = world.status(HOST).is_some();
        let failure = world.end(Some(failure)).failure.unwrap();
        assert!(steps && failure.also == ["contrary"], "{failure}");
    }

    #[test]
    fn settings_that_cannot_be_simulated_are_refused() {
        let refused = |config| world().configure(HOST, config).unwrap_err().what().to_owned();
        assert!(refused(Config { durability: Durability::Memory, ..Config::default() }).contains("without a log"));
        assert!(refused(Config { max_value_len: 0, ..Config::default() }).contains("max_value_len"));
    }

    #[test]
    fn what_a_plan_could_vary_of_settings_is_what_the_judges_go_by() {
        for knobs in [Knobs::SMALL, Knobs { sync_every: 5_000, max_pending: 300_000, ..Knobs::SMALL }] {
            assert_eq!(Knobs::of(&knobs.config()), Ok(knobs));
        }
    }

    #[test]
    #[should_panic(expected = "n0 is not up at 0 us, so nobody takes the batch #1")]
    fn a_batch_for_a_node_that_is_not_up_is_refused_by_name() {
        world().send(HOST, 1, put(1)).unwrap();
    }
}
