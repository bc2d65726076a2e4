//! Every setting of a node in one validated place.

use core::time::Duration;

use alloc::format;

use crate::error::{Code, Error};
use crate::ids::NodeId;
use crate::limits::{DEFAULT_VALUE_LEN, MAX_VALUE_LEN};
use crate::{sync, wal};

/// When a write counts as accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When its frame is synced: it survives a power cut. The default, because an answer is a promise.
    Always,
    /// When its frame is handed to the operating system: it survives the end of the process; a timer syncs at this
    /// interval, and a power cut may take the writes since the last sync.
    Every(Duration),
    /// At once: there is no log, and everything ends with the process. Each start is a new history.
    Memory,
}

/// Settings of a node. [`Config::default`] is what most nodes want.
#[derive(Clone, Debug)]
pub struct Config {
    /// The operator's name of the node. `None` keeps the name a data directory was born with; a new directory then
    /// gets `node-` and eight hex digits of its replica id.
    pub node_id: Option<NodeId>,
    /// When a write counts as accepted. Default: [`Durability::Always`].
    pub durability: Durability,
    /// The greatest length of a value in bytes, 1 to 64 MiB. Default 1 MiB: above it, a value holds up everything
    /// behind it on a slow link.
    pub max_value_len: usize,
    /// Bytes of writes that may wait for the disk before further ones are refused as `overloaded`. Default 64 MiB.
    pub max_pending_bytes: usize,
    /// How far beyond the own wall clock a remote stamp may pull the own clock. Default 1 minute.
    pub max_clock_drift: Duration,
    /// The log: sizes of segments, when snapshots are taken.
    pub log: wal::Settings,
    /// Sync: acknowledgements, patience, conflicts.
    pub sync: sync::Settings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node_id: None,
            durability: Durability::Always,
            max_value_len: DEFAULT_VALUE_LEN,
            max_pending_bytes: 64 << 20,
            max_clock_drift: Duration::from_secs(60),
            log: wal::Settings::default(),
            sync: sync::Settings::default(),
        }
    }
}

impl Config {
    /// Checks every value against its range.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`], naming the first setting that is out of range.
    pub fn validate(&self) -> Result<(), Error> {
        let refuse = |what| Err(Error::new(Code::InvalidArgument, what, "correct the setting"));
        if self.max_value_len == 0 || self.max_value_len > MAX_VALUE_LEN {
            return refuse(format!("max_value_len is {}, not 1 to {MAX_VALUE_LEN} bytes", self.max_value_len));
        }
        if self.max_pending_bytes < self.max_value_len {
            return refuse(format!(
                "max_pending_bytes is {}, less than max_value_len ({})",
                self.max_pending_bytes, self.max_value_len
            ));
        }
        if let Durability::Every(interval) = self.durability
            && (interval < Duration::from_millis(1) || interval > Duration::from_secs(3600))
        {
            return refuse(format!("the sync interval is {interval:?}, not 1 ms to 1 h"));
        }
        if self.max_clock_drift > Duration::from_secs(24 * 3600) {
            return refuse(format!("max_clock_drift is {:?}, more than a day", self.max_clock_drift));
        }
        self.sync.validate()?;
        let log = &self.log;
        if log.first_segment < 64 << 10 || log.first_segment > log.max_segment || log.max_segment > 1 << 30 {
            return refuse(format!(
                "segments of {} to {} bytes: they must lie between 64 KiB and 1 GiB, the first not above the greatest",
                log.first_segment, log.max_segment
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        Config::default().validate().unwrap();
    }

    #[test]
    fn the_limits_themselves_are_in_range() {
        type Change = fn(&mut Config);
        let cases: [Change; 6] = [
            |c| c.max_value_len = 1,
            |c| (c.max_value_len, c.max_pending_bytes) = (MAX_VALUE_LEN, MAX_VALUE_LEN),
            |c| c.durability = Durability::Every(Duration::from_millis(1)),
            |c| c.durability = Durability::Every(Duration::from_secs(3600)),
            |c| c.max_clock_drift = Duration::from_secs(24 * 3600),
            |c| (c.log.first_segment, c.log.max_segment) = (64 << 10, 64 << 10),
        ];
        for (case, change) in cases.into_iter().enumerate() {
            let mut config = Config::default();
            change(&mut config);
            assert_eq!(config.validate(), Ok(()), "case {case}");
        }
        let mut config = Config::default();
        (config.log.first_segment, config.log.max_segment) = (1 << 30, 1 << 30);
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        type Spoil = fn(&mut Config);
        let cases: &[(&str, Spoil)] = &[
            ("max_value_len", |c| c.max_value_len = 0),
            ("max_value_len", |c| c.max_value_len = MAX_VALUE_LEN + 1),
            ("max_pending_bytes", |c| c.max_pending_bytes = 1),
            ("sync interval", |c| c.durability = Durability::Every(Duration::ZERO)),
            ("segments", |c| c.log.first_segment = (64 << 10) - 1),
            ("segments", |c| c.log.max_segment = c.log.first_segment - 1),
            ("segments", |c| c.log.max_segment = (1 << 30) + 1),
            ("max_pending_bytes", |c| c.max_pending_bytes = c.max_value_len - 1),
            ("sync interval", |c| c.durability = Durability::Every(Duration::from_secs(3601))),
            ("max_clock_drift", |c| c.max_clock_drift = Duration::from_secs(24 * 3600 + 1)),
            ("required_acks", |c| c.sync.required_acks = 0),
        ];
        for (name, spoil) in cases {
            let mut config = Config::default();
            spoil(&mut config);
            let error = config.validate().unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(error.what().contains(name), "{error}");
        }
    }
}
