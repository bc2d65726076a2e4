//! What stands in a log directory, read by the simulator itself: it shares the decoding of single frames with the
//! engine and nothing of its recovery.

use bytes::Bytes;
use softadastra_core::ids::{Lsn, ReplicaId};
use softadastra_core::wal::format::{
    FileName, Frame, Record, Records, SEGMENT_HEADER_LEN, SegmentHeader, decode_frame,
};

use crate::disk::{Loss, SimDisk};

/// One segment as far as it reads well.
#[derive(Clone, Debug)]
pub struct SegmentView {
    /// Its file name.
    pub name: String,
    /// Its number.
    pub number: u64,
    /// Its frames from the beginning to the first place where none stands, with their offsets.
    pub frames: Vec<(u64, Frame)>,
    /// Where the last of them ends.
    pub end: u64,
    /// Length of the file.
    pub len: u64,
}

/// The segments of a directory in order of their numbers.
#[must_use]
pub fn segments(disk: &SimDisk) -> Vec<SegmentView> {
    disk.files().filter_map(|(name, _)| segment(name, disk)).collect()
}

fn segment(name: &str, disk: &SimDisk) -> Option<SegmentView> {
    let Some(FileName::Segment(number)) = FileName::parse(name) else { return None };
    let content = disk.file_bytes(name)?;
    let header = SegmentHeader::decode(&content).ok()?;
    let mut frames = Vec::new();
    let mut end = SEGMENT_HEADER_LEN;
    while let Ok(frame) = decode_frame(&content, end, header.frame_salt()) {
        let offset = end as u64;
        end += frame.encoded_len;
        frames.push((offset, frame));
    }
    Some(SegmentView { name: name.into(), number, frames, end: end as u64, len: content.len() as u64 })
}

/// The frame that a write to a segment carries, if it is one.
#[must_use]
pub fn frame_in(segment: &[u8], data: &Bytes) -> Option<Frame> {
    let head = segment.get(..SEGMENT_HEADER_LEN)?;
    let header = SegmentHeader::decode(&Bytes::copy_from_slice(head)).ok()?;
    decode_frame(data, 0, header.frame_salt()).ok()
}

/// The records of a frame with their LSNs. `own` is who writes own operations, and follows the births met.
///
/// # Errors
/// A sentence, when a frame whose checksum holds has records that do not read.
pub fn records(frame: &Frame, own: &mut Option<ReplicaId>) -> Result<Vec<(Lsn, Record)>, String> {
    let mut records = Records::of(frame);
    let mut out = Vec::new();
    loop {
        match records.next(*own) {
            Ok(Some((lsn, record))) => {
                if let Record::Birth { replica, .. } = &record {
                    *own = Some(*replica);
                }
                out.push((lsn, record));
            }
            Ok(None) => return Ok(out),
            Err(error) => return Err(format!("a frame at LSN {} has a sound checksum, but {error}", frame.first_lsn)),
        }
    }
}

/// A byte of a directory that the log has promised to notice the damage of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// The file.
    pub name: String,
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

/// The ranges whose damage must be noticed or must not matter. Left out are frames whose records no later frame calls
/// durable: nothing on disk tells them from a torn tail, which is why idle logs write marks. Only frames that no power
/// loss
/// can take any more count as proof.
#[must_use]
pub fn vouched(disk: &SimDisk) -> Vec<Vouched> {
    let mut worst = disk.clone();
    worst.lose_power(Loss::TOTAL);
    let mut proofs = Vec::new();
    for view in segments(&worst) {
        proofs.extend(view.frames.iter().map(|(offset, frame)| ((view.number, *offset), frame.durable)));
    }
    let proven = |place: (u64, u64)| {
        let later = proofs.iter().filter(|(at, _)| *at > place);
        later.map(|(_, durable)| *durable).max().unwrap_or(Lsn::ZERO)
    };
    let mut ranges = Vec::new();
    for view in segments(disk) {
        ranges.push(Vouched { name: view.name.clone(), start: 0, end: SEGMENT_HEADER_LEN as u64 });
        for (offset, frame) in &view.frames {
            let last = Lsn(frame.next_lsn().0.saturating_sub(1));
            if frame.count == 0 || last <= proven((view.number, *offset)) {
                let end = offset + frame.encoded_len as u64;
                ranges.push(Vouched { name: view.name.clone(), start: *offset, end });
            }
        }
        // Room behind the last frame: whatever stands there was promised to nobody.
        ranges.push(Vouched { name: view.name.clone(), start: view.end, end: view.len });
    }
    for (name, content) in disk.files() {
        if matches!(FileName::parse(name), Some(FileName::Snapshot(_))) {
            ranges.push(Vouched { name: name.into(), start: 0, end: content.len() as u64 });
        }
    }
    ranges.retain(|range| range.start < range.end);
    ranges
}
