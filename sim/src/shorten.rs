//! The shortest story of a failure: fewer nodes, fewer operations, fewer faults, and the same promise broken.

use crate::plan::{Change, Crash, Exchange, Expect, Fleet, HostId, Item, Knobs, Plan, PlannedWrite, What};
use crate::shrink;

/// Runs that may be spent on the items of one failure, and as many again on making each simpler.
const BUDGET: usize = 3_000;
/// Rounds that are written out of what a run adds to its plan.
const LONGEST: u32 = 16;
/// Microseconds between two of them.
const BETWEEN: u64 = 3_000_000;

/// Takes nodes and items away and makes items simpler, as long as `fails` says that what is left still fails.
#[must_use]
pub fn shortest(plan: Plan, mut fails: impl FnMut(&Plan) -> bool) -> Plan {
    let plan = written_out(plan, &mut fails);
    // Fewer nodes first: every run after that is quicker. And again later: a node may have been there only for items that
    // turn out not to matter.
    let plan = fewer_nodes(plan, &mut fails);
    let items = shrink::minimise(&plan.items, BUDGET, |items| fails(&with(&plan, items)));
    let plan = fewer_nodes(with(&plan, &items), &mut fails);
    simpler_items(plan, &mut fails)
}

/// The plan with the rounds that a run may add to it among its items, as many as it takes: one that demands rounds would get other
/// ones for each item that is taken away.
fn written_out(plan: Plan, fails: &mut impl FnMut(&Plan) -> bool) -> Plan {
    if plan.at_least == 0 {
        return plan;
    }
    let mut written = Plan { at_least: 0, ..plan.clone() };
    for round in 0..LONGEST {
        if fails(&written) {
            return written;
        }
        let begin = written.items.iter().map(|item| item.at).max().unwrap_or(0) + BETWEEN;
        written.items.extend(plan.more(round).into_iter().map(|item| Item { at: begin + item.at, ..item }));
    }
    plan
}

fn with(plan: &Plan, items: &[Item]) -> Plan {
    Plan { items: items.to_vec(), ..plan.clone() }
}

fn fewer_nodes(mut plan: Plan, fails: &mut impl FnMut(&Plan) -> bool) -> Plan {
    let mut number = plan.fleet.size();
    while number > 0 && plan.fleet.size() > 1 {
        number -= 1;
        let without = without_node(&plan, HostId(number as u8));
        if fails(&without) {
            plan = without;
        }
    }
    plan
}

/// The plan without one of its nodes and all that concerns it; the nodes behind it move up. Whom it linked are linked with
/// each other: nodes that cannot meet would break promises of their own.
fn without_node(plan: &Plan, gone: HostId) -> Plan {
    let moved = |host: HostId| match host.0.cmp(&gone.0) {
        std::cmp::Ordering::Less => Some(host),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(HostId(host.0 - 1)),
    };
    let seats = plan.fleet.seats.iter().zip(0..).filter(|(_, number)| *number != gone.0).map(|(seat, _)| *seat);
    let roads = plan.fleet.roads.iter().filter_map(|(from, to)| Some((moved(*from)?, moved(*to)?)));
    let mut roads: Vec<(HostId, HostId)> = roads.collect();
    let ends =
        plan.fleet.roads.iter().filter(|(from, to)| *from == gone || *to == gone).flat_map(|(from, to)| [*from, *to]);
    let mut neighbours = ends.filter_map(moved);
    if let Some(first) = neighbours.next() {
        roads.extend(neighbours.filter(|other| *other != first).map(|other| (other, first)));
        roads.sort_unstable();
        roads.dedup();
    }
    let mut fleet = Fleet { seats: seats.collect(), roads, ..plan.fleet.clone() };
    // More copies than there can be would never be acknowledged.
    let most = (fleet.size() - 1).max(1) as u8;
    let is_alone = fleet.size() == 1;
    let fit = |knobs: &mut Knobs| {
        knobs.exchange.required_acks = knobs.exchange.required_acks.min(most);
        if is_alone {
            // What is known of one that is alone does not tell deletions that were forgotten, and no plan of one node has them.
            knobs.exchange.collect_ms = Exchange::DEFAULT.collect_ms;
        }
    };
    fleet.seats.iter_mut().for_each(|seat| fit(&mut seat.knobs));
    let items = plan.items.iter().filter_map(|item| {
        let mut item = Item { host: moved(item.host)?, ..item.clone() };
        if let What::Configure(knobs) = &mut item.what {
            fit(knobs);
        }
        if let Some(other) = item.what.other_mut() {
            *other = moved(*other)?;
        }
        Some(item)
    });
    let knobs = fleet.seats.first().map_or(plan.knobs, |seat| seat.knobs);
    Plan { knobs, items: items.collect(), fleet, ..plan.clone() }
}

fn simpler_items(mut plan: Plan, fails: &mut impl FnMut(&Plan) -> bool) -> Plan {
    let mut left = BUDGET;
    let mut index = 0;
    while let Some(item) = plan.items.get(index).cloned() {
        let simpler = simpler(&item).into_iter().find_map(|simpler| {
            left = left.checked_sub(1)?;
            let mut candidate = plan.clone();
            candidate.items.get_mut(index)?.clone_from(&simpler);
            fails(&candidate).then_some(candidate)
        });
        match simpler {
            Some(simpler) => plan = simpler,
            None => index += 1,
        }
    }
    plan
}

/// Items that do a little less.
fn simpler(item: &Item) -> Vec<Item> {
    let with = |what| Item { what, ..item.clone() };
    match &item.what {
        What::Write { number, writes } => {
            let with = |writes| with(What::Write { number: *number, writes });
            let mut all: Vec<Item> = Vec::new();
            if writes.len() > 1 {
                for left_out in 0..writes.len() {
                    let fewer = writes.iter().enumerate().filter(|(index, _)| *index != left_out);
                    all.push(with(fewer.map(|(_, write)| *write).collect()));
                }
            }
            for (index, write) in writes.iter().enumerate() {
                let mut change = |simpler| {
                    let mut writes = writes.clone();
                    if let Some(place) = writes.get_mut(index)
                        && *place != simpler
                    {
                        *place = simpler;
                        all.push(with(writes));
                    }
                };
                change(PlannedWrite { expect: Expect::Any, ..*write });
                if !matches!(write.change, Change::Put(0..=9)) {
                    change(PlannedWrite { change: Change::Put(9), ..*write });
                }
            }
            all
        }
        What::Crash { crash, after, down } if *after > 0 => {
            vec![
                with(What::Crash { crash: *crash, after: 0, down: *down }),
                with(What::Crash { crash: *crash, after: after - 1, down: *down }),
            ]
        }
        What::Crash { crash: Crash::Kill { salt, evict: true }, after, down } => {
            vec![with(What::Crash { crash: Crash::Kill { salt: *salt, evict: false }, after: *after, down: *down })]
        }
        What::Read { .. }
        | What::Snapshot
        | What::Flush
        | What::Backup
        | What::Close { .. }
        | What::Crash { .. }
        | What::Fault { .. }
        | What::Full { .. }
        | What::Rot { .. }
        | What::Retire
        | What::GiveUp { .. }
        | What::Resolve { .. }
        | What::Copy
        | What::Replace { .. }
        | What::Restore { .. }
        | What::CopyBack { .. }
        | What::Clock(_)
        | What::Stall { .. }
        | What::Configure(_)
        | What::Block { .. }
        | What::Slow { .. }
        | What::Cut { .. }
        | What::Refuse { .. }
        | What::Offline { .. }
        | What::Tick { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Pace, Shape};

    fn plan(fleet: Fleet, items: Vec<(u8, What)>) -> Plan {
        let items =
            items.into_iter().zip(0..).map(|((host, what), at)| Item { at, host: HostId(host), what }).collect();
        Plan { seed: 1, shape: Shape::FREE, knobs: Knobs::SMALL, pace: Pace::QUICK, fleet, items, at_least: 0 }
    }

    fn write(number: u32) -> What {
        let put = |key| PlannedWrite { key, change: Change::Put(500), expect: Expect::Absent };
        What::Write { number, writes: vec![put(1), put(2), put(3)] }
    }

    fn cut(with: u8) -> What {
        What::Cut { with: HostId(with), deaf: false, other_deaf: false }
    }

    /// Every node can be reached from the first.
    fn holds_together(fleet: &Fleet) -> bool {
        let mut met = vec![HostId(0)];
        while let Some((_, to)) = fleet
            .roads
            .iter()
            .flat_map(|(a, b)| [(*a, *b), (*b, *a)])
            .find(|(from, to)| met.contains(from) && !met.contains(to))
        {
            met.push(to);
        }
        met.len() == fleet.size()
    }

    #[test]
    fn nodes_operations_and_faults_that_do_not_matter_are_left_out() {
        let mut items: Vec<(u8, What)> = (0..60).map(|number| ((number % 5) as u8, write(number))).collect();
        items.insert(20, (1, cut(3)));
        items.insert(40, (4, What::Snapshot));
        items.insert(50, (4, cut(2)));
        items.insert(51, (0, What::Refuse { window: 5 }));
        let plan = plan(Fleet::of(5, Knobs::SMALL), items);
        let fails = |plan: &Plan| {
            let mut cuts = plan.items.iter().filter(|item| matches!(item.what, What::Cut { .. }));
            let wrote = |host| {
                let writes =
                    |what: &What| matches!(what, What::Write { writes, .. } if writes.iter().any(|w| w.key == 2));
                plan.items.iter().any(|item| item.host == host && writes(&item.what))
            };
            cuts.any(|cut| wrote(cut.host))
        };
        assert!(fails(&plan));
        let shortest = shortest(plan, fails);
        assert_eq!(shortest.fleet.size(), 2, "{shortest}");
        assert_eq!(shortest.items.len(), 2, "{shortest}");
        let write = shortest.items.iter().find_map(|item| match &item.what {
            What::Write { writes, .. } => Some(writes.clone()),
            _ => None,
        });
        assert_eq!(write, Some(vec![PlannedWrite { key: 2, change: Change::Put(9), expect: Expect::Any }]));
        assert_eq!(shortest.fleet.seats.len(), 2);
    }

    #[test]
    fn what_a_run_adds_to_its_plan_is_shortened_with_the_rest() {
        let demanding = Plan { at_least: 60, ..plan(Fleet::of(2, Knobs::SMALL), vec![(0, write(1))]) };
        let added = |plan: &Plan| plan.more(1).into_iter().find(|item| matches!(item.what, What::Write { .. }));
        let number = |item: Option<Item>| match item.map(|item| item.what) {
            Some(What::Write { number, .. }) => number,
            _ => panic!("every round writes"),
        };
        let wanted = number(added(&demanding));
        // As a run of it would: with the rounds that it demands.
        let fails = |plan: &Plan| {
            let rounds = if plan.at_least > 0 { 2 } else { 0 };
            let mut all = plan.items.clone();
            all.extend((0..rounds).flat_map(|round| plan.more(round)));
            all.iter().any(|item| matches!(item.what, What::Write { number, .. } if number == wanted))
        };
        assert!(fails(&demanding));
        let shortest = shortest(demanding, fails);
        assert_eq!((shortest.at_least, shortest.items.len()), (0, 1), "{shortest}");
    }

    #[test]
    fn whoever_linked_others_leaves_them_linked() {
        for gone in 0..4 {
            for fleet in [Fleet::chain(4, Knobs::SMALL), Fleet::of(4, Knobs::SMALL)] {
                let left = without_node(&plan(fleet, vec![(2, cut(0)), (3, cut(1))]), HostId(gone));
                assert!(holds_together(&left.fleet), "without {gone}: {:?}", left.fleet.roads);
                assert_eq!(left.fleet.size(), 3);
                let named = |item: &Item| [item.host, item.what.clone().other_mut().copied().unwrap_or_default()];
                assert!(left.items.iter().flat_map(named).all(|host| host.0 < 3), "without {gone}: {left}");
                assert_eq!(left.items.len(), 1);
            }
        }
    }

    #[test]
    fn no_more_copies_are_demanded_than_there_are_nodes() {
        let mut knobs = Knobs::SMALL;
        knobs.exchange.required_acks = 2;
        let plan = plan(Fleet::of(3, knobs), vec![(0, What::Configure(knobs)), (1, write(1))]);
        let left = without_node(&plan, HostId(2));
        assert!(left.fleet.seats.iter().all(|seat| seat.knobs.exchange.required_acks == 1));
        assert!(matches!(left.items[0].what, What::Configure(knobs) if knobs.exchange.required_acks == 1));
    }

    #[test]
    fn a_node_alone_is_left() {
        let shortest = shortest(plan(Fleet::of(5, Knobs::SMALL), vec![(3, write(1)), (4, cut(1))]), |plan| {
            plan.items.iter().any(|item| matches!(item.what, What::Write { .. }))
        });
        assert_eq!((shortest.fleet.size(), shortest.items.len()), (1, 1));
        assert!(crate::world::judge(&shortest).failure.is_none());
    }

    /// What is left of a fleet must not break a promise only because it is alone: the story would tell of nothing.
    #[test]
    fn one_that_is_left_alone_keeps_every_promise() {
        let mut cut = 0;
        for mut plan in (1..=60).map(Plan::draw).filter(|plan| plan.fleet.size() > 1) {
            while plan.fleet.size() > 1 {
                plan = without_node(&plan, HostId(1));
            }
            let failure = crate::world::judge(&plan).failure;
            assert!(failure.is_none(), "seed {}: {}", plan.seed, failure.map_or(String::new(), |it| it.to_string()));
            cut += 1;
        }
        assert!(cut > 20, "{cut}");
    }
}
