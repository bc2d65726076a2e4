//! One link as a pure machine: bytes in, bytes out.
//!
//! ```text
//!    dialled:  Preamble ── First ── Third ── Judging ── Up          in any state: Closed, once, for good
//!    dialler:  Preamble ── Second ── Judging ── Welcome ── Up
//! ```
//!
//! In `Judging` the other side's identity is proven and the layer above decides, by [`Session::admit`] or
//! [`Session::close`]. A link stands for the dialler when the dialled side has said so under seal: nobody sends messages
//! to a node that would not have them.
//!
//! Contract: bytes of [`Effect::Send`] go onto the connection in order; [`Session::handle_written`] tells how many were
//! taken by it; after [`Effect::Closed`], which comes exactly once and last, the connection is closed when what was sent
//! before has been written.

mod handshake;
mod lanes;
mod link;
mod record;
mod settings;
#[cfg(test)]
pub(crate) mod tests;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use self::handshake::{HEAD_LEN, MAX_HANDSHAKE_INPUT, Phase};
pub use self::lanes::Lane;
use self::record::{MIN_SEALED, Part, next_part};
pub use self::settings::{MAX_BYTES_PER_KEY, MAX_RECORDS_PER_KEY, Settings};
use super::hello::{MAGIC, PREAMBLE_LEN};
use super::identity::{Identity, NetworkSecret, NodeKey};
pub use super::noise::Role;
use super::reason::{CloseReason, Farewell};
use crate::codec::Reader;
use crate::ids::NodeId;
use crate::sink::Sink;
use crate::time::Instant;

/// A peer cannot make this side ping more often than this.
const MIN_KEEP_ALIVE: Duration = Duration::from_millis(100);

/// Who this node is, shared by all its links.
#[derive(Debug)]
pub struct Local {
    /// Its key.
    pub identity: Identity,
    /// Its name.
    pub node: NodeId,
    /// The network it belongs to.
    pub secret: Option<NetworkSecret>,
    /// Drawn at each start of the node.
    pub boot: u64,
    /// How its links behave.
    pub settings: Settings,
}

/// What the other side has proven and said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// Its key: proven.
    pub key: NodeKey,
    /// Its name: claimed.
    pub node: NodeId,
    /// Drawn at its start: a different one means that it has been started anew, or that two nodes share a key.
    pub boot: u64,
    /// The dialler's own count at the time it asked for this link; 0 from the dialled side, which counts in its consent.
    pub order: u64,
}

/// A link that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// The other side. Its `order` is now that of the request or of the consent.
    pub peer: Introduction,
    /// Which side this is.
    pub role: Role,
    /// The version of the link protocol.
    pub version: u8,
    /// Whether records may be compressed.
    pub compressed: bool,
}

/// What a session wants from the world, and tells the layer above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Bytes for the connection.
    Send(Bytes),
    /// The other side has proven who it is; it waits for [`Session::admit`] or [`Session::close`].
    Introduced(Introduction),
    /// The link stands.
    Up(LinkInfo),
    /// A message has arrived.
    Message {
        /// Its lane.
        lane: Lane,
        /// Its bytes.
        bytes: Bytes,
    },
    /// The bulk queue is half empty again.
    Room,
    /// The link has ended; nothing follows.
    Closed(CloseReason),
}

/// A message that was not taken; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendRefused {
    /// The link does not stand.
    NotUp,
    /// The queue is full; [`Effect::Room`] follows for bulk.
    Full,
    /// The other side takes no message of this length.
    TooLarge {
        /// The greatest length it takes, in bytes.
        limit: usize,
    },
}

impl fmt::Display for SendRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUp => f.write_str("there is no link to the peer"),
            Self::Full => f.write_str("the queue to the peer is full"),
            Self::TooLarge { limit } => write!(f, "the peer takes messages of up to {limit} bytes"),
        }
    }
}

impl core::error::Error for SendRefused {}

/// One link, from the first byte to the last.
pub struct Session {
    local: Arc<Local>,
    role: Role,
    phase: Phase,
    /// The beginning of a preamble, message or record whose rest has not arrived.
    partial: Vec<u8>,
    /// Bytes read before the link stood.
    handshake_input: usize,
    /// Bytes handed to the driver and not yet written.
    in_flight: usize,
    /// When the connection last took bytes, or last had none to take.
    taken: Instant,
    /// When the last good unit was read.
    heard: Instant,
    /// By when the link must stand.
    deadline: Instant,
    ping_every: Duration,
    next_ping: Instant,
    pinged: Option<(u64, Instant)>,
    pings: u64,
    round_trip: Option<Duration>,
    /// The greatest message the other side takes.
    peer_limit: usize,
    /// The bulk queue was more than half full: [`Effect::Room`] is owed.
    owes_room: bool,
}

impl Session {
    /// Bytes of bulk messages that can be queued now; 0 unless the link stands.
    #[must_use]
    pub fn room(&self) -> usize {
        match &self.phase {
            Phase::Up(link) => self.local.settings.bulk_queue.saturating_sub(link.waiting(Lane::Bulk)),
            _ => 0,
        }
    }

    /// Whether the link stands.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up(_))
    }

    /// Whether the link has ended.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Which side this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The latest time from a ping to its answer.
    #[must_use]
    pub const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// When anything good was last heard.
    #[must_use]
    pub const fn heard(&self) -> Instant {
        self.heard
    }

    /// Queues a message; [`Self::flush`] sends it, together with others queued before the flush.
    ///
    /// # Errors
    /// [`SendRefused`]; nothing was queued.
    pub fn send(&mut self, lane: Lane, message: Bytes) -> Result<(), SendRefused> {
        let settings = &self.local.settings;
        let Phase::Up(link) = &mut self.phase else { return Err(SendRefused::NotUp) };
        if message.len() > self.peer_limit {
            return Err(SendRefused::TooLarge { limit: self.peer_limit });
        }
        let limit = match lane {
            Lane::Control => settings.control_queue,
            Lane::Bulk => settings.bulk_queue,
        };
        if link.waiting(lane) >= limit {
            self.owes_room |= lane == Lane::Bulk;
            return Err(SendRefused::Full);
        }
        link.outgoing.push(lane, message);
        self.owes_room |= link.waiting(Lane::Bulk) > settings.bulk_queue / 2;
        Ok(())
    }

    /// Seals and sends what waits, as far as the window allows.
    pub fn flush(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        while self.in_flight < self.local.settings.send_window || planted!("send_window_ignored") {
            let Phase::Up(link) = &mut self.phase else { return };
            let Some(record) = link.next_record(now, &self.local.settings) else { break };
            self.emit(now, record, out);
        }
        let Phase::Up(link) = &self.phase else { return };
        if self.owes_room && link.waiting(Lane::Bulk) <= self.local.settings.bulk_queue / 2 {
            self.owes_room = false;
            out.push(Effect::Room);
        }
    }

    fn emit(&mut self, now: Instant, bytes: Bytes, out: &mut dyn Sink<Effect>) {
        if self.in_flight == 0 {
            self.taken = now;
        }
        self.in_flight += bytes.len();
        out.push(Effect::Send(bytes));
    }

    /// The connection has taken `count` more bytes.
    pub fn handle_written(&mut self, now: Instant, count: usize, out: &mut dyn Sink<Effect>) {
        self.in_flight = self.in_flight.saturating_sub(count);
        self.taken = now;
        self.flush(now, out);
    }

    /// Bytes have arrived, cut anyhow.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8], out: &mut dyn Sink<Effect>) {
        match self.read(now, bytes, out) {
            Ok(()) => self.flush(now, out),
            Err(reason) => self.end(now, reason, out),
        }
    }

    /// The connection has ended: at its end (`None`) or by a failure.
    pub fn handle_end(&mut self, now: Instant, error: Option<String>, out: &mut dyn Sink<Effect>) {
        let reason = match (error, &self.phase) {
            (Some(error), _) => CloseReason::Lost { error },
            (None, Phase::Up(_)) => CloseReason::Truncated,
            (None, _) => CloseReason::HandshakeAborted,
        };
        self.end(now, reason, out);
    }

    /// Ends the link from this side. What waits is not sent; the other side is told why if keys are agreed.
    pub fn close(&mut self, now: Instant, farewell: Farewell, out: &mut dyn Sink<Effect>) {
        self.end(now, CloseReason::Local(farewell), out);
    }

    /// Ends the link for a reason of the layer above.
    pub(super) fn end(&mut self, now: Instant, reason: CloseReason, out: &mut dyn Sink<Effect>) {
        let phase = core::mem::replace(&mut self.phase, Phase::Closed);
        if matches!(phase, Phase::Closed) {
            return;
        }
        self.partial = Vec::new();
        if let Some(bytes) = phase.last_words(&reason) {
            self.emit(now, bytes, out);
        }
        out.push(Effect::Closed(reason));
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let settings = &self.local.settings;
        match &self.phase {
            Phase::Closed => None,
            Phase::Up(_) => {
                let idle = self.heard + settings.idle_timeout;
                let write = (self.in_flight > 0).then(|| self.taken + settings.write_timeout);
                // With a full window a ping could not leave; the write timeout watches then.
                let ping = (self.in_flight < settings.send_window).then_some(self.next_ping);
                [Some(idle), write, ping].into_iter().flatten().min()
            }
            _ => Some(self.deadline),
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        let settings = &self.local.settings;
        match &mut self.phase {
            Phase::Closed => {}
            Phase::Up(link) => {
                if now >= self.heard + settings.idle_timeout {
                    self.end(now, CloseReason::IdleTimeout, out);
                } else if self.in_flight > 0 && now >= self.taken + settings.write_timeout {
                    covered!("peer_takes_nothing_for_too_long");
                    self.end(now, CloseReason::WriteTimeout, out);
                } else if now >= self.next_ping && self.in_flight < settings.send_window {
                    self.pings += 1;
                    link.ping = Some(self.pings);
                    self.pinged = Some((self.pings, now));
                    self.next_ping = now + self.ping_every;
                    self.flush(now, out);
                }
            }
            _ if now >= self.deadline => {
                covered!("handshake_too_slow");
                self.end(now, CloseReason::HandshakeTimeout, out);
            }
            _ => {}
        }
    }

    /// Cuts the input into units and reads each.
    fn read(&mut self, now: Instant, mut input: &[u8], out: &mut dyn Sink<Effect>) -> Result<(), CloseReason> {
        while !input.is_empty() && !self.is_closed() {
            if self.partial.is_empty()
                && let Some(len) = self.unit_len(input)?
                && let Some((unit, rest)) = input.split_at_checked(len)
            {
                input = rest;
                self.handle_unit(now, unit, out)?;
                continue;
            }
            let want = self.unit_len(&self.partial)?.unwrap_or(HEAD_LEN);
            let missing = want.saturating_sub(self.partial.len());
            let (head, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
            self.partial.extend_from_slice(head);
            input = rest;
            if self.unit_len(&self.partial)? == Some(self.partial.len()) {
                let mut unit = core::mem::take(&mut self.partial);
                self.handle_unit(now, &unit, out)?;
                unit.clear();
                self.partial = unit;
            }
        }
        Ok(())
    }

    /// The length of the unit that begins with `head`, if `head` tells. Refuses what can never become a good unit, before
    /// any of it is kept.
    fn unit_len(&self, head: &[u8]) -> Result<Option<usize>, CloseReason> {
        match &self.phase {
            Phase::Preamble(_) => {
                let known = head.iter().zip(MAGIC).all(|(got, magic)| *got == magic);
                return if known { Ok(Some(PREAMBLE_LEN)) } else { Err(CloseReason::NotSoftadastra) };
            }
            Phase::Judging(_) => return Err(CloseReason::OutOfTurn),
            _ => {}
        }
        let [low, high, ..] = head else { return Ok(None) };
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        match &self.phase {
            Phase::Up(_) if len < MIN_SEALED => return Err(CloseReason::BadRecord { what: "length" }),
            Phase::Up(_) => {}
            _ if self.handshake_input + HEAD_LEN + len > MAX_HANDSHAKE_INPUT => {
                return Err(CloseReason::HandshakeTooLong);
            }
            _ => {}
        }
        Ok(Some(HEAD_LEN + len))
    }

    fn handle_unit(&mut self, now: Instant, unit: &[u8], out: &mut dyn Sink<Effect>) -> Result<(), CloseReason> {
        if matches!(self.phase, Phase::Up(_)) {
            let sealed = unit.get(HEAD_LEN..).unwrap_or_default();
            return self.handle_record(now, sealed, out);
        }
        self.handshake_input += unit.len();
        self.handle_handshake(now, unit, out)
    }

    /// Reads a record of a link that stands, or the one with which it comes to stand.
    fn handle_record(&mut self, now: Instant, sealed: &[u8], out: &mut dyn Sink<Effect>) -> Result<(), CloseReason> {
        let (Phase::Up(link) | Phase::Welcome(link, _)) = &mut self.phase else { return Err(CloseReason::OutOfTurn) };
        let parts = link.open(sealed)?;
        self.heard = now;
        let mut reader = Reader::new(&parts);
        while let Some(part) = next_part(&mut reader)? {
            self.handle_part(now, part, out)?;
        }
        if let Phase::Up(link) = &self.phase {
            link.check_key_use()
        } else {
            Err(CloseReason::BadRecord { what: "no welcome" })
        }
    }

    fn handle_part(&mut self, now: Instant, part: Part, out: &mut dyn Sink<Effect>) -> Result<(), CloseReason> {
        let Phase::Up(link) = &mut self.phase else { return self.handle_welcome(now, &part, out) };
        match part {
            Part::Piece { lane, last, body } => {
                if let Some(bytes) = link.incoming.take(lane, last, body, self.local.settings.max_message)? {
                    out.push(Effect::Message { lane, bytes });
                }
            }
            // One answer is owed at most: a flood of pings costs its sender more than this side.
            Part::Ping(token) => link.pong = Some(token),
            Part::Pong(token) => {
                if let Some((_, sent)) = self.pinged.take_if(|(expected, _)| *expected == token) {
                    self.round_trip = Some(now.since(sent));
                }
            }
            Part::Rekey => link.rekey_opening(now),
            Part::Farewell(farewell) => return Err(CloseReason::Peer(farewell)),
            Part::Welcome(_) => return Err(CloseReason::BadRecord { what: "second welcome" }),
        }
        Ok(())
    }
}

/// Reads any bytes as the content of a sealed record, for fuzzing.
pub(super) fn fuzz_content(bytes: &[u8]) {
    for packing in [false, true] {
        let Ok(parts) = record::unwrap(bytes.to_vec(), packing) else { continue };
        assert!(parts.len() <= record::MAX_PARTS.max(bytes.len()));
        let mut reader = Reader::new(&parts);
        while let Ok(Some(_)) = next_part(&mut reader) {}
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({:?}, {})", self.role, self.phase.name())
    }
}
