//! Where a node puts its records: into a log, or nowhere.

use alloc::boxed::Box;

use crate::ids::Lsn;
use crate::wal::format::Loggable;
use crate::wal::{AppendError, Wal};

#[derive(Debug)]
pub(super) enum Journal {
    Log(Box<Wal>),
    /// Memory-only: records are counted and forgotten.
    Memory {
        last: Lsn,
    },
}

impl Journal {
    pub(super) fn log(&self) -> Option<&Wal> {
        match self {
            Self::Log(log) => Some(log),
            Self::Memory { .. } => None,
        }
    }

    /// LSN of the latest record taken in.
    pub(super) fn accepted(&self) -> Lsn {
        match self {
            Self::Log(log) => log.progress().accepted,
            Self::Memory { last } => *last,
        }
    }

    /// Takes in a group of records, all or none, and says the LSN of its last.
    pub(super) fn append(&mut self, group: &[impl Loggable]) -> Result<Lsn, AppendError> {
        match self {
            Self::Log(log) => log.append(group),
            Self::Memory { last } => {
                last.0 += group.len() as u64;
                Ok(*last)
            }
        }
    }
}
