//! Disks that misbehave on command, and a network without sockets, for the tests of this crate.

mod wires;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use softadastra_core::disk::{DiskError, DiskErrorKind, DiskOp, DiskResult, Lane};
use tokio::sync::watch;

pub(crate) use self::wires::Wires;
use crate::disk::{Disk, FsDisk, OnItsWay};
use crate::world::{SystemClock, World};

/// What is to become of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Carried out and told.
    Pass,
    /// Not carried out, told as a failure.
    Fail(DiskErrorKind),
    /// Carried out, told as a failure.
    Lie(DiskErrorKind),
    /// Carried out, told when [`Rules::release`] is called.
    Hold,
}

type Judge = Box<dyn FnMut(Lane, &DiskOp) -> Verdict + Send>;

/// Shared between a test and its disk.
pub(crate) struct Rules {
    judge: Mutex<Judge>,
    commit_syncs: AtomicU64,
    carried: AtomicU64,
    /// How many completions are held, and whether they still are.
    held: watch::Sender<u64>,
    holding: watch::Sender<bool>,
}

impl Rules {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            judge: Mutex::new(Box::new(|_, _| Verdict::Pass)),
            commit_syncs: AtomicU64::new(0),
            carried: AtomicU64::new(0),
            held: watch::Sender::new(0),
            holding: watch::Sender::new(true),
        })
    }

    /// From now on, operations are judged so.
    pub(crate) fn judge(&self, judge: impl FnMut(Lane, &DiskOp) -> Verdict + Send + 'static) {
        *self.judge.lock().unwrap() = Box::new(judge);
    }

    /// From now on, every sync of a commit gets this verdict.
    pub(crate) fn judge_commits(&self, verdict: Verdict) {
        self.judge(move |lane, op| if is_commit(lane, op) { verdict } else { Verdict::Pass });
    }

    /// Syncs on the commit lane so far.
    pub(crate) fn commit_syncs(&self) -> u64 {
        self.commit_syncs.load(Ordering::SeqCst)
    }

    /// Writes that were carried out in the thread that asked for them.
    pub(crate) fn carried(&self) -> u64 {
        self.carried.load(Ordering::SeqCst)
    }

    /// Completes when an operation is held.
    pub(crate) async fn held(&self) {
        self.held.subscribe().wait_for(|held| *held > 0).await.unwrap();
    }

    /// Tells all that is held; judges on as before.
    pub(crate) fn let_go(&self) {
        self.holding.send_replace(false);
    }

    /// Tells all that is held, and holds nothing more.
    pub(crate) fn release(&self) {
        self.judge(|_, _| Verdict::Pass);
        self.holding.send_replace(false);
    }
}

pub(crate) fn is_commit(lane: Lane, op: &DiskOp) -> bool {
    lane == Lane::Commit && matches!(op, DiskOp::Write { sync: true, .. } | DiskOp::Sync { .. })
}

/// A disk under [`Rules`].
pub(crate) struct Meddled<D> {
    inner: D,
    rules: Arc<Rules>,
}

impl<D: Disk> Disk for Meddled<D> {
    fn may_be_carried(&self, write: &DiskOp) -> bool {
        self.inner.may_be_carried(write)
    }

    fn carry_out(&self, write: DiskOp) -> impl Future<Output = DiskResult> + Send + 'static {
        self.rules.carried.fetch_add(1, Ordering::SeqCst);
        self.meddle(Lane::Commit, write, |disk, _, write| Box::pin(disk.carry_out(write)))
    }

    fn submit(&self, lane: Lane, op: DiskOp) -> impl Future<Output = DiskResult> + Send + 'static {
        self.meddle(lane, op, |disk, lane, op| Box::pin(disk.submit(lane, op)))
    }

    async fn finish(self) {
        self.inner.finish().await;
    }
}

impl<D: Disk> Meddled<D> {
    fn meddle(
        &self,
        lane: Lane,
        op: DiskOp,
        pass_on: fn(&D, Lane, DiskOp) -> OnItsWay,
    ) -> impl Future<Output = DiskResult> + Send + use<D> {
        if is_commit(lane, &op) {
            self.rules.commit_syncs.fetch_add(1, Ordering::SeqCst);
        }
        let verdict = (self.rules.judge.lock().unwrap())(lane, &op);
        let completion = (!matches!(verdict, Verdict::Fail(_))).then(|| pass_on(&self.inner, lane, op));
        let rules = self.rules.clone();
        async move {
            let result = match completion {
                Some(completion) => Some(completion.await),
                None => None,
            };
            match (verdict, result) {
                (Verdict::Pass, Some(result)) => result,
                (Verdict::Hold, Some(result)) => {
                    rules.held.send_modify(|held| *held += 1);
                    rules.holding.subscribe().wait_for(|holding| !holding).await.unwrap();
                    rules.held.send_modify(|held| *held -= 1);
                    result
                }
                (Verdict::Fail(kind) | Verdict::Lie(kind), _) => {
                    Err(DiskError { kind, message: "a failure was planned".to_owned() })
                }
                (Verdict::Pass | Verdict::Hold, None) => unreachable!("carried out"),
            }
        }
    }
}

/// A world with a real directory under rules. No lock is taken.
pub(crate) fn world(wal: &Path, rules: &Arc<Rules>) -> World<Meddled<FsDisk>, SystemClock> {
    std::fs::create_dir_all(wal).unwrap();
    let inner = FsDisk::open(wal, None).unwrap();
    World::real(Some(Meddled { inner, rules: rules.clone() })).unwrap()
}
