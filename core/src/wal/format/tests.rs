use super::*;
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::Dot;
use crate::op::{Body, Marks};
use alloc::string::ToString;
use alloc::vec;

fn header() -> SegmentHeader {
    SegmentHeader {
        log: LogId([7; 16]),
        number: 3,
        first_lsn: Lsn(41),
        capacity: 1 << 20,
        salt: 0xdead_beef,
        recycled: false,
    }
}

fn own(seq: u64, value: &'static str) -> Record {
    Record::Own(Operation {
        dot: Dot { replica: ReplicaId([1; 16]), seq },
        stamp: Stamp(99),
        context: VersionVector::EMPTY,
        key: Bytes::from_static(b"key"),
        body: Body::Put(Bytes::from_static(value.as_bytes())),
        marks: Marks::default(),
    })
}

fn birth() -> Record {
    Record::Birth { replica: ReplicaId([1; 16]), node: NodeId::new("till-1").unwrap(), at: WallTime(5) }
}

fn frame() -> Vec<u8> {
    let mut builder = FrameBuilder::default();
    builder.push(&birth());
    builder.push(&own(1, "hello"));
    builder.seal(FrameKind::Data, Lsn(41), Lsn(40), header().frame_salt())
}

#[test]
fn a_segment_header_round_trips_and_every_flipped_bit_is_seen() {
    let bytes = header().encode();
    assert_eq!(SegmentHeader::decode(&Bytes::copy_from_slice(&bytes)), Ok(header()));
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes;
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(SegmentHeader::decode(&Bytes::copy_from_slice(&damaged)).is_err(), "bit {bit}");
    }
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let mut bytes = header().encode();
    bytes[8] = 3;
    let crc = crc32fast::hash(&bytes[..60]).to_le_bytes();
    bytes[60..].copy_from_slice(&crc);
    let error = SegmentHeader::decode(&Bytes::copy_from_slice(&bytes)).unwrap_err();
    assert_eq!(error.fault, Fault::FromTheFuture);
}

#[test]
fn a_recycled_segment_has_a_version_of_its_own() {
    let recycled = SegmentHeader { recycled: true, ..header() };
    let bytes = recycled.encode();
    assert_eq!((header().encode()[8..10].to_vec(), bytes[8..10].to_vec()), (vec![1, 0], vec![2, 0]));
    assert_eq!(SegmentHeader::decode(&Bytes::copy_from_slice(&bytes)), Ok(recycled));
    assert_eq!(recycled.frame_salt(), header().frame_salt());
}

#[test]
fn a_frame_round_trips() {
    let bytes = Bytes::from(frame());
    assert_eq!(bytes.len() % FRAME_ALIGN, 0);
    let frame = decode_frame(&bytes, 0, header().frame_salt()).unwrap();
    assert_eq!((frame.kind, frame.first_lsn, frame.durable, frame.count), (FrameKind::Data, Lsn(41), Lsn(40), 2));
    assert_eq!(frame.next_lsn(), Lsn(43));
    let mut records = Records::of(&frame);
    assert_eq!(records.next(None).unwrap(), Some((Lsn(41), birth())));
    assert_eq!(records.next(Some(ReplicaId([1; 16]))).unwrap(), Some((Lsn(42), own(1, "hello"))));
    assert_eq!(records.next(None).unwrap(), None);
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_frame_is_seen() {
    let bytes = frame();
    let salt = header().frame_salt();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_frame(&Bytes::from(damaged), 0, salt).is_err(), "bit {bit}");
    }
    for cut in 0..bytes.len() {
        assert!(decode_frame(&Bytes::copy_from_slice(&bytes[..cut]), 0, salt).is_err(), "cut at {cut}");
    }
}

#[test]
fn a_frame_of_another_log_segment_or_life_is_refused() {
    let bytes = Bytes::from(frame());
    for other in [
        SegmentHeader { log: LogId([8; 16]), ..header() },
        SegmentHeader { number: 4, ..header() },
        SegmentHeader { salt: 1, ..header() },
    ] {
        assert!(decode_frame(&bytes, 0, other.frame_salt()).is_err());
    }
}

#[test]
fn positions_that_no_log_can_have_are_refused() {
    for bad in [
        SegmentHeader { number: 0, ..header() },
        SegmentHeader { number: u64::MAX, ..header() },
        SegmentHeader { first_lsn: Lsn(0), ..header() },
        SegmentHeader { first_lsn: Lsn(u64::MAX), ..header() },
    ] {
        assert!(SegmentHeader::decode(&Bytes::copy_from_slice(&bad.encode())).is_err(), "{bad:?}");
    }
    let salt = header().frame_salt();
    for (first_lsn, durable) in [(0, 0), (5, 5), (u64::MAX, 1)] {
        let bytes = FrameBuilder::default().seal(FrameKind::Mark, Lsn(first_lsn), Lsn(durable), salt);
        assert!(decode_frame(&Bytes::from(bytes), 0, salt).is_err(), "{first_lsn} {durable}");
    }
}

#[test]
fn an_unknown_record_kind_is_from_the_future() {
    let frame = Frame {
        kind: FrameKind::Data,
        first_lsn: Lsn(1),
        count: 1,
        durable: Lsn::ZERO,
        records: Bytes::from(vec![200, 0, 0, 0, 0]),
        encoded_len: 48,
    };
    assert_eq!(Records::of(&frame).next(None).unwrap_err().fault, Fault::FromTheFuture);
}

#[test]
fn names_of_files_round_trip_and_strangers_are_left_alone() {
    for name in
        [FileName::Segment(1), FileName::Spare(u64::MAX), FileName::Snapshot(Lsn(9)), FileName::SnapshotDraft(Lsn(0))]
    {
        assert_eq!(FileName::parse(&name.to_name()), Some(name));
    }
    for stranger in ["", "x", "LOCK", "1.seg", "000000000000000G.seg", "000000000000000A.seg", "0000000000000001.sega"]
    {
        assert_eq!(FileName::parse(stranger), None, "{stranger}");
    }
    assert_eq!(FileName::Segment(255).to_name().to_string(), "00000000000000ff.seg");
}

#[test]
fn the_bytes_of_a_segment_header_are_pinned() {
    insta::assert_snapshot!(crate::testing::hex(&header().encode()), @r"
    0000  53 41 44 53 45 47 0d 0a 01 00 00 00 ef be ad de  SADSEG..........
    0010  07 07 07 07 07 07 07 07 07 07 07 07 07 07 07 07  ................
    0020  03 00 00 00 00 00 00 00 29 00 00 00 00 00 00 00  ........).......
    0030  00 00 10 00 00 00 00 00 00 00 00 00 b1 da d4 86  ................
    ");
}

#[test]
fn the_bytes_of_a_frame_are_pinned() {
    insta::assert_snapshot!(crate::testing::hex(&frame()), @r"
    0000  53 46 52 4d 40 00 00 00 29 00 00 00 00 00 00 00  SFRM@...).......
    0010  02 00 00 00 00 03 00 00 28 00 00 00 00 00 00 00  ........(.......
    0020  80 3f a0 53 c7 87 83 2d 01 1f 00 00 00 01 01 01  .?.S...-........
    0030  01 01 01 01 01 01 01 01 01 01 01 01 01 05 00 00  ................
    0040  00 00 00 00 00 06 74 69 6c 6c 2d 31 02 14 00 00  ......till-1....
    0050  00 00 63 00 00 00 00 00 00 00 01 03 6b 65 79 05  ..c.........key.
    0060  68 65 6c 6c 6f 00 00 00                          hello...
    ");
}

/// A frame whose header is changed by hand, with the checksum that goes with it.
fn resealed(change: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let salt = header().frame_salt();
    let mut bytes = frame();
    change(&mut bytes);
    let body_len = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
    let mut hasher = crc32fast::Hasher::new_with_initial(salt.0);
    hasher.update(&bytes[..36]);
    hasher.update(bytes.get(40..40 + body_len).unwrap_or_default());
    bytes[36..40].copy_from_slice(&hasher.finalize().to_le_bytes());
    bytes.into()
}

#[test]
fn a_frame_of_an_impossible_length_is_refused_for_its_length() {
    let salt = header().frame_salt();
    let read = |len: usize| {
        let bytes = resealed(|bytes| bytes[4..8].copy_from_slice(&(len as u32).to_le_bytes()));
        decode_frame(&bytes, 0, salt).map(|frame| frame.encoded_len).map_err(|error| (error.field, error.fault))
    };
    assert_eq!(read(64), Ok(104));
    assert_eq!(read(60), Err(("frame length", Fault::Invalid)), "frames begin at multiples of eight");
    assert_eq!(read(MAX_FRAME_BODY), Err(("frame", Fault::Short)), "it may be that long");
    assert_eq!(read(MAX_FRAME_BODY + 8), Err(("frame length", Fault::Invalid)));
}

#[test]
fn the_greatest_positions_are_still_positions() {
    let greatest = SegmentHeader { number: MAX_POSITION, first_lsn: Lsn(MAX_POSITION), ..header() };
    assert_eq!(SegmentHeader::decode(&Bytes::copy_from_slice(&greatest.encode())), Ok(greatest));
    let salt = header().frame_salt();
    let bytes = Bytes::from(FrameBuilder::default().seal(FrameKind::Mark, Lsn(MAX_POSITION), Lsn(1), salt));
    assert_eq!(decode_frame(&bytes, 0, salt).unwrap().first_lsn, Lsn(MAX_POSITION));
}

#[test]
fn records_are_left_out_up_to_an_lsn_and_none_beyond_the_last() {
    let frame = decode_frame(&Bytes::from(frame()), 0, header().frame_salt()).unwrap();
    for (through, next) in [(0, Some(Lsn(41))), (40, Some(Lsn(41))), (41, Some(Lsn(42))), (42, None), (99, None)] {
        let mut records = Records::of(&frame);
        records.skip_through(Lsn(through)).unwrap();
        let found = records.next(Some(ReplicaId([1; 16]))).unwrap();
        assert_eq!(found.map(|(lsn, _)| lsn), next, "through {through}");
    }
}
