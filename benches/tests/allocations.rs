//! How often the hot paths ask for memory: a figure that no load of the machine changes. A guard, not a measure: a bound is a
//! little above what stands there today, so whoever adds an allocation to each operation is told.

#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use allocation_counter::measure;
use benches::pair::Pair;
use benches::{NOW, filled, key};
use bytes::Bytes;
use softadastra::{Batch, Client, ClientOptions, ScanOptions};
use softadastra_core::disk::{Completion, DiskOp};
use softadastra_core::node::{Input, Node, Output, Write};

/// Operations that share a frame, and a message.
const BATCH: u64 = 64;
/// Batches before counting begins, so that buffers have grown to what they need, and batches counted.
const ROUNDS: u64 = 40;

fn put(number: u64) -> Write {
    Write::Put { key: key(number), value: vec![7; 100].into(), expect: None, touch: false }
}

fn batch(first: u64) -> Vec<Write> {
    (first..first + BATCH).map(put).collect()
}

/// Other values for the same keys in every round.
fn overwrites(round: u64) -> Vec<Write> {
    let value = Bytes::from(vec![round as u8; 100]);
    (0..BATCH).map(|number| Write::Put { key: key(number), value: value.clone(), expect: None, touch: false }).collect()
}

/// Hands in writes; gives how often the node allocated meanwhile.
fn write(node: &mut Node, writes: Vec<Write>) -> u64 {
    measure(|| node.write(NOW, writes).map(drop).expect("a healthy node takes writes")).count_total
}

/// Carries out what the log asks for, as a disk that costs nothing; gives how often the node allocated meanwhile.
fn log(node: &mut Node) -> u64 {
    let mut count = 0;
    loop {
        let mut output = None;
        count += measure(|| output = node.poll_output(NOW)).count_total;
        match output {
            None => return count,
            Some(Output::Disk(request)) => {
                let result = Ok(match request.op {
                    DiskOp::Create { .. } | DiskOp::Open { .. } => Completion::Opened { len: 0 },
                    _ => Completion::Done,
                });
                let done = Input::Disk { token: request.token, result };
                count += measure(|| node.handle(NOW, done)).count_total;
            }
            Some(_) => {}
        }
    }
}

/// `count` in this many operations is at most `bound` for each.
#[track_caller]
fn at_most(bound: f64, count: u64, operations: u64) {
    let each = count as f64 / operations as f64;
    println!("{each:.2} allocations for each operation; {bound} are allowed");
    assert!(each <= bound, "{each:.2} allocations for each operation; {bound} are allowed");
    assert!(each > bound * 0.6, "{each:.2} allocations for each operation: lower the bound of {bound}");
}

#[test]
fn a_read_allocates_its_copy_of_the_value_alone() {
    let (node, _) = filled(1000);
    let mut found = None;
    let wanted = key(500);
    let info = measure(|| found = node.store().get(&wanted).and_then(|entry| entry.value_bytes()));
    assert!(found.is_some());
    assert_eq!(info.count_total, 1);
    let info = measure(|| assert!(node.store().get(&wanted).is_some_and(|entry| entry.value().is_some())));
    assert_eq!(info.count_total, 0, "who looks at a value where it is needs no copy");
}

#[test]
fn a_scan_allocates_nothing_for_each_entry() {
    let (node, _) = filled(1000);
    let mut seen = 0;
    let info = measure(|| seen = node.store().scan(..).filter(|entry| entry.value().is_some()).count());
    assert_eq!(seen, 1000);
    assert!(info.count_total <= 2, "{} allocations", info.count_total);
}

#[test]
fn a_page_shares_its_allocations_and_looking_in_place_needs_none() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = runtime.block_on(Client::open(ClientOptions::memory_only())).expect("a node in memory");
    let mut batch = Batch::new();
    for number in 0..1000 {
        batch.put(key(number), vec![7; 100]);
    }
    runtime.block_on(client.batch(batch)).expect("a healthy node takes writes");
    let options = ScanOptions { limit: 100, ..ScanOptions::default() };
    let mut page = None;
    let info = measure(|| page = client.scan(&options).ok());
    assert_eq!(page.map_or(0, |page| page.items.len()), 100);
    at_most(0.15, info.count_total, 100);

    let mut bytes = 0;
    let info = measure(|| _ = client.scan_with(&options, |key, value| bytes += key.len() + value.len()));
    assert_eq!(bytes, 100 * 116);
    assert!(info.count_total <= 2, "{} allocations beside that of the cursor", info.count_total);
    let info = measure(|| bytes = client.get_with(key(500), <[u8]>::len).ok().flatten().unwrap_or_default());
    assert_eq!(bytes, 100);
    assert!(info.count_total <= 2, "{} allocations beside those of the key", info.count_total);
}

#[test]
fn a_batch_of_puts_shares_its_allocations() {
    let (mut node, _) = filled(1000);
    let (mut count, mut next) = (0, 1_000_000);
    for round in 0..2 * ROUNDS {
        let allocated = write(&mut node, batch(next)) + log(&mut node);
        next += BATCH;
        count += if round < ROUNDS { 0 } else { allocated };
    }
    at_most(1.4, count, ROUNDS * BATCH);
}

/// What one replica had seen of a key takes no memory of its own.
#[test]
fn a_batch_of_overwrites_allocates_as_one_of_puts() {
    let (mut node, _) = filled(1000);
    let mut count = 0;
    for round in 0..2 * ROUNDS {
        let allocated = write(&mut node, overwrites(round)) + log(&mut node);
        count += if round < ROUNDS { 0 } else { allocated };
    }
    at_most(1.4, count, ROUNDS * BATCH);
}

#[test]
fn puts_that_share_a_frame_allocate_little_beside_their_entries() {
    let (mut node, _) = filled(1000);
    let (mut count, mut next) = (0, 1_000_000);
    for round in 0..2 * ROUNDS {
        let written: u64 = (next..next + BATCH).map(|number| write(&mut node, vec![put(number)])).sum();
        let allocated = written + log(&mut node);
        next += BATCH;
        count += if round < ROUNDS { 0 } else { allocated };
    }
    at_most(2.5, count, ROUNDS * BATCH);
}

#[test]
fn sending_and_applying_a_batch_shares_its_allocations() {
    let mut pair = Pair::linked(|work| measure(work).count_total);
    let mut next = 0;
    for round in 0..2 * ROUNDS {
        if round == ROUNDS {
            pair.costs = [0, 0];
        }
        pair.write(0, batch(next));
        next += BATCH;
        pair.settle();
    }
    let keys = pair.nodes[1].store().len() as u64;
    assert_eq!(keys, next, "everything has arrived");
    at_most(1.8, pair.costs[0], ROUNDS * BATCH);
    at_most(1.8, pair.costs[1], ROUNDS * BATCH);

    pair.costs = [0, 0];
    for round in 0..ROUNDS {
        pair.costs[0] += write(&mut pair.nodes[0], overwrites(round));
        pair.settle();
    }
    assert_eq!(pair.nodes[1].store().len() as u64, keys, "and nothing new");
    at_most(1.8, pair.costs[0], ROUNDS * BATCH);
    at_most(1.8, pair.costs[1], ROUNDS * BATCH);
}
