use alloc::collections::BTreeMap;
use alloc::format;

use super::*;

/// Seeds as the hash uses them, with those that leave the least to multiply by.
const SEEDS: [u64; 4] = [0, 1, 2, 0x0123_4567_89ab_cdef];

fn seeded(seed: u64) -> Index {
    let index = Index::new(seed ^ Index::new(0).seed);
    assert_eq!(index.seed, seed);
    index
}

fn counted(count: u32) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("key{number}").into_bytes()).collect()
}

/// How far all entries stand from where the search for them begins.
fn steps(index: &Index) -> usize {
    let mask = index.cells.len() - 1;
    let filled = index.cells.iter().enumerate().filter(|(_, cell)| **cell != EMPTY);
    filled.map(|(at, cell)| at.wrapping_sub((cell >> 32) as usize) & mask).sum()
}

#[test]
fn every_entry_is_found_and_nothing_else_while_at_most_half_of_the_cells_are_filled() {
    let (keys, absent) = (counted(5000), b"absent");
    let mut index = Index::new(7);
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(index.find(&keys, key), None, "{number}");
        index.insert(key, number as Handle);
        assert_eq!(index.find(&keys, key), Some(number as Handle));
        let entries = number + 1;
        assert_eq!(index.cells.len(), (entries * 2).next_power_of_two().max(LEAST), "{entries} entries");
    }
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(index.find(&keys, key), Some(number as Handle), "{number}");
    }
    assert_eq!(index.find(&keys, absent), None);
    assert_eq!(index.cells.iter().filter(|cell| **cell != EMPTY).count(), keys.len());
    assert!(steps(&index) < keys.len(), "{} steps to {} entries", steps(&index), keys.len());
}

#[test]
fn two_keys_of_one_hash_are_told_apart() {
    let index = Index::new(7);
    let mut met = BTreeMap::new();
    let mut number = 0_u32;
    let keys = loop {
        let key = format!("key{number}").into_bytes();
        if let Some(other) = met.insert(index.hash(&key), key.clone()) {
            break alloc::vec![other, key];
        }
        number += 1;
    };
    let mut index = Index::new(7);
    index.insert(&keys[0], 0);
    assert_eq!(index.find(&keys, &keys[1]), None);
    index.insert(&keys[1], 1);
    assert_eq!([0, 1].map(|at| index.find(&keys, &keys[at])), [Some(0), Some(1)]);
}

#[test]
fn every_bit_and_every_length_counts() {
    for seed in SEEDS {
        let index = seeded(seed);
        for len in 0..=16 {
            // Under the least of multipliers two words may still undo each other: nobody can know that it was drawn.
            if len > 8 && seed <= 1 {
                continue;
            }
            let mut hashes = alloc::collections::BTreeSet::new();
            let mut key = alloc::vec![0_u8; len];
            hashes.insert(index.hash(&key));
            for bit in 0..len * 8 {
                key[bit / 8] ^= 1 << (bit % 8);
                hashes.insert(index.hash(&key));
                key[bit / 8] ^= 1 << (bit % 8);
            }
            assert_eq!(hashes.len(), len * 8 + 1, "keys of {len} bytes, seed {seed:#x}");
        }
        let lengths: alloc::collections::BTreeSet<u32> = (0..8).map(|len| index.hash(&[0; 8][..len])).collect();
        assert_eq!(lengths.len(), 8, "nothing but zeros, seed {seed:#x}");
    }
}

#[test]
fn each_bit_of_a_hash_is_set_for_about_half_of_all_keys_and_never_the_highest() {
    let (index, keys) = (Index::new(7), counted(10_000));
    for bit in 0..31 {
        let set = keys.iter().filter(|key| index.hash(key) >> bit & 1 == 1).count();
        assert!((4700..=5300).contains(&set), "bit {bit} is set for {set} of 10000");
    }
    assert!(keys.iter().all(|key| index.hash(key) >> 31 == 0), "no entry looks like an empty cell");
}

#[test]
fn where_a_key_stands_depends_on_the_seed() {
    for key in [&b""[..], b"k", b"a key of more than a word"] {
        let hashes: alloc::collections::BTreeSet<u32> = (0..100).map(|seed| Index::new(seed).hash(key)).collect();
        assert_eq!(hashes.len(), 100, "{key:?}");
    }
}
