//! What the loop does about discovery: it has a station send and listen for the node, and tells the node what was heard.

mod station;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use softadastra_core::discovery::{Ignored, Target};
use softadastra_core::node::{DatagramFact, Input, Node, Presence};
use softadastra_core::time::Now;
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::station::Standing;
use self::station::Station;
use super::command::{Answer, StartDiscovery, tell};
use super::links::Taken;
use super::{Driver, closed};
use crate::disk::Disk;
use crate::events;
use crate::world::{Clock, Net};

/// Datagrams that may wait to be sent. Those beyond are lost, as datagrams are.
const QUEUE: usize = 256;

/// The station that sends and listens, if discovery was started.
#[derive(Default)]
pub(super) struct Discovery {
    stations: u64,
    speaking: Option<Speaking>,
    /// Whoever waits for the last words to be sent.
    parting: Vec<Answer<()>>,
}

impl Discovery {
    pub(super) fn send(&self, to: Target, bytes: Bytes) {
        if let Some(speaking) = &self.speaking
            && speaking.orders.try_send((to, bytes)).is_err()
        {
            tracing::debug!(step = "datagram_lost", %to, "too many datagrams wait to be sent");
        }
    }
}

struct Speaking {
    /// Tells the facts of this station from those of one before it.
    number: u64,
    orders: mpsc::Sender<(Target, Bytes)>,
    ended: oneshot::Receiver<()>,
    advertise: Vec<SocketAddr>,
}

/// What a station has to tell.
pub(super) struct RadioFact {
    station: u64,
    news: News,
    /// To be dropped when it was taken in.
    _taken: Taken,
}

enum News {
    /// Datagrams of this network have arrived.
    Heard(Vec<(SocketAddr, Bytes)>),
    /// So many others were dropped; from where the latest came.
    Dropped(Vec<(Ignored, SocketAddr, u64)>),
    /// One could not be sent.
    NotSent(Target, String),
    /// Announcements go there from now on.
    Targets(Vec<Target>),
}

impl<D: Disk, C: Clock, N: Net> Driver<D, C, N> {
    pub(super) fn start_discovery(&mut self, node: &mut Node, now: Now, start: StartDiscovery, answer: Answer<()>) {
        if self.closing {
            return tell(answer, Err(closed()));
        }
        let StartDiscovery { presence, options } = start;
        let key = presence.identity.key();
        let sieve = softadastra_core::discovery::Sieve::new(presence.secret.as_ref());
        let listeners = announced(&self.listening, &options.advertise);
        if let Err(error) = node.start_discovery(now, Presence { listeners, ..presence }) {
            return tell(answer, Err(error));
        }
        events::discovery_started(&key, &options);
        self.discovery.stations += 1;
        let (orders, waiting) = mpsc::channel(QUEUE);
        let (end, ended) = oneshot::channel::<()>();
        self.shared.set_discovery(Some(Standing::of(&options)));
        let advertise = options.advertise.clone();
        let station = Station::new(
            self.discovery.stations,
            self.links.net(),
            options,
            sieve,
            self.links.teller(),
            waiting,
            self.shared.clone(),
        );
        self.links.spawn(async move {
            station.run().await;
            drop(end);
        });
        self.discovery.speaking = Some(Speaking { number: self.discovery.stations, orders, ended, advertise });
        tell(answer, Ok(()));
    }

    /// Says goodbye; [`Self::end_parting`] goes on when that is on its way.
    pub(super) fn stop_discovery(&mut self, node: &mut Node, now: Now, answer: Answer<()>) {
        node.stop_discovery(now);
        self.discovery.parting.push(answer);
    }

    /// Closes the station behind the last words of a discovery that was stopped.
    pub(super) fn end_parting(&mut self) {
        if self.discovery.parting.is_empty() {
            return;
        }
        let answers = std::mem::take(&mut self.discovery.parting);
        let speaking = self.discovery.speaking.take();
        let shared = self.shared.clone();
        self.links.spawn(async move {
            if let Some(Speaking { orders, ended, .. }) = speaking {
                drop(orders);
                // Nothing is sent by this: it ends when the station does.
                drop(ended.await);
                shared.set_discovery(None);
                events::discovery_stopped();
            }
            answers.into_iter().for_each(|answer| tell(answer, Ok(())));
        });
    }

    pub(super) fn radio_fact(&self, node: &mut Node, now: Now, fact: RadioFact) {
        if self.discovery.speaking.as_ref().is_none_or(|speaking| speaking.number != fact.station) {
            return;
        }
        let mut hand_in = |fact| node.handle(now, Input::Datagram(fact));
        match fact.news {
            News::Heard(datagrams) => {
                datagrams.into_iter().for_each(|(from, bytes)| hand_in(DatagramFact::Arrived { from, bytes }));
            }
            News::Dropped(all) => {
                all.into_iter().for_each(|(why, from, count)| hand_in(DatagramFact::Dropped { from, why, count }));
            }
            News::NotSent(to, error) => hand_in(DatagramFact::NotSent { to, error }),
            News::Targets(targets) => {
                // Refused only while it is being stopped.
                if let Err(error) = node.aim_discovery(now, targets) {
                    tracing::debug!(step = "discovery_not_aimed", %error, "discovery goes on as it was");
                }
            }
        }
    }

    /// Announces where links are taken now.
    pub(super) fn announce_listeners(&self, node: &mut Node, now: Now) {
        if let Some(speaking) = &self.discovery.speaking
            && node.discovery_running()
            && let Err(error) = node.announce_listeners(now, announced(&self.listening, &speaking.advertise))
        {
            events::not_announced(&error);
        }
    }
}

/// What others are told about where links are taken: what the operator says, else what was bound. A socket on all IPv6
/// addresses takes IPv4, too.
fn announced(listening: &[SocketAddr], advertise: &[SocketAddr]) -> Vec<SocketAddr> {
    if !advertise.is_empty() {
        return advertise.to_vec();
    }
    let mut all = Vec::new();
    for at in listening {
        all.push(*at);
        if matches!(at.ip(), IpAddr::V6(ip) if ip.is_unspecified()) {
            all.push(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), at.port()));
        }
    }
    all.dedup();
    // More than can be announced is more than anybody needs to reach it.
    all.truncate(16);
    all
}
