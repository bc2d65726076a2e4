//! Links that stand: messages, keys that change, and bytes that break them.

use super::super::super::noise::TAG_LEN;
use super::*;
use proptest::prelude::*;

/// The records in `bytes`, each with its length in front.
fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while let [low, high, ..] = bytes {
        let (record, rest) = bytes.split_at(2 + usize::from(u16::from_le_bytes([*low, *high])));
        records.push(record);
        bytes = rest;
    }
    records
}

/// A pair that stands, and the bytes of some messages from A that B has not heard.
fn up_with_bytes() -> (Pair, Vec<u8>) {
    let mut pair = Pair::up();
    for text in ["one", "two", "three"] {
        pair.send(Side::A, Lane::Control, text);
    }
    let bytes = pair.a.wire.drain(..).collect();
    (pair, bytes)
}

#[test]
fn messages_arrive_on_their_lanes_in_order() {
    let mut pair = Pair::up();
    pair.send(Side::A, Lane::Control, "to b");
    pair.send(Side::B, Lane::Bulk, "to a");
    pair.send(Side::B, Lane::Bulk, "");
    pair.run_cut(3);
    assert_eq!(pair.b.messages, [(Lane::Control, Bytes::from("to b"))]);
    assert_eq!(pair.a.messages, [(Lane::Bulk, Bytes::from("to a")), (Lane::Bulk, Bytes::new())]);
}

#[test]
fn messages_queued_before_a_flush_share_one_record() {
    let mut pair = Pair::up();
    let before = pair.a.cuts.len();
    let now = pair.now;
    pair.a.act(now, |session, out| {
        for _ in 0..50 {
            session.send(Lane::Control, Bytes::from_static(b"small")).unwrap();
        }
        session.flush(now, out);
    });
    assert_eq!(pair.a.cuts.len(), before + 1);
    pair.run();
    assert_eq!(pair.b.messages.len(), 50);
}

#[test]
fn a_large_message_lets_small_ones_overtake() {
    let mut pair = Pair::up();
    let large = Bytes::from(vec![7; 1 << 20]);
    pair.a.writable = false;
    let stood = pair.a.sent.len();
    pair.send(Side::A, Lane::Bulk, large.clone());
    let window = pair.a.sent.len() - stood;
    assert!(window < 200 << 10, "only a window of it is on its way: {window}");
    pair.send(Side::A, Lane::Control, "urgent");
    assert_eq!(pair.a.sent.len() - stood, window, "the window is full");
    let now = pair.now;
    let all_but_one_byte = pair.a.session.in_flight - 1;
    pair.a.act(now, |session, out| session.handle_written(now, all_but_one_byte, out));
    let heard = pair.a.sent[stood..stood + window + (40 << 10)].to_vec();
    pair.b.hear(now, &heard);
    assert_eq!(
        pair.b.messages,
        [(Lane::Control, Bytes::from("urgent"))],
        "it is in the first record behind the window"
    );
    pair.a.writable = true;
    while pair.a.session.in_flight > 0 {
        let count = pair.a.session.in_flight;
        pair.a.act(now, |session, out| session.handle_written(now, count, out));
    }
    let rest = pair.a.sent[stood + heard.len()..].to_vec();
    pair.b.hear(now, &rest);
    assert_eq!(pair.b.messages[1..], [(Lane::Bulk, large)]);
}

#[test]
fn queues_push_back_and_tell_when_there_is_room() {
    let mut pair = Pair::up_with(|s| s.bulk_queue = 100 << 10);
    assert_eq!(pair.a.session.room(), 100 << 10);
    pair.a.writable = false;
    let message = Bytes::from(vec![1; 40 << 10]);
    let now = pair.now;
    let mut taken = 0;
    while pair.a.session.send(Lane::Bulk, message.clone()).is_ok() {
        taken += 1;
        pair.a.act(now, |session, out| session.flush(now, out));
        assert!(taken < 100, "no bound");
    }
    assert_eq!(pair.a.session.send(Lane::Bulk, message), Err(SendRefused::Full));
    assert!(pair.a.session.room() < 40 << 10);
    assert_eq!(pair.a.rooms, 0);
    pair.a.writable = true;
    let in_flight = pair.a.session.in_flight;
    pair.a.act(now, |session, out| session.handle_written(now, in_flight, out));
    assert_eq!(pair.a.rooms, 1);
    assert_eq!(pair.a.session.room(), 100 << 10);
}

#[test]
fn control_messages_are_bounded_too() {
    let mut pair = Pair::up_with(|s| s.control_queue = 2048);
    let message = Bytes::from(vec![1; 1500]);
    assert_eq!(pair.a.session.send(Lane::Control, message.clone()), Ok(()));
    assert_eq!(pair.a.session.send(Lane::Control, message.clone()), Ok(()), "the last one may go beyond");
    assert_eq!(pair.a.session.send(Lane::Control, message), Err(SendRefused::Full));
}

#[test]
fn the_limit_of_the_other_side_is_respected_and_enforced() {
    let (a, mut b) = (local(1, None), local(2, None));
    b.settings.max_message = 5000;
    let mut pair = Pair::of(a, b);
    pair.run();
    let refused = pair.a.session.send(Lane::Bulk, vec![0; 5001].into());
    assert_eq!(refused, Err(SendRefused::TooLarge { limit: 5000 }));
    pair.send(Side::A, Lane::Bulk, vec![0; 5000]);
    pair.run();
    assert_eq!(pair.b.messages.len(), 1);
    // A peer that breaks its word.
    pair.a.session.peer_limit = usize::MAX;
    pair.send(Side::A, Lane::Bulk, vec![0; 5001]);
    pair.run();
    assert_eq!(pair.why(), ("protocol_error", "message_too_large"));
}

#[test]
fn a_flipped_bit_in_any_byte_of_a_record_ends_the_link_for_good() {
    let (_, bytes) = up_with_bytes();
    let first = records(&bytes)[0].len();
    for at in 0..first {
        let (mut pair, mut bytes) = up_with_bytes();
        bytes[at] ^= 1;
        let now = pair.now;
        pair.b.hear(now, &bytes);
        assert!(pair.b.messages.is_empty());
        if at == 1 && !pair.b.session.is_closed() {
            // 256 bytes longer: it waits for them until the end.
            pair.b.act(now, |session, out| session.handle_end(now, None, out));
            assert_eq!(pair.b.why(), "truncated");
            continue;
        }
        assert_eq!(pair.b.why(), "record_forged", "byte {at}");
        pair.b.hear(now, &up_with_bytes().1);
        assert!(pair.b.messages.is_empty(), "nothing is heard after the end");
        assert_eq!(pair.b.closed.len(), 1);
        pair.run();
        assert_eq!(pair.a.closed, [CloseReason::Peer(Farewell::Protocol)], "the other side is told");
    }
}

#[test]
fn replayed_reordered_left_out_and_reflected_records_end_the_link() {
    let (mut pair, bytes) = up_with_bytes();
    let own = records(&bytes);
    assert_eq!(own.len(), 3);
    let now = pair.now;
    let orders: [&[usize]; 3] = [&[0, 0], &[1], &[0, 2]];
    for order in orders {
        let (mut pair, _) = up_with_bytes();
        for index in order {
            pair.b.hear(now, own[*index]);
        }
        assert_eq!(pair.b.why(), "record_forged", "{order:?}");
    }
    pair.a.hear(now, own[0]);
    assert_eq!(pair.a.why(), "record_forged", "reflected");
}

#[test]
fn an_end_without_a_farewell_is_truncation() {
    let (mut pair, bytes) = up_with_bytes();
    let now = pair.now;
    pair.b.hear(now, &bytes[..bytes.len() - 1]);
    assert_eq!(pair.b.messages.len(), 2);
    pair.b.act(now, |session, out| session.handle_end(now, None, out));
    assert_eq!(pair.b.why(), "truncated");
    pair.a.act(now, |session, out| session.handle_end(now, Some("reset".into()), out));
    assert_eq!(pair.a.closed, [CloseReason::Lost { error: "reset".into() }]);
}

#[test]
fn a_farewell_is_heard_with_its_reason() {
    for farewell in [Farewell::Bye, Farewell::Replaced, Farewell::Above(0x93)] {
        let mut pair = Pair::up();
        let now = pair.now;
        pair.a.act(now, |session, out| session.close(now, farewell, out));
        pair.run();
        pair.b.act(now, |session, out| session.handle_end(now, None, out));
        assert_eq!(pair.a.closed, [CloseReason::Local(farewell)]);
        assert_eq!(pair.b.closed, [CloseReason::Peer(farewell)]);
        assert_eq!(pair.a.session.send(Lane::Control, Bytes::new()), Err(SendRefused::NotUp));
        assert_eq!((pair.a.session.poll_timeout(), pair.a.session.room()), (None, 0));
    }
}

#[test]
fn impossible_lengths_are_refused_before_their_bytes() {
    let mut pair = Pair::up();
    let now = pair.now;
    pair.b.hear(now, &[18, 0]);
    assert_eq!(pair.b.closed, [CloseReason::BadRecord { what: "length" }]);
}

#[test]
fn keys_change_by_count_and_by_time_and_nothing_is_lost() {
    for (name, change, most) in [
        ("records", (|s| s.rekey_records = 3) as fn(&mut Settings), 2),
        ("bytes", |s| s.rekey_bytes = 100_000, 10),
        ("time", |s| s.rekey_after = Duration::from_secs(60), 8),
    ] {
        let mut pair = Pair::up_with(change);
        for round in 0..40_u32 {
            pair.now = pair.now + Duration::from_secs(9);
            pair.send(Side::A, Lane::Bulk, round.to_le_bytes().repeat(1000));
            pair.send(Side::B, Lane::Control, round.to_le_bytes().to_vec());
            pair.run();
            let Phase::Up(link) = &pair.a.session.phase else { panic!("{name}") };
            assert!(link.sealed_with_this_key() <= most, "{name}");
        }
        assert_eq!(pair.why(), ("open", "open"), "{name}");
        assert_eq!((pair.b.messages.len(), pair.a.messages.len()), (40, 40));
    }
}

#[test]
fn keys_change_after_65536_records() {
    let mut pair = Pair::up();
    let message = Bytes::from_static(b"x");
    for _ in 0..MAX_RECORDS_PER_KEY + 10 {
        pair.send(Side::A, Lane::Control, message.clone());
        pair.run();
        pair.a.sent.clear();
    }
    assert_eq!(pair.why(), ("open", "open"));
    assert_eq!(pair.b.messages.len() as u64, MAX_RECORDS_PER_KEY + 10);
}

#[test]
fn a_key_kept_too_long_ends_the_link() {
    let mut pair = Pair::up();
    let now = pair.now;
    let Phase::Up(link) = &mut pair.b.session.phase else { panic!() };
    link.pretend_opened(MAX_RECORDS_PER_KEY - 1);
    pair.send(Side::A, Lane::Control, "one too many");
    pair.run();
    let _ = now;
    assert_eq!(pair.why(), ("protocol_error", "rekey_overdue"));
}

#[test]
fn compression_is_agreed_and_pays() {
    for (a, b) in [(true, true), (true, false), (false, true)] {
        let (mut one, mut two) = (local(1, None), local(2, None));
        (one.settings.compress, two.settings.compress) = (a, b);
        let mut pair = Pair::of(one, two);
        pair.run();
        assert_eq!((pair.a.up[0].compressed, pair.b.up[0].compressed), (a && b, a && b));
        let before = pair.a.sent.len();
        let text = Bytes::from("the price of bread; ".repeat(5000));
        pair.send(Side::A, Lane::Bulk, text.clone());
        let sealed = pair.a.sent.len() - before;
        pair.run();
        assert_eq!(pair.b.messages, [(Lane::Bulk, text.clone())]);
        assert_eq!(sealed < text.len() / 5, a && b, "{sealed} of {}", text.len());
    }
}

#[test]
fn a_record_holds_at_most_what_noise_can_seal() {
    let mut pair = Pair::up_with(|s| s.record_size = 65_518);
    pair.send(Side::A, Lane::Bulk, vec![3; 500_000]);
    let sent = pair.a.sent.clone();
    pair.run();
    assert_eq!(pair.b.messages.len(), 1);
    assert!(sent.len() < 500_000 + 20 * (2 + TAG_LEN + 10) + 2000);
}

#[test]
fn a_member_that_breaks_the_rules_inside_a_record_is_named() {
    // Kind, length, body of the parts that a hostile but authenticated peer seals.
    for (parts, what) in [
        (&[0x09_u8, 0][..], "kind of part"),
        (&[0x08, 8, 0, 0, 0, 0, 0, 0, 0, 0], "second welcome"),
        (&[0x06, 0, 0x00, 0], "parts behind a rekey"),
        (&[0x04, 1, 0], "ping"),
        (&[0x00, 0x80, 0x80, 0x04], "length of part"),
        (&[0x00, 5, 1, 2], "length of part"),
    ] {
        let mut pair = Pair::up();
        let Phase::Up(link) = &mut pair.a.session.phase else { panic!() };
        let record = link.seal_raw(parts);
        let now = pair.now;
        pair.b.hear(now, &record);
        assert_eq!(pair.b.closed, [CloseReason::BadRecord { what }], "{parts:?}");
    }
    let mut pair = Pair::up();
    let Phase::Up(link) = &mut pair.a.session.phase else { panic!() };
    let record = link.seal_raw(&[0xee, 1, 0, 0x01, 2, 7, 7]);
    let now = pair.now;
    pair.b.hear(now, &record);
    assert_eq!(pair.b.messages, [(Lane::Control, Bytes::from_static(&[7, 7]))], "optional parts are passed over");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn garbage_on_a_standing_link_never_panics_and_is_never_a_message(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        cut in 1_usize..500,
    ) {
        let mut pair = Pair::up();
        let now = pair.now;
        for piece in bytes.chunks(cut) {
            pair.b.hear(now, piece);
        }
        prop_assert!(pair.b.messages.is_empty());
    }

    #[test]
    fn parts_of_an_authenticated_peer_never_panic(parts in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut pair = Pair::up_with(|s| s.compress = true);
        let Phase::Up(link) = &mut pair.a.session.phase else { panic!() };
        let record = link.seal_raw(&parts);
        let now = pair.now;
        pair.b.hear(now, &record);
    }

    #[test]
    fn any_messages_arrive_whole_and_in_order(
        sizes in proptest::collection::vec((any::<bool>(), any::<bool>(), 0_usize..70_000), 1..12),
        cut in 1_usize..20_000,
        records in 1_u64..5,
    ) {
        let mut pair = Pair::up_with(|s| { s.rekey_records = records; s.compress = true; });
        let mut sent = [Vec::new(), Vec::new()];
        for (index, (from_a, bulk, size)) in sizes.into_iter().enumerate() {
            let (from, lane) = (if from_a { Side::A } else { Side::B }, if bulk { Lane::Bulk } else { Lane::Control });
            let message = Bytes::from(vec![index as u8; size]);
            pair.send(from, lane, message.clone());
            sent[usize::from(from_a)].push((lane, message));
        }
        pair.run_cut(cut);
        prop_assert_eq!(pair.why(), ("open", "open"));
        for (sent, got) in [(&sent[1], &pair.b.messages), (&sent[0], &pair.a.messages)] {
            for lane in [Lane::Control, Lane::Bulk] {
                let of = |list: &[(Lane, Bytes)]| list.iter().filter(|(l, _)| *l == lane).map(|(_, m)| m.clone()).collect::<Vec<_>>();
                prop_assert_eq!(of(sent), of(got));
            }
        }
    }
}

#[test]
fn room_is_told_when_the_bulk_queue_was_more_than_half_full_and_is_not_any_more() {
    const HALF: usize = 200_000;
    for (len, rooms) in [(1, 0), (HALF, 0), (HALF + 1, 1)] {
        let mut pair = Pair::up_with(|settings| settings.bulk_queue = 2 * HALF);
        pair.send(Side::A, Lane::Bulk, vec![1; len]);
        assert_eq!(pair.a.rooms, rooms, "{len} bytes");
    }
    // Only what does not fit into the window waits, and it need not all be gone.
    let mut pair = Pair::up_with(|settings| settings.bulk_queue = 2 * HALF);
    pair.a.writable = false;
    pair.send(Side::A, Lane::Bulk, vec![1; 2 * HALF]);
    assert_eq!(pair.a.rooms, 0, "more than half still waits");
    let now = pair.now;
    let taken = pair.a.session.in_flight;
    pair.a.act(now, |session, out| session.handle_written(now, taken, out));
    assert!(pair.a.session.room() < 2 * HALF && pair.a.rooms == 1);
}

#[test]
fn a_full_control_queue_changes_nothing_about_the_room_for_bulk() {
    for bulk in [0, 300_000] {
        let mut pair = Pair::up_with(|settings| (settings.control_queue, settings.bulk_queue) = (100, 400_000));
        let now = pair.now;
        if bulk > 0 {
            pair.a.session.send(Lane::Bulk, vec![1; bulk].into()).unwrap();
        }
        pair.a.session.send(Lane::Control, vec![1; 100].into()).unwrap();
        assert_eq!(pair.a.session.send(Lane::Control, Bytes::new()), Err(SendRefused::Full));
        pair.a.act(now, |session, out| session.flush(now, out));
        assert_eq!(pair.a.rooms, usize::from(bulk > 0));
    }
}

#[test]
fn why_a_message_was_not_taken_is_said() {
    use alloc::string::ToString;
    let refused =
        [SendRefused::NotUp, SendRefused::Full, SendRefused::TooLarge { limit: 7 }].map(|why| why.to_string());
    let says = ["no link to the peer", "queue to the peer is full", "messages of up to 7 bytes"];
    assert!(refused.iter().zip(says).all(|(text, part)| text.contains(part)), "{refused:?}");
}

#[test]
fn compressed_records_are_refused_where_compression_was_not_agreed() {
    let mut pair = Pair::up();
    let Phase::Up(link) = &mut pair.a.session.phase else { panic!() };
    link.pretend_packing();
    pair.send(Side::A, Lane::Bulk, vec![0; 10_000]);
    pair.run();
    assert_eq!(pair.b.closed, [CloseReason::BadRecord { what: "packing that was not agreed" }]);
    assert!(pair.b.messages.is_empty());
}

#[test]
fn records_are_filled_to_their_size() {
    let mut pair = Pair::up_with(|settings| settings.record_size = 10_000);
    let before = pair.a.cuts.len();
    pair.send(Side::A, Lane::Bulk, vec![1; 95_000]);
    assert_eq!(pair.a.cuts.len() - before, 10);
}

#[test]
fn a_key_is_kept_until_it_is_used_up() {
    let mut pair = Pair::up();
    for _ in 0..10 {
        pair.send(Side::A, Lane::Bulk, vec![1; 100_000]);
        pair.run();
    }
    let Phase::Up(link) = &pair.a.session.phase else { panic!() };
    assert!(link.sealed_with_this_key() >= 30);
}
