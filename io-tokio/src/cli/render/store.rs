//! Answers about keys and values, as people read them.

use super::{bytes, counted, preview};
use crate::cli::output::{Human, Paint};
use crate::control::answer::{Change, Contains, Exported, Imported, Put, Removed, Size};
use crate::control::fault::readable;

impl Human for Put {
    fn human(&self, paint: Paint) -> String {
        format!("{}: version {}, {}\n", paint.bold(readable(&self.key)), self.version, self.outcome)
    }
}

impl Human for Removed {
    fn human(&self, paint: Paint) -> String {
        format!("{}: version {}, removed\n", paint.bold(readable(&self.key)), self.version)
    }
}

impl Human for Contains {
    fn human(&self, _: Paint) -> String {
        format!("{}\n", self.contains)
    }
}

impl Human for Size {
    fn human(&self, _: Paint) -> String {
        format!("{}\n", self.keys)
    }
}

impl Human for Change {
    fn human(&self, paint: Paint) -> String {
        let key = paint.bold(readable(&self.key));
        match &self.value {
            Some(value) => format!("{}  {key}  version {}  {}\n", self.lsn, self.version, preview(value)),
            None => format!("{}  {key}  version {}  removed\n", self.lsn, self.version),
        }
    }
}

impl Human for Imported {
    fn human(&self, _: Paint) -> String {
        format!(
            "Imported {} in {:.2} s ({} records/s): {} created, {} updated, {} unchanged\n",
            counted(self.records, "record", "records"),
            self.seconds,
            self.records_per_second,
            self.created,
            self.updated,
            self.unchanged
        )
    }
}

impl Human for Exported {
    fn human(&self, _: Paint) -> String {
        format!(
            "Exported {} in {:.2} s ({} records/s), {}\n",
            counted(self.records, "record", "records"),
            self.seconds,
            self.records_per_second,
            bytes(self.bytes)
        )
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn answers_read_like_this() {
        let key = Bytes::from_static(b"greeting");
        let put = Put { key: key.clone(), version: 1, outcome: "created".into(), lsn: 7 };
        assert_eq!(put.human(Paint::PLAIN), "greeting: version 1, created\n");
        let gone = Change { key, value: None, removed: true, version: 2, lsn: 9 };
        assert_eq!(gone.human(Paint::PLAIN), "9  greeting  version 2  removed\n");
        let size = Size { keys: 3, tombstones: 0, live_bytes: 9 };
        assert_eq!(size.human(Paint::PLAIN), "3\n");
    }
}
