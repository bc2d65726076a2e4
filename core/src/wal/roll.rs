//! From one segment to the next: seal, header, rename, directory sync, each completed before the one after it is asked
//! for. A crash between any two of them leaves either a sealed last segment or an empty new one.

use alloc::format;
use alloc::string::String;

use bytes::Bytes;

use crate::disk::{DiskError, DiskOp, FileId, Lane};
use crate::sink::Sink;

use super::commit::Step;
use super::files::{Active, RESERVE};
use super::format::{FRAMES_END, FileName, FrameBuilder, FrameKind, SEGMENT_HEADER_LEN, SegmentHeader};
use super::running::{Life, Wal};
use super::spare::{BLOCK, Ready, Spare, SpareNews};
use super::{Effect, Progress, Settings, SnapshotFile};

const HEADER: u64 = SEGMENT_HEADER_LEN as u64;

/// The next segment, on its way to become the active one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming {
    header: SegmentHeader,
    file: FileId,
}

/// Bytes of the segment after one of `present` bytes: twice as many while that is no more than half of the least tail, or a
/// quarter of `snapshot` if that is greater; without a snapshot a sixteenth more than before. Beside a small snapshot, the
/// room in a large segment would be most of what the log takes.
pub(super) fn next_capacity(settings: &Settings, present: u64, snapshot: Option<SnapshotFile>) -> u64 {
    let of_use = match snapshot {
        Some(snapshot) => snapshot.bytes / 4,
        None => present.saturating_add(present / 16),
    };
    let of_use = (settings.snapshot_min / 2).max(of_use.next_multiple_of(BLOCK));
    present.saturating_mul(2).min(of_use).max(settings.first_segment).min(settings.max_segment)
}

impl Wal {
    /// Seals the active segment for the frame that waits, if the next segment is ready for it; else hurries that.
    pub(super) fn roll(&mut self, out: &mut dyn Sink<Effect>) {
        let Some(frame) = &self.waiting else { return };
        let need = HEADER + frame.encoded_len() as u64 + RESERVE;
        let Some(ready) = self.spare.take(need, &mut self.asker, out) else { return };
        let Ready { file, capacity, recycled } = ready;
        let SegmentHeader { log, number, .. } = self.files.active.header;
        let salt = self.dice.next_u64() as u32;
        let first_lsn = self.progress.submitted.next();
        let header = SegmentHeader {
            log,
            number: number + 1,
            first_lsn,
            capacity,
            salt,
            recycled: recycled && !planted!("recycled_segment_passes_for_new"),
        };
        self.incoming = Some(Incoming { header, file });
        self.write_frame(FrameKind::Seal, FrameBuilder::default(), !planted!("seal_without_sync"), out);
    }

    pub(super) fn seal_completed(&mut self, out: &mut dyn Sink<Effect>) {
        self.mark_at = None;
        let Incoming { header, file } = self.incoming();
        let mut data = header.encode().to_vec();
        if header.recycled && !planted!("recycled_header_without_zeros") {
            data.extend_from_slice(&[0; FRAMES_END]);
        }
        let data = Bytes::from(data);
        // This sync also covers what the preparation zeroed and did not sync yet.
        let op = DiskOp::Write { file, offset: 0, data, sync: true };
        self.step(Step::Header, op, out);
    }

    pub(super) fn header_completed(&mut self, out: &mut dyn Sink<Effect>) {
        let number = self.incoming().header.number;
        let (from, to) = (FileName::Spare(number).to_name(), FileName::Segment(number).to_name());
        self.step(Step::Rename, DiskOp::Rename { from, to }, out);
    }

    pub(super) fn rename_completed(&mut self, out: &mut dyn Sink<Effect>) {
        if planted!("roll_without_dir_sync") {
            return self.roll_completed(out);
        }
        self.step(Step::SyncDir, DiskOp::SyncDir, out);
    }

    pub(super) fn roll_completed(&mut self, out: &mut dyn Sink<Effect>) {
        let Incoming { header, file } = self.incoming();
        self.incoming = None;
        let old = self.files.roll(Active { header, file, end: HEADER, durable_end: HEADER });
        let capacity = next_capacity(&self.settings, header.capacity, self.files.snapshot);
        self.spare = Spare::new(header.number + 1, capacity);
        self.reuse_kept(out);
        let token = self.asker.ask(Lane::Background, DiskOp::Close { file: old.file }, out);
        self.closing.push((token, old.name()));
    }

    /// Prepares the next segment from one that was set aside, if there is one and nothing else was begun.
    pub(super) fn reuse_kept(&mut self, out: &mut dyn Sink<Effect>) {
        // While one is on its way, the spare's name is taken.
        let free = self.incoming.is_none() && self.spare.is_absent();
        if self.may_reuse_kept()
            && free
            && let Some(kept) = self.files.pool.take()
        {
            self.spare.reuse(kept, &mut self.asker, out);
        }
    }

    fn may_reuse_kept(&self) -> bool {
        self.life == Life::Running && self.poison.is_none() && !self.files.pool.is_empty()
    }

    /// Removes segments that are not worth keeping any more, one after the other: all of them when the log closes.
    pub(super) fn shed(&mut self, out: &mut dyn Sink<Effect>) {
        let pool = &mut self.files.pool;
        if self.shedding.is_none()
            && let Some(kept) = if self.life == Life::Running { pool.take_excess() } else { pool.take() }
        {
            let op = DiskOp::Remove { name: kept.name().to_name() };
            self.shedding = Some(self.asker.ask(Lane::Background, op, out));
        }
    }

    /// Words for a failed step of a roll.
    pub(super) fn name_roll_step(&self, step: &Step) -> String {
        let number = self.incoming().header.number;
        let (spare, segment) = (FileName::Spare(number).to_name(), FileName::Segment(number).to_name());
        match step {
            Step::Header => format!("writing the header of {spare}"),
            Step::Rename => format!("renaming {spare} to {segment}"),
            Step::SyncDir => format!("syncing the directory after renaming {spare} to {segment}"),
            Step::Frame(_) | Step::Sync => unreachable!("not a step of a roll"),
        }
    }

    /// Prepares the next segment as far as the active one is full.
    pub(super) fn pace_spare(&mut self, out: &mut dyn Sink<Effect>) {
        if self.life == Life::Running {
            let Active { header, end, .. } = &self.files.active;
            self.spare.pace(end - HEADER, header.capacity, &mut self.asker, out);
        }
    }

    pub(super) fn spare_news(&mut self, news: SpareNews, out: &mut dyn Sink<Effect>) {
        let wanted = self.waiting.is_some() && self.flight.is_none();
        match news {
            SpareNews::Advanced if wanted => self.roll(out),
            SpareNews::Advanced => {}
            // There is a segment to write over, once what was begun is gone.
            SpareNews::NoRoom(_) if self.spare.is_reused() || self.may_reuse_kept() => {
                covered!("segment_written_over_for_want_of_room");
            }
            SpareNews::NoRoom(error) if self.waiting.is_some() => self.refuse(error, out),
            // Nobody needs it yet. The roll that does will try again.
            SpareNews::NoRoom(_) => {}
            SpareNews::Failed { during, error } => self.stop(during, error, out),
        }
    }

    /// Drops everything that was accepted and not written.
    fn refuse(&mut self, error: DiskError, out: &mut dyn Sink<Effect>) {
        covered!("writes_refused_for_want_of_room");
        let submitted = self.progress.submitted;
        self.waiting = None;
        self.gathering.rewind(0, 0);
        self.sync_through = self.sync_through.min(submitted);
        self.advance(Progress { accepted: submitted, ..self.progress });
        self.no_room = Some(error.clone());
        out.push(Effect::Refused { from: submitted.next(), error });
    }

    fn incoming(&self) -> Incoming {
        self.incoming.expect("a roll is going on")
    }

    fn step(&mut self, step: Step, op: DiskOp, out: &mut dyn Sink<Effect>) {
        assert!(self.flight.is_none(), "the steps of a roll follow one another");
        let token = self.asker.ask(Lane::Commit, op, out);
        self.flight = Some((token, step));
    }
}
