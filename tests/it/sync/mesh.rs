//! Eight nodes, each linked with all others.

use super::peer::Peer;
use super::records::records;
use super::{sized, until, until_agreed};

const NODES: u32 = 8;

#[test]
fn a_full_mesh_agrees_and_does_not_flood() {
    let writes = sized(4_000, 20_000);
    let names: Vec<_> = (0..NODES).map(|n| format!("node-{n}")).collect();
    let mut peers: Vec<_> = names.iter().map(|name| Peer::new(name)).collect();
    for peer in &mut peers {
        peer.up();
    }
    // One network: everybody enters it by the ticket of the first, and dials all that came before.
    for (n, peer) in peers.iter().enumerate().skip(1) {
        for earlier in &peers[..n] {
            peer.join(earlier);
        }
    }
    let others = u64::from(NODES) - 1;
    until("all are linked with all", || peers.iter().all(|peer| peer.ask("/v1/sync")["connected"] == others));

    std::thread::scope(|scope| {
        for (peer, name) in peers.iter().zip(&names) {
            scope.spawn(|| peer.import(&records(name, 0..writes / NODES)));
        }
    });
    let all: Vec<_> = peers.iter().collect();
    until_agreed(&all);
    let states: Vec<_> = all.iter().map(|peer| peer.state()).collect();
    let sent: u64 = states.iter().map(|state| state.sent).sum();
    let each = sent as f64 / f64::from(writes);
    println!("{writes} writes in a mesh of {NODES}: each crossed the wires {each:.3} times");
    assert!(each >= others as f64, "somebody holds what nobody sent: {each}");
    assert!(each <= 1.3 * others as f64, "each write crossed the wires {each} times");
    for state in &states {
        assert_eq!(state.taken, u64::from(writes - writes / NODES));
        assert_eq!((state.acknowledged, state.divergences), (u64::from(writes / NODES), 0));
    }
    let first = peers[0].export();
    assert!(peers.iter().all(|peer| peer.export() == first));
}
