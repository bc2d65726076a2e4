//! Files of the log that somebody else has changed, seen from the command line.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::Place;

/// The files of the log that end so, in order.
fn files(place: &Place, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.data().join("wal")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.to_str().unwrap().ends_with(ending)).collect();
    files.sort();
    files
}

fn name(path: &std::path::Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn a_flipped_bit_anywhere_in_the_only_snapshot_is_refused_and_named() {
    let place = Place::new();
    let records: String = (0..50).map(|n| format!("{{\"key\":\"k{n}\",\"value\":\"{n}\"}}\n")).collect();
    place.run_with(&["store", "import"], records.as_bytes()).ok();
    place.run(&["snapshot"]).ok();
    let before = place.run(&["store", "export"]).ok();
    let snapshots = files(&place, ".snap");
    let [snapshot] = &snapshots[..] else { panic!("{snapshots:?}") };
    let whole = fs::read(snapshot).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(snapshot, &flipped).unwrap();
        let ran = place.run(&["--json", "store", "get", "k7"]);
        assert_eq!((ran.code, &ran.error()["code"]), (1, &json!("wal_corrupt")), "byte {at}: {ran:?}");
        assert_eq!(ran.error()["local_state"], "damaged", "byte {at}");
        assert!(ran.stdout.is_empty(), "byte {at}");
        let ran = place.run(&["--json", "wal", "verify"]);
        assert_eq!((ran.code, &ran.error()["code"]), (1, &json!("wal_corrupt")), "byte {at}: {ran:?}");
        let damage = ran.data("softadastra.wal/1")["damage"].clone();
        let named = |damage: &Value| damage["file"] == name(snapshot);
        assert!(damage.as_array().unwrap().iter().any(named), "byte {at}: {damage}");
    }
    fs::write(snapshot, &whole).unwrap();
    place.run(&["wal", "verify"]).ok();
    assert_eq!(place.run(&["store", "export"]).ok(), before, "looking has changed nothing");
}

#[test]
fn a_segment_that_lost_its_end_is_opened_with_a_doubt_that_is_told_once() {
    let place = Place::new();
    place.run(&["store", "put", "k", "v"]).ok();
    let segment = files(&place, ".seg").pop().unwrap();
    OpenOptions::new().write(true).open(&segment).unwrap().set_len(4096).unwrap();
    let doubts = place.run(&["wal", "verify", "--json"]).data("softadastra.wal/1")["doubts"].clone();
    assert!(doubts[0].as_str().unwrap().contains(&format!("{} has 4096 bytes", name(&segment))), "{doubts}");
    let text = place.run(&["wal", "verify"]).ok();
    assert!(text.contains("Doubt") && !text.contains("is sound"), "{text}");
    let ran = place.run(&["store", "get", "k"]);
    assert!(ran.code == 0 && ran.out() == "v\n" && ran.stderr.contains("log_in_doubt"), "{ran:?}");
    assert_eq!(place.run(&["store", "get", "k"]).stderr, "");
    assert!(place.run(&["wal", "verify"]).ok().contains("is sound"));
}
