//! A host among others: what its node asks of the network, and what it hears.

use std::sync::LazyLock;

use softadastra_core::error::Error;
use softadastra_core::ids::Lsn;
use softadastra_core::node::{self, Event, Input, LinkAct, LinkFact, Node, RecoveryReport, RequestId, Written};
use softadastra_core::op::Operation;
use softadastra_core::sync;
use softadastra_core::transport::endpoint::LinkId;
use softadastra_core::transport::identity::{Identity, NetworkSecret, NodeKey};
use softadastra_core::transport::reason;
use softadastra_core::transport::trust::{Trust, TrustMode};
use softadastra_core::wal::format::Record;

use bytes::Bytes;

use super::host::{Host, Machine};
use super::{Kind, Stage};
use crate::judges::{Failure, Moment};
use crate::network::{Arrival, Signal};
use crate::oracle::ledger::Ledger;
use crate::oracle::{Harshness, Told, Verdict};
use crate::plan::{HostId, What};
use crate::tally::Mark;

/// A record, its seal and its length go beyond the window of what may be given to the system.
const SEAL: usize = 66 << 10;

/// On a slower line silence is not told from slowness, in bytes a second.
const SLOWEST_LINE: u64 = 8 << 10;

/// More hosts than any world has.
const HOSTS: usize = 16;

static IDENTITIES: LazyLock<[Identity; HOSTS]> =
    LazyLock::new(|| std::array::from_fn(|host| Identity::from_seed(&[host as u8 + 1; 32])));

fn identity(host: HostId) -> &'static Identity {
    IDENTITIES.get(usize::from(host.0)).expect("worlds have fewer hosts")
}

/// By which key others know a host.
pub(super) fn key(host: HostId) -> NodeKey {
    identity(host).key()
}

pub(super) fn secret() -> NetworkSecret {
    NetworkSecret::from_bytes([9; 32])
}

impl Stage {
    /// Who a host is, in the cryptography of this run.
    pub(super) fn identity(&self, host: HostId) -> Identity {
        let identity = identity(self.face(host)).clone();
        if self.climate.pretends { identity.pretending() } else { identity }
    }

    pub(super) fn ledger(&mut self, host: HostId) -> Option<&mut Ledger> {
        self.witness.as_mut()?.ledgers.get_mut(usize::from(host.0))
    }

    /// A host is in another life: what was said to an earlier one does not reach it.
    pub(super) fn follow(&mut self, host: HostId, life: u32) {
        if let Some(place) = self.lives.get_mut(usize::from(host.0)) {
            *place = life;
        }
    }

    /// An own operation survives from here on.
    pub(super) fn issue(&mut self, host: HostId, lsn: Lsn, op: &Operation) -> Result<(), Failure> {
        if self.rollbacks {
            return Ok(());
        }
        if let Some(witness) = &mut self.witness {
            witness.registry.issue(op);
        }
        self.see(host, &Moment::Issued { lsn, op })
    }
}

impl Host {
    /// Starts the transport, and wants the links it should have.
    pub(super) fn go_online(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        let now = self.now(stage);
        let Machine::Up(node) = &mut self.machine else { return Ok(()) };
        if stage.witness.is_none() || self.offline > 0 || node.transport_running() {
            return Ok(());
        }
        let network = node::Network {
            identity: stage.identity(self.id),
            secret: Some(secret()),
            trust: Trust::new(TrustMode::Network, [], self.pins.clone()),
            settings: stage.climate.endpoint(),
        };
        if node.status().health == node::Health::Closing {
            return Ok(());
        }
        let mut started = node.start_transport(now, network);
        let others = self.roads.iter().filter(|to| **to != stage.face(self.id));
        for to in others {
            let address = format!("10.0.0.{}:4000", to.0 + 1).parse();
            if let (Ok(()), Ok(address)) = (&started, address) {
                started = node.add_peer(now, Some(key(*to)), vec![address]).map(drop);
            }
        }
        match started {
            Ok(()) => self.start_discovery(stage),
            Err(error) => stage.see(self.id, &Moment::Untrue(format!("the transport does not start: {error}"))),
        }
    }

    /// The node wants something of a connection.
    pub(super) fn act(&mut self, stage: &mut Stage, link: LinkId, act: LinkAct) -> Result<(), Failure> {
        let due = match act {
            LinkAct::Dial { address } => {
                let number = address.as_str().trim_start_matches("10.0.0.").split(':').next();
                let Some(to) = number.and_then(|number| number.parse::<u8>().ok()) else {
                    let what = format!("the node dials {address}, which nobody gave it");
                    return stage.see(self.id, &Moment::Untrue(what));
                };
                let to = HostId(to - 1);
                stage.note(self.id, format_args!("dials n{} as link {}", to.0, link.0));
                stage.network.dial(self.id, link, to)
            }
            LinkAct::Send(bytes) => {
                let most = stage.climate.endpoint().link.send_window + SEAL;
                let bytes_waiting = stage.network.unwritten(self.id, link) + bytes.len();
                stage.see(self.id, &Moment::Unwritten { bytes: bytes_waiting, most })?;
                stage.network.send(stage.now, self.id, link, bytes)
            }
            LinkAct::Close(reason) => {
                stage.note(self.id, format_args!("closes link {}: {reason}", link.0));
                stage.network.close(stage.now, self.id, link)
            }
        };
        stage.expect(due);
        Ok(())
    }

    /// The network tells something.
    pub(super) fn hear(&mut self, stage: &mut Stage, signal: Signal) -> Result<(), Failure> {
        let now = self.now(stage);
        match signal {
            Signal::Knock(wire) => {
                let Some(from) = stage.network.dialler(wire) else { return Ok(()) };
                let source = std::net::SocketAddr::from(([10, 0, 0, from.0 + 1], 50_000));
                let link = match &mut self.machine {
                    Machine::Up(node) if self.refusing == 0 => node.incoming(now, source).ok(),
                    Machine::Up(_) | Machine::Opening(_) | Machine::Down => None,
                };
                match link {
                    Some(link) => stage.note(self.id, format_args!("lets n{} in as link {}", from.0, link.0)),
                    None => stage.tally.fault("connection refused"),
                }
                let due = stage.network.answer(wire, link);
                stage.expect(due);
            }
            Signal::Connected(link) => self.fact(stage, link, LinkFact::Connected),
            Signal::Refused(link, why) => {
                self.fact(stage, link, LinkFact::DialFailed { error: why.into() });
            }
            Signal::Written(link, count) => self.fact(stage, link, LinkFact::Written(count)),
            Signal::Ended(link, why) => {
                if stage.network.heard_end(self.id, link) {
                    stage.note(self.id, format_args!("link {} ends: {why}", link.0));
                    self.fact(stage, link, LinkFact::Ended { error: Some(why.into()) });
                }
            }
            Signal::Linger(wire) => stage.network.linger(wire, self.id),
            Signal::Arrive(wire) => {
                let (arrival, due) = stage.network.arrive(stage.now, wire, self.id);
                stage.expect(due);
                match arrival {
                    Some(Arrival::Bytes(link, bytes)) => {
                        stage.note(self.id, format_args!("link {} brings {} bytes", link.0, bytes.len()));
                        stage.tally.bytes += bytes.len() as u64;
                        self.fact(stage, link, LinkFact::Bytes(bytes));
                    }
                    Some(Arrival::Ended(link)) => {
                        stage.note(self.id, format_args!("link {} has ended", link.0));
                        self.fact(stage, link, LinkFact::Ended { error: None });
                    }
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn fact(&mut self, stage: &Stage, link: LinkId, fact: LinkFact) {
        let now = self.now(stage);
        if let Machine::Up(node) = &mut self.machine {
            node.handle(now, Input::Link { link, fact });
        }
    }

    /// Something happens between this host and another.
    pub(super) fn quarrel(&mut self, stage: &mut Stage, what: &What) {
        let now = self.now(stage);
        match what {
            What::Block { to, window } => {
                stage.network.block(self.id, *to);
                stage.tally.fault("partition");
                stage.schedule(*window, self.id, None, Kind::Unblock(*to));
            }
            What::Slow { to, extra, window } => {
                stage.network.slow(self.id, *to, *extra);
                stage.tally.fault("slow way");
                stage.schedule(*window, self.id, None, Kind::Quick(*to, *extra));
            }
            What::Cut { with, deaf, other_deaf } => {
                let deaf = [(deaf, self.id), (other_deaf, *with)].into_iter().filter(|(deaf, _)| **deaf);
                let deaf: Vec<HostId> = deaf.map(|(_, host)| host).collect();
                let (wires, due) = stage.network.cut(self.id, *with, &deaf);
                for _ in 0..wires {
                    stage.tally.fault(if deaf.is_empty() { "connection cut" } else { "connection half open" });
                }
                stage.expect(due);
            }
            What::Refuse { window } => {
                self.refusing += 1;
                stage.schedule(*window, self.id, None, Kind::LetIn);
            }
            What::Offline { window } => {
                self.offline += 1;
                if let Machine::Up(node) = &mut self.machine {
                    node.stop_transport(now);
                    node.stop_discovery(now);
                }
                stage.tally.fault("transport stopped");
                stage.schedule(*window, self.id, None, Kind::Online);
            }
            What::Tick { prune } => {
                if let Machine::Up(node) = &mut self.machine {
                    node.tick(now, *prune);
                }
            }
            _ => {}
        }
    }

    /// Records go to the log.
    pub(super) fn enter(&mut self, stage: &mut Stage, records: &[(Lsn, Record)]) -> Result<(), Failure> {
        let Some(witness) = stage.witness.as_mut().filter(|_| !stage.rollbacks) else { return Ok(()) };
        let Some(ledger) = witness.ledgers.get_mut(usize::from(self.id.0)) else { return Ok(()) };
        for (lsn, record) in records {
            if let Record::Foreign(_) = record {
                stage.tally.mark(Mark::TakenIn);
            }
            let met = ledger.meetings.len();
            if let Err(breach) = ledger.take(*lsn, record, &mut witness.registry, &self.oracle) {
                return stage.court.see(stage.now, self.id, &Moment::Breach(&breach));
            }
            if ledger.meetings.len() > met {
                stage.tally.mark(Mark::ConflictMet);
            }
        }
        let Err(breach) = ledger.end_frame() else { return Ok(()) };
        stage.court.see(stage.now, self.id, &Moment::Breach(&breach))
    }

    /// The node shows everything up to here.
    pub(super) fn shown(&mut self, stage: &mut Stage, through: Lsn) -> Result<(), Failure> {
        let durable = self.node().and_then(Node::log).map_or(through, |log| log.progress().durable);
        let early = self.knobs.syncs_always() && durable < through;
        let Some(ledger) = stage.ledger(self.id) else { return Ok(()) };
        ledger.show(through);
        if early {
            let what = format!("everything up to {through} is shown, but only up to {durable} is durable");
            return stage.see(self.id, &Moment::Untrue(what));
        }
        Ok(())
    }

    /// The node answers a batch: the records say whether that is true.
    pub(super) fn answered_among_others(
        &mut self,
        stage: &mut Stage,
        request: RequestId,
        result: Result<&[Written], &Error>,
    ) -> Result<(), Failure> {
        let (number, writes, told) = match self.oracle.told(request, result.err()) {
            Ok(told) => told,
            Err(what) => return stage.see(self.id, &Moment::Untrue(what)),
        };
        stage.note(self.id, format_args!("#{number} {told:?}"));
        self.told.insert(number, told);
        if told == Told::Done {
            stage.tally.done += 1;
        }
        if stage.rollbacks {
            if told == Told::Done {
                self.remember(stage, &writes);
            }
            return Ok(());
        }
        let wrong = match result {
            // What settles a conflict is written whatever stands, so it may delete what is deleted.
            Ok(written) if self.settling.contains_key(&request) => self.not_settled(stage, request, written),
            Ok(written) => stage.ledger(self.id).and_then(|ledger| ledger.check_answer(&writes, written).err()),
            Err(_) => None,
        };
        match (wrong, result) {
            (Some(what), _) => stage.see(self.id, &Moment::Untrue(format!("batch #{number}: {what}"))),
            (None, Ok(written)) => self.read_own_writes(stage, number, &writes, written),
            (None, Err(_)) => Ok(()),
        }
    }

    /// What a start has found, against what the log was seen to be given.
    pub(super) fn judge_among_others(&mut self, stage: &mut Stage, node: &Node, report: &RecoveryReport) -> Verdict {
        if stage.rollbacks {
            self.oracle.forget();
            return Verdict::Cut(0);
        }
        let harshness = self.harshness;
        let Some(ledger) = stage.ledger(self.id) else { return Verdict::Cut(0) };
        let floor = match harshness {
            Harshness::Closed | Harshness::Kill => ledger.shown().max(ledger.durable()),
            Harshness::Power => ledger.durable(),
        };
        let judged = ledger.reopened(report.last_lsn, floor, &self.oracle);
        let judged = judged.and_then(|()| ledger.compare(node.store()).map_err(|what| (true, what)));
        self.oracle.forget();
        match judged {
            Ok(()) => Verdict::Cut(0),
            Err((true, what)) => Verdict::Lost(what),
            Err((false, what)) => Verdict::Ghost(what),
        }
    }

    /// What a copy shows, against the log that it is a copy of.
    pub(super) fn judge_copy(&self, stage: &mut Stage, copy: &Node, durable: Lsn) -> Verdict {
        if stage.rollbacks {
            return Verdict::Cut(0);
        }
        let Some(ledger) = stage.ledger(self.id) else { return Verdict::Cut(0) };
        let last = copy.log().map_or(Lsn::ZERO, |log| log.progress().durable);
        if last < durable {
            return Verdict::Lost(format!("a copy ends at {last}, not {durable}"));
        }
        let mut then = ledger.clone();
        then.look_back_to(last);
        match then.compare(copy.store()) {
            Ok(()) => Verdict::Cut(0),
            Err(what) => Verdict::Lost(what),
        }
    }

    /// The value that a key will have when everything accepted is answered.
    pub(super) fn value_to_come(&self, stage: &Stage, key: &[u8]) -> Option<Bytes> {
        if stage.witness.is_none() {
            return self.oracle.value_to_come(key);
        }
        let shown = || self.node()?.store().get(key)?.value_bytes();
        self.oracle.waiting_value(key).unwrap_or_else(shown)
    }

    /// What a node says about others.
    pub(super) fn heard_of_others(&mut self, stage: &mut Stage, event: &Event) -> Result<(), Failure> {
        if let Event::LinkDown { .. } = event {
            self.broken_links += 1;
        }
        if let Some(wrong) = self.misjudged_clock(stage, event) {
            return stage.see(self.id, &Moment::Untrue(wrong));
        }
        if stage.tells_of_twins(self.id, event) {
            return Ok(());
        }
        let what = match event {
            Event::LinkUp { .. } => {
                stage.tally.mark(Mark::LinkUp);
                return Ok(());
            }
            Event::Reborn { from, .. } if stage.rollbacks => {
                stage.tally.mark(Mark::Reborn);
                // Should the node die before it has told anybody, its operators know all the same that nobody bears that name.
                stage.lost.insert(*from);
                return Ok(());
            }
            Event::LinkDown { .. } | Event::LinkFailed { .. } | Event::Sync(_) if stage.rollbacks => return Ok(()),
            Event::Sync(sync::Event::Diverged { .. }) => {
                return stage.see(self.id, &Moment::Apart("equal vectors, different contents".into()));
            }
            Event::Sync(sync::Event::Failed { .. }) => {
                stage.tally.mark(Mark::DeliveryFailed);
                return Ok(());
            }
            Event::Sync(sync::Event::Identity(finding)) => format!("{finding}"),
            Event::Distrusted { .. } | Event::KeyCloned { .. } | Event::Reborn { .. } => format!("{event:?}"),
            Event::LinkDown { cause: Some(sync::CloseReason::Silent), .. }
                if stage.calm.is_some_and(|longest| self.knobs.exchange.ack_timeout_ms * 1_000 > longest) =>
            {
                let stuck = "a link is given up for silence, though nothing is lost and nobody is down";
                return stage.see(self.id, &Moment::Stuck(stuck.into()));
            }
            Event::LinkDown { reason, cause, .. } if is_accusation(reason) || cause.as_ref().is_some_and(blames) => {
                let what = format!("nobody here breaks a protocol, but a link ended so: {reason}; {cause:?}");
                return stage.see(self.id, &Moment::Untrue(what));
            }
            Event::LinkFailed { reason, .. } if is_accusation(reason) => {
                let what = format!("nobody here breaks a protocol, but a link failed so: {reason}");
                return stage.see(self.id, &Moment::Untrue(what));
            }
            _ => return Ok(()),
        };
        stage.see(self.id, &Moment::Untrue(format!("nobody has copied or rolled back anything, but: {what}")))
    }

    /// How long a link may be silent before it is given up: until the next question, as long as an answer may take, and as
    /// long as what is on its way takes on the slowest line. What has just begun has time to open.
    pub(super) fn longest_silence(&self, stage: &Stage) -> u64 {
        let peers = self.node().map(|node| node.peers(self.now(stage))).unwrap_or_default();
        let in_flight =
            peers.iter().filter_map(|peer| peer.sync.as_ref()).map(|peer| peer.in_flight).max().unwrap_or(0);
        let exchange = &self.knobs.exchange;
        let on_its_way = (in_flight + exchange.window) * 1_000_000 / SLOWEST_LINE;
        let handshake = stage.climate.endpoint().link.handshake_timeout.as_micros() as u64;
        handshake + (exchange.ping_ms + exchange.ack_timeout_ms) * 1_000 + on_its_way
    }

    /// One look at what is kept for peers.
    pub(super) fn weigh(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        let (Machine::Up(node), Some(witness)) = (&self.machine, &stage.witness) else { return Ok(()) };
        let load = node.load();
        if load.full_exchanges > 0 {
            stage.tally.mark(Mark::FullExchange);
        }
        let length = |version: &sync::Version| version.body.value().map_or(0, Bytes::len);
        let kept = node.conflicts().iter().map(|c| c.met.key.len() + length(&c.met.local) + length(&c.met.remote));
        let moment = Moment::Weighed {
            in_flight: load.most_in_flight,
            links: node.count_links().0,
            nodes: witness.ledgers.len(),
            window: 1 << 20,
            conflicts: (kept.sum(), node.conflicts().iter().len()),
        };
        stage.court.see(stage.now, self.id, &moment)
    }
}

/// Whether a link ended because the other side is said to have broken the rules.
const fn is_accusation(reason: &reason::CloseReason) -> bool {
    use reason::CloseReason as Why;
    !matches!(
        reason,
        Why::Local(_)
            | Why::Peer(_)
            | Why::Refused(_)
            | Why::NotReached { .. }
            | Why::Lost { .. }
            | Why::Truncated
            | Why::HandshakeAborted
            | Why::HandshakeTimeout
            | Why::IdleTimeout
            | Why::WriteTimeout
            | Why::HalfOpenShed
    )
}

/// The same, of sync.
const fn blames(cause: &sync::CloseReason) -> bool {
    use sync::{Bye, CloseReason as Why};
    matches!(
        cause,
        Why::Protocol(_) | Why::WrongNetwork | Why::NoCommonProtocol | Why::Told(Bye::Protocol | Bye::WrongNetwork)
    )
}
