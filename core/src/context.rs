//! Version vectors: per replica, "everything up to this seq".
//!
//! The causal context of an operation is one of these too. That is exact, not an approximation: a replica has always
//! seen its own earlier operations on a key, so the dots of one replica that a writer has seen of a key are all those
//! up to the greatest (Parker et al. 1983; Preguiça et al. 2012 for the dotted use).

use alloc::vec::Vec;
use core::fmt;

use crate::codec::{DecodeError, Fault, Reader, put_varint};
use crate::ids::{Dot, ReplicaId, Seq};
use crate::limits::MAX_REPLICAS;

/// Per replica, the greatest seq covered. Sorted by replica; a replica at 0 is left out, so equal vectors are equal
/// in memory.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct VersionVector(Vec<(ReplicaId, Seq)>);

impl VersionVector {
    /// Covers nothing.
    pub const EMPTY: Self = Self(Vec::new());

    /// Whether nothing is covered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of replicas covered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The greatest seq covered of `replica`; 0 when none is.
    #[must_use]
    pub fn get(&self, replica: ReplicaId) -> Seq {
        match self.0.binary_search_by_key(&replica, |&(id, _)| id) {
            Ok(index) => self.0.get(index).map_or(0, |&(_, seq)| seq),
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
        other.iter().all(|dot| self.covers(dot))
    }

    /// Covers `dot` and everything before it by the same replica. Says whether that was new.
    pub fn include(&mut self, dot: Dot) -> bool {
        if dot.seq == 0 {
            return false;
        }
        match self.0.binary_search_by_key(&dot.replica, |&(id, _)| id) {
            Ok(index) => match self.0.get_mut(index) {
                Some((_, seq)) if *seq < dot.seq => {
                    *seq = dot.seq;
                    true
                }
                Some(_) | None => false,
            },
            Err(index) => {
                self.0.insert(index, (dot.replica, dot.seq));
                true
            }
        }
    }

    /// Covers all that `other` covers. Says whether anything was new.
    pub fn join(&mut self, other: &Self) -> bool {
        let mut new = false;
        for dot in other.iter() {
            new |= self.include(dot);
        }
        new
    }

    /// Forgets what `stable` covers.
    pub fn trim(&mut self, stable: &Self) {
        self.0.retain(|&(replica, seq)| stable.get(replica) < seq);
    }

    /// Forgets one replica, and says what was covered of it.
    pub fn remove(&mut self, replica: ReplicaId) -> Seq {
        match self.0.binary_search_by_key(&replica, |&(id, _)| id) {
            Ok(index) => self.0.remove(index).1,
            Err(_) => 0,
        }
    }

    /// The greatest dot of each replica, in the order of replica ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Dot> + '_ {
        self.0.iter().map(|&(replica, seq)| Dot { replica, seq })
    }

    /// Appends: count (varint), then per replica 16 bytes and its seq (varint), in the order of replica ids.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        for (replica, seq) in &self.0 {
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
        let mut entries = Vec::with_capacity(count.min(reader.remaining() / 17));
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
        let mut vector = Self::EMPTY;
        for dot in dots {
            vector.include(dot);
        }
        vector
    }
}

impl fmt::Debug for VersionVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(replica, seq)| (replica, seq))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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

    proptest! {
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
