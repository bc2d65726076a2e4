//! What is to happen: how many hosts, who works how hard, what breaks when.

use crate::disk::{Fault, Loss};

/// The name of a host: `a` is host 0.
#[must_use]
pub const fn name(host: usize) -> &'static str {
    match host {
        0 => "a",
        1 => "b",
        2 => "c",
        3 => "d",
        _ => "e",
    }
}

/// Everything about a run. Two runs of one script are the same, event by event.
#[derive(Clone, Debug)]
pub struct Script {
    /// What it is called.
    pub story: &'static str,
    /// Decides all that the script leaves open.
    pub seed: u64,
    /// The hosts.
    pub hosts: Vec<HostScript>,
    /// How all nodes are set.
    pub settings: Settings,
    /// The least and the greatest milliseconds that a message takes.
    pub latency: (u64, u64),
    /// What happens when, in milliseconds, in any order.
    pub acts: Vec<(u64, Act)>,
    /// When programs stop, faults end, links heal and hosts that are down come up.
    pub peace_at: u64,
    /// How many milliseconds may pass from then until all hosts are equal.
    pub patience: u64,
}

/// One host.
#[derive(Clone, Debug)]
pub struct HostScript {
    /// When it is switched on for the first time.
    pub starts_at: u64,
    /// Whom it dials.
    pub dials: Vec<usize>,
    /// How many milliseconds its wall clock is ahead.
    pub ahead_ms: i64,
    /// How many millionths its clocks are too fast.
    pub fast_ppm: i64,
    /// Programs that write at the same time.
    pub programs: usize,
    /// The longest pause between two writes of a program, in milliseconds.
    pub pause: u64,
    /// The greatest length of a value.
    pub value_len: usize,
}

impl Default for HostScript {
    fn default() -> Self {
        Self { starts_at: 0, dials: Vec::new(), ahead_ms: 0, fast_ppm: 0, programs: 2, pause: 80, value_len: 200 }
    }
}

/// How the nodes of a script are set, and how rough their connections are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// So many other hosts must hold an operation before it counts as acknowledged.
    pub required_acks: usize,
    /// Bytes under way to one peer.
    pub window: u64,
    /// Bytes of the first segment of a log; later ones are up to four times as long.
    pub first_segment: u64,
    /// Bytes of log after which a snapshot is made.
    pub snapshot_after: u64,
    /// Fruitless tries after which operations count as failed, until the peer is heard again.
    pub max_retries: u32,
    /// Of a hundred reads and writes of a connection, so many take only a piece of what is there.
    pub pieces: u64,
}

impl Default for Settings {
    /// Small segments and frequent snapshots, so that a short run meets many.
    fn default() -> Self {
        Self {
            required_acks: 1,
            window: 64 << 10,
            first_segment: 64 << 10,
            snapshot_after: 96 << 10,
            max_retries: 8,
            pieces: 10,
        }
    }
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing goes through between two hosts, and what is under way is lost.
    Part(usize, usize),
    /// Nothing goes through from the first host to the second.
    PartOneWay(usize, usize),
    /// Everything between two hosts waits on the way; nothing is lost.
    Hold(usize, usize),
    /// The connections between two hosts are reset; what is under way on them is lost.
    Cut(usize, usize),
    /// The network between two hosts is as it should be; what waits arrives.
    Mend(usize, usize),
    /// The node is closed in order and opened again after so many milliseconds.
    Stop(usize, u64),
    /// The process dies and is started again after so many milliseconds. Peers hear nothing before that.
    Kill(usize, u64),
    /// The power goes and comes back after so many milliseconds.
    LosePower(usize, Loss, u64),
    /// The disk has room for so many bytes more.
    Fill(usize, u64),
    /// The disk has room.
    Empty(usize),
    /// A fault waits for its disk operation.
    Harm(usize, Fault),
    /// Every disk operation takes so many milliseconds longer.
    SlowDown(usize, u64),
    /// Somebody sets the wall clock, by so many milliseconds.
    StepClock(usize, i64),
}

impl Script {
    /// Hosts that all dial each other, and nothing else happens.
    #[must_use]
    pub fn mesh(story: &'static str, seed: u64, hosts: usize) -> Self {
        let host = |me| HostScript { dials: (0..hosts).filter(|peer| *peer != me).collect(), ..HostScript::default() };
        Self {
            story,
            seed,
            hosts: (0..hosts).map(host).collect(),
            settings: Settings::default(),
            latency: (1, 10),
            acts: Vec::new(),
            peace_at: 2500,
            patience: 10_000,
        }
    }

    /// Adds what happens at a time.
    pub fn at(&mut self, millis: u64, act: Act) {
        self.acts.push((millis, act));
    }

    /// Adds what lasts for a while.
    pub fn during(&mut self, from: u64, until: u64, begins: Act, ends: Act) {
        self.acts.extend([(from, begins), (until, ends)]);
    }
}
