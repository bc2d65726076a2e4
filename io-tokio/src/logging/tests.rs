use serde_json::Value;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::events::{self, kinds};

/// Keeps every line, and may set the clock of what comes.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Record>>>);

impl Sink for Kept {
    fn take(&self, record: &Record) {
        self.0.lock().unwrap().push(record.clone());
    }

    fn held_back(&self, _lines: u64) {}
}

fn lines_of(act: impl FnOnce()) -> Vec<Record> {
    let kept = Kept::default();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(Lines::new(kept.clone())), act);
    std::mem::take(&mut *kept.0.lock().unwrap())
}

fn a_failing_peer(peer: &str) {
    events::tell!(info, kinds::LINK_FAILED, peer, reason = "lost", detail = "connection refused", "trying on");
}

/// The same line at these times, in seconds; gives when it was written, and how many were held back before it.
fn written(times: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
    let line = lines_of(|| a_failing_peer("shop")).remove(0);
    let mut repeats = Repeats::default();
    let mut written = Vec::new();
    for second in times {
        let passed = repeats.judge(Record { at_ms: 1_000_000_000 + second * 1000, ..line.clone() });
        written.extend(passed.records.iter().map(|record| {
            let held = record.field("held_back").and_then(Value::as_u64).unwrap_or(0);
            ((record.at_ms - 1_000_000_000) / 1000, held)
        }));
    }
    written
}

#[test]
fn a_peer_that_fails_for_ever_is_told_ever_more_rarely_and_never_not_at_all() {
    let fast = written(0..64);
    assert_eq!(fast, [(0, 0), (1, 0), (3, 1), (7, 3), (15, 7), (31, 15), (63, 31)]);
    let slow = written((0..300).map(|n| n * 60));
    let pauses: Vec<_> = slow.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(pauses.iter().all(|pause| *pause <= 600), "{pauses:?}");
    assert!(slow.len() < 40, "{} lines of 300", slow.len());
    let said: u64 = slow.iter().map(|(_, held)| held + 1).sum();
    let held_now = 300 - said;
    assert!(held_now < 10, "what is held back is said with the next line");
}

#[test]
fn a_silence_ends_it_and_what_was_held_back_is_said() {
    // The third is held back; ten minutes later something else happens.
    let said = written([0, 1, 2, 700]);
    assert_eq!(said, [(0, 0), (1, 0), (2, 1), (700, 0)]);
}

#[test]
fn different_lines_do_not_hold_each_other_back() {
    let lines = lines_of(|| {
        for peer in ["a", "b", "c"] {
            for _ in 0..8 {
                a_failing_peer(peer);
            }
        }
        for _ in 0..100 {
            events::tell!(info, kinds::SYNC_TICK, batch = 0, "every tick is told");
        }
    });
    let of = |name: &str| lines.iter().filter(|line| line.event.as_deref() == Some(name)).count();
    assert_eq!((of("link_failed"), of("sync_tick")), (3 * 4, 100));
}

#[test]
fn strangers_cannot_make_it_remember_or_write_without_end() {
    let line = lines_of(|| a_failing_peer("shop")).remove(0);
    let mut repeats = Repeats::default();
    let (mut written, mut held_back, mut said) = (0, 0, 0);
    let mut tell = |at_ms: u64, peer: String| {
        let mut record = Record { at_ms, ..line.clone() };
        record.fields = vec![("peer", peer.into())];
        let passed = repeats.judge(record);
        written += passed.records.len() as u64;
        held_back += passed.held_back;
        said += passed.records.iter().filter_map(|record| record.field("held_back")?.as_u64()).sum::<u64>();
    };
    for n in 0..20_000 {
        tell(n, format!("stranger-{n}"));
    }
    // Half a second later there is room for one that speaks for the others.
    tell(20_500, "shop".to_owned());
    assert!((64..=64 + 42).contains(&written), "{written} lines in 20 seconds");
    assert_eq!((written + held_back, said), (20_001, held_back), "every one is counted, and that is said");
    assert!(format!("{repeats:?}").len() < 1 << 20);
}

#[test]
fn a_line_names_its_node_and_is_one_json_object() {
    let node = softadastra_core::ids::NodeId::new("till-1").unwrap();
    let lines = lines_of(|| {
        let _entered = events::span(&node).entered();
        events::tell!(warn, kinds::SNAPSHOT_FAILED, error = "no\nroom \"here\"", "a snapshot was given up");
        tracing::info!(count = 3_u64, off = -2_i64, yes = true, "no event");
    });
    let json: Value = serde_json::from_str(&lines[0].json()).unwrap();
    assert_eq!(json["event"], "snapshot_failed");
    assert_eq!(
        (&json["node"], &json["local_state"], &json["retry"]),
        (&"till-1".into(), &"valid".into(), &"by_itself".into())
    );
    assert_eq!((&json["level"], &json["message"]), (&"WARN".into(), &"a snapshot was given up".into()));
    assert_eq!(json["error"], "no\\nroom \"here\"");
    assert!(lines[0].json().starts_with("{\"timestamp\":\""));
    let human = lines[0].human(false);
    assert!(human.contains(" WARN a snapshot was given up event=\"snapshot_failed\""), "{human}");
    assert!(human.contains("node=till-1") && !human.contains('\n') && !human.contains('\x1b'), "{human}");
    let json: Value = serde_json::from_str(&lines[1].json()).unwrap();
    assert_eq!((&json["count"], &json["off"], &json["yes"]), (&3.into(), &(-2).into(), &true.into()));
}

#[test]
fn the_latest_lines_are_kept_and_all_are_counted() {
    let recent = Arc::new(Recent::default());
    let lines = Lines::new(recent.clone()).with_filter(LevelFilter::INFO);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
        for n in 0..1000_u64 {
            tracing::info!(n, "a line");
        }
        tracing::error!("the last one");
        tracing::debug!("nobody asked");
        for _ in 0..10 {
            a_failing_peer("shop");
        }
    });
    let kept = recent.after(0);
    assert_eq!(kept.len(), 400);
    assert_eq!(kept.last().unwrap().seq, 1000 + 1 + 4);
    assert_eq!(recent.counts(), ([1, 0, 1004], 6));
    assert_eq!(recent.after(kept.last().unwrap().seq - 1).len(), 1);
}
