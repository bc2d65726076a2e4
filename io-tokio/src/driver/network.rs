//! What the loop does about links: it makes, takes and closes connections as the node asks, and tells it what became of
//! them.

use std::net::SocketAddr;

use softadastra_core::error::{Code, Error};
use softadastra_core::ids::NodeId;
use softadastra_core::node::{Input, LinkAct, LinkFact, Node};
use softadastra_core::time::Now;
use softadastra_core::transport::endpoint::LinkId;
use softadastra_core::transport::identity::NodeKey;

use super::command::{Answer, StartTransport, tell};
use super::links::{Bound, NetFact, bind};
use super::refusals::Arrivals;
use super::{Driver, closed};
use crate::disk::Disk;
use crate::events;
use crate::world::{Clock, Net};

/// Where the transport stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// No links.
    Stopped,
    /// Names are resolved and addresses bound.
    Starting,
    /// The node dials and answers.
    Running,
}

/// Addresses were bound, or not, for a transport that is to start.
pub(super) struct Prepared<N: Net> {
    start: StartTransport,
    bound: Result<Bound<N>, Error>,
    answer: Answer<Vec<SocketAddr>>,
}

impl<D: Disk, C: Clock, N: Net> Driver<D, C, N> {
    /// Resolves and binds beside the loop; [`Self::prepared`] goes on.
    pub(super) fn start_transport(&mut self, start: StartTransport, answer: Answer<Vec<SocketAddr>>) {
        let refusal = match self.transport {
            _ if self.closing => Some(closed()),
            Transport::Starting => Some(busy("is being started", "wait for that to end")),
            Transport::Running => Some(busy("is running already", "stop it first to start it with other options")),
            Transport::Stopped => None,
        };
        if let Some(refusal) = refusal {
            return tell(answer, Err(refusal));
        }
        self.transport = Transport::Starting;
        let net = self.links.net();
        self.links.prepare(async move {
            let StartTransport { network, listen, insecure, .. } = &start;
            let has_secret = network.secret.is_some();
            let bound = bind(&*net, listen, &network.trust, has_secret, *insecure).await;
            Prepared { start, bound, answer }
        });
    }

    fn prepared(&mut self, node: &mut Node, now: Now, Prepared { start, bound, answer }: Prepared<N>) {
        self.transport = Transport::Stopped;
        let started = bound.and_then(|(listeners, addresses)| {
            if self.closing {
                return Err(closed());
            }
            let key = start.network.identity.key();
            node.start_transport(now, start.network)?;
            for peer in start.peers {
                match peer.held {
                    true => node.hold_peer(now, peer.key, peer.addresses)?,
                    false => node.add_peer(now, peer.key, peer.addresses)?,
                };
            }
            self.transport = Transport::Running;
            self.links.listen(listeners);
            self.listening.clone_from(&addresses);
            events::transport_started(&key, &addresses);
            Ok(addresses)
        });
        if let Err(error) = &started {
            node.stop_transport(now);
            events::transport_failed(error);
        }
        self.announce_listeners(node, now);
        tell(answer, started);
    }

    /// Says goodbye on all links, and answers when the addresses are free.
    pub(super) fn stop_transport(&mut self, node: &mut Node, now: Now, answer: Answer<()>) {
        if self.transport == Transport::Starting {
            return tell(answer, Err(busy("is being started", "wait for that to end")));
        }
        let running = self.transport == Transport::Running;
        self.leave_network(node, now);
        let stopped = self.links.stop_listening();
        self.links.spawn(async move {
            stopped.await;
            if running {
                events::transport_stopped();
            }
            tell(answer, Ok(()));
        });
    }

    /// Begins to close all links.
    pub(super) fn leave_network(&mut self, node: &mut Node, now: Now) {
        if self.transport == Transport::Running {
            self.transport = Transport::Stopped;
            node.stop_transport(now);
            self.listening.clear();
            self.announce_listeners(node, now);
        }
    }

    /// Hands in what the network has to tell. Of closed links the node hears no more.
    pub(super) fn net_fact(&mut self, node: &mut Node, now: Now, fact: NetFact<N>) {
        match fact {
            NetFact::Link { link, fact, taken } => {
                if self.links.is_open(link) {
                    node.handle(now, Input::Link { link, fact });
                }
                drop(taken);
            }
            NetFact::Dialled { link, result } => {
                // It may have been given up meanwhile.
                if self.links.is_open(link) {
                    let fact = match result {
                        Ok(connection) => {
                            self.links.stand(link, connection);
                            LinkFact::Connected
                        }
                        Err(error) => LinkFact::DialFailed { error },
                    };
                    node.handle(now, Input::Link { link, fact });
                }
            }
            NetFact::Arrived { connection, from, taken: _taken } => match node.incoming(now, from) {
                Ok(link) => {
                    self.arrivals.came(link, from);
                    self.links.stand(link, connection);
                }
                Err(why) => {
                    events::turned_away(from, why);
                    Arrivals::turned_away(from, why, now.wall, &self.shared.refusals);
                }
            },
            NetFact::Prepared(prepared) => self.prepared(node, now, *prepared),
            NetFact::Radio(fact) => self.radio_fact(node, now, fact),
        }
    }

    pub(super) fn link_act(&mut self, link: LinkId, act: LinkAct) {
        match act {
            LinkAct::Dial { address } => self.links.dial(link, address),
            LinkAct::Send(bytes) => self.links.send(link, bytes),
            LinkAct::Close(_) => {
                self.arrivals.closed(link);
                self.links.close(link);
            }
        }
    }

    /// Keeps a pin across restarts, off the loop: the link does not wait for the disk.
    pub(super) fn keep_pin(&mut self, node: NodeId, key: NodeKey) {
        events::pinned(&node, &key);
        self.book.note_pin(node, key);
        let book = self.book.clone();
        self.links.spawn(async move {
            if let Err(error) = book.write_pins().await {
                events::pins_not_written(&error);
            }
        });
    }
}

fn busy(what: &str, next: &'static str) -> Error {
    Error::new(Code::InvalidState, format!("the transport {what}"), next)
}
