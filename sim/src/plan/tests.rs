use super::*;

#[test]
fn one_seed_one_plan() {
    assert_eq!(Plan::draw(1), Plan::draw(1));
    assert_ne!(Plan::draw(1).items, Plan::draw(2).items);
}

#[test]
fn every_plan_configures_a_node_that_starts() {
    for seed in 0..500 {
        let plan = Plan::draw(seed);
        plan.knobs.config().validate().unwrap();
        for item in &plan.items {
            if let What::Configure(knobs) = &item.what {
                knobs.config().validate().unwrap();
            }
        }
    }
}

#[test]
fn batches_have_numbers_of_their_own() {
    for seed in 0..50 {
        let mut numbers = std::collections::BTreeSet::new();
        for item in Plan::draw(seed).items {
            if let What::Write { number, .. } = item.what {
                assert!(numbers.insert(number));
            }
        }
    }
}

#[test]
fn plans_reach_every_sort_of_trouble() {
    let mut text = String::new();
    for seed in 0..40 {
        text += &Plan::draw(seed).to_string();
    }
    let sorts = [
        "if absent",
        "if as seen",
        "if impossible",
        "same",
        "=-",
        "snapshot",
        "flush",
        "backup",
        "close",
        "kill",
        "evicted",
        "power loss",
        "stale",
        "fault within",
        "DropPages",
        "Short",
        "Misdirect",
        "DoneButFailed",
        "disk full",
        "rot of",
        "jumps +",
        "jumps -",
        "disk slower",
        "next start",
        "settled as it stands",
        "settled with",
        "is given up",
        "refuses wrong clocks",
    ];
    for sort in sorts {
        assert!(text.contains(sort), "no plan of the first 40 has {sort:?}");
    }
}

#[test]
fn a_plan_is_told_in_order_of_time() {
    let item = |at, down| Item { at, host: HostId(0), what: What::Close { down } };
    let items = vec![item(3_000, 1), item(1_000, 2), item(3_000, 3), item(2_000, 4)];
    let told = Plan { items, ..Plan::draw(1) }.to_string();
    let closes = told.lines().filter_map(|line| line.split_once("open after ")).map(|(_, down)| down);
    assert_eq!(closes.collect::<Vec<_>>(), ["2 us", "4 us", "1 us", "3 us"], "{told}");
}
