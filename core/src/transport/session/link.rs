//! A link whose keys are agreed: seals and opens records, changes keys in time, and knows what waits to be sent.

use alloc::vec::Vec;

use bytes::Bytes;

use super::super::noise::{Ciphers, TAG_LEN};
use super::super::reason::{CloseReason, Farewell};
use super::lanes::{Incoming, Lane, Outgoing};
use super::record::{self, MAX_PARTS, Packer, Part};
use super::settings::{MAX_BYTES_PER_KEY, MAX_RECORDS_PER_KEY, Settings};
use crate::time::Instant;

/// What one key has been used for.
struct KeyUse {
    records: u64,
    bytes: u64,
    since: Instant,
}

impl KeyUse {
    const fn fresh(now: Instant) -> Self {
        Self { records: 0, bytes: 0, since: now }
    }

    const fn count(&mut self, sealed: usize) {
        self.records += 1;
        self.bytes += sealed as u64;
    }
}

/// The state of one direction each, and the parts that are due.
pub(super) struct Link {
    ciphers: Ciphers,
    sealing: KeyUse,
    opening: KeyUse,
    packer: Option<Packer>,
    pub(super) outgoing: Outgoing,
    pub(super) incoming: Incoming,
    pub(super) welcome: Option<u64>,
    pub(super) ping: Option<u64>,
    pub(super) pong: Option<u64>,
    /// Reused from record to record.
    parts: Vec<u8>,
}

/// Room that a rekey part takes.
const REKEY_LEN: usize = 2;

impl Link {
    pub(super) fn new(ciphers: Ciphers, packing: bool, now: Instant) -> Self {
        Self {
            ciphers,
            sealing: KeyUse::fresh(now),
            opening: KeyUse::fresh(now),
            packer: packing.then(Packer::new),
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            welcome: None,
            ping: None,
            pong: None,
            parts: Vec::new(),
        }
    }

    pub(super) const fn packing(&self) -> bool {
        self.packer.is_some()
    }

    /// Bytes of control or bulk messages that wait.
    pub(super) const fn waiting(&self, lane: Lane) -> usize {
        self.outgoing.waiting(lane)
    }

    /// The next record, if anything is due.
    pub(super) fn next_record(&mut self, now: Instant, settings: &Settings) -> Option<Bytes> {
        self.parts.clear();
        let urgent = [
            self.welcome.take().map(Part::Welcome),
            self.ping.take().map(Part::Ping),
            self.pong.take().map(Part::Pong),
        ];
        urgent.into_iter().flatten().for_each(|part| part.put(&mut self.parts));
        self.outgoing.fill(settings.record_size.min(MAX_PARTS) - REKEY_LEN, &mut self.parts);
        if self.parts.is_empty() {
            return None;
        }
        // This record still counts for the old key, so the bounds are looked at one record ahead.
        let key = &self.sealing;
        let rekey = key.records + 1 >= settings.rekey_records.min(MAX_RECORDS_PER_KEY)
            || key.bytes + (u16::MAX as u64) >= settings.rekey_bytes.min(MAX_BYTES_PER_KEY)
            || now.since(key.since) >= settings.rekey_after;
        if rekey {
            Part::Rekey.put(&mut self.parts);
        }
        let record = self.seal();
        if rekey {
            covered!("keys_of_a_link_renewed");
            self.ciphers.rekey_sealing();
            self.sealing = KeyUse::fresh(now);
        }
        Some(record)
    }

    /// The last record of all.
    pub(super) fn farewell(&mut self, farewell: Farewell) -> Bytes {
        self.parts.clear();
        Part::Farewell(farewell).put(&mut self.parts);
        self.seal()
    }

    fn seal(&mut self) -> Bytes {
        let content = record::wrap(&self.parts, self.packer.as_mut());
        let sealed = content.len() + TAG_LEN;
        let mut out = Vec::with_capacity(2 + sealed);
        out.extend_from_slice(&u16::try_from(sealed).expect("parts are cut to size").to_le_bytes());
        self.ciphers.seal(&content, &mut out);
        self.sealing.count(sealed);
        out.into()
    }

    /// Opens a record and gives its parts, not yet read.
    pub(super) fn open(&mut self, sealed: &[u8]) -> Result<Bytes, CloseReason> {
        let content = self.ciphers.open(sealed).map_err(|_| CloseReason::RecordForged)?;
        self.opening.count(sealed.len());
        record::unwrap(content, self.packing())
    }

    /// The other side announced its next key.
    pub(super) fn rekey_opening(&mut self, now: Instant) {
        self.ciphers.rekey_opening();
        self.opening = KeyUse::fresh(now);
    }

    /// Records sealed with the present key.
    #[cfg(test)]
    pub(super) const fn sealed_with_this_key(&self) -> u64 {
        self.sealing.records
    }

    #[cfg(test)]
    pub(super) fn pretend_opened(&mut self, records: u64) {
        self.opening.records = records;
    }

    /// Compresses although that was not agreed.
    #[cfg(test)]
    pub(super) fn pretend_packing(&mut self) {
        self.packer = Some(Packer::new());
    }

    /// A record of any parts, as only a hostile peer would make it.
    #[cfg(test)]
    pub(super) fn seal_raw(&mut self, parts: &[u8]) -> Bytes {
        self.parts = parts.to_vec();
        self.seal()
    }

    /// To be asked when a record has been read to its end.
    pub(super) const fn check_key_use(&self) -> Result<(), CloseReason> {
        if self.opening.records >= MAX_RECORDS_PER_KEY || self.opening.bytes >= MAX_BYTES_PER_KEY {
            return Err(CloseReason::RekeyOverdue);
        }
        Ok(())
    }
}
