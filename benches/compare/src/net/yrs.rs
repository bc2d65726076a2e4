//! yrs: what is written together is one transaction and its update; after a partition the messages of y-sync, where a side
//! that has taken an update says its state vector again.

use yrs::sync::SyncMessage;
use yrs::updates::decoder::Decode as _;
use yrs::updates::encoder::Encode as _;
use yrs::{Doc, Map as _, MapRef, ReadTxn as _, StateVector, Transact as _, Update};

use super::document::Document;
use super::pair::Side;
use super::{noise, spread};
use crate::engine::Fault;
use crate::work::key;

/// A document, and what it knows of the other side.
pub(crate) struct Replica {
    document: Doc,
    map: MapRef,
    /// The state vector that the other side has said last.
    peer: Option<StateVector>,
    /// The other side has not heard the own one.
    silent: bool,
}

impl Replica {
    fn receive(&mut self, update: &[u8]) -> Result<(), Fault> {
        Ok(self.document.transact_mut().apply_update(Update::decode_v1(update)?)?)
    }
}

impl Side for Replica {
    fn write(&mut self, first: u64, count: u64, frame: &mut Vec<u8>) -> Result<(), Fault> {
        let mut change = self.document.transact_mut();
        for number in first..first + count {
            let key = key(spread(number));
            self.map.insert(&mut change, std::str::from_utf8(&key)?, noise(number, 100));
        }
        frame.extend_from_slice(&u32::try_from(count)?.to_le_bytes());
        frame.extend_from_slice(&change.encode_update_v1());
        Ok(())
    }

    fn written(&mut self, _: &[u8]) -> Result<(), Fault> {
        Ok(())
    }

    fn apply(&mut self, body: &[u8]) -> Result<u64, Fault> {
        let (count, update) = body.split_first_chunk().ok_or("an update of yrs without its length")?;
        self.receive(update)?;
        Ok(u32::from_le_bytes(*count).into())
    }
}

impl Document for Replica {
    fn new(side: u8) -> Self {
        let document = Doc::with_client_id(side.into());
        let map = document.get_or_insert_map("content");
        Self { document, map, peer: None, silent: true }
    }

    fn say(&mut self) -> Option<Vec<u8>> {
        let delivered = self.delivered();
        let document = self.document.transact();
        let message = match self.peer.take_if(|_| !delivered) {
            Some(peer) => SyncMessage::SyncStep2(document.encode_state_as_update_v1(&peer)),
            None if self.silent => SyncMessage::SyncStep1(document.state_vector()),
            None => return None,
        };
        self.silent = false;
        Some(message.encode_v1())
    }

    fn hear(&mut self, message: &[u8]) -> Result<bool, Fault> {
        match SyncMessage::decode_v1(message)? {
            SyncMessage::SyncStep1(state) => {
                self.peer = Some(state);
                Ok(false)
            }
            SyncMessage::SyncStep2(update) | SyncMessage::Update(update) => {
                self.receive(&update)?;
                self.silent = true;
                Ok(true)
            }
        }
    }

    fn delivered(&self) -> bool {
        self.peer.as_ref().is_some_and(|peer| *peer >= self.document.transact().state_vector())
    }

    fn keys(&self) -> u64 {
        self.map.len(&self.document.transact()).into()
    }
}
