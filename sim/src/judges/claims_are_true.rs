//! Invariant 5: a version vector never claims an operation unless it, or what superseded it, survives here.

use std::collections::BTreeMap;

use softadastra_core::context::VersionVector;

use super::{Judge, Moment};
use crate::plan::HostId;

#[derive(Debug, Default)]
pub(super) struct ClaimsAreTrue {
    /// What was looked at since the node's last start.
    judged: BTreeMap<HostId, VersionVector>,
}

impl Judge for ClaimsAreTrue {
    fn name(&self) -> &'static str {
        "claims are true"
    }

    fn invariant(&self) -> u8 {
        5
    }

    fn see(&mut self, host: HostId, moment: &Moment<'_>) -> Result<(), String> {
        match moment {
            Moment::Opened { .. } => {
                self.judged.remove(&host);
                Ok(())
            }
            Moment::Stepped { node, witness: Some(witness), .. } => {
                let judged = self.judged.entry(host).or_default();
                let claims = node.claims();
                if judged == claims {
                    return Ok(());
                }
                if let Some(dot) = witness.first_not_held(host, judged, claims) {
                    let key = witness.registry.issued(dot).map(|issued| issued.key.clone());
                    return Err(format!("claims {dot} of {key:?}, but holds neither it nor what superseded it"));
                }
                judged.clone_from(claims);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
