//! What is inside a sealed record: a packing byte, then parts. `docs/wire-protocol.md` has the byte pictures.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};

use super::super::noise::{MAX_SEALED, TAG_LEN};
use super::super::reason::{CloseReason, Farewell};
use super::Lane;
use crate::codec::{DecodeError, Reader, put_varint, varint_len};

/// The greatest length of the parts of one record, unpacked: what fits without compression, so that a record never
/// depends on compressing well.
pub(super) const MAX_PARTS: usize = MAX_SEALED - TAG_LEN - 1;
/// The shortest sealed record: packing, kind, length.
pub(super) const MIN_SEALED: usize = TAG_LEN + 3;

const PLAIN: u8 = 0;
const LZ4: u8 = 1;
/// Shorter parts are not worth a try.
const MIN_TO_PACK: usize = 256;
/// After `n` tries in a row that did not pay, 2^n records pass untried, up to 2^5.
const MAX_PATIENCE: u32 = 5;

const PIECE: u8 = 0;
const LAST: u8 = 1;
const BULK: u8 = 2;
const PING: u8 = 4;
const PONG: u8 = 5;
const REKEY: u8 = 6;
const FAREWELL: u8 = 7;
const WELCOME: u8 = 8;
/// Kinds from here on may be passed over by whoever does not know them.
const OPTIONAL: u8 = 0x80;

/// One part of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Piece {
        lane: Lane,
        last: bool,
        body: Bytes,
    },
    Ping(u64),
    Pong(u64),
    /// The sender seals with the next key from the next record on. Always the last part.
    Rekey,
    /// Nothing follows.
    Farewell(Farewell),
    /// The responder's consent to the link.
    Welcome(u64),
}

impl Part {
    /// Bytes that a piece of `len` bytes takes beyond them.
    pub(super) const fn overhead(len: usize) -> usize {
        1 + varint_len(len as u64)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Piece { lane, last, body } => put_piece(out, *lane, *last, body),
            Self::Ping(token) => put(out, PING, &token.to_le_bytes()),
            Self::Pong(token) => put(out, PONG, &token.to_le_bytes()),
            Self::Rekey => put(out, REKEY, &[]),
            Self::Farewell(farewell) => put(out, FAREWELL, &[farewell.to_byte()]),
            Self::Welcome(order) => put(out, WELCOME, &order.to_le_bytes()),
        }
    }
}

pub(super) fn put_piece(out: &mut Vec<u8>, lane: Lane, last: bool, body: &[u8]) {
    let lane = match lane {
        Lane::Control => 0,
        Lane::Bulk => BULK,
    };
    put(out, PIECE | lane | if last { LAST } else { 0 }, body);
}

fn put(out: &mut Vec<u8>, kind: u8, body: &[u8]) {
    out.push(kind);
    put_varint(out, body.len() as u64);
    out.extend_from_slice(body);
}

/// Reads the next part that this version knows; `None` at the end.
pub(super) fn next_part(reader: &mut Reader<'_>) -> Result<Option<Part>, CloseReason> {
    let short = |error: DecodeError| CloseReason::BadRecord { what: error.field };
    while reader.remaining() > 0 {
        let kind = reader.u8("kind of part").map_err(short)?;
        let body = reader.blob(MAX_PARTS, "length of part").map_err(short)?;
        let fields = &mut Reader::new(&body);
        // Bytes behind the known fields belong to newer versions.
        let part = match kind {
            PIECE..=3 => {
                let lane = if kind & BULK == 0 { Lane::Control } else { Lane::Bulk };
                Part::Piece { lane, last: kind & LAST != 0, body }
            }
            PING => Part::Ping(fields.u64("ping").map_err(short)?),
            PONG => Part::Pong(fields.u64("pong").map_err(short)?),
            REKEY => Part::Rekey,
            FAREWELL => Part::Farewell(Farewell::from_byte(fields.u8("farewell").map_err(short)?)),
            WELCOME => Part::Welcome(fields.u64("welcome").map_err(short)?),
            OPTIONAL.. => continue,
            _ => return Err(CloseReason::BadRecord { what: "kind of part" }),
        };
        if part == Part::Rekey && reader.remaining() > 0 {
            return Err(CloseReason::BadRecord { what: "parts behind a rekey" });
        }
        return Ok(Some(part));
    }
    Ok(None)
}

/// Compresses records where it pays, and stops trying for a while where it did not.
pub(super) struct Packer {
    table: CompressTable,
    scratch: Vec<u8>,
    misses: u32,
    rest: u32,
}

impl Packer {
    pub(super) fn new() -> Self {
        Self { table: CompressTable::small(), scratch: Vec::new(), misses: 0, rest: 0 }
    }

    /// Appends the packed form of `parts` to `out` if it is at least a sixteenth shorter: about what keys that begin alike
    /// save beside values of 100 bytes that save nothing.
    fn pack(&mut self, parts: &[u8], out: &mut Vec<u8>) -> bool {
        if parts.len() < MIN_TO_PACK {
            return false;
        }
        if self.rest > 0 {
            self.rest -= 1;
            return false;
        }
        self.scratch.resize(get_maximum_output_size(parts.len()), 0);
        let packed = compress_into_with_table(parts, &mut self.scratch, &mut self.table)
            .ok()
            .and_then(|len| self.scratch.get(..len))
            .filter(|packed| packed.len() <= parts.len() - parts.len() / 16);
        let Some(packed) = packed else {
            self.misses = (self.misses + 1).min(MAX_PATIENCE);
            self.rest = 1 << self.misses;
            return false;
        };
        self.misses = 0;
        out.push(LZ4);
        put_varint(out, parts.len() as u64);
        out.extend_from_slice(packed);
        true
    }
}

/// The content of a record around `parts`.
pub(super) fn wrap(parts: &[u8], packer: Option<&mut Packer>) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.len() + 1);
    if !packer.is_some_and(|packer| packer.pack(parts, &mut out)) {
        out.push(PLAIN);
        out.extend_from_slice(parts);
    }
    out
}

/// The parts inside the content of a record. Never more than [`MAX_PARTS`] bytes, whatever the content says.
pub(super) fn unwrap(content: Vec<u8>, packing: bool) -> Result<Bytes, CloseReason> {
    let bad = |what| CloseReason::BadRecord { what };
    let content = Bytes::from(content);
    let mut reader = Reader::new(&content);
    match reader.u8("packing").map_err(|error| bad(error.field))? {
        PLAIN => Ok(content.slice(1..)),
        LZ4 if packing => {
            let len = reader.varint("unpacked length").map_err(|error| bad(error.field))?;
            let len = usize::try_from(len).ok().filter(|len| *len <= MAX_PARTS).ok_or(bad("unpacked length"))?;
            let mut parts = vec![0; len];
            let packed = content.get(reader.position()..).unwrap_or_default();
            match decompress_into(packed, &mut parts) {
                Ok(written) if written == len => Ok(parts.into()),
                _ => Err(bad("packed bytes")),
            }
        }
        LZ4 => Err(bad("packing that was not agreed")),
        _ => Err(bad("packing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::put_blob;
    use alloc::format;
    use proptest::prelude::*;

    #[test]
    fn packing_must_save_a_sixteenth() {
        let mut dice = crate::dice::Seed::from_number(1).stream("parts");
        let noise: Vec<u8> = (0..1000).map(|_| dice.next_u64() as u8).collect();
        for (zeros, packed) in [(0, false), (60, false), (100, true), (1000, true)] {
            let parts = [&noise[..], &vec![0; zeros]].concat();
            let content = wrap(&parts, Some(&mut Packer::new()));
            assert_eq!(content[0] == LZ4, packed, "{zeros} zeros");
            assert_eq!(unwrap(content, true), Ok(parts.into()));
        }
    }

    fn parts(content: &Bytes) -> Result<Vec<Part>, CloseReason> {
        let mut reader = Reader::new(content);
        let mut parts = Vec::new();
        while let Some(part) = next_part(&mut reader)? {
            parts.push(part);
        }
        Ok(parts)
    }

    #[test]
    fn parts_are_read_back_and_unknown_ones_are_skipped_or_refused_by_kind() {
        let all = [
            Part::Piece { lane: Lane::Control, last: false, body: Bytes::from_static(b"abc") },
            Part::Piece { lane: Lane::Bulk, last: true, body: Bytes::new() },
            Part::Ping(1),
            Part::Pong(u64::MAX),
            Part::Farewell(Farewell::Above(0x80)),
            Part::Welcome(7),
            Part::Rekey,
        ];
        let mut bytes = vec![0x80, 2, 9, 9];
        all.iter().for_each(|part| part.put(&mut bytes));
        assert_eq!(parts(&bytes.clone().into()).unwrap(), all);
        bytes.extend([PING, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(parts(&bytes.into()), Err(CloseReason::BadRecord { what: "parts behind a rekey" }));
        assert_eq!(parts(&vec![9, 0].into()), Err(CloseReason::BadRecord { what: "kind of part" }));
        assert_eq!(parts(&vec![PING, 7, 0, 0, 0, 0, 0, 0, 0].into()), Err(CloseReason::BadRecord { what: "ping" }));
    }

    #[test]
    fn packing_is_done_where_it_pays_and_given_up_where_not() {
        let mut packer = Packer::new();
        let text = b"the same words again and again; ".repeat(100);
        let packed = wrap(&text, Some(&mut packer));
        assert!(packed.len() < text.len() / 10);
        assert_eq!(unwrap(packed.clone(), true).unwrap(), text);
        assert_eq!(unwrap(packed, false), Err(CloseReason::BadRecord { what: "packing that was not agreed" }));
        let mut dice = crate::dice::Seed::from_number(1).stream("noise");
        let noise: Vec<u8> = (0..4096).map(|_| dice.next_u64() as u8).collect();
        assert_eq!(wrap(&noise, Some(&mut packer))[0], PLAIN);
        assert_eq!(wrap(&text, Some(&mut packer))[0], PLAIN, "passes untried after a miss");
        assert_eq!(wrap(&text, Some(&mut packer))[0], PLAIN);
        assert_eq!(wrap(&text, Some(&mut packer))[0], LZ4);
    }

    /// As operations are: what says who and when, a key that begins like others, and a value like no other.
    #[test]
    fn keys_that_begin_alike_are_packed_beside_any_values() {
        let mut dice = crate::dice::Seed::from_number(1).stream("values");
        let mut parts = Vec::new();
        for number in 20_000_u64..20_400 {
            parts.extend([1, 0, 0]);
            parts.extend(((1_700_000_000_000 << 16) + number % 64).to_le_bytes());
            put_varint(&mut parts, number);
            put_blob(&mut parts, format!("key-{number:012}").as_bytes());
            let value: Vec<u8> = (0..100).map(|_| dice.next_u64() as u8).collect();
            put_blob(&mut parts, &value);
        }
        let packed = wrap(&parts, Some(&mut Packer::new()));
        assert_eq!(packed[0], LZ4);
        assert!(packed.len() / 400 < 122, "{} bytes each", packed.len() / 400);
        assert_eq!(unwrap(packed, true), Ok(parts.into()));
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        let mut bomb = vec![LZ4];
        put_varint(&mut bomb, MAX_PARTS as u64 + 1);
        bomb.extend([0x1f, 0, 1, 0, 0xff, 0xff, 0xff]);
        assert_eq!(unwrap(bomb, true), Err(CloseReason::BadRecord { what: "unpacked length" }));
        // A block that gives more than it said, and one that gives less.
        let packed = lz4_flex::block::compress(&[0; 4000]);
        for said in [3999, 4001] {
            let mut content = vec![LZ4];
            put_varint(&mut content, said);
            content.extend(&packed);
            assert_eq!(unwrap(content, true), Err(CloseReason::BadRecord { what: "packed bytes" }), "{said}");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(mut bytes: Vec<u8>, said in 0_u64..70_000) {
            drop(parts(&bytes.clone().into()));
            let mut packed = vec![LZ4];
            put_varint(&mut packed, said);
            packed.append(&mut bytes);
            drop(unwrap(packed, true));
        }

        #[test]
        fn what_is_wrapped_is_unwrapped(parts in proptest::collection::vec(0_u8..4, 1..3000)) {
            prop_assert_eq!(&unwrap(wrap(&parts, Some(&mut Packer::new())), true).unwrap()[..], &parts[..]);
        }
    }
}
