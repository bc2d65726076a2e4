//! Start-up as a machine of its own, so that a half-loaded node cannot be misused.
//!
//! ```text
//!  Scanning --(damage)--------------------------> Failed
//!     | no damage
//!  Mounting: cut the torn tail, tidy up, open the active segment
//!     |
//!  Settling: a new history writes its birth; a founded one also its first snapshot
//!     |
//!  Ready(Node)
//! ```

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;

use super::history::History;
use super::journal::Journal;
use super::rebuild::{Rebuild, Rebuilt};
use super::status::{RecoveryReport, TornTail};
use super::types::{Input, Output};
use super::{Health, Node};
use crate::clock::Hlc;
use crate::config::{Config, Durability};
use crate::dice::{Dice, Seed};
use crate::disk::{DiskError, DiskErrorKind, DiskRequest, DiskResult, IoToken};
use crate::error::{Code, Error};
use crate::ids::{LogId, Lsn, ReplicaId};
use crate::store::Store;
use crate::sync::State;
use crate::time::Now;
use crate::wal::SyncMode;
use crate::wal::format::Record;
use crate::wal::mount::{Founding, Mount};
use crate::wal::scan::{Crew, Purpose, Scan, ScanReport};

/// What is expected of the directory.
#[derive(Debug)]
pub enum Start {
    /// Open what is there; an empty directory begins a new history.
    OpenOrCreate,
    /// Open what is there; an empty directory is [`Code::NotFound`].
    OpenExisting,
    /// Begin a new history; a directory with a log is [`Code::AlreadyExists`].
    CreateNew,
    /// Begin a new history that starts with this content: a restored backup, a repaired log. The directory must be
    /// empty.
    Found(Box<Rebuilt>),
}

/// A node on its way up. Drive it like a node: carry out what [`Opening::poll_output`] asks for, hand in what comes
/// back, and look at [`Opening::advance`] whenever there is nothing left to carry out.
#[derive(Debug)]
pub struct Opening {
    config: Config,
    start: Start,
    seed: Seed,
    dice: Dice,
    stage: Stage,
    report: RecoveryReport,
    out: VecDeque<DiskRequest>,
}

#[derive(Debug)]
enum Stage {
    Scanning { scan: Box<Scan>, rebuild: Rebuild },
    Mounting { mount: Box<Mount>, rebuilt: Rebuilt },
    Settling { node: Box<Node>, founding: bool, failed: Option<Error> },
    Failed(Error),
}

/// How far an opening has come.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "moved a handful of times in the life of a node")]
pub enum OpeningState {
    /// Waiting for the disk.
    Working(Opening),
    /// The node is up.
    Ready(Box<Node>, RecoveryReport),
    /// The node cannot be opened; the directory is as it was, or can be opened later.
    Failed(Error),
}

impl Opening {
    /// Begins to open a node. All its randomness derives from `seed`, which must be fresh for every opening.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] when the configuration is not valid.
    pub fn new(mut config: Config, seed: Seed, now: Now, start: Start) -> Result<Self, Error> {
        config.validate()?;
        let mut dice = seed.stream("identity");
        config.log.sync = match config.durability {
            Durability::Always | Durability::Memory => SyncMode::Always,
            Durability::Every(interval) => SyncMode::Every(interval),
        };
        let mut out = VecDeque::new();
        let stage = if config.durability == Durability::Memory {
            let history = History::born(config.node_id.clone(), ReplicaId(dice.next_id()), Hlc::default());
            let rebuilt =
                Rebuilt { history, store: Store::new(), last_lsn: Lsn::ZERO, state: State::default(), sound: None };
            let (journal, log) = (Journal::Memory { last: Lsn::ZERO }, LogId(dice.next_id()));
            let node = Node::new(config.clone(), rebuilt, journal, log, &seed, now);
            Stage::Settling { node: Box::new(node), founding: false, failed: None }
        } else {
            let mut scan = Scan::new(Purpose::Open);
            scan.start(&mut out);
            Stage::Scanning { scan: Box::new(scan), rebuild: Rebuild::seeded(seed.stream("replay").next_u64()) }
        };
        let created = config.durability == Durability::Memory;
        let report = RecoveryReport { created, ..RecoveryReport::default() };
        Ok(Self { config, start, seed, dice, stage, report, out })
    }

    /// Lets a crew work out what the log holds while what stands before it is replayed.
    #[must_use]
    pub fn with_crew(mut self, crew: Option<Box<dyn Crew>>) -> Self {
        if let Stage::Scanning { scan, .. } = &mut self.stage {
            scan.employ(crew);
        }
        self
    }

    /// Hands in how a disk operation ended.
    pub fn handle(&mut self, now: Now, token: IoToken, result: DiskResult) {
        match &mut self.stage {
            Stage::Scanning { scan, rebuild } => scan.handle_completion(token, result, rebuild, &mut self.out),
            Stage::Mounting { mount, .. } => mount.handle_completion(token, result, &mut self.out),
            Stage::Settling { node, .. } => node.handle(now, Input::Disk { token, result }),
            Stage::Failed(_) => {}
        }
    }

    /// The next disk operation to carry out.
    pub fn poll_output(&mut self, now: Now) -> Option<DiskRequest> {
        if let Some(request) = self.out.pop_front() {
            return Some(request);
        }
        let Stage::Settling { node, failed, .. } = &mut self.stage else { return None };
        while let Some(output) = node.poll_output(now) {
            match output {
                Output::Disk(request) => return Some(request),
                Output::Reply { result: Err(error), .. } => *failed = Some(error),
                Output::Event(super::Event::Degraded(degraded)) => {
                    *failed = Some(Error::new(Code::IoError, degraded.what, "see to the disk and open again"));
                }
                Output::Event(super::Event::DiskFull { error }) => {
                    *failed = Some(Error::new(Code::DiskFull, error, "make room on the disk and open again"));
                }
                Output::Reply { .. }
                | Output::Published(_)
                | Output::Link { .. }
                | Output::Datagram { .. }
                | Output::Pin { .. }
                | Output::Event(_)
                | Output::Closed => {}
            }
        }
        None
    }

    /// Goes on as far as possible. To be called when [`Opening::poll_output`] is empty.
    #[must_use]
    pub fn advance(mut self, now: Now) -> OpeningState {
        let stage = core::mem::replace(&mut self.stage, Stage::Failed(internal()));
        match self.next_stage(now, stage) {
            Stage::Failed(error) => OpeningState::Failed(error),
            Stage::Settling { node, founding, failed } => {
                if let Some(error) = failed {
                    return OpeningState::Failed(error);
                }
                if node.settled(founding) {
                    let mut report = self.report;
                    report.keys = node.store.len();
                    report.last_lsn = node.published;
                    return OpeningState::Ready(node, report);
                }
                self.stage = Stage::Settling { node, founding, failed };
                OpeningState::Working(self)
            }
            stage @ (Stage::Scanning { .. } | Stage::Mounting { .. }) => {
                self.stage = stage;
                OpeningState::Working(self)
            }
        }
    }

    fn next_stage(&mut self, now: Now, stage: Stage) -> Stage {
        match stage {
            Stage::Scanning { mut scan, mut rebuild } => match scan.take_outcome() {
                None => {
                    scan.work_meanwhile(&mut rebuild);
                    Stage::Scanning { scan, rebuild }
                }
                Some(Err(error)) => Stage::Failed(open_failed(&error)),
                Some(Ok(report)) => self.mount(now, report, rebuild).unwrap_or_else(Stage::Failed),
            },
            Stage::Mounting { mut mount, rebuilt } => match mount.take_outcome() {
                None => Stage::Mounting { mount, rebuilt },
                Some(Err(error)) => Stage::Failed(open_failed(&error)),
                Some(Ok(log)) => {
                    let founding = matches!(self.start, Start::Found(_));
                    let id = self.report.log.expect("a mounted log has a name");
                    let journal = Journal::Log(Box::new(log));
                    let mut node = Node::new(self.config.clone(), rebuilt, journal, id, &self.seed, now);
                    match self.settle(now, &mut node, founding) {
                        Ok(()) => Stage::Settling { node: Box::new(node), founding, failed: None },
                        Err(error) => Stage::Failed(error),
                    }
                }
            },
            stage @ (Stage::Settling { .. } | Stage::Failed(_)) => stage,
        }
    }

    fn mount(&mut self, now: Now, report: ScanReport, rebuild: Rebuild) -> Result<Stage, Error> {
        if let Some(refusal) = report.refusal() {
            return Err(refusal);
        }
        self.report.created = report.log.is_none();
        self.report.clean = report.closed_cleanly;
        self.report.snapshot_at = rebuild.snapshot_at;
        self.report.snapshot_entries = rebuild.snapshot_entries;
        self.report.records = rebuild.records;
        self.report.segments = report.segments.len() as u64;
        self.report.strangers.clone_from(&report.strangers);
        self.report.doubts = report.doubts();
        self.report.torn = report.torn.as_ref().map(|torn| TornTail {
            file: torn.file.clone(),
            offset: torn.offset,
            bytes: torn.bytes,
        });

        let replica = ReplicaId(self.dice.next_id());
        let rebuilt = match (&mut self.start, rebuild.finish()) {
            (Start::CreateNew | Start::Found(_), Some(found)) => {
                return Err(Error::new(
                    Code::AlreadyExists,
                    format!("the directory already holds the data of node {}", found.history.node),
                    "choose another directory, or open this one",
                ));
            }
            (Start::OpenExisting, None) => {
                return Err(Error::new(
                    Code::NotFound,
                    "the directory holds no data of a node",
                    "check the path, or create the node first",
                ));
            }
            (Start::Found(content), None) => {
                let content = core::mem::replace(&mut **content, Rebuilt::nothing());
                content.reborn(&self.config, replica, now.wall)
            }
            (Start::OpenOrCreate | Start::CreateNew, None) => Rebuilt {
                history: History::born(self.config.node_id.clone(), replica, Hlc::default()),
                store: Store::new(),
                last_lsn: Lsn::ZERO,
                state: State::default(),
                sound: None,
            },
            (Start::OpenOrCreate | Start::OpenExisting, Some(found)) => {
                self.check_node_id(&found)?;
                found
            }
        };
        let rebuilt = if planted!("seq_reused") && report.torn.is_some() { rebuilt.one_seq_back() } else { rebuilt };
        let founding = Founding { log: LogId(self.dice.next_id()), first_lsn: rebuilt.last_lsn.next() };
        self.report.log = report.log.or(Some(founding.log));
        let mut mount = Mount::new(report, self.config.log.clone(), founding, self.dice.clone())?;
        mount.start(&mut self.out);
        Ok(Stage::Mounting { mount: Box::new(mount), rebuilt })
    }

    fn check_node_id(&self, found: &Rebuilt) -> Result<(), Error> {
        match &self.config.node_id {
            Some(wanted) if *wanted != found.history.node => Err(Error::new(
                Code::InvalidArgument,
                format!("the directory belongs to node {}, not to {wanted}", found.history.node),
                "correct the node id or the directory",
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Lets a new history write its birth, and a founded one its snapshot.
    fn settle(&mut self, now: Now, node: &mut Node, founding: bool) -> Result<(), Error> {
        // A log can lack its birth only if the power went before the first frame was durable.
        let born = self.report.created || node.published_reach.seq == 0 && node.published == Lsn::ZERO;
        if born {
            node.write_birth(now)?;
            // Who it is stays the same from here on, also where writes are synced by a timer.
            node.flush(now)?;
            // A run that ended before its birth was durable has left nothing.
            self.report.created = true;
        }
        if founding {
            node.snapshot(now)?;
        }
        Ok(())
    }
}

impl Rebuilt {
    fn one_seq_back(mut self) -> Self {
        self.history.reach.seq = self.history.reach.seq.saturating_sub(1);
        self
    }

    fn nothing() -> Self {
        let history = History::born(None, ReplicaId([0; 16]), Hlc::default());
        Self { history, store: Store::new(), last_lsn: Lsn::ZERO, state: State::default(), sound: None }
    }
}

impl Node {
    fn write_birth(&mut self, now: Now) -> Result<(), Error> {
        let birth = Record::Birth { replica: self.history.replica, node: self.history.node.clone(), at: now.wall };
        let lsn = self.journal.append(core::slice::from_ref(&birth)).map_err(|_| internal())?;
        debug_assert!(lsn > self.published, "a birth is a record like others");
        Ok(())
    }

    /// Whether everything accepted is published, a birth is durable and, when founding, the snapshot is durable.
    fn settled(&self, founding: bool) -> bool {
        self.published == self.journal.accepted()
            && self.health == Health::Ready
            && self.flushes.is_empty()
            && !(founding && self.journal.log().is_some_and(|log| log.status().snapshot.is_none()))
    }
}

fn internal() -> Error {
    Error::new(Code::InternalError, "the opening was used after it ended", "report this as a fault of the software")
}

fn open_failed(error: &DiskError) -> Error {
    let (code, next) = match error.kind {
        DiskErrorKind::NoSpace => (Code::DiskFull, "make room on the disk and open again"),
        DiskErrorKind::TooManyFiles => (Code::IoError, "close files or raise the limit on open files, and open again"),
        DiskErrorKind::Denied => (Code::IoError, "correct the permissions of the data directory"),
        DiskErrorKind::NotFound | DiskErrorKind::AlreadyExists | DiskErrorKind::Io => {
            (Code::IoError, "see to the disk and open again")
        }
    };
    Error::new(code, format!("the log cannot be opened: {}", error.message), next)
}
