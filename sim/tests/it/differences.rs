//! What a failure says of nodes that differ.

use sim::judges::{ALL_CONVERGE, Failure};
use sim::plan::{Fleet, Knobs, Pace};
use sim::scenario::Several;
use sim::world::World;

/// Nodes hold different things, and the failure does not say of which key: that is found, and what each has of it.
#[test]
fn a_failure_names_the_key_in_which_nodes_differ() {
    for (judge, named) in [(ALL_CONVERGE, Some("k7")), ("another", None)] {
        let fleet = Fleet::of(2, Knobs::SMALL);
        let mut taken = None;
        let story = Several::apart_with("differ", &fleet).put("A", "k7", "1");
        drop(story.until("taken", |world| {
            taken = Some(std::mem::replace(world, World::with(1, &fleet, Pace::QUICK, false)));
            true
        }));
        let failure = Failure { judge, invariant: 7, what: "they differ".into(), at: 0, also: vec![] };
        let told = taken.and_then(|world| world.end(Some(failure)).failure).expect("it has failed");
        assert_eq!(told.key(), named, "{told}");
        assert_eq!(told.what.contains("n0: 1 bytes") && told.what.contains("n1: nothing"), named.is_some(), "{told}");
    }
}
