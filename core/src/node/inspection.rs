//! Reading a log without touching it: to verify it, to salvage it, or to take its content elsewhere.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use super::rebuild::{Rebuild, Rebuilt};
use crate::disk::{DiskError, DiskRequest, DiskResult, IoToken};
use crate::wal::scan::{Purpose, Scan, ScanReport};

/// What a log holds and how it fares.
#[derive(Debug)]
pub struct Inspected {
    /// Segments, snapshot, damage, torn tail.
    pub report: ScanReport,
    /// The content; `None` when the directory holds no history. With damage, what could be read in spite of it.
    pub content: Option<Rebuilt>,
}

/// Reads a whole log directory and writes nothing. Driven like [`super::Opening`].
#[derive(Debug)]
pub struct Inspection {
    scan: Box<Scan>,
    rebuild: Rebuild,
    out: VecDeque<DiskRequest>,
}

impl Inspection {
    /// Begins to read. Damage is skipped and listed.
    #[must_use]
    pub fn new() -> Self {
        let mut out = VecDeque::new();
        let mut scan = Box::new(Scan::new(Purpose::Salvage));
        scan.start(&mut out);
        Self { scan, rebuild: Rebuild::new(true), out }
    }

    /// Hands in how a disk operation ended.
    pub fn handle(&mut self, token: IoToken, result: DiskResult) {
        self.scan.handle_completion(token, result, &mut self.rebuild, &mut self.out);
    }

    /// The next disk operation to carry out: only listings, opens, reads and closes.
    pub fn poll_output(&mut self) -> Option<DiskRequest> {
        self.out.pop_front()
    }

    /// The result, once there is nothing left to carry out.
    ///
    /// # Errors
    /// [`DiskError`] when a file cannot be read at all.
    pub fn take_outcome(&mut self) -> Option<Result<Inspected, DiskError>> {
        let outcome = self.scan.take_outcome()?;
        let rebuild = core::mem::take(&mut self.rebuild);
        Some(outcome.map(|report| Inspected { report, content: rebuild.finish() }))
    }
}

impl Default for Inspection {
    fn default() -> Self {
        Self::new()
    }
}
