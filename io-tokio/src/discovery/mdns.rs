//! The node in the lists of services that others browse: mDNS and DNS-SD (RFC 6762, RFC 6763). It is shown there, and
//! nothing that is heard there is believed.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use if_addrs::Interface;
use mdns_sd::{DaemonEvent, IfKind, IfPredicate, ServiceDaemon, ServiceInfo};
use softadastra_core::ids::NodeId;
use softadastra_core::transport::identity::NodeKey;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::events;

/// The type of the service.
const SERVICE: &str = "_softadastra._tcp.local.";

/// How long a goodbye may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// A node that is listed. Dropping it ends that without a goodbye.
pub(crate) struct Listing {
    daemon: ServiceDaemon,
    name: String,
    port: u16,
    watching: JoinHandle<()>,
}

/// Where a node can be reached, as far as a list of services can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reach {
    port: u16,
    /// One address; an unspecified one for every address of the machine of its family, the IPv6 one for all of both.
    address: IpAddr,
}

/// The first address that others reach, else one on loopback, which is listed there alone.
fn reach(listening: &[SocketAddr]) -> Option<Reach> {
    let is_loopback = |at: &&SocketAddr| at.ip().to_canonical().is_loopback();
    let at = listening.iter().find(|at| !is_loopback(at)).or_else(|| listening.first())?;
    Some(Reach { port: at.port(), address: at.ip().to_canonical() })
}

impl Reach {
    fn is_everywhere(self) -> bool {
        self.address.is_unspecified()
    }

    /// Whether mDNS is spoken at this address of the machine: on the interfaces chosen, if any are; never on loopback about
    /// what others reach.
    fn speaks(self, interface: &str, address: IpAddr, chosen: &[String]) -> bool {
        if self.address.is_loopback() {
            return address.is_loopback() && address.is_ipv4() == self.address.is_ipv4();
        }
        let is_chosen = |one: &String| one == interface || one.parse() == Ok(address);
        !address.is_loopback() && (chosen.is_empty() || chosen.iter().any(is_chosen))
    }

    /// Whether links are taken at this address of the machine, by its family.
    fn takes_links(self, address: IpAddr) -> bool {
        self.address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) || address.is_ipv4() == self.address.is_ipv4()
    }
}

impl Listing {
    /// Lists a node that takes links at these addresses.
    ///
    /// # Errors
    /// Why it cannot be listed, in words.
    pub(crate) fn open(
        node: &NodeId,
        key: &NodeKey,
        listening: &[SocketAddr],
        chosen: &[String],
    ) -> Result<Self, String> {
        let reach =
            reach(listening).ok_or("the node takes no links: set `listen`, and see to what keeps it from that")?;
        let failed = |error: mdns_sd::Error| error.to_string();
        let daemon = ServiceDaemon::new().map_err(failed)?;
        daemon.disable_interface(IfKind::All).map_err(failed)?;
        let chosen = chosen.to_vec();
        let spoken = move |one: &Interface| reach.speaks(&one.name, one.ip(), &chosen);
        daemon.enable_interface(IfKind::Predicate(IfPredicate::new(spoken))).map_err(failed)?;
        let key = key.to_string();
        // A name of its own: that of the machine may be looked after by another program.
        let host = format!("softadastra-{}.local.", key.get(..16).unwrap_or(&key));
        let text = [("key", key.as_str()), ("v", "1")];
        let addresses: Vec<IpAddr> = (!reach.is_everywhere()).then_some(reach.address).into_iter().collect();
        let mut service =
            ServiceInfo::new(SERVICE, node.as_str(), &host, &addresses[..], reach.port, &text[..]).map_err(failed)?;
        if reach.is_everywhere() {
            service = service.enable_addr_auto();
            let listed = IfPredicate::new(move |one| reach.takes_links(one.ip()));
            service.set_interfaces(vec![IfKind::Predicate(listed)]);
        }
        let name = service.get_fullname().to_owned();
        let told = daemon.monitor().map_err(failed)?;
        daemon.register(service).map_err(failed)?;
        let watching = async move {
            while let Ok(event) = told.recv_async().await {
                if let DaemonEvent::Error(error) = event {
                    events::mdns_failed(&error.to_string());
                }
            }
        };
        let watching = tokio::spawn(watching.in_current_span());
        Ok(Self { daemon, name, port: reach.port, watching })
    }

    /// The name of the service, in full.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The port of the links.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Says goodbye, so that lists lose the node at once.
    pub(crate) async fn withdraw(self) {
        let farewell = async {
            let Ok(done) = self.daemon.unregister(&self.name) else { return };
            // Nobody is left to be told when this fails: lists lose the node in time.
            drop(done.recv_async().await);
            if let Ok(done) = self.daemon.shutdown() {
                drop(done.recv_async().await);
            }
        };
        drop(tokio::time::timeout(FAREWELL, farewell).await);
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.watching.abort();
        // It may have ended already.
        drop(self.daemon.shutdown());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn others_are_told_of_what_they_reach() {
        let any = reach(&[at("127.0.0.1:1"), at("0.0.0.0:2")]).unwrap();
        assert_eq!(any, Reach { port: 2, address: "0.0.0.0".parse().unwrap() });
        let one = Reach { port: 3, address: "192.0.2.7".parse().unwrap() };
        assert_eq!(reach(&[at("192.0.2.7:3"), at("[::]:4")]), Some(one));
        assert_eq!(reach(&[]), None);
    }

    #[test]
    fn a_node_is_listed_where_it_takes_links_and_nowhere_else() {
        let all = ["127.0.0.1", "::1", "192.0.2.7", "fe80::1"];
        let listed_at = |listening: &str, chosen: &[&str]| -> Vec<&str> {
            let chosen: Vec<String> = chosen.iter().map(|one| (*one).to_owned()).collect();
            let reach = reach(&[at(listening)]).unwrap();
            let listed = |address| reach.speaks("eth0", address, &chosen) && reach.takes_links(address);
            all.into_iter().filter(|one| listed(one.parse().unwrap())).collect()
        };
        assert_eq!(listed_at("0.0.0.0:1", &[]), ["192.0.2.7"]);
        assert_eq!(listed_at("[::]:1", &[]), ["192.0.2.7", "fe80::1"], "both families are taken there");
        assert_eq!(listed_at("[fe80::1]:1", &[]), ["fe80::1"]);
        assert_eq!(listed_at("0.0.0.0:1", &["eth0"]), ["192.0.2.7"]);
        assert_eq!(listed_at("[::]:1", &["fe80::1"]), ["fe80::1"]);
        assert_eq!(listed_at("[::]:1", &["eth1"]), [] as [&str; 0]);
        assert_eq!(listed_at("127.0.0.1:1", &["eth0"]), ["127.0.0.1"], "loopback stays here");
        assert_eq!(listed_at("[::1]:1", &[]), ["::1"]);
    }
}
