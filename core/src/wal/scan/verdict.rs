//! Torn or damaged?
//!
//! A power failure leaves any part of what was not synced, so the end of a log may be garbage that nobody was
//! promised: it is cut and forgotten. Damage to what *was* promised looks the same at the spot itself. The difference
//! stands elsewhere: every frame states how far the log was durable when it was written. If a frame behind the bad
//! spot, or the snapshot, states that the lost record was durable, then it was, and the spot is damage.

use alloc::format;
use alloc::string::String;

use bytes::Bytes;

use crate::codec::Fault;
use crate::ids::Lsn;
use crate::wal::format::{FRAME_ALIGN, FRAME_HEADER_LEN, FRAME_MAGIC, FRAMES_END, Frame, FrameSalt, decode_frame};

/// What a spot is where a frame should stand and does not.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nobody was promised what stood here or was to stand here.
    Torn,
    /// Somebody was.
    Damaged {
        /// How that is known.
        proof: String,
        /// The next frame worth reading.
        resume: Option<(usize, Lsn)>,
    },
    /// A newer version wrote what follows.
    TooNew,
}

/// Judges the bad spot at `at` of a segment, where the frame that begins with record `lost` should stand.
///
/// `follower` says that the segment is not the last one; `promised` is the greatest LSN that other files state to
/// have been durable.
pub(super) fn judge(bytes: &Bytes, at: usize, salt: FrameSalt, lost: Lsn, follower: bool, promised: Lsn) -> Verdict {
    let mut resume = None;
    let mut proof = None;
    for later in (Later { bytes, at, salt }) {
        let Ok((offset, frame)) = later else { return Verdict::TooNew };
        // Bytes of a stored value may be a copy of this very log. Whatever was copied was written before the value
        // was: it holds no record from the lost one on, and says nothing about it.
        if frame.first_lsn < lost || (frame.first_lsn == lost && frame.count == 0) {
            covered!("log_copied_into_a_value");
            continue;
        }
        resume = resume.or(Some((offset, frame.first_lsn)));
        if frame.first_lsn == lost {
            // Only frames without records can be missing here, and nothing is written behind one before it is synced.
            proof = Some(format!("the frame at offset {offset} was written after it was durable"));
        } else if frame.durable >= lost {
            proof = Some(format!("the frame at offset {offset} says that LSN {} was durable", frame.durable));
        }
        if proof.is_some() {
            break;
        }
    }
    if follower {
        covered!("damage_before_a_later_segment");
        proof = Some(String::from("later segments follow"));
    } else if promised >= lost {
        covered!("damage_proven_by_the_snapshot");
        proof = Some(format!("the snapshot says that LSN {promised} was durable"));
    }
    if planted!("damage_taken_for_torn") {
        proof = None;
    }
    proof.map_or(Verdict::Torn, |proof| Verdict::Damaged { proof, resume })
}

/// Every whole frame of this life of the segment from an offset on; an error where a newer version wrote one.
struct Later<'a> {
    bytes: &'a Bytes,
    at: usize,
    salt: FrameSalt,
}

impl Iterator for Later<'_> {
    type Item = Result<(usize, Frame), ()>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.bytes.get(self.at..)?;
            let steps = rest.chunks_exact(FRAME_ALIGN).position(|step| step.starts_with(&FRAME_MAGIC))?;
            let offset = self.at + steps * FRAME_ALIGN;
            self.at = offset + FRAME_ALIGN;
            match decode_frame(self.bytes, offset, self.salt) {
                Ok(frame) => {
                    self.at = offset + frame.encoded_len;
                    return Some(Ok((offset, frame)));
                }
                Err(error) if error.fault == Fault::FromTheFuture => return Some(Err(())),
                Err(_) => {}
            }
        }
    }
}

/// How many bytes there are up to the last one that is not zero.
pub(super) fn written_len(bytes: &[u8]) -> usize {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut len = bytes.len();
    // Comparing whole blocks is many times faster than looking at single bytes, and prepared segments are long.
    for block in bytes.rchunks(ZEROS.len()) {
        if ZEROS.starts_with(block) {
            len -= block.len();
        } else {
            let last = block.iter().rposition(|&byte| byte != 0).map_or(0, |index| index + 1);
            return len - block.len() + last;
        }
    }
    0
}

/// How many bytes of a recycled segment there are up to the last piece of a frame of this life, `at` or behind; `at` if
/// its frames end there. Every frame is written with zeros behind it, so that other bytes there say that one is broken.
pub(super) fn own_len(bytes: &Bytes, at: usize, salt: FrameSalt) -> usize {
    const LIFE: usize = FRAME_HEADER_LEN - 8;
    let rest = bytes.get(at..).unwrap_or_default();
    let life = salt.0.to_le_bytes();
    let own = |piece: &[u8]| piece.starts_with(&FRAME_MAGIC) && piece.get(LIFE..LIFE + 4) == Some(life.as_slice());
    let last = (0..rest.len() / FRAME_ALIGN).rev().map(|step| step * FRAME_ALIGN);
    let last = last.into_iter().find(|&offset| rest.get(offset..).is_some_and(own));
    match last {
        Some(offset) => {
            let len = decode_frame(bytes, at + offset, salt).map_or(FRAME_HEADER_LEN, |frame| frame.encoded_len);
            at + (offset + len).min(rest.len())
        }
        None if rest.iter().take(FRAMES_END).all(|&byte| byte == 0) => at,
        None => at + FRAMES_END.min(rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::written_len;
    use alloc::vec;

    #[test]
    fn the_written_length_ends_behind_the_last_byte_that_is_not_zero() {
        assert_eq!((written_len(&[]), written_len(&[0; 10_000])), (0, 0));
        for at in [0, 1, 4095, 4096, 4097, 9999] {
            let mut bytes = vec![0; 10_000];
            bytes[at] = 1;
            assert_eq!(written_len(&bytes), at + 1);
        }
    }
}
