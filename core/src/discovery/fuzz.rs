//! Bodies of fuzz targets. They are ordinary code so that their corpus is replayed by ordinary tests.
//!
//! Each takes any bytes and panics only when discovery breaks a promise.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;

use super::message::{HEADER_LEN, MAX_LEN, Message, TRAILER_LEN};
use super::{Description, Discovery, Effect, Settings, Target};
use crate::dice::Seed;
use crate::identity::{Identity, NetworkSecret, Purpose};
use crate::ids::NodeId;
use crate::time::{Instant, Now, WallTime};

const SECRET: [u8; 32] = [7; 32];
const GROUP: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(super::GROUP_V4), super::DEFAULT_PORT);
const NODES: usize = 3;

fn identity(number: usize) -> Identity {
    Identity::generate(&mut Seed::from_number(number as u64).secrets("identity"))
}

/// Where a node's own socket is seen.
fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number as u8], 9000))
}

fn discovery(number: usize, life: u64) -> Discovery {
    let description = Description {
        node: NodeId::new(format!("node-{number}")).expect("a good name"),
        listeners: vec![SocketAddr::from(([0, 0, 0, 0], 4444))],
        capabilities: vec!["relay".into()],
    };
    let settings = Settings { max_nodes: 4, ..Settings::default() };
    let secret = NetworkSecret::from_bytes(SECRET);
    let seed = Seed::from_number(number as u64 + 1000 * life);
    Discovery::new(settings, identity(number), Some(&secret), description, &seed).expect("good settings")
}

fn start(node: &mut Discovery, now: Now, out: &mut Vec<Effect>) {
    let group = Target::Multicast { group: GROUP, on: super::Interface::Any };
    node.start(now, vec![group], out).expect("a good target");
}

/// Any bytes: from a stranger, and as what a member signs and seals.
pub fn datagram(bytes: &[u8]) {
    let now = Now { mono: Instant(60_000_000), wall: WallTime(1_700_000_000_000) };
    let mut node = discovery(1, 0);
    start(&mut node, now, &mut Vec::new());
    let mut effects = Vec::new();
    node.handle_datagram(now, address(9), bytes, &mut effects);
    assert!(!effects.iter().any(|effect| !matches!(effect, Effect::Notice(_))), "a stranger is not listened to");

    let mut content = bytes.get(..bytes.len().min(MAX_LEN - TRAILER_LEN)).unwrap_or_default().to_vec();
    if let Ok(message) = Message::decode(&content.clone().into()) {
        let again = message.encode();
        assert!(again.len() <= MAX_LEN - TRAILER_LEN);
        assert_eq!(Message::decode(&again.into()).as_ref(), Ok(&message));
    }
    // The member may say anything, but only in its own name.
    let member = identity(9);
    if let Some(key) = content.get_mut(8..40) {
        key.copy_from_slice(&member.key().0);
    }
    let signature = member.sign(Purpose::Discovery, &[&content[..], node.network.tag()].concat());
    let header = content.len() >= HEADER_LEN;
    content.extend(signature.0);
    let sealed = node.network.seal_bytes(content);
    for _ in 0..2 {
        let mut effects = Vec::new();
        node.handle_datagram(now, address(9), &sealed, &mut effects);
        while let Some(at) = node.poll_timeout()
            && at < now.mono + Duration::from_millis(500)
        {
            node.handle_timeout(Now { mono: at, ..now }, &mut effects);
        }
        for effect in effects {
            if let Effect::Found(sighting) | Effect::Changed(sighting) = effect {
                assert!(header && sighting.key == member.key());
            }
        }
        assert!(node.registry.len() <= 1);
    }
}

struct World {
    now: Now,
    nodes: Vec<Discovery>,
    /// Each node's clock is off by so much.
    skews: Vec<u64>,
    /// All that was ever sent: anybody may have recorded it.
    sent: Vec<(SocketAddr, Bytes)>,
    /// From, to, and what.
    wire: VecDeque<(SocketAddr, usize, Bytes)>,
}

impl World {
    fn now_of(&self, node: usize) -> Now {
        let skew = self.skews.get(node).copied().unwrap_or_default();
        Now { wall: WallTime(self.now.wall.0 + skew), ..self.now }
    }

    fn act(&mut self, node: usize, act: impl FnOnce(&mut Discovery, Now, &mut Vec<Effect>)) {
        let now = self.now_of(node);
        let mut effects = Vec::new();
        if let Some(discovery) = self.nodes.get_mut(node) {
            act(discovery, now, &mut effects);
        }
        for effect in effects {
            match effect {
                Effect::Send { to, bytes } => {
                    assert!(bytes.len() <= MAX_LEN);
                    self.send(node, to, &bytes);
                }
                Effect::Found(sighting) | Effect::Changed(sighting) => {
                    assert!((0..NODES).any(|other| other != node && identity(other).key() == sighting.key));
                }
                Effect::Lost { .. } | Effect::Notice(_) => {}
            }
        }
    }

    fn send(&mut self, from: usize, to: Target, bytes: &Bytes) {
        self.sent.push((address(from), bytes.clone()));
        for other in 0..NODES {
            let reached = match to {
                Target::Unicast(to) => to == address(other),
                Target::Multicast { .. } | Target::Broadcast(_) => true,
            };
            if reached {
                self.wire.push_back((address(from), other, bytes.clone()));
            }
        }
    }

    fn wait(&mut self, pause: Duration) {
        self.now.mono = self.now.mono + pause;
        self.now.wall.0 += u64::try_from(pause.as_millis()).unwrap_or(0);
        for node in 0..NODES {
            self.act(node, |discovery, now, out| {
                discovery.handle_timeout(now, out);
                assert!(discovery.poll_timeout().is_none_or(|next| next > now.mono), "time stands still");
            });
        }
    }
}

/// Nodes with any clocks under any script of delivery, loss, replay, restarts and time: only true nodes are ever found,
/// and when the network is quiet again all of them are.
pub fn script(script: &[u8]) {
    let now = Now { mono: Instant(1_000_000), wall: WallTime(1_700_000_000_000) };
    let nodes = (0..NODES).map(|number| discovery(number, 0)).collect();
    let mut world = World { now, nodes, skews: vec![0; NODES], sent: Vec::new(), wire: VecDeque::new() };
    for node in 0..NODES {
        world.act(node, start);
    }
    for (at, step) in script.chunks_exact(2).take(300).enumerate() {
        let (Some(what), Some(how)) = (step.first(), step.get(1)) else { continue };
        let (node, how) = (usize::from(*how) % NODES, usize::from(*how));
        match what % 8 {
            0 | 1 => {
                for _ in 0..=how {
                    let Some((from, to, bytes)) = world.wire.pop_front() else { break };
                    world.act(to, |discovery, now, out| discovery.handle_datagram(now, from, &bytes, out));
                }
            }
            2 => drop(world.wire.pop_front()),
            3 => {
                let replayed = world.sent.get(how * 7 % world.sent.len().max(1)).cloned();
                if let Some((_, bytes)) = replayed {
                    world.act(node, |discovery, now, out| discovery.handle_datagram(now, address(99), &bytes, out));
                }
            }
            4 => world.wait(Duration::from_millis(how as u64 * 100)),
            5 => {
                if let Some(skew) = world.skews.get_mut(node) {
                    *skew = how as u64 * 10_000;
                }
            }
            6 => {
                world.act(node, |discovery, now, out| discovery.stop(now, out));
                if let Some(place) = world.nodes.get_mut(node) {
                    *place = discovery(node, at as u64 + 1);
                }
                world.act(node, start);
            }
            _ => world.act(node, |discovery, now, out| drop(discovery.probe(now, None, out))),
        }
    }
    for _ in 0..200 {
        world.wait(Duration::from_secs(1));
        while let Some((from, to, bytes)) = world.wire.pop_front() {
            world.act(to, |discovery, now, out| discovery.handle_datagram(now, from, &bytes, out));
        }
    }
    for (number, node) in world.nodes.iter().enumerate() {
        let status = node.status(world.now_of(number));
        for other in (0..NODES).filter(|other| *other != number) {
            let sighting = status.nodes.iter().find(|sighting| sighting.key == identity(other).key());
            let heard = sighting.expect("everybody is found");
            assert_eq!(heard.state, super::NodeState::Available);
            let dialled = SocketAddr::new(address(other).ip(), 4444);
            assert!(heard.addresses.contains(&dialled), "{heard:?}");
            assert_eq!(heard.boot, world.nodes.get(other).map_or(0, |other| other.boot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn any_bytes_keep_the_promises(bytes in proptest::collection::vec(any::<u8>(), 0..1300)) {
            datagram(&bytes);
        }

        #[test]
        fn any_script_keeps_the_promises(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            script(&bytes);
        }
    }
}
