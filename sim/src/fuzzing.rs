//! Bodies of the fuzz targets. They stand here, and not in `fuzz/`, so that `cargo test` replays every kept input with
//! the ordinary compiler.
//!
//! Each body takes any bytes and panics only when a promise is broken.

mod peer;

use bytes::Bytes;
use softadastra_core::config::Config;
use softadastra_core::dice::Seed;
use softadastra_core::error::{Code, Error};
use softadastra_core::ids::{LogId, Lsn, ReplicaId};
use softadastra_core::node::{Input, Node, Opening, OpeningState, Output, Start, Write};
use softadastra_core::store::Digest;
use softadastra_core::time::{Instant, Now, WallTime};
use softadastra_core::wal;
use softadastra_core::wal::format::{
    FRAME_ALIGN, FileName, Frame, FrameKind, FrameSalt, Records, SegmentHeader, decode_frame,
};

pub use self::peer::sync_session;
use crate::disk::SimDisk;

const NOW: Now = Now { mono: Instant(1), wall: WallTime(1_700_000_000_000) };

/// Any bytes as a segment: frames found in it must lie within it and hold what they say.
pub fn frame(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let salt = SegmentHeader::decode(&bytes).map_or(FrameSalt(0), |header| header.frame_salt());
    for offset in (0..bytes.len()).step_by(FRAME_ALIGN) {
        let Ok(frame) = decode_frame(&bytes, offset, salt) else { continue };
        assert!(offset + frame.encoded_len <= bytes.len(), "a frame may not reach beyond the file");
        drain(&frame);
    }
    // The checksum keeps mutated records from the decoder above; hand it the bytes directly as well.
    drain(&Frame {
        kind: FrameKind::Data,
        first_lsn: Lsn(1),
        count: u32::MAX,
        durable: Lsn::ZERO,
        encoded_len: bytes.len(),
        records: bytes,
    });
}

fn drain(frame: &Frame) {
    let mut records = Records::of(frame);
    let mut read = 0_u64;
    while let Ok(Some((lsn, _))) = records.next(Some(ReplicaId([1; 16]))) {
        assert_eq!(lsn.0, frame.first_lsn.0 + read, "LSNs have no gaps");
        read += 1;
    }
    assert!(read <= u64::from(frame.count));
}

/// Any bytes as the only segment of a log, and as its snapshot: opening must end, in a node or in a named error, and
/// opening what was opened must give the same store.
pub fn log_directory(data: &[u8]) {
    let (first, rest) = data.split_at(data.len().min(1));
    let name = match first.first().copied().unwrap_or_default() % 3 {
        0 => FileName::Segment(1).to_name(),
        1 => FileName::Snapshot(Lsn(u64::from(first.first().copied().unwrap_or_default()))).to_name(),
        _ => FileName::Segment(2).to_name(),
    };
    let mut content = rest.to_vec();
    // Half of the inputs get a valid header, so that the fuzzer need not guess a checksum.
    if content.len() % 2 == 0 && name.ends_with("seg") {
        let recycled = content.len() % 4 == 2;
        let header =
            SegmentHeader { log: LogId([1; 16]), number: 1, first_lsn: Lsn(1), capacity: 4096, salt: 7, recycled };
        content.splice(0..0, header.encode());
    }
    let mut disk = SimDisk::new();
    disk.put_file(&name, &content);
    if let Ok(node) = open(&mut disk, 1) {
        let digest = node.store().digest();
        disk.kill();
        let again = open(&mut disk, 2).expect("what was opened once opens again");
        assert_eq!(again.store().digest(), digest);
    }
}

/// The bytes are a script: writes, then damage. After the damage the log must either refuse to open or hold a state
/// that is allowed: all that was acknowledged, except that the last frame may be taken for a torn tail when nothing
/// after it proves that it was durable.
pub fn damaged_log(data: &[u8]) {
    let mut script = data.iter().copied();
    let mut disk = SimDisk::new();
    let Ok(mut node) = open(&mut disk, 1) else { unreachable!("an empty directory opens") };
    let mut states: Vec<Digest> = vec![node.store().digest()];
    let frames = script.next().unwrap_or_default() % 12;
    for frame in 0..frames {
        let writes = 1 + script.next().unwrap_or_default() % 4;
        for _ in 0..writes {
            let what = script.next().unwrap_or_default();
            let key = Bytes::copy_from_slice(&[b'k', what % 5]);
            let write = if what & 0x80 != 0 {
                Write::Delete { key, expect: None }
            } else {
                let value = vec![what; usize::from(what) * 7];
                Write::Put { key, value: value.into(), expect: None, touch: true }
            };
            node.write(NOW, vec![write]).expect("small writes are taken");
        }
        run(&mut node, &mut disk);
        if node.store().digest() != states[states.len() - 1] {
            states.push(node.store().digest());
        }
        if frame == 5 && script.next().unwrap_or_default() % 2 == 0 {
            node.snapshot(NOW).expect("a running node takes a snapshot");
            run(&mut node, &mut disk);
        }
    }
    let closed = script.next().unwrap_or_default() % 2 == 0;
    if closed {
        node.close(NOW);
        run(&mut node, &mut disk);
    }
    drop(node);
    disk.kill();

    let verdict = damage(&mut disk, &mut script);
    let last = states.len() - 1;
    match open(&mut disk, 3) {
        Ok(node) => {
            let digest = node.store().digest();
            let at = states.iter().rposition(|state| *state == digest);
            let allowed = match verdict {
                Damage::None => at == Some(last),
                Damage::Byte => at == Some(last) || !closed && at == last.checked_sub(1),
                Damage::Bytes => at == Some(last) || at == last.checked_sub(1) || !closed && at == last.checked_sub(2),
                Damage::Cut => at.is_some(),
            };
            assert!(allowed, "after {verdict:?} state {at:?} of {last} was taken for the whole");
        }
        Err(error) => {
            assert_ne!(verdict, Damage::None, "an undamaged log opens: {error}");
            assert!(
                matches!(error.code(), Code::WalCorrupt | Code::FormatTooNew),
                "damage is named as such, not as {error}"
            );
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    /// The change changed nothing.
    None,
    /// One byte: whatever follows proves that it was durable.
    Byte,
    /// So few bytes that they touch two neighbouring frames at most: one, and the one that would prove it. With a closing
    /// frame behind them they are the last data and that frame, without it the last two frames of data.
    Bytes,
    /// A file lost its end. Nothing in it can tell how much there was, so any earlier state may be taken for the whole.
    Cut,
}

/// Damages one file as the script says.
fn damage(disk: &mut SimDisk, script: &mut impl Iterator<Item = u8>) -> Damage {
    let mut next = || script.next().unwrap_or_default();
    let names: Vec<String> = disk.files().map(|(name, _)| name.to_owned()).collect();
    let name = &names[usize::from(next()) % names.len()];
    let before = disk.file(name).expect("it was listed").to_vec();
    let used = before.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
    let [a, b, how] = [(); 3].map(|()| next());
    let offset = ((usize::from(a) << 8) | usize::from(b)) % used;
    let mut after = before.clone();
    let damage = match how % 3 {
        0 => {
            after[offset] ^= how | 1;
            Damage::Byte
        }
        1 => {
            after.truncate(offset);
            Damage::Cut
        }
        _ => {
            let end = (offset + 1 + usize::from(how) % 16).min(after.len());
            after[offset..end].fill(how);
            Damage::Bytes
        }
    };
    disk.put_file(name, &after);
    if before == after { Damage::None } else { damage }
}

/// Small segments: less to fill with zeros, and more of them.
const SMALL_SEGMENT: u64 = 64 << 10;

fn small_log() -> wal::Settings {
    wal::Settings { first_segment: SMALL_SEGMENT, max_segment: SMALL_SEGMENT, ..wal::Settings::default() }
}

fn open(disk: &mut SimDisk, seed: u64) -> Result<Box<Node>, Error> {
    open_with(disk, Config { log: small_log(), ..Config::default() }, NOW, seed)
}

fn open_with(disk: &mut SimDisk, config: Config, now: Now, seed: u64) -> Result<Box<Node>, Error> {
    let mut opening = Opening::new(config, Seed::from_number(seed), now, Start::OpenOrCreate)?;
    loop {
        while let Some(request) = opening.poll_output(now) {
            let result = disk.execute(&request.op);
            opening.handle(now, request.token, result);
        }
        match opening.advance(now) {
            OpeningState::Working(next) => opening = next,
            OpeningState::Ready(node, _) => return Ok(node),
            OpeningState::Failed(error) => return Err(error),
        }
    }
}

fn run(node: &mut Node, disk: &mut SimDisk) {
    while let Some(output) = node.poll_output(NOW) {
        if let Output::Disk(request) = output {
            let result = disk.execute(&request.op);
            node.handle(NOW, Input::Disk { token: request.token, result });
        }
    }
}
