//! What the store holds for a key, as others see it.

use core::fmt;

use bytes::Bytes;

use super::slot::{Replicas, Slot};
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn};
use crate::op::{Body, Marks, Operation, View};

/// The entry of one key: the operation that won, what else was merged, and how often the winner changed. A view into
/// the store; copying it costs nothing.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    pub(super) slot: &'a Slot,
    pub(super) replicas: &'a Replicas,
}

impl<'a> Entry<'a> {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &'a [u8] {
        self.slot.key()
    }

    /// The value; `None` for a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.slot.value()
    }

    /// The value in bytes of its own, to be kept beyond the borrow of the store; `None` for a tombstone. A long value
    /// is shared, a short one copied.
    #[must_use]
    pub fn value_bytes(&self) -> Option<Bytes> {
        (!self.is_tombstone()).then(|| self.slot.share_value())
    }

    /// The winner's body, as [`Self::value_bytes`] gives it.
    #[must_use]
    pub fn body(&self) -> Body {
        self.value_bytes().map_or(Body::Delete, Body::Put)
    }

    /// Whether the key was deleted.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.slot.is_tombstone()
    }

    /// The name of the operation that won.
    #[must_use]
    pub fn dot(&self) -> Dot {
        self.slot.dot(self.replicas)
    }

    /// The stamp of the operation that won.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.slot.stamp
    }

    /// What the winner's writer had seen of this key.
    #[must_use]
    pub fn context(&self) -> VersionVector {
        self.slot.context(self.replicas).collect()
    }

    /// Every dot of this key that was merged here, losers included: the context of the next write to it.
    #[must_use]
    pub fn known(&self) -> VersionVector {
        self.slot.known(self.replicas).collect()
    }

    /// The dots that together make up [`Self::known`], without gathering them. One replica may come twice; the greater
    /// counts.
    pub fn known_dots(&self) -> impl Iterator<Item = Dot> + 'a {
        self.slot.known(self.replicas)
    }

    /// [`Self::known`], if it is more than the winner's context and dot.
    #[must_use]
    pub fn known_beyond(&self) -> Option<VersionVector> {
        self.slot.has_known().then(|| self.known())
    }

    /// The operation that won, as it was issued.
    #[must_use]
    pub fn operation(&self) -> Operation {
        Operation {
            dot: self.dot(),
            stamp: self.stamp(),
            context: self.context(),
            key: Bytes::copy_from_slice(self.key()),
            body: self.body(),
            marks: self.marks(),
        }
    }

    /// [`Self::operation`], with key and value where they are.
    #[must_use]
    pub fn view(&self) -> View<'a, VersionVector> {
        View {
            dot: self.dot(),
            stamp: self.stamp(),
            context: self.context(),
            key: self.key(),
            value: self.value(),
            marks: self.marks(),
        }
    }

    /// The operation that the winner repeats, or else the winner itself.
    #[must_use]
    pub fn origin(&self) -> Dot {
        self.marks().repeats.unwrap_or_else(|| self.dot())
    }

    /// How often the winner has changed here, from 1; it goes on through deletions. Each node counts for itself.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.slot.version
    }

    /// The LSN of the latest record that changed the winner or `known`.
    #[must_use]
    pub fn changed(&self) -> Lsn {
        self.slot.changed
    }

    /// [`Body::content_hash`] of the winner.
    #[must_use]
    pub fn content_hash(&self) -> u64 {
        self.slot.content_hash
    }

    /// Facts about the winner that are not its content.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.slot.marks(self.replicas)
    }
}

/// Equal in everything that is kept, `changed` and `version` included.
impl PartialEq for Entry<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
            && self.value() == other.value()
            && self.dot() == other.dot()
            && self.stamp() == other.stamp()
            && self.marks() == other.marks()
            && self.content_hash() == other.content_hash()
            && self.version() == other.version()
            && self.changed() == other.changed()
            && self.context() == other.context()
            && self.known() == other.known()
    }
}

impl Eq for Entry<'_> {}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &Bytes::copy_from_slice(self.key()))
            .field("value", &self.value_bytes())
            .field("dot", &self.dot())
            .field("stamp", &self.stamp())
            .field("marks", &self.marks())
            .field("context", &self.context())
            .field("known", &self.known())
            .field("version", &self.version())
            .field("changed", &self.changed())
            .finish_non_exhaustive()
    }
}
