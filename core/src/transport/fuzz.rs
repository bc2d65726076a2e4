//! Bodies of fuzz targets. They are ordinary code so that their corpus is replayed by ordinary tests.
//!
//! Each takes any bytes and panics only when the transport breaks a promise.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::hello::{Hello, PREAMBLE_LEN, Preamble};
use super::identity::{Identity, NetworkSecret};
use super::session::{self, Effect, Lane, Local, Role, Session, Settings};
use super::ticket::Ticket;
use crate::dice::Seed;
use crate::ids::NodeId;
use crate::time::Instant;

fn local(number: u64, secret: bool) -> Arc<Local> {
    let seed = Seed::from_number(number);
    Arc::new(Local {
        identity: Identity::generate(&mut seed.secrets("identity")),
        node: NodeId::new("fuzz").expect("a good name"),
        secret: secret.then(|| NetworkSecret::from_bytes([7; 32])),
        boot: number,
        settings: Settings { max_message: 1 << 20, rekey_records: 5, ..Settings::default() },
    })
}

/// Any text as a ticket: what is read is what was written.
pub fn ticket(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(ticket) = text.parse::<Ticket>() {
        assert_eq!(ticket.reveal().parse::<Ticket>().as_ref(), Ok(&ticket));
    }
}

/// Any bytes as a preamble, as a hello, and as the content of a record that a member sealed.
pub fn decoded(bytes: &[u8]) {
    if let Some(preamble) = bytes.first_chunk::<PREAMBLE_LEN>() {
        for role in [Role::Initiator, Role::Responder] {
            drop(Preamble::decode(*preamble, role));
        }
    }
    if let Ok(hello) = Hello::decode(&Bytes::copy_from_slice(bytes)) {
        let again = Hello::decode(&hello.encode().into());
        assert_eq!(again.as_ref(), Ok(&hello));
    }
    session::fuzz_content(bytes);
}

/// Any bytes from a stranger, cut anyhow, to both sides of a handshake: nobody is ever taken for a peer.
pub fn handshake(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    for secret in [false, true] {
        let now = Instant(1);
        let mut effects = Vec::new();
        let dialler = Session::dial(&local(1, secret), Seed::from_number(3).secrets("fuzz"), now, &mut effects);
        let answerer = Session::answer(&local(2, secret), Seed::from_number(4).secrets("fuzz"), now);
        for mut session in [dialler, answerer] {
            for piece in bytes.chunks(usize::from(*cut) + 1) {
                session.handle_bytes(now, piece, &mut effects);
            }
        }
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Introduced(_) | Effect::Up(_))));
    }
}

struct End {
    session: Session,
    wire: VecDeque<u8>,
    /// What was sent on each lane.
    sent: [Vec<Bytes>; 2],
    /// How much of what the other side sent has arrived, on each lane.
    got: [usize; 2],
    closed: bool,
}

const fn index(lane: Lane) -> usize {
    match lane {
        Lane::Control => 0,
        Lane::Bulk => 1,
    }
}

fn carry_out(now: Instant, end: &mut End, sent: &[Vec<Bytes>; 2], effects: Vec<Effect>) {
    let mut effects = VecDeque::from(effects);
    while let Some(effect) = effects.pop_front() {
        assert!(!end.closed, "an effect after the end");
        let mut more = Vec::new();
        match effect {
            Effect::Send(bytes) => {
                end.wire.extend(&bytes);
                end.session.handle_written(now, bytes.len(), &mut more);
            }
            Effect::Introduced(_) => end.session.admit(now, 1, &mut more),
            Effect::Message { lane, bytes } => {
                let (Some(sent), Some(got)) = (sent.get(index(lane)), end.got.get_mut(index(lane))) else { return };
                assert_eq!(sent.get(*got), Some(&bytes), "not the next message that was sent");
                *got += 1;
            }
            Effect::Closed(_) => end.closed = true,
            Effect::Up(_) | Effect::Room => {}
        }
        effects.extend(more);
    }
}

/// A whole link under any script of deliveries, changes, cuts, messages and time: whatever the network does, each side
/// hears a beginning of what the other said, in order, and the end comes once.
pub fn script(script: &[u8]) {
    play(script);
}

/// Gives how many messages were sent and how many arrived.
fn play(script: &[u8]) -> (usize, usize) {
    let mut now = Instant(1);
    let mut effects = Vec::new();
    let dialler = Session::dial(&local(1, true), Seed::from_number(3).secrets("fuzz"), now, &mut effects);
    let answerer = Session::answer(&local(2, true), Seed::from_number(4).secrets("fuzz"), now);
    let end = |session| End { session, wire: VecDeque::new(), sent: Default::default(), got: [0; 2], closed: false };
    let (mut here, mut there) = (end(dialler), end(answerer));
    carry_out(now, &mut here, &there.sent, effects);
    for (what, how) in script.chunks_exact(2).filter_map(|step| Some((*step.first()?, *step.get(1)?))) {
        // The sides take turns to be "here".
        core::mem::swap(&mut here, &mut there);
        let amount = usize::from(how) * 97;
        let mut effects = Vec::new();
        match what % 8 {
            0..=2 => {
                let count = if what % 8 == 0 { amount } else { usize::MAX }.min(there.wire.len());
                let bytes: Vec<u8> = there.wire.drain(..count).collect();
                here.session.handle_bytes(now, &bytes, &mut effects);
            }
            3 => {
                if let Some(byte) = there.wire.get_mut(amount) {
                    *byte ^= what | 1;
                }
            }
            4 => {
                let lane = if how % 2 == 0 { Lane::Control } else { Lane::Bulk };
                let message = Bytes::from(vec![how; amount * 7]);
                if here.session.send(lane, message.clone()).is_ok()
                    && let Some(sent) = here.sent.get_mut(index(lane))
                {
                    sent.push(message);
                }
                here.session.flush(now, &mut effects);
            }
            5 => {
                now = now + Duration::from_millis(amount as u64);
                here.session.handle_timeout(now, &mut effects);
            }
            6 => {
                if let Some(at) = here.session.poll_timeout() {
                    now = now.max(at);
                    here.session.handle_timeout(now, &mut effects);
                    assert!(here.session.poll_timeout().is_none_or(|next| next > now), "time stands still");
                }
            }
            _ if how > 250 => here.session.handle_end(now, None, &mut effects),
            _ => {
                let count = amount.min(there.wire.len());
                there.wire.drain(..count / 50);
            }
        }
        carry_out(now, &mut here, &there.sent, effects);
    }
    let sent = here.sent.iter().chain(&there.sent).map(Vec::len).sum();
    (sent, here.got.iter().chain(&there.got).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_quiet_script_delivers_everything() {
        let mut quiet = vec![1, 0, 1, 0, 1, 0, 1, 0];
        for size in 0..60 {
            quiet.extend([4, size, 4, size, 1, 0, 1, 0, 6, 0, 6, 0, 1, 0, 1, 0]);
        }
        assert_eq!(play(&quiet), (120, 120));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_script_keeps_the_promises(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            script(&[&[1, 0, 1, 0, 1, 0, 1, 0][..], &bytes].concat());
            script(&bytes);
        }

        #[test]
        fn any_bytes_keep_the_promises(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            handshake(&bytes);
            decoded(&bytes);
            ticket(&bytes);
        }
    }
}
