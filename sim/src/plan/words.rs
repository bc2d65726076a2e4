//! Plans in words, as stories print them.

use std::fmt;

use super::{Air, Change, Climate, Crash, Exchange, Expect, Fault, Fleet, Item, Knobs, Loss, Manners, Pace, Plan};
use super::{PlannedWrite, Policy, Seat, Shape, What};

impl fmt::Display for Shape {
    /// As the words that ask for it: `" --nodes 5"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(nodes) = self.nodes {
            write!(f, " --nodes {nodes}")?;
        }
        if let Some(operations) = self.operations {
            write!(f, " --operations {operations}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}{}", self.seed, self.shape)?;
        writeln!(f, "{}", self.knobs)?;
        writeln!(f, "{}", self.pace)?;
        if self.fleet.size() > 1 || self.fleet.inherits {
            write!(f, "{}", self.fleet)?;
        }
        let mut in_order: Vec<&Item> = self.items.iter().collect();
        in_order.sort_by_key(|item| item.at);
        for item in in_order {
            writeln!(f, "{item}")?;
        }
        if self.at_least > 0 {
            writeln!(f, "and more of it until clients have asked for {} operations", self.at_least)?;
        }
        Ok(())
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10}.{:03} n{} {}", self.at / 1000, self.at % 1000, self.host.0, self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { number, writes } => {
                write!(f, "write #{number}")?;
                for PlannedWrite { key, change, expect } in writes {
                    match change {
                        Change::Put(len) => write!(f, " k{key}={len}B")?,
                        Change::Repeat(touch) => write!(f, " k{key}=same{}", if *touch { "!" } else { "" })?,
                        Change::Delete => write!(f, " k{key}=-")?,
                    }
                    match expect {
                        Expect::Any => {}
                        Expect::Absent => f.write_str("(if absent)")?,
                        Expect::Seen => f.write_str("(if as seen)")?,
                        Expect::Never => f.write_str("(if impossible)")?,
                    }
                }
                Ok(())
            }
            Self::Read { client, key } => write!(f, "client {client} reads k{key}"),
            Self::Snapshot => f.write_str("snapshot"),
            Self::Flush => f.write_str("flush"),
            Self::Backup => f.write_str("backup"),
            Self::Close { down } => write!(f, "close, open after {down} us"),
            Self::Crash { crash: Crash::Kill { evict, .. }, after, down } => {
                let pages = if *evict { ", pages evicted" } else { "" };
                write!(f, "kill after {after} more effects{pages}, open after {down} us")
            }
            Self::Crash { crash: Crash::Power(loss), after, down } => {
                let Loss { data, names, stale, .. } = loss;
                let stale = if *stale { ", stale blocks" } else { "" };
                write!(f, "power loss after {after} more effects (data {data:?}, names {names:?}{stale}), ")?;
                write!(f, "open after {down} us")
            }
            Self::Fault { fault, window } => {
                let on = fault.on.map_or("any operation".into(), |on| format!("{on:?}"));
                write!(f, "fault within {window} us: {} after {} more {on}", harm(fault), fault.after)
            }
            Self::Full { room, window } => write!(f, "disk full but for {room} bytes, for {window} us"),
            Self::Rot { place, bit } => write!(f, "rot of bit {bit} at {place} millionths when down"),
            Self::Replace { down } => write!(f, "machine lost, an empty one in its place after {down} us"),
            Self::Restore { down } => write!(f, "directory lost, the last backup in its place after {down} us"),
            Self::Retire => f.write_str("lost histories are given up"),
            Self::GiveUp { who } => write!(f, "n{} is given up", who.0),
            Self::Resolve { number, pick, len: 0 } => write!(f, "conflict {pick} settled as it stands, as #{number}"),
            Self::Resolve { number, pick, len } => write!(f, "conflict {pick} settled with {len}B, as #{number}"),
            Self::Copy => f.write_str("directory copied"),
            Self::CopyBack { down } => write!(f, "directory copied back, open after {down} us"),
            Self::Clock(ms) => write!(f, "wall clock jumps {ms:+} ms"),
            Self::Stall { extra, window } => write!(f, "disk slower by {extra} us for {window} us"),
            Self::Configure(knobs) => write!(f, "next start with {knobs}"),
            Self::Block { to, window } => write!(f, "nothing reaches n{} for {window} us", to.0),
            Self::Slow { to, extra, window } => write!(f, "the way to n{} takes {extra} us more for {window} us", to.0),
            Self::Cut { with, deaf, other_deaf } => {
                let who = match (deaf, other_deaf) {
                    (false, false) => "",
                    (true, false) => ", unheard here",
                    (false, true) => ", unheard there",
                    (true, true) => ", unheard by both",
                };
                write!(f, "connections with n{} are cut{who}", with.0)
            }
            Self::Refuse { window } => write!(f, "refuses connections for {window} us"),
            Self::Offline { window } => write!(f, "transport stopped for {window} us"),
            Self::Tick { prune } => write!(f, "tick{}", if *prune { " and prune" } else { "" }),
        }
    }
}

fn harm(fault: &Fault) -> String {
    format!("{:?}", fault.what)
}

impl fmt::Display for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roads: Vec<String> = self.roads.iter().map(|(from, to)| format!("n{}>n{}", from.0, to.0)).collect();
        writeln!(f, "{} nodes, links {}", self.size(), roads.join(" "))?;
        for (number, seat) in self.seats.iter().enumerate() {
            writeln!(f, "n{number} {seat}")?;
        }
        writeln!(f, "{}", self.climate)?;
        if self.inherits {
            writeln!(f, "on a directory of an older version")?;
        }
        if self.rollbacks {
            writeln!(f, "directories are copied back")?;
        }
        match &self.air {
            Some(air) => writeln!(f, "{air}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Knobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sync_every {
            0 => f.write_str("every write synced")?,
            micros => write!(f, "a sync every {micros} us")?,
        }
        write!(f, ", segments of {} to {}", bytes(self.first_segment), bytes(self.max_segment))?;
        write!(f, ", snapshots from {}, marks after {}", bytes(self.snapshot_min), bytes(self.mark_after))?;
        write!(f, ", {} pending at most", bytes(self.max_pending as u64))?;
        if self.gather != Self::AMPLE {
            write!(f, ", {} gathered", bytes(self.gather as u64))?;
        }
        write!(f, "; {}", self.exchange)
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} copies elsewhere, window of {}", self.required_acks, bytes(self.window))?;
        write!(f, ", answers within {} ms, {} retries", self.ack_timeout_ms, self.max_retries)?;
        write!(f, " from {} ms on, pings every {} ms", self.backoff_ms, self.ping_ms)?;
        write!(f, ", collects every {} ms, leases of {} h", self.collect_ms, self.lease_hours)?;
        if self.steady_lease {
            write!(f, " by both clocks")?;
        }
        f.write_str(match self.policy {
            Policy::Last => ", the last write wins",
            Policy::Local => ", what is here wins",
            Policy::Remote => ", what comes wins",
            Policy::Both => ", both are kept",
            Policy::Longer => ", the longer one wins",
        })?;
        f.write_str(if self.auto_tick { "" } else { ", sends only when told" })?;
        f.write_str(if self.refuse_skew { ", refuses wrong clocks" } else { "" })
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { knobs, skew_ms, drift_ppm } = self;
        write!(f, "{knobs}")?;
        if (*skew_ms, *drift_ppm) != (0, 0) {
            write!(f, "; wall clock {skew_ms:+} ms off and {drift_ppm:+} ppm fast")?;
        }
        Ok(())
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { salt, io, sync, dirs, names, report } = self;
        write!(f, "disk {salt:x}: transfers of {io} us, syncs of {sync} us, of the directory {dirs} us")?;
        write!(f, ", names {names} us, told {report} us later")
    }
}

impl fmt::Display for Climate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "network {:x}: up to {} us and {} us for each KiB", self.salt, self.latency, self.per_kib)?;
        write!(f, ", {} under way at most", bytes(self.buffer as u64))?;
        f.write_str(match self.manners {
            Manners::Calm => "",
            Manners::Hasty => ", links with short timeouts",
        })?;
        f.write_str(if self.pretends { ", checksums for cryptography" } else { "" })
    }
}

impl fmt::Display for Air {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, doubled, damaged, refused, latency, interval_ms } = self;
        write!(f, "announcements every {interval_ms} ms, up to {latency} us on their way; of 100, {lost} are lost, ")?;
        write!(f, "{doubled} doubled, {damaged} damaged and {refused} refused")
    }
}

/// `4096` as `4 KiB`, `4097` as it is.
fn bytes(count: u64) -> String {
    match count {
        0 => "0 B".into(),
        _ if count.is_multiple_of(1 << 20) => format!("{} MiB", count >> 20),
        _ if count.is_multiple_of(1 << 10) => format!("{} KiB", count >> 10),
        _ => format!("{count} B"),
    }
}
