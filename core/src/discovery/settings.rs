//! Settings of discovery, each with its default and its reason.

use alloc::format;
use core::time::Duration;

use super::message::MAX_INTERVAL;
use crate::error::{Code, Error};

/// How discovery behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Only listen: nothing is ever sent, so nobody learns of this node, and a node whose clock is off is not asked whether
    /// it is there. Default no.
    pub silent: bool,
    /// The pause after the first announcement. It doubles with each until it is `interval`. Default 1 s: nodes that are
    /// switched on together find each other at once, even if the first datagrams are lost.
    pub first_interval: Duration,
    /// The pause between announcements, give or take a quarter, 1 s to 1 h. Default 30 s: a hundred nodes then make
    /// about three datagrams a second.
    pub interval: Duration,
    /// A node not heard for this long is stale. Default 90 s: three announcements were lost. A node that announces
    /// itself more seldom is given three of its own intervals, and the two settings below move with it.
    pub stale_after: Duration,
    /// A node not heard for this long is expired, and lost to the layer above. Default 5 min.
    pub expire_after: Duration,
    /// A node not heard for this long is pruned. Default 1 h: until then an operator sees that it was there.
    pub prune_after: Duration,
    /// How far clocks may lie apart for a datagram to be believed without asking back. Default 2 min: as long as a
    /// recorded datagram can fool somebody who never heard its sender.
    pub freshness: Duration,
    /// Nodes that are remembered, 1 to 65,536. Default 1,024. Newcomers take the place of expired ones, never of others.
    pub max_nodes: usize,
    /// Probes answered in a second, 1 to 10,000. Default 64; twice as many at once.
    pub replies_per_second: u32,
    /// Signatures checked in a second, 1 to 100,000. Default 512, some hundredths of one processor; twice as many at
    /// once. With a network secret only members can use them up.
    pub checks_per_second: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            silent: false,
            first_interval: Duration::from_secs(1),
            interval: Duration::from_secs(30),
            stale_after: Duration::from_secs(90),
            expire_after: Duration::from_secs(300),
            prune_after: Duration::from_secs(3600),
            freshness: Duration::from_secs(120),
            max_nodes: 1024,
            replies_per_second: 64,
            checks_per_second: 512,
        }
    }
}

impl Settings {
    /// Checks every value against its range.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`], naming the first setting that is out of range.
    pub fn validate(&self) -> Result<(), Error> {
        let seconds = |least: u64, most: u64| Duration::from_secs(least)..=Duration::from_secs(most);
        let year = Duration::from_secs(365 * 86_400);
        let checks = [
            (
                "first_interval",
                (Duration::from_millis(100)..=self.interval).contains(&self.first_interval),
                "100 ms to interval",
            ),
            ("interval", seconds(1, MAX_INTERVAL.as_secs()).contains(&self.interval), "1 s to 1 h"),
            ("stale_after", (self.interval..=year).contains(&self.stale_after), "interval to 1 year"),
            ("expire_after", (self.stale_after..=year).contains(&self.expire_after), "stale_after to 1 year"),
            ("prune_after", (self.expire_after..=year).contains(&self.prune_after), "expire_after to 1 year"),
            ("freshness", seconds(1, 3600).contains(&self.freshness), "1 s to 1 h"),
            ("max_nodes", (1..=1 << 16).contains(&self.max_nodes), "1 to 65,536"),
            ("replies_per_second", (1..=10_000).contains(&self.replies_per_second), "1 to 10,000"),
            ("checks_per_second", (1..=100_000).contains(&self.checks_per_second), "1 to 100,000"),
        ];
        match checks.into_iter().find(|(_, good, _)| !good) {
            None => Ok(()),
            Some((name, _, range)) => {
                let what = format!("discovery {name} is not {range}");
                Err(Error::new(Code::InvalidArgument, what, "correct the setting"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Spoil = fn(&mut Settings);

    #[test]
    fn defaults_are_valid_and_values_out_of_range_are_refused_by_name() {
        Settings::default().validate().unwrap();
        let cases: [(&str, Spoil); 9] = [
            ("first_interval", |s| s.first_interval = Duration::from_secs(31)),
            ("interval", |s| s.interval = Duration::from_secs(3601)),
            ("stale_after", |s| s.stale_after = Duration::from_secs(29)),
            ("expire_after", |s| s.expire_after = Duration::from_secs(89)),
            ("prune_after", |s| s.prune_after = Duration::from_secs(299)),
            ("freshness", |s| s.freshness = Duration::ZERO),
            ("max_nodes", |s| s.max_nodes = 0),
            ("replies_per_second", |s| s.replies_per_second = 0),
            ("checks_per_second", |s| s.checks_per_second = 0),
        ];
        for (name, spoil) in cases {
            let mut settings = Settings::default();
            spoil(&mut settings);
            let error = settings.validate().unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(error.what().contains(name), "{error}");
        }
    }

    #[test]
    fn the_ends_of_every_range_are_taken_and_what_lies_beyond_is_not() {
        let (milli, second, year) = (Duration::from_millis(1), Duration::from_secs(1), Duration::from_secs(31_536_000));
        let with = |set: &dyn Fn(&mut Settings)| {
            let mut settings = Settings::default();
            set(&mut settings);
            settings.validate().is_ok()
        };
        let wide = |settings: &mut Settings| {
            (settings.stale_after, settings.expire_after, settings.prune_after) = (year, year, year);
        };
        for (length, good) in [(second, true), (second - milli, false), (3600 * second, true), (3601 * second, false)] {
            assert_eq!(
                with(&|s| {
                    wide(s);
                    (s.first_interval, s.interval) = (100 * milli, length)
                }),
                good,
                "{length:?}"
            );
            assert_eq!(with(&|s| s.freshness = length), good, "{length:?}");
        }
        for (length, good) in [(99 * milli, false), (100 * milli, true), (30 * second, true)] {
            assert_eq!(with(&|s| s.first_interval = length), good, "{length:?}");
        }
        for (length, good) in [(year, true), (year + milli, false)] {
            assert_eq!(with(&|s| s.prune_after = length), good);
            assert_eq!(
                with(&|s| {
                    wide(s);
                    s.expire_after = length
                }),
                good
            );
            assert_eq!(
                with(&|s| {
                    wide(s);
                    s.stale_after = length
                }),
                good
            );
        }
        for (count, good) in [(0, false), (1, true), (65_536, true), (65_537, false)] {
            assert_eq!(with(&|s| s.max_nodes = count), good, "{count}");
        }
        for (count, replies, checks) in [
            (0, false, false),
            (1, true, true),
            (10_000, true, true),
            (10_001, false, true),
            (100_000, false, true),
            (100_001, false, false),
        ] {
            assert_eq!(with(&|s| s.replies_per_second = count), replies, "{count}");
            assert_eq!(with(&|s| s.checks_per_second = count), checks, "{count}");
        }
    }
}
