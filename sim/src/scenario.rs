//! Readable stories about one node: write, crash, open again, expect.
//!
//! ```text
//! Story::begin("an answer survives a power loss").put("till", "open").power_loss().expect("till", "open").end();
//! ```
//!
//! Each step waits until the world has come to rest, unless its name says otherwise. All judges watch a story as they
//! watch
//! a random run; [`Story::end`] demands besides that the node heals, closes cleanly and opens again.

mod several;

use softadastra_core::error::Code;
use softadastra_core::node::Write;

pub use self::several::{Several, host};
use crate::disk::{Fault, Harm, Loss, OpKind, SimDisk};
use crate::judges::Failure;
use crate::oracle::Told;
use crate::plan::{Crash, HostId, Knobs, Pace, What};
use crate::tally::Mark;
use crate::world::World;

const HOST: HostId = HostId(0);

/// A story as it goes on.
pub struct Story {
    name: &'static str,
    world: World,
    batches: u32,
}

impl Story {
    /// A node with small segments has just started on an empty directory.
    #[must_use]
    pub fn begin(name: &'static str) -> Self {
        Self::begin_with(name, Knobs::SMALL)
    }

    /// The same, configured otherwise.
    #[must_use]
    pub fn begin_with(name: &'static str, knobs: Knobs) -> Self {
        Self::not_yet_up_with(name, knobs).rest()
    }

    /// A node on a directory that an older version of the software has written.
    #[must_use]
    pub fn inherited(name: &'static str, knobs: Knobs) -> Self {
        let mut story = Self::not_yet_up_with(name, knobs);
        story.world.inherit(HOST);
        story.rest()
    }

    /// A node that has just begun its first start.
    #[must_use]
    pub fn not_yet_up(name: &'static str) -> Self {
        Self::not_yet_up_with(name, Knobs::SMALL)
    }

    /// The same, configured otherwise.
    #[must_use]
    pub fn not_yet_up_with(name: &'static str, knobs: Knobs) -> Self {
        Self { name, world: World::new(1, knobs, Pace::QUICK, true), batches: 0 }
    }

    /// Lets the world go on for so many microseconds.
    #[must_use]
    pub fn run_for(mut self, time: u64) -> Self {
        let result = self.world.run_for(time);
        self.check(result)
    }

    /// Waits until nothing is left to happen.
    #[must_use]
    pub fn rest(mut self) -> Self {
        let result = self.world.rest();
        self.check(result)
    }

    /// Writes one value, and demands that it is answered.
    #[must_use]
    pub fn put(self, key: &str, value: &str) -> Self {
        self.send(vec![put(key, value)]).rest().told(Told::Done)
    }

    /// Deletes one key, and demands that it is answered.
    #[must_use]
    pub fn delete(self, key: &str) -> Self {
        let write = Write::Delete { key: key.to_owned().into(), expect: None };
        self.send(vec![write]).rest().told(Told::Done)
    }

    /// Writes `count` values of `len` bytes to `keys` keys in turn, and demands that all are answered.
    #[must_use]
    pub fn fill(mut self, count: u32, keys: u32, len: usize) -> Self {
        for index in 0..count {
            let value = format!("{index:0len$}");
            self = self.put(&format!("fill{}", index % keys), &value);
        }
        self
    }

    /// Sends one batch, and waits for nothing.
    #[must_use]
    pub fn send(mut self, writes: Vec<Write>) -> Self {
        self.batches += 1;
        let result = self.world.send(HOST, self.batches, writes);
        self.check(result)
    }

    /// Sends one write, and waits for nothing.
    #[must_use]
    pub fn send_put(self, key: &str, value: &str) -> Self {
        self.send(vec![put(key, value)])
    }

    /// Demands that the last batch was answered like this.
    #[must_use]
    pub fn told(self, told: Told) -> Self {
        let was = self.world_told();
        assert!(was == Some(told), "{}: batch #{} was told {was:?}, not {told:?}", self.name, self.batches);
        self
    }

    /// The process dies now, and starts again.
    #[must_use]
    pub fn kill(self) -> Self {
        self.kill_after(0)
    }

    /// The process dies when so many more effects were carried out, and starts again.
    #[must_use]
    pub fn kill_after(self, after: u16) -> Self {
        self.happens(What::Crash { crash: Crash::Kill { salt: 1, evict: false }, after, down: 1_000 }).rest()
    }

    /// The process dies now, memory pressure drops its pages, and it starts again.
    #[must_use]
    pub fn kill_and_evict(self) -> Self {
        self.happens(What::Crash { crash: Crash::Kill { salt: 1, evict: true }, after: 0, down: 1_000 }).rest()
    }

    /// The power goes now and takes everything that was not synced; then the node starts again.
    #[must_use]
    pub fn power_loss(self) -> Self {
        self.power_loss_after(0, Loss::TOTAL)
    }

    /// The power goes when so many more effects were carried out, and takes as much as is said; then the node starts
    /// again.
    #[must_use]
    pub fn power_loss_after(self, after: u16, loss: Loss) -> Self {
        self.happens(What::Crash { crash: Crash::Power(loss), after, down: 1_000 }).rest()
    }

    /// A clean close and a new start.
    #[must_use]
    pub fn close_and_open(self) -> Self {
        self.happens(What::Close { down: 1_000 }).rest()
    }

    /// The same with another configuration.
    #[must_use]
    pub fn close_and_open_with(self, knobs: Knobs) -> Self {
        self.happens(What::Configure(knobs)).close_and_open()
    }

    /// A snapshot is asked for and finished.
    #[must_use]
    pub fn snapshot(self) -> Self {
        let before = self.hits(Mark::SnapshotDone);
        let story = self.happens(What::Snapshot).rest();
        assert!(story.hits(Mark::SnapshotDone) > before, "{}: no snapshot was finished", story.name);
        story
    }

    /// An item of a plan happens now; waits for nothing.
    #[must_use]
    pub fn happens(mut self, what: What) -> Self {
        let now = self.world.now();
        self.world.schedule(now, HOST, what);
        self
    }

    /// An item of a plan happens after so many microseconds; waits for nothing.
    #[must_use]
    pub fn happens_later(mut self, delay: u64, what: What) -> Self {
        let at = self.world.now() + delay;
        self.world.schedule(at, HOST, what);
        self
    }

    /// The node is killed, one bit of one file flips, and the node starts once; it is not brought back if it refuses.
    #[must_use]
    pub fn happens_rot(mut self, name: &str, bit: u64) -> Self {
        let result = self.world.rot(HOST, name, bit);
        self.check(result)
    }

    /// The `after`-th next operation of a sort is harmed.
    #[must_use]
    pub fn fault(mut self, on: OpKind, after: u32, what: Harm) -> Self {
        self.world.disk(HOST).arm(Fault { on: Some(on), after, what });
        self
    }

    /// The disk is full but for so many bytes.
    #[must_use]
    pub fn full_but(mut self, room: u64) -> Self {
        let used = self.world.disk(HOST).used();
        self.world.disk(HOST).set_room(Some(used + room));
        self
    }

    /// There is room again.
    #[must_use]
    pub fn room_again(mut self) -> Self {
        self.world.disk(HOST).set_room(None);
        self
    }

    /// Looks at the disk, or changes it.
    #[must_use]
    pub fn on_disk(mut self, change: impl FnOnce(&mut SimDisk)) -> Self {
        change(self.world.disk(HOST));
        self
    }

    /// Demands that a read shows this value.
    #[must_use]
    pub fn expect(mut self, key: &str, value: &str) -> Self {
        let found =
            self.world.read(HOST, key.as_bytes()).map(|(value, _)| String::from_utf8_lossy(&value).into_owned());
        assert!(found.as_deref() == Some(value), "{}: {key} is {found:?}, not {value:?}", self.name);
        self
    }

    /// Demands that a read shows nothing.
    #[must_use]
    pub fn expect_absent(mut self, key: &str) -> Self {
        let found = self.world.read(HOST, key.as_bytes());
        assert!(found.is_none(), "{}: {key} is {found:?}, not absent", self.name);
        self
    }

    /// Demands that so many changes of a key are counted.
    #[must_use]
    pub fn expect_version(mut self, key: &str, version: u64) -> Self {
        let found = self.world.read(HOST, key.as_bytes()).map(|(_, version)| version);
        assert!(found == Some(version), "{}: {key} has version {found:?}, not {version}", self.name);
        self
    }

    /// The LSN up to which the store shows writes.
    #[must_use]
    pub fn published(&mut self) -> u64 {
        self.world.status(HOST).map_or(0, |status| status.published.0)
    }

    /// Demands that the node is up and of this health.
    #[must_use]
    pub fn expect_health(mut self, health: &str) -> Self {
        let found = self.world.health(HOST).map_or("down", |health| health.as_str());
        assert!(found == health, "{}: the node is {found}, not {health}", self.name);
        self
    }

    /// Demands that a mark was hit.
    #[must_use]
    pub fn expect_mark(self, mark: Mark) -> Self {
        assert!(self.hits(mark) > 0, "{}: {mark:?} was not hit", self.name);
        self
    }

    /// Demands that the last start was refused with this code, in words that hold `words`.
    #[must_use]
    pub fn expect_refused(mut self, code: Code, words: &str) -> Self {
        let refusal = self.world.refusal(HOST);
        let fits = refusal.as_ref().is_some_and(|error| error.code() == code && error.to_string().contains(words));
        assert!(fits, "{}: the start ended with {refusal:?}, not {code} and {words:?}", self.name);
        self
    }

    /// Demands that the node is down, and ends the story there.
    ///
    /// # Panics
    /// When it is up.
    pub fn expect_down(mut self) {
        let health = self.world.health(HOST);
        assert!(health.is_none(), "{}: the node is up: {health:?}", self.name);
        drop(self.world.end(None));
    }

    /// Bytes on the disk.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.world.used(HOST)
    }

    /// How often the process died or the power went.
    #[must_use]
    pub fn crashes(&self) -> u64 {
        let faults = &self.world.tally().faults;
        faults.iter().filter(|(kind, _)| kind.starts_with("kill") || kind.starts_with("power")).map(|(_, n)| n).sum()
    }

    /// How often a mark was hit.
    #[must_use]
    pub fn hits(&self, mark: Mark) -> u64 {
        self.world.tally().marks.get(&mark).copied().unwrap_or(0)
    }

    /// Ends the story: faults stop, the node heals, closes cleanly and opens again. Gives the hash of the trace.
    ///
    /// # Panics
    /// When a promise was broken.
    pub fn end(mut self) -> u64 {
        let result = self.world.heal();
        let mut story = self.check(result);
        let result = story.world.finish();
        story.check(result).world.end(None).trace.hash()
    }

    fn world_told(&self) -> Option<Told> {
        self.world.told(HOST, self.batches)
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

/// A write without conditions.
#[must_use]
pub fn put(key: &str, value: &str) -> Write {
    Write::Put { key: key.to_owned().into(), value: value.to_owned().into(), expect: None, touch: false }
}
