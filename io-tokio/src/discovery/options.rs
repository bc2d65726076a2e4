//! How discovery is opened.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use softadastra_core::discovery::{DEFAULT_PORT, Settings};
use softadastra_core::error::{Code, Error};

/// The most addresses that can be announced.
const MAX_ADVERTISED: usize = 16;

/// Whether a node is seen by others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiscoveryMode {
    /// It only hears them. Nothing is ever sent.
    Listen,
    /// It announces itself, asks who is there, and answers. The default.
    #[default]
    Announce,
}

impl DiscoveryMode {
    /// The stable name, as programs and settings see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Announce => "announce",
        }
    }
}

/// Where to announce and to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetSpec {
    /// The groups of discovery, IPv4 and IPv6, on each interface.
    Multicast,
    /// The IPv4 broadcast address of each interface.
    Broadcast,
    /// One host, at the port of discovery unless another is given.
    Host {
        /// Its address.
        ip: IpAddr,
        /// Its port.
        port: Option<u16>,
    },
}

impl FromStr for TargetSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Ok(at) = text.parse::<SocketAddr>() {
            return Ok(Self::Host { ip: at.ip(), port: Some(at.port()) });
        }
        match (text, text.parse::<IpAddr>()) {
            ("multicast", _) => Ok(Self::Multicast),
            ("broadcast", _) => Ok(Self::Broadcast),
            (_, Ok(ip)) => Ok(Self::Host { ip, port: None }),
            (_, Err(_)) => Err(Error::new(
                Code::InvalidArgument,
                format!("{text:?} is no target of discovery: those are multicast, broadcast, IP and IP:PORT"),
                "correct it",
            )),
        }
    }
}

impl fmt::Display for TargetSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Multicast => f.write_str("multicast"),
            Self::Broadcast => f.write_str("broadcast"),
            Self::Host { ip, port: Some(port) } => write!(f, "{}", SocketAddr::new(*ip, *port)),
            Self::Host { ip, port: None } => write!(f, "{ip}"),
        }
    }
}

/// How a node finds others, and lets itself be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveryOptions {
    /// Whether it is seen by others.
    pub mode: DiscoveryMode,
    /// Where to announce and to ask. Default: multicast, which reaches every node of the local network at the price of one
    /// datagram. Routers do not pass it on: name single hosts behind them.
    pub targets: Vec<TargetSpec>,
    /// Which interfaces to use, by their names or addresses. Default: all that are up, the loopback interface for the nodes
    /// of the same machine among them, and point-to-point ones, which know no multicast, not.
    pub interfaces: Vec<String>,
    /// The UDP port, the same for all nodes. Default 4444. Several nodes of one machine share it.
    pub port: u16,
    /// Where links are taken, as others reach it, instead of where the transport listens: for a node behind a router that
    /// forwards a port. At most 16.
    pub advertise: Vec<SocketAddr>,
    /// Dial whoever is found, as far as the rules of trust let them in. Default no: discovery shows who is there, and the
    /// operator connects. It needs a network secret or a list of trusted keys.
    pub auto_connect: bool,
    /// Times and bounds.
    pub settings: Settings,
}

impl Default for DiscoveryOptions {
    fn default() -> Self {
        Self {
            mode: DiscoveryMode::default(),
            targets: vec![TargetSpec::Multicast],
            interfaces: Vec::new(),
            port: DEFAULT_PORT,
            advertise: Vec::new(),
            auto_connect: false,
            settings: Settings::default(),
        }
    }
}

impl DiscoveryOptions {
    /// Checks every option against its range. Of the interfaces, those that are not there may come yet.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`], naming the first option that is wrong.
    pub fn validate(&self) -> Result<(), Error> {
        let refuse = |what: &str| Err(Error::new(Code::InvalidArgument, what, "correct the options of discovery"));
        let hosts = self.targets.iter().filter_map(|target| match target {
            TargetSpec::Host { ip, port } => Some((*ip, port.unwrap_or(self.port))),
            TargetSpec::Multicast | TargetSpec::Broadcast => None,
        });
        for (ip, port) in hosts {
            let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
            if ip.is_multicast() || ip.is_unspecified() || broadcast || port == 0 {
                return refuse(&format!("the target {} of discovery is no single host", SocketAddr::new(ip, port)));
            }
        }
        match self {
            Self { port: 0, .. } => refuse("discovery needs a port that all nodes know, and 0 is none"),
            Self { targets, .. } if targets.is_empty() => refuse("discovery has no target"),
            Self { advertise, .. } if advertise.len() > MAX_ADVERTISED => refuse(&format!(
                "{} addresses are more than the {MAX_ADVERTISED} that can be announced",
                advertise.len()
            )),
            Self { advertise, .. } if advertise.iter().any(|at| at.port() == 0 || at.ip().is_unspecified()) => {
                refuse("an address that is announced needs a host and a port")
            }
            Self { settings, .. } => settings.validate(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_they_are_shown() {
        for text in ["multicast", "broadcast", "10.0.0.7", "10.0.0.7:4445", "fe80::1", "[::1]:9"] {
            assert_eq!(text.parse::<TargetSpec>().unwrap().to_string(), text);
        }
        for text in ["", "unicast", "till-3:4444", "10.0.0", "10.0.0.7:x"] {
            assert_eq!(text.parse::<TargetSpec>().unwrap_err().code(), Code::InvalidArgument, "{text}");
        }
    }

    #[test]
    fn options_out_of_range_are_refused_by_name() {
        type Spoil = fn(&mut DiscoveryOptions);
        DiscoveryOptions::default().validate().unwrap();
        let cases: [(&str, Spoil); 8] = [
            ("port", |o| o.port = 0),
            ("no target", |o| o.targets.clear()),
            ("224.0.0.1:4444 of discovery is no single host", |o| o.targets = vec!["224.0.0.1".parse().unwrap()]),
            ("255.255.255.255:1 of", |o| o.targets = vec!["255.255.255.255:1".parse().unwrap()]),
            ("[::]:4444 of", |o| o.targets = vec!["::".parse().unwrap()]),
            ("17 addresses", |o| o.advertise = vec!["10.0.0.1:1".parse().unwrap(); 17]),
            ("needs a host and a port", |o| o.advertise = vec!["0.0.0.0:1".parse().unwrap()]),
            ("interval", |o| o.settings.interval = std::time::Duration::ZERO),
        ];
        for (name, spoil) in cases {
            let mut options = DiscoveryOptions::default();
            spoil(&mut options);
            let error = options.validate().unwrap_err();
            assert!(error.code() == Code::InvalidArgument && error.what().contains(name), "{error}");
        }
    }
}
