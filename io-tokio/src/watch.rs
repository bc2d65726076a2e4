//! Watching changes.

use softadastra_core::error::Error;
use softadastra_core::ids::Lsn;

use crate::model::Change;

/// A cursor over the changes of a node. It holds no changes itself: a slow reader skips overwritten versions.
#[derive(Debug)]
pub struct Watch;

impl Watch {
    /// The next change; `None` when the node has closed.
    ///
    /// # Errors
    /// None at present.
    pub async fn next(&mut self) -> Option<Change> {
        todo!()
    }
    /// The changes that are there already, at most `limit`, without waiting.
    ///
    /// # Errors
    /// `invalid_state` when the node has closed.
    pub fn ready(&mut self, limit: usize) -> Result<Vec<Change>, Error> {
        todo!()
    }
    /// Where it stands: every change up to here was seen.
    #[must_use]
    pub fn position(&self) -> Lsn {
        todo!()
    }
}
