//! What the log of one node of several says, read as it is written, and what therefore must be shown.
//!
//! Between several nodes a log holds more than what clients asked for here, so the oracle of one node does not suffice:
//! its beginnings are those of the *records* here. Own records must still be what clients asked for, foreign ones what
//! somebody issued. The merge is written down here once more, in its simplest form.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use softadastra_core::clock::Stamp;
use softadastra_core::context::VersionVector;
use softadastra_core::ids::{Dot, Lsn, ReplicaId, Seq};
use softadastra_core::node::{Outcome, Write, Written};
use softadastra_core::op::Operation;
use softadastra_core::store::{Entry, Store};
use softadastra_core::sync::{Contest, SyncRecord};
use softadastra_core::wal::format::Record;

use super::Oracle;
use super::witness::Registry;

/// What one node holds of a key after one of its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The operation that stands.
    pub op: Operation,
    /// Every operation of the key that was merged.
    pub known: VersionVector,
    /// How often another operation came to stand.
    pub count: u64,
    /// The last record that changed anything.
    pub changed: Lsn,
}

/// Two concurrent writes met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// In this record.
    pub lsn: Lsn,
    /// What was here.
    pub local: Dot,
    /// What came in.
    pub remote: Dot,
}

/// A record that should not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breach {
    /// What was superseded or deleted here stands again.
    Returned(String),
    /// Nobody asked for it, or somebody else issued something else.
    Forged(String),
    /// Its stamp or its context is not above what it overwrites.
    Disordered(String),
}

/// Nothing is left of a key.
#[derive(Clone, Debug)]
struct Cleared {
    /// Since this record.
    lsn: Lsn,
    key: Bytes,
    /// All that had been merged.
    known: VersionVector,
    /// In a full exchange, perhaps before the deletion is claimed here.
    dropped: bool,
}

/// The log of one node.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    me: Option<ReplicaId>,
    keys: BTreeMap<Bytes, Vec<(Lsn, Option<Version>)>>,
    /// Keys that records change which nobody has compared yet, in the order of the records.
    fresh: VecDeque<(Lsn, Bytes)>,
    own: Vec<(Lsn, Dot, Bytes)>,
    /// What stood here once and does not any more, and since when.
    gone: BTreeMap<Dot, Lsn>,
    /// What had been merged of a key when nothing of it was left.
    cleared: Vec<Cleared>,
    /// What was claimed of others, or is below the floor, from these records on; the last is all of it.
    claimed: Vec<(Lsn, VersionVector)>,
    /// What stands again after a record of the frame that is being read, and a sentence about it.
    returned: Vec<(Bytes, Dot, String)>,
    /// The last record written, or on its way.
    last: Lsn,
    /// What a reader was shown.
    shown: Lsn,
    /// What the node says survives a power loss.
    durable: Lsn,
    /// Concurrent pairs that met since the last start, and are not yet known to be on record.
    pub meetings: Vec<Meeting>,
}

impl Ledger {
    /// What the node holds of a key in the beginning of the log up to `lsn`.
    #[must_use]
    pub fn version_at(&self, key: &[u8], lsn: Lsn) -> Option<&Version> {
        let history = self.keys.get(key)?;
        history.iter().rev().find(|(at, _)| *at <= lsn)?.1.as_ref()
    }

    /// What survives a power loss.
    #[must_use]
    pub const fn durable(&self) -> Lsn {
        self.durable
    }

    /// What a reader was shown.
    #[must_use]
    pub const fn shown(&self) -> Lsn {
        self.shown
    }

    /// The last own operation in the beginning of the log up to `lsn`.
    #[must_use]
    pub fn own_at(&self, lsn: Lsn) -> Seq {
        self.own.iter().rev().find(|(at, dot, _)| *at <= lsn && Some(dot.replica) == self.me).map_or(0, |own| own.1.seq)
    }

    /// Whose log it is.
    #[must_use]
    pub const fn replica(&self) -> Option<ReplicaId> {
        self.me
    }

    /// Records that are being written, and perhaps never will be.
    ///
    /// # Errors
    /// The first that should not be there.
    pub fn take(&mut self, lsn: Lsn, record: &Record, registry: &mut Registry, clients: &Oracle) -> Result<(), Breach> {
        if lsn <= self.last {
            // What was on its way before was given up.
            self.forget_from(lsn);
        }
        self.last = lsn;
        match record {
            Record::Birth { replica, .. } => self.me = Some(*replica),
            Record::Own(op) => {
                self.judge_own(lsn, op, registry, clients)?;
                self.own.push((lsn, op.dot, op.key.clone()));
                self.merge(lsn, op, &VersionVector::EMPTY, registry)?;
            }
            Record::Foreign(op) => self.merge_foreign(lsn, op, &VersionVector::EMPTY, false, registry)?,
            Record::Sync(bytes) => match SyncRecord::decode(bytes) {
                Ok(SyncRecord::Entry { op, known, contest }) => {
                    self.merge_foreign(lsn, &op, &known, contest == Contest::Late, registry)?;
                }
                Ok(SyncRecord::Collected { stable, before, dots, .. }) => {
                    self.claim(lsn, &dots);
                    self.collect(lsn, &stable, before, registry);
                }
                Ok(SyncRecord::Cut(dots) | SyncRecord::Floor { dots, .. }) => self.claim(lsn, &dots),
                Ok(SyncRecord::Dropped { dot, key }) => {
                    if let Some(version) = self.version_at(&key, lsn).filter(|version| version.op.dot == dot) {
                        // What it superseded here, it supersedes everywhere, those included who have forgotten it.
                        if registry.is_collected(&key, dot) {
                            registry.collect(&key, &version.known);
                        }
                        self.remove(lsn, key, true);
                    }
                }
                Ok(_) => {}
                Err(error) => return Err(Breach::Forged(format!("a record of sync does not read: {error}"))),
            },
        }
        Ok(())
    }

    /// No record of a frame is shown without the others: whatever the next of them supersedes has come before its deletion, and
    /// was never seen.
    ///
    /// # Errors
    /// Of what came again in this frame, the first that is shown.
    pub fn end_frame(&mut self) -> Result<(), Breach> {
        let returned = std::mem::take(&mut self.returned);
        let stands = |(key, dot, what): (Bytes, Dot, String)| {
            let version: Option<&Version> = self.version_at(&key, self.last);
            version.is_some_and(|version| version.op.dot == dot).then_some(Breach::Returned(what))
        };
        returned.into_iter().find_map(stands).map_or(Ok(()), Err)
    }

    /// A new history begins with this content and these claims, which no record tells.
    pub fn found(&mut self, me: ReplicaId, store: &Store, claims: &VersionVector, last: Lsn) {
        let said = |entry: &Entry<'_>| Version {
            op: entry.operation(),
            known: entry.known(),
            count: entry.version(),
            changed: entry.changed(),
        };
        let keys = store
            .feed(Lsn::ZERO)
            .map(|entry| (Bytes::copy_from_slice(entry.key()), vec![(entry.changed(), Some(said(&entry)))]));
        let claimed = vec![(last, claims.clone())];
        *self =
            Self { me: Some(me), keys: keys.collect(), claimed, last, shown: last, durable: last, ..Self::default() };
    }

    fn forget_from(&mut self, lsn: Lsn) {
        for history in self.keys.values_mut() {
            history.truncate(history.iter().position(|(at, _)| *at >= lsn).unwrap_or(history.len()));
        }
        self.keys.retain(|_, history| !history.is_empty());
        self.fresh.retain(|(at, _)| *at < lsn);
        self.own.retain(|(at, ..)| *at < lsn);
        self.gone.retain(|_, at| *at < lsn);
        self.cleared.retain(|cleared| cleared.lsn < lsn);
        self.claimed.retain(|(at, _)| *at < lsn);
        self.meetings.retain(|meeting| meeting.lsn < lsn);
        self.last = Lsn(lsn.0.saturating_sub(1));
    }

    /// An own operation has seen all that is here, follows its predecessor, and was asked for by somebody.
    fn judge_own(&self, lsn: Lsn, op: &Operation, registry: &Registry, clients: &Oracle) -> Result<(), Breach> {
        let key = String::from_utf8_lossy(&op.key);
        let before = self.version_at(&op.key, lsn);
        let seen = before.map(|version| version.known.clone()).unwrap_or_default();
        let buries = op.marks.repeats.filter(|_| op.body.value().is_none());
        if op.context != seen && buries.is_none() || !op.context.covers_all(&seen) {
            return Err(Breach::Disordered(format!(
                "{} to {key} says it has seen {:?}, not {seen:?}",
                op.dot, op.context
            )));
        }
        if before.is_some_and(|version| version.op.stamp >= op.stamp) {
            return Err(Breach::Disordered(format!("{} to {key} is not stamped above what it overwrites", op.dot)));
        }
        if Some(op.dot.replica) == self.me && op.dot.seq != self.own_at(lsn) + 1 {
            return Err(Breach::Disordered(format!("{} follows seq {}", op.dot, self.own_at(lsn))));
        }
        if let Some(repeated) = buries {
            let was_deleted = seen.covers(repeated) || registry.is_collected(&op.key, repeated);
            return if was_deleted && registry.is_burial(op, op.context.beyond(&seen).iter()) {
                Ok(())
            } else {
                Err(Breach::Forged(format!("{} says that {repeated} to {key} was deleted", op.dot)))
            };
        }
        if op.marks.resolution || clients.wrote(&op.key, op.body.value()) {
            return Ok(());
        }
        // A full exchange makes a node write again what others have forgotten without having seen it.
        let again = before.filter(|version| version.op.body == op.body && op.body.value().is_some());
        let forgotten = before.is_some_and(|version| registry.is_collected(&op.key, version.op.dot));
        if op.body.value().is_none() && forgotten {
            // It found out in the same way that they have deleted what stands here.
            return Ok(());
        }
        match again {
            // Whoever has seen that deleted will say so.
            Some(version) if op.marks.repeats.is_some_and(|repeated| repeated == origin(&version.op)) => Ok(()),
            Some(version) if registry.is_collected(&op.key, version.op.dot) => {
                let what = format!("{key} was deleted as {} and everybody had seen that", version.op.dot);
                Err(Breach::Returned(format!("{what}, but {} writes it again", op.dot)))
            }
            Some(_) => Ok(()),
            None => Err(Breach::Forged(format!("nobody asked for {}, which writes {key}", op.dot))),
        }
    }

    fn merge_foreign(
        &mut self,
        lsn: Lsn,
        op: &Operation,
        known: &VersionVector,
        late: bool,
        registry: &mut Registry,
    ) -> Result<(), Breach> {
        registry.check(op).map_err(Breach::Forged)?;
        if late && !registry.is_collected(&op.key, op.dot) {
            return Err(Breach::Forged(format!(
                "{} is said to come after its deletion, but nobody has deleted it",
                op.dot
            )));
        }
        let before = self.meetings.len();
        self.merge(lsn, op, known, registry)?;
        if late {
            self.meetings.truncate(before);
        }
        Ok(())
    }

    fn merge(&mut self, lsn: Lsn, op: &Operation, known: &VersionVector, registry: &Registry) -> Result<(), Breach> {
        let before = self.version_at(&op.key, lsn).cloned();
        let returns = |what: String| Some((op.key.clone(), op.dot, what));
        let mut all = before.as_ref().map(|version| version.known.clone()).unwrap_or_default();
        let knew = all.covers(op.dot);
        all.join(&op.context);
        all.include(op.dot);
        all.join(known);
        let after = match &before {
            None => Version { op: op.clone(), known: all, count: 1, changed: lsn },
            Some(old) if knew && all == old.known => return Ok(()),
            Some(old) if knew => Version { known: all, changed: lsn, ..old.clone() },
            Some(old) => {
                let newer = op.context.covers(old.op.dot);
                let alike = op.marks.resolution && old.op.marks.resolution || op.stamp == old.op.stamp;
                let equal = alike && op.body == old.op.body;
                // One replica writes one thing after the other.
                let ordered = newer || op.dot.replica == old.op.dot.replica;
                if !ordered && !equal && !is_settled(old, op) {
                    self.meetings.push(Meeting { lsn, local: old.op.dot, remote: op.dot });
                }
                let rank = |op: &Operation| (op.stamp, op.dot.replica);
                if newer || rank(op) > rank(&old.op) {
                    self.gone.entry(old.op.dot).or_insert(lsn);
                    Version { op: op.clone(), known: all, count: old.count + 1, changed: lsn }
                } else {
                    self.gone.entry(op.dot).or_insert(lsn);
                    Version { known: all, changed: lsn, ..old.clone() }
                }
            }
        };
        if after.op.dot == op.dot && after.changed == lsn && op.body.value().is_some() && !knew {
            let key = String::from_utf8_lossy(&op.key);
            if self.is_undecided(&op.key, op.dot) {
                // Its deletion comes with the claim.
            } else if self.gone.get(&op.dot).is_some_and(|at| *at < lsn) {
                self.returned.extend(returns(format!("{key} shows {} again, which was superseded here", op.dot)));
            } else if before.is_none() && registry.is_collected(&op.key, op.dot) && self.gone.contains_key(&op.dot) {
                self.returned.extend(returns(format!("{key} shows {} again, whose deletion was forgotten", op.dot)));
            }
            let mut deleted = self.cleared.iter().filter(|gone| gone.key == op.key).map(|gone| &gone.known);
            // A deletion that nobody was shown yet, and that the repetition brings along as what it has won over, was none here.
            let brought = |old: &&Version| {
                old.changed > self.shown && (known.covers(old.op.dot) || op.context.covers(old.op.dot))
            };
            let dead =
                before.as_ref().filter(|old| old.op.body.value().is_none() && !brought(old)).map(|old| &old.known);
            if let Some(repeated) = op.marks.repeats
                && before.as_ref().is_none_or(|old| old.op.body.value().is_none())
                && !self.is_undecided(&op.key, repeated)
                && (deleted.any(|known| known.covers(repeated)) || dead.is_some_and(|known| known.covers(repeated)))
            {
                let what = format!("{key} shows {}, which repeats {repeated}, deleted here", op.dot);
                self.returned.extend(returns(what));
            }
        }
        self.enter(lsn, op.key.clone(), Some(after));
        Ok(())
    }

    fn enter(&mut self, lsn: Lsn, key: Bytes, version: Option<Version>) {
        self.fresh.push_back((lsn, key.clone()));
        self.keys.entry(key).or_default().push((lsn, version));
    }

    fn collect(&mut self, lsn: Lsn, stable: &VersionVector, before: Stamp, registry: &mut Registry) {
        let mut swept = Vec::new();
        for (key, history) in &self.keys {
            if let Some((_, Some(version))) = history.last()
                && version.op.body.value().is_none()
                && version.op.stamp < before
                && stable.covers_all(&version.known)
            {
                swept.push((key.clone(), version.known.clone()));
            }
        }
        for (key, known) in swept {
            registry.collect(&key, &known);
            self.remove(lsn, key, false);
        }
    }

    fn claim(&mut self, lsn: Lsn, dots: &VersionVector) {
        let mut all = self.claimed.last().map(|(_, all)| all.clone()).unwrap_or_default();
        all.join(dots);
        let certain = self.durable.min(self.shown);
        let past = self.claimed.iter().filter(|(at, _)| *at <= certain).count();
        self.claimed.drain(..past.saturating_sub(1));
        self.claimed.push((lsn, all));
    }

    /// Whether the node said that it has this, or what superseded it: an own operation, a claim, or something below its floor.
    #[must_use]
    pub fn claims(&self, dot: Dot) -> bool {
        self.claimed.last().is_some_and(|(_, all)| all.covers(dot)) || self.own.iter().any(|(_, own, _)| *own == dot)
    }

    /// Whether a full exchange has dropped this while nothing said that its deletion is known here: who has not heard of it may
    /// bring it again, until it is claimed.
    fn is_undecided(&self, key: &Bytes, dot: Dot) -> bool {
        !self.claims(dot) && self.cleared.iter().any(|gone| gone.dropped && gone.key == *key && gone.known.covers(dot))
    }

    fn remove(&mut self, lsn: Lsn, key: Bytes, dropped: bool) {
        if let Some(version) = self.version_at(&key, lsn) {
            let known = version.known.clone();
            self.gone.entry(version.op.dot).or_insert(lsn);
            self.cleared.push(Cleared { lsn, key: key.clone(), known, dropped });
            self.enter(lsn, key, None);
        }
    }

    /// The node shows everything up to here.
    pub fn show(&mut self, through: Lsn) {
        self.shown = self.shown.max(through);
    }

    /// The node says that everything up to here survives.
    pub fn endure(&mut self, through: Lsn) {
        self.durable = self.durable.max(through);
    }

    /// Whether what the node shows of every key is what its log says: no key goes before the record that takes it away is
    /// shown, a tombstone least of all, or else a start from a snapshot in between knows of neither.
    ///
    /// # Errors
    /// A sentence, when it is not.
    pub fn compare(&mut self, store: &Store) -> Result<(), String> {
        self.keys.keys().try_for_each(|key| self.compare_key(store, key))?;
        self.fresh.retain(|(at, _)| *at > self.shown);
        let stranger = store.feed(Lsn::ZERO).find(|entry| !self.keys.contains_key(entry.key()));
        match stranger {
            Some(entry) => Err(format!("{} is shown, but stands in no record", String::from_utf8_lossy(entry.key()))),
            None => Ok(()),
        }
    }

    /// The same, but only of keys that have changed since the last look.
    ///
    /// # Errors
    /// A sentence, when it is not.
    pub fn compare_fresh(&mut self, store: &Store) -> Result<(), String> {
        while let Some((_, key)) = self.fresh.pop_front_if(|(at, _)| *at <= self.shown) {
            self.compare_key(store, &key)?;
        }
        Ok(())
    }

    fn compare_key(&self, store: &Store, key: &Bytes) -> Result<(), String> {
        let at = self.shown;
        let name = || String::from_utf8_lossy(key);
        match (self.version_at(key, at), store.entry(key)) {
            (None, None) => Ok(()),
            (Some(said), Some(found)) => match difference(said, &found) {
                Some(what) => Err(format!("{} {what}", name())),
                None => Ok(()),
            },
            (Some(said), None) => Err(format!("{} is absent, but must show {}", name(), said.op.dot)),
            (None, Some(found)) => Err(format!("{} shows {}, which no record up to {at} says", name(), found.dot())),
        }
    }

    /// Looks at the log as it was when it ended at `last`.
    pub fn look_back_to(&mut self, last: Lsn) {
        self.forget_from(last.next());
        self.shown = last;
    }

    /// Whether the log up to `last`, which a start has found, holds all that was promised: `floor` at least. From here
    /// on that is what must survive.
    ///
    /// # Errors
    /// A sentence, when something is missing, or stands there that was said to have failed.
    pub fn reopened(&mut self, last: Lsn, floor: Lsn, clients: &Oracle) -> Result<(), (bool, String)> {
        if last < floor {
            return Err((true, format!("the log ends at {last}, but everything up to {floor} was promised")));
        }
        for (lsn, dot, key) in self.own.iter().filter(|(lsn, ..)| *lsn > self.shown && *lsn <= last) {
            if let Some(version) = self.version_at(key, *lsn)
                && version.op.dot == *dot
                && !version.op.marks.resolution
                && clients.asked_and_refused(key, version.op.body.value())
            {
                let key = String::from_utf8_lossy(key);
                return Err((false, format!("{key} shows {dot}, which was said to have failed")));
            }
        }
        self.forget_from(last.next());
        self.last = last;
        self.shown = last;
        self.durable = last;
        self.meetings.clear();
        Ok(())
    }

    /// Whether an answer says what the records say.
    ///
    /// # Errors
    /// A sentence, when it does not.
    pub fn check_answer(&self, writes: &[Write], written: &[Written]) -> Result<(), String> {
        let changes = |w: &&Written| matches!(w.outcome, Outcome::Created | Outcome::Updated | Outcome::Deleted);
        let first = written.iter().filter(changes).map(|w| w.lsn).min();
        for (write, said) in writes.iter().zip(written) {
            let (key, expect) = match write {
                Write::Put { key, expect, .. } | Write::Delete { key, expect } => (key, expect),
            };
            let name = String::from_utf8_lossy(key);
            let visible = |version: Option<&Version>| version.is_some_and(|version| version.op.body.value().is_some());
            if let (Some(expect), Some(first)) = (expect, first) {
                let before = self.version_at(key, Lsn(first.0.saturating_sub(1)));
                let found = before.filter(|version| visible(Some(version))).map_or(0, |version| version.count);
                if found != *expect {
                    return Err(format!("{name} had version {found} and was written on condition of {expect}"));
                }
            }
            let Some(now) = self.version_at(key, said.lsn).filter(|version| version.changed == said.lsn) else {
                if said.lsn == Lsn::ZERO && said.outcome == Outcome::Absent || !changes(&said) {
                    continue;
                }
                return Err(format!("{name} was answered {said:?}, but no such record was written"));
            };
            let before = self.version_at(key, Lsn(said.lsn.0.saturating_sub(1)));
            let is = match (write, said.outcome) {
                (Write::Put { value, .. }, Outcome::Created) => now.op.body.value() == Some(value) && !visible(before),
                (Write::Put { value, .. }, Outcome::Updated) => now.op.body.value() == Some(value) && visible(before),
                (Write::Put { value, .. }, Outcome::Unchanged) => now.op.body.value() == Some(value),
                (Write::Delete { .. }, Outcome::Deleted) => now.op.body.value().is_none() && visible(before),
                (Write::Delete { .. }, Outcome::Absent) => now.op.body.value().is_none(),
                (Write::Put { .. }, Outcome::Deleted | Outcome::Absent)
                | (Write::Delete { .. }, Outcome::Created | Outcome::Updated | Outcome::Unchanged) => false,
            };
            if !is || now.count != said.version {
                return Err(format!(
                    "{name} was answered {said:?}, but the log says version {} by {}",
                    now.count, now.op.dot
                ));
            }
        }
        Ok(())
    }
}

/// What an operation repeats, or else itself.
fn origin(op: &Operation) -> Dot {
    op.marks.repeats.unwrap_or(op.dot)
}

/// Whether a repetition, or its deletion, meets what stands here and nothing is lost by it: no conflict of two that meant
/// what they wrote.
fn is_settled(old: &Version, op: &Operation) -> bool {
    let side = |op: &Operation, seen: &VersionVector| (op.marks.repeats, op.body.value().is_none(), seen.clone());
    let (here, there) = (side(&old.op, &old.known), side(op, &op.context));
    if here.0.is_none() && there.0.is_none() {
        return false;
    }
    if here.1 && there.1 || here.0 == there.0 && old.op.body == op.body {
        return true;
    }
    let op_wins = (op.stamp, op.dot.replica) > (old.op.stamp, old.op.dot.replica);
    let (winner, loser) = if op_wins { (there, here) } else { (here, there) };
    // A lost burial takes nothing with it; what had seen the operation repeated, and wins over the repetition, neither; and
    // what had seen it and deleted it will do so again.
    match (winner, loser) {
        ((.., seen), (Some(repeated), is_deletion, _)) => is_deletion || seen.covers(repeated),
        ((Some(repeated), ..), (None, is_deletion, seen)) => is_deletion && seen.covers(repeated),
        ((None, ..), (None, ..)) => false,
    }
}

fn difference(said: &Version, found: &Entry<'_>) -> Option<String> {
    let dots = (said.op.dot, found.dot());
    if dots.0 != dots.1 || said.op.stamp != found.stamp() {
        return Some(format!("shows {} of {}, not {} of {}", dots.1, found.stamp(), dots.0, said.op.stamp));
    }
    if said.op.body != found.body() {
        return Some(format!("shows another value of {}", dots.0));
    }
    if said.known != found.known() {
        return Some(format!("has merged {:?}, not {:?}", found.known(), said.known));
    }
    if said.op.context != found.context() {
        return Some(format!("gives {} the context {:?}, not {:?}", dots.0, found.context(), said.op.context));
    }
    if said.count != found.version() {
        return Some(format!("is shown in version {}, not {}", found.version(), said.count));
    }
    (said.changed != found.changed()).then(|| format!("changed at {}, not {}", found.changed(), said.changed))
}
