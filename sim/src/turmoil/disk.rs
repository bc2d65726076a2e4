//! The simulated disk, as the driver sees it: operations take time, and a crash falls into the middle of them.
//!
//! Each lane is served by one task, one operation after the other, as the real driver serves them by threads. An
//! operation waits to begin, is begun (a write reaches the page cache), settles if it syncs, and is reported; a host can
//! be crashed between any two of these.

use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use softadastra::disk::Disk;
use softadastra_core::disk::{DiskError, DiskErrorKind, DiskOp, DiskResult, Lane};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::chance;
use crate::disk::{Fault, Harm, Loss, OpKind, SimDisk, syncs_after};

/// What stays of a disk when its host is down.
#[derive(Clone, Debug)]
pub struct Platter {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    disk: SimDisk,
    salt: u64,
    begun: u64,
    /// A client carries the write that is under way.
    carrying: bool,
    /// What became of writes that clients carried.
    carried: Vec<&'static str>,
    slow: Duration,
    /// What each lane has taken up and not begun.
    in_hand: [Option<DiskOp>; 2],
    /// Everything that was ever asked for and what came of it.
    history: u64,
}

/// How long the moments of one operation are apart.
struct Pace {
    begins: Duration,
    settles: Duration,
    reports: Duration,
}

impl Platter {
    /// An empty disk; `salt` decides how long everything takes and what a crash cuts off.
    #[must_use]
    pub fn new(salt: u64) -> Self {
        let inner = Inner {
            disk: SimDisk::new(),
            salt,
            begun: 0,
            carrying: false,
            carried: Vec::new(),
            slow: Duration::ZERO,
            in_hand: [None, None],
            history: 0,
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// The process dies; writes that were being handed over are carried out in part.
    pub fn kill(&self) {
        let mut inner = self.hold();
        inner.cut_off();
        inner.disk.kill();
    }

    /// The power goes.
    pub fn lose_power(&self, loss: Loss) {
        let mut inner = self.hold();
        inner.cut_off();
        inner.disk.lose_power(loss);
    }

    /// Leaves room for this many bytes more than there are; `None` for any number.
    pub fn leave_room(&self, bytes: Option<u64>) {
        let mut inner = self.hold();
        let used = inner.disk.used();
        inner.disk.set_room(bytes.map(|bytes| used + bytes));
    }

    /// Lets a fault wait for its operation.
    pub fn arm(&self, fault: Fault) {
        self.hold().disk.arm(fault);
    }

    /// Faults that have struck since this was last asked.
    #[must_use]
    pub fn take_struck(&self) -> Vec<(OpKind, Harm)> {
        self.hold().disk.take_struck()
    }

    /// From now on every operation takes this much longer.
    pub fn slow_down(&self, by: Duration) {
        self.hold().slow = by;
    }

    /// Nothing is wrong with it any more.
    pub fn heal(&self) {
        let mut inner = self.hold();
        inner.slow = Duration::ZERO;
        inner.disk.disarm_all();
        inner.disk.set_room(None);
    }

    /// One number for everything that was asked of the disk and what came of it.
    #[must_use]
    pub fn history(&self) -> u64 {
        self.hold().history
    }

    /// How many operations were begun.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.hold().begun
    }

    /// What became of writes that clients carried since this was last asked.
    #[must_use]
    pub fn take_carried(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.hold().carried)
    }

    fn lets_carry(&self) -> bool {
        let inner = self.hold();
        chance::percent(chance::mix(inner.salt, inner.begun, 4), 50)
    }

    fn is_through(&self, result: &DiskResult) {
        let mut inner = self.hold();
        if std::mem::take(&mut inner.carrying) {
            inner.carried.push(if result.is_ok() { "carried" } else { "carried and failed" });
        }
    }

    fn take_in_hand(&self, lane: usize, op: &DiskOp) -> Pace {
        let mut inner = self.hold();
        if let Some(place) = inner.in_hand.get_mut(lane) {
            *place = Some(op.clone());
        }
        let bits = |what| chance::mix(inner.salt, inner.begun, what);
        let millis = |bits, bound| Duration::from_millis(chance::below(bits, bound));
        // Reads and the like are quick; a sync now and then is not.
        let rarely = if chance::percent(bits(3), 2) { 25 } else { 4 };
        let pace = Pace {
            begins: millis(bits(0), 2) + inner.slow,
            settles: Duration::from_millis(1) + millis(bits(1), rarely),
            reports: millis(bits(2), 2),
        };
        inner.begun += 1;
        pace
    }

    fn begin(&self, lane: usize, op: &DiskOp) -> DiskResult {
        let mut inner = self.hold();
        if let Some(place) = inner.in_hand.get_mut(lane) {
            *place = None;
        }
        let result = inner.disk.begin(op);
        inner.remember(op, &result);
        result
    }

    fn settle(&self, op: &DiskOp) -> DiskResult {
        self.hold().disk.settle(op)
    }

    fn hold(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn cut_off(&mut self) {
        if std::mem::take(&mut self.carrying) {
            self.carried.push("carried and cut off by a crash");
        }
        for (lane, place) in self.in_hand.iter_mut().enumerate() {
            if let Some(op) = place.take() {
                let bits = chance::mix(self.salt, self.begun, 16 + lane as u64);
                self.disk.carry_out_part(&op, chance::below(bits, 101) as u8);
            }
        }
    }

    fn remember(&mut self, op: &DiskOp, result: &DiskResult) {
        self.history = chance::mix(self.history, OpKind::of(op) as u64, u64::from(result.is_ok()));
        if let DiskOp::Write { file, offset, data, .. } = op {
            let mut bytes = DefaultHasher::new();
            bytes.write(data);
            self.history = chance::mix(chance::mix(self.history, file.0, *offset), bytes.finish(), 2);
        }
    }
}

struct Job {
    op: DiskOp,
    done: oneshot::Sender<DiskResult>,
}

/// A [`Platter`] in use by a running node.
#[derive(Debug)]
pub struct HostDisk {
    platter: Platter,
    lanes: [mpsc::UnboundedSender<Job>; 2],
    workers: JoinSet<()>,
}

impl HostDisk {
    /// Puts the disk to use. Dropping it, as a crash does, leaves on the platter what is there, and no open files.
    #[must_use]
    pub fn mount(platter: &Platter) -> Self {
        platter.hold().disk.kill();
        let mut workers = JoinSet::new();
        let lanes = [0, 1].map(|lane| {
            let (sender, jobs) = mpsc::unbounded_channel();
            workers.spawn(serve(platter.clone(), lane, jobs));
            sender
        });
        Self { platter: platter.clone(), lanes, workers }
    }
}

impl Disk for HostDisk {
    fn submit(&self, lane: Lane, op: DiskOp) -> impl Future<Output = DiskResult> + Send + 'static {
        let [commit, background] = &self.lanes;
        let lane = if lane == Lane::Commit { commit } else { background };
        let (done, told) = oneshot::channel();
        let taken = lane.send(Job { op, done });
        async move {
            let gone = || DiskError { kind: DiskErrorKind::Io, message: "the host is going down".to_owned() };
            taken.map_err(|_| gone())?;
            told.await.map_err(|_| gone())?
        }
    }

    /// Clients carry every other frame. It takes as long, and is cut off by a crash, as any other operation: others of the
    /// host go on meanwhile, as they do where a runtime has several threads.
    fn may_be_carried(&self, _write: &DiskOp) -> bool {
        self.platter.lets_carry()
    }

    fn carry_out(&self, write: DiskOp) -> impl Future<Output = DiskResult> + Send + 'static {
        self.platter.hold().carrying = true;
        self.submit(Lane::Commit, write)
    }

    async fn finish(self) {
        let Self { platter: _, lanes, mut workers } = self;
        drop(lanes);
        while workers.join_next().await.is_some() {}
    }
}

async fn serve(platter: Platter, lane: usize, mut jobs: mpsc::UnboundedReceiver<Job>) {
    while let Some(Job { op, done }) = jobs.recv().await {
        let pace = platter.take_in_hand(lane, &op);
        wait(pace.begins).await;
        if matches!(op, DiskOp::Sync { .. } | DiskOp::SyncDir) {
            wait(pace.settles).await;
        }
        let mut result = platter.begin(lane, &op);
        if result.is_ok() && syncs_after(&op) {
            wait(pace.settles).await;
            result = platter.settle(&op);
        }
        wait(pace.reports).await;
        if lane == 0 {
            platter.is_through(&result);
        }
        // Whoever asked may have stopped waiting.
        drop(done.send(result));
    }
}

async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}
