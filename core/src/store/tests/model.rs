//! The store against plain ordered maps: staged and published, scanned, fed and digested.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Put(String, Vec<u8>),
    Delete(String),
    /// Publishes up to this share of what is staged.
    Publish(prop::sample::Index),
    /// Discards from this share of what is staged on.
    Discard(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || prop_oneof!["[ab]{1,3}", (0u32..300).prop_map(|number| alloc::format!("key/{number}"))];
    let value = prop_oneof![
        9 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => (4090usize..4100).prop_map(|len| alloc::vec![1; len]),
    ];
    let step = prop_oneof![
        6 => (key(), value).prop_map(|(key, value)| Step::Put(key, value)),
        2 => key().prop_map(Step::Delete),
        2 => any::<prop::sample::Index>().prop_map(Step::Publish),
        1 => any::<prop::sample::Index>().prop_map(Step::Discard),
    ];
    proptest::collection::vec(step, 1..250)
}

type Version = (Option<Vec<u8>>, u64, u64);

/// (value, version, LSN) by key, and the staged ones in order.
#[derive(Default)]
struct Model {
    published: BTreeMap<String, Version>,
    staged: Vec<(u64, String, Version)>,
}

impl Model {
    fn latest(&self, key: &str) -> Option<&Version> {
        let staged = self.staged.iter().rev().find(|(_, staged, _)| staged == key);
        staged.map(|(_, _, version)| version).or_else(|| self.published.get(key))
    }

    fn stage(&mut self, lsn: u64, key: String, value: Option<Vec<u8>>) -> (bool, u64) {
        let latest = self.latest(&key);
        let created = value.is_some() && latest.is_none_or(|(value, ..)| value.is_none());
        let version = latest.map_or(0, |(_, version, _)| *version) + 1;
        self.staged.push((lsn, key, (value, version, lsn)));
        (created, version)
    }

    fn publish(&mut self, through: u64) {
        let ready = self.staged.partition_point(|(lsn, ..)| *lsn <= through);
        self.published.extend(self.staged.drain(..ready).map(|(_, key, version)| (key, version)));
    }

    fn check(&self, store: &Store) {
        check_derived(store);
        assert_eq!(store.staged_len(), self.staged.len());
        let staged_keys: BTreeSet<_> = self.staged.iter().map(|(_, key, _)| key).collect();
        assert_eq!(store.staging.keys(), staged_keys.len());
        let seen = |entry: Entry<'_>| (entry.value().map(<[u8]>::to_vec), entry.version(), entry.changed().0);
        let all: Vec<_> =
            store.entries_from(Bound::Unbounded).map(|entry| (entry.key().to_vec(), seen(entry))).collect();
        let expected: Vec<_> =
            self.published.iter().map(|(key, version)| (key.clone().into_bytes(), version.clone())).collect();
        assert_eq!(all, expected);
        for key in self.published.keys().chain(self.staged.iter().map(|(_, key, _)| key)) {
            assert_eq!(store.latest(key.as_bytes()).map(seen), self.latest(key).cloned());
            assert_eq!(store.entry(key.as_bytes()).map(seen), self.published.get(key).cloned());
            let live = self.published.get(key).filter(|(value, ..)| value.is_some());
            assert_eq!(store.get(key.as_bytes()).map(seen), live.cloned());
        }
        self.check_scans(store);
    }

    fn check_scans(&self, store: &Store) {
        let live: Vec<&str> =
            self.published.iter().filter(|(_, (value, ..))| value.is_some()).map(|(key, _)| key.as_str()).collect();
        for (from, to) in [("a", "b"), ("ab", "key/2"), ("key/1", "key/10"), ("b", "a"), ("", "zz")] {
            let expected: Vec<_> = live.iter().copied().filter(|key| (from..to).contains(key)).collect();
            assert_eq!(keys(store.scan(from.as_bytes()..to.as_bytes())), expected);
            let expected: Vec<_> = live.iter().copied().filter(|key| *key > from && *key <= to).collect();
            let range = (Bound::Excluded(from.as_bytes()), Bound::Included(to.as_bytes()));
            assert_eq!(keys(store.scan(range)), expected);
        }
        for prefix in ["", "a", "ab", "key/", "key/1", "zz"] {
            let expected: Vec<_> = live.iter().copied().filter(|key| key.starts_with(prefix)).collect();
            let mut paged: Vec<String> = Vec::new();
            loop {
                let after = paged.last().cloned();
                let page = keys(store.scan_prefix(prefix.as_bytes(), after.as_deref().map(str::as_bytes)).take(3));
                if page.is_empty() {
                    break;
                }
                paged.extend(page.iter().map(ToString::to_string));
            }
            assert_eq!(paged, expected, "prefix {prefix:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_store_is_two_ordered_maps(steps in steps()) {
        let mut store = Store::new();
        let mut model = Model::default();
        let mut lsn = 0;
        // Every attempt takes a seq, as it does in the log; a discarded one leaves its LSN to the next.
        for (seq, step) in (1..).zip(steps) {
            match step {
                Step::Put(..) | Step::Delete(_) => {
                    let (key, value) = match step {
                        Step::Put(key, value) => (key, Some(value)),
                        Step::Delete(key) => (key, None),
                        Step::Publish(_) | Step::Discard(_) => continue,
                    };
                    lsn += 1;
                    let body = value.clone().map_or(Body::Delete, |value| Body::Put(value.into()));
                    let op = write(&store, seq, &key, body);
                    let merge = store.stage(Lsn(lsn), &op);
                    let (created, version) = model.stage(lsn, key, value);
                    prop_assert_eq!(merge, Merge::Applied { created, version, concurrent: false });
                }
                Step::Publish(share) => {
                    let through = lsn - share.index(model.staged.len() + 1) as u64;
                    store.publish(Lsn(through));
                    model.publish(through);
                }
                Step::Discard(share) => {
                    let from = lsn + 1 - share.index(model.staged.len() + 1) as u64;
                    store.discard_staged(Lsn(from));
                    model.staged.retain(|(staged, ..)| *staged < from);
                    lsn = from - 1;
                }
            }
        }
        model.check(&store);
        store.publish(Lsn(lsn));
        model.publish(lsn);
        model.check(&store);
    }
}
