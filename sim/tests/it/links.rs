//! Named stories about links: how they are made, how they end, and what is left of them.

use sim::plan::{Climate, Fleet, HostId, Manners, What};
use sim::scenario::{Several, host};

use crate::fleets::HASTY;

stories![
    two_that_dial_each_other_keep_one_link,
    who_is_refused_comes_again,
    a_link_that_is_cut_is_made_again,
    keys_change_in_the_middle_of_long_sessions,
    a_transport_that_is_stopped_leaves_local_work_alone,
    a_quiet_link_stands,
];

#[test]
fn two_that_dial_each_other_keep_one_link() {
    let mut fleet = Fleet::of(2, HASTY);
    fleet.roads = vec![(HostId(0), HostId(1)), (HostId(1), HostId(0))];
    let story = Several::of("both dial", &fleet).settle().expect_links("A", 1).expect_links("B", 1);
    let story = story.put("A", "a", "1").put("B", "b", "2").run_for(60_000_000).expect_links("A", 1);
    story.expect("B", "a", "1").expect("A", "b", "2").end();
}

#[test]
fn who_is_refused_comes_again() {
    let story = Several::apart_with("refused", &Fleet::of(2, HASTY)).put("A", "till", "open");
    let refuse = What::Refuse { window: 20_000_000 };
    let story = story.happens("A", refuse.clone()).happens("B", refuse).connect("A", "B").run_for(10_000_000);
    story.expect_links("A", 0).wait_for("B", "till", "open").expect_links("A", 1).end();
}

#[test]
fn a_link_that_is_cut_is_made_again() {
    let mut story = Several::of("cut", &Fleet::of(2, HASTY)).settle();
    for round in 0..10 {
        let (deaf, other_deaf) = (round % 3 == 1, round % 3 == 2);
        story = story.happens("A", What::Cut { with: host("B"), deaf, other_deaf });
        story = story.put("A", &format!("a{round}"), "1").wait_for("B", &format!("a{round}"), "1");
    }
    story.converge().expect_links("A", 1).expect_outbox("A", |outbox| outbox.acknowledged == 10).end();
}

#[test]
fn keys_change_in_the_middle_of_long_sessions() {
    let climate = Climate { manners: Manners::Hasty, ..Climate::QUICK };
    let fleet = Fleet { climate, ..Fleet::of(2, HASTY) };
    // Records of two KiB, and a new key after fifty of them.
    let story = Several::of("rekey", &fleet).settle().fill("A", 60, 6_000).converge();
    story.expect("B", "fill59", &format!("{:06000}", 59)).expect_links("A", 1).end();
}

#[test]
fn a_transport_that_is_stopped_leaves_local_work_alone() {
    let story = Several::mesh("offline", 2).happens("A", What::Offline { window: 30_000_000 }).run_for(1_000_000);
    let story = story.expect_links("A", 0).put("A", "till", "open").delete("A", "nothing").expect("A", "till", "open");
    story.expect_absent("B", "till").wait_for("B", "till", "open").end();
}

#[test]
fn a_quiet_link_stands() {
    let story = Several::of("quiet", &Fleet::of(2, HASTY)).settle().expect_links("A", 1).run_for(600_000_000);
    story.expect_links("A", 1).put("A", "till", "open").run_for(100_000).expect("B", "till", "open").end();
}
