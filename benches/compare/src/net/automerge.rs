//! Automerge: what is written together is one change; after a partition its sync protocol.

use automerge::sync::{Message, State, SyncDoc as _};
use automerge::transaction::Transactable as _;
use automerge::{ActorId, Automerge, Change, ROOT, ReadDoc as _};

use super::document::Document;
use super::pair::Side;
use super::{noise, spread};
use crate::engine::Fault;
use crate::work::key;

/// A document, and what it knows of the other side.
pub(crate) struct Replica {
    document: Automerge,
    peer: State,
}

impl Side for Replica {
    fn write(&mut self, first: u64, count: u64, frame: &mut Vec<u8>) -> Result<(), Fault> {
        let mut change = self.document.transaction();
        for number in first..first + count {
            let key = key(spread(number));
            change.put(ROOT, std::str::from_utf8(&key)?, noise(number, 100))?;
        }
        change.commit();
        let change = self.document.get_last_local_change().ok_or("Automerge has lost a change")?;
        frame.extend_from_slice(change.raw_bytes());
        Ok(())
    }

    fn written(&mut self, _: &[u8]) -> Result<(), Fault> {
        Ok(())
    }

    fn apply(&mut self, body: &[u8]) -> Result<u64, Fault> {
        let change = Change::from_bytes(body.to_vec())?;
        let count = change.len() as u64;
        self.document.apply_changes([change])?;
        Ok(count)
    }
}

impl Document for Replica {
    fn new(side: u8) -> Self {
        Self { document: Automerge::new().with_actor(ActorId::from([side; 16])), peer: State::new() }
    }

    fn say(&mut self) -> Option<Vec<u8>> {
        self.document.generate_sync_message(&mut self.peer).map(Message::encode)
    }

    fn hear(&mut self, message: &[u8]) -> Result<bool, Fault> {
        let message = Message::decode(message)?;
        let brought = !message.changes.is_empty();
        self.document.receive_sync_message(&mut self.peer, message)?;
        Ok(brought)
    }

    fn delivered(&self) -> bool {
        self.document.has_our_changes(&self.peer)
    }

    fn keys(&self) -> u64 {
        self.document.length(ROOT) as u64
    }
}
