//! The node in the lists of services that others browse: mDNS and DNS-SD (RFC 6762, RFC 6763). It is shown there, and
//! nothing that is heard there is believed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

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
#[derive(Debug, PartialEq, Eq)]
struct Reach {
    port: u16,
    /// `None` for every address of the machine.
    address: Option<IpAddr>,
}

/// The first address that others reach, else one on loopback, which is listed there alone.
fn reach(listening: &[SocketAddr]) -> Option<Reach> {
    let is_loopback = |at: &&SocketAddr| at.ip().to_canonical().is_loopback();
    let at = listening.iter().find(|at| !is_loopback(at)).or_else(|| listening.first())?;
    Some(Reach { port: at.port(), address: (!at.ip().is_unspecified()).then_some(at.ip().to_canonical()) })
}

/// Which interfaces to use: those chosen, else all; never loopback for what others reach.
fn interfaces(reach: &Reach, chosen: &[String]) -> Vec<IfKind> {
    match reach.address {
        Some(IpAddr::V4(address)) if address.is_loopback() => vec![IfKind::LoopbackV4],
        Some(IpAddr::V6(address)) if address.is_loopback() => vec![IfKind::LoopbackV6],
        _ if chosen.is_empty() => vec![IfKind::Predicate(IfPredicate::new(|one| !one.is_loopback()))],
        _ => chosen.iter().map(|one| one.parse().map_or_else(|_| IfKind::Name(one.clone()), IfKind::Addr)).collect(),
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
        daemon.enable_interface(interfaces(&reach, chosen)).map_err(failed)?;
        let key = key.to_string();
        // A name of its own: that of the machine may be looked after by another program.
        let host = format!("softadastra-{}.local.", key.get(..16).unwrap_or(&key));
        let text = [("key", key.as_str()), ("v", "1")];
        let addresses: Vec<IpAddr> = reach.address.into_iter().collect();
        let mut service =
            ServiceInfo::new(SERVICE, node.as_str(), &host, &addresses[..], reach.port, &text[..]).map_err(failed)?;
        if reach.address.is_none() {
            service = service.enable_addr_auto();
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
        let any = Reach { port: 2, address: None };
        assert_eq!(reach(&[at("127.0.0.1:1"), at("0.0.0.0:2")]), Some(any));
        let one = Reach { port: 3, address: Some("192.0.2.7".parse().unwrap()) };
        assert_eq!(reach(&[at("192.0.2.7:3"), at("[::]:4")]), Some(one));
        let here = reach(&[at("127.0.0.1:1")]).unwrap();
        assert!(matches!(interfaces(&here, &["eth0".to_owned()])[..], [IfKind::LoopbackV4]), "loopback stays here");
        assert_eq!(reach(&[]), None);
    }
}
