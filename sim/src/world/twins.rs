//! A machine is copied, and both run: one directory, one name, one key, twice.

use std::collections::{BTreeMap, BTreeSet};

use softadastra_core::node::Event;

use super::{Stage, World};
use crate::judges::Failure;
use crate::plan::HostId;

/// Who runs as whom.
#[derive(Debug, Default)]
pub(super) struct Twins {
    faces: BTreeMap<HostId, HostId>,
    /// Somebody was copied in this run.
    any: bool,
    /// Who was told that two run as one, or that its history is not the one that others know.
    told: BTreeSet<HostId>,
}

impl Stage {
    /// As whom a host is known to others.
    pub(super) fn face(&self, host: HostId) -> HostId {
        self.twins.faces.get(&host).copied().unwrap_or(host)
    }

    /// A node tells its operator of two that run as one. Says whether that is so here.
    pub(super) fn tells_of_twins(&mut self, host: HostId, event: &Event) -> bool {
        use softadastra_core::sync::Event as Sync;
        let tells = matches!(event, Event::KeyCloned { .. } | Event::Sync(Sync::Identity(_)));
        if tells && self.twins.any {
            self.twins.told.insert(host);
        }
        tells && self.twins.any
    }
}

impl World {
    /// A copy of a machine starts in the place of another, which is lost, beside the one that it was copied from.
    ///
    /// # Errors
    /// The promise that breaks over it.
    pub fn copy_machine(&mut self, from: HostId, to: HostId) -> Result<(), Failure> {
        let image = self.disk(from).copy();
        let pins = self.host(from).pins.clone();
        self.stage.twins.any = true;
        self.stage.twins.faces.insert(to, from);
        let Some(host) = self.hosts.get_mut(usize::from(to.0)) else { return Ok(()) };
        self.stage.lost.extend(host.own.take());
        host.pins = pins;
        host.set_directory(&mut self.stage, image, 1_000)?;
        // The original runs while it is copied.
        host.closed = None;
        Ok(())
    }

    /// The copy has a name and a key of its own from its next start on.
    pub fn part_twins(&mut self, host: HostId) {
        self.stage.twins.faces.remove(&host);
    }

    /// Whether the operator of a node was told that two run as one.
    #[must_use]
    pub fn told_of_twins(&self, host: HostId) -> bool {
        self.stage.twins.told.contains(&host)
    }
}
