//! An embedder's own driver on the simulated disk: `cargo run -p sim --example own_driver`.
//!
//! The driver is written over a trait; the product gives it files, this gives it [`SimDisk`], and cuts the power before the
//! first operation, then before the second, and so on. Whatever was answered is there afterwards.

use std::collections::BTreeMap;

use sim::disk::{Fate, Fault, Harm, Loss, SimDisk};
use softadastra_core::config::Config;
use softadastra_core::dice::Seed;
use softadastra_core::disk::{DiskErrorKind, DiskOp, DiskResult};
use softadastra_core::node::{Input, Node, Opening, OpeningState, Output, Reply, Start, Write};
use softadastra_core::time::{Instant, Now, WallTime};

/// Why a driver stops.
type Stopped = String;

/// What the driver needs of a disk.
trait Disk {
    /// Carries out one operation. `Err` is no error of the disk: the process is gone.
    fn carry_out(&mut self, op: &DiskOp) -> Result<DiskResult, Stopped>;
}

/// The embedder's driver: one thread, one operation at a time.
struct Driver<D> {
    disk: D,
    node: Box<Node>,
    now: Now,
}

impl<D: Disk> Driver<D> {
    fn open(mut disk: D) -> Result<Self, Stopped> {
        let now = Now { mono: Instant(0), wall: WallTime(1_750_000_000_000) };
        let opening = Opening::new(Config::default(), Seed::from_number(1), now, Start::OpenOrCreate);
        let mut opening = opening.map_err(|error| error.to_string())?;
        loop {
            while let Some(request) = opening.poll_output(now) {
                opening.handle(now, request.token, disk.carry_out(&request.op)?);
            }
            match opening.advance(now) {
                OpeningState::Working(working) => opening = working,
                OpeningState::Ready(node, _) => return Ok(Self { disk, node, now }),
                OpeningState::Failed(error) => return Err(error.to_string()),
            }
        }
    }

    /// Writes one value; `true` when that is answered: it survives from here on.
    fn put(&mut self, key: &str, value: &str) -> Result<bool, Stopped> {
        self.now.mono = Instant(self.now.mono.0 + 1_000);
        let write =
            Write::Put { key: key.to_owned().into(), value: value.to_owned().into(), expect: None, touch: false };
        let Ok(asked) = self.node.write(self.now, vec![write]) else { return Ok(false) };
        let mut answered = false;
        while let Some(output) = self.node.poll_output(self.now) {
            match output {
                Output::Disk(request) => {
                    let result = self.disk.carry_out(&request.op)?;
                    self.node.handle(self.now, Input::Disk { token: request.token, result });
                }
                Output::Reply { request, result: Ok(Reply::Written(_)) } => answered |= request == asked,
                _ => {}
            }
        }
        Ok(answered)
    }
}

/// A simulated disk whose power goes after so many operations.
struct Unreliable<'a> {
    disk: &'a mut SimDisk,
    left: u32,
    is_off: bool,
    /// What a driver does that forgets to sync: what it writes stays in the page cache.
    forgets_to_sync: bool,
}

impl Disk for &mut Unreliable<'_> {
    fn carry_out(&mut self, op: &DiskOp) -> Result<DiskResult, Stopped> {
        self.is_off = self.left == 0;
        self.left = self.left.checked_sub(1).ok_or("the power is gone")?;
        Ok(if self.forgets_to_sync { self.disk.begin(op) } else { self.disk.execute(op) })
    }
}

/// Writes, and keeps what was answered.
fn work(disk: &mut Unreliable<'_>, answered: &mut BTreeMap<String, String>) -> Result<(), Stopped> {
    let mut driver = Driver::open(disk)?;
    for number in 0..12 {
        let (key, value) = (format!("k{}", number % 5), format!("{number:05000}"));
        if driver.put(&key, &value)? {
            answered.insert(key, value);
        }
    }
    Ok(())
}

/// The power goes after each number of operations in turn; a fault may strike besides. Gives how many runs that took, and how many keys
/// were answered in the last one, to which the power stayed.
fn at_every_step(fault: Option<Fault>, forgets_to_sync: bool) -> (u32, usize) {
    for left in 0..1_000 {
        let mut disk = SimDisk::new();
        if let Some(fault) = fault {
            disk.arm(fault);
        }
        let mut answered = BTreeMap::new();
        let mut unreliable = Unreliable { disk: &mut disk, left, is_off: false, forgets_to_sync };
        // A start that the fault hinders is one more way to stop.
        let done = work(&mut unreliable, &mut answered);
        let came_through = !unreliable.is_off;
        disk.disarm_all();
        disk.lose_power(Loss { data: Fate::Mixed(50), names: Fate::Mixed(50), stale: true, salt: u64::from(left) });
        let mut healed = Unreliable { disk: &mut disk, left: u32::MAX, is_off: false, forgets_to_sync: false };
        let again = Driver::open(&mut healed).expect("it opens again");
        for (key, value) in &answered {
            let found = again.node.store().get(key.as_bytes()).and_then(|entry| entry.value().map(<[u8]>::to_vec));
            // What was written later, and not answered, may be there instead.
            let found = found.unwrap_or_default();
            assert!(found.as_slice() >= value.as_bytes(), "{key} was answered and is lost, after {left} operations");
        }
        if came_through {
            println!("after {left} operations: {done:?}, {} keys answered", answered.len());
            return (left, answered.len());
        }
    }
    panic!("the work does not come to an end")
}

/// An operation of the disk fails for want of room, too, when it has come to so many steps: the disk takes a sync for two, what goes out and
/// the word that it is there.
fn no_room(after: u32) -> Fault {
    Fault { on: None, after, what: Harm::Error(DiskErrorKind::NoSpace) }
}

fn main() {
    let (steps, answered) = at_every_step(None, false);
    println!("the power may go at each of {steps} steps; {answered} keys are answered if it does not");
    let (steps, answered) = at_every_step(Some(no_room(20)), false);
    println!("and at each of {steps} when there is no room once; then {answered} are");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_answered_survives_a_power_loss_at_every_step() {
        let (steps, answered) = at_every_step(None, false);
        assert!(steps >= 15 && answered == 5, "{steps} steps, {answered} answered");
    }

    #[test]
    #[should_panic(expected = "acknowledged data on disk is damaged")]
    fn a_driver_that_forgets_to_sync_is_found_out() {
        at_every_step(None, true);
    }

    #[test]
    fn it_survives_an_error_of_the_disk_besides() {
        // It strikes when the node opens, behind the first answer, and when all keys have been answered once.
        for (after, answered) in [(5, 0), (12, 1), (20, 5)] {
            assert_eq!(at_every_step(Some(no_room(after)), false).1, answered, "after {after}");
        }
    }
}
