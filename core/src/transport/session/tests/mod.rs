//! Two sessions joined by two pipes; time jumps to the next deadline.

mod handshake;
mod impostors;
mod records;
mod timing;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::*;
use crate::dice::Seed;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    A,
    B,
}

pub(crate) fn local(number: u64, secret: Option<u8>) -> Local {
    let seed = Seed::from_number(number);
    Local {
        identity: Identity::generate(&mut seed.secrets("identity")),
        node: NodeId::new(alloc::format!("node-{number}")).unwrap(),
        secret: secret.map(|byte| NetworkSecret::from_bytes([byte; 32])),
        boot: 1000 + number,
        settings: Settings { compress: false, ..Settings::default() },
    }
}

/// One end, with all it ever said.
pub(crate) struct End {
    pub(crate) session: Session,
    /// On its way to the other end.
    pub(crate) wire: VecDeque<u8>,
    /// All bytes it ever sent.
    pub(crate) sent: Vec<u8>,
    /// Lengths of what it sent, one for each effect.
    pub(crate) cuts: Vec<usize>,
    pub(crate) messages: Vec<(Lane, Bytes)>,
    pub(crate) met: Vec<Introduction>,
    pub(crate) up: Vec<LinkInfo>,
    pub(crate) closed: Vec<CloseReason>,
    pub(crate) rooms: usize,
    /// Whether to admit whoever comes.
    pub(crate) welcoming: bool,
    /// Whether the connection takes bytes.
    pub(crate) writable: bool,
}

impl End {
    fn new(session: Session, effects: Vec<Effect>, now: Instant) -> Self {
        let mut end = Self {
            session,
            wire: VecDeque::new(),
            sent: Vec::new(),
            cuts: Vec::new(),
            messages: Vec::new(),
            met: Vec::new(),
            up: Vec::new(),
            closed: Vec::new(),
            rooms: 0,
            welcoming: true,
            writable: true,
        };
        end.take(now, effects);
        end
    }

    pub(crate) fn take(&mut self, now: Instant, effects: Vec<Effect>) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            assert!(self.closed.is_empty(), "{effect:?} after the end");
            let mut more = Vec::new();
            match effect {
                Effect::Send(bytes) => {
                    self.sent.extend(&bytes);
                    self.cuts.push(bytes.len());
                    if self.writable {
                        self.wire.extend(&bytes);
                        self.session.handle_written(now, bytes.len(), &mut more);
                    }
                }
                Effect::Introduced(peer) => {
                    self.met.push(peer);
                    if self.welcoming {
                        self.session.admit(now, 7, &mut more);
                    }
                }
                Effect::Up(info) => self.up.push(info),
                Effect::Message { lane, bytes } => self.messages.push((lane, bytes)),
                Effect::Room => self.rooms += 1,
                Effect::Closed(reason) => self.closed.push(reason),
            }
            effects.extend(more);
        }
    }

    pub(crate) fn hear(&mut self, now: Instant, bytes: &[u8]) {
        let mut effects = Vec::new();
        self.session.handle_bytes(now, bytes, &mut effects);
        self.take(now, effects);
    }

    pub(crate) fn act(&mut self, now: Instant, act: impl FnOnce(&mut Session, &mut Vec<Effect>)) {
        let mut effects = Vec::new();
        act(&mut self.session, &mut effects);
        self.take(now, effects);
    }

    pub(crate) fn why(&self) -> &'static str {
        self.closed.first().map_or("open", CloseReason::as_str)
    }
}

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) a: End,
    pub(crate) b: End,
}

impl Pair {
    /// `a` dials `b`; nothing has been delivered.
    pub(crate) fn of(a: Local, b: Local) -> Self {
        let now = Instant(1_000_000);
        let mut effects = Vec::new();
        let secrets = |number| Seed::from_number(number).secrets("link");
        let dialler = Session::dial(&Arc::new(a), secrets(91), now, &mut effects);
        let answerer = Session::answer(&Arc::new(b), secrets(92), now);
        Self { now, a: End::new(dialler, effects, now), b: End::new(answerer, vec![], now) }
    }

    /// A pair of one network, up.
    pub(crate) fn up() -> Self {
        Self::up_with(|_| {})
    }

    pub(crate) fn up_with(change: impl Fn(&mut Settings)) -> Self {
        let (mut a, mut b) = (local(1, Some(9)), local(2, Some(9)));
        change(&mut a.settings);
        change(&mut b.settings);
        let mut pair = Self::of(a, b);
        pair.run();
        assert!(pair.a.session.is_up() && pair.b.session.is_up(), "{} {}", pair.a.why(), pair.b.why());
        pair
    }

    pub(crate) fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::A => &mut self.a,
            Side::B => &mut self.b,
        }
    }

    /// Delivers all bytes until both fall silent.
    pub(crate) fn run(&mut self) {
        self.run_cut(usize::MAX);
    }

    /// Delivers at most `cut` bytes at a time.
    pub(crate) fn run_cut(&mut self, cut: usize) {
        while !self.a.wire.is_empty() || !self.b.wire.is_empty() {
            for (from, to) in [(Side::A, Side::B), (Side::B, Side::A)] {
                let wire = &mut self.end(from).wire;
                let bytes: Vec<u8> = wire.drain(..cut.min(wire.len())).collect();
                let now = self.now;
                self.end(to).hear(now, &bytes);
            }
        }
    }

    /// Goes to the next deadline and serves it.
    pub(crate) fn jump(&mut self) {
        let next = [&self.a, &self.b].into_iter().filter_map(|end| end.session.poll_timeout()).min().unwrap();
        self.now = next.max(self.now);
        let now = self.now;
        for side in [Side::A, Side::B] {
            self.end(side).act(now, |session, out| session.handle_timeout(now, out));
        }
    }

    pub(crate) fn send(&mut self, from: Side, lane: Lane, message: impl Into<Bytes>) {
        let now = self.now;
        let message = message.into();
        self.end(from).act(now, |session, out| {
            session.send(lane, message).unwrap();
            session.flush(now, out);
        });
    }

    pub(crate) fn why(&self) -> (&'static str, &'static str) {
        (self.a.why(), self.b.why())
    }
}
