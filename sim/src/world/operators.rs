//! What operators do to a node: another machine in its place, a backup, a copy of its directory.

use bytes::Bytes;
use softadastra_core::ids::Lsn;
use softadastra_core::node::{Node, Start, Write};

use super::host::{Damage, Host, Machine};
use super::{Stage, World};
use crate::disk::SimDisk;
use crate::judges::{Failure, Moment};
use crate::oracle::{Harshness, Oracle, State, Verdict, state_of};
use crate::plan::{HostId, ONCE, What};
use crate::replay;
use crate::tally::Mark;

impl Host {
    /// The machine is lost with all that it held; an empty one with its name and key takes its place.
    pub(super) fn replace(&mut self, stage: &mut Stage, down: u64) -> Result<(), Failure> {
        if stage.witness.is_none() {
            return Ok(());
        }
        stage.tally.fault("machine lost");
        self.pins.clear();
        self.lose(stage, down)
    }

    /// The directory is lost, and the last backup is to take its place.
    pub(super) fn restore(&mut self, stage: &mut Stage, down: u64) -> Result<(), Failure> {
        let (Some(_), Some(kept)) = (&stage.witness, self.kept.clone()) else { return Ok(()) };
        stage.tally.fault("backup restored");
        self.lose(stage, down)?;
        self.restoring = Some(kept);
        Ok(())
    }

    fn lose(&mut self, stage: &mut Stage, down: u64) -> Result<(), Failure> {
        if let Some(witness) = &mut stage.witness {
            let lost = witness.bury(self.id);
            // Its birth may never have been durable, and others have heard of it all the same.
            stage.lost.extend(lost.into_iter().chain(self.own));
        }
        self.own = None;
        self.set_directory(stage, SimDisk::new(), down)?;
        self.fresh = true;
        Ok(())
    }

    pub(super) fn set_directory(&mut self, stage: &mut Stage, directory: SimDisk, down: u64) -> Result<(), Failure> {
        let due = stage.network.host_ended(stage.now, self.id, true);
        stage.expect(due);
        self.go_down(stage, down);
        self.disk.bring_back(directory);
        self.restoring = None;
        self.oracle = Oracle::default();
        (self.rot, self.pristine, self.damage) = (None, None, Damage::default());
        self.harshness = Harshness::Closed;
        (self.closed, self.strayed) = (Some(false), false);
        self.tearable = true;
        self.found = Lsn::ZERO;
        self.soft = false;
        stage.see(self.id, &Moment::Replaced)
    }

    /// How the next start begins. A founding that was cut short is begun again on an empty directory.
    pub(super) fn start_of(&mut self) -> Result<Start, String> {
        let Some(kept) = &self.restoring else { return Ok(Start::OpenOrCreate) };
        self.disk.bring_back(SimDisk::new());
        Ok(Start::Found(Box::new(replay::content(kept)?)))
    }

    /// What a node that was founded from a backup shows must be what the backup holds; from here on its own log counts.
    pub(super) fn judge_founded(&mut self, stage: &mut Stage, node: &Node) -> Option<Verdict> {
        let kept = self.restoring.take()?;
        stage.tally.mark(Mark::Restored);
        let verdict = match replay::content(&kept) {
            Ok(content) if State::of(content.store()) == state_of(node) => Verdict::Cut(0),
            Ok(_) => Verdict::Lost("a restored node does not show what the backup holds".to_owned()),
            Err(what) => Verdict::Lost(format!("a backup does not read: {what}")),
        };
        let status = node.status();
        if let Some(ledger) = stage.ledger(self.id) {
            // From here on its own records count.
            ledger.found(status.replica, node.store(), node.claims(), status.published);
        }
        Some(verdict)
    }

    /// The operator gives up what was lost.
    pub(super) fn retire(&mut self, stage: &Stage) {
        let now = self.now(stage);
        let done = (self.life, stage.lost.len());
        if self.retired == done {
            return;
        }
        if let Machine::Up(node) = &mut self.machine {
            self.retired = done;
            for replica in &stage.lost {
                // Whom it never heard of, it need not forget.
                let _unknown = node.forget_replica(now, *replica);
            }
        }
    }

    /// An older copy of the directory takes its place.
    pub(super) fn copy_back(&mut self, stage: &mut Stage, down: u64) -> Result<(), Failure> {
        let Some(copied) = self.copied.clone().filter(|_| stage.rollbacks) else { return Ok(()) };
        let Ok(content) = replay::content(&copied) else { return Ok(()) };
        stage.tally.fault("directory copied back");
        // A machine may have been lost since the copy was taken: its history lives again, and the one after it does not.
        stage.lost.extend(self.own.filter(|own| *own != content.replica()));
        stage.lost.remove(&content.replica());
        self.set_directory(stage, copied, down)?;
        // It may be the copy of a directory that was just opened, or just closed.
        self.closed = None;
        Ok(())
    }

    /// A client was told that these writes are done. A key that is written once is held against the end of the run.
    pub(super) fn remember(&self, stage: &mut Stage, writes: &[Write]) {
        for write in writes.iter().filter(|write| is_written_once(write.key())) {
            let written = match write {
                Write::Put { value, .. } => Some(value.clone()),
                Write::Delete { .. } => None,
            };
            stage.keepsakes.insert(write.key().clone(), written);
        }
    }

    /// Whether this node shows this value.
    pub(super) fn shows(&self, key: &[u8], value: &Bytes) -> bool {
        self.node().and_then(|node| node.store().get(key)?.value_bytes()).is_some_and(|there| there == *value)
    }
}

fn is_written_once(key: &[u8]) -> bool {
    let number = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix('k')?.parse::<u16>().ok());
    number.is_some_and(|number| number >= ONCE)
}

impl World {
    /// A directory is about to be lost, or to be another: what nobody else holds, and that one does not, is lost with it.
    pub(super) fn let_go(&mut self, host: HostId, what: &What) {
        if !self.stage.rollbacks || !matches!(what, What::Replace { .. } | What::Restore { .. } | What::CopyBack { .. })
        {
            return;
        }
        let held =
            |key: &Bytes, value: &Bytes| self.hosts.iter().any(|other| other.id() != host && other.shows(key, value));
        for (key, written) in &mut self.stage.keepsakes {
            if written.as_ref().is_some_and(|value| !held(key, value)) {
                *written = None;
            }
        }
    }

    /// A key that was written once, and is not there although nothing that was copied back can have taken it away.
    pub(super) fn missed(&self) -> Option<String> {
        let missed = |host: &Host| {
            let mut kept = self.stage.keepsakes.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
            kept.find(|(key, value)| !host.shows(key, value)).map(|(key, _)| key.clone())
        };
        let (host, key) = self.hosts.iter().find_map(|host| Some((host.id(), missed(host)?)))?;
        Some(format!(
            "{} was written once and answered, and n{} does not show it",
            String::from_utf8_lossy(&key),
            host.0
        ))
    }
}
