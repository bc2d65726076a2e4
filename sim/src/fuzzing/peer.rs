//! A whole node and a member of its network that means harm: the link is proven, what it carries is not.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use softadastra_core::config::Config;
use softadastra_core::dice::Seed;
use softadastra_core::ids::{NodeId, ReplicaId};
use softadastra_core::node::{Health, Input, LinkAct, LinkFact, Network, Node, Output, Reply, Write};
use softadastra_core::sync::fuzz::Talker;
use softadastra_core::sync::{self, Policy};
use softadastra_core::time::{Now, WallTime};
use softadastra_core::transport::endpoint::LinkId;
use softadastra_core::transport::identity::{Identity, NetworkSecret};
use softadastra_core::transport::session::{Effect, Lane, Local, Session, Settings};
use softadastra_core::transport::trust::{Trust, TrustMode};

use super::{NOW, open_with, small_log};
use crate::disk::SimDisk;

const SECRET: [u8; 32] = [7; 32];

/// What may happen between two looks at the node. Far above what any script needs, far below for ever.
const MAX_STEPS: usize = 10_000;

/// The bytes are a script of what the peer says, of local writes, time, snapshots and restarts. Whatever the peer says,
/// the node never panics, takes local writes, accounts for all of them, and opens again as it was.
pub fn sync_session(data: &[u8]) {
    let mut script = data.iter().copied();
    let mut stage = Stage::new(script.next().unwrap_or_default());
    stage.connect(&mut script);
    while let Some(what) = script.next() {
        match what {
            0..=159 => stage.speak(&mut script),
            160..=199 => stage.write(&mut script),
            200..=219 => stage.wait(u64::from(script.next().unwrap_or_default()) * 13),
            220..=229 => stage.wait(u64::from(script.next().unwrap_or_default()) * 7_000),
            230..=239 => stage.connect(&mut script),
            240..=247 => stage.node.snapshot(stage.now).map_or_else(drop, drop),
            _ => stage.restart(),
        }
        stage.settle();
        stage.check();
    }
    stage.restart();
    stage.check();
}

/// The peer's end of the link.
struct Link {
    id: LinkId,
    session: Session,
}

struct Stage {
    config: Config,
    node: Box<Node>,
    disk: SimDisk,
    now: Now,
    local: Arc<Local>,
    talker: Talker,
    link: Option<Link>,
    links: u64,
    starts: u64,
    answers: u64,
}

impl Stage {
    fn new(how: u8) -> Self {
        let policy = [Policy::LastWriteWins, Policy::KeepLocal, Policy::ApplyRemote, Policy::KeepBoth];
        let settings = sync::Settings {
            conflict_policy: policy[usize::from(how % 4)],
            collect_every: Duration::from_secs(1),
            window: 4 << 10,
            ..sync::Settings::default()
        };
        let config = Config { log: small_log(), sync: settings, ..Config::default() };
        let mut disk = SimDisk::new();
        let node = open_with(&mut disk, config.clone(), NOW, 1).expect("an empty directory opens");
        let local = Arc::new(Local {
            identity: Identity::generate(&mut Seed::from_number(99).secrets("identity")),
            node: NodeId::new("peer").expect("a good name"),
            secret: Some(NetworkSecret::from_bytes(SECRET)),
            boot: 99,
            settings: Settings::default(),
        });
        let talker = Talker::new(ReplicaId([0xaa; 16]));
        let mut stage =
            Self { config, node, disk, now: NOW, local, talker, link: None, links: 0, starts: 1, answers: 0 };
        stage.start_transport();
        stage
    }

    fn start_transport(&mut self) {
        let network = Network {
            identity: Identity::generate(&mut Seed::from_number(98).secrets("identity")),
            secret: Some(NetworkSecret::from_bytes(SECRET)),
            trust: Trust::new(TrustMode::Network, [], []),
            settings: Default::default(),
        };
        self.node.start_transport(self.now, network).expect("a fresh node starts its transport");
        self.settle();
    }

    /// Ends the link there is, makes another, and greets on it.
    fn connect(&mut self, script: &mut impl Iterator<Item = u8>) {
        self.hang_up();
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
        let Ok(id) = self.node.incoming(self.now, from) else { return };
        self.links += 1;
        let mut effects = Vec::new();
        let secrets = Seed::from_number(1000 + self.links).secrets("peer");
        let session = Session::dial(&self.local, secrets, self.now.mono, &mut effects);
        self.link = Some(Link { id, session });
        self.talker.begin_anew();
        self.carry_out(effects);
        self.settle();
        let greeting = self.talker.greet(self.now, script);
        self.send(greeting);
        self.settle();
    }

    fn hang_up(&mut self) {
        if let Some(Link { id, .. }) = self.link.take() {
            self.fact(id, LinkFact::Ended { error: None });
            self.settle();
        }
    }

    fn fact(&mut self, link: LinkId, fact: LinkFact) {
        self.node.handle(self.now, Input::Link { link, fact });
    }

    fn speak(&mut self, script: &mut impl Iterator<Item = u8>) {
        let message = self.talker.speak(self.now, script);
        self.send(message);
    }

    fn send(&mut self, message: Bytes) {
        let Some(link) = &mut self.link else { return };
        let mut effects = Vec::new();
        // A link that does not stand takes nothing.
        if link.session.send(Lane::Bulk, message).is_ok() {
            link.session.flush(self.now.mono, &mut effects);
        }
        self.carry_out(effects);
    }

    /// Does what the peer's end of the link wants done.
    fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            let Some(link) = &mut self.link else { return };
            let mut more = Vec::new();
            match effect {
                Effect::Send(bytes) => {
                    link.session.handle_written(self.now.mono, bytes.len(), &mut more);
                    let id = link.id;
                    self.fact(id, LinkFact::Bytes(bytes));
                }
                Effect::Introduced(_) => link.session.admit(self.now.mono, self.links, &mut more),
                Effect::Message { bytes, .. } => self.talker.hear(&bytes),
                Effect::Closed(_) => {
                    let id = link.id;
                    self.link = None;
                    self.fact(id, LinkFact::Ended { error: None });
                }
                Effect::Up(_) | Effect::Room => {}
            }
            effects.extend(more);
        }
    }

    /// Lets everything happen that happens by itself.
    fn settle(&mut self) {
        for _ in 0..MAX_STEPS {
            let Some(output) = self.node.poll_output(self.now) else { return };
            match output {
                Output::Disk(request) => {
                    let result = self.disk.execute(&request.op);
                    self.node.handle(self.now, Input::Disk { token: request.token, result });
                }
                Output::Link { link, act: LinkAct::Send(bytes) } => {
                    self.fact(link, LinkFact::Written(bytes.len()));
                    let mut effects = Vec::new();
                    if let Some(here) = self.link.as_mut().filter(|here| here.id == link) {
                        here.session.handle_bytes(self.now.mono, &bytes, &mut effects);
                    }
                    self.carry_out(effects);
                }
                Output::Link { link, act: LinkAct::Close(_) } => {
                    self.link.take_if(|here| here.id == link);
                }
                Output::Reply { result, .. } => {
                    let answer = result.expect("what was accepted on a good disk succeeds");
                    self.answers += u64::from(matches!(answer, Reply::Written(_)));
                }
                Output::Link { act: LinkAct::Dial { .. }, .. } | Output::Datagram { .. } | Output::Closed => {
                    unreachable!("nobody asked for it")
                }
                Output::Published(_) | Output::Pin { .. } | Output::Event(_) => {}
            }
        }
        panic!("the node is never done");
    }

    fn write(&mut self, script: &mut impl Iterator<Item = u8>) {
        let (what, value) = (script.next().unwrap_or_default(), script.next().unwrap_or_default());
        let key = Bytes::copy_from_slice(&[b'a' + what % 8]);
        let value = (value >= 64).then(|| Bytes::from(vec![value; usize::from(value)]));
        let write = match value.clone() {
            Some(value) => Write::Put { key: key.clone(), value, expect: None, touch: true },
            None => Write::Delete { key: key.clone(), expect: None },
        };
        let before = self.answers;
        match self.node.write(self.now, vec![write]) {
            Ok(_) => {
                self.settle();
                assert_eq!(self.answers, before + 1, "a write is answered");
                let shown = self.node.store().get(&key).and_then(|entry| entry.value().map(Bytes::copy_from_slice));
                assert_eq!(shown, value, "an answered write is shown");
            }
            Err(error) => panic!("a local write never fails because of a peer: {error}"),
        }
    }

    fn wait(&mut self, ms: u64) {
        let end = self.now.mono + Duration::from_millis(ms);
        for _ in 0..MAX_STEPS {
            let theirs = self.link.as_ref().and_then(|link| link.session.poll_timeout());
            let next = [self.node.poll_timeout(), theirs].into_iter().flatten().min();
            let at = next.map_or(end, |next| next.min(end)).max(self.now.mono);
            let passed = at.since(self.now.mono);
            self.now.mono = at;
            self.now.wall = WallTime(self.now.wall.0 + passed.as_millis() as u64);
            if next.is_none_or(|next| next > end) {
                return;
            }
            self.node.handle(self.now, Input::Timeout);
            self.settle();
            let mut effects = Vec::new();
            if let Some(link) = &mut self.link {
                link.session.handle_timeout(self.now.mono, &mut effects);
            }
            self.carry_out(effects);
            self.settle();
        }
        panic!("time stands still");
    }

    /// The process dies and comes back: everything that was said to be durable is there.
    fn restart(&mut self) {
        self.link = None;
        self.settle();
        let before = self.node.status();
        let sync = self.node.sync_status();
        self.disk.kill();
        self.starts += 1;
        self.node =
            open_with(&mut self.disk, self.config.clone(), self.now, self.starts).expect("what was written opens");
        let after = self.node.status();
        assert_eq!(after.store.digest, before.store.digest, "the store comes back");
        assert_eq!(after.replica, before.replica, "the history goes on");
        assert_eq!(after.outbox.last, before.outbox.last, "no own operation is lost");
        let claims = self.node.sync_status().vector;
        assert!(claims.covers_all(&sync.vector), "no claim is lost: {:?}, then {claims:?}", sync.vector);
        self.start_transport();
    }

    fn check(&self) {
        let status = self.node.status();
        assert_eq!(status.health, Health::Ready, "nothing that a peer says is the disk's fault");
        assert_eq!(status.waiting, 0, "everything is answered");
        let outbox = &status.outbox;
        assert_eq!(
            outbox.queued + outbox.in_flight + outbox.failed,
            outbox.last - outbox.acknowledged,
            "the outbox adds up: {outbox:?}"
        );
        let sync = self.node.sync_status();
        assert!(sync.peers.len() <= 1, "one link, one session");
        let own = sync.vector.get(status.replica);
        assert_eq!(own, outbox.last, "all own operations are claimed, and nothing beyond them");
        for peer in &sync.peers {
            assert!(peer.in_flight <= 2 * (64 << 10), "no more than a window is on its way: {}", peer.in_flight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_script_keeps_the_promises(script in proptest::collection::vec(any::<u8>(), 0..600)) {
            sync_session(&script);
        }
    }
}
