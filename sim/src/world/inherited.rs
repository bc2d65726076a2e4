//! A directory that an older version of the software has written.

use super::World;
use super::host::Host;
use crate::oracle::State;
use crate::plan::HostId;
use crate::replay;

/// The first format, from before there was sync.
const FILES: [(&str, &[u8]); 3] = [
    ("0000000000000002.seg", include_bytes!("../../../core/tests/fixtures/v1/0000000000000002.seg")),
    ("0000000000000003.seg", include_bytes!("../../../core/tests/fixtures/v1/clean/0000000000000003.seg")),
    ("0000000000000005.snap", include_bytes!("../../../core/tests/fixtures/v1/0000000000000005.snap")),
];

impl World {
    /// The node, which was not up yet, finds a directory that an older version has written.
    pub fn inherit(&mut self, host: HostId) {
        self.host(host).inherit();
        self.stage.tally.fault("older format on disk");
    }
}

impl Host {
    fn inherit(&mut self) {
        for (name, content) in FILES {
            self.disk.put_file(name, content);
        }
        let content = replay::content(&self.disk).expect("every version reads what was written before it");
        self.oracle.reopened(State::of(content.store()));
        self.found = content.last_lsn();
        self.fresh = false;
        self.closed = None;
        self.inherited = true;
        self.tearable = true;
    }
}
