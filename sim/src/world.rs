//! A discrete-event world that steps nodes by hand.
//!
//! Every disk operation has three moments of its own: it begins (a write reaches the page cache), it is settled (a write
//! that syncs becomes durable), it is reported. A crash can fall between any two of them, and between any two outputs of
//! one node. The world draws no randomness: see [`crate::chance`].

mod agenda;
mod air;
mod backup;
mod clients;
mod collecting;
mod crash;
mod fill;
mod fleet;
mod flight;
mod hands;
mod host;
mod inherited;
mod links;
mod opening;
mod operators;
mod own;
mod perform;
mod twins;
mod watched;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use softadastra_core::ids::ReplicaId;
use softadastra_core::time::{Instant, Now, WallTime};

use self::agenda::Agenda;
use self::host::Host;
use crate::disk::SimDisk;
use crate::judges::{Court, Failure, Moment};
use crate::network::{Due, Network, Signal};
use crate::oracle::witness::Witness;
use crate::plan::{Air, Change, Climate, Crash, Expect, Fleet, HostId, Knobs, Pace, Plan, PlannedWrite, What};
use crate::tally::Tally;
use crate::trace::Trace;

/// Where every wall clock starts.
const EPOCH_MS: u64 = 1_750_000_000_000;
/// Everything must be over this long after the faults have stopped, in simulated microseconds.
const HEALING: u64 = 600_000_000;
/// A node that wants nothing for so long is at rest: what it does then is housekeeping by the clock.
const IDLE: u64 = 300_000_000;
/// More steps than any run needs: beyond them, something spins.
const MAX_STEPS: u64 = 3_000_000;
/// More steps than any one moment needs.
const MAX_STILL: u64 = 20_000;
/// So often a node goes on with a step in which promises are broken.
const MOST_COMPLAINTS: usize = 100;
/// Not a promise: the run stops where it was told to.
const HALT: &str = "halt";
/// The batch that a healed node must accept.
const PROBE: u32 = u32::MAX;

/// What became of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The first promise found broken.
    pub failure: Option<Failure>,
    /// The story.
    pub trace: Trace,
    /// What the run met.
    pub tally: Tally,
    /// How the nodes stood where it ended.
    pub standing: Vec<String>,
}

/// Runs a plan: its items, then the healing, then a clean close and a last look.
#[must_use]
pub fn run(plan: &Plan, keep_trace: bool) -> Outcome {
    run_in(World::with(plan.seed, &plan.fleet, plan.pace, keep_trace), plan)
}

/// Runs a plan in a world that is prepared before it begins: own settings ([`World::configure`]), own judges
/// ([`World::judged_by`]). For [`crate::shorten::shortest`], too.
#[must_use]
pub fn run_with(plan: &Plan, keep_trace: bool, prepare: impl FnOnce(&mut World)) -> Outcome {
    let mut world = World::with(plan.seed, &plan.fleet, plan.pace, keep_trace);
    prepare(&mut world);
    run_in(world, plan)
}

/// Runs a plan without a trace, which is quicker.
#[must_use]
pub fn judge(plan: &Plan) -> Outcome {
    let mut world = World::with(plan.seed, &plan.fleet, plan.pace, false);
    world.stage.trace = Trace::muted();
    run_in(world, plan)
}

/// Runs a plan up to a step, in a world that is prepared as by [`run_with`], and says how the nodes stand then.
#[must_use]
pub fn run_until(plan: &Plan, step: u64, prepare: impl FnOnce(&mut World)) -> Outcome {
    let mut world = World::with(plan.seed, &plan.fleet, plan.pace, true);
    prepare(&mut world);
    world.stage.halt = Some(step);
    let failure = play_out(&mut world, plan).filter(|failure| failure.judge != HALT);
    world.end(failure)
}

fn run_in(mut world: World, plan: &Plan) -> Outcome {
    let failure = play_out(&mut world, plan);
    world.end(failure)
}

fn play_out(world: &mut World, plan: &Plan) -> Option<Failure> {
    for item in &plan.items {
        world.schedule(item.at, item.host, item.what.clone());
    }
    let whole = |world: &mut World| {
        world.play()?;
        world.fill(plan)?;
        world.heal()?;
        world.finish()
    };
    match catch_unwind(AssertUnwindSafe(|| whole(world))) {
        Ok(result) => result.err(),
        Err(panic) => Some(panicked(world.stage.now, &*panic)),
    }
}

/// The engine promises never to panic on what comes from outside, and its own assertions are promises too.
fn panicked(at: u64, panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Failure {
        judge: "no panic",
        invariant: 0,
        what: text.unwrap_or("a panic without words").into(),
        at,
        also: Vec::new(),
    }
}

/// Some nodes, their disks and clocks, and the judges that watch them.
pub struct World {
    stage: Stage,
    hosts: Vec<Host>,
    last_item: u64,
    /// A key that somebody wants to hear of.
    watched: Option<watched::Watched>,
}

/// What all nodes share.
struct Stage {
    now: u64,
    seed: u64,
    pace: Pace,
    agenda: Agenda<Event>,
    steps: u64,
    /// Where the run is to stop.
    halt: Option<u64>,
    /// Faults have stopped and all nodes were the same once: within so many microseconds whoever is asked has answered.
    calm: Option<u64>,
    /// Faults have stopped, and operators give up whatever was lost.
    healed: bool,
    /// Steps since the time last went on.
    still: u64,
    trace: Trace,
    court: Court,
    tally: Tally,
    climate: Climate,
    air: Option<Air>,
    network: Network,
    /// What the logs of all nodes say; `None` for a node alone.
    witness: Option<Witness>,
    /// The present life of each host.
    lives: Vec<u32>,
    /// Whose clock was ever set back: datagrams of an earlier start may then look later than those of the present one.
    set_back: BTreeSet<HostId>,
    /// Who runs as whom, where machines were copied.
    twins: twins::Twins,
    /// Histories that were lost with their machines.
    lost: BTreeSet<ReplicaId>,
    /// What clients were told is done, of keys that were written once and that must be there in the end; `None` for all
    /// other keys.
    keepsakes: BTreeMap<bytes::Bytes, Option<bytes::Bytes>>,
    /// How far each wall clock is off.
    clocks: Vec<hands::WallClock>,
    /// Directories are copied back: who names operations by their history is not to be believed.
    rollbacks: bool,
}

/// Something that will happen to a node.
struct Event {
    host: HostId,
    /// Only if it is still in this life; `None`: in any.
    life: Option<u32>,
    kind: Kind,
}

enum Kind {
    Item(Box<What>),
    Begin(softadastra_core::disk::IoToken),
    Settle(softadastra_core::disk::IoToken),
    Report(softadastra_core::disk::IoToken),
    Open,
    Doom,
    Disarm(u64),
    RoomBack,
    StallEnds,
    CopyNext,
    Net(Signal),
    Datagram(HostId, bytes::Bytes),
    Unblock(HostId),
    Quick(HostId, u64),
    LetIn,
    Online,
}

impl Stage {
    fn schedule(&mut self, delay: u64, host: HostId, life: Option<u32>, kind: Kind) {
        self.agenda.put(self.now + delay, Event { host, life, kind });
    }

    fn note(&mut self, host: HostId, line: std::fmt::Arguments<'_>) {
        self.trace.note(self.now, format_args!("n{} {line}", host.0));
    }

    fn see(&mut self, host: HostId, moment: &Moment<'_>) -> Result<(), Failure> {
        self.court.see(self.now, host, moment)
    }

    /// The time as a node with these errors of its wall clock reads it.
    fn read_clocks(&self, skew_ms: i64, drift_ppm: i64) -> Now {
        let drift_ms = (self.now / 1000) as i64 * drift_ppm / 1_000_000;
        let wall = (EPOCH_MS + self.now / 1000).saturating_add_signed(skew_ms + drift_ms);
        Now { mono: Instant(self.now), wall: WallTime(wall) }
    }

    /// What the network says is to happen.
    fn expect(&mut self, due: impl IntoIterator<Item = Due>) {
        for (delay, host, signal) in due {
            // Names of links mean something only in the life that gave them.
            let life = match &signal {
                Signal::Knock(_) | Signal::Arrive(_) | Signal::Linger(_) => None,
                Signal::Connected(_) | Signal::Refused(..) | Signal::Written(..) | Signal::Ended(..) => {
                    self.lives.get(usize::from(host.0)).copied()
                }
            };
            self.schedule(delay, host, life, Kind::Net(signal));
        }
    }
}

impl World {
    /// A world of one node that starts at once on an empty directory.
    #[must_use]
    pub fn new(seed: u64, knobs: Knobs, pace: Pace, keep_trace: bool) -> Self {
        Self::with(seed, &Fleet::alone(knobs), pace, keep_trace)
    }

    /// A world of several nodes that start at once on empty directories.
    #[must_use]
    pub fn with(seed: u64, fleet: &Fleet, pace: Pace, keep_trace: bool) -> Self {
        // What this thread did before is not part of this run.
        drop(crate::paths::taken());
        let mut stage = Stage {
            now: 0,
            seed,
            pace,
            agenda: Agenda::new(),
            steps: 0,
            halt: None,
            calm: None,
            healed: false,
            still: 0,
            trace: Trace::new(keep_trace),
            court: Court::new(),
            tally: Tally::default(),
            climate: fleet.climate,
            air: fleet.air.filter(|_| fleet.size() > 1),
            network: Network::new(fleet.climate),
            witness: (fleet.size() > 1).then(|| Witness::new(fleet.size())),
            lives: vec![0; fleet.size()],
            set_back: BTreeSet::new(),
            twins: twins::Twins::default(),
            lost: BTreeSet::new(),
            keepsakes: BTreeMap::new(),
            clocks: fleet.seats.iter().map(hands::WallClock::of).collect(),
            rollbacks: fleet.rollbacks && fleet.size() > 1,
        };
        let hosts: Vec<Host> = fleet
            .seats
            .iter()
            .zip(0..)
            .map(|(seat, number)| {
                let roads = fleet.roads.iter().filter(|(from, _)| from.0 == number).map(|(_, to)| *to);
                Host::new(HostId(number), *seat, roads.collect())
            })
            .collect();
        for host in &hosts {
            stage.schedule(0, host.id(), None, Kind::Open);
        }
        let mut world = Self { stage, hosts, last_item: 0, watched: None };
        if fleet.inherits && fleet.size() == 1 {
            world.inherit(HostId(0));
        }
        world
    }

    /// Lets an item happen at a time, in microseconds.
    pub fn schedule(&mut self, at: u64, host: HostId, what: What) {
        let delay = at.saturating_sub(self.stage.now);
        self.last_item = self.last_item.max(at);
        self.stage.schedule(delay, host, None, Kind::Item(Box::new(what)));
    }

    /// The simulated time in microseconds.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.stage.now
    }

    /// The disk of a node.
    ///
    /// # Panics
    /// When there is no such node.
    #[must_use]
    pub fn disk(&mut self, host: HostId) -> &mut SimDisk {
        self.host(host).disk_mut()
    }

    /// What a reader of the node sees of a key: its value and version. `None` when absent, or when the node is down.
    #[must_use]
    pub fn read(&mut self, host: HostId, key: &[u8]) -> Option<(Vec<u8>, u64)> {
        let entry = self.host(host).node()?.store().get(key)?;
        Some((entry.value()?.to_vec(), entry.version()))
    }

    /// Whether the node is up, and its health if it is.
    #[must_use]
    pub fn health(&mut self, host: HostId) -> Option<softadastra_core::node::Health> {
        Some(self.host(host).node()?.status().health)
    }

    /// The whole state of the node, if it is up.
    #[must_use]
    pub fn status(&mut self, host: HostId) -> Option<softadastra_core::node::Status> {
        Some(self.host(host).node()?.status())
    }

    /// Sync as the node sees it, if it is up.
    #[must_use]
    pub fn sync_status(&mut self, host: HostId) -> Option<softadastra_core::sync::Status> {
        Some(self.host(host).node()?.sync_status())
    }

    /// One partition less on the way from one host to another.
    pub fn unblock(&mut self, from: HostId, to: HostId) {
        let due = self.stage.network.unblock(self.stage.now, from, to);
        self.stage.expect(due);
    }

    /// Starts a node that is down.
    pub fn start(&mut self, host: HostId) {
        let life = self.host(host).life();
        self.stage.schedule(0, host, Some(life), Kind::Open);
    }

    /// How the node's last start ended, if that was badly.
    #[must_use]
    pub fn refusal(&mut self, host: HostId) -> Option<softadastra_core::error::Error> {
        self.host(host).refusal()
    }

    /// What the run met so far.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.stage.tally
    }

    /// What clients of this node were told: batches carried out, failed, unknown.
    #[must_use]
    pub fn told(&self, host: HostId, number: u32) -> Option<crate::oracle::Told> {
        self.hosts.get(usize::from(host.0))?.told(number)
    }

    /// Lets everything happen that has been scheduled.
    ///
    /// # Errors
    /// The first promise found broken.
    pub fn play(&mut self) -> Result<(), Failure> {
        if self.stage.witness.is_some() {
            // Nodes that greet each other for ever leave always something to happen.
            return self.run_for(self.last_item.saturating_sub(self.stage.now) + fleet::SETTLE);
        }
        while self.stage.agenda.next_at().is_some() {
            self.step()?;
        }
        Ok(())
    }

    /// Lets everything happen until nothing is scheduled and no node wants to wake soon.
    ///
    /// # Errors
    /// The first promise found broken, or that the world does not come to rest.
    pub fn rest(&mut self) -> Result<(), Failure> {
        if self.stage.witness.is_some() {
            return self.run_for(fleet::SETTLE);
        }
        let until = self.stage.now + HEALING;
        while self.next_at().is_some_and(|at| at <= self.stage.now + IDLE) {
            self.step()?;
            if self.stage.now > until {
                let host = HostId(0);
                self.stage.see(host, &Moment::Stuck("the node does not come to rest".into()))?;
            }
        }
        Ok(())
    }

    /// Lets everything happen in the next so many microseconds.
    ///
    /// # Errors
    /// The first promise found broken.
    pub fn run_for(&mut self, time: u64) -> Result<(), Failure> {
        let until = self.stage.now + time;
        while let Some(at) = self.next_at().filter(|at| *at <= until) {
            self.step_to(at)?;
        }
        self.stage.now = until;
        Ok(())
    }

    /// Kills a node, flips one bit of one of its files, and lets it start once.
    ///
    /// # Errors
    /// The first promise found broken.
    pub fn rot(&mut self, host: HostId, name: &str, bit: u64) -> Result<(), Failure> {
        let crash = Crash::Kill { salt: 0, evict: false };
        self.schedule(self.stage.now, host, What::Crash { crash, after: 0, down: 1 });
        self.step()?;
        self.host(host).flip(name, bit);
        while self.host(host).refusal().is_none() && self.health(host).is_none() && self.step()? {}
        Ok(())
    }

    /// Bytes on the disk of a node.
    #[must_use]
    pub fn used(&self, host: HostId) -> u64 {
        self.hosts.get(usize::from(host.0)).map_or(0, Host::used)
    }

    /// Faults stop; every node is brought up, must be healthy, and must carry out a write.
    ///
    /// # Errors
    /// The first promise found broken.
    pub fn heal(&mut self) -> Result<(), Failure> {
        if self.stage.witness.is_some() {
            return self.heal_together();
        }
        self.stage.trace.note(self.stage.now, format_args!("faults stop"));
        for host in &mut self.hosts {
            host.heal(&mut self.stage)?;
            host.pump(&mut self.stage)?;
        }
        self.rest()?;
        for index in 0..self.hosts.len() {
            let host = HostId(index as u8);
            let change = PlannedWrite { key: 0, change: Change::Put(9), expect: Expect::Any };
            let what = What::Write { number: PROBE, writes: vec![change] };
            self.schedule(self.stage.now, host, what);
            self.rest()?;
            if self.told(host, PROBE) != Some(crate::oracle::Told::Done) {
                let health = self.health(host);
                let stuck = format!("faults have stopped, but a write is not carried out; health {health:?}");
                self.stage.see(host, &Moment::Stuck(stuck))?;
            }
        }
        Ok(())
    }

    /// Closes every node, opens it again, and takes a last look.
    ///
    /// # Errors
    /// The first promise found broken.
    pub fn finish(&mut self) -> Result<(), Failure> {
        if self.stage.witness.is_some() {
            return self.finish_together();
        }
        for index in 0..self.hosts.len() {
            let host = HostId(index as u8);
            self.host(host).look_closely();
            self.schedule(self.stage.now, host, What::Close { down: 1 });
            self.rest()?;
            if self.health(host) != Some(softadastra_core::node::Health::Ready) {
                self.stage.see(host, &Moment::Stuck("the node is not up after a clean close".into()))?;
            }
        }
        Ok(())
    }

    /// Ends the run.
    #[must_use]
    pub fn end(mut self, mut failure: Option<Failure>) -> Outcome {
        let standing = self.hosts.iter().map(Host::describe).collect();
        if let Some(failure) = &mut failure {
            self.say_what_differs(failure);
            self.ask_the_others(failure);
            self.stage.trace.note(self.stage.now, format_args!("BROKEN {failure}"));
        }
        self.stage.tally.time = self.stage.now;
        crate::told::note(self.stage.trace.hash());
        self.stage.tally.steps = self.stage.steps;
        self.stage.tally.paths = crate::paths::taken();
        Outcome { failure, trace: self.stage.trace, tally: self.stage.tally, standing }
    }

    /// A run ends in the middle of the step that broke a promise. Lets the nodes come to the end of it, to hear which judges see
    /// it as well: whoever has planted a bug wants to know that *his* judge is awake.
    fn ask_the_others(&mut self, failure: &mut Failure) {
        let trace = std::mem::replace(&mut self.stage.trace, Trace::muted());
        // What is broken may well panic next.
        let asked = catch_unwind(AssertUnwindSafe(|| {
            for host in &mut self.hosts {
                for _ in 0..MOST_COMPLAINTS {
                    let Err(another) = host.pump(&mut self.stage) else { break };
                    failure.seconded(another.judge);
                    another.also.into_iter().for_each(|judge| failure.seconded(judge));
                }
            }
        }));
        drop(asked);
        self.stage.trace = trace;
    }

    /// Goes to the next time at which something happens, and lets all of it happen. Says whether there was any.
    fn step(&mut self) -> Result<bool, Failure> {
        let Some(at) = self.next_at() else { return Ok(false) };
        self.step_to(at).map(|()| true)
    }

    /// Goes to the next time at which something happens.
    fn step_to(&mut self, at: u64) -> Result<(), Failure> {
        self.stage.still = if at > self.stage.now { 0 } else { self.stage.still + 1 };
        self.stage.now = self.stage.now.max(at);
        self.stage.steps += 1;
        self.stage.trace.begin_step(self.stage.steps);
        if self.stage.halt.is_some_and(|halt| self.stage.steps > halt) {
            return Err(Failure {
                judge: HALT,
                invariant: 0,
                what: String::new(),
                at: self.stage.now,
                also: Vec::new(),
            });
        }
        if self.stage.steps > MAX_STEPS || self.stage.still > MAX_STILL {
            let stuck = Moment::Stuck("the world spins: more steps than any run needs".into());
            self.stage.see(HostId(0), &stuck)?;
        }
        // One bit for each host.
        let mut touched = 0_u32;
        while let Some(Event { host, life, kind }) = self.stage.agenda.take(self.stage.now) {
            // Who only reads changes nothing.
            if !matches!(&kind, Kind::Item(what) if matches!(**what, What::Read { .. })) {
                touched |= 1 << host.0;
            }
            let index = usize::from(host.0);
            if let Kind::Item(what) = &kind {
                self.let_go(host, what);
            }
            if let Some(host) = self.hosts.get_mut(index)
                && life.is_none_or(|life| life == host.life())
            {
                host.take(&mut self.stage, kind)?;
            }
        }
        for host in &mut self.hosts {
            if host.timer().is_some_and(|at| at <= self.stage.now) {
                host.wake(&mut self.stage)?;
                touched |= 1 << host.id().0;
            }
        }
        for host in &mut self.hosts {
            if touched & 1 << host.id().0 != 0 {
                host.pump(&mut self.stage)?;
            }
        }
        self.look_at_watched();
        Ok(())
    }

    /// When something happens next.
    fn next_at(&self) -> Option<u64> {
        let event = self.stage.agenda.next_at();
        let timers = self.hosts.iter().filter_map(Host::timer);
        event.into_iter().chain(timers).min()
    }

    fn host(&mut self, host: HostId) -> &mut Host {
        self.hosts.get_mut(usize::from(host.0)).expect("plans and scenarios name hosts that exist")
    }
}
