//! What datagrams say, and their layout between seal and signature. `docs/discovery.md` has the byte pictures.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use bytes::Bytes;

use super::reach::Way;
use crate::codec::{DecodeError, Fault, Reader, put_blob};
use crate::identity::NodeKey;
use crate::ids::NodeId;
use crate::time::WallTime;

/// The greatest datagram: it passes every IPv6 link (1,280 bytes with headers) in one piece.
pub(super) const MAX_LEN: usize = 1200;
/// First bytes of every datagram.
pub(super) const MAGIC: [u8; 6] = *b"SADDSC";
pub(super) const VERSION: u8 = 1;
/// Signature and seal at the end.
pub(super) const TRAILER_LEN: usize = 64 + 32;
pub(super) const HEADER_LEN: usize = 64;
pub(super) const MIN_LEN: usize = HEADER_LEN + TRAILER_LEN;

/// The greatest pause between announcements that a node may speak of.
pub(super) const MAX_INTERVAL: Duration = Duration::from_secs(3600);
pub(super) const MAX_WAYS: usize = 16;
pub(super) const MAX_CAPABILITIES: usize = 16;
pub(super) const MAX_CAPABILITY_LEN: usize = 32;
/// The longest that a probe may ask for answers to be spread over.
pub(super) const MAX_SPREAD: Duration = Duration::from_secs(10);
/// Stamps stay far from where sums of them would overflow.
const MAX_WALL: u64 = 1 << 48;

const MAX_ABOUT: usize =
    (1 + NodeId::MAX_LEN) + 4 + (1 + MAX_WAYS * (2 + 18)) + (1 + MAX_CAPABILITIES * (1 + MAX_CAPABILITY_LEN));
const _: () = assert!(HEADER_LEN + 16 + 1 + 16 + MAX_ABOUT + TRAILER_LEN <= MAX_LEN);

/// A question, or the answer to it.
pub(super) type Nonce = [u8; 16];

/// A datagram's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Who speaks.
    pub(super) key: NodeKey,
    /// Drawn by the speaker at each start.
    pub(super) boot: u64,
    /// Rises with each datagram of this boot.
    pub(super) count: u64,
    /// The speaker's wall clock.
    pub(super) wall: WallTime,
    pub(super) body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// I am here.
    Announce(About),
    /// I am here; who are you? Answer at some moment within `spread`.
    Probe { question: Nonce, spread: Duration, about: About },
    /// I am here, and alive: this is what you asked. Perhaps with a question of my own.
    Reply { answer: Nonce, question: Option<Nonce>, about: About },
    /// I go.
    Goodbye,
}

/// A node about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) node: NodeId,
    /// It will be heard again within about this time.
    pub(super) interval: Duration,
    pub(super) ways: Vec<Way>,
    /// Sorted, each once.
    pub(super) capabilities: Vec<String>,
}

const ANNOUNCE: u8 = 1;
const PROBE: u8 = 2;
const REPLY: u8 = 3;
const GOODBYE: u8 = 4;

const WAY_AT_SOURCE: u8 = 1;
const WAY_AT_V4: u8 = 2;
const WAY_AT_V6: u8 = 3;

impl Body {
    /// The question in it. A datagram with a question is padded to [`MAX_LEN`], so that no answer is longer.
    pub(super) const fn question(&self) -> Option<Nonce> {
        match self {
            Self::Probe { question, .. } => Some(*question),
            Self::Reply { question, .. } => *question,
            Self::Announce(_) | Self::Goodbye => None,
        }
    }
}

/// Whether `word` may name a capability.
pub(super) fn is_capability(word: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    !word.is_empty() && word.len() <= MAX_CAPABILITY_LEN && word.bytes().all(allowed)
}

impl Message {
    /// Everything before the signature.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAX_LEN);
        out.extend(MAGIC);
        let kind = match &self.body {
            Body::Announce(_) => ANNOUNCE,
            Body::Probe { .. } => PROBE,
            Body::Reply { .. } => REPLY,
            Body::Goodbye => GOODBYE,
        };
        out.extend([VERSION, kind]);
        out.extend(self.key.0);
        out.extend(self.boot.to_le_bytes());
        out.extend(self.count.to_le_bytes());
        out.extend(self.wall.0.min(MAX_WALL).to_le_bytes());
        match &self.body {
            Body::Announce(about) => about.encode(&mut out),
            Body::Probe { question, spread, about } => {
                out.extend(question);
                out.extend((spread.as_millis() as u16).to_le_bytes());
                about.encode(&mut out);
            }
            Body::Reply { answer, question, about } => {
                out.extend(answer);
                out.push(u8::from(question.is_some()));
                out.extend(question.iter().flatten());
                about.encode(&mut out);
            }
            Body::Goodbye => {}
        }
        if self.body.question().is_some() {
            out.resize(MAX_LEN - TRAILER_LEN, 0);
        }
        out
    }

    /// Reads what [`Self::encode`] writes, and what newer software may append to it.
    pub(super) fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.array("magic")? != MAGIC {
            return Err(invalid("magic"));
        }
        if reader.u8("version")? != VERSION {
            return Err(DecodeError { field: "version", fault: Fault::FromTheFuture });
        }
        let kind = reader.u8("kind")?;
        let key = NodeKey(reader.array("key")?);
        let boot = reader.u64("boot")?;
        let count = reader.u64("count")?;
        let wall = reader.u64("wall clock")?;
        if wall > MAX_WALL {
            return Err(invalid("wall clock"));
        }
        let body = match kind {
            ANNOUNCE => Body::Announce(About::decode(&mut reader)?),
            PROBE => Body::Probe {
                question: reader.array("question")?,
                spread: decode_spread(&mut reader)?,
                about: About::decode(&mut reader)?,
            },
            REPLY => Body::Reply {
                answer: reader.array("answer")?,
                question: match reader.u8("whether it asks")? {
                    0 => None,
                    1 => Some(reader.array("question")?),
                    _ => return Err(invalid("whether it asks")),
                },
                about: About::decode(&mut reader)?,
            },
            GOODBYE => Body::Goodbye,
            _ => return Err(DecodeError { field: "kind", fault: Fault::FromTheFuture }),
        };
        pass_extensions(&mut reader)?;
        if body.question().is_some() && bytes.len() != MAX_LEN - TRAILER_LEN {
            return Err(invalid("padding"));
        }
        Ok(Self { key, boot, count, wall: WallTime(wall), body })
    }
}

impl About {
    fn encode(&self, out: &mut Vec<u8>) {
        put_blob(out, self.node.as_str().as_bytes());
        out.extend((self.interval.as_millis() as u32).to_le_bytes());
        out.push(self.ways.len() as u8);
        for way in &self.ways {
            let mut body = Vec::with_capacity(18);
            let (tag, port) = match way {
                Way::AtSource { v6, port } => {
                    body.push(if *v6 { 6 } else { 4 });
                    (WAY_AT_SOURCE, *port)
                }
                Way::At(address) => {
                    let tag = match address.ip() {
                        IpAddr::V4(ip) => {
                            body.extend(ip.octets());
                            WAY_AT_V4
                        }
                        IpAddr::V6(ip) => {
                            body.extend(ip.octets());
                            WAY_AT_V6
                        }
                    };
                    (tag, address.port())
                }
            };
            body.extend(port.to_le_bytes());
            out.push(tag);
            put_blob(out, &body);
        }
        out.push(self.capabilities.len() as u8);
        for capability in &self.capabilities {
            put_blob(out, capability.as_bytes());
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let node = text(reader, NodeId::MAX_LEN, "node id")?;
        let node = NodeId::new(node).map_err(|_| invalid("node id"))?;
        let interval = Duration::from_millis(u32::from_le_bytes(reader.array("interval")?).into());
        if interval > MAX_INTERVAL {
            return Err(invalid("interval"));
        }
        let mut ways = Vec::new();
        for _ in 0..bounded(reader, MAX_WAYS, "ways")? {
            let tag = reader.u8("way")?;
            let body = reader.blob(255, "way")?;
            ways.extend(decode_way(tag, &body)?);
        }
        let mut capabilities: Vec<String> = Vec::new();
        for _ in 0..bounded(reader, MAX_CAPABILITIES, "capabilities")? {
            let capability = text(reader, MAX_CAPABILITY_LEN, "capability")?;
            if !is_capability(&capability) || capabilities.last().is_some_and(|last| *last >= capability) {
                return Err(invalid("capability"));
            }
            capabilities.push(capability);
        }
        Ok(Self { node, interval, ways, capabilities })
    }
}

const fn invalid(field: &'static str) -> DecodeError {
    DecodeError { field, fault: Fault::Invalid }
}

fn text(reader: &mut Reader<'_>, max: usize, field: &'static str) -> Result<String, DecodeError> {
    let bytes = reader.blob(max, field)?;
    core::str::from_utf8(&bytes).map(String::from).map_err(|_| invalid(field))
}

fn bounded(reader: &mut Reader<'_>, max: usize, field: &'static str) -> Result<u8, DecodeError> {
    let count = reader.u8(field)?;
    if usize::from(count) > max { Err(invalid(field)) } else { Ok(count) }
}

fn decode_spread(reader: &mut Reader<'_>) -> Result<Duration, DecodeError> {
    let spread = Duration::from_millis(u16::from_le_bytes(reader.array("spread")?).into());
    if spread > MAX_SPREAD { Err(invalid("spread")) } else { Ok(spread) }
}

/// `None` for a way that only newer software knows.
fn decode_way(tag: u8, body: &Bytes) -> Result<Option<Way>, DecodeError> {
    let mut reader = Reader::new(body);
    let mut way = match tag {
        WAY_AT_SOURCE => match reader.u8("way")? {
            4 => Way::AtSource { v6: false, port: 0 },
            6 => Way::AtSource { v6: true, port: 0 },
            _ => return Err(invalid("way")),
        },
        WAY_AT_V4 => Way::At((Ipv4Addr::from(reader.array::<4>("way")?), 0).into()),
        WAY_AT_V6 => Way::At((Ipv6Addr::from(reader.array::<16>("way")?), 0).into()),
        _ => return Ok(None),
    };
    let found = u16::from_le_bytes(reader.array("way")?);
    match &mut way {
        Way::AtSource { port, .. } => *port = found,
        Way::At(address) => SocketAddr::set_port(address, found),
    }
    reader.finish("way")?;
    Ok(Some(way))
}

/// Passes over extensions (tag, length, bytes) with odd tags, and over padding, which begins with tag 0.
fn pass_extensions(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    while reader.remaining() > 0 {
        match reader.varint("extension")? {
            0 => return reader.skip(reader.remaining(), "padding"),
            odd if odd % 2 == 1 => drop(reader.blob(MAX_LEN, "extension")?),
            _ => return Err(DecodeError { field: "extension", fault: Fault::FromTheFuture }),
        }
    }
    Ok(())
}
