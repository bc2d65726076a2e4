//! Bytes of a snapshot: a header, then parts: the head, the blocks, the footer. `docs/wal-format.md` has the pictures.
//!
//! What head and blocks contain is decided by whoever writes them; here they are bytes. Every part carries a checksum
//! and the mark of its snapshot and its place, so that a part of another snapshot, or one out of order, never passes.

use alloc::vec::Vec;

use bytes::Bytes;

use super::format::FORMAT_VERSION;
use crate::codec::{DecodeError, Fault, Reader};
use crate::ids::{LogId, Lsn};
use crate::limits::MAX_FRAME_BODY;

/// First bytes of every snapshot. The line ending betrays a transfer in text mode.
pub const SNAPSHOT_MAGIC: [u8; 8] = *b"SADSNP\r\n";
/// Length of a snapshot header; the first part follows at once.
pub const SNAPSHOT_HEADER_LEN: usize = 48;
/// First bytes of every part.
pub const PART_MAGIC: [u8; 4] = *b"SPRT";
/// Length of a part's header.
pub const PART_HEADER_LEN: usize = 32;
/// Parts begin at multiples of this.
pub const PART_ALIGN: usize = 8;
/// The greatest body of a part. One entry of the greatest size always fits.
pub const MAX_PART_BODY: usize = MAX_FRAME_BODY;

const KIND_HEAD: u8 = 0;
const KIND_BLOCK: u8 = 1;
const KIND_FOOTER: u8 = 2;

/// What every snapshot begins with: its header and the head, which the writer of the log composes.
///
/// `at` is the LSN from which the log has to be replayed on top. `head` is at most [`MAX_PART_BODY`] bytes.
#[must_use]
pub fn encode_header(log: LogId, at: Lsn, head: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(SNAPSHOT_HEADER_LEN + PART_HEADER_LEN + head.len() + PART_ALIGN);
    out.extend_from_slice(&SNAPSHOT_MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&log.0);
    out.extend_from_slice(&at.0.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    put_part(&mut out, life(log, at), KIND_HEAD, 0, 0, head);
    out
}

/// One block of `items` entries. `index` counts blocks from 0; `body` is at most [`MAX_PART_BODY`] bytes.
#[must_use]
pub fn encode_block(log: LogId, at: Lsn, index: u64, items: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(PART_HEADER_LEN + body.len() + PART_ALIGN);
    put_part(&mut out, life(log, at), KIND_BLOCK, index, items, body);
    out
}

/// What every snapshot ends with: how many blocks and entries it has, and the greatest LSN whose effect is in it.
#[must_use]
pub fn encode_footer(log: LogId, at: Lsn, blocks: u64, items: u64, reaches: Lsn) -> Vec<u8> {
    let mut body = Vec::with_capacity(24);
    body.extend_from_slice(&blocks.to_le_bytes());
    body.extend_from_slice(&items.to_le_bytes());
    body.extend_from_slice(&reaches.0.to_le_bytes());
    let mut out = Vec::with_capacity(PART_HEADER_LEN + body.len());
    put_part(&mut out, life(log, at), KIND_FOOTER, blocks, 0, &body);
    out
}

/// What binds a part to its snapshot.
fn life(log: LogId, at: Lsn) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&log.0);
    hasher.update(&at.0.to_le_bytes());
    hasher.finalize()
}

fn put_part(out: &mut Vec<u8>, life: u32, kind: u8, index: u64, items: u32, body: &[u8]) {
    debug_assert!(body.len() <= MAX_PART_BODY, "bounded by the caller");
    let start = out.len();
    out.extend_from_slice(&PART_MAGIC);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&index.to_le_bytes());
    out.extend_from_slice(&items.to_le_bytes());
    out.extend_from_slice(&[kind, 0, 0, 0]);
    out.extend_from_slice(&life.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new_with_initial(life);
    hasher.update(out.get(start..).unwrap_or_default());
    let padding = body.len().next_multiple_of(PART_ALIGN) - body.len();
    let padding = [0; PART_ALIGN].get(..padding).unwrap_or_default().to_vec();
    hasher.update(body);
    hasher.update(&padding);
    out.extend_from_slice(&hasher.finalize().to_le_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&padding);
}

/// One part, in the order of the file: the head, the blocks, the footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// What the writer put at the beginning.
    Head {
        /// The log the snapshot belongs to.
        log: LogId,
        /// The LSN from which the log has to be replayed on top.
        at: Lsn,
        /// The writer's bytes.
        head: Bytes,
    },
    /// Entries.
    Block {
        /// How many.
        items: u32,
        /// The writer's bytes.
        body: Bytes,
    },
    /// The end; counts were checked.
    Footer {
        /// How many blocks came.
        blocks: u64,
        /// How many entries they hold.
        items: u64,
        /// The greatest LSN whose effect is in the snapshot.
        reaches: Lsn,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    Header,
    Head,
    BlockOrFooter,
    Nothing,
}

/// Reads a snapshot from chunks of any size, holding no more than one part and two chunks. Blocks share the memory of the
/// chunk that they lie in.
///
/// Feed with [`Self::push`], then take parts with [`Self::next_part`] until it wants more bytes; at the end of the file ask
/// [`Self::finish`] whether the snapshot was whole.
#[derive(Debug)]
pub struct Decoder {
    bytes: Bytes,
    read: usize,
    /// Comes behind `bytes`, and is joined to them where a part goes on in here.
    more: Bytes,
    offset: u64,
    expects: Expects,
    log: LogId,
    at: Lsn,
    blocks: u64,
    items: u64,
    /// Blocks were passed over, so counts need not agree.
    gaps: bool,
    /// Where the next part begins is not known.
    searching: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// At the beginning of a file.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: Bytes::new(),
            read: 0,
            more: Bytes::new(),
            offset: 0,
            expects: Expects::Header,
            log: LogId([0; 16]),
            at: Lsn::ZERO,
            blocks: 0,
            items: 0,
            gaps: false,
            searching: false,
        }
    }

    /// The offset in the file of the part that [`Self::next_part`] reads next.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes the next bytes of the file.
    pub fn push(&mut self, chunk: Bytes) {
        self.join(self.more.len());
        self.more = chunk;
        self.pass_on();
    }

    /// The next part; `None` when more bytes are wanted.
    ///
    /// # Errors
    /// [`DecodeError`] when what stands at [`Self::offset`] is damaged, out of place or of a newer version. Asked
    /// again it says the same, until [`Self::skip_damage`] passes over it.
    pub fn next_part(&mut self) -> Result<Option<Part>, DecodeError> {
        if self.expects == Expects::Header && !self.read_header()? {
            return Ok(None);
        }
        if self.searching {
            if !self.search() {
                return Ok(None);
            }
            self.searching = false;
        }
        if self.expects == Expects::Nothing {
            let trailing = DecodeError { field: "snapshot", fault: Fault::Trailing };
            return if self.rest().is_empty() { Ok(None) } else { Err(trailing) };
        }
        let life = life(self.log, self.at);
        loop {
            if let Some(raw) = RawPart::read(&self.bytes, self.read, life)? {
                return self.take(raw).map(Some);
            }
            if !self.join(RawPart::len(self.rest()).saturating_sub(self.rest().len())) {
                return Ok(None);
            }
        }
    }

    /// As [`Self::next_part`], for a part that was read before.
    pub(super) fn take(&mut self, raw: RawPart) -> Result<Part, DecodeError> {
        let encoded_len = raw.encoded_len;
        let (part, expects) = self.interpret(raw)?;
        self.consume(encoded_len);
        self.expects = expects;
        Ok(part)
    }

    /// What binds the parts to this snapshot, once that is known and the next part stands at [`Self::offset`].
    pub(super) fn life(&self) -> Option<u32> {
        let known = !self.searching && matches!(self.expects, Expects::Head | Expects::BlockOrFooter);
        known.then(|| life(self.log, self.at))
    }

    /// The bytes of what may be parts from an offset of the file on: `room` bytes or a little more, unless fewer are at hand
    /// in one piece.
    pub(super) fn peek(&self, offset: u64, room: usize) -> Option<Bytes> {
        let at = self.read + usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        let mut end = at;
        while end - at < room
            && let Some(rest) = self.bytes.get(end..).filter(|rest| rest.len() >= PART_HEADER_LEN)
            && RawPart::len(rest) <= rest.len()
        {
            end += RawPart::len(rest);
        }
        (end > at).then(|| self.bytes.slice(at..end))
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.read..).unwrap_or_default()
    }

    /// Takes `len` more bytes behind those at hand, or as many as there are. Says whether there were any.
    fn join(&mut self, len: usize) -> bool {
        let more = self.more.split_to(len.min(self.more.len()));
        if !more.is_empty() {
            self.bytes = [self.rest(), &more[..]].concat().into();
            self.read = 0;
        }
        !more.is_empty()
    }

    /// Goes on with the bytes behind those at hand when nothing of these is left.
    fn pass_on(&mut self) {
        if self.read == self.bytes.len() && !self.more.is_empty() {
            (self.bytes, self.read) = (core::mem::take(&mut self.more), 0);
        }
    }

    /// Demands that the snapshot ended with its footer and nothing is left.
    ///
    /// # Errors
    /// [`DecodeError`] when it is cut short.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.expects == Expects::Nothing && self.rest().is_empty() {
            Ok(())
        } else {
            Err(DecodeError { field: "snapshot", fault: Fault::Short })
        }
    }

    /// After an error, for salvage: from now on passes over bytes until a part of this snapshot begins. Says whether
    /// that can be: without a header no part can be told, and behind the footer there is none.
    pub fn skip_damage(&mut self) -> bool {
        if matches!(self.expects, Expects::Header | Expects::Nothing) {
            return false;
        }
        self.expects = Expects::BlockOrFooter;
        self.gaps = true;
        self.searching = true;
        // The bad part itself is not worth a second look.
        self.consume(PART_ALIGN.min(self.rest().len()));
        true
    }

    /// Passes over bytes until a part may begin. Says whether one does within the bytes at hand.
    fn search(&mut self) -> bool {
        let life = life(self.log, self.at);
        loop {
            if self.rest().len() < PART_HEADER_LEN {
                self.join(self.more.len());
            }
            if self.rest().len() < PART_HEADER_LEN {
                return false;
            }
            let raw = RawPart::read(&self.bytes, self.read, life);
            if raw.is_ok_and(|raw| raw.is_none_or(|raw| raw.kind != KIND_HEAD && raw.index >= self.blocks)) {
                return true;
            }
            self.consume(PART_ALIGN);
        }
    }

    fn read_header(&mut self) -> Result<bool, DecodeError> {
        let invalid = |field| DecodeError { field, fault: Fault::Invalid };
        self.join(SNAPSHOT_HEADER_LEN.saturating_sub(self.rest().len()));
        let Some(bytes) = self.rest().get(..SNAPSHOT_HEADER_LEN) else { return Ok(false) };
        let bytes = Bytes::copy_from_slice(bytes);
        let mut reader = Reader::new(&bytes);
        if reader.array("snapshot magic")? != SNAPSHOT_MAGIC {
            return Err(invalid("snapshot magic"));
        }
        let version = u16::from_le_bytes(reader.array("snapshot version")?);
        let _reserved: [u8; 2] = reader.array("snapshot header")?;
        let log = LogId(reader.array("snapshot log id")?);
        let at = Lsn(reader.u64("snapshot LSN")?);
        let _reserved: [u8; 8] = reader.array("snapshot header")?;
        let covered = bytes.get(..reader.position()).unwrap_or_default();
        if crc32fast::hash(covered).to_le_bytes() != reader.array("snapshot header checksum")? {
            return Err(invalid("snapshot header checksum"));
        }
        // Only a header whose checksum holds can be trusted to be from the future.
        if version != FORMAT_VERSION {
            return Err(DecodeError { field: "snapshot version", fault: Fault::FromTheFuture });
        }
        (self.log, self.at, self.expects) = (log, at, Expects::Head);
        self.consume(SNAPSHOT_HEADER_LEN);
        Ok(true)
    }

    fn interpret(&mut self, raw: RawPart) -> Result<(Part, Expects), DecodeError> {
        let invalid = |field| DecodeError { field, fault: Fault::Invalid };
        match (raw.kind, self.expects) {
            (KIND_HEAD, Expects::Head) if raw.index == 0 => {
                // Of its own: what is made of a head may share its memory for long.
                let head = Bytes::copy_from_slice(&raw.body);
                Ok((Part::Head { log: self.log, at: self.at, head }, Expects::BlockOrFooter))
            }
            (KIND_BLOCK, Expects::BlockOrFooter)
                if raw.index == self.blocks || (self.gaps && raw.index > self.blocks) =>
            {
                self.blocks = raw.index.saturating_add(1);
                self.items = self.items.saturating_add(u64::from(raw.items));
                Ok((Part::Block { items: raw.items, body: raw.body }, Expects::BlockOrFooter))
            }
            (KIND_FOOTER, Expects::BlockOrFooter) => {
                let mut reader = Reader::new(&raw.body);
                let blocks = reader.u64("snapshot block count")?;
                let items = reader.u64("snapshot item count")?;
                let reaches = Lsn(reader.u64("snapshot reach")?);
                reader.finish("snapshot footer")?;
                if !self.gaps && (blocks != self.blocks || raw.index != blocks || items != self.items) {
                    return Err(invalid("snapshot counts"));
                }
                Ok((Part::Footer { blocks, items, reaches }, Expects::Nothing))
            }
            (KIND_HEAD | KIND_BLOCK | KIND_FOOTER, _) => Err(invalid("snapshot part order")),
            _ => Err(DecodeError { field: "snapshot part kind", fault: Fault::FromTheFuture }),
        }
    }

    fn consume(&mut self, len: usize) {
        self.read += len;
        self.offset += len as u64;
        self.pass_on();
    }
}

/// A part whose checksum held.
#[derive(Debug)]
pub(super) struct RawPart {
    kind: u8,
    index: u64,
    items: u32,
    body: Bytes,
    encoded_len: usize,
}

impl RawPart {
    /// The part at `at` of `bytes`; `None` when it goes on beyond them.
    pub(super) fn read(bytes: &Bytes, at: usize, expected_life: u32) -> Result<Option<Self>, DecodeError> {
        let invalid = |field| DecodeError { field, fault: Fault::Invalid };
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(header) = rest.get(..PART_HEADER_LEN) else { return Ok(None) };
        let header = Bytes::copy_from_slice(header);
        let mut reader = Reader::new(&header);
        if reader.array("part magic")? != PART_MAGIC {
            return Err(invalid("part magic"));
        }
        let body_len = u32::from_le_bytes(reader.array("part length")?) as usize;
        let index = reader.u64("part index")?;
        let items = u32::from_le_bytes(reader.array("part item count")?);
        let [kind, _, _, _]: [u8; 4] = reader.array("part kind")?;
        if u32::from_le_bytes(reader.array("part life")?) != expected_life {
            return Err(invalid("part life"));
        }
        let crc = u32::from_le_bytes(reader.array("part checksum")?);
        if body_len > MAX_PART_BODY {
            return Err(invalid("part length"));
        }
        let encoded_len = PART_HEADER_LEN + body_len.next_multiple_of(PART_ALIGN);
        let Some(padded) = rest.get(PART_HEADER_LEN..encoded_len) else { return Ok(None) };
        let mut hasher = crc32fast::Hasher::new_with_initial(expected_life);
        hasher.update(header.get(..PART_HEADER_LEN - 4).unwrap_or_default());
        hasher.update(padded);
        if hasher.finalize() != crc {
            return Err(invalid("part checksum"));
        }
        let body = bytes.slice_ref(padded.get(..body_len).unwrap_or_default());
        Ok(Some(Self { kind, index, items, body, encoded_len }))
    }

    /// How long the part at the beginning of `bytes` says it is, or else its header: nothing of it is checked.
    fn len(bytes: &[u8]) -> usize {
        let word = bytes.get(4..8).filter(|_| bytes.len() >= PART_HEADER_LEN).and_then(|word| word.try_into().ok());
        let body_len = word.map_or(0, |word| u32::from_le_bytes(word) as usize);
        PART_HEADER_LEN + body_len.min(MAX_PART_BODY).next_multiple_of(PART_ALIGN)
    }

    /// Bytes it takes in the file, header and padding included.
    pub(super) const fn encoded_len(&self) -> usize {
        self.encoded_len
    }

    /// Its entries, if it is a block: how many, and the writer's bytes.
    pub(super) fn block(&self) -> Option<(u32, &Bytes)> {
        (self.kind == KIND_BLOCK).then_some((self.items, &self.body))
    }
}

#[cfg(test)]
mod tests;
