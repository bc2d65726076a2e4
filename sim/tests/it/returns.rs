//! Named stories about full exchanges that get in each other's way: whoever returns meets several at once who have not heard of
//! each other's deletions.

use sim::plan::{Exchange, Fleet, HostId, Knobs, What};
use sim::scenario::{Several, host};
use sim::world::World;

use crate::fleets::HASTY;

stories![
    who_has_not_heard_of_a_deletion_waits_until_another_has_told_of_it,
    what_was_compared_is_compared_again_if_somebody_brought_more_meanwhile,
    what_comes_again_between_two_exchanges_is_dropped_again,
    what_somebody_only_owes_is_not_dropped_elsewhere,
    two_who_each_claim_what_the_other_owes_do_not_wait_for_each_other,
    three_of_whom_nobody_claims_all_that_another_owes_do_not_wait_for_each_other,
    who_vanishes_in_the_middle_of_an_exchange_holds_up_nobody,
    a_value_that_meets_an_older_tombstone_where_a_later_one_was_collected_is_the_same_everywhere,
];

/// Deletions are soon forgotten, and what follows names takes several windows.
fn fleet(nodes: u8) -> Fleet {
    let exchange = Exchange { collect_ms: 1_000, lease_hours: 1, window: 4_096, backoff_ms: 50, ..Exchange::DEFAULT };
    let pairs = (0..nodes).flat_map(|from| (0..nodes).map(move |to| (HostId(from), HostId(to))));
    let roads = pairs.filter(|(from, to)| from != to).collect();
    Fleet { roads, ..Fleet::of(nodes, Knobs { exchange, ..Knobs::SMALL }) }
}

/// A node is reachable again, and dials at once: it has just started.
fn meets(from: &str, to: &str, story: Several) -> Several {
    story.happens(from, What::Close { down: 1_000 }).run_for(100_000).connect(from, to)
}

fn slow(from: &str, to: &str, story: Several) -> Several {
    story.happens(from, What::Slow { to: host(to), extra: 300_000, window: 3_600_000_000 })
}

/// A node deletes a key, alone, and forgets that when nobody else has been heard of for days.
fn delete_and_forget(at: &str, key: &str, story: Several) -> Several {
    let story = story.delete(at, key).happens(at, What::Clock(48 * 3_600_000));
    story.run_for(10_000_000).expect_tombstones(at, 0)
}

fn gone_everywhere(key: &str, nodes: &[&str], story: Several) {
    nodes.iter().fold(story.converge(), |story, node| story.expect_absent(node, key)).end();
}

fn shows(node: &str, key: &str) -> impl FnMut(&mut World) -> bool {
    let (node, key) = (host(node), key.to_owned());
    move |world| world.read(node, key.as_bytes()).is_some()
}

/// A has forgotten a deletion, of which B has not heard, and C meets both.
#[test]
fn who_has_not_heard_of_a_deletion_waits_until_another_has_told_of_it() {
    let story = Several::apart_with("turns", &fleet(3)).connect("A", "B").put("B", "k", "1").fill("A", 40, 1_000);
    let story = story.wait_for("A", "k", "1").wait_for("B", "fill39", &format!("{:01000}", 39)).settle().part("A", "B");
    let story = slow("A", "C", delete_and_forget("A", "k", story)).connect("A", "C");
    // All that there is at A was named, and comes now.
    let story = meets("B", "C", story.until("C hears of A", shows("C", "fill0")));
    gone_everywhere("k", &["A", "B", "C"], story.run_for(3_000_000).connect("A", "B"));
}

/// A and B have forgotten the deletion of one key, and A that of another. C is told what there is at A, while it is B's turn.
#[test]
fn what_was_compared_is_compared_again_if_somebody_brought_more_meanwhile() {
    let story = Several::apart_with("spoiled", &fleet(3)).connect("A", "B").connect("A", "C");
    let story =
        story.put("A", "other", "1").wait_for("C", "other", "1").settle().part("A", "C").fill("A", 40, 1_000).settle();
    let days = || What::Clock(48 * 3_600_000);
    let story = story.delete("A", "other").settle().happens("A", days()).happens("B", days()).run_for(5_000_000);
    let story = story.expect_tombstones("B", 0).put("B", "k", "1").wait_for("A", "k", "1").settle().part("A", "B");
    let story = slow("B", "C", delete_and_forget("A", "k", story)).connect("B", "C");
    let story = meets("A", "C", story.until("C hears of B", shows("C", "fill0"))).run_for(30_000_000);
    gone_everywhere("k", &["A", "B", "C"], story.connect("A", "B"));
}

/// A has forgotten the deletions of two keys. C drops the one that it has; the link breaks, and C hears of the other from B.
#[test]
fn what_comes_again_between_two_exchanges_is_dropped_again() {
    let story = Several::apart_with("dropped again", &fleet(3)).connect("A", "B").connect("A", "C");
    let story = story.put("A", "other", "1").converge().part("A", "C").fill("A", 40, 1_000).put("B", "k", "1");
    let story = story.wait_for("A", "k", "1").settle().part("A", "B").delete("A", "other");
    let story = slow("A", "C", delete_and_forget("A", "k", story)).connect("A", "C");
    let dropped = |world: &mut World| world.read(host("C"), b"other").is_none();
    let story = story.until("C has dropped it", dropped).part("A", "C").connect("B", "C").wait_for("C", "k", "1");
    gone_everywhere("k", &["A", "B", "C"], story.connect("A", "C").run_for(10_000_000).connect("A", "B"));
}

/// B has dropped what A has forgotten, and not heard the end of it. What it tells C is no word of that deletion, nor is what D says;
/// be it that what B itself has forgotten looks as if it were, by the number of the operation.
#[test]
fn what_somebody_only_owes_is_not_dropped_elsewhere() {
    for writer in ["A", "B"] {
        let story = Several::apart_with("owed", &fleet(4)).connect("A", "B").connect("B", "C").connect("B", "D");
        let story =
            story.put(writer, "k", "1").converge().put("B", "other", "1").converge().part("A", "B").part("B", "C");
        let story = delete_and_forget("A", "k", story.fill("A", 40, 1_000)).delete("B", "other");
        let heard = |world: &mut World| world.read(host("D"), b"other").is_none();
        let story = story.until("D hears of it", heard).settle().happens("B", What::Clock(48 * 3_600_000));
        let story = story.happens("D", What::Clock(48 * 3_600_000)).run_for(10_000_000);
        let story = slow("A", "B", story.expect_tombstones("B", 0)).connect("A", "B");
        let dropped = |world: &mut World| world.read(host("B"), b"k").is_none();
        let story = story.until("B has dropped it", dropped).part("A", "B").connect("B", "C").run_for(10_000_000);
        let story = story.part("B", "C").connect("C", "D").run_for(30_000_000).connect("A", "B").connect("B", "C");
        gone_everywhere("k", &["A", "B", "C", "D"], story);
    }
}

/// A and B have forgotten a deletion each. A owes what C has forgotten, of which B has heard; B owes what D has forgotten, of which A
/// has heard. Then they meet.
#[test]
fn two_who_each_claim_what_the_other_owes_do_not_wait_for_each_other() {
    let story = Several::apart_with("both owe", &fleet(4)).connect("A", "B").connect("A", "C").connect("A", "D");
    let story = ["zA", "zB"].iter().fold(story, |story, key| story.put("A", key, "1"));
    let story = (0..60).fold(story, |story, number| story.put("A", &format!("m{number:0100}"), "1"));
    let story = ["aC", "aD", "aE"].iter().fold(story, |story, key| story.put("A", key, "1"));
    let story = story.converge().part("A", "B").part("A", "C").part("A", "D");
    // From then on they collect nothing.
    let story = ["A", "B"].iter().fold(story, |story, node| {
        let seldom = Exchange { collect_ms: 3_600_000_000, ..fleet(1).seats[0].knobs.exchange };
        let story = delete_and_forget(node, &format!("z{node}"), story);
        let story = story.happens(node, What::Configure(Knobs { exchange: seldom, ..Knobs::SMALL }));
        story.happens(node, What::Close { down: 1_000 }).run_for(500_000)
    });
    let gone = |node: &str, key: &'static str| {
        let node = host(node);
        move |world: &mut World| world.read(node, key.as_bytes()).is_none()
    };
    let story = story.connect("B", "C").run_for(20_000_000).delete("C", "aC").until("B hears", gone("B", "aC"));
    let story = story.run_for(5_000_000).part("B", "C").connect("A", "D").run_for(20_000_000).delete("D", "aD");
    let story = story.until("A hears", gone("A", "aD")).run_for(5_000_000).part("A", "D");
    let days = || What::Clock(48 * 3_600_000);
    let story = story.happens("C", days()).happens("D", days()).run_for(10_000_000);
    let story = story.expect_tombstones("C", 0).expect_tombstones("D", 0);
    let story = slow("C", "A", story).connect("A", "C").until("A drops", gone("A", "aC")).part("A", "C");
    let story = slow("D", "B", story).connect("B", "D").until("B drops", gone("B", "aD")).part("B", "D");
    let story = story.connect("A", "B").run_for(60_000_000).expect_exact("A").expect_exact("B");
    let story = story.connect("A", "C").connect("A", "D").connect("B", "C").connect("B", "D").connect("C", "D");
    gone_everywhere("aC", &["A", "B", "C", "D"], story);
}

/// Each of three has forgotten a deletion of its own, and each has dropped what the two others have forgotten, in exchanges that broke off.
/// Nobody claims all that another owes.
#[test]
fn three_of_whom_nobody_claims_all_that_another_owes_do_not_wait_for_each_other() {
    const PAIRS: [[&str; 2]; 3] = [["A", "B"], ["A", "C"], ["B", "C"]];
    const NODES: [&str; 3] = ["A", "B", "C"];
    let story = Several::apart_with("all owe", &fleet(3));
    let story = PAIRS.iter().fold(story, |story, [one, other]| story.connect(one, other));
    let story = NODES.iter().fold(story, |story, node| story.put(node, &format!("a{node}"), "1"));
    let story = (0..60).fold(story, |story, number| story.put("A", &format!("m{number:0100}"), "1")).converge();
    let story = PAIRS.iter().fold(story, |story, [one, other]| story.part(one, other));
    let story = NODES.iter().fold(story, |story, node| delete_and_forget(node, &format!("a{node}"), story));
    let gone = |node: &str, of: &str| {
        let (node, key) = (host(node), format!("a{of}"));
        move |world: &mut World| world.read(node, key.as_bytes()).is_none()
    };
    let story = PAIRS.iter().fold(story, |story, [one, other]| {
        let story = slow(other, one, slow(one, other, story)).connect(one, other);
        story.until("the one drops", gone(one, other)).until("the other drops", gone(other, one)).part(one, other)
    });
    let story = PAIRS.iter().fold(story, |story, [one, other]| story.connect(one, other)).run_for(60_000_000);
    let story = NODES.iter().fold(story, |story, node| story.expect_exact(node));
    gone_everywhere("aA", &NODES, story);
}

/// A has dropped what C has forgotten, when C vanishes. What A writes is acknowledged by B all the same, and B forgets what A has dropped.
#[test]
fn who_vanishes_in_the_middle_of_an_exchange_holds_up_nobody() {
    let story = Several::apart_with("vanishes", &fleet(3)).connect("A", "B").connect("A", "C").put("B", "aC", "1");
    let story = (0..60).fold(story, |story, number| story.put("A", &format!("m{number:0100}"), "1")).converge();
    let story = slow("C", "A", delete_and_forget("C", "aC", story.part("A", "C"))).connect("A", "C");
    let dropped = |world: &mut World| world.read(host("A"), b"aC").is_none();
    let story = story.until("A drops it", dropped).part("A", "C").put("A", "new", "1").run_for(30_000_000);
    let story = story.expect_outbox("A", |outbox| outbox.acknowledged == outbox.last).expect_absent("B", "aC");
    let story = ["A", "B"].iter().fold(story, |story, node| story.happens(node, What::Close { down: 1_000 }));
    let story = story.run_for(10_000_000).put("B", "newer", "1").run_for(30_000_000);
    let story = story.expect_outbox("B", |outbox| outbox.acknowledged == outbox.last).expect_absent("A", "aC");
    gone_everywhere("aC", &["A", "B", "C"], story.connect("A", "C"));
}

/// Seed 119722520111863 of five nodes: a deletion was collected where a lease had run out; who came back then brought an older one of
/// the same key, and the next one, a value that wins against that, but not against the first, which still stood elsewhere. Equal
/// vectors, different contents.
#[test]
fn a_value_that_meets_an_older_tombstone_where_a_later_one_was_collected_is_the_same_everywhere() {
    let mut fleet = Fleet::of(4, HASTY);
    fleet.roads = (0..3).map(|node| (HostId(node), HostId(node + 1))).collect();
    // The first keeps its tombstones.
    fleet.seats[0].knobs.exchange.collect_ms = 3_600_000_000;
    for seat in &mut fleet.seats[1..] {
        seat.knobs.exchange.lease_hours = 1;
    }
    for merged_before in [false, true] {
        let story = Several::apart_with("collected in between", &fleet).happens("D", What::Clock(1_000));
        let story = [("A", "B"), ("B", "C"), ("C", "D")].iter().fold(story, |story, (a, b)| story.connect(a, b));
        let story = story.put("A", "k", "1").converge().part("B", "C");
        let story = if merged_before { story.block_one_way("D", "C") } else { story.part("C", "D") };
        let story = story.put("D", "k", "2").delete("C", "k").run_for(100_000).expect("D", "k", "2");
        let story = if merged_before { story.connect("C", "D").part("C", "D") } else { story };
        let story = story.happens("A", What::Clock(47 * 3_600_000)).happens("B", What::Clock(47 * 3_600_000));
        let story = story.delete("A", "k").run_for(3_000_000).expect_tombstones("A", 1).expect_tombstones("B", 0);
        // Who still has the later tombstone may learn of the value first, and bury what is written again.
        story.connect("B", "C").run_for(2_000_000).connect("C", "D").converge().end();
    }
}
