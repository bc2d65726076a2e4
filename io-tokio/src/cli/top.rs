//! `softadastra top`.

use crate::control::answer::{self, Looks};
use crate::control::backend::{Backend as _, Peering as _};
use crate::control::{Fault, Remote};

use super::watching::Scene;

/// The looks so far.
#[derive(Default)]
pub(super) struct Top(Looks);

impl Scene for Top {
    type Shown = answer::Top;

    async fn look(&mut self, node: &mut Remote) -> Result<answer::Top, Fault> {
        let info = node.node().await?;
        let at_ms = info.started_at_ms.saturating_add(info.uptime_ms);
        let (status, peers) = (node.status().await?, node.peers().await?);
        Ok(self.0.add(info.node_id, info.uptime_ms, at_ms, status, peers))
    }
}
