use alloc::collections::BTreeMap;
use alloc::format;
use proptest::prelude::*;

use super::*;

#[derive(Default)]
struct Model {
    keys: Vec<Vec<u8>>,
    order: BTreeMap<Vec<u8>, Handle>,
    tree: Tree,
    /// Where keys would have stood at some time.
    places: Vec<(Vec<u8>, Place)>,
}

impl Keys for Vec<Vec<u8>> {
    fn key(&self, handle: Handle) -> &[u8] {
        &self[handle as usize]
    }
}

impl Tree {
    fn find_carefully(&self, keys: &impl Keys, key: &[u8]) -> Result<Handle, Place> {
        self.handle_at(self.seek_carefully(keys, key))
    }
}

impl Model {
    fn insert(&mut self, key: Vec<u8>) {
        let found = self.tree.find(&self.keys, &key);
        assert_eq!(found.ok(), self.order.get(&key).copied(), "{key:?}");
        if let Err(place) = found {
            self.places.push((key.clone(), place));
            let handle = self.keys.len() as Handle;
            self.keys.push(key.clone());
            self.tree.insert(&self.keys, place, handle);
            self.order.insert(key, handle);
        }
    }

    fn check(&self, probes: &[Vec<u8>]) {
        assert!(self.tree.from(&self.keys, Bound::Unbounded).eq(self.order.values().copied()));
        assert_eq!(self.tree.last(), self.order.values().last().copied());
        for probe in probes.iter().chain(self.keys.iter()) {
            assert_eq!(self.tree.find(&self.keys, probe).ok(), self.order.get(probe).copied());
        }
        for (key, place) in &self.places {
            let (again, anew) =
                (self.tree.find_again(&self.keys, key, *place), self.tree.find_carefully(&self.keys, key));
            assert_eq!(again, anew, "{key:?}");
        }
        for probe in probes {
            assert_eq!(self.tree.find(&self.keys, probe), self.tree.find_carefully(&self.keys, probe), "{probe:?}");
        }
        for probe in probes.iter().chain(self.keys.iter().step_by(17)) {
            for start in [Bound::Included(&probe[..]), Bound::Excluded(&probe[..])] {
                let expected = self.order.range::<[u8], _>((start, Bound::Unbounded)).map(|(_, handle)| *handle);
                assert!(self.tree.from(&self.keys, start).take(200).eq(expected.take(200)), "{start:?}");
            }
        }
    }

    fn fill(&self) -> f64 {
        self.keys.len() as f64 / (self.tree.leaves.len() * FANOUT) as f64
    }
}

#[test]
fn keys_in_order_fill_every_leaf() {
    let mut model = Model::default();
    for number in 0..20_000 {
        model.insert(format!("user/{number:08}/name").into_bytes());
    }
    model.check(&[]);
    assert!(model.fill() > 0.99, "{}", model.fill());
    assert_eq!(model.tree.height, 2);
}

#[test]
fn interleaved_runs_and_falling_keys_keep_the_order() {
    let mut model = Model::default();
    for number in 0..3_000 {
        for tenant in [7, 3, 9] {
            model.insert(format!("tenant-{tenant}/{number:06}").into_bytes());
        }
        model.insert(format!("z/{:06}", 9_000 - number).into_bytes());
    }
    model.check(&[b"tenant-".to_vec(), b"tenant-5".to_vec(), b"zz".to_vec(), Vec::new()]);
    assert!(model.fill() > 0.6, "{}", model.fill());
}

#[test]
fn keys_that_differ_only_behind_their_heads_are_told_apart() {
    let mut model = Model::default();
    for number in 0..2_000_u32 {
        let mut key = number.to_be_bytes().map(|byte| byte & 3).to_vec();
        key.extend_from_slice(&[0; 12]);
        key.extend_from_slice(&number.reverse_bits().to_be_bytes());
        model.insert(key.clone());
        key.truncate((number % 20) as usize + 1);
        model.insert(key);
    }
    model.check(&[alloc::vec![0; 30]]);
}

/// It may end before what of it stands in the node, with that, or behind it.
#[test]
fn what_keys_share_is_known_however_long_it_is() {
    for shared in 0..3 * NEAR {
        let prefix = alloc::vec![7; shared];
        let mut model = Model::default();
        for number in 0..2 * FANOUT as u32 {
            model.insert([&prefix[..], &(number * 1_000_003).to_be_bytes()].concat());
        }
        // Alike up to some byte, and there at an end, smaller or greater.
        let others = prefix.iter().enumerate().flat_map(|(at, _)| {
            let alike = &prefix[..at];
            [alike.to_vec(), [alike, &[6, 7, 7]].concat(), [alike, &[8]].concat()]
        });
        let others: Vec<Vec<u8>> = others.filter(|other| !other.is_empty()).collect();
        model.check(&others);
        others.into_iter().rev().for_each(|other| model.insert(other));
        model.check(&[]);
    }
}

#[test]
fn branches_split_in_the_middle_and_stay_full_where_keys_come_in_order() {
    let children = |model: &Model| -> Vec<usize> { model.tree.branches.iter().map(|it| it.children.len()).collect() };
    let mut rising = Model::default();
    for number in 0..FANOUT as u32 * FANOUT as u32 + 1 {
        rising.insert(number.to_be_bytes().to_vec());
    }
    rising.check(&[]);
    assert_eq!(children(&rising), [FANOUT, 1, 2], "a full branch, the next one, and the root");
    let mut falling = Model::default();
    for number in (0..FANOUT as u32 * FANOUT as u32).rev() {
        falling.insert(number.to_be_bytes().to_vec());
    }
    falling.check(&[]);
    let (root, below) = (falling.tree.root as usize, children(&falling));
    assert!(falling.tree.height == 2 && below.len() > 3, "{below:?}");
    assert!(below.iter().enumerate().all(|(at, len)| at == root || *len >= FANOUT / 2), "{below:?}");
}

#[test]
fn a_leaf_that_others_follow_stays_nearly_full_when_keys_come_in_order() {
    let mut model = Model::default();
    for number in 0..1000 {
        for tenant in [1, 2] {
            model.insert(format!("{tenant}/{number:06}").into_bytes());
        }
    }
    assert!(model.fill() > 0.85, "{}", model.fill());
}

#[test]
fn heads_order_as_their_bytes_do() {
    let keys: [&[u8]; 6] = [b"", b"\0", b"a", b"ab\0\0", b"ab\0\x01", b"b"];
    for skip in [0, 3] {
        let heads = keys.map(|key| item_of(&[&b"xyz"[..usize::from(skip)], key].concat(), skip, 9) >> 32);
        assert_eq!(heads, [0, 0, 0x6100_0000, 0x6162_0000, 0x6162_0001, 0x6200_0000]);
    }
}

#[test]
fn a_key_that_only_looks_as_if_it_belonged_to_the_last_leaf_is_put_in_the_first() {
    let mut model = Model::default();
    // All separators begin with "b/". The last leaf holds a key that does not.
    for number in 0..FANOUT * 3 + 8 {
        model.insert(format!("b/{number:03}").into_bytes());
    }
    model.insert(b"c".to_vec());
    for lower in [&b"a/999"[..], b"a/500", b"b/9"] {
        model.insert(lower.to_vec());
        model.check(&[]);
    }
}

fn keys() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255)], 1..12),
        proptest::collection::vec(any::<u8>(), 1..6),
        (0u32..5000).prop_map(|number| format!("a-long-shared-prefix/{number}").into_bytes()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_tree_is_an_ordered_map(
        inserted in proptest::collection::vec(keys(), 0..1500),
        probes in proptest::collection::vec(keys(), 0..40),
    ) {
        let mut model = Model::default();
        for key in inserted {
            model.insert(key);
        }
        model.check(&probes);
    }
}

proptest! {
    #[test]
    fn a_tree_made_at_once_is_as_one_that_grew(
        prefix in "[ab]{0,12}",
        keys in proptest::collection::btree_set(proptest::collection::vec(0u8..3, 0..14), 0..400),
        more in proptest::collection::vec(proptest::collection::vec(0u8..3, 1..14), 0..80),
        sorted: bool,
    ) {
        let mut keys: Vec<Vec<u8>> = keys.into_iter().map(|key| [prefix.as_bytes(), &key].concat()).collect();
        if !sorted {
            keys.reverse();
            let half = keys.len() / 2;
            keys.rotate_left(half);
        }
        let order = keys.iter().cloned().zip(0..).collect();
        let tree = Tree::build(&keys, keys.len() as Handle);
        let mut model = Model { keys, order, tree, places: Vec::new() };
        model.check(&more);
        for key in more.iter().filter(|key| !key.is_empty()) {
            model.insert([prefix.as_bytes(), key].concat());
        }
        model.check(&more);
    }
}

#[test]
fn a_tree_made_at_once_has_the_leaves_and_branches_of_one_that_grew_in_order() {
    let count = FANOUT * FANOUT + 1;
    let families: [fn(usize) -> Vec<u8>; 3] = [
        |number| (number as u32).to_be_bytes().to_vec(),
        |number| format!("shared/{number:06}").into_bytes(),
        |number| format!("{}-of-many-families/{number:06}", if number < 2000 { 'a' } else { 'b' }).into_bytes(),
    ];
    for key in families {
        let keys: Vec<Vec<u8>> = (0..count).map(key).collect();
        let tree = Tree::build(&keys, count as Handle);
        let mut grown = Tree::default();
        (0..count).for_each(|handle| grown.push_last(&keys, handle as Handle));
        assert_eq!(tree.height, grown.height);
        for (handle, key) in keys.iter().enumerate() {
            assert_eq!(tree.find_carefully(&keys, key), Ok(handle as Handle));
            assert_eq!(tree.leaf_of(key), grown.leaf_of(key));
        }
        for leaf in &tree.leaves {
            let of_handles = leaf.keys.items().iter().map(|item| *item as Handle).collect::<Vec<_>>();
            let careful = Heads::build(of_handles.into_iter(), |handle| keys.key(handle));
            assert_eq!((leaf.keys.items(), leaf.keys.skip), (careful.items(), careful.skip));
        }
    }
}

#[test]
fn a_large_tree_made_at_once_is_full_and_goes_on_growing() {
    let keys: Vec<Vec<u8>> =
        (0..20_000_u64).map(|number| format!("{:08}", number * 7919 % 20_011).into_bytes()).collect();
    let order = keys.iter().cloned().zip(0..).collect();
    let tree = Tree::build(&keys, keys.len() as Handle);
    let mut model = Model { keys, order, tree, places: Vec::new() };
    assert!(model.fill() > 0.99, "{}", model.fill());
    for number in 0..1000_u64 {
        model.insert(format!("{:08}-more", number * 7919 % 20_011).into_bytes());
    }
    model.check(&[b"0".to_vec(), b"00010000".to_vec(), b"9".to_vec()]);
}

#[test]
fn runs_put_behind_each_other_are_a_tree_of_all_their_keys_and_go_on_growing() {
    for lens in [&[1][..], &[64], &[65], &[1, 1, 1], &[430; 40], &[5000, 1, 64, 4097, 63, 0, 128], &[1; 300]] {
        let mut model = Model::default();
        for len in lens {
            let first = model.keys.len();
            let keys: Vec<Vec<u8>> =
                (first..first + len).map(|number| format!("key-{number:06}").into_bytes()).collect();
            let run = Run::over(&keys, *len as Handle);
            assert!(run.leaves.iter().all(|leaf| leaf.keys.len() * run.leaves.len() + run.leaves.len() > *len));
            let last = model.tree.last();
            model.order.extend(keys.iter().cloned().zip(first as Handle..));
            model.keys.extend(keys);
            model.tree.append(&model.keys, last, run, first as Handle);
        }
        model.check(&[b"key".to_vec(), b"key-".to_vec(), b"key-000100".to_vec(), b"z".to_vec()]);
        for number in 0..300 {
            model.insert(format!("key-{:06}-more", number * 7).into_bytes());
            model.insert(format!("zz-{number:06}").into_bytes());
        }
        model.check(&[b"a".to_vec(), b"key-000063".to_vec(), b"zz-000299".to_vec()]);
    }
}
