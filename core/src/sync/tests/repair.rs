//! How a difference is found: what a peer is answered about ranges of keys.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::harness::World;
use super::stranger::Stranger;
use crate::sync::Settings;
use crate::sync::message::{Message, Origins, REPAIR, Range};

/// Ranges in order, and how many messages hold entries.
type Answer = (Vec<Range>, usize);

fn key(number: usize) -> Bytes {
    format!("key{number:04}").into()
}

/// A replica that holds so many keys, and a stranger.
fn holding(keys: usize) -> (World, Stranger) {
    let mut world = World::new(1, 1, &Settings { ping_every: Duration::from_secs(100_000), ..Settings::default() });
    for number in 0..keys {
        world.put(0, core::str::from_utf8(&key(number)).unwrap(), &"v".repeat(100));
    }
    let mut stranger = Stranger::new(9);
    stranger.greet(&mut world, 0);
    drop(stranger.hear(&mut world, 0));
    (world, stranger)
}

fn range(from: Option<usize>, to: Option<usize>, entries: u64) -> Range {
    Range { after: from.map(key), end: to.map(key), entries, digest: 0 }
}

fn ask(world: &mut World, stranger: &mut Stranger, ranges: Vec<Range>) -> Answer {
    stranger.say(world, 0, &[Message::Ranges(ranges)]);
    let heard = stranger.hear(world, 0);
    let repairs = heard.iter().filter(|message| message.first() == Some(&REPAIR)).count();
    let mut ranges = Vec::new();
    for message in heard {
        if let Ok((Message::Ranges(told), _)) = Message::take(&mut message.into(), &mut Origins::default()) {
            ranges.extend(told);
        }
    }
    (ranges, repairs)
}

#[test]
fn a_large_range_that_differs_is_split_in_sixteen_without_gaps() {
    let (mut world, mut stranger) = holding(1000);
    let (parts, repairs) = ask(&mut world, &mut stranger, vec![range(None, None, 1000)]);
    assert_eq!((parts.len(), repairs), (16, 0));
    assert_eq!(parts.iter().map(|part| part.entries).sum::<u64>(), 1000);
    assert!(parts.iter().all(|part| (50..=63).contains(&part.entries)), "{parts:?}");
    assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].after && pair[0].end.is_some()));
    assert_eq!((&parts[0].after, &parts[15].end), (&None, &None));
}

#[test]
fn only_what_was_asked_about_is_split() {
    let (mut world, mut stranger) = holding(1000);
    let (parts, repairs) = ask(&mut world, &mut stranger, vec![range(Some(99), Some(899), 700)]);
    assert_eq!((parts.len(), repairs), (17, 0), "800 by sixteen, and the empty rest");
    assert_eq!(parts.iter().map(|part| part.entries).sum::<u64>(), 800);
    assert_eq!((&parts[0].after, &parts[16].end), (&Some(key(99)), &Some(key(899))));
}

#[test]
fn a_range_that_is_small_on_either_side_is_exchanged_whole() {
    for (ours, theirs, is_small) in [(1000, 64, true), (1000, 65, false), (64, 1000, true), (65, 1000, false)] {
        let (mut world, mut stranger) = holding(ours);
        let (parts, repairs) = ask(&mut world, &mut stranger, vec![range(None, None, theirs)]);
        assert_eq!(repairs, usize::from(is_small), "{ours} here, {theirs} there");
        let asked = parts.iter().filter(|part| part.entries == Range::ASK).count();
        assert_eq!(asked, usize::from(is_small), "{ours} here, {theirs} there");
    }
}

#[test]
fn a_range_that_is_equal_is_not_spoken_of() {
    let (mut world, mut stranger) = holding(1000);
    let (parts, _) = ask(&mut world, &mut stranger, vec![range(None, None, 1000)]);
    let answer = ask(&mut world, &mut stranger, parts);
    assert_eq!(answer, (vec![], 0));
}

#[test]
fn who_asks_for_everything_at_once_is_answered_up_to_a_bound() {
    let (mut world, mut stranger) = holding(1);
    for _ in 0..100 {
        stranger.say(&mut world, 0, &[Message::Ranges(vec![range(None, Some(0), Range::ASK); 64])]);
    }
    let heard = stranger.hear(&mut world, 0);
    let repairs = heard.iter().filter(|message| message.first() == Some(&REPAIR)).count();
    assert!((4000..=4097).contains(&repairs), "{repairs} of 6400, the first of them at once");
}

#[test]
fn entries_of_a_difference_come_in_messages_of_the_room_there_is() {
    let (mut world, mut stranger) = holding(100);
    stranger.say(&mut world, 0, &[Message::Ranges(vec![range(Some(9), Some(89), Range::ASK)])]);
    let heard = stranger.hear_by(&mut world, 0, 1000, 5000);
    let sizes: Vec<usize> = heard.iter().map(Vec::len).collect();
    let [full @ .., _last] = &sizes[..] else { panic!("nothing came") };
    assert!(full.len() > 5 && full.iter().all(|size| (1000..1300).contains(size)), "{sizes:?}");
    let heard = heard.concat();
    let holds = |number: usize| heard.windows(7).any(|bytes| bytes == key(number));
    assert_eq!([10, 89, 9, 90].map(holds), [true, true, false, false]);
}
