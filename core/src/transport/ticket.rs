//! One copyable string with which a second node joins: where to dial, which key must answer, and the network secret.
//!
//! The text is `sadticket` and the base32 of: version (1 byte), flags (1 byte, bit 0: a secret is there), the public
//! key (32), the secret (32, if flagged), the number of addresses (1), each address as varint length and text, and the
//! first four bytes of the BLAKE3 hash over all of that. It holds letters and digits only, so that a double click
//! selects it, and capitals are as good as small letters, so that a QR code stays small.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::address::Address;
use super::identity::{NetworkSecret, NodeKey};
use crate::base32;
use crate::codec::{DecodeError, Fault, Reader, put_blob};

const PREFIX: &str = "sadticket";
const VERSION: u8 = 1;
const HAS_SECRET: u8 = 1;
const CHECKSUM_LEN: usize = 4;

/// What a ticket says. `Debug` hides the secret; [`Ticket::reveal`] is the text itself and must be kept like a key
/// whenever it holds one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Who must answer.
    pub key: NodeKey,
    /// Membership of the network; `None` when the network has no secret or the operator left it out.
    pub secret: Option<NetworkSecret>,
    /// Where to dial, best first; at most [`Ticket::MAX_ADDRESSES`], further ones are left out of the text.
    pub addresses: Vec<Address>,
}

impl Ticket {
    /// The most addresses one ticket holds.
    pub const MAX_ADDRESSES: usize = 16;
    /// The greatest length of the text.
    pub const MAX_LEN: usize = 8 * 1024;

    /// The text. Named so that it stands out where it is called: whoever reads it can join.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut payload = Zeroizing::new(Vec::with_capacity(512));
        payload.extend([VERSION, if self.secret.is_some() { HAS_SECRET } else { 0 }]);
        payload.extend(self.key.0);
        if let Some(secret) = &self.secret {
            payload.extend(secret.bytes());
        }
        let addresses = self.addresses.iter().take(Self::MAX_ADDRESSES);
        payload.push(addresses.len() as u8);
        for address in addresses {
            put_blob(&mut payload, address.as_str().as_bytes());
        }
        let sum = checksum(&payload);
        payload.extend(sum);
        let body = Zeroizing::new(base32::encode(&payload));
        Zeroizing::new(PREFIX.to_string() + &body)
    }

    /// The text without what tickets in it say: of each, and of each that is mistyped or cut, only the beginning that all
    /// have in common is left. For texts that repeat what somebody has typed.
    #[must_use]
    pub fn hide_in(text: &str) -> Cow<'_, str> {
        let (mut shown, mut rest, mut hid) = (String::new(), text, false);
        while let Some(at) = find_prefix(rest) {
            let (before, ticket) = rest.split_at(at + PREFIX.len());
            let end = ticket.find(ends_a_ticket).unwrap_or(ticket.len());
            shown.push_str(before);
            if ticket.starts_with(|c: char| c.is_ascii_alphanumeric()) {
                hid = true;
                shown.push('…');
                rest = ticket.get(end..).unwrap_or_default();
            } else {
                rest = ticket;
            }
        }
        if !hid {
            return Cow::Borrowed(text);
        }
        shown.push_str(rest);
        Cow::Owned(shown)
    }
}

/// Where a ticket begins, in small letters or capitals.
fn find_prefix(text: &str) -> Option<usize> {
    let starts = |part: &[u8]| part.eq_ignore_ascii_case(PREFIX.as_bytes());
    text.as_bytes().windows(PREFIX.len()).position(starts)
}

fn ends_a_ticket(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "\"'`,;()[]{}…".contains(c)
}

fn checksum(payload: &[u8]) -> [u8; CHECKSUM_LEN] {
    let [a, b, c, d, ..] = *blake3::hash(payload).as_bytes();
    [a, b, c, d]
}

impl FromStr for Ticket {
    type Err = InvalidTicket;

    /// Reads a ticket; spaces around it and capitals are forgiven.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.len() > Self::MAX_LEN {
            return Err(InvalidTicket::TooLong);
        }
        let (prefix, body) = text.split_at_checked(PREFIX.len()).ok_or(InvalidTicket::NotATicket)?;
        if !prefix.eq_ignore_ascii_case(PREFIX) {
            return Err(InvalidTicket::NotATicket);
        }
        let bytes = base32::decode(body).ok_or(InvalidTicket::Mistyped)?;
        let (payload, sum) = bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or(InvalidTicket::Mistyped)?;
        if checksum(payload) != *sum {
            return Err(InvalidTicket::Mistyped);
        }
        Ok(read(&Bytes::copy_from_slice(payload))?)
    }
}

fn read(payload: &Bytes) -> Result<Ticket, DecodeError> {
    let mut reader = Reader::new(payload);
    let invalid = |field| DecodeError { field, fault: Fault::Invalid };
    if reader.u8("ticket version")? != VERSION {
        return Err(DecodeError { field: "ticket version", fault: Fault::FromTheFuture });
    }
    let flags = reader.u8("ticket flags")?;
    if flags & !HAS_SECRET != 0 {
        return Err(DecodeError { field: "ticket flags", fault: Fault::FromTheFuture });
    }
    let key = NodeKey(reader.array("ticket key")?);
    let secret = match flags & HAS_SECRET {
        0 => None,
        _ => Some(NetworkSecret::from_bytes(reader.array("ticket secret")?)),
    };
    let count = usize::from(reader.u8("ticket addresses")?);
    if count > Ticket::MAX_ADDRESSES {
        return Err(invalid("ticket addresses"));
    }
    let mut addresses = Vec::with_capacity(count);
    for _ in 0..count {
        let text = reader.blob(Address::MAX_LEN, "ticket address")?;
        let text = core::str::from_utf8(&text).map_err(|_| invalid("ticket address"))?;
        addresses.push(text.parse().map_err(|_| invalid("ticket address"))?);
    }
    reader.finish("ticket")?;
    Ok(Ticket { key, secret, addresses })
}

/// The text is not a ticket of this version; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidTicket {
    /// It does not begin like one.
    NotATicket,
    /// Characters are missing or wrong: the checksum does not hold.
    Mistyped,
    /// It is longer than any ticket.
    TooLong,
    /// The checksum holds but the content is not understood, perhaps of a newer version.
    Content(DecodeError),
}

impl From<DecodeError> for InvalidTicket {
    fn from(error: DecodeError) -> Self {
        Self::Content(error)
    }
}

impl fmt::Display for InvalidTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotATicket => write!(f, "a ticket begins with {PREFIX}"),
            Self::Mistyped => f.write_str("the ticket is incomplete or mistyped; copy it again"),
            Self::TooLong => write!(f, "a ticket has at most {} characters", Ticket::MAX_LEN),
            Self::Content(error) => write!(f, "the ticket cannot be read: {error}"),
        }
    }
}

impl core::error::Error for InvalidTicket {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;
    use proptest::prelude::*;

    fn ticket() -> Ticket {
        Ticket {
            key: NodeKey([7; 32]),
            secret: Some(NetworkSecret::from_bytes([9; 32])),
            addresses: vec!["10.0.0.7:4444".parse().unwrap(), "[::1]:4444".parse().unwrap()],
        }
    }

    #[test]
    fn the_text_of_a_ticket_never_changes() {
        insta::assert_snapshot!(ticket().reveal().as_str());
    }

    #[test]
    fn a_ticket_is_read_back_however_it_was_copied() {
        for ticket in [ticket(), Ticket { secret: None, ..ticket() }, Ticket { addresses: vec![], ..ticket() }] {
            let text = ticket.reveal();
            assert_eq!(text.parse::<Ticket>().unwrap(), ticket);
            assert_eq!(format!("  {}\n", text.to_ascii_uppercase()).parse::<Ticket>().unwrap(), ticket);
        }
        let many = Ticket { addresses: vec!["h:1".parse().unwrap(); 40], ..ticket() };
        assert_eq!(many.reveal().parse::<Ticket>().unwrap().addresses.len(), Ticket::MAX_ADDRESSES);
    }

    #[test]
    fn every_slip_is_noticed() {
        let text = ticket().reveal();
        for at in 0..text.len() {
            let mut slip = text.as_bytes().to_vec();
            slip[at] = if slip[at] == b'a' { b'b' } else { b'a' };
            let slip = String::from_utf8(slip).unwrap();
            assert!(slip.parse::<Ticket>().is_err(), "character {at}");
            assert!(text[..at].parse::<Ticket>().is_err(), "cut at {at}");
        }
        assert_eq!("till-3:4444".parse::<Ticket>(), Err(InvalidTicket::NotATicket));
        assert_eq!("x".repeat(9000).parse::<Ticket>(), Err(InvalidTicket::TooLong));
    }

    #[test]
    fn what_is_wrong_with_a_ticket_is_said() {
        let of_length =
            |len: usize| (PREFIX.to_string() + &"a".repeat(len - PREFIX.len())).parse::<Ticket>().unwrap_err();
        assert_eq!(of_length(Ticket::MAX_LEN), InvalidTicket::Mistyped);
        assert_eq!(of_length(Ticket::MAX_LEN + 1), InvalidTicket::TooLong);
        let content = DecodeError { field: "ticket version", fault: Fault::FromTheFuture };
        for (error, says) in [
            (InvalidTicket::NotATicket, "begins with sadticket"),
            (InvalidTicket::Mistyped, "copy it again"),
            (InvalidTicket::TooLong, "at most 8192 characters"),
            (InvalidTicket::Content(content), &format!("cannot be read: {content}")),
        ] {
            assert!(format!("{error}").contains(says), "{error}");
        }
    }

    #[test]
    fn a_newer_ticket_is_named_as_such() {
        let mut payload = vec![2];
        payload.extend(checksum(&payload));
        let text = PREFIX.to_string() + &base32::encode(&payload);
        assert_eq!(
            text.parse::<Ticket>(),
            Err(InvalidTicket::Content(DecodeError { field: "ticket version", fault: Fault::FromTheFuture }))
        );
    }

    #[test]
    fn a_printed_ticket_hides_its_secret() {
        let shown = format!("{:?}", ticket());
        assert!(!shown.contains(ticket().secret.unwrap().reveal().as_str()) && shown.contains("NetworkSecret(..)"));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(mut payload: Vec<u8>) {
            payload.extend(checksum(&payload));
            let text = PREFIX.to_string() + &base32::encode(&payload);
            prop_assume!(text.len() < Ticket::MAX_LEN);
            if let Ok(ticket) = text.parse::<Ticket>() {
                let again = ticket.reveal();
                prop_assert_eq!(again.as_str(), text);
            }
        }
    }

    #[test]
    fn of_a_ticket_in_a_text_only_the_beginning_is_shown() {
        for (text, shown) in [
            ("node start --peer sadticketaeark3 -v", "node start --peer sadticket… -v"),
            ("--set peers=SADTICKETAEARK3,a:1", "--set peers=SADTICKET…,a:1"),
            ("\"sadticketa-b=c\" and sadticketdef", "\"sadticket…\" and sadticket…"),
            ("a ticket begins with sadticket", "a ticket begins with sadticket"),
            ("sadticket… sadticketé", "sadticket… sadticketé"),
            ("ä sadTicketx", "ä sadTicket…"),
            ("", ""),
        ] {
            assert_eq!(Ticket::hide_in(text), shown);
        }
    }
}
