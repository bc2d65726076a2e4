//! Sends and listens for a node, beside the loop, as long as discovery is wanted: through sockets that cannot be had yet,
//! interfaces that come and go, and floods.
//!
//! A datagram that is not sealed for this network costs one hash here and never reaches the loop; those that are reach it
//! at a bounded rate. So whoever can send datagrams takes nothing from local work.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use softadastra_core::discovery::{Ignored, Sieve, Target};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

use super::super::links::NetFact;
use super::super::shared::Shared;
use super::{News, RadioFact};
use crate::discovery::{DiscoveryMode, DiscoveryOptions, InterfaceInfo, Survey, Trouble};
use crate::events;
use crate::world::{Net, Radio};

/// The pause before sockets are tried to be had again; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How often it is looked which interfaces there are.
const SURVEY_EVERY: Duration = Duration::from_secs(5);

/// How soon it is looked again when something could not be sent.
const SURVEY_SOON: Duration = Duration::from_secs(1);

/// Datagrams taken in one go.
const TAKE: usize = 64;

/// Datagrams that are looked at in a tenth of a second; what comes beyond waits in the socket and overflows there.
const LOOKS: usize = 2048;

/// Datagrams that reach the loop in a tenth of a second.
const HANDED_ON: usize = 128;

/// A tenth of a second.
const TICK: Duration = Duration::from_millis(100);

/// How often the loop hears of what was dropped.
const TELL_DROPPED: Duration = Duration::from_secs(1);

/// How it stands with the sockets, for whoever asks.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) mode: DiscoveryMode,
    pub(crate) port: u16,
    pub(crate) interfaces: Vec<InterfaceInfo>,
    pub(crate) trouble: Option<Trouble>,
}

impl Standing {
    pub(super) fn of(options: &DiscoveryOptions) -> Self {
        Self { mode: options.mode, port: options.port, interfaces: Vec::new(), trouble: None }
    }
}

/// Sends and listens.
pub(super) struct Station<N: Net> {
    number: u64,
    net: Arc<N>,
    options: DiscoveryOptions,
    sieve: Sieve,
    told: mpsc::Sender<NetFact<N>>,
    orders: mpsc::Receiver<(Target, Bytes)>,
    shared: Arc<Shared>,
    /// The loop takes in one batch at a time.
    room: Arc<Semaphore>,
    survey: Survey,
    /// Targets that the latest datagram could not be sent to.
    failing: BTreeMap<Target, Trouble>,
    dropped: BTreeMap<Ignored, (SocketAddr, u64)>,
    pace: Pace,
}

/// How a session with the sockets ends.
enum End {
    /// Discovery is no longer wanted.
    Stopped,
    /// The sockets are of no use any more.
    Failed(Trouble),
}

impl<N: Net> Station<N> {
    pub(super) fn new(
        number: u64,
        net: Arc<N>,
        options: DiscoveryOptions,
        sieve: Sieve,
        told: mpsc::Sender<NetFact<N>>,
        orders: mpsc::Receiver<(Target, Bytes)>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            number,
            net,
            options,
            sieve,
            told,
            orders,
            shared,
            room: Arc::new(Semaphore::new(1)),
            survey: Survey::default(),
            failing: BTreeMap::new(),
            dropped: BTreeMap::new(),
            pace: Pace::new(),
        }
    }

    /// Runs until nobody gives orders any more.
    pub(super) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            let end = match self.net.radio(&self.options) {
                Ok(radio) => self.serve(radio).await,
                Err(trouble) => End::Failed(trouble),
            };
            let End::Failed(trouble) = end else { return };
            if began.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            self.forget_ways().await;
            self.stand(Some(trouble));
            if self.sit_out(Instant::now() + pause).await {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Sends and listens by these sockets.
    async fn serve(&mut self, mut radio: N::Radio) -> End {
        let mut look_around = Instant::now();
        let mut tell_dropped = Instant::now() + TELL_DROPPED;
        loop {
            let rest = self.pace.rest(Instant::now());
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    None => return End::Stopped,
                    Some((to, bytes)) => {
                        if self.send(&mut radio, to, &bytes).await {
                            look_around = look_around.min(Instant::now() + SURVEY_SOON);
                        }
                    }
                },
                () = sleep_until(look_around) => {
                    self.look_around(&mut radio).await;
                    look_around = Instant::now() + SURVEY_EVERY;
                }
                () = sleep_until(tell_dropped), if !self.dropped.is_empty() => {
                    self.tell_dropped().await;
                    tell_dropped = Instant::now() + TELL_DROPPED;
                }
                () = sleep_until(rest.unwrap_or(look_around)), if rest.is_some() => {}
                ready = radio.ready(), if rest.is_none() => {
                    let heard = ready.and_then(|()| self.take(&mut radio));
                    match heard {
                        Ok(heard) if heard.is_empty() => {}
                        Ok(heard) => self.tell(News::Heard(heard)).await,
                        Err(error) => return End::Failed(Trouble::of("listen for datagrams", &error)),
                    }
                }
            }
        }
    }

    /// Takes what has arrived, and keeps what is of this network.
    fn take(&mut self, radio: &mut N::Radio) -> std::io::Result<Vec<(SocketAddr, Bytes)>> {
        let Self { sieve, dropped, pace, .. } = self;
        let mut heard = Vec::new();
        radio.take(TAKE, &mut |from, bytes| {
            pace.looks += 1;
            let why = match sieve.check(bytes) {
                Ok(()) if pace.handed_on < HANDED_ON => {
                    pace.handed_on += 1;
                    heard.push((from, Bytes::copy_from_slice(bytes)));
                    return;
                }
                Ok(()) => Ignored::Overload,
                Err(why) => why,
            };
            let (latest, count) = dropped.entry(why).or_insert((from, 0));
            *latest = from;
            *count += 1;
        })?;
        Ok(heard)
    }

    /// Sends a datagram. True when something is wrong that a look around may explain.
    async fn send(&mut self, radio: &mut N::Radio, to: Target, bytes: &[u8]) -> bool {
        let is_target = self.survey.targets.contains(&to);
        match radio.send(to, bytes) {
            Ok(()) => {
                if is_target && self.failing.remove(&to).is_some() {
                    self.stand(None);
                }
                false
            }
            Err(error) => {
                self.tell(News::NotSent(to, error.to_string())).await;
                if is_target {
                    self.failing.insert(to, Trouble::of(format_args!("send to {to}"), &error));
                    self.stand(None);
                }
                is_target
            }
        }
    }

    async fn look_around(&mut self, radio: &mut N::Radio) {
        let survey = radio.survey();
        let targets = survey.targets.clone();
        let changed = survey != self.survey;
        self.survey = survey;
        self.failing.retain(|target, _| targets.contains(target));
        self.stand(None);
        if changed {
            events::interfaces_changed(&self.survey);
            self.tell(News::Targets(targets)).await;
        }
    }

    async fn forget_ways(&mut self) {
        self.survey = Survey::default();
        self.failing.clear();
        self.tell(News::Targets(Vec::new())).await;
    }

    async fn tell_dropped(&mut self) {
        let dropped = std::mem::take(&mut self.dropped);
        let all = dropped.into_iter().map(|(why, (from, count))| (why, from, count)).collect();
        self.tell(News::Dropped(all)).await;
    }

    async fn tell(&self, news: News) {
        let Ok(taken) = self.room.clone().acquire_owned().await else { return };
        let fact = RadioFact { station: self.number, news, _taken: Some(taken) };
        // The loop has ended: its last words are still to be sent.
        drop(self.told.send(NetFact::Radio(fact)).await);
    }

    /// Waits, and sends nothing meanwhile. True when discovery is no longer wanted.
    async fn sit_out(&mut self, until: Instant) -> bool {
        loop {
            tokio::select! {
                order = self.orders.recv() => if order.is_none() { return true },
                () = sleep_until(until) => return false,
            }
        }
    }

    /// Says how it stands: with what keeps the sockets from being had, else with what the interfaces or all targets lack.
    fn stand(&self, worst: Option<Trouble>) {
        let targets = &self.survey.targets;
        let mute = !targets.is_empty() && targets.iter().all(|target| self.failing.contains_key(target));
        let of_targets = || self.failing.values().find(|_| mute).cloned();
        let trouble = worst.or_else(|| self.survey.trouble.clone()).or_else(of_targets);
        let before = self.shared.change_discovery(|standing| {
            standing.interfaces.clone_from(&self.survey.interfaces);
            std::mem::replace(&mut standing.trouble, trouble.clone())
        });
        let kind = |trouble: &Option<Trouble>| trouble.as_ref().map(|trouble| trouble.kind);
        match (before.flatten(), trouble) {
            (before, Some(trouble)) if kind(&before) != Some(trouble.kind) => events::discovery_failed(&trouble),
            (Some(_), None) => events::discovery_works(),
            (_, _) => {}
        }
    }
}

/// How much was looked at, and handed on, in the present tenth of a second.
struct Pace {
    began: Instant,
    looks: usize,
    handed_on: usize,
}

impl Pace {
    fn new() -> Self {
        Self { began: Instant::now(), looks: 0, handed_on: 0 }
    }

    /// Until when nothing more is looked at.
    fn rest(&mut self, now: Instant) -> Option<Instant> {
        let end = self.began + TICK;
        if now >= end {
            *self = Self { began: now, looks: 0, handed_on: 0 };
            return None;
        }
        (self.looks >= LOOKS).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_looked_at_up_to_the_bound_and_then_left_in_the_socket() {
        let mut pace = Pace::new();
        let began = Instant::now();
        assert_eq!(pace.rest(began), None);
        pace.looks = LOOKS;
        assert_eq!(pace.rest(began), Some(began + TICK));
        assert_eq!(pace.rest(began + TICK), None);
        assert_eq!(pace.looks, 0);
    }
}
