//! `softadastra demo`: three nodes in this process, on real files and real sockets, are parted, crash, disagree and come
//! together. Whatever it says was looked at; what does not hold ends it with exit status 1.
//!
//! ```text
//!   till ------- office ------- warehouse
//! ```
//!
//! Till and warehouse know nothing of each other: everything between them goes through the office, which stores and
//! forwards it.

mod actor;
mod told;

use std::time::Duration;

use tokio::time::Instant;

use self::actor::{Stage, fails};
use self::told::Teller;
use super::node::Signals;
use super::output::{Done, Failure, Output};
use super::render::preview;
use crate::Resolution;
use crate::control::Fault;
use crate::control::answer::{Demo, DemoNode};
use crate::control::fault::readable;
use softadastra_core::error::Code;

/// The key that both sides write while they are apart.
const CONTESTED: &str = "stock/apples";

/// Writes of the till while the warehouse is cut off, of the warehouse meanwhile, of the till while the office is down.
const SALES: u64 = 300;
const BOXES: u64 = 200;
const LATE: u64 = 50;

/// What the people in the shop agree on in the end.
const AGREED: &str = "139";

/// The whole demonstration may take this long, on the slowest machine.
const LONGEST: Duration = Duration::from_secs(60);

/// Runs the demonstration.
pub(super) async fn run(out: &mut Output) -> Result<Done, Failure> {
    let mut signals = Signals::new()?;
    let mut stage = Stage::set()?;
    let ended = tokio::select! {
        played = tokio::time::timeout(LONGEST, play(&mut stage, out)) => {
            played.unwrap_or_else(|_elapsed| Err(fails(format!("it was not over after {LONGEST:?}")).into()))
        }
        name = signals.next() => {
            Err(Fault::new(Code::InvalidState, format!("ended by {name}; nothing is left behind"), "").into())
        }
    };
    let cleared = stage.clear().await;
    let demo = ended?;
    cleared?;
    out.answer(&demo)?;
    Ok(Done::Yes)
}

async fn play(stage: &mut Stage, out: &mut Output) -> Result<Demo, Failure> {
    let began = Instant::now();
    let mut tell = Teller::new(out);
    tell.opening("Three nodes in this process, each with a log, a key and sockets of its own.")?;
    meet(stage, &mut tell).await?;
    write(stage, &mut tell).await?;
    part(stage, &mut tell).await?;
    crash(stage, &mut tell).await?;
    converge(stage, &mut tell).await?;
    settle(stage, &mut tell).await?;
    let steps = tell.end();
    let nodes = stage.all().iter().map(|actor| actor.summary()).collect::<Result<Vec<DemoNode>, Fault>>()?;
    if nodes.windows(2).any(|pair| matches!(pair, [a, b] if a.digest != b.digest)) {
        return Err(fails("the digests differ in the end").into());
    }
    Ok(Demo { steps, nodes, took_ms: millis(began.elapsed()) })
}

async fn meet(stage: &mut Stage, tell: &mut Teller<'_>) -> Result<(), Failure> {
    tell.step("They start, and meet by a ticket")?;
    let ticket = stage.office.found_network().await?;
    let start: String = ticket.chars().take(24).collect();
    tell.says("office", format!("listens at {} and prints a ticket: {start}…", stage.office.listening()?))?;
    for actor in [&mut stage.till, &mut stage.warehouse] {
        actor.join(&ticket).await?;
        actor.linked_to("office").await?;
        tell.says(actor.name, "joins by it; the link is encrypted, both keys are checked")?;
    }
    Ok(())
}

async fn write(stage: &mut Stage, tell: &mut Teller<'_>) -> Result<(), Failure> {
    tell.step("A write is durable where it is made, at once, and then elsewhere")?;
    let began = Instant::now();
    stage.till.put(CONTESTED, "40").await?;
    tell.says("till", format!("{CONTESTED} = 40: accepted here, on the disk, after {}", told_time(began.elapsed())))?;
    stage.warehouse.shows(CONTESTED, "40").await?;
    tell.says("warehouse", format!("has it, through the office, after {}", told_time(began.elapsed())))?;
    stage.till.delivered().await?;
    tell.says("till", "delivered: another node has it on its disk, too")?;
    Ok(())
}

async fn part(stage: &mut Stage, tell: &mut Teller<'_>) -> Result<(), Failure> {
    tell.step("The warehouse is cut off; everybody works on")?;
    stage.warehouse.cut_off().await?;
    let began = Instant::now();
    stage.till.put_many("sale", SALES).await?;
    let took = began.elapsed();
    stage.till.put(CONTESTED, "39").await?;
    stage.till.delivered().await?;
    tell.says("till", format!("{SALES} sales in {}; {CONTESTED} = 39; all delivered to the office", told_time(took)))?;
    stage.warehouse.put_many("box", BOXES).await?;
    stage.warehouse.put(CONTESTED, "140").await?;
    let outbox = stage.warehouse.outbox()?;
    if (outbox.queued, outbox.acknowledged) != (BOXES + 1, 0) {
        return Err(fails(format!("the outbox of the warehouse is {outbox:?}")).into());
    }
    tell.says(
        "warehouse",
        format!("{BOXES} boxes; {CONTESTED} = 140; {} accepted here, 0 delivered, all kept", BOXES + 1),
    )?;
    Ok(())
}

async fn crash(stage: &mut Stage, tell: &mut Teller<'_>) -> Result<(), Failure> {
    tell.step("The office is killed in mid-work, and comes back")?;
    stage.office.put("price/apples", "1.20").await?;
    stage.office.kill().await?;
    tell.says("office", "price/apples = 1.20: answered, and killed in that moment")?;
    stage.till.put_many("late sale", LATE).await?;
    let waiting = stage.till.outbox()?;
    tell.says("till", format!("{LATE} more sales: {} wait for a link", waiting.size()))?;
    let report = stage.office.come_back().await?;
    if report.clean {
        return Err(fails("the office seems to have closed in order, which it should not").into());
    }
    stage.office.shows("price/apples", "1.20").await?;
    tell.says("office", format!("recovered {} records; what it had answered is there", report.records))?;
    stage.till.delivered().await?;
    tell.says("till", "has found it again; everything is delivered")?;
    Ok(())
}

async fn converge(stage: &mut Stage, tell: &mut Teller<'_>) -> Result<(), Failure> {
    tell.step("The warehouse is back: both sides meet")?;
    let before = stage.digests()?;
    if before.windows(2).all(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(fails("the nodes were the same before they met").into());
    }
    let began = Instant::now();
    stage.warehouse.open_links().await?;
    stage.same_everywhere().await?;
    for actor in stage.all() {
        actor.delivered().await?;
    }
    let took = began.elapsed();
    // Apples in stock, and their price.
    let written = SALES + BOXES + LATE + 2;
    for actor in stage.all() {
        let held = actor.written_once(CONTESTED)?;
        if held != written {
            return Err(fails(format!("{} holds {held} of {written} keys", actor.name)).into());
        }
    }
    tell.says("all", format!("hold the same {written} keys after {}", told_time(took)))?;
    tell.says("all", "have delivered everything; nothing was lost, nothing came twice")?;
    Ok(())
}

async fn settle(stage: &mut Stage, tell: &mut Teller<'_>) -> Result<(), Failure> {
    tell.step("One key was written on both sides: nobody's write is lost in silence")?;
    for actor in stage.all() {
        actor.knows_conflict(CONTESTED).await?;
    }
    let conflict = stage.office.knows_conflict(CONTESTED).await?;
    let text = |value: &Option<bytes::Bytes>| value.as_deref().map_or_else(|| "removed".to_owned(), preview);
    tell.says(
        "all",
        format!(
            "conflict on {}: {} stands, {} lost and can be read",
            readable(&conflict.key),
            text(&conflict.winner.value),
            text(&conflict.loser.value)
        ),
    )?;
    stage.office.resolve(conflict.id, Resolution::Value(AGREED.into())).await?;
    for actor in stage.all() {
        actor.shows(CONTESTED, AGREED).await?;
    }
    stage.same_everywhere().await?;
    for actor in stage.all() {
        actor.delivered().await?;
    }
    tell.says("office", format!("resolves it: {CONTESTED} = {AGREED}, everywhere"))?;
    Ok(())
}

fn told_time(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
