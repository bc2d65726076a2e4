//! Readable stories about several nodes, named A, B, C …: write, part, crash, meet again, expect.
//!
//! ```text
//! Several::mesh("two nodes converge", 2).put("A", "till", "open").converge().expect("B", "till", "open").end();
//! ```

use softadastra_core::node::Write;
use softadastra_core::sync::{OutboxStatus, Status};

use super::put;
use crate::disk::Loss;
use crate::judges::Failure;
use crate::oracle::Told;
use crate::plan::{Crash, Fleet, HostId, Knobs, Pace, What};
use crate::tally::Mark;
use crate::world::World;

/// Nobody waits for so long.
const FOR_EVER: u64 = 1 << 60;
/// So long a story waits for something, in microseconds.
const PATIENCE: u64 = 300_000_000;

/// A story of several nodes as it goes on.
pub struct Several {
    name: &'static str,
    world: World,
    nodes: u8,
    batches: u32,
}

impl Several {
    /// So many nodes, all linked with all.
    #[must_use]
    pub fn mesh(name: &'static str, nodes: u8) -> Self {
        Self::of(name, &Fleet::of(nodes, Knobs::SMALL)).settle()
    }

    /// So many nodes that cannot reach each other yet.
    #[must_use]
    pub fn apart(name: &'static str, nodes: u8) -> Self {
        Self::apart_with(name, &Fleet::of(nodes, Knobs::SMALL))
    }

    /// The same, configured otherwise.
    #[must_use]
    pub fn apart_with(name: &'static str, fleet: &Fleet) -> Self {
        let mut story = Self::of(name, fleet);
        for one in 0..story.nodes {
            for other in 0..one {
                story.block(HostId(one), HostId(other));
            }
        }
        story.settle()
    }

    /// Nodes that have just begun their first start.
    #[must_use]
    pub fn of(name: &'static str, fleet: &Fleet) -> Self {
        let world = World::with(1, fleet, Pace::QUICK, true);
        Self { name, world, nodes: fleet.size() as u8, batches: 0 }
    }

    /// Lets the world go on for so many microseconds.
    #[must_use]
    pub fn run_for(mut self, time: u64) -> Self {
        let result = self.world.run_for(time);
        self.check(result)
    }

    /// Lets the world go on for some seconds.
    #[must_use]
    pub fn settle(mut self) -> Self {
        let result = self.world.rest();
        self.check(result)
    }

    /// Waits until all nodes are the same.
    #[must_use]
    pub fn converge(mut self) -> Self {
        let result = self.world.come_together();
        self.check(result)
    }

    /// Lets the world go on in small steps until something is so.
    #[must_use]
    pub fn until(self, what: &str, is: impl FnMut(&mut World) -> bool) -> Self {
        self.until_looked(5_000, what, is)
    }

    /// The same, with a look every so many microseconds.
    #[must_use]
    pub fn until_looked(mut self, every: u64, what: &str, mut is: impl FnMut(&mut World) -> bool) -> Self {
        for _ in 0..PATIENCE / every {
            if is(&mut self.world) {
                return self;
            }
            self = self.run_for(every);
        }
        let trace = self.world.end(None).trace;
        panic!("{}: {what} never comes\n{}", self.name, trace.lines().join("\n"));
    }

    /// Writes one value at a node, and demands that it is answered.
    #[must_use]
    #[track_caller]
    pub fn put(self, at: &str, key: &str, value: &str) -> Self {
        self.send(at, put(key, value)).answered(at)
    }

    /// Deletes one key at a node, and demands that it is answered.
    #[must_use]
    #[track_caller]
    pub fn delete(self, at: &str, key: &str) -> Self {
        self.send(at, Write::Delete { key: key.to_owned().into(), expect: None }).answered(at)
    }

    /// Writes `count` keys of `len` bytes each at a node, and demands that all are answered.
    #[must_use]
    #[track_caller]
    pub fn fill(mut self, at: &str, count: u32, len: usize) -> Self {
        for index in 0..count {
            self = self.put(at, &format!("fill{index}"), &format!("{index:0len$}"));
        }
        self
    }

    /// Sends one write to a node, and waits for nothing.
    #[must_use]
    #[track_caller]
    pub fn send(mut self, at: &str, write: Write) -> Self {
        self.batches += 1;
        let result = self.world.send(self.node(at), self.batches, vec![write]);
        self.check(result)
    }

    #[track_caller]
    fn answered(self, at: &str) -> Self {
        let batch = self.batches;
        let host = self.node(at);
        let story = self.until("an answer", |world| world.told(host, batch).is_some());
        let told = story.world.told(host, batch);
        assert!(told == Some(Told::Done), "{}: batch #{batch} was told {told:?}", story.name);
        story
    }

    /// Demands that the last write was refused, or not, when all has come to rest.
    #[must_use]
    #[track_caller]
    pub fn told(self, at: &str, told: Told) -> Self {
        let was = self.world.told(self.node(at), self.batches);
        assert!(was == Some(told), "{}: batch #{} was told {was:?}, not {told:?}", self.name, self.batches);
        self
    }

    /// Nothing comes through between two nodes, and their connections break.
    #[must_use]
    #[track_caller]
    pub fn part(mut self, one: &str, other: &str) -> Self {
        self.block(self.node(one), self.node(other));
        let with = self.node(other);
        self.happens(one, What::Cut { with, deaf: false, other_deaf: false })
    }

    fn block(&mut self, one: HostId, other: HostId) {
        for (from, to) in [(one, other), (other, one)] {
            self.world.schedule(self.world.now(), from, What::Block { to, window: FOR_EVER });
        }
    }

    /// Nothing comes from one node to another, and no connection breaks.
    #[must_use]
    #[track_caller]
    pub fn block_one_way(self, from: &str, to: &str) -> Self {
        let to = self.node(to);
        self.happens(from, What::Block { to, window: FOR_EVER })
    }

    /// Everything comes through between two nodes.
    #[must_use]
    #[track_caller]
    pub fn connect(mut self, one: &str, other: &str) -> Self {
        for (from, to) in [(one, other), (other, one)] {
            self.world.unblock(self.node(from), self.node(to));
        }
        self
    }

    /// The process dies now, and starts again.
    #[must_use]
    #[track_caller]
    pub fn kill(self, at: &str) -> Self {
        let crash = Crash::Kill { salt: 1, evict: false };
        self.happens(at, What::Crash { crash, after: 0, down: 1_000 })
    }

    /// A copy of one machine, with its directory, its name and its key, starts in the place of another.
    #[must_use]
    #[track_caller]
    pub fn copy_machine(mut self, from: &str, to: &str) -> Self {
        let result = self.world.copy_machine(self.node(from), self.node(to));
        self.check(result).settle()
    }

    /// The copy is stopped, and an empty node with a name and a key of its own takes its place.
    #[must_use]
    #[track_caller]
    pub fn found_anew(mut self, copy: &str) -> Self {
        self.world.part_twins(self.node(copy));
        self.happens(copy, What::Replace { down: 1_000 }).settle()
    }

    /// Demands that the operator of a node was told that two run as one.
    #[must_use]
    #[track_caller]
    pub fn expect_told_of_twins(self, at: &str) -> Self {
        assert!(self.world.told_of_twins(self.node(at)), "{}: {at} does not tell that two run as one", self.name);
        self
    }

    /// The power goes when so many more effects were carried out, and comes back at once.
    #[must_use]
    #[track_caller]
    pub fn power_loss_after(self, at: &str, after: u16) -> Self {
        self.happens(at, What::Crash { crash: Crash::Power(Loss::TOTAL), after, down: 1_000 })
    }

    /// The power goes now, until somebody starts the node.
    #[must_use]
    #[track_caller]
    pub fn power_off(self, at: &str) -> Self {
        let crash = Crash::Power(Loss::TOTAL);
        self.happens(at, What::Crash { crash, after: 0, down: FOR_EVER }).run_for(1)
    }

    /// Starts a node that is down.
    #[must_use]
    #[track_caller]
    pub fn start(mut self, at: &str) -> Self {
        self.world.start(self.node(at));
        self.settle()
    }

    /// A clean close and a new start.
    #[must_use]
    #[track_caller]
    pub fn close_and_open(self, at: &str) -> Self {
        self.happens(at, What::Close { down: 1_000 }).settle()
    }

    /// An item of a plan happens at a node now; waits for nothing.
    #[must_use]
    #[track_caller]
    pub fn happens(mut self, at: &str, what: What) -> Self {
        self.world.schedule(self.world.now(), self.node(at), what);
        self.run_for(0)
    }

    /// The disk of a node is full but for so many bytes.
    #[must_use]
    #[track_caller]
    pub fn full_but(mut self, at: &str, room: u64) -> Self {
        let used = self.world.disk(self.node(at)).used();
        self.world.disk(self.node(at)).set_room(Some(used + room));
        self
    }

    /// There is room again.
    #[must_use]
    #[track_caller]
    pub fn room_again(mut self, at: &str) -> Self {
        self.world.disk(self.node(at)).set_room(None);
        self
    }

    /// Demands that a read at a node shows this value.
    #[must_use]
    #[track_caller]
    pub fn expect(mut self, at: &str, key: &str, value: &str) -> Self {
        let found = self.read(at, key);
        assert!(found.as_deref() == Some(value), "{}: {key} at {at} is {found:?}, not {value:?}", self.name);
        self
    }

    /// Waits until a read at a node shows this value.
    #[must_use]
    #[track_caller]
    pub fn wait_for(self, at: &str, key: &str, value: &str) -> Self {
        let host = self.node(at);
        let shows =
            |world: &mut World| world.read(host, key.as_bytes()).is_some_and(|(found, _)| found == value.as_bytes());
        self.until(&format!("{key} at {at}"), shows)
    }

    /// Demands that a read at a node shows nothing.
    #[must_use]
    #[track_caller]
    pub fn expect_absent(mut self, at: &str, key: &str) -> Self {
        let found = self.read(at, key);
        assert!(found.is_none(), "{}: {key} at {at} is {found:?}, not absent", self.name);
        self
    }

    /// Demands that a node has so many conflicts on record.
    #[must_use]
    #[track_caller]
    pub fn expect_conflicts(mut self, at: &str, count: u64) -> Self {
        let found = self.world.status(self.node(at)).map(|status| status.conflicts);
        assert!(found == Some(count), "{}: {at} has {found:?} conflicts on record, not {count}", self.name);
        self
    }

    /// Demands that so many conflicts wait for somebody to resolve them.
    #[must_use]
    #[track_caller]
    pub fn expect_open_conflicts(mut self, at: &str, count: usize) -> Self {
        let found = self.world.sync_status(self.node(at)).map(|sync| sync.open_conflicts);
        assert!(found == Some(count), "{}: {found:?} conflicts are open at {at}, not {count}", self.name);
        self
    }

    /// Demands that a node has so many tombstones.
    #[must_use]
    #[track_caller]
    pub fn expect_tombstones(mut self, at: &str, count: usize) -> Self {
        let found = self.world.status(self.node(at)).map(|status| status.store.tombstones);
        assert!(found == Some(count), "{}: {at} has {found:?} tombstones, not {count}", self.name);
        self
    }

    /// Demands that a node holds what it claims, and nothing else.
    #[must_use]
    #[track_caller]
    pub fn expect_exact(mut self, at: &str) -> Self {
        let sync = self.world.sync_status(self.node(at));
        assert!(sync.as_ref().is_some_and(|sync| sync.exact), "{}: {at} is not exact: {sync:?}", self.name);
        self
    }

    /// Demands something of a node's outbox.
    #[must_use]
    #[track_caller]
    pub fn expect_outbox(mut self, at: &str, is: impl FnOnce(&OutboxStatus) -> bool) -> Self {
        let outbox = self.world.status(self.node(at)).map(|status| status.outbox);
        assert!(outbox.as_ref().is_some_and(is), "{}: the outbox of {at} is {outbox:?}", self.name);
        self
    }

    /// Demands that a node has so many links to peers.
    #[must_use]
    #[track_caller]
    pub fn expect_links(mut self, at: &str, count: usize) -> Self {
        let found = self.world.status(self.node(at)).map(|status| status.connected);
        assert!(found == Some(count), "{}: {at} has {found:?} links, not {count}", self.name);
        self
    }

    /// Demands something of how a node sees its exchange with others.
    #[must_use]
    #[track_caller]
    pub fn expect_sync(mut self, at: &str, what: &str, is: impl FnOnce(&Status) -> bool) -> Self {
        let status = self.world.sync_status(self.node(at));
        assert!(status.as_ref().is_some_and(is), "{}: at {at} not {what}: {status:#?}", self.name);
        self
    }

    /// Demands that a mark was hit.
    #[must_use]
    pub fn expect_mark(self, mark: Mark) -> Self {
        let hits = self.world.tally().marks.get(&mark).copied().unwrap_or(0);
        assert!(hits > 0, "{}: {mark:?} was not hit", self.name);
        self
    }

    /// Ends the story: everything heals, all nodes become the same, close and open again. Gives the hash of the trace.
    ///
    /// # Panics
    /// When a promise was broken.
    pub fn end(mut self) -> u64 {
        let result = self.world.heal();
        let mut story = self.check(result);
        let result = story.world.finish();
        story.check(result).world.end(None).trace.hash()
    }

    /// One of the nodes of this story.
    #[track_caller]
    fn node(&self, name: &str) -> HostId {
        let host = host(name);
        let last = char::from(b'A' + self.nodes - 1);
        assert!(host.0 < self.nodes, "{}: there is no node {name}, but A to {last}", self.name);
        host
    }

    #[track_caller]
    fn read(&mut self, at: &str, key: &str) -> Option<String> {
        let (value, _) = self.world.read(self.node(at), key.as_bytes())?;
        Some(String::from_utf8_lossy(&value).into_owned())
    }

    fn check(self, result: Result<(), Failure>) -> Self {
        match result {
            Ok(()) => self,
            Err(failure) => {
                let name = self.name;
                let outcome = self.world.end(Some(failure));
                let told = outcome.failure.map(|failure| failure.to_string()).unwrap_or_default();
                panic!("{name}: {told}\n{}", outcome.trace.lines().join("\n"));
            }
        }
    }
}

/// The host of a name: A is the first.
///
/// # Panics
/// When no node can be called so.
#[must_use]
#[track_caller]
pub fn host(name: &str) -> HostId {
    let number = match name.as_bytes() {
        [letter @ b'A'..=b'Z'] => Some(HostId(letter - b'A')),
        _ => None,
    };
    number.unwrap_or_else(|| panic!("{name:?} is no node: nodes are called A, B, C and so on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "typo: there is no node C, but A to B")]
    fn a_node_that_is_not_in_the_story_is_refused_by_name() {
        drop(Several::mesh("typo", 2).put("C", "k", "1"));
    }

    #[test]
    #[should_panic(expected = "\"a\" is no node: nodes are called A, B, C and so on")]
    fn what_no_node_is_called_is_refused_by_name() {
        drop(Several::mesh("typo", 2).wait_for("a", "k", "1"));
    }
}
