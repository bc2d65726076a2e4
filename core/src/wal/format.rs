//! Bytes of a segment: its header, its frames, their records. `docs/wal-format.md` has the pictures.
//!
//! Everything here is a pure function over bytes; what the bytes *mean* for recovery is decided in
//! [`super::scan`].

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::codec::{DecodeError, Fault, Reader, put_blob};
use crate::ids::{LogId, Lsn, NodeId, ReplicaId};
use crate::limits::MAX_FRAME_BODY;
use crate::op::Operation;
use crate::time::WallTime;

/// First bytes of every segment. The line ending betrays a transfer in text mode.
pub const SEGMENT_MAGIC: [u8; 8] = *b"SADSEG\r\n";
/// The version of snapshots, and of segments that were filled with zeros before use.
pub const FORMAT_VERSION: u16 = 1;
/// The version of segments that were written over an older one: the end of their frames is not the end of what is there.
pub const RECYCLED_VERSION: u16 = 2;
/// Length of a segment header; the first frame follows at once.
pub const SEGMENT_HEADER_LEN: usize = 64;
/// First bytes of every frame.
pub const FRAME_MAGIC: [u8; 4] = *b"SFRM";
/// Length of a frame header.
pub const FRAME_HEADER_LEN: usize = 40;
/// Frames begin at multiples of this, so that a search for the next one needs few probes.
pub const FRAME_ALIGN: usize = 8;
/// Zeros that are written behind each frame of a recycled segment, and behind its header.
pub const FRAMES_END: usize = 8;
/// No log comes near this LSN or this number of segments. Greater ones are refused, so that counting on from what a file
/// says never overflows.
const MAX_POSITION: u64 = 1 << 62;

/// The head of one segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Which log the segment belongs to.
    pub log: LogId,
    /// 1, 2, 3 … without gaps.
    pub number: u64,
    /// LSN of the first record that this segment may hold.
    pub first_lsn: Lsn,
    /// Bytes zero-filled in advance, this header included. A frame too large for it extends the file.
    pub capacity: u64,
    /// Drawn anew for each life of a file, so that bytes of an earlier life never pass as frames.
    pub salt: u32,
    /// The room behind the frames holds what an earlier life of the file left there, not zeros.
    pub recycled: bool,
}

impl SegmentHeader {
    /// The 64 bytes of the header.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut out = [0; SEGMENT_HEADER_LEN];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            for (to, from) in out.iter_mut().skip(at).zip(bytes) {
                *to = *from;
            }
            at += bytes.len();
        };
        put(&SEGMENT_MAGIC);
        let version = if self.recycled { RECYCLED_VERSION } else { FORMAT_VERSION };
        put(&version.to_le_bytes());
        put(&[0; 2]);
        put(&self.salt.to_le_bytes());
        put(&self.log.0);
        put(&self.number.to_le_bytes());
        put(&self.first_lsn.0.to_le_bytes());
        put(&self.capacity.to_le_bytes());
        put(&[0; 4]);
        let [body @ .., _, _, _, _] = &out;
        let crc = crc32fast::hash(body).to_le_bytes();
        let [.., a, b, c, d] = &mut out;
        [*a, *b, *c, *d] = crc;
        out
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are short, damaged or of a newer version.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let invalid = |field| DecodeError { field, fault: Fault::Invalid };
        if reader.array("segment magic")? != SEGMENT_MAGIC {
            return Err(invalid("segment magic"));
        }
        let version = u16::from_le_bytes(reader.array("segment version")?);
        let _reserved: [u8; 2] = reader.array("segment header")?;
        let salt = u32::from_le_bytes(reader.array("segment salt")?);
        let log = LogId(reader.array("segment log id")?);
        let number = reader.u64("segment number")?;
        let first_lsn = Lsn(reader.u64("segment first LSN")?);
        let capacity = reader.u64("segment capacity")?;
        let _reserved: [u8; 4] = reader.array("segment header")?;
        let covered = bytes.get(..reader.position()).unwrap_or_default();
        let crc = u32::from_le_bytes(reader.array("segment checksum")?);
        if crc32fast::hash(covered) != crc {
            return Err(invalid("segment checksum"));
        }
        // Only a header whose checksum holds can be trusted to be from the future.
        if !(FORMAT_VERSION..=RECYCLED_VERSION).contains(&version) {
            return Err(DecodeError { field: "segment version", fault: Fault::FromTheFuture });
        }
        if number == 0 || number > MAX_POSITION {
            return Err(invalid("segment number"));
        }
        if first_lsn == Lsn::ZERO || first_lsn.0 > MAX_POSITION {
            return Err(invalid("segment first LSN"));
        }
        Ok(Self { log, number, first_lsn, capacity, salt, recycled: version == RECYCLED_VERSION })
    }

    /// What binds a frame's checksum to this log, this segment and this life of the file.
    #[must_use]
    pub fn frame_salt(&self) -> FrameSalt {
        if planted!("recycled_segment_keeps_its_salt") {
            return FrameSalt(crc32fast::hash(&self.log.0));
        }
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.log.0);
        hasher.update(&self.number.to_le_bytes());
        hasher.update(&self.salt.to_le_bytes());
        FrameSalt(hasher.finalize())
    }
}

/// The life of one segment file: stands in every frame of it, and is the initial state of its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameSalt(pub u32);

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Carries records.
    Data,
    /// The last frame of a full segment.
    Seal,
    /// Written by a clean close.
    Close,
    /// Written when idle, so that the durable LSN of the frame before stands on disk.
    Mark,
}

impl FrameKind {
    const fn to_byte(self) -> u8 {
        match self {
            Self::Data => 0,
            Self::Seal => 1,
            Self::Close => 2,
            Self::Mark => 3,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Data),
            1 => Some(Self::Seal),
            2 => Some(Self::Close),
            3 => Some(Self::Mark),
            _ => None,
        }
    }
}

/// A frame whose checksum held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is for.
    pub kind: FrameKind,
    /// LSN of its first record; of the next record to come when it has none.
    pub first_lsn: Lsn,
    /// How many records.
    pub count: u32,
    /// Everything up to here was durable when the frame was written.
    pub durable: Lsn,
    /// Its records, without padding.
    pub records: Bytes,
    /// Bytes it takes in the file, header and padding included.
    pub encoded_len: usize,
}

impl Frame {
    /// LSN of the record after this frame.
    #[must_use]
    pub const fn next_lsn(&self) -> Lsn {
        Lsn(self.first_lsn.0 + self.count as u64)
    }
}

/// Builds a frame in place: reserve the header, let records be appended, then [`FrameBuilder::seal`] it.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    bytes: Vec<u8>,
    count: u32,
}

impl FrameBuilder {
    /// An empty frame that writes into `buffer`, whose content is dropped and whose memory is kept.
    #[must_use]
    pub fn reusing(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.resize(FRAME_HEADER_LEN, 0);
        Self { bytes: buffer, count: 0 }
    }

    /// The number of records so far.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of records so far.
    #[must_use]
    pub fn body_len(&self) -> usize {
        self.bytes.len().saturating_sub(FRAME_HEADER_LEN)
    }

    /// Bytes the whole frame will take, header and padding included.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        FRAME_HEADER_LEN + self.body_len().next_multiple_of(FRAME_ALIGN)
    }

    /// Takes back every record after the first `count`, which end after `body_len` bytes: what [`Self::count`] and
    /// [`Self::body_len`] said before they were pushed.
    pub fn rewind(&mut self, count: u32, body_len: usize) {
        debug_assert!(count <= self.count && body_len <= self.body_len(), "only back");
        self.bytes.truncate(FRAME_HEADER_LEN + body_len);
        self.count = count;
    }

    /// Appends one record.
    pub fn push(&mut self, record: &impl Loggable) {
        if self.bytes.is_empty() {
            self.bytes.resize(FRAME_HEADER_LEN, 0);
        }
        record.encode(&mut self.bytes);
        self.count += 1;
    }

    /// Pads, fills in the header and hands out the whole frame.
    #[must_use]
    pub fn seal(mut self, kind: FrameKind, first_lsn: Lsn, durable: Lsn, salt: FrameSalt) -> Vec<u8> {
        if self.bytes.is_empty() {
            self.bytes.resize(FRAME_HEADER_LEN, 0);
        }
        let padded = self.bytes.len().next_multiple_of(FRAME_ALIGN);
        let padding = (padded - self.bytes.len()) as u8;
        self.bytes.resize(padded, 0);
        let body_len = (padded - FRAME_HEADER_LEN) as u32;
        debug_assert!(body_len as usize <= MAX_FRAME_BODY, "bounded by the caller");

        let mut header = [0_u8; FRAME_HEADER_LEN];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            for (to, from) in header.iter_mut().skip(at).zip(bytes) {
                *to = *from;
            }
            at += bytes.len();
        };
        put(&FRAME_MAGIC);
        put(&body_len.to_le_bytes());
        put(&first_lsn.0.to_le_bytes());
        put(&self.count.to_le_bytes());
        put(&[kind.to_byte(), padding, 0, 0]);
        put(&durable.0.to_le_bytes());
        put(&salt.0.to_le_bytes());
        let [head @ .., _, _, _, _] = &header;
        let mut hasher = crc32fast::Hasher::new_with_initial(salt.0);
        hasher.update(head);
        hasher.update(self.bytes.get(FRAME_HEADER_LEN..).unwrap_or_default());
        let crc = hasher.finalize().to_le_bytes();
        let [.., a, b, c, d] = &mut header;
        [*a, *b, *c, *d] = crc;
        for (to, from) in self.bytes.iter_mut().zip(header) {
            *to = from;
        }
        self.bytes
    }
}

/// Reads the frame at `offset` of a segment's bytes.
///
/// # Errors
/// [`DecodeError`] when no whole, undamaged frame of this segment's life stands there.
pub fn decode_frame(segment: &Bytes, offset: usize, salt: FrameSalt) -> Result<Frame, DecodeError> {
    let invalid = |field| DecodeError { field, fault: Fault::Invalid };
    let short = DecodeError { field: "frame", fault: Fault::Short };
    let header_end = offset.checked_add(FRAME_HEADER_LEN).ok_or(short)?;
    if header_end > segment.len() {
        return Err(short);
    }
    let header = segment.slice(offset..header_end);
    let mut reader = Reader::new(&header);
    if reader.array("frame magic")? != FRAME_MAGIC {
        return Err(invalid("frame magic"));
    }
    let body_len = u32::from_le_bytes(reader.array("frame length")?) as usize;
    if body_len > MAX_FRAME_BODY || !body_len.is_multiple_of(FRAME_ALIGN) {
        return Err(invalid("frame length"));
    }
    let end = header_end.checked_add(body_len).ok_or(short)?;
    if end > segment.len() {
        return Err(short);
    }
    let first_lsn = Lsn(reader.u64("frame first LSN")?);
    let count = u32::from_le_bytes(reader.array("frame record count")?);
    let [kind, padding, _, _]: [u8; 4] = reader.array("frame kind")?;
    let durable = Lsn(reader.u64("frame durable LSN")?);
    // Beside the checksum, so that a search through bytes that a stranger chose (a stored value, say) computes no
    // checksums over them: who cannot read this file cannot write its life.
    if u32::from_le_bytes(reader.array("frame life")?) != salt.0 {
        return Err(invalid("frame life"));
    }
    let crc = u32::from_le_bytes(reader.array("frame checksum")?);
    let body = segment.slice(header_end..end);
    let mut hasher = crc32fast::Hasher::new_with_initial(salt.0);
    hasher.update(header.get(..FRAME_HEADER_LEN - 4).unwrap_or_default());
    hasher.update(&body);
    if hasher.finalize() != crc {
        return Err(invalid("frame checksum"));
    }
    let kind = FrameKind::from_byte(kind).ok_or(DecodeError { field: "frame kind", fault: Fault::FromTheFuture })?;
    let used = body_len.checked_sub(usize::from(padding)).ok_or(invalid("frame padding"))?;
    if first_lsn.0 > MAX_POSITION {
        return Err(invalid("frame first LSN"));
    }
    // What is written now cannot have been durable before.
    if durable >= first_lsn {
        return Err(invalid("frame durable LSN"));
    }
    Ok(Frame { kind, first_lsn, count, durable, records: body.slice(..used), encoded_len: FRAME_HEADER_LEN + body_len })
}

/// How long the frame at `offset` says it is, and its last LSN: nothing of it is checked but that it can be one.
pub(super) fn passed_by(segment: &[u8], offset: usize, salt: FrameSalt) -> Option<(usize, Lsn)> {
    let header: &[u8; FRAME_HEADER_LEN] = segment.get(offset..)?.first_chunk()?;
    let word = |at: usize| header.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let body_len = word(4)? as usize;
    let encoded_len = FRAME_HEADER_LEN + body_len;
    let whole = header.starts_with(&FRAME_MAGIC) && word(32)? == salt.0 && body_len <= MAX_FRAME_BODY;
    let first_lsn = u64::from(word(12)?) << 32 | u64::from(word(8)?);
    let last = first_lsn.saturating_add(u64::from(word(16)?)).saturating_sub(1);
    (whole && segment.len() - offset >= encoded_len).then_some((encoded_len, Lsn(last)))
}

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A history begins: who writes from here on. The first record of every log, and written again whenever a new
    /// replica id is minted.
    Birth {
        /// The new history.
        replica: ReplicaId,
        /// The operator's name of the node.
        node: NodeId,
        /// When.
        at: WallTime,
    },
    /// An operation of the replica named by the latest [`Record::Birth`].
    Own(Operation),
    /// An operation of another replica.
    Foreign(Operation),
    /// What sync keeps beside operations; its layout is that of its owner.
    Sync(Bytes),
}

const KIND_BIRTH: u8 = 1;
const KIND_OWN: u8 = 2;
const KIND_FOREIGN: u8 = 3;
const KIND_SYNC: u8 = 4;

impl Record {
    /// The key that an operation writes to.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Own(op) | Self::Foreign(op) => Some(&op.key),
            Self::Birth { .. } | Self::Sync(_) => None,
        }
    }

    /// Appends: kind (1 byte), payload length (4 bytes), payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Birth { replica, node, at } => put_record(out, KIND_BIRTH, |out| {
                out.extend_from_slice(&replica.0);
                out.extend_from_slice(&at.0.to_le_bytes());
                put_blob(out, node.as_str().as_bytes());
            }),
            Self::Own(op) => put_record(out, KIND_OWN, |out| op.encode(out)),
            Self::Foreign(op) => put_foreign(out, op),
            Self::Sync(bytes) => put_sync(out, |out| out.extend_from_slice(bytes)),
        }
    }
}

/// What is logged as one record, be it that nobody has made a [`Record`] of it.
pub trait Loggable {
    /// As [`Record::encode`].
    fn encode(&self, out: &mut Vec<u8>);
}

impl Loggable for Record {
    fn encode(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }
}

/// Appends the record that [`Record::Foreign`] stands for.
pub(crate) fn put_foreign(out: &mut Vec<u8>, op: &Operation) {
    put_record(out, KIND_FOREIGN, |out| {
        out.extend_from_slice(&op.dot.replica.0);
        op.encode(out);
    });
}

/// Appends the record that [`Record::Sync`] of these bytes stands for.
pub(crate) fn put_sync(out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    put_record(out, KIND_SYNC, payload);
}

fn put_record(out: &mut Vec<u8>, kind: u8, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 5]);
    payload(out);
    let len = (out.len() - start - 5) as u32;
    let [a, b, c, d] = len.to_le_bytes();
    for (to, from) in out.iter_mut().skip(start).zip([kind, a, b, c, d]) {
        *to = from;
    }
}

/// Walks the records of one frame, in order.
#[derive(Debug)]
pub struct Records<'a> {
    reader: Reader<'a>,
    left: u32,
    next: Lsn,
}

impl<'a> Records<'a> {
    /// The records of `frame`.
    #[must_use]
    pub const fn of(frame: &'a Frame) -> Self {
        Self { reader: Reader::new(&frame.records), left: frame.count, next: frame.first_lsn }
    }

    /// Leaves out the records up to and including `through`, without reading them.
    ///
    /// # Errors
    /// [`DecodeError`] when a length points out of the frame.
    pub fn skip_through(&mut self, through: Lsn) -> Result<(), DecodeError> {
        while self.left > 0 && self.next <= through {
            self.reader.u8("record kind")?;
            let len = u32::from_le_bytes(self.reader.array("record length")?) as usize;
            self.reader.skip(len, "record length")?;
            self.next = self.next.next();
            self.left -= 1;
        }
        Ok(())
    }

    /// The next record and its LSN; `None` when all were read. `own` is the replica named by the latest birth before
    /// it.
    ///
    /// # Errors
    /// [`DecodeError`] when the record is malformed: a checksum held over bytes that this software cannot have
    /// written, or a newer version wrote it.
    pub fn next(&mut self, own: Option<ReplicaId>) -> Result<Option<(Lsn, Record)>, DecodeError> {
        let invalid = |field| DecodeError { field, fault: Fault::Invalid };
        if self.left == 0 {
            self.reader.finish("frame records")?;
            return Ok(None);
        }
        let kind = self.reader.u8("record kind")?;
        let len = u32::from_le_bytes(self.reader.array("record length")?) as usize;
        let end = self.reader.position().checked_add(len).ok_or(invalid("record length"))?;
        let record = match kind {
            KIND_BIRTH => {
                let replica = ReplicaId(self.reader.array("birth replica id")?);
                let at = WallTime(self.reader.u64("birth time")?);
                let node = self.reader.blob(NodeId::MAX_LEN, "birth node id")?;
                let node = core::str::from_utf8(&node).map_err(|_| invalid("birth node id"))?;
                let node = NodeId::new(String::from(node)).map_err(|_| invalid("birth node id"))?;
                Record::Birth { replica, node, at }
            }
            KIND_OWN => {
                let own = own.ok_or(invalid("own operation before any birth"))?;
                Record::Own(Operation::decode(&mut self.reader, own)?)
            }
            KIND_FOREIGN => {
                let replica = ReplicaId(self.reader.array("foreign replica id")?);
                Record::Foreign(Operation::decode(&mut self.reader, replica)?)
            }
            KIND_SYNC => Record::Sync(self.reader.bytes(len, "sync record")?),
            _ => return Err(DecodeError { field: "record kind", fault: Fault::FromTheFuture }),
        };
        if self.reader.position() != end {
            return Err(invalid("record length"));
        }
        let lsn = self.next;
        self.next = lsn.next();
        self.left -= 1;
        Ok(Some((lsn, record)))
    }
}

/// The names of a log's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileName {
    /// A segment, by number.
    Segment(u64),
    /// A segment being prepared, by its future number.
    Spare(u64),
    /// A segment that a snapshot made superfluous, kept for its room, by the number it had.
    Kept(u64),
    /// A snapshot, by the LSN at which it began.
    Snapshot(Lsn),
    /// A snapshot being written.
    SnapshotDraft(Lsn),
}

impl FileName {
    /// The name on disk.
    #[must_use]
    pub fn to_name(self) -> String {
        match self {
            Self::Segment(number) => alloc::format!("{number:016x}.seg"),
            Self::Spare(number) => alloc::format!("{number:016x}.seg.new"),
            Self::Kept(number) => alloc::format!("{number:016x}.seg.old"),
            Self::Snapshot(lsn) => alloc::format!("{:016x}.snap", lsn.0),
            Self::SnapshotDraft(lsn) => alloc::format!("{:016x}.snap.new", lsn.0),
        }
    }

    /// The meaning of a name; `None` for a file that is not the log's.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (digits, kind) = name.split_once('.')?;
        if digits.len() != 16 || !digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let number = u64::from_str_radix(digits, 16).ok()?;
        match kind {
            "seg" => Some(Self::Segment(number)),
            "seg.new" => Some(Self::Spare(number)),
            "seg.old" => Some(Self::Kept(number)),
            "snap" => Some(Self::Snapshot(Lsn(number))),
            "snap.new" => Some(Self::SnapshotDraft(Lsn(number))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
