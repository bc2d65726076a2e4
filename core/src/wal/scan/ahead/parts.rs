//! Parts of a snapshot worked out before they are taken in.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::any::Any;

use bytes::Bytes;

use super::{Crew, Lent, Outcome, PIECE, Work};
use crate::wal::snapshot::{Decoder, RawPart};

/// What a replay has made of a block ahead of time. Only the replay knows its type.
pub type Foreseen = Box<dyn Any + Send>;

/// Makes of a block whatever needs nothing but its entries, of which there should be as many. `None` where they are bad.
pub type BlockMaker = fn(u32, &Bytes) -> Option<Foreseen>;

/// The bytes of what may be some parts, one behind the other.
#[derive(Debug)]
pub(super) struct Stretch {
    bytes: Bytes,
    /// Where they begin in the file.
    offset: u64,
    life: u32,
    make: BlockMaker,
}

/// A part whose checksum held.
#[derive(Debug)]
pub(in crate::wal::scan) struct Checked {
    offset: u64,
    pub(in crate::wal::scan) raw: RawPart,
    /// What was made of it, if it is a block.
    pub(in crate::wal::scan) made: Option<Foreseen>,
}

impl Stretch {
    /// How long it is, and where it begins.
    #[cfg(test)]
    pub(super) fn place(&self) -> (usize, usize) {
        (self.bytes.len(), self.offset as usize)
    }

    pub(super) fn work(self) -> VecDeque<Checked> {
        let mut parts = VecDeque::new();
        let mut at = 0;
        while let Ok(Some(raw)) = RawPart::read(&self.bytes, at, self.life) {
            let made = raw.block().and_then(|(items, body)| (self.make)(items, body));
            let offset = self.offset + at as u64;
            at += raw.encoded_len();
            parts.push_back(Checked { offset, raw, made });
        }
        parts
    }
}

/// The bytes of a snapshot that are at hand, some of which are with a crew.
#[derive(Debug)]
pub(in crate::wal::scan) struct PartsAhead<'a> {
    lent: Lent<'a>,
    /// `None` where nothing is to be worked out ahead.
    make: Option<BlockMaker>,
    /// Where the next piece begins in the file.
    next: u64,
    checked: VecDeque<Checked>,
}

impl<'a> PartsAhead<'a> {
    pub(in crate::wal::scan) fn new(crew: &'a mut Option<Box<dyn Crew>>, make: Option<BlockMaker>) -> Self {
        Self { lent: Lent::to(crew), make, next: 0, checked: VecDeque::new() }
    }

    /// The part that comes next, if it was worked out.
    pub(in crate::wal::scan) fn take(&mut self, decoder: &Decoder) -> Option<Checked> {
        let (make, life, at) = (self.make?, decoder.life()?, decoder.offset());
        loop {
            self.begin(decoder, life, make);
            while self.checked.pop_front_if(|part| part.offset < at).is_some() {}
            if let Some(first) = self.checked.front() {
                return if first.offset == at { self.checked.pop_front() } else { None };
            }
            if let Outcome::Parts(parts) = self.lent.end()? {
                self.checked.extend(parts);
            }
        }
    }

    fn begin(&mut self, decoder: &Decoder, life: u32, make: BlockMaker) {
        self.next = self.next.max(decoder.offset());
        while self.lent.has_room()
            && let Some(bytes) = decoder.peek(self.next, PIECE)
        {
            let offset = self.next;
            self.next += bytes.len() as u64;
            self.lent.begin(Work::Parts(Stretch { bytes, offset, life, make }));
        }
    }
}
