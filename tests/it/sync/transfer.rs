//! A whole data set goes from node to node, also when either of them is killed again and again on the way.

use super::peer::{Peer, State};
use super::records::records;
use super::{sized, until, until_agreed};

/// What `store export` prints of these records.
fn exported(sets: &[&str]) -> Vec<u8> {
    let mut lines: Vec<_> = sets.iter().flat_map(|set| set.lines()).collect();
    lines.sort_unstable();
    let mut text = lines.join("\n");
    text.push('\n');
    text.into_bytes()
}

#[test]
fn what_two_nodes_import_at_the_same_time_is_exported_byte_for_byte_on_both() {
    let count = sized(12_000, 60_000);
    let (mut a, mut b) = (Peer::new("a"), Peer::new("b"));
    a.up();
    b.up();
    b.join(&a);
    let (of_a, of_b) = (records("a", 0..count * 2 / 3), records("b", count * 2 / 3..count));
    std::thread::scope(|scope| {
        scope.spawn(|| a.import(&of_a));
        scope.spawn(|| b.import(&of_b));
    });
    until_agreed(&[&a, &b]);
    let all = exported(&[&of_a, &of_b]);
    assert!(a.export() == all, "a holds something else than was imported");
    assert!(b.export() == all, "b holds something else than was imported");
    let (a, b) = (a.state(), b.state());
    let (from_a, from_b) = (u64::from(count * 2 / 3), u64::from(count - count * 2 / 3));
    assert_eq!((a.acknowledged, b.acknowledged), (from_a, from_b));
    assert_eq!((a.taken, b.taken), (from_b, from_a), "each operation was new once");
    assert_eq!((a.sent, b.sent), (from_a, from_b), "and crossed the wire once");
}

/// Kills each of two nodes in turn, at ten moments told by how much has arrived.
#[test]
fn a_transfer_outlives_ten_kills_of_either_side() {
    let count = sized(14_000, 60_000);
    let (mut source, mut sink) = (Peer::new("source"), Peer::new("sink"));
    // The sink writes, too: its outbox has to survive its end.
    let (of_source, of_sink) = (records("source", 0..count), records("sink", count..count + count / 10));
    source.import(&of_source);
    sink.import(&of_sink);
    let own = (u64::from(count), u64::from(count / 10));
    source.up();
    sink.up();
    // Each dials the other: whoever was killed does so as soon as it is back.
    sink.join(&source);
    source.join(&sink);

    let all = count + count / 10;
    let mut before_run = 0;
    let mut sent_again = 0;
    let mut on_the_way = 0;
    for moment in 1..=10 {
        let goal = count / 10 + count * moment / 11;
        until(&format!("{goal} records arrived"), || sink.keys() >= goal);
        let (out, into) = (source.state(), sink.state());
        assert_eq!((out.accepted, into.accepted), own, "moment {moment}");
        assert!(out.acknowledged <= own.0 && into.acknowledged <= own.1, "moment {moment}: {out:?} {into:?}");
        on_the_way += u32::from(sink.keys() < all);
        if moment % 2 == 1 {
            source.kill();
            source.up();
            assert_eq!(source.state().accepted, own.0, "moment {moment}: nothing the source wrote is lost");
        } else {
            sent_again += into.received - into.taken;
            sink.kill();
            sink.up();
            before_run = sink.keys();
            assert!(before_run >= goal, "moment {moment}: {before_run} of {goal} durable records were kept");
        }
    }
    assert!(on_the_way >= 6, "only {on_the_way} of the moments came before the end of the transfer");
    until_agreed(&[&source, &sink]);
    let (out, into) = (source.state(), sink.state());
    assert_eq!((out.accepted, out.acknowledged, out.pending()), (own.0, own.0, 0));
    assert_eq!((into.accepted, into.acknowledged, into.pending()), (own.1, own.1, 0));
    assert!(into.taken <= u64::from(all - before_run), "{} new records of {}", into.taken, all - before_run);
    sent_again += into.received - into.taken;
    // Each end costs what was under way and not yet durable: at most one window of 1 MiB.
    let window = (1 << 20) / 500;
    assert!(sent_again <= 10 * window, "{sent_again} records were sent again");

    let whole = exported(&[&of_source, &of_sink]);
    assert!(source.export() == whole, "the source holds something else than was imported");
    assert!(sink.export() == whole, "the sink holds something else than was imported");
    assert_once(&sink);

    // What is known of delivery outlives the end of both, without a peer to tell it anew.
    source.kill();
    sink.kill();
    for (peer, before) in [(&source, out), (&sink, into)] {
        let State { accepted, acknowledged, rest, digest, vector, .. } = peer.state_at_rest();
        assert_eq!(
            (accepted, acknowledged, rest),
            (before.accepted, before.acknowledged, before.rest),
            "{}",
            peer.name()
        );
        assert_eq!((digest, vector), (before.digest, before.vector), "{}", peer.name());
    }
}

/// Asserts that no entry was changed by a second arrival of the operation that made it.
fn assert_once(peer: &Peer) {
    let listed = peer.run(&["--json", "store", "list", "--limit", "1000000"]).data("softadastra.list/1");
    let records = listed["records"].as_array().unwrap();
    assert_eq!(records.len() as u32, peer.keys());
    for record in records {
        assert_eq!(record["version"], 1, "changed twice: {record}");
    }
}
