//! Messages on their way: two queues out, two half-built messages in. Control messages overtake bulk ones at every
//! record, and bulk always gets a share of each record, so that neither starves.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use super::super::reason::CloseReason;
use super::record::{Part, put_piece};

/// Which of the two ways a message takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Small and urgent: overtakes bulk.
    Control,
    /// Everything else.
    Bulk,
}

/// A message is not cut for less than this.
const MIN_PIECE: usize = 64;

#[derive(Default)]
struct Queue {
    messages: VecDeque<Bytes>,
    /// Bytes of the first message that have been sent.
    sent: usize,
    /// Bytes waiting, over all messages.
    waiting: usize,
}

impl Queue {
    fn push(&mut self, message: Bytes) {
        self.waiting += message.len();
        self.messages.push_back(message);
    }

    /// Appends pieces until `parts` has `room` bytes at most.
    fn fill(&mut self, lane: Lane, room: usize, parts: &mut Vec<u8>) {
        while let Some(message) = self.messages.front() {
            let rest = message.get(self.sent..).unwrap_or_default();
            let room = room.saturating_sub(parts.len());
            let fits = room.saturating_sub(Part::overhead(room));
            if room < 2 || (rest.len() > fits && fits < MIN_PIECE) {
                return;
            }
            let last = rest.len() <= fits;
            let piece = rest.get(..fits).unwrap_or(rest);
            put_piece(parts, lane, last, piece);
            self.waiting -= piece.len();
            self.sent += piece.len();
            if last {
                self.messages.pop_front();
                self.sent = 0;
            }
        }
    }
}

/// The messages that wait to be sent.
#[derive(Default)]
pub(super) struct Outgoing {
    control: Queue,
    bulk: Queue,
}

impl Outgoing {
    pub(super) fn push(&mut self, lane: Lane, message: Bytes) {
        self.queue_mut(lane).push(message);
    }

    const fn queue_mut(&mut self, lane: Lane) -> &mut Queue {
        match lane {
            Lane::Control => &mut self.control,
            Lane::Bulk => &mut self.bulk,
        }
    }

    const fn queue(&self, lane: Lane) -> &Queue {
        match lane {
            Lane::Control => &self.control,
            Lane::Bulk => &self.bulk,
        }
    }

    /// Bytes that wait.
    pub(super) const fn waiting(&self, lane: Lane) -> usize {
        self.queue(lane).waiting
    }

    /// Appends pieces until `parts` has `room` bytes at most: control first, but a quarter is kept for bulk that waits.
    pub(super) fn fill(&mut self, room: usize, parts: &mut Vec<u8>) {
        let control = if self.bulk.messages.is_empty() { room } else { room - room / 4 };
        self.control.fill(Lane::Control, control, parts);
        self.bulk.fill(Lane::Bulk, room, parts);
    }
}

/// The messages that are being put together again.
#[derive(Default)]
pub(super) struct Incoming {
    control: Vec<u8>,
    bulk: Vec<u8>,
}

impl Incoming {
    /// Takes a piece; gives the message that it completes. Checks the length before it allocates.
    pub(super) fn take(
        &mut self,
        lane: Lane,
        last: bool,
        piece: Bytes,
        limit: usize,
    ) -> Result<Option<Bytes>, CloseReason> {
        let held = match lane {
            Lane::Control => &mut self.control,
            Lane::Bulk => &mut self.bulk,
        };
        if piece.len() > limit.saturating_sub(held.len()) {
            return Err(CloseReason::MessageTooLarge);
        }
        if last && held.is_empty() {
            return Ok(Some(piece));
        }
        held.extend_from_slice(&piece);
        Ok(last.then(|| core::mem::take(held).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Reader;
    use proptest::prelude::*;

    fn pieces(parts: Vec<u8>) -> Vec<(Lane, bool, Bytes)> {
        let parts = Bytes::from(parts);
        let mut reader = Reader::new(&parts);
        core::iter::from_fn(|| super::super::record::next_part(&mut reader).unwrap())
            .map(|part| match part {
                Part::Piece { lane, last, body } => (lane, last, body),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn control_goes_first_and_bulk_keeps_a_quarter() {
        let mut out = Outgoing::default();
        out.push(Lane::Bulk, Bytes::from(alloc::vec![1; 10_000]));
        out.push(Lane::Control, Bytes::from(alloc::vec![2; 10_000]));
        let mut parts = Vec::new();
        out.fill(4000, &mut parts);
        assert!(parts.len() <= 4000 && parts.len() > 3990);
        let pieces = pieces(parts);
        assert_eq!(pieces.iter().map(|(lane, ..)| *lane).collect::<Vec<_>>(), [Lane::Control, Lane::Bulk]);
        assert!(pieces[0].2.len() > 2900 && pieces[1].2.len() > 900);
        assert_eq!(out.waiting(Lane::Control), 10_000 - pieces[0].2.len());
    }

    #[test]
    fn a_message_goes_whole_where_it_fits_and_else_in_pieces_that_are_worth_it() {
        for (room, len) in (0..200).flat_map(|room| (0..200).map(move |len| (room, len))) {
            let mut queue = Queue::default();
            queue.push(Bytes::from(alloc::vec![7; len]));
            let mut parts = Vec::new();
            queue.fill(Lane::Bulk, room, &mut parts);
            assert!(parts.len() <= room, "{len} bytes into {room}");
            let most = room.saturating_sub(Part::overhead(room));
            let expected = match (room >= 2 && len <= most, most >= MIN_PIECE) {
                (true, _) => (0, 0),
                (false, true) => (1, len - most),
                (false, false) => (1, len),
            };
            assert_eq!((queue.messages.len(), queue.waiting), expected, "{len} bytes into {room}");
        }
    }

    #[test]
    fn a_message_beyond_the_limit_is_refused_at_the_piece_that_passes_it() {
        let mut incoming = Incoming::default();
        let piece = Bytes::from_static(&[0; 60]);
        assert_eq!(incoming.take(Lane::Bulk, false, piece.clone(), 100), Ok(None));
        assert_eq!(incoming.take(Lane::Control, true, piece.clone(), 100), Ok(Some(piece.clone())));
        assert_eq!(incoming.take(Lane::Bulk, false, piece, 100), Err(CloseReason::MessageTooLarge));
    }

    proptest! {
        #[test]
        fn messages_arrive_whole_and_in_order_on_each_lane(
            sizes in proptest::collection::vec((any::<bool>(), 0_usize..3000), 0..20),
            room in 70_usize..2000,
        ) {
            let mut out = Outgoing::default();
            let mut sent = [Vec::new(), Vec::new()];
            for (index, (bulk, size)) in sizes.into_iter().enumerate() {
                let message = Bytes::from(alloc::vec![index as u8; size]);
                out.push(if bulk { Lane::Bulk } else { Lane::Control }, message.clone());
                sent[usize::from(bulk)].push(message);
            }
            let mut incoming = Incoming::default();
            let mut got = [Vec::new(), Vec::new()];
            while out.waiting(Lane::Control) + out.waiting(Lane::Bulk) > 0 {
                let mut parts = Vec::new();
                out.fill(room, &mut parts);
                prop_assert!(!parts.is_empty() && parts.len() <= room);
                for (lane, last, body) in pieces(parts) {
                    if let Some(message) = incoming.take(lane, last, body, 3000).unwrap() {
                        got[usize::from(lane == Lane::Bulk)].push(message);
                    }
                }
            }
            prop_assert_eq!(got, sent);
            prop_assert_eq!((out.waiting(Lane::Control), out.waiting(Lane::Bulk)), (0, 0));
        }
    }
}
