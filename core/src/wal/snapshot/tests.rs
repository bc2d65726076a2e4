use super::*;
use alloc::vec;
use proptest::prelude::*;

const LOG: LogId = LogId([7; 16]);
const AT: Lsn = Lsn(41);

fn small() -> Vec<u8> {
    let mut file = encode_header(LOG, AT, b"head");
    file.extend(encode_block(LOG, AT, 0, 2, b"first block"));
    file.extend(encode_block(LOG, AT, 1, 1, b"second"));
    file.extend(encode_footer(LOG, AT, 2, 3, Lsn(44)));
    file
}

fn parts() -> Vec<Part> {
    vec![
        Part::Head { log: LOG, at: AT, head: Bytes::from_static(b"head") },
        Part::Block { items: 2, body: Bytes::from_static(b"first block") },
        Part::Block { items: 1, body: Bytes::from_static(b"second") },
        Part::Footer { blocks: 2, items: 3, reaches: Lsn(44) },
    ]
}

fn read(file: &[u8], chunk: usize) -> Result<Vec<Part>, DecodeError> {
    let mut decoder = Decoder::new();
    let mut parts = Vec::new();
    for chunk in file.chunks(chunk) {
        decoder.push(Bytes::copy_from_slice(chunk));
        while let Some(part) = decoder.next_part()? {
            parts.push(part);
        }
    }
    decoder.finish()?;
    Ok(parts)
}

#[test]
fn a_snapshot_reads_the_same_in_chunks_of_any_size() {
    for chunk in 1..small().len() {
        assert_eq!(read(&small(), chunk), Ok(parts()), "chunks of {chunk}");
    }
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_snapshot_is_seen() {
    let file = small();
    for bit in 0..file.len() * 8 {
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&damaged, 4096).is_err(), "bit {bit}");
    }
    for cut in 0..file.len() {
        assert!(read(&file[..cut], 4096).is_err(), "cut at {cut}");
    }
    let mut longer = file;
    longer.push(0);
    assert_eq!(read(&longer, 4096).unwrap_err().fault, Fault::Trailing);
}

#[test]
fn parts_of_another_snapshot_or_out_of_order_are_refused() {
    let header = encode_header(LOG, AT, b"head");
    let block = |log, at, index| encode_block(log, at, index, 1, b"x");
    // What follows fits whoever overlooks the fault.
    for (bad, blocks, items) in [
        (block(LogId([8; 16]), AT, 0), 1, 1),
        (block(LOG, Lsn(42), 0), 1, 1),
        (block(LOG, AT, 1), 2, 1),
        ([block(LOG, AT, 0), block(LOG, AT, 0)].concat(), 1, 2),
        (block(LOG, AT, 0), 2, 1),
        (block(LOG, AT, 0), 1, 2),
        (header[SNAPSHOT_HEADER_LEN..].to_vec(), 0, 0),
    ] {
        let file = [header.clone(), bad, encode_footer(LOG, AT, blocks, items, AT)].concat();
        assert_eq!(read(&file, 4096).unwrap_err().fault, Fault::Invalid);
    }
    let good = [header, block(LOG, AT, 0), encode_footer(LOG, AT, 1, 1, AT)].concat();
    assert_eq!(read(&good, 4096).map(|parts| parts.len()), Ok(3));
}

#[test]
fn a_head_has_the_number_0_and_no_part_is_longer_than_the_limit() {
    let mut file = encode_header(LOG, AT, b"");
    file.truncate(SNAPSHOT_HEADER_LEN);
    let mut second = file.clone();
    put_part(&mut file, life(LOG, AT), KIND_HEAD, 0, 0, b"head");
    put_part(&mut second, life(LOG, AT), KIND_HEAD, 1, 0, b"head");
    let first_part = |file: &[u8]| {
        let mut decoder = Decoder::new();
        decoder.push(Bytes::copy_from_slice(file));
        decoder.next_part()
    };
    assert!(matches!(first_part(&file), Ok(Some(Part::Head { .. }))));
    assert_eq!(first_part(&second).unwrap_err().field, "snapshot part order");

    for (len, refused) in [(MAX_PART_BODY, false), (MAX_PART_BODY + 1, true)] {
        let mut file = file.clone();
        file[SNAPSHOT_HEADER_LEN + 4..][..4].copy_from_slice(&(len as u32).to_le_bytes());
        match first_part(&file) {
            Err(error) => assert!(refused && error.field == "part length", "{len}: {error:?}"),
            Ok(part) => assert!(!refused && part.is_none(), "{len}: the rest may still come"),
        }
    }
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let mut file = small();
    file[8] = 2;
    let crc = crc32fast::hash(&file[..SNAPSHOT_HEADER_LEN - 4]).to_le_bytes();
    file[SNAPSHOT_HEADER_LEN - 4..SNAPSHOT_HEADER_LEN].copy_from_slice(&crc);
    assert_eq!(read(&file, 4096).unwrap_err().fault, Fault::FromTheFuture);
}

#[test]
fn salvage_passes_over_a_damaged_block() {
    let mut file = small();
    let first_block = encode_header(LOG, AT, b"head").len();
    file[first_block + PART_HEADER_LEN] ^= 1;
    let mut decoder = Decoder::new();
    decoder.push(file.into());
    assert!(matches!(decoder.next_part(), Ok(Some(Part::Head { .. }))));
    assert_eq!(decoder.next_part().unwrap_err().field, "part checksum");
    assert!(decoder.skip_damage());
    assert_eq!(decoder.next_part(), Ok(Some(parts()[2].clone())));
    assert_eq!(decoder.next_part(), Ok(Some(parts()[3].clone())));
    decoder.finish().unwrap();
}

#[test]
fn salvage_finds_the_same_in_chunks_of_any_size() {
    let first_block = encode_header(LOG, AT, b"head").len();
    let second_block = first_block + encode_block(LOG, AT, 0, 2, b"first block").len();
    for (damaged, lost) in [(first_block, 1), (second_block, 2)] {
        let mut file = small();
        file[damaged + PART_HEADER_LEN] ^= 1;
        let mut left = parts();
        left.remove(lost);
        for size in 1..=file.len() {
            let (mut decoder, mut found) = (Decoder::new(), Vec::new());
            for chunk in file.chunks(size) {
                decoder.push(Bytes::copy_from_slice(chunk));
                loop {
                    match decoder.next_part() {
                        Ok(Some(part)) => found.push(part),
                        Ok(None) => break,
                        Err(_) => assert!(decoder.skip_damage()),
                    }
                }
            }
            assert_eq!((found, decoder.finish()), (left.clone(), Ok(())), "chunks of {size}, without part {lost}");
        }
    }
}

#[test]
fn the_bytes_of_a_snapshot_are_pinned() {
    insta::assert_snapshot!(crate::testing::hex(&small()), @r"
    0000  53 41 44 53 4e 50 0d 0a 01 00 00 00 07 07 07 07  SADSNP..........
    0010  07 07 07 07 07 07 07 07 07 07 07 07 29 00 00 00  ............)...
    0020  00 00 00 00 00 00 00 00 00 00 00 00 76 24 9a 2f  ............v$./
    0030  53 50 52 54 04 00 00 00 00 00 00 00 00 00 00 00  SPRT............
    0040  00 00 00 00 00 00 00 00 20 2e f9 c1 33 ba 7f 1f  ........ ...3...
    0050  68 65 61 64 00 00 00 00 53 50 52 54 0b 00 00 00  head....SPRT....
    0060  00 00 00 00 00 00 00 00 02 00 00 00 01 00 00 00  ................
    0070  20 2e f9 c1 c6 a7 42 59 66 69 72 73 74 20 62 6c   .....BYfirst bl
    0080  6f 63 6b 00 00 00 00 00 53 50 52 54 06 00 00 00  ock.....SPRT....
    0090  01 00 00 00 00 00 00 00 01 00 00 00 01 00 00 00  ................
    00a0  20 2e f9 c1 47 be ee 62 73 65 63 6f 6e 64 00 00   ...G..bsecond..
    00b0  53 50 52 54 18 00 00 00 02 00 00 00 00 00 00 00  SPRT............
    00c0  00 00 00 00 02 00 00 00 20 2e f9 c1 0a 5d 9c d3  ........ ....]..
    00d0  02 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00  ................
    00e0  2c 00 00 00 00 00 00 00                          ,.......
    ");
}

proptest! {
    #[test]
    fn garbage_never_panics(garbage: Vec<u8>, at in 0usize..200, chunk in 1usize..64) {
        let mut file = small();
        let at = at.min(file.len());
        file.splice(at.., garbage);
        let mut decoder = Decoder::new();
        for chunk in file.chunks(chunk) {
            decoder.push(Bytes::copy_from_slice(chunk));
            loop {
                match decoder.next_part() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => if !decoder.skip_damage() { break },
                }
            }
        }
        prop_assert!(decoder.offset() <= file.len() as u64);
    }
}

#[test]
fn behind_damage_a_part_that_came_before_is_passed_over() {
    let mut file = encode_header(LOG, AT, b"head");
    let first = encode_block(LOG, AT, 0, 1, b"first");
    let mut damaged = encode_block(LOG, AT, 1, 1, b"second");
    damaged[PART_HEADER_LEN] ^= 1;
    file.extend([&first[..], &damaged, &first, &encode_block(LOG, AT, 2, 1, b"third")].concat());
    let mut decoder = Decoder::new();
    decoder.push(file.into());
    assert!(matches!(decoder.next_part(), Ok(Some(Part::Head { .. }))));
    assert!(matches!(decoder.next_part(), Ok(Some(Part::Block { .. }))));
    assert!(decoder.next_part().is_err());
    assert!(decoder.skip_damage());
    assert!(matches!(decoder.next_part(), Ok(Some(Part::Block { body, .. })) if body == "third"));
}
