//! Version vectors: per replica, "everything up to this seq".
//!
//! The causal context of an operation is one of these too. That is exact, not an approximation: a replica has always
//! seen its own earlier operations on a key, so the dots of one replica that a writer has seen of a key are all those
//! up to the greatest (Parker et al. 1983; Preguiça et al. 2012 for the dotted use).

mod entries;

use alloc::vec::Vec;
use core::fmt;

use self::entries::Entries;
use crate::codec::{DecodeError, Fault, Reader, put_varint};
use crate::ids::{Dot, ReplicaId, Seq};
use crate::limits::MAX_REPLICAS;

/// Per replica, the greatest seq covered. Sorted by replica; a replica at 0 is left out, so equal vectors are equal
/// entry by entry.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct VersionVector(Entries);

impl VersionVector {
    /// Covers nothing.
    pub const EMPTY: Self = Self(Entries::NONE);

    /// Whether nothing is covered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.get().is_empty()
    }

    /// The number of replicas covered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.get().len()
    }

    /// The greatest seq covered of `replica`; 0 when none is.
    #[must_use]
    pub fn get(&self, replica: ReplicaId) -> Seq {
        match self.0.get().binary_search_by_key(&replica, |&(id, _)| id) {
            Ok(index) => self.0.get().get(index).map_or(0, |&(_, seq)| seq),
            Err(_) => 0,
        }
    }

    /// Whether `dot` is covered.
    #[must_use]
    pub fn covers(&self, dot: Dot) -> bool {
        self.get(dot.replica) >= dot.seq
    }

    /// Whether everything that `other` covers is covered.
    #[must_use]
    pub fn covers_all(&self, other: &Self) -> bool {
        other.uncovered_by(self).next().is_none()
    }

    /// What `other` does not cover of this.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Self {
        Self(self.uncovered_by(other).map(|dot| (dot.replica, dot.seq)).collect())
    }

    /// What both cover.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        let mut finder = Finder::over(other.0.get(), self.0.get().len());
        let both = self.0.get().iter().map(|&(replica, seq)| (replica, seq.min(finder.seq(replica))));
        Self(both.filter(|&(_, seq)| seq > 0).collect())
    }

    fn uncovered_by<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = Dot> + 'a {
        let mut finder = Finder::over(other.0.get(), self.0.get().len());
        self.iter().filter(move |dot| finder.seq(dot.replica) < dot.seq)
    }

    /// Covers `dot` and everything before it by the same replica. Says whether that was new.
    pub fn include(&mut self, dot: Dot) -> bool {
        if dot.seq == 0 {
            return false;
        }
        match self.0.get().binary_search_by_key(&dot.replica, |&(id, _)| id) {
            Ok(index) => match self.0.get_mut().get_mut(index) {
                Some((_, seq)) if *seq < dot.seq => {
                    *seq = dot.seq;
                    true
                }
                Some(_) | None => false,
            },
            Err(index) => {
                count_steps(self.0.get().len() - index);
                self.0.insert(index, (dot.replica, dot.seq));
                true
            }
        }
    }

    /// Covers all that `other` covers. Says whether anything was new.
    pub fn join(&mut self, other: &Self) -> bool {
        // As nearly all contexts are.
        match other.0.get() {
            [] => return false,
            [(replica, seq)] => return self.include(Dot { replica: *replica, seq: *seq }),
            _ => {}
        }
        let news: Entries = other.uncovered_by(self).map(|dot| (dot.replica, dot.seq)).collect();
        match news.get() {
            [] => return false,
            [(replica, seq)] => return self.include(Dot { replica: *replica, seq: *seq }),
            _ => {}
        }
        // Both in order: one walk, whatever a peer names. Inserting one by one would move the rest for each.
        let (before, mut news) = (self.0.get(), news.get().iter().copied().peekable());
        count_steps(before.len() + news.len());
        let mut joined = Entries::with_capacity(before.len() + news.len());
        for entry in before {
            while let Some(new) = news.next_if(|(replica, _)| *replica < entry.0) {
                joined.push(new);
            }
            joined.push(news.next_if(|(replica, _)| *replica == entry.0).unwrap_or(*entry));
        }
        news.for_each(|new| joined.push(new));
        self.0 = joined;
        true
    }

    /// Forgets one replica, and says what was covered of it.
    pub fn remove(&mut self, replica: ReplicaId) -> Seq {
        match self.0.get().binary_search_by_key(&replica, |&(id, _)| id) {
            Ok(index) => self.0.remove(index).1,
            Err(_) => 0,
        }
    }

    /// The greatest dot of each replica, in the order of replica ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Dot> + '_ {
        self.0.get().iter().map(|&(replica, seq)| Dot { replica, seq })
    }

    /// Appends: count (varint), then per replica 16 bytes and its seq (varint), in the order of replica ids.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.get().len() as u64);
        for (replica, seq) in self.0.get() {
            out.extend_from_slice(&replica.0);
            put_varint(out, *seq);
        }
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] when the input ends, names more than [`MAX_REPLICAS`] replicas, is out of order or has a seq 0.
    pub fn decode(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError> {
        let invalid = DecodeError { field, fault: Fault::Invalid };
        let count = usize::try_from(reader.varint(field)?).unwrap_or(usize::MAX);
        if count > MAX_REPLICAS {
            return Err(invalid);
        }
        // Each entry takes at least 17 bytes: a false count cannot reserve more than the input could hold.
        let mut entries = Entries::with_capacity(count.min(reader.remaining() / 17));
        let mut previous = None;
        for _ in 0..count {
            let replica = ReplicaId(reader.array(field)?);
            let seq = reader.varint(field)?;
            if seq == 0 || previous.is_some_and(|before| before >= replica) {
                return Err(invalid);
            }
            previous = Some(replica);
            entries.push((replica, seq));
        }
        Ok(Self(entries))
    }
}

impl FromIterator<Dot> for VersionVector {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let dots = dots.into_iter().filter(|dot| dot.seq > 0);
        let mut entries: Entries = dots.map(|dot| (dot.replica, dot.seq)).collect();
        entries.settle();
        Self(entries)
    }
}

/// Looks up replicas in ascending order: walking along where many are asked for, else by halves.
struct Finder<'a> {
    rest: &'a [(ReplicaId, Seq)],
    walks: bool,
}

impl<'a> Finder<'a> {
    fn over(entries: &'a [(ReplicaId, Seq)], asked: usize) -> Self {
        Self { rest: entries, walks: asked >= entries.len() / 16 }
    }

    fn seq(&mut self, replica: ReplicaId) -> Seq {
        let ahead = match self.walks {
            true => self.rest.iter().take_while(|(id, _)| *id < replica).count(),
            false => self.rest.partition_point(|(id, _)| *id < replica),
        };
        count_steps(if self.walks { ahead + 1 } else { self.rest.len().checked_ilog2().unwrap_or(0) as usize + 1 });
        self.rest = self.rest.get(ahead..).unwrap_or_default();
        self.rest.first().filter(|(id, _)| *id == replica).map_or(0, |(_, seq)| *seq)
    }
}

impl fmt::Debug for VersionVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.get().iter().map(|(replica, seq)| (replica, seq))).finish()
    }
}

#[cfg(test)]
std::thread_local! {
    static STEPS: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
}

/// Entries looked at or moved: tests hold that they do not grow faster than what is named.
fn count_steps(_steps: usize) {
    #[cfg(test)]
    STEPS.set(STEPS.get() + _steps);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn dot(replica: u8, seq: Seq) -> Dot {
        Dot { replica: ReplicaId([replica; 16]), seq }
    }

    fn vectors() -> impl Strategy<Value = VersionVector> {
        proptest::collection::vec((0u8..6, 0u64..1000), 0..12)
            .prop_map(|dots| dots.into_iter().map(|(replica, seq)| dot(replica, seq)).collect())
    }

    #[test]
    fn covering_is_everything_up_to() {
        let vector: VersionVector = [dot(1, 5)].into_iter().collect();
        assert!(vector.covers(dot(1, 5)) && vector.covers(dot(1, 1)));
        assert!(!vector.covers(dot(1, 6)) && !vector.covers(dot(2, 1)));
        assert_eq!([dot(1, 0)].into_iter().collect::<VersionVector>(), VersionVector::EMPTY, "nothing of it");
    }

    #[test]
    fn disorder_and_zero_are_refused() {
        for entries in [&[(2_u8, 1_u8), (1, 1)][..], &[(1, 1), (1, 2)], &[(1, 0)]] {
            let mut out = alloc::vec![entries.len() as u8];
            for (replica, seq) in entries {
                out.extend_from_slice(&[*replica; 16]);
                out.push(*seq);
            }
            let bytes = Bytes::from(out);
            assert!(VersionVector::decode(&mut Reader::new(&bytes), "v").is_err(), "{entries:?}");
        }
    }

    #[test]
    fn what_is_covered_already_is_not_new() {
        let mut vector = VersionVector::EMPTY;
        assert!(vector.include(dot(1, 5)) && vector.include(dot(1, 6)));
        assert!(!vector.include(dot(1, 6)) && !vector.include(dot(1, 2)) && !vector.include(dot(2, 0)));
    }

    #[test]
    fn as_many_replicas_as_the_limit_are_read_and_not_one_more() {
        let read = |count: usize| {
            let mut out = Vec::new();
            put_varint(&mut out, count as u64);
            for number in 0..count as u128 {
                out.extend_from_slice(&number.to_be_bytes());
                out.push(1);
            }
            let bytes = Bytes::from(out);
            VersionVector::decode(&mut Reader::new(&bytes), "v").map(|vector| vector.len())
        };
        assert_eq!(read(MAX_REPLICAS).unwrap(), MAX_REPLICAS);
        assert!(read(MAX_REPLICAS + 1).is_err());
    }

    /// Those few are looked up by halves.
    #[test]
    fn a_few_beside_many_are_compared_as_many_are() {
        let of = |number: u8, seq| Dot { replica: ReplicaId([number; 16]), seq };
        let many: VersionVector = (0..200).map(|number| of(2 * number.min(100), 10 + u64::from(number))).collect();
        let few: VersionVector =
            [of(0, 9), of(7, 3), of(8, 15), of(60, 40), of(60, 41), of(255, 1)].into_iter().collect();
        let naive: VersionVector = few.iter().filter(|dot| many.get(dot.replica) < dot.seq).collect();
        assert_eq!(few.beyond(&many), naive);
        assert_eq!(naive.iter().collect::<Vec<_>>(), [of(7, 3), of(8, 15), of(60, 41), of(255, 1)]);
        assert_eq!(few.meet(&many).iter().collect::<Vec<_>>(), [of(0, 9), of(8, 14), of(60, 40)]);
        assert!(!many.covers_all(&few) && many.covers_all(&few.meet(&many)));
        let before = STEPS.get();
        assert!(many.covers_all(&[of(200, 100)].into_iter().collect()));
        assert!(STEPS.get() - before <= 8, "one is found by halves");
    }

    /// What a hostile member names costs steps in proportion to what it names.
    #[test]
    fn ten_times_the_replicas_take_ten_times_the_steps() {
        let named = |count: u32, odd: u32| -> VersionVector {
            let id = |number: u32| {
                let mut id = [0; 16];
                id[..4].copy_from_slice(&(2 * number + odd).to_be_bytes());
                ReplicaId(id)
            };
            (0..count).map(|number| Dot { replica: id(number), seq: 1 }).collect()
        };
        let steps = |count: u32| {
            let before = STEPS.get();
            let mut vector = named(count, 0);
            assert!(vector.join(&named(count, 1)));
            assert_eq!(vector.len(), 2 * count as usize);
            assert_eq!(vector.beyond(&named(count, 0)), named(count, 1));
            assert_eq!(vector.meet(&named(count, 1)), named(count, 1));
            // A little beside much.
            assert!(vector.join(&named(count + 3, 1)));
            STEPS.get() - before
        };
        let (few, many) = (steps(3_000), steps(30_000));
        assert!(many < 12 * few, "{few} steps for 3,000 and {many} for 30,000");
    }

    proptest! {
        /// From none over one to several, and back.
        #[test]
        fn a_vector_is_an_ordered_map(steps in proptest::collection::vec((0u8..3, 0u64..9), 0..24)) {
            let (mut vector, mut model) = (VersionVector::EMPTY, BTreeMap::new());
            for (replica, seq) in steps {
                let Dot { replica, .. } = dot(replica, seq);
                if seq < 4 {
                    prop_assert_eq!(vector.remove(replica), model.remove(&replica).unwrap_or(0));
                } else {
                    let before = model.get(&replica).copied().unwrap_or(0);
                    prop_assert_eq!(vector.include(Dot { replica, seq }), before < seq);
                    model.insert(replica, before.max(seq));
                }
                let expected: Vec<Dot> = model.iter().map(|(replica, seq)| Dot { replica: *replica, seq: *seq }).collect();
                prop_assert_eq!(vector.iter().collect::<Vec<_>>(), &expected[..]);
                prop_assert_eq!(&vector, &expected.into_iter().collect());
            }
        }

        #[test]
        fn what_is_beyond_and_what_both_cover_make_up_the_whole(a in vectors(), b in vectors()) {
            let (beyond, meet) = (a.beyond(&b), a.meet(&b));
            prop_assert_eq!(&meet, &b.meet(&a));
            prop_assert!(a.covers_all(&meet) && b.covers_all(&meet) && a.covers_all(&beyond));
            prop_assert!(a.iter().all(|dot| meet.covers(dot) || beyond.covers(dot)));
            prop_assert!(beyond.iter().all(|dot| !b.covers(dot)));
            prop_assert_eq!(beyond.is_empty(), b.covers_all(&a));
        }

        #[test]
        fn join_is_the_least_upper_bound(a in vectors(), b in vectors()) {
            let mut ab = a.clone();
            ab.join(&b);
            let mut ba = b.clone();
            ba.join(&a);
            prop_assert_eq!(&ab, &ba);
            prop_assert!(ab.covers_all(&a) && ab.covers_all(&b));
            prop_assert!(!ab.clone().join(&a));
            prop_assert!(ab.iter().all(|dot| a.covers(dot) || b.covers(dot)));
        }

        #[test]
        fn encoding_round_trips(vector in vectors()) {
            let mut out = Vec::new();
            vector.encode(&mut out);
            let bytes = Bytes::from(out);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(VersionVector::decode(&mut reader, "v").unwrap(), vector);
            reader.finish("v").unwrap();
        }
    }
}
