//! Writes that a client hands in by itself, without waking the loop.
//!
//! While a frame is on its way, whoever saw to it comes back when it is through and takes with it what has gathered, so a
//! client needs nobody to hand in its write. When nothing is on its way, a client that is alone may even carry the frame to
//! the disk in its own thread: that spares two changes of threads, which on a quick device take as long as the sync.
//! The lock is never held across it, and the loop takes over as soon as somebody else waits, too.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use softadastra_core::disk::{Completion, DiskOp, DiskRequest, DiskResult, IoToken, Lane};
use softadastra_core::ids::Lsn;
use softadastra_core::node::{Input, Output};
use softadastra_core::time::{Instant, Now};
use tokio::sync::watch;

use super::command::Writing;
use super::desk::{Answered, Desk};
use super::shared::{Shared, Turn};
use crate::disk::{DynDisk, OnItsWay};

/// So often a client goes back to the desk for what others have put down meanwhile; then it is the loop's turn.
const VISITS: usize = 4;

/// What a client has found out while it had the desk, to be told when it has left.
#[derive(Default)]
struct Found {
    answers: Vec<Answered>,
    published: Option<Lsn>,
    /// A frame that the client is to carry to the disk.
    frame: Option<Frame>,
    /// The loop is needed.
    call: bool,
}

impl Shared {
    /// Hands in a write, or leaves it to whoever stands at the desk. Gives a frame that the caller is to carry to the disk.
    pub(crate) fn hand_in(&self, writing: Writing) -> Option<Carrying<'_>> {
        self.tray.put(writing);
        let mut carrying = None;
        let mut visits = 0;
        // Once more after leaving the desk: others may have put something down meanwhile.
        while !self.tray.is_empty() {
            if visits == VISITS {
                self.call();
                break;
            }
            visits += 1;
            let mut at_desk = match self.try_desk() {
                Turn::Ours(at_desk) => at_desk,
                Turn::Watched => break,
                Turn::Taken => {
                    self.call();
                    break;
                }
            };
            // Without a desk the tray is about to be closed.
            let Some(desk) = at_desk.as_mut().filter(|desk| !desk.is_abandoned()) else { break };
            let mut found = Found::default();
            let now = self.now();
            desk.clear(&self.tray, now, &mut found.answers);
            if desk.is_attended() {
                // What is answered without the disk must not wait for it.
                while let Some(output) = desk.node.poll_ready() {
                    found.sort(desk, output);
                }
                found.call |= desk.has_left();
            } else {
                let disk = desk.disk.clone().filter(|_| !desk.has_left());
                self.see_to(desk, now, &mut found, disk.as_deref());
            }
            let frame = found.frame.take();
            drop(at_desk);
            self.pass_on(found);
            if let Some(frame) = frame {
                let began = frame.synced.then(|| self.mono());
                carrying = Some(Carrying { shared: self, began, frame: Some(frame) });
            }
        }
        carrying
    }

    /// A frame that was carried to the disk is through.
    fn carried(&self, token: IoToken, result: DiskResult) {
        let mut guard = self.write();
        let Some(desk) = guard.as_mut() else { return };
        let mut found = Found::default();
        let now = self.now();
        desk.node.handle(now, Input::Disk { token, result });
        desk.clear(&self.tray, now, &mut found.answers);
        self.see_to(desk, now, &mut found, None);
        drop(guard);
        found.call |= !self.tray.is_empty();
        self.pass_on(found);
    }

    /// Who carried a frame has gone: the loop goes on with it.
    fn pick_up(&self, token: IoToken, on_its_way: OnItsWay) {
        // After a fault of the software nobody goes on with anything.
        if let Some(desk) = self.desk_if_whole().as_deref_mut().and_then(Option::as_mut) {
            desk.leave_on_its_way(token, on_its_way);
            self.call();
        }
    }

    /// Polls the node, and leaves to the loop what only that can do.
    fn see_to(&self, desk: &mut Desk, now: Now, found: &mut Found, disk: Option<&dyn DynDisk>) {
        while let Some(output) = desk.node.poll_output(now) {
            let disk = disk.filter(|_| !desk.has_left() && found.frame.is_none());
            match (output, disk) {
                (Output::Disk(request), Some(disk)) if may_be_carried(&request, disk) => {
                    found.frame = Some(Frame::begin(request, disk));
                }
                (output, _) => found.sort(desk, output),
            }
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
}

/// Whether it is a frame that whoever polls the node may carry to the disk itself.
pub(super) fn may_be_carried(request: &DiskRequest, disk: &dyn DynDisk) -> bool {
    request.lane == Lane::Commit && matches!(request.op, DiskOp::Write { .. }) && disk.may_be_carried(&request.op)
}

/// A frame on its way to the disk.
struct Frame {
    token: IoToken,
    synced: bool,
    on_its_way: OnItsWay,
}

impl Frame {
    fn begin(request: DiskRequest, disk: &dyn DynDisk) -> Self {
        let DiskRequest { token, lane: _, op } = request;
        let synced = matches!(op, DiskOp::Write { sync: true, .. });
        let mut on_its_way = disk.carry_out_dyn(op);
        if cfg!(planted = "driver_answers_what_it_carries_too_early") {
            on_its_way = Box::pin(std::future::ready(Ok(Completion::Done)));
        }
        Self { token, synced, on_its_way }
    }
}

/// A frame in the hands of a client. Whoever drops it before it is through leaves it to the loop.
#[must_use = "a frame gets nowhere unless somebody carries it"]
pub(crate) struct Carrying<'a> {
    shared: &'a Shared,
    /// When its sync began, if it has one.
    began: Option<Instant>,
    /// `None` once it is through.
    frame: Option<Frame>,
}

impl Future for Carrying<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(frame) = &mut self.frame else { return Poll::Ready(()) };
        let token = frame.token;
        let result = ready!(frame.on_its_way.as_mut().poll(context));
        // The disk lets go of the frame first: the log uses its memory again.
        self.frame = None;
        if let Some(began) = self.began {
            self.shared.measures().syncs.observe(self.shared.mono().since(began));
        }
        self.shared.carried(token, result);
        Poll::Ready(())
    }
}

impl Drop for Carrying<'_> {
    fn drop(&mut self) {
        if let Some(Frame { token, on_its_way, .. }) = self.frame.take()
            && !cfg!(planted = "driver_drops_what_is_carried")
        {
            self.shared.pick_up(token, on_its_way);
        }
    }
}

impl Found {
    fn sort(&mut self, desk: &mut Desk, output: Output) {
        match output {
            Output::Published(lsn) => self.published = Some(lsn),
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
