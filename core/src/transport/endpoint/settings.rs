//! Settings of an endpoint, each with its default and its reason.

use alloc::format;
use core::time::Duration;

use super::super::session;
use crate::error::{Code, Error};

/// How an endpoint behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How each link behaves.
    pub link: session::Settings,
    /// Links of all kinds. Default 1,024; further incoming ones are turned away.
    pub max_links: usize,
    /// Incoming links whose handshake is under way. Default 64; a newcomer takes the place of the oldest, which is the
    /// one least likely to come to anything. One address may hold a quarter.
    pub max_half_open: usize,
    /// Links from one IPv4 address or one IPv6 /64. Default 64: a whole site may sit behind one address.
    pub max_links_per_address: usize,
    /// Dials under way at once. Default 16: a node with thousands of peers must not open thousands of connections at
    /// its start.
    pub max_dials: usize,
    /// For a connection to be made. Default 10 s.
    pub dial_timeout: Duration,
    /// The first pause after a failed dial; doubled with each further failure. Default 500 ms.
    pub first_pause: Duration,
    /// The longest pause. Default 60 s: dialling goes on for ever, and a site that comes back is found in a minute. In the
    /// minute after a link that was of use has ended, no pause is longer than a second, or than the first.
    pub longest_pause: Duration,
    /// A link that stood this long counts as a success, and so does one that brought something; others make the pause grow.
    /// Default 10 s.
    pub steady_after: Duration,
    /// A peer not heard for this long is shown as stale. Default 2 min.
    pub stale_after: Duration,
    /// A peer not heard for this long is shown as expired, and forgotten unless it is wanted. Default 1 h.
    pub expire_after: Duration,
    /// Peers that are remembered. Default 4,096; unwanted ones give way to new ones.
    pub max_peers: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            link: session::Settings::default(),
            max_links: 1024,
            max_half_open: 64,
            max_links_per_address: 64,
            max_dials: 16,
            dial_timeout: Duration::from_secs(10),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
            steady_after: Duration::from_secs(10),
            stale_after: Duration::from_secs(120),
            expire_after: Duration::from_secs(3600),
            max_peers: 4096,
        }
    }
}

impl Settings {
    /// Checks every value against its range.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`], naming the first setting that is out of range.
    pub fn validate(&self) -> Result<(), Error> {
        self.link.validate()?;
        let millis = |least: u64, most: u64| Duration::from_millis(least)..=Duration::from_millis(most);
        let day = 86_400_000;
        let checks = [
            ("max_links", (1..=1 << 16).contains(&self.max_links), "1 to 65,536"),
            ("max_half_open", (4..=1 << 14).contains(&self.max_half_open), "4 to 16,384"),
            ("max_links_per_address", (1..=1 << 16).contains(&self.max_links_per_address), "1 to 65,536"),
            ("max_dials", (1..=1 << 10).contains(&self.max_dials), "1 to 1,024"),
            ("dial_timeout", millis(100, 3_600_000).contains(&self.dial_timeout), "100 ms to 1 h"),
            ("first_pause", millis(10, day).contains(&self.first_pause), "10 ms to 1 day"),
            (
                "longest_pause",
                (self.first_pause..=Duration::from_millis(day)).contains(&self.longest_pause),
                "first_pause to 1 day",
            ),
            ("steady_after", millis(0, day).contains(&self.steady_after), "at most 1 day"),
            ("stale_after", millis(1000, 30 * day).contains(&self.stale_after), "1 s to 30 days"),
            (
                "expire_after",
                (self.stale_after..=Duration::from_millis(365 * day)).contains(&self.expire_after),
                "stale_after to 1 year",
            ),
            ("max_peers", (1..=1 << 16).contains(&self.max_peers), "1 to 65,536"),
        ];
        match checks.into_iter().find(|(_, good, _)| !good) {
            None => Ok(()),
            Some((name, _, range)) => {
                Err(Error::new(Code::InvalidArgument, format!("{name} is not {range}"), "correct the setting"))
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
        let cases: [(&str, Spoil); 4] = [
            ("keep_alive", |s| s.link.keep_alive = Duration::ZERO),
            ("max_half_open", |s| s.max_half_open = 0),
            ("longest_pause", |s| s.longest_pause = Duration::from_millis(1)),
            ("expire_after", |s| s.expire_after = Duration::from_secs(1)),
        ];
        for (name, spoil) in cases {
            let mut settings = Settings::default();
            spoil(&mut settings);
            assert!(settings.validate().unwrap_err().what().contains(name));
        }
    }

    #[test]
    fn the_ends_of_every_range_are_taken_and_what_lies_beyond_is_not() {
        let with = |set: &dyn Fn(&mut Settings)| {
            let mut settings = Settings::default();
            set(&mut settings);
            settings.validate().is_ok()
        };
        let counts = |set: fn(&mut Settings, usize), least: usize, most: usize| {
            let good = |count| with(&|settings| set(settings, count));
            assert!(good(least) && good(most) && !good(least - 1) && !good(most + 1), "{least} to {most}");
        };
        counts(|s, count| s.max_links = count, 1, 65_536);
        counts(|s, count| s.max_half_open = count, 4, 16_384);
        counts(|s, count| s.max_links_per_address = count, 1, 65_536);
        counts(|s, count| s.max_dials = count, 1, 1_024);
        counts(|s, count| s.max_peers = count, 1, 65_536);
        let times = |set: fn(&mut Settings, Duration), least: u64, most: u64| {
            let good = |millis| with(&|settings| set(settings, Duration::from_millis(millis)));
            assert!(good(least) && good(most) && !good(most + 1), "{least} to {most} ms");
            assert!(least == 0 || !good(least - 1), "{least} to {most} ms");
        };
        const DAY: u64 = 86_400_000;
        times(|s, time| s.dial_timeout = time, 100, 3_600_000);
        times(|s, time| (s.first_pause, s.longest_pause) = (time, Duration::from_millis(DAY)), 10, DAY);
        times(|s, time| (s.first_pause, s.longest_pause) = (Duration::from_millis(10), time), 10, DAY);
        times(|s, time| s.steady_after = time, 0, DAY);
        times(|s, time| (s.stale_after, s.expire_after) = (time, Duration::from_millis(365 * DAY)), 1000, 30 * DAY);
        times(|s, time| (s.stale_after, s.expire_after) = (Duration::from_millis(1000), time), 1000, 31_536_000_000);
    }
}
