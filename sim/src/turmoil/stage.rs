//! Plays a script: turns the simulation from millisecond to millisecond, lets happen what is due, and asks for peace at
//! its end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use turmoil::{Builder, Sim};

use super::clock::EPOCH;
use super::host::{Common, Host};
use super::judge::{Watcher, judge, unrest};
use super::record::take_panics;
use super::script::{Act, Script, name};
use crate::chance;
use crate::disk::Loss;
use crate::trace::Trace;

/// So often the hosts are looked at together.
const LOOK_EVERY: u64 = 5;

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// The story.
    pub trace: Trace,
    /// One number for the story, for everything asked of every disk, and for the content at the end.
    pub digest: u64,
    /// How often what happened.
    pub marks: BTreeMap<String, u64>,
    /// The promise that was broken.
    pub failure: Option<String>,
    /// Milliseconds from the beginning to rest.
    pub rest_at: u64,
}

/// The state of the network between two hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Between {
    #[default]
    Good,
    Parted,
    PartedOneWay(usize, usize),
    Held,
}

struct Stage<'a> {
    sim: Sim<'a>,
    common: Arc<Common>,
    hosts: Vec<Arc<Host>>,
    between: BTreeMap<(usize, usize), Between>,
    /// Hosts that are down, and when they come up.
    down: BTreeMap<usize, u64>,
    now: u64,
}

/// Plays a script to its end or to the first promise that is broken. `keep` keeps the lines of the story.
#[must_use]
pub fn play(script: &Script, keep: bool) -> Outcome {
    // What an earlier run on this thread has left.
    drop(take_panics());
    let common = Common::new(script.clone(), keep);
    let mut stage = Stage::set(common.clone());
    let mut watcher = Watcher::default();
    let mut acts = script.acts.clone();
    acts.sort_by_key(|(at, _)| *at);
    let mut acts = acts.into_iter().peekable();
    let mut rest_at = 0;
    // A node says that its disk has room again when it has had some for half a minute.
    let fills = script.acts.iter().any(|(_, act)| matches!(act, Act::Fill(..)));
    let patience = script.patience + if fills { 35_000 } else { 0 };
    while common.record.first_broken().is_none() {
        while let Some((_, act)) = acts.next_if(|(at, _)| *at <= stage.now && *at < script.peace_at) {
            stage.perform(act);
        }
        stage.start_who_is_due();
        if stage.now == script.peace_at {
            stage.make_peace();
        }
        stage.turn();
        if stage.now.is_multiple_of(LOOK_EVERY) {
            watcher.look(&stage.hosts, &common.record);
            if stage.now > script.peace_at {
                match unrest(&stage.hosts) {
                    None => {
                        rest_at = stage.now;
                        judge(&stage.hosts, &common.record);
                        break;
                    }
                    Some(why) if stage.now > script.peace_at + patience => {
                        common.record.broken("all", format_args!("no rest {patience} ms after peace: {why}"));
                    }
                    Some(_) => {}
                }
            }
        }
    }
    stage.end(rest_at)
}

impl<'a> Stage<'a> {
    fn set(common: Arc<Common>) -> Self {
        let script = &common.script;
        let (least, greatest) = script.latency;
        let mut builder = Builder::new();
        builder
            .rng_seed(script.seed)
            .epoch(UNIX_EPOCH + EPOCH)
            .enable_random_order()
            // Segments, not bytes; a burst of connections beyond it would end the simulation.
            .tcp_capacity(4096)
            .min_message_latency(Duration::from_millis(least))
            .max_message_latency(Duration::from_millis(greatest));
        let mut sim = builder.build();
        let hosts: Vec<Arc<Host>> =
            (0..script.hosts.len()).map(|index| Host::new(index, name(index), common.clone())).collect();
        for host in &hosts {
            let machine = host.clone();
            sim.host(host.name, move || machine.clone().live());
        }
        Self { sim, common, hosts, between: BTreeMap::new(), down: BTreeMap::new(), now: 0 }
    }

    fn turn(&mut self) {
        let record = &self.common.record;
        record.turn_to(Duration::from_millis(self.now));
        if let Err(error) = self.sim.step() {
            record.broken("all", format_args!("the simulation has ended: {error}"));
        }
        for panic in take_panics() {
            record.broken("all", format_args!("{panic}"));
        }
        for host in &self.hosts {
            for (operation, harm) in host.platter.take_struck() {
                record.mark(format!("disk: {} of {operation:?}", harm.name()));
                record.note(host.name, format_args!("{operation:?} suffers {harm:?}"));
            }
            host.platter.take_carried().into_iter().for_each(|fate| record.mark(format!("frame {fate}")));
        }
        self.now += 1;
    }

    fn perform(&mut self, act: Act) {
        if let Some(who) = act.machine()
            && self.down.contains_key(&who)
        {
            return;
        }
        self.common.record.turn_to(Duration::from_millis(self.now));
        self.common.record.note("----", format_args!("{act}"));
        match act {
            Act::Part(a, b) => self.set_between(a, b, Between::Parted),
            Act::PartOneWay(a, b) => self.set_between(a, b, Between::PartedOneWay(a, b)),
            Act::Hold(a, b) => self.set_between(a, b, Between::Held),
            Act::Cut(a, b) => {
                let cut = self.common.wires.cut(a, b);
                (0..cut).for_each(|_| self.common.record.mark("connection cut"));
            }
            Act::Mend(a, b) => self.set_between(a, b, Between::Good),
            Act::Stop(who, down_for) => self.with(who, |host| host.stop(down_for)),
            Act::Kill(who, down_for) => {
                self.crash(who, down_for);
                self.with(who, |host| host.platter.kill());
            }
            Act::LosePower(who, loss, down_for) => {
                self.crash(who, down_for);
                self.with(who, |host| host.platter.lose_power(loss));
            }
            Act::Fill(who, bytes) => self.with(who, |host| host.platter.leave_room(Some(bytes))),
            Act::Empty(who) => self.with(who, |host| host.platter.leave_room(None)),
            Act::Harm(who, fault) => self.with(who, |host| host.platter.arm(fault)),
            Act::SlowDown(who, millis) => {
                self.with(who, |host| host.platter.slow_down(Duration::from_millis(millis)));
            }
            Act::StepClock(who, millis) => self.with(who, |host| host.skew.step(millis)),
        }
    }

    fn with(&self, who: usize, does: impl FnOnce(&Host)) {
        if let Some(host) = self.hosts.get(who) {
            does(host);
        }
    }

    /// Ends everything on a machine, unheard: the order in which its tasks are dropped, and with them its connections,
    /// depends on how many tasks this process has ever had.
    fn crash(&mut self, who: usize, down_for: u64) {
        self.common.record.mark("crash");
        let others: Vec<usize> = (0..self.hosts.len()).filter(|other| *other != who).collect();
        others.iter().for_each(|other| self.sim.partition(name(who), name(*other)));
        self.sim.crash(name(who));
        others.iter().for_each(|other| self.restore_between(who, *other));
        self.with(who, Host::crashed);
        self.down.insert(who, self.now + down_for);
    }

    fn start_who_is_due(&mut self) {
        let due: Vec<usize> = self.down.iter().filter(|(_, at)| **at <= self.now).map(|(who, _)| *who).collect();
        for who in due {
            self.down.remove(&who);
            self.sim.bounce(name(who));
        }
    }

    fn set_between(&mut self, a: usize, b: usize, wanted: Between) {
        let before = self.between.insert((a.min(b), a.max(b)), wanted);
        if before == Some(Between::Held) {
            self.sim.release(name(a), name(b));
        }
        self.restore_between(a, b);
    }

    fn restore_between(&self, a: usize, b: usize) {
        self.sim.repair(name(a), name(b));
        match self.between.get(&(a.min(b), a.max(b))).copied().unwrap_or_default() {
            Between::Good => {}
            Between::Parted => self.sim.partition(name(a), name(b)),
            Between::PartedOneWay(from, to) => self.sim.partition_oneway(name(from), name(to)),
            Between::Held => self.sim.hold(name(a), name(b)),
        }
    }

    fn make_peace(&mut self) {
        self.common.record.turn_to(Duration::from_millis(self.now));
        self.common.record.note("----", format_args!("peace"));
        let pairs: Vec<(usize, usize)> = self.between.keys().copied().collect();
        pairs.into_iter().for_each(|(a, b)| self.set_between(a, b, Between::Good));
        self.hosts.iter().for_each(|host| host.platter.heal());
        self.down.values_mut().for_each(|at| *at = self.now);
        self.start_who_is_due();
    }

    fn end(self, rest_at: u64) -> Outcome {
        let Self { sim, common, hosts, .. } = self;
        let failure = common.record.first_broken();
        let content = |host: &Arc<Host>| {
            host.present().and_then(|(client, _)| client.status().ok()).map_or(0, |status| status.digest)
        };
        let digest = hosts.iter().fold(rest_at, |digest, host| {
            let content = content(host);
            let digest = chance::mix(digest, host.platter.history(), host.platter.operations());
            chance::mix(digest, content as u64, (content >> 64) as u64)
        });
        hosts.iter().for_each(|host| host.crashed());
        drop(sim);
        let (trace, marks) = common.record.take();
        let digest = chance::mix(digest, trace.hash(), trace.len());
        Outcome { trace, digest, marks, failure, rest_at }
    }
}

impl Act {
    /// The machine that must be up for this to happen.
    const fn machine(self) -> Option<usize> {
        match self {
            Self::Stop(who, _) | Self::Kill(who, _) | Self::LosePower(who, ..) | Self::Harm(who, _) => Some(who),
            Self::Part(..)
            | Self::PartOneWay(..)
            | Self::Hold(..)
            | Self::Cut(..)
            | Self::Mend(..)
            | Self::Fill(..)
            | Self::Empty(..)
            | Self::SlowDown(..)
            | Self::StepClock(..) => None,
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Act::Part(a, b) => write!(f, "nothing goes through between {} and {}", name(a), name(b)),
            Act::PartOneWay(a, b) => write!(f, "nothing goes through from {} to {}", name(a), name(b)),
            Act::Hold(a, b) => write!(f, "everything between {} and {} waits", name(a), name(b)),
            Act::Cut(a, b) => write!(f, "connections between {} and {} are cut", name(a), name(b)),
            Act::Mend(a, b) => write!(f, "{} and {} reach each other", name(a), name(b)),
            Act::Stop(who, down) => write!(f, "{} is stopped in order, for {down} ms", name(who)),
            Act::Kill(who, down) => write!(f, "{} is killed, for {down} ms", name(who)),
            Act::LosePower(who, Loss { data, names, .. }, down) => {
                write!(f, "{} loses power, for {down} ms (data: {data:?}, names: {names:?})", name(who))
            }
            Act::Fill(who, bytes) => write!(f, "the disk of {} has {bytes} bytes left", name(who)),
            Act::Empty(who) => write!(f, "the disk of {} has room", name(who)),
            Act::Harm(who, fault) => write!(f, "the disk of {} will fail: {fault:?}", name(who)),
            Act::SlowDown(who, millis) => write!(f, "the disk of {} takes {millis} ms longer", name(who)),
            Act::StepClock(who, millis) => write!(f, "the clock of {} is set by {millis} ms", name(who)),
        }
    }
}
