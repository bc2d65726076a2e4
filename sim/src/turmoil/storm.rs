//! The random run: everything that can happen to hosts, in any mixture. A seed switches most sorts of trouble off, since
//! one that always happens hides what only the others bring about.

use super::draw::Draw;
use super::script::{Act, Script, Settings};

/// Sorts of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Crash,
    Part,
    Isolate,
    OneWay,
    Hold,
    Cut,
    Flap,
    Full,
    Sick,
    Slow,
    Clock,
}

/// All of them, with the percentage of seeds that know them and their weight there.
const SORTS: [(Sort, u64, usize); 11] = [
    (Sort::Crash, 60, 3),
    (Sort::Part, 30, 1),
    (Sort::Isolate, 30, 1),
    (Sort::OneWay, 30, 1),
    (Sort::Hold, 30, 1),
    (Sort::Cut, 40, 1),
    (Sort::Flap, 30, 1),
    (Sort::Full, 30, 1),
    (Sort::Sick, 40, 2),
    (Sort::Slow, 30, 1),
    (Sort::Clock, 30, 1),
];

/// Two to five hosts, who dials whom, how they are set, and four to twenty troubles of the sorts that are on.
#[must_use]
pub fn storm(seed: u64) -> Script {
    let mut draw = Draw::new("storm", seed);
    let count = draw.between(2, 5) as usize;
    let mut script = Script::mesh("storm", seed, count);
    script.latency = (1, draw.between(1, 60));
    script.peace_at = 3500;
    script.settings = settings(&mut draw, count);
    let shape = draw.below(4);
    let mut busy = Draw::new("busy", seed);
    for (index, host) in script.hosts.iter_mut().enumerate() {
        host.dials = match shape {
            // A chain and a star: operations pass through hosts that did not write them.
            0 => (index + 1..count).take(1).collect(),
            1 if index > 0 => vec![0],
            1 => Vec::new(),
            _ => std::mem::take(&mut host.dials),
        };
        host.value_len = draw.between(10, 3000) as usize;
        host.pause = draw.between(40, 200);
        // Now and then a host is busy: whatever strikes it strikes a write.
        if busy.below(6) == 0 {
            (host.programs, host.pause) = (1, 5);
        }
        host.starts_at = draw.below(2) * draw.below(1500);
        host.ahead_ms = draw.below(20_000) as i64 - 10_000;
    }
    let mut on = Vec::new();
    for (sort, percent, weight) in SORTS {
        if draw.below(100) < percent {
            on.extend([sort].repeat(weight));
        }
    }
    if on.is_empty() {
        on = vec![Sort::Crash, Sort::Cut];
    }
    for _ in 0..draw.between(4, 20) {
        if let Some(sort) = on.get(draw.host(on.len())) {
            trouble(&mut script, &mut draw, count, *sort);
        }
    }
    script
}

fn settings(draw: &mut Draw, count: usize) -> Settings {
    Settings {
        required_acks: draw.between(1, count.min(3) as u64 - 1) as usize,
        window: 4 << draw.between(10, 14),
        first_segment: 64 << draw.between(10, 11),
        snapshot_after: 48 << draw.between(10, 12),
        max_retries: draw.between(1, 8) as u32,
        pieces: draw.below(2) * draw.below(60),
    }
}

fn trouble(script: &mut Script, draw: &mut Draw, count: usize, sort: Sort) {
    let (who, (a, b)) = (draw.host(count), draw.pair(count));
    let at = draw.between(50, 3300);
    let until = at + draw.between(50, 1500);
    match sort {
        Sort::Crash => {
            let crash = draw.crash(who, 600);
            script.at(at, crash);
        }
        Sort::Part => script.during(at, until, Act::Part(a, b), Act::Mend(a, b)),
        Sort::Isolate => {
            for other in (0..count).filter(|other| *other != who) {
                script.during(at, until, Act::Part(who, other), Act::Mend(who, other));
            }
        }
        Sort::OneWay => script.during(at, until, Act::PartOneWay(a, b), Act::Mend(a, b)),
        Sort::Hold => script.during(at, until, Act::Hold(a, b), Act::Mend(a, b)),
        Sort::Cut => script.at(at, Act::Cut(a, b)),
        Sort::Flap => {
            let every = draw.between(60, 300);
            for round in 0..draw.between(2, 6) {
                let from = at + 2 * round * every;
                script.during(from, from + every, Act::Part(a, b), Act::Mend(a, b));
            }
        }
        Sort::Full => script.during(at, until, Act::Fill(who, draw.below(40_000)), Act::Empty(who)),
        Sort::Sick => {
            for _ in 0..draw.between(1, 3) {
                let fault = draw.fault();
                script.at(at, Act::Harm(who, fault));
            }
        }
        Sort::Slow => script.during(at, until, Act::SlowDown(who, draw.between(5, 120)), Act::SlowDown(who, 0)),
        Sort::Clock => script.at(at, Act::StepClock(who, draw.below(60_000) as i64 - 30_000)),
    }
}
