//! Telling one history from another that bears the same name.
//!
//! Every own operation extends a [`Chain`]. A replica tells its peers pairs (seq, chain), the latest of each *level*; they
//! keep the last sixteen of each and say them back when they meet again. If the replica finds another chain at one of those
//! seqs, it is not the one that spoke then: its directory was copied back, or its machine rolled back, and it has written
//! since. The greatest seq at which the chains agree is where the two histories part, to within about as many operations as
//! were lost.
//!
//! Levels exist because a replica cannot keep its chain at every seq. Of level 0 it keeps the last 1024 seqs, of level
//! 1 the last 1024 multiples of 16, and so on up to multiples of 65,536, of which it keeps the last 1024 too. A history
//! rewritten from some point is noticed if at least one pair told beyond that point is still on both ladders: always,
//! except when fewer than 16 operations were lost *and* more than 1024 were written since, and so on at each level.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::codec::{DecodeError, Fault, Reader, put_varint};
use crate::ids::Seq;
use crate::op::Chain;

const LEVELS: usize = 5;
const LEVEL_SHIFT: u32 = 4;
const KEPT: usize = 1024;
/// Pairs of each level that are kept of what another replica said.
const TOLD: usize = 16;

fn on_level(seq: Seq, level: u32) -> bool {
    seq.is_multiple_of(1 << (level * LEVEL_SHIFT))
}

/// A history's chain at some of its seqs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ladder {
    levels: [VecDeque<(Seq, Chain)>; LEVELS],
}

impl Ladder {
    /// Adds the chain at the next seq. Seqs that are there already are passed over.
    pub fn push(&mut self, seq: Seq, chain: Chain) {
        for (level, kept) in (0u32..).zip(&mut self.levels) {
            if !on_level(seq, level) || kept.back().is_some_and(|(last, _)| *last >= seq) {
                break;
            }
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back((seq, chain));
        }
    }

    /// The chain at a seq, if it was kept.
    #[must_use]
    pub fn get(&self, seq: Seq) -> Option<Chain> {
        self.levels.iter().find_map(|kept| {
            let index = kept.binary_search_by_key(&seq, |(at, _)| *at).ok()?;
            kept.get(index).map(|(_, chain)| *chain)
        })
    }

    /// What to tell a peer that holds everything up to `seq`, and was told up to `told`: the pairs of each level in between,
    /// the latest sixteen at most, and the latest one in any case.
    #[must_use]
    pub fn pairs(&self, told: Seq, seq: Seq) -> Pairs {
        latest(self.levels.iter().map(|kept| kept.iter().copied()), told, seq)
    }

    /// Whether what a peer was told contradicts this history; the first seq at which it does.
    #[must_use]
    pub fn contradicted_by(&self, told: &Pairs) -> Option<Seq> {
        told.0.iter().filter(|(seq, chain)| self.get(*seq).is_some_and(|own| own != *chain)).map(|(seq, _)| *seq).min()
    }

    /// Up to where it is certain that a peer was told of this very history.
    #[must_use]
    pub fn shared_with(&self, told: &Pairs) -> Seq {
        let same = told.0.iter().filter(|(seq, chain)| self.get(*seq) == Some(*chain));
        same.map(|(seq, _)| *seq).max().unwrap_or(0)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for kept in &self.levels {
            put_varint(out, kept.len() as u64);
            for (seq, chain) in kept {
                put_varint(out, *seq);
                out.extend_from_slice(&chain.0.to_le_bytes());
            }
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut ladder = Self::default();
        for kept in &mut ladder.levels {
            let count = reader.varint("chain ladder")?;
            if count > KEPT as u64 {
                return Err(DecodeError { field: "chain ladder", fault: Fault::Invalid });
            }
            for _ in 0..count {
                let seq = reader.varint("chain ladder seq")?;
                if kept.back().is_some_and(|(last, _)| *last >= seq) {
                    return Err(DecodeError { field: "chain ladder seq", fault: Fault::Invalid });
                }
                kept.push_back((seq, Chain(reader.u64("chain ladder")?)));
            }
        }
        Ok(ladder)
    }
}

/// Of each level, the latest pairs above `told` and up to `seq`, or else the latest one.
fn latest<I>(levels: impl Iterator<Item = I>, told: Seq, seq: Seq) -> Pairs
where
    I: DoubleEndedIterator<Item = (Seq, Chain)>,
{
    let mut pairs = Vec::with_capacity(TOLD + LEVELS);
    for level in levels {
        let below = level.rev().skip_while(|(at, _)| *at > seq).take(TOLD).enumerate();
        pairs.extend(below.take_while(|(count, (at, _))| *count == 0 || *at > told).map(|(_, pair)| pair));
    }
    pairs.sort_unstable_by_key(|(seq, _)| Reverse(*seq));
    pairs.dedup();
    Pairs(pairs)
}

/// What a replica said of its own history: its chain at a few seqs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(Vec<(Seq, Chain)>);

impl Pairs {
    /// Whether nothing was said.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes in what the same replica says later. What it had said of the same seqs or of later ones gives way.
    pub fn absorb(&mut self, told: &Self) {
        let mut told = told.0.clone();
        told.sort_unstable_by_key(|(seq, _)| *seq);
        for (seq, chain) in told {
            let below = self.0.partition_point(|(at, _)| *at < seq);
            if self.0.get(below) != Some(&(seq, chain)) {
                self.0.truncate(below);
                self.0.push((seq, chain));
            }
        }
        let mut kept = [0; LEVELS];
        let mut index = self.0.len();
        while let Some((seq, _)) = index.checked_sub(1).and_then(|at| self.0.get(at)) {
            index -= 1;
            let mut wanted = false;
            for (_, count) in (0u32..).zip(&mut kept).filter(|(level, _)| on_level(*seq, *level)) {
                *count += 1;
                wanted |= *count <= TOLD;
            }
            if !wanted {
                self.0.remove(index);
            }
        }
    }

    /// What to pass on of it to a peer that holds everything up to `seq`, and claimed it up to `told`.
    #[must_use]
    pub fn part(&self, told: Seq, seq: Seq) -> Self {
        let ordered: BTreeMap<Seq, Chain> = self.iter().collect();
        let whole = || ordered.iter().map(|(at, chain)| (*at, *chain));
        let on = |level| whole().filter(move |(at, _)| on_level(*at, level));
        latest((0..LEVELS as u32).map(on), told, seq)
    }

    /// If these are of two histories under one name: up to where it is certain that they are one.
    #[must_use]
    pub fn part_from(&self, other: &Self) -> Option<Seq> {
        let others: BTreeMap<Seq, Chain> = other.iter().collect();
        let both = self.iter().filter_map(|(seq, chain)| Some((seq, chain == *others.get(&seq)?)));
        let both: BTreeMap<Seq, bool> = both.collect();
        let parted = both.iter().find_map(|(seq, same)| (!same).then_some(*seq))?;
        Some(both.range(..parted).next_back().map_or(0, |(seq, _)| *seq))
    }

    /// What is known of one history from two sides, if that is more than these.
    #[must_use]
    pub fn with(&self, other: &Self) -> Option<Self> {
        let latest = |pairs: &Self| pairs.iter().map(|(seq, _)| seq).max();
        (latest(other) > latest(self)).then(|| {
            let both: BTreeMap<Seq, Chain> = other.iter().chain(self.iter()).collect();
            let mut whole = Self::default();
            whole.absorb(&Self(both.into_iter().collect()));
            whole
        })
    }

    /// Pairs in the order they were told.
    pub fn iter(&self) -> impl Iterator<Item = (Seq, Chain)> + '_ {
        self.0.iter().copied()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(1 + self.0.len() * 14);
        out.push(self.0.len() as u8);
        for (seq, chain) in &self.0 {
            put_varint(out, *seq);
            out.extend_from_slice(&chain.0.to_le_bytes());
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = reader.u8("chain pairs")?;
        if usize::from(count) > LEVELS * TOLD {
            return Err(DecodeError { field: "chain pairs", fault: Fault::Invalid });
        }
        let mut pairs = Self(Vec::with_capacity(usize::from(count)));
        for _ in 0..count {
            pairs.0.push((reader.varint("chain pair seq")?, Chain(reader.u64("chain pair")?)));
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(seq: Seq, salt: u64) -> Chain {
        Chain(seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt)
    }

    fn history(from: &Ladder, seqs: core::ops::RangeInclusive<Seq>, salt: u64) -> Ladder {
        let mut ladder = from.clone();
        for seq in seqs {
            ladder.push(seq, chain(seq, salt));
        }
        ladder
    }

    #[test]
    fn a_history_agrees_with_itself_however_long_ago() {
        let young = history(&Ladder::default(), 1..=5_000, 0);
        let old = history(&young, 5_001..=300_000, 0);
        for seq in [1, 17, 4_000, 5_000] {
            assert_eq!(old.contradicted_by(&young.pairs(0, seq)), None);
        }
        assert_eq!(old.get(300_000), Some(chain(300_000, 0)));
        assert_eq!(old.get(65_536), Some(chain(65_536, 0)));
        assert_eq!(old.get(65_537), None);
    }

    #[test]
    fn a_rolled_back_history_that_wrote_on_is_found_out() {
        let shared = history(&Ladder::default(), 1..=1_000, 0);
        for (lost, written) in [(1, 1), (5, 900), (20, 9_000), (300, 200_000)] {
            let told = history(&shared, 1_001..=1_000 + lost, 1).pairs(0, 1_000 + lost);
            let rewritten = history(&shared, 1_001..=1_000 + written, 2);
            if written >= lost {
                assert!(
                    rewritten.contradicted_by(&told).is_some_and(|seq| seq > 1_000),
                    "{lost} lost, {written} since"
                );
            }
        }
    }

    /// Whatever was lost, where the histories part is found to within about as much.
    #[test]
    fn where_two_histories_part_is_known_to_within_what_was_lost() {
        for shared in [5, 100, 4_000, 70_000] {
            for lost in [1, 3, 50, 900, 20_000] {
                let before = history(&Ladder::default(), 1..=shared, 0);
                let mut told = Pairs::default();
                let mut ladder = before.clone();
                for seq in (1..=shared).filter(|seq| shared - seq < 300 || seq.is_multiple_of(16)) {
                    told.absorb(&before.pairs(0, seq));
                }
                for seq in shared + 1..=shared + lost {
                    ladder.push(seq, chain(seq, 1));
                    told.absorb(&ladder.pairs(0, seq));
                }
                let rewritten = history(&before, shared + 1..=shared + 10, 2);
                let common = rewritten.shared_with(&told);
                assert!(common <= shared && shared - common <= lost.max(15), "{shared} shared, {lost} lost: {common}");
                assert!(told.0.len() <= LEVELS * TOLD);
            }
        }
    }

    #[test]
    fn what_is_said_later_of_the_same_history_takes_the_place_of_what_was_said_before() {
        let mut told = Pairs(alloc::vec![(1, Chain(1)), (2, Chain(2)), (3, Chain(3))]);
        told.absorb(&Pairs(alloc::vec![(2, Chain(9))]));
        assert_eq!(told.0, [(1, Chain(1)), (2, Chain(9))]);
    }

    #[test]
    fn whoever_knows_parts_of_two_histories_sees_where_they_part() {
        let shared = history(&Ladder::default(), 1..=100, 0);
        let [one, other] = [1, 2].map(|salt| history(&shared, 101..=140, salt));
        assert_eq!(one.pairs(0, 140).part_from(&one.pairs(0, 130)), None);
        assert_eq!(one.pairs(0, 120).part_from(&other.pairs(0, 140)), Some(96), "both know 16, 32, 48 … 112");
        assert_eq!(one.pairs(0, 104).part_from(&other.pairs(0, 104)), Some(100));
        assert_eq!(one.pairs(0, 100).part_from(&other.pairs(0, 140)), None, "nothing is known of where it parts");
    }

    #[test]
    fn what_is_passed_on_of_a_history_adds_up_to_what_is_known() {
        let ladder = history(&Ladder::default(), 1..=40, 0);
        let whole = ladder.pairs(0, 40);
        let mut known = Pairs::default();
        for (told, seq) in [(0, 7), (7, 33), (33, 40)] {
            known = known.with(&whole.part(told, seq)).unwrap_or(known);
        }
        assert_eq!(known.part_from(&whole), None);
        assert_eq!(known.iter().map(|(seq, _)| seq).max(), Some(40));
        assert_eq!(known.with(&whole), None, "nothing that is later");
        assert!(whole.part(0, 24).iter().all(|(seq, _)| seq <= 24) && whole.part(40, 40).iter().count() == 2);
    }

    #[test]
    fn only_the_latest_of_each_level_is_told_again() {
        let ladder = history(&Ladder::default(), 1..=1000, 0);
        let seqs = |told, seq| ladder.pairs(told, seq).iter().map(|(seq, _)| seq).collect::<Vec<_>>();
        assert_eq!(seqs(995, 998), [998, 997, 996, 992, 768]);
        assert_eq!(seqs(998, 998), [998, 992, 768]);
        assert!(!ladder.pairs(0, 1).is_empty());
        assert!(ladder.pairs(0, 0).is_empty(), "nothing is known of nothing");
    }

    #[test]
    fn a_ladder_round_trips() {
        let ladder = history(&Ladder::default(), 1..=40_000, 3);
        let mut out = Vec::new();
        ladder.encode(&mut out);
        ladder.pairs(0, 39_999).encode(&mut out);
        let bytes = out.into();
        let mut reader = Reader::new(&bytes);
        assert_eq!(Ladder::decode(&mut reader).unwrap(), ladder);
        assert_eq!(Pairs::decode(&mut reader).unwrap(), ladder.pairs(0, 39_999));
        reader.finish("ladder").unwrap();
    }

    #[test]
    fn of_each_level_the_last_sixteen_pairs_are_remembered() {
        let (mut told, mut ladder) = (Pairs::default(), Ladder::default());
        for seq in 1..=1000 {
            ladder.push(seq, chain(seq, 0));
            told.absorb(&ladder.pairs(seq, seq));
        }
        let seqs: Vec<Seq> = told.iter().map(|(seq, _)| seq).collect();
        let last = (1..=1000).filter(|seq| *seq > 984 || seq % 16 == 0 && *seq > 736 || seq % 256 == 0);
        assert_eq!(seqs, last.collect::<Vec<_>>());
        assert_eq!(ladder.shared_with(&told), 1000);
        let parted = history(&history(&Ladder::default(), 1..=990, 0), 991..=1100, 1);
        assert_eq!((parted.shared_with(&told), parted.contradicted_by(&told)), (990, Some(991)));
        assert_eq!(Ladder::default().shared_with(&told), 0);
    }

    #[test]
    fn as_many_pairs_as_are_remembered_are_read_and_no_more() {
        for (count, is_read) in [(LEVELS * TOLD, true), (LEVELS * TOLD + 1, false)] {
            let told = Pairs((1..=count as Seq).map(|seq| (seq, chain(seq, 0))).collect());
            let mut out = Vec::new();
            told.encode(&mut out);
            let bytes = out.into();
            assert_eq!(Pairs::decode(&mut Reader::new(&bytes)).ok(), is_read.then_some(told));
        }
    }
}
