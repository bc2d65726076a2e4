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

use alloc::collections::VecDeque;
use alloc::vec::Vec;

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

    /// What to tell a peer that holds everything up to `seq`: the latest pair of each level up to there.
    #[must_use]
    pub fn pairs(&self, seq: Seq) -> Pairs {
        let mut pairs = Pairs::default();
        for kept in &self.levels {
            let below = kept.partition_point(|(at, _)| *at <= seq);
            if let Some(pair) = below.checked_sub(1).and_then(|index| kept.get(index)) {
                pairs.0.push(*pair);
            }
        }
        pairs.0.dedup();
        pairs
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

/// What a replica said of its own history: its chain at a few seqs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(Vec<(Seq, Chain)>);

impl Pairs {
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

    /// Pairs in the order they were told.
    pub fn iter(&self) -> impl Iterator<Item = (Seq, Chain)> + '_ {
        self.0.iter().copied()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
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
        let mut pairs = Self::default();
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
            assert_eq!(old.contradicted_by(&young.pairs(seq)), None);
        }
        assert_eq!(old.get(300_000), Some(chain(300_000, 0)));
        assert_eq!(old.get(65_536), Some(chain(65_536, 0)));
        assert_eq!(old.get(65_537), None);
    }

    #[test]
    fn a_rolled_back_history_that_wrote_on_is_found_out() {
        let shared = history(&Ladder::default(), 1..=1_000, 0);
        for (lost, written) in [(1, 1), (5, 900), (20, 9_000), (300, 200_000)] {
            let told = history(&shared, 1_001..=1_000 + lost, 1).pairs(1_000 + lost);
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
                    told.absorb(&before.pairs(seq));
                }
                for seq in shared + 1..=shared + lost {
                    ladder.push(seq, chain(seq, 1));
                    told.absorb(&ladder.pairs(seq));
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
    fn a_ladder_round_trips() {
        let ladder = history(&Ladder::default(), 1..=40_000, 3);
        let mut out = Vec::new();
        ladder.encode(&mut out);
        ladder.pairs(39_999).encode(&mut out);
        let bytes = out.into();
        let mut reader = Reader::new(&bytes);
        assert_eq!(Ladder::decode(&mut reader).unwrap(), ladder);
        assert_eq!(Pairs::decode(&mut reader).unwrap(), ladder.pairs(39_999));
        reader.finish("ladder").unwrap();
    }

    #[test]
    fn of_each_level_the_last_sixteen_pairs_are_remembered() {
        let (mut told, mut ladder) = (Pairs::default(), Ladder::default());
        for seq in 1..=1000 {
            ladder.push(seq, chain(seq, 0));
            told.absorb(&ladder.pairs(seq));
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
