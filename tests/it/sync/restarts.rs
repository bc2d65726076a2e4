//! Nodes that end in every way and come back, where and when they like.

use std::time::{Duration, Instant};

use super::peer::Peer;
use super::records::{Dice, records};
use super::{until, until_agreed};

#[test]
fn counts_of_the_outbox_are_exact_after_both_sides_were_killed() {
    let (mut a, mut b) = (Peer::new("a"), Peer::new("b"));
    a.up();
    b.up();
    b.join(&a);
    a.import(&records("a", 0..400));
    until_agreed(&[&a, &b]);
    // What is acknowledged is logged after 50 ms at most, and nothing tells of it.
    let agreed = Instant::now();
    until("the last acknowledgement is in the log", || agreed.elapsed() > Duration::from_secs(1));
    a.kill();
    b.kill();

    a.up();
    let state = a.state();
    assert_eq!((state.accepted, state.acknowledged, state.rest), (400, 400, (0, 0, 0)));
    a.import(&records("a", 400..425));
    a.kill();
    a.up();
    let state = a.state();
    assert_eq!((state.accepted, state.acknowledged, state.rest), (425, 400, (25, 0, 0)));
    let outbox = a.run(&["--json", "sync", "outbox"]).data("softadastra.outbox/1");
    assert_eq!(outbox["ranges"][0], serde_json::json!({"state": "acknowledged", "first": 1, "last": 400}));
    assert_eq!(outbox["ranges"][1], serde_json::json!({"state": "queued", "first": 401, "last": 425}));

    b.up();
    until_agreed(&[&a, &b]);
    assert_eq!((a.state().accepted, a.state().acknowledged), (425, 425));
}

#[test]
fn a_writer_killed_at_any_moment_has_lost_nothing_and_counts_right() {
    let (mut a, mut b) = (Peer::new("a"), Peer::new("b"));
    a.up();
    b.up();
    b.join(&a);
    a.join(&b);
    let mut dice = Dice::of(20_260_101);
    for round in 0..5 {
        let lines = records(&format!("round-{round}"), 0..2_000);
        let before = a.keys();
        let goal = before + 1 + dice.below(1_500) as u32;
        let answered = std::thread::scope(|scope| {
            let import = scope.spawn(|| a.run_with(&["--json", "store", "import"], lines.as_bytes()));
            until("some of it is written", || a.keys() >= goal || import.is_finished());
            a.node().signal(rustix::process::Signal::KILL);
            // It is told that its answers have ended, or had them all.
            import.join().unwrap()
        });
        a.kill();
        let told = answered.data("softadastra.import/1")["records"].as_u64().unwrap();
        a.up();
        let (kept, state) = (a.keys(), a.state());
        assert!(u64::from(kept - before) >= told, "round {round}: {told} were answered, {} are here", kept - before);
        assert_eq!(state.accepted, u64::from(kept), "round {round}");
        assert!(state.acknowledged <= state.accepted);
        until_agreed(&[&a, &b]);
        assert_eq!(a.state().acknowledged, u64::from(kept), "round {round}");
        assert_eq!(b.keys(), kept, "round {round}");
    }
    assert!(a.export() == b.export());
}

#[test]
fn it_is_enough_that_one_side_knows_where_the_other_is() {
    let (mut a, mut b) = (Peer::new("a"), Peer::new("b"));
    a.up();
    b.up();
    b.join(&a);
    b.put("first", "1");
    until_agreed(&[&a, &b]);
    for round in 0..2 {
        a.stop();
        b.kill();
        // In either order.
        if round == 0 {
            a.up();
            a.put("while b is away", "1");
            b.up();
        } else {
            b.up();
            b.put("while a is away", "1");
            a.up();
        }
        until_agreed(&[&a, &b]);
    }
    assert_eq!((a.keys(), b.keys()), (3, 3));
    assert!(a.peer("b").is_some_and(|peer| peer["wanted"] == false), "the first never dials");
    assert!(b.peer("a").is_some_and(|peer| peer["wanted"] == true));
}

#[test]
fn nodes_meet_over_ipv6_and_by_the_name_of_a_host() {
    for (listen, host) in [("[::1]:0", "[::1]"), ("localhost:0", "localhost")] {
        if std::net::TcpListener::bind(listen).is_err() {
            let why = format!("SKIPPED: links over {listen}: this machine has no such address\n");
            // Past the capture of the test runner: a skipped test must be seen.
            std::io::Write::write_all(&mut std::io::stderr(), why.as_bytes()).unwrap();
            continue;
        }
        let (mut a, mut b) = (Peer::new("a").listening_at(listen), Peer::new("b").listening_at(listen));
        a.up();
        b.up();
        let port = a.address().rsplit_once(':').unwrap().1.to_owned();
        b.join_at(&a, Some(&format!("{host}:{port}")));
        a.put("from", "a");
        b.put("of", "b");
        until_agreed(&[&a, &b]);
        assert_eq!((a.keys(), b.keys()), (2, 2), "{listen}");
        let peer = b.peer("a").unwrap();
        assert_eq!(peer["addresses"][0], format!("{host}:{port}"), "{peer}");
    }
}
