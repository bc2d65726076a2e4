//! Writes that a client hands in by itself, without waking the loop.
//!
//! While a frame is on its way, whoever saw to it comes back when it is through and takes with it what has gathered, so a
//! client needs nobody to hand in its write. When nothing is on its way, a client that is alone may even carry the frame to
//! the disk in its own thread: that spares two changes of threads, which on a quick device take as long as the sync.
//! The lock is never held across it, and the loop takes over as soon as somebody else waits, too.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use softadastra_core::disk::{DiskOp, DiskRequest, Lane};
use softadastra_core::error::Error;
use softadastra_core::ids::Lsn;
use softadastra_core::node::{Input, Output, Write, Written};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use super::command::{Command, Waiting, tell};
use super::desk::{Answered, Desk};
use super::shared::Shared;

/// A larger frame is for the thread of the disk.
const SMALL: usize = 64 << 10;

/// A sync that takes longer is not waited for in a thread that has other things to do.
const QUICK: Duration = Duration::from_millis(2);

/// After a sync that was not quick, so many go to the thread of the disk.
const PAUSE: u32 = 32;

/// What a client has found out while it had the desk, to be told when it has left.
#[derive(Default)]
struct Found {
    answers: Vec<Answered>,
    published: Option<Lsn>,
    /// A frame to be carried to the disk.
    frame: Option<DiskRequest>,
    /// The loop is needed.
    call: bool,
}

impl Shared {
    /// Hands in a write, unless the desk is taken or others come first: then gives it back, for the loop.
    pub(crate) fn hand_in(
        &self,
        writes: Vec<Write>,
        answer: oneshot::Sender<Result<Vec<Written>, Error>>,
        room: OwnedSemaphorePermit,
    ) -> Result<(), Command> {
        let Some(mut guard) = self.try_desk() else { return Err(Command::Write { writes, answer, room }) };
        let Some(desk) = guard.as_mut().filter(|desk| !desk.is_abandoned() && self.nobody_queues()) else {
            return Err(Command::Write { writes, answer, room });
        };
        let now = self.now();
        match desk.node.write(now, writes) {
            Ok(request) => desk.wait(request, Waiting::Write { answer, _room: room }),
            Err(error) => {
                drop(guard);
                tell(answer, Err(error));
                return Ok(());
            }
        }
        self.note_handed_in();
        let mut found = Found::default();
        if desk.is_attended() {
            // What is answered without the disk must not wait for it.
            while let Some(output) = desk.node.poll_ready() {
                found.sort(desk, output, false);
            }
            found.call |= desk.has_left();
        } else {
            self.see_to(desk, &mut found, true);
        }
        let frame = found.frame.take();
        let disk = frame.as_ref().and_then(|_| desk.disk.clone());
        drop(guard);
        self.pass_on(found);
        if let (Some(frame), Some(disk)) = (frame, disk) {
            self.carry(frame, disk);
        }
        Ok(())
    }

    /// Carries a frame to the disk and its outcome back.
    fn carry(&self, frame: DiskRequest, disk: Arc<dyn super::DynDisk>) {
        let DiskRequest { token, lane, op } = frame;
        let began = self.mono();
        let synced = matches!(op, DiskOp::Write { sync: true, .. });
        let done = disk.carry_out(&op);
        // The loop waits for the last of these before it lets go of the disk.
        drop(disk);
        let took = self.mono().since(began);
        if synced && done.is_some() {
            self.measures().syncs.observe(took);
            if took > QUICK {
                self.slow.store(PAUSE, Ordering::Relaxed);
            }
        }
        let mut guard = self.write();
        let Some(desk) = guard.as_mut() else { return };
        let mut found = Found::default();
        match done {
            Some(result) => {
                // The log uses the memory of its frames again, when nobody else has it any more.
                drop(op);
                desk.node.handle(self.now(), Input::Disk { token, result });
                self.see_to(desk, &mut found, false);
            }
            None => {
                desk.leave_undone(Output::Disk(DiskRequest { token, lane, op }));
                found.call = desk.leave_to_the_loop();
            }
        }
        drop(guard);
        self.pass_on(found);
    }

    /// Polls the node, and leaves to the loop what only that can do.
    fn see_to(&self, desk: &mut Desk, found: &mut Found, may_carry: bool) {
        let may_carry = may_carry && !desk.has_left();
        let now = self.now();
        while let Some(output) = desk.node.poll_output(now) {
            let carries = may_carry && !desk.has_left() && found.frame.is_none() && self.is_for_this_thread(&output);
            found.sort(desk, output, carries);
        }
        found.call |= desk.leave_to_the_loop();
    }

    fn pass_on(&self, Found { answers, published, frame: _, call }: Found) {
        if call {
            self.call();
        }
        answers.into_iter().for_each(Answered::tell);
        if let Some(lsn) = published
            && let Some(teller) = self.published.upgrade()
        {
            tell_published(&teller, lsn);
        }
    }

    /// Whether it is a frame that this thread may carry to the disk itself.
    fn is_for_this_thread(&self, output: &Output) -> bool {
        let Output::Disk(DiskRequest { lane: Lane::Commit, op: DiskOp::Write { data, sync, .. }, .. }) = output else {
            return false;
        };
        data.len() <= SMALL && (!sync || self.may_wait_for_a_sync())
    }

    /// Whether this thread may stand still for as long as a sync takes: others of its runtime go on meanwhile, or it waits for
    /// this one thing anyway; and syncs have been quick of late.
    fn may_wait_for_a_sync(&self) -> bool {
        let Ok(runtime) = Handle::try_current() else { return false };
        let others_go_on = runtime.metrics().num_workers() > 1 || tokio::task::try_id().is_none();
        let quick = self.slow.load(Ordering::Relaxed) == 0;
        if !quick {
            self.slow.fetch_sub(1, Ordering::Relaxed);
        }
        runtime.runtime_flavor() == RuntimeFlavor::MultiThread && others_go_on && quick
    }
}

impl Found {
    fn sort(&mut self, desk: &mut Desk, output: Output, carries: bool) {
        match output {
            Output::Published(lsn) => self.published = Some(lsn),
            Output::Disk(frame) if carries => self.frame = Some(frame),
            output @ Output::Reply { .. } => desk.sort(output, &mut Vec::new(), &mut self.answers),
            output => desk.leave_undone(output),
        }
    }
}

/// Two who publish may tell so in either order.
pub(super) fn tell_published(teller: &watch::Sender<Lsn>, lsn: Lsn) {
    teller.send_if_modified(|told| {
        let later = lsn > *told;
        *told = lsn.max(*told);
        later
    });
}
