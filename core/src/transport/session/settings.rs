//! Settings of links, each with its default and its reason.

use alloc::format;
use core::time::Duration;

use super::super::hello::{VERSIONS, Versions};
use super::record::MAX_PARTS;
use crate::error::{Code, Error};
use crate::limits::MAX_FRAME_BODY;

/// Records that one key may seal: the protocol's bound.
pub const MAX_RECORDS_PER_KEY: u64 = 1 << 16;
/// Sealed bytes that one key may cover: the protocol's bound.
pub const MAX_BYTES_PER_KEY: u64 = 1 << 30;

/// How one link behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Versions of the link protocol to speak. Default: all that this software knows.
    pub versions: Versions,
    /// The greatest message taken, in bytes, told to the other side. Default 128 MiB: one operation of the greatest size.
    /// A link may hold twice that much of half-received messages, if the peer sends them.
    pub max_message: usize,
    /// From the first byte to a standing link. Default 10 s: enough for a satellite, short enough for a flood.
    pub handshake_timeout: Duration,
    /// A link on which nothing was heard for this long is dead. Default 30 s.
    pub idle_timeout: Duration,
    /// Time between pings; the other side's idle timeout shortens it to a third of that. Default 10 s: three chances.
    pub keep_alive: Duration,
    /// A link that takes no bytes for this long is dead. Default 30 s.
    pub write_timeout: Duration,
    /// The greatest length of a record's parts, in bytes. Default 32 KiB: sealing is at full speed, and an urgent
    /// message waits a quarter of a second at 1 Mbit/s.
    pub record_size: usize,
    /// Sealed bytes handed to the driver and not yet written. Default 128 KiB: more would only queue where urgent
    /// messages can no longer overtake.
    pub send_window: usize,
    /// Bytes of control messages that may wait before no more are taken. Default 4 MiB: the largest version vector fits.
    pub control_queue: usize,
    /// Bytes of bulk messages that may wait before no more are taken. Default 1 MiB. The last one may go beyond it.
    pub bulk_queue: usize,
    /// Whether to offer compression. Default on: links of tills are slow. Lengths then tell an observer a little about
    /// content; see `docs/security.md`.
    pub compress: bool,
    /// Records before the key changes, 1 to 2^16. Default 2^16.
    pub rekey_records: u64,
    /// Sealed bytes before the key changes, up to 1 GiB. Default 1 GiB.
    pub rekey_bytes: u64,
    /// Time before the key changes. Default 1 h.
    pub rekey_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            versions: VERSIONS,
            max_message: MAX_FRAME_BODY,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            record_size: 32 << 10,
            send_window: 128 << 10,
            control_queue: 4 << 20,
            bulk_queue: 1 << 20,
            compress: true,
            rekey_records: MAX_RECORDS_PER_KEY,
            rekey_bytes: MAX_BYTES_PER_KEY,
            rekey_after: Duration::from_secs(3600),
        }
    }
}

impl Settings {
    /// Checks every value against its range.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`], naming the first setting that is out of range.
    pub fn validate(&self) -> Result<(), Error> {
        let millis = |least: u64, most: u64| Duration::from_millis(least)..=Duration::from_millis(most);
        let hour = 3_600_000;
        let checks = [
            ("versions", self.versions.common(VERSIONS).is_some(), "a range that holds a version this software knows"),
            ("max_message", (1024..=MAX_FRAME_BODY).contains(&self.max_message), "1 KiB to 128 MiB"),
            ("handshake_timeout", millis(100, hour).contains(&self.handshake_timeout), "100 ms to 1 h"),
            ("idle_timeout", millis(300, hour).contains(&self.idle_timeout), "300 ms to 1 h"),
            ("keep_alive", millis(100, hour).contains(&self.keep_alive), "100 ms to 1 h"),
            ("write_timeout", millis(100, hour).contains(&self.write_timeout), "100 ms to 1 h"),
            ("record_size", (1024..=MAX_PARTS).contains(&self.record_size), "1 KiB to 65,518 bytes"),
            ("send_window", (1024..=64 << 20).contains(&self.send_window), "1 KiB to 64 MiB"),
            ("control_queue", (1024..=1 << 30).contains(&self.control_queue), "1 KiB to 1 GiB"),
            ("bulk_queue", (1024..=1 << 30).contains(&self.bulk_queue), "1 KiB to 1 GiB"),
            ("rekey_records", (1..=MAX_RECORDS_PER_KEY).contains(&self.rekey_records), "1 to 65,536"),
            ("rekey_bytes", (1024..=MAX_BYTES_PER_KEY).contains(&self.rekey_bytes), "1 KiB to 1 GiB"),
            ("rekey_after", millis(1000, 24 * hour).contains(&self.rekey_after), "1 s to 1 day"),
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
        let cases: [(&str, Spoil); 5] = [
            ("versions", |s| s.versions = Versions { lowest: 200, highest: 201 }),
            ("max_message", |s| s.max_message = MAX_FRAME_BODY + 1),
            ("idle_timeout", |s| s.idle_timeout = Duration::ZERO),
            ("record_size", |s| s.record_size = MAX_PARTS + 1),
            ("rekey_records", |s| s.rekey_records = 0),
        ];
        for (name, spoil) in cases {
            let mut settings = Settings::default();
            spoil(&mut settings);
            assert!(settings.validate().unwrap_err().what().contains(name));
        }
    }

    #[test]
    fn the_ends_of_every_range_are_taken_and_what_lies_beyond_is_not() {
        let good = |set: &dyn Fn(&mut Settings)| {
            let mut settings = Settings::default();
            set(&mut settings);
            settings.validate().is_ok()
        };
        let counts = |set: fn(&mut Settings, u64), least: u64, most: u64| {
            let good = |count| good(&|settings| set(settings, count));
            assert!(good(least) && good(most) && !good(least - 1) && !good(most + 1), "{least} to {most}");
        };
        counts(|s, count| s.max_message = count as usize, 1024, MAX_FRAME_BODY as u64);
        counts(|s, count| s.record_size = count as usize, 1024, MAX_PARTS as u64);
        counts(|s, count| s.send_window = count as usize, 1024, 64 << 20);
        counts(|s, count| s.control_queue = count as usize, 1024, 1 << 30);
        counts(|s, count| s.bulk_queue = count as usize, 1024, 1 << 30);
        counts(|s, count| s.rekey_records = count, 1, 65_536);
        counts(|s, count| s.rekey_bytes = count, 1024, 1 << 30);
        counts(|s, millis| s.handshake_timeout = Duration::from_millis(millis), 100, 3_600_000);
        counts(|s, millis| s.idle_timeout = Duration::from_millis(millis), 300, 3_600_000);
        counts(|s, millis| s.keep_alive = Duration::from_millis(millis), 100, 3_600_000);
        counts(|s, millis| s.write_timeout = Duration::from_millis(millis), 100, 3_600_000);
        counts(|s, millis| s.rekey_after = Duration::from_millis(millis), 1000, 86_400_000);
    }
}
