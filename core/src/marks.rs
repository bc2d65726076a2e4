//! Rare paths that were taken, for those who ask whether their tests get there.
//!
//! A path is marked by `covered!("name")`. Without the feature `marks`, which only the simulator turns on, that is nothing, and
//! this module is empty. With it, each thread counts its own, so that a run on one thread can tell what *it* has met. Cargo turns
//! it on for whatever is built together with the simulator: build a node for release by itself, with `-p softadastra`, and benches
//! with `-p benches`, which ask the simulator to do without.

#[cfg(feature = "marks")]
mod counted {
    extern crate std;

    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;
    use core::cell::RefCell;

    std::thread_local! {
        static HITS: RefCell<Vec<(&'static str, u64)>> = const { RefCell::new(Vec::new()) };
    }

    /// Some of them lie in loops: a name is found by where it stands, and one that stands in several places is counted in each.
    pub(crate) fn hit(name: &'static str) {
        HITS.with_borrow_mut(|hits| match hits.iter_mut().find(|(known, _)| core::ptr::eq(*known, name)) {
            Some((_, count)) => *count += 1,
            None => hits.push((name, 1)),
        });
    }

    /// How often this thread has taken each marked path since it last asked.
    #[must_use]
    pub fn take() -> BTreeMap<&'static str, u64> {
        let mut all = BTreeMap::new();
        for (name, count) in HITS.take() {
            *all.entry(name).or_default() += count;
        }
        all
    }
}

#[cfg(feature = "marks")]
pub(crate) use self::counted::hit;
#[cfg(feature = "marks")]
pub use self::counted::take;
