//! `softadastra discovery`.

use super::args::DiscoveryCommand;
use super::output::{Done, Failure, Output};
use super::site::Act;
use crate::control::Backend;

impl Act for DiscoveryCommand {
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure> {
        match self {
            Self::Status => out.answer(&backend.discovery().await?)?,
            Self::List => out.answer(&backend.discovered().await?)?,
            Self::Start { mode, auto_connect } => {
                out.answer(&backend.start_discovery(mode.map(Into::into), auto_connect).await?)?;
            }
            Self::Stop => out.answer(&backend.stop_discovery().await?)?,
        }
        Ok(Done::Yes)
    }
}
