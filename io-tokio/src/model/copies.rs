//! Copies of many short things with few allocations.

use bytes::{Bytes, BytesMut};

/// Bytes of the first piece; each further one has twice as many as the one before, up to [`GREATEST`].
const FIRST: usize = 512;

/// Bytes of a piece at most. Whoever keeps one copy keeps its piece.
const GREATEST: usize = 4096;

/// What is longer has memory of its own: it would leave much of a piece empty, and is worth an allocation.
const LONG: usize = GREATEST / 4;

/// Copies that stand one behind the other in pieces of memory that they share.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    room: BytesMut,
    /// Bytes of the piece that `room` is the rest of.
    piece: usize,
}

impl Copies {
    /// Whether it is short enough to share memory with others.
    pub(crate) const fn takes(bytes: &[u8]) -> bool {
        bytes.len() <= LONG
    }

    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if !Self::takes(bytes) {
            return Bytes::copy_from_slice(bytes);
        }
        if self.room.capacity() < bytes.len() {
            self.piece = (self.piece * 2).clamp(FIRST.max(bytes.len()), GREATEST);
            self.room = BytesMut::with_capacity(self.piece);
        }
        self.room.extend_from_slice(bytes);
        self.room.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_equal_to_what_was_copied_whatever_its_length() {
        let mut copies = Copies::default();
        let lens = [0, 1, 100, FIRST, FIRST + 1, LONG, LONG + 1, GREATEST, 3 * GREATEST, 0, 7];
        let originals: Vec<Vec<u8>> =
            lens.iter().cycle().take(20 * lens.len()).enumerate().map(|(at, len)| vec![at as u8; *len]).collect();
        let copied: Vec<Bytes> = originals.iter().map(|original| copies.copy(original)).collect();
        assert_eq!(copied, originals);
    }

    #[test]
    fn short_copies_share_pieces_of_bounded_size() {
        let mut copies = Copies::default();
        let copied: Vec<Bytes> = (0..1000).map(|_| copies.copy(&[7; 100])).collect();
        let mut pieces = vec![copied.first().map_or(0, Bytes::len)];
        for (before, after) in copied.iter().zip(copied.iter().skip(1)) {
            if before.as_ptr_range().end == after.as_ptr() {
                *pieces.last_mut().expect("a first piece") += after.len();
            } else {
                pieces.push(after.len());
            }
        }
        assert!(pieces.len() < 40, "{} pieces", pieces.len());
        assert!(pieces.iter().all(|piece| *piece <= 2 * GREATEST), "{pieces:?}");
    }
}
