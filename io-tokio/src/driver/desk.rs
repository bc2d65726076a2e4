//! What stands under the lock: the node, those who wait for its answers, and who comes by to see to it.

use std::sync::{Arc, Mutex, PoisonError};

use softadastra_core::disk::IoToken;
use softadastra_core::error::Error;
use softadastra_core::node::{Node, Output, Reply, RequestId};
use softadastra_core::time::{Instant, Now};
use softadastra_core::wal::Wal;

use super::command::{Waiting, Writing};
use super::line::Line;
use super::tray::Tray;
use crate::disk::{DynDisk, OnItsWay};

/// A node and its callers.
pub(crate) struct Desk {
    pub(crate) node: Box<Node>,
    pub(super) disk: Option<Arc<dyn DynDisk>>,
    waiting: Line,
    /// What was taken from the tray; empty but for its memory when nobody stands here.
    taken: Vec<Writing>,
    /// What a client came upon and only the loop can do, in order.
    left: Vec<Output>,
    /// A frame that a client has begun to carry to the disk, and then dropped. Nobody locks it: it makes the desk one that
    /// threads may share.
    on_its_way: Mutex<Option<(IoToken, OnItsWay)>>,
    /// Somebody will poll the node without being called: whoever saw to the frame that is on its way, or the loop that lets
    /// clients join the next one.
    attended: bool,
    /// When the loop comes by at the latest.
    alarm: Option<Instant>,
    /// The loop has gone without closing the node: a fault of it, or the end of its runtime.
    abandoned: bool,
}

/// An answer, and whose it is.
pub(super) struct Answered {
    waiting: Waiting,
    result: Result<Reply, Error>,
}

impl Answered {
    pub(super) fn tell(self) {
        self.waiting.answer(self.result);
    }
}

impl Desk {
    pub(super) fn new(node: Box<Node>, disk: Option<Arc<dyn DynDisk>>) -> Self {
        // The loop begins by coming by.
        Self {
            node,
            disk,
            waiting: Line::default(),
            taken: Vec::new(),
            left: Vec::new(),
            on_its_way: Mutex::default(),
            attended: true,
            alarm: None,
            abandoned: false,
        }
    }

    /// Notes who is to be given the answer to a request.
    pub(super) fn wait(&mut self, request: RequestId, waiting: Waiting) {
        self.waiting.join(request, waiting);
    }

    /// Hands in all that lies in the tray. What the node refuses is answered at once.
    pub(super) fn clear(&mut self, tray: &Tray, now: Now, answers: &mut Vec<Answered>) {
        let mut taken = std::mem::take(&mut self.taken);
        tray.take(&mut taken);
        for Writing { writes, answer, room } in taken.drain(..) {
            let waiting = Waiting::Write { answer, _room: room };
            match self.node.write(now, writes) {
                Ok(request) => self.wait(request, waiting),
                Err(error) => answers.push(Answered { waiting, result: Err(error) }),
            }
        }
        self.taken = taken;
    }

    /// Puts an answer beside whoever waits for it, and everything else behind `others`.
    pub(super) fn sort(&mut self, output: Output, others: &mut Vec<Output>, answers: &mut Vec<Answered>) {
        let Output::Reply { request, result } = output else { return others.push(output) };
        let oldest = cfg!(planted = "driver_answers_the_oldest").then(|| self.waiting.oldest()).flatten();
        if let Some(waiting) = self.waiting.leave(oldest.unwrap_or(request)) {
            answers.push(Answered { waiting, result });
        }
    }

    /// How many wait for an answer, or a few more.
    pub(super) fn awaited(&self) -> usize {
        self.waiting.len()
    }

    /// The loop has gone: nobody answers any more, and the disk is let go.
    pub(super) fn abandon(&mut self) {
        self.abandoned = true;
        self.disk = None;
        drop(self.take_on_its_way());
        self.waiting.clear();
    }

    pub(super) const fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    pub(super) const fn is_attended(&self) -> bool {
        self.attended
    }

    /// Leaves something for the loop to do.
    pub(super) fn leave_undone(&mut self, output: Output) {
        self.left.push(output);
    }

    pub(super) fn take_left(&mut self, into: &mut Vec<Output>) {
        into.append(&mut self.left);
    }

    /// Leaves a frame for the loop to wait for.
    pub(super) fn leave_on_its_way(&mut self, token: IoToken, on_its_way: OnItsWay) {
        if !self.abandoned {
            let before = self.place().replace((token, on_its_way));
            assert!(before.is_none(), "one frame is on its way at most");
        }
    }

    pub(super) fn take_on_its_way(&mut self) -> Option<(IoToken, OnItsWay)> {
        self.place().take()
    }

    fn place(&mut self) -> &mut Option<(IoToken, OnItsWay)> {
        self.on_its_way.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// Goes away from the desk: for the loop, which comes by when a frame is through, at `alarm` or when it is called.
    pub(super) fn leave(&mut self, back_at_once: bool, alarm: Option<Instant>) {
        self.attended = back_at_once || self.node.log().is_some_and(Wal::is_committing);
        self.alarm = alarm;
    }

    /// As [`Self::leave`], for a client. Whether the loop has to be called.
    pub(super) fn leave_to_the_loop(&mut self) -> bool {
        self.attended = self.node.log().is_some_and(Wal::is_committing);
        let late = self.node.poll_timeout().is_some_and(|due| self.alarm.is_none_or(|alarm| due < alarm));
        self.has_left() || late
    }
}
