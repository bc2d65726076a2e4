//! How links are opened.

use softadastra_core::transport::endpoint;
use softadastra_core::transport::trust::TrustMode;

use super::PeerSpec;

/// How a node opens links to others.
#[derive(Clone, Debug, Default)]
pub struct TransportOptions {
    /// Where to listen: `HOST:PORT` each, IPv6 in brackets, port 0 for any free one; a host name stands for all its
    /// addresses. `[::]:PORT` takes IPv4 too where the system does. Default: nowhere, because a node that only dials
    /// needs no open port.
    pub listen: Vec<String>,
    /// Peers to dial, besides those that are remembered. Default: none.
    pub peers: Vec<PeerSpec>,
    /// Serve beyond loopback although anybody may come in, to read and write everything. Default: no.
    pub insecure: bool,
    /// Whom to let in, instead of what is remembered for the node. Default: what is remembered; without that whoever
    /// holds the network secret if there is one, else the trusted keys if there are any, else everybody on this
    /// machine.
    pub trust: Option<TrustMode>,
    /// Timeouts and bounds of links.
    pub settings: endpoint::Settings,
}
