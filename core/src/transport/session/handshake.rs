//! From the first byte to a link that stands. `docs/wire-protocol.md` has the byte pictures.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::super::hello::{Hello, PREAMBLE_LEN, Preamble, Versions};
use super::super::identity::Purpose;
use super::super::noise::{self, Handshake, Role};
use super::super::reason::{CloseReason, Farewell};
use super::link::Link;
use super::record::Part;
use super::{Effect, Introduction, LinkInfo, Local, MIN_KEEP_ALIVE, Session};
use crate::dice::Secrets;
use crate::sink::Sink;
use crate::time::Instant;
use core::time::Duration;

/// Bytes that stand before every handshake message and record: their length.
pub(super) const HEAD_LEN: usize = 2;
/// More than this is never read before a link stands.
pub(super) const MAX_HANDSHAKE_INPUT: usize = 1024;
/// Stands before the dialler's preamble in the prologue.
const PROLOGUE: &[u8] = b"softadastra link protocol\0";

/// A handshake under way, with the key that is made for this link alone.
pub(super) struct Keys {
    handshake: Box<Handshake>,
    public: [u8; 32],
    /// What the other side said in the clear.
    preamble: Option<Preamble>,
}

/// What the other side must be admitted to.
pub(super) struct Candidate {
    hello: Hello,
    version: u8,
    packing: bool,
    keys: Candidates,
}

enum Candidates {
    /// The dialler has yet to say who it is.
    Dialler(Keys),
    /// The dialled side has the keys and has yet to consent.
    Dialled(Box<Link>),
}

/// Where a session stands.
pub(super) enum Phase {
    /// The other side's preamble comes next. A dialler has its keys; the dialled side needs the preamble to make them.
    Preamble(Start),
    /// Message 1 comes next: dialled side.
    First(Keys),
    /// Message 2 comes next: dialler.
    Second(Keys),
    /// Message 3 comes next: dialled side.
    Third(Keys),
    /// The layer above decides.
    Judging(Candidate),
    /// The dialler waits for consent.
    Welcome(Box<Link>, LinkInfo),
    /// The link stands.
    Up(Box<Link>),
    /// It has ended.
    Closed,
}

pub(super) enum Start {
    Dialler(Keys),
    Dialled(Box<Secrets>),
}

impl Phase {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Preamble(_) => "preamble",
            Self::First(_) => "first",
            Self::Second(_) => "second",
            Self::Third(_) => "third",
            Self::Judging(_) => "judging",
            Self::Welcome(..) => "welcome",
            Self::Up(_) => "up",
            Self::Closed => "closed",
        }
    }

    /// What can still be told to the other side when the link ends for `reason`.
    pub(super) fn last_words(self, reason: &CloseReason) -> Option<Bytes> {
        if matches!(
            reason,
            CloseReason::Peer(_)
                | CloseReason::Refused(_)
                | CloseReason::Lost { .. }
                | CloseReason::Truncated
                | CloseReason::HandshakeAborted
                | CloseReason::WriteTimeout
        ) {
            return None;
        }
        match self {
            Self::Up(mut link) | Self::Welcome(mut link, _) => Some(link.farewell(reason.farewell())),
            Self::Judging(Candidate { keys: Candidates::Dialled(mut link), .. }) => {
                Some(link.farewell(reason.farewell()))
            }
            // Where the secrets differ so do the keys, and this cannot be sealed. It helps an operator; nothing relies on it.
            Self::Third(_) if reason.is_about_hello() => {
                Some(Bytes::copy_from_slice(&[1, 0, reason.farewell().to_byte()]))
            }
            _ => None,
        }
    }
}

impl Session {
    /// Dials: says the preamble and the first handshake message. `secrets` must be a stream that nothing else draws from.
    #[must_use]
    pub fn dial(local: &Arc<Local>, mut secrets: Secrets, now: Instant, out: &mut dyn Sink<Effect>) -> Self {
        let preamble = Preamble {
            role: Role::Initiator,
            versions: local.settings.versions,
            secret: local.secret.is_some(),
            refusal: None,
        }
        .encode();
        let mut keys = Keys::new(local, Role::Initiator, &preamble, &mut secrets);
        let first = keys.handshake.write(&[]).expect("the first message needs nothing of the other side");
        let mut bytes = preamble.to_vec();
        frame(&first, &mut bytes);
        let mut session = Self::new(local, Role::Initiator, Phase::Preamble(Start::Dialler(keys)), now);
        session.emit(now, bytes.into(), out);
        session
    }

    /// Answers a connection that somebody else opened. `secrets` must be a stream that nothing else draws from.
    #[must_use]
    pub fn answer(local: &Arc<Local>, secrets: Secrets, now: Instant) -> Self {
        Self::new(local, Role::Responder, Phase::Preamble(Start::Dialled(Box::new(secrets))), now)
    }

    fn new(local: &Arc<Local>, role: Role, phase: Phase, now: Instant) -> Self {
        Self {
            local: Arc::clone(local),
            role,
            phase,
            partial: Vec::new(),
            handshake_input: 0,
            in_flight: 0,
            taken: now,
            heard: now,
            deadline: now + local.settings.handshake_timeout,
            ping_every: local.settings.keep_alive,
            next_ping: now,
            pinged: None,
            pings: 0,
            round_trip: None,
            peer_limit: 0,
            owes_room: false,
        }
    }

    /// Lets the other side in, after [`Effect::Introduced`]; without effect at any other time. `order` is this node's own
    /// count of such decisions: it rises with each.
    pub fn admit(&mut self, now: Instant, order: u64, out: &mut dyn Sink<Effect>) {
        match core::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Judging(candidate) => {
                if let Err(reason) = self.admit_candidate(now, order, candidate, out) {
                    // The phase is closed already; the other side sees the connection end.
                    out.push(Effect::Closed(reason));
                }
            }
            other => self.phase = other,
        }
    }

    fn admit_candidate(
        &mut self,
        now: Instant,
        order: u64,
        candidate: Candidate,
        out: &mut dyn Sink<Effect>,
    ) -> Result<(), CloseReason> {
        let Candidate { hello, version, packing, keys } = candidate;
        let settings = &self.local.settings;
        self.peer_limit = usize::try_from(hello.max_message).unwrap_or(usize::MAX);
        let third = Duration::from_millis(u64::from(hello.idle_ms)) / 3;
        self.ping_every = settings.keep_alive.min(third).max(MIN_KEEP_ALIVE);
        let peer = Introduction { key: hello.key, node: hello.node, boot: hello.boot, order: hello.order };
        let info = LinkInfo { peer, role: self.role, version, compressed: packing };
        match keys {
            Candidates::Dialler(mut keys) => {
                let message = self.write_hello(&mut keys, order)?;
                let link = Link::new(keys.handshake.finish(), packing, now);
                self.phase = Phase::Welcome(Box::new(link), info);
                self.emit(now, message, out);
            }
            Candidates::Dialled(mut link) => {
                link.welcome = Some(order);
                self.stand(now, link, info, out);
                self.flush(now, out);
            }
        }
        Ok(())
    }

    fn stand(&mut self, now: Instant, link: Box<Link>, info: LinkInfo, out: &mut dyn Sink<Effect>) {
        self.phase = Phase::Up(link);
        self.heard = now;
        // The first ping follows at once: it measures the round trip.
        self.next_ping = now;
        out.push(Effect::Up(info));
    }

    /// The first part that a dialler reads under seal.
    pub(super) fn handle_welcome(
        &mut self,
        now: Instant,
        part: &Part,
        out: &mut dyn Sink<Effect>,
    ) -> Result<(), CloseReason> {
        match (part, core::mem::replace(&mut self.phase, Phase::Closed)) {
            (Part::Welcome(order), Phase::Welcome(link, mut info)) => {
                info.peer.order = *order;
                self.stand(now, link, info, out);
                Ok(())
            }
            (part, phase) => {
                self.phase = phase;
                Err(match part {
                    Part::Farewell(farewell) => CloseReason::Refused(*farewell),
                    _ => CloseReason::BadRecord { what: "no welcome" },
                })
            }
        }
    }

    /// Reads one unit before the link stands.
    pub(super) fn handle_handshake(
        &mut self,
        now: Instant,
        unit: &[u8],
        out: &mut dyn Sink<Effect>,
    ) -> Result<(), CloseReason> {
        let message = unit.get(HEAD_LEN..).unwrap_or_default();
        if let Phase::Welcome(..) = &self.phase {
            return match message {
                [code] => Err(CloseReason::Refused(Farewell::from_byte(*code))),
                sealed => self.handle_record(now, sealed, out),
            };
        }
        match core::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Preamble(start) => {
                let preamble: [u8; PREAMBLE_LEN] = unit.try_into().map_err(|_| CloseReason::NotSoftadastra)?;
                self.handle_preamble(now, start, preamble, out)
            }
            Phase::First(mut keys) => {
                // Its payload is for newer versions to use.
                let read = keys.handshake.read(message).map_err(|_| CloseReason::HandshakeForged);
                match read.and_then(|_| self.write_hello(&mut keys, 0)) {
                    Ok(answer) => {
                        self.phase = Phase::Third(keys);
                        self.emit(now, answer, out);
                        Ok(())
                    }
                    Err(reason) => {
                        self.phase = Phase::First(keys);
                        Err(reason)
                    }
                }
            }
            Phase::Second(keys) => self.handle_hello(now, keys, message, out),
            Phase::Third(keys) => self.handle_hello(now, keys, message, out),
            other => {
                self.phase = other;
                Err(CloseReason::OutOfTurn)
            }
        }
    }

    fn handle_preamble(
        &mut self,
        now: Instant,
        start: Start,
        bytes: [u8; PREAMBLE_LEN],
        out: &mut dyn Sink<Effect>,
    ) -> Result<(), CloseReason> {
        // A phase must stand again before anything fails, so that the end is announced.
        let preamble = match Preamble::decode(bytes, self.role.other()) {
            Ok(preamble) => preamble,
            Err(reason) => {
                self.phase = Phase::Preamble(start);
                return Err(reason);
            }
        };
        match start {
            Start::Dialler(mut keys) => {
                keys.preamble = Some(preamble);
                self.phase = Phase::Second(keys);
                match preamble.refusal {
                    None => self.check_preamble(&preamble),
                    Some(Farewell::VersionMismatch) => {
                        let Versions { lowest, highest } = preamble.versions;
                        Err(CloseReason::VersionMismatch { lowest, highest })
                    }
                    Some(other) => Err(CloseReason::Refused(other)),
                }
            }
            Start::Dialled(mut secrets) => {
                let verdict = self.check_preamble(&preamble);
                let answer = Preamble {
                    role: Role::Responder,
                    versions: self.local.settings.versions,
                    secret: self.local.secret.is_some(),
                    refusal: verdict.as_ref().err().map(CloseReason::farewell),
                };
                let mut keys = Keys::new(&self.local, Role::Responder, &bytes, &mut secrets);
                keys.preamble = Some(preamble);
                self.phase = Phase::First(keys);
                self.emit(now, Bytes::copy_from_slice(&answer.encode()), out);
                verdict
            }
        }
    }

    fn check_preamble(&self, theirs: &Preamble) -> Result<(), CloseReason> {
        let versions = theirs.versions;
        if versions.common(self.local.settings.versions).is_none() {
            return Err(CloseReason::VersionMismatch { lowest: versions.lowest, highest: versions.highest });
        }
        match (self.local.secret.is_some(), theirs.secret) {
            (true, false) => Err(CloseReason::SecretMissing),
            (false, true) => Err(CloseReason::SecretUnexpected),
            _ => Ok(()),
        }
    }

    /// The next handshake message, framed, with this side's hello in it.
    fn write_hello(&self, keys: &mut Keys, order: u64) -> Result<Bytes, CloseReason> {
        let local = &self.local;
        let signed = [&keys.public[..], &keys.handshake.hash()].concat();
        let hello = Hello {
            versions: local.settings.versions,
            lz4: local.settings.compress,
            key: local.identity.key(),
            signature: local.identity.sign(purpose(self.role), &signed),
            boot: local.boot,
            order,
            max_message: u32::try_from(local.settings.max_message).unwrap_or(u32::MAX),
            idle_ms: u32::try_from(local.settings.idle_timeout.as_millis()).unwrap_or(u32::MAX),
            node: local.node.clone(),
        };
        let message = keys.handshake.write(&hello.encode()).map_err(|_| CloseReason::HandshakeForged)?;
        let mut bytes = Vec::with_capacity(HEAD_LEN + message.len());
        frame(&message, &mut bytes);
        Ok(bytes.into())
    }

    /// Reads the message that says who the other side is.
    fn handle_hello(
        &mut self,
        now: Instant,
        mut keys: Keys,
        message: &[u8],
        out: &mut dyn Sink<Effect>,
    ) -> Result<(), CloseReason> {
        match self.read_hello(&mut keys, message) {
            Ok((hello, version)) => {
                let packing = hello.lz4 && self.local.settings.compress;
                let peer =
                    Introduction { key: hello.key, node: hello.node.clone(), boot: hello.boot, order: hello.order };
                let keys = match self.role {
                    Role::Initiator => Candidates::Dialler(keys),
                    Role::Responder => Candidates::Dialled(Box::new(Link::new(keys.handshake.finish(), packing, now))),
                };
                self.phase = Phase::Judging(Candidate { hello, version, packing, keys });
                out.push(Effect::Introduced(peer));
                Ok(())
            }
            Err(reason) => {
                self.phase = match self.role {
                    Role::Initiator => Phase::Second(keys),
                    Role::Responder => Phase::Third(keys),
                };
                Err(reason)
            }
        }
    }

    fn read_hello(&self, keys: &mut Keys, message: &[u8]) -> Result<(Hello, u8), CloseReason> {
        let before = keys.handshake.hash();
        let payload = keys.handshake.read(message).map_err(|_| {
            // The secret is mixed in behind the link key of the third message: if that key opened and the rest did not,
            // the secrets differ.
            let secret = self.role == Role::Responder && self.local.secret.is_some();
            if secret && keys.handshake.remote_key().is_some() {
                CloseReason::WrongSecret
            } else {
                CloseReason::HandshakeForged
            }
        })?;
        let hello = Hello::decode(&payload.into()).map_err(|error| CloseReason::BadHello { field: error.field })?;
        let remote = keys.handshake.remote_key().ok_or(CloseReason::HandshakeForged)?;
        let signed = [&remote[..], &before].concat();
        let suite = self.local.identity.suite();
        if !suite.verify(&hello.key, purpose(self.role.other()), &signed, &hello.signature) {
            return Err(CloseReason::IdentityForged);
        }
        if keys.preamble.is_none_or(|preamble| preamble.versions != hello.versions) {
            return Err(CloseReason::PreambleForged);
        }
        let version = hello.versions.common(self.local.settings.versions).ok_or(CloseReason::PreambleForged)?;
        Ok((hello, version))
    }
}

impl Keys {
    fn new(local: &Local, role: Role, dialler: &[u8; PREAMBLE_LEN], secrets: &mut Secrets) -> Self {
        let private = Zeroizing::new(secrets.key());
        let prologue = [PROLOGUE, dialler].concat();
        let random = Box::new(secrets.split());
        let suite = local.identity.suite();
        let handshake = Box::new(Handshake::new(suite, role, &prologue, local.secret.as_ref(), &private, random));
        Self { handshake, public: noise::public_key(suite, &private), preamble: None }
    }
}

const fn purpose(role: Role) -> Purpose {
    match role {
        Role::Initiator => Purpose::LinkInitiator,
        Role::Responder => Purpose::LinkResponder,
    }
}

fn frame(message: &[u8], out: &mut Vec<u8>) {
    let len = u16::try_from(message.len()).expect("handshake messages are short");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(message);
}
