//! `softadastra sync` and `softadastra conflicts`.

use super::args::{ConflictsCommand, SyncCommand};
use super::output::{Done, Failure, Output};
use super::site::Act;
use super::store::value_bytes;
use crate::control::Backend;
use crate::model::Resolution;

impl Act for SyncCommand {
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure> {
        match self {
            Self::Status => out.answer(&backend.sync_status().await?)?,
            Self::Tick { prune } => out.answer(&backend.tick(prune).await?)?,
            Self::Retry => out.answer(&backend.retry().await?)?,
            Self::Outbox => out.answer(&backend.outbox().await?)?,
        }
        Ok(Done::Yes)
    }
}

/// `softadastra conflicts`, with what its arguments name read.
pub(super) enum Conflicts {
    List,
    Show(u64),
    Resolve(u64, Resolution),
}

impl Conflicts {
    /// Reads what the arguments name, before anything is opened or locked: stdin may take its time.
    pub(super) fn of(command: ConflictsCommand) -> Result<Self, Failure> {
        Ok(match command {
            ConflictsCommand::List => Self::List,
            ConflictsCommand::Show { id } => Self::Show(id),
            ConflictsCommand::Resolve { id, value: None, file: None, delete: false } => {
                Self::Resolve(id, Resolution::Winner)
            }
            ConflictsCommand::Resolve { id, delete: true, .. } => Self::Resolve(id, Resolution::Delete),
            ConflictsCommand::Resolve { id, value, file, delete: false } => {
                Self::Resolve(id, Resolution::Value(value_bytes(value, file)?))
            }
        })
    }
}

impl Act for Conflicts {
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure> {
        match self {
            Self::List => out.answer(&backend.conflicts().await?)?,
            Self::Show(id) => out.answer(&backend.conflict(id).await?)?,
            Self::Resolve(id, resolution) => {
                out.answer(&backend.resolve(id, resolution).await.map_err(Failure::of_arguments)?)?;
            }
        }
        Ok(Done::Yes)
    }
}
