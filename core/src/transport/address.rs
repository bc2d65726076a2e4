//! Where a node can be dialled.

use alloc::string::String;
use core::fmt;
use core::net::Ipv6Addr;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// `HOST:PORT`, where HOST is a name, an IPv4 address or an IPv6 address in brackets. The core never resolves it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// The greatest length: a host name of 253 bytes, a colon and a port.
    pub const MAX_LEN: usize = 259;

    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidAddress)?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || port.parse::<u16>().map_or(true, |port| port == 0) || text.len() > Self::MAX_LEN {
            return Err(InvalidAddress);
        }
        let good = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            // A zone (`%eth0`) is needed to dial link-local addresses.
            Some(inner) => {
                let (ip, zone) = inner.split_once('%').unwrap_or((inner, "0"));
                ip.parse::<Ipv6Addr>().is_ok() && is_name(zone)
            }
            None => is_name(host),
        };
        if good { Ok(Self(text.into())) } else { Err(InvalidAddress) }
    }
}

fn is_name(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl From<core::net::SocketAddr> for Address {
    fn from(address: core::net::SocketAddr) -> Self {
        use alloc::string::ToString;
        Self(address.to_string())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidAddress;

impl fmt::Display for InvalidAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address is HOST:PORT with a port from 1 to 65535, IPv6 in brackets")
    }
}

impl core::error::Error for InvalidAddress {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn addresses_are_parsed_strictly() {
        for good in ["10.0.0.7:4444", "till-3.local:1", "[::1]:65535", "[fe80::1%eth0]:9", "a_b:80"] {
            let address = good.parse::<Address>().unwrap();
            assert_eq!((address.as_str(), &*address.to_string()), (good, good));
        }
        assert!(InvalidAddress.to_string().contains("HOST:PORT"));
        let longest = "x".repeat(Address::MAX_LEN - 2) + ":1";
        assert!(longest.parse::<Address>().is_ok() && ("x".to_string() + &longest).parse::<Address>().is_err());
        let long = "x".repeat(Address::MAX_LEN) + ":1";
        for bad in
            ["", ":1", "host", "host:", "host:0", "host:65536", "host:+1", "::1:80", "[::1]", "[x]:1", "a b:1", &long]
        {
            assert!(bad.parse::<Address>().is_err(), "{bad:?}");
        }
    }
}
