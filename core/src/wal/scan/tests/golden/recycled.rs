//! Version 2: a segment that was written over an older one. Else as version 1.

use super::*;

const VARIANTS: [(&str, u64); 2] = [("clean", 9), ("torn", 6)];

/// A log whose second segment stands in the room of another, with records 5 and 6 in it.
fn log() -> Log {
    let records = records();
    let mut log = Log::founded_at(Lsn(1));
    log.frame_of(&records[0..1], FrameKind::Data);
    log.frame_of(&records[1..4], FrameKind::Data);
    log.roll();
    let mut log = log.written_over(b"what stood there before");
    log.frame_of(&records[4..6], FrameKind::Data);
    log
}

/// What this version of the software writes, by path.
fn written_now() -> Vec<(String, Vec<u8>)> {
    let records = records();
    let mut clean = log();
    clean.frame_of(&records[6..9], FrameKind::Data);
    clean.empty(FrameKind::Close);
    let clean = clean.finish();
    // Of two frames that were on their way when the power failed, the first has lost its beginning.
    let mut torn = log();
    let durable = torn.durable;
    let lost = torn.frame_of(&records[6..8], FrameKind::Data);
    torn.durable = durable;
    torn.frame_of(&records[8..9], FrameKind::Data);
    let mut torn = torn.finish();
    torn.edit(&name(2), |bytes| bytes[lost.start..lost.start + 40].fill(0));
    let second = |variant: &str, disk: &MemDisk| (format!("{variant}/{}", name(2)), disk.bytes(&name(2)).to_vec());
    vec![(name(1), clean.bytes(&name(1)).to_vec()), second("clean", &clean), second("torn", &torn)]
}

#[test]
fn what_version_2_wrote_is_read_as_it_was_meant() {
    for (variant, records) in VARIANTS {
        let (report, text) = read("v2", variant);
        assert_eq!(report.refusal(), None, "{variant}");
        assert_eq!((report.next_lsn, report.log), (Lsn(records + 1), Some(LOG)), "{variant}");
        assert_eq!((report.torn.is_some(), report.closed_cleanly), (variant == "torn", variant == "clean"));
        let expected = fs::read_to_string(fixtures("v2").join(variant).join("holds.txt")).unwrap();
        assert_eq!(text + &open("v2", variant), expected, "{variant}");
    }
}

#[test]
fn this_version_writes_format_2_byte_for_byte() {
    for (path, bytes) in written_now() {
        let stored = fs::read(fixtures("v2").join(&path)).unwrap();
        assert_eq!(hex(&bytes), hex(&stored), "{path}");
    }
}

pub(super) fn write_the_fixture() {
    for (path, bytes) in written_now() {
        write(fixtures("v2").join(path), &bytes);
    }
    for (variant, _) in VARIANTS {
        let text = read("v2", variant).1 + &open("v2", variant);
        write(fixtures("v2").join(variant).join("holds.txt"), text.as_bytes());
    }
}
