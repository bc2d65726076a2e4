//! The table of links and the bounds on them.

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::IpAddr;

use super::super::session::{Introduction, Role, Session};
use super::{LinkId, PeerId};
use crate::time::Instant;

/// How far a link has come.
pub(super) enum Stage {
    /// The driver is making the connection.
    Dialling {
        /// By when it must be made.
        deadline: Instant,
    },
    /// The handshake goes on.
    Shaking(Session),
    /// This side has said who it is and waits for consent.
    Asking(Session),
    /// It stands.
    Up(Session),
}

impl Stage {
    pub(super) const fn session(&self) -> Option<&Session> {
        match self {
            Self::Dialling { .. } => None,
            Self::Shaking(session) | Self::Asking(session) | Self::Up(session) => Some(session),
        }
    }

    pub(super) const fn session_mut(&mut self) -> Option<&mut Session> {
        match self {
            Self::Dialling { .. } => None,
            Self::Shaking(session) | Self::Asking(session) | Self::Up(session) => Some(session),
        }
    }

    pub(super) const fn is_up(&self) -> bool {
        matches!(self, Self::Up(_))
    }
}

/// One link.
pub(super) struct Link {
    pub(super) stage: Stage,
    pub(super) role: Role,
    /// Whom it is dialled for, or whom it belongs to since it was admitted.
    pub(super) peer: Option<PeerId>,
    /// Who the other side has proven to be.
    pub(super) who: Option<Introduction>,
    /// Its name is to be pinned when the link stands.
    pub(super) pin: bool,
    pub(super) group: Option<Group>,
    /// The deadline that is registered for it.
    pub(super) armed: Option<Instant>,
    /// Messages were queued since the last flush.
    pub(super) dirty: bool,
}

/// What counts as one address: an IPv4 address, or the /64 that one IPv6 host can fill at will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group([u8; 16]);

impl Group {
    pub(super) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(ip.to_ipv6_mapped().octets()),
            IpAddr::V6(ip) => {
                let mut octets = ip.octets();
                octets.iter_mut().skip(8).for_each(|octet| *octet = 0);
                Self(octets)
            }
        }
    }
}

/// All links, with the counts that bound them.
#[derive(Default)]
pub(super) struct Links {
    by_id: BTreeMap<LinkId, Link>,
    per_group: BTreeMap<Group, usize>,
    /// Incoming links that do not stand yet; the oldest first.
    half_open: BTreeSet<LinkId>,
    /// Outgoing links that do not stand yet.
    dials: usize,
    last: u64,
}

impl Links {
    pub(super) fn get(&self, id: LinkId) -> Option<&Link> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.by_id.get_mut(&id)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = LinkId> {
        self.by_id.keys().copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.by_id.iter().map(|(id, link)| (*id, link))
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) const fn dials(&self) -> usize {
        self.dials
    }

    pub(super) fn half_open(&self) -> usize {
        self.half_open.len()
    }

    pub(super) fn in_group(&self, group: Group) -> usize {
        self.per_group.get(&group).copied().unwrap_or(0)
    }

    /// The oldest link under way, of one group or of all, and how many there are.
    pub(super) fn oldest_half_open(&self, group: Option<Group>) -> (usize, Option<LinkId>) {
        let of_group = |id: &&LinkId| group.is_none() || self.get(**id).is_some_and(|link| link.group == group);
        (self.half_open.iter().filter(of_group).count(), self.half_open.iter().find(of_group).copied())
    }

    pub(super) fn insert(&mut self, role: Role, stage: Stage, peer: Option<PeerId>, group: Option<Group>) -> LinkId {
        self.last += 1;
        let id = LinkId(self.last);
        match role {
            Role::Initiator => self.dials += 1,
            Role::Responder => drop(self.half_open.insert(id)),
        }
        if let Some(group) = group {
            *self.per_group.entry(group).or_default() += 1;
        }
        self.by_id.insert(id, Link { stage, role, peer, who: None, pin: false, group, armed: None, dirty: false });
        id
    }

    /// The last that was begun.
    pub(super) const fn last(&self) -> LinkId {
        LinkId(self.last)
    }

    pub(super) fn count_from(&mut self, before: &Self) {
        self.last = self.last.max(before.last);
    }

    /// The link stands from now on.
    pub(super) fn stand(&mut self, id: LinkId) {
        if let Some(link) = self.by_id.get_mut(&id) {
            take(&mut link.stage, |stage| match stage {
                Stage::Shaking(session) | Stage::Asking(session) | Stage::Up(session) => Stage::Up(session),
                dialling @ Stage::Dialling { .. } => dialling,
            });
            match link.role {
                Role::Initiator => self.dials -= 1,
                Role::Responder => drop(self.half_open.remove(&id)),
            }
        }
    }

    pub(super) fn remove(&mut self, id: LinkId) -> Option<Link> {
        let link = self.by_id.remove(&id)?;
        self.half_open.remove(&id);
        self.dials -= usize::from(link.role == Role::Initiator && !link.stage.is_up());
        if let Some(group) = link.group
            && let Some(count) = self.per_group.get_mut(&group)
        {
            *count -= 1;
            if *count == 0 {
                self.per_group.remove(&group);
            }
        }
        Some(link)
    }
}

/// Replaces a stage by what `change` makes of it.
pub(super) fn take(stage: &mut Stage, change: impl FnOnce(Stage) -> Stage) {
    let before = core::mem::replace(stage, Stage::Dialling { deadline: Instant(0) });
    *stage = change(before);
}
