//! Scripts worth telling. Each is drawn from a seed: who, when and how long differ, the plot does not.

use super::draw::Draw;
use super::script::{Act, Script};
use super::storm::storm;

/// A name and how the script is drawn from a seed.
pub type Story = (&'static str, fn(u64) -> Script);

/// All of them.
pub const STORIES: &[Story] = &[
    ("storm", storm),
    ("converge", converge),
    ("partition", partition),
    ("one_way", one_way),
    ("crashes", crashes),
    ("full_disk", full_disk),
    ("sick_disk", sick_disk),
    ("restart_loop", restart_loop),
    ("carried", carried),
    ("late_joiner", late_joiner),
    ("wrong_clocks", wrong_clocks),
];

/// Three hosts that work beside each other.
#[must_use]
pub fn converge(seed: u64) -> Script {
    Script::mesh("converge", seed, 3)
}

/// Hosts are parted, held up and reached again, in the middle of their work.
#[must_use]
pub fn partition(seed: u64) -> Script {
    let mut script = Script::mesh("partition", seed, 3);
    let mut draw = Draw::new(script.story, seed);
    let (a, b) = draw.pair(3);
    let cut = draw.between(300, 700);
    let c = 3 - a - b;
    script.at(cut, Act::Part(a, b));
    // At times one of them is alone.
    if draw.below(2) == 0 {
        script.at(cut, Act::Part(a, c));
    }
    let held = cut + draw.between(200, 900);
    script.at(held, Act::Mend(a, b));
    script.at(held, Act::Mend(a, c));
    // Shorter and longer than it takes to give a link up.
    script.at(held + 200, Act::Hold(b, c));
    script.at(held + 200 + draw.between(100, 1600), Act::Mend(b, c));
    script.peace_at = 3000;
    script
}

/// One direction of a link takes nothing, and at times both links of a host.
#[must_use]
pub fn one_way(seed: u64) -> Script {
    let mut script = Script::mesh("one_way", seed, 3);
    let mut draw = Draw::new(script.story, seed);
    let (from, to) = draw.pair(3);
    script.at(draw.between(100, 600), Act::PartOneWay(from, to));
    if draw.below(2) == 0 {
        script.at(draw.between(300, 900), Act::PartOneWay(from, 3 - from - to));
    }
    script
}

/// Every host is crashed in the middle of what the others send it.
#[must_use]
pub fn crashes(seed: u64) -> Script {
    let mut script = Script::mesh("crashes", seed, 3);
    let mut draw = Draw::new(script.story, seed);
    for host in &mut script.hosts {
        (host.value_len, host.pause) = (4000, 50);
    }
    for who in 0..3 {
        for _ in 0..2 {
            let crash = draw.crash(who, 400);
            script.at(draw.between(30, 2300), crash);
        }
    }
    script
}

/// The disk of one host is full for a while. Peers go on, and it takes part again when there is room.
#[must_use]
pub fn full_disk(seed: u64) -> Script {
    let mut script = Script::mesh("full_disk", seed, 3);
    let mut draw = Draw::new(script.story, seed);
    for host in &mut script.hosts {
        host.value_len = 3000;
    }
    let who = draw.host(3);
    let full = draw.between(200, 600);
    script.at(full, Act::Fill(who, draw.between(0, 30_000)));
    if draw.below(2) == 0 {
        let crash = draw.crash(who, 200);
        script.at(full + draw.between(200, 800), crash);
    }
    script.at(full + draw.between(800, 1400), Act::Empty(who));
    script
}

/// Operations of disks fail; whoever cannot go on is opened again.
#[must_use]
pub fn sick_disk(seed: u64) -> Script {
    let mut script = Script::mesh("sick_disk", seed, 3);
    let mut draw = Draw::new(script.story, seed);
    for host in &mut script.hosts {
        host.value_len = 2000;
    }
    for _ in 0..6 {
        let who = draw.host(3);
        let fault = draw.fault();
        script.at(draw.between(0, 2200), Act::Harm(who, fault));
    }
    script.at(draw.between(0, 1000), Act::SlowDown(draw.host(3), 40));
    script
}

/// One host is crashed again and again, while it opens and while it works.
#[must_use]
pub fn restart_loop(seed: u64) -> Script {
    let mut script = Script::mesh("restart_loop", seed, 3);
    let mut draw = Draw::new(script.story, seed);
    let who = draw.host(3);
    let mut at = draw.between(100, 400);
    while at < script.peace_at {
        let crash = draw.crash(who, 60);
        script.at(at, crash);
        at += draw.between(30, 350);
    }
    script
}

/// Programs that are alone on their hosts and never rest, so that the disk always has a frame of theirs under way, and often
/// one that they carry themselves. Whatever strikes a host strikes in the middle of it.
#[must_use]
pub fn carried(seed: u64) -> Script {
    let mut script = Script::mesh("carried", seed, 2);
    let mut draw = Draw::new(script.story, seed);
    for host in &mut script.hosts {
        (host.programs, host.pause) = (draw.between(1, 2) as usize, 3);
    }
    script.peace_at = 1500;
    let mut at = 100;
    while at < script.peace_at {
        let who = draw.host(2);
        let act = match draw.below(4) {
            0 => Act::Harm(who, draw.fault()),
            1 => Act::SlowDown(who, draw.below(3) * 20),
            _ => draw.crash(who, 100),
        };
        script.at(at, act);
        at += draw.between(30, 200);
    }
    script
}

/// A host is switched on when the others have a history, at times while one of them is away.
#[must_use]
pub fn late_joiner(seed: u64) -> Script {
    let mut script = Script::mesh("late_joiner", seed, 4);
    let mut draw = Draw::new(script.story, seed);
    let late = draw.between(1200, 2000);
    for (index, host) in script.hosts.iter_mut().enumerate() {
        if index == 3 {
            (host.starts_at, host.dials) = (late, vec![draw.host(3)]);
        } else {
            (host.value_len, host.dials) = (1500, (0..3).filter(|peer| *peer != index).collect());
        }
    }
    if draw.below(2) == 0 {
        let who = draw.host(3);
        let crash = draw.crash(who, 600);
        script.at(late + draw.between(10, 100), crash);
    }
    script
}

/// Clocks are minutes apart, run unevenly and are set while programs write.
#[must_use]
pub fn wrong_clocks(seed: u64) -> Script {
    let mut script = Script::mesh("wrong_clocks", seed, 3);
    let mut draw = Draw::new(script.story, seed);
    for host in &mut script.hosts {
        host.ahead_ms = draw.below(1_200_000) as i64 - 600_000;
        host.fast_ppm = draw.below(1000) as i64 - 500;
    }
    for _ in 0..4 {
        let (who, by) = (draw.host(3), draw.below(7_200_000) as i64 - 3_600_000);
        script.at(draw.between(100, 2300), Act::StepClock(who, by));
    }
    let who = draw.host(3);
    let crash = draw.crash(who, 200);
    script.at(draw.between(500, 2000), crash);
    script
}
